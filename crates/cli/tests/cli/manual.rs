//! Help, completions and manual pages: that they are there for every command, and name nothing that is not.
//! Their words are the program's.

use std::fs;

use crate::place::Place;

const COMMANDS: [&str; 21] = [
    "keygen",
    "seal",
    "restore",
    "cat",
    "serve",
    "mount",
    "receive",
    "verify",
    "sign",
    "drill",
    "inspect",
    "recipients",
    "rewrap",
    "status",
    "discard",
    "uploads",
    "manifest",
    "bench",
    "demo",
    "completions",
    "man",
];

#[test]
fn every_command_has_help_with_an_example() {
    let place = Place::new();
    let all = place.run(["--help"]);
    all.assert_done();
    for command in COMMANDS {
        assert!(all.text().contains(&format!("\n  {command} ")), "{command}");
        let help = place.run([command, "--help"]);
        help.assert_done();
        assert!(help.text().contains(&format!("cofferdam {command}")), "{command}: {}", help.text());
        assert!(help.text().contains("Example"), "{command}");
        for line in help.text().lines() {
            assert!(line.chars().count() <= 100, "{command}: {line}");
        }
    }
    assert!(place.run(["--version"]).text().starts_with("cofferdam "));
    assert_eq!(place.run([""; 0]).code, 2);
}

/// What each command can end with beside 0, 1 and 2, as its own help has to say.
#[test]
fn the_help_of_a_command_lists_its_exit_codes() {
    let place = Place::new();
    for (command, codes) in [
        ("seal", &["6 ", "7 ", "8 ", "9 ", "10 ", "12 ", "130 "][..]),
        ("restore", &["3 ", "4 ", "5 ", "6 ", "7 ", "8 ", "9 ", "10 ", "11 ", "12 ", "17 ", "19 ", "130 "]),
        ("cat", &["3 ", "4 ", "5 ", "7 ", "11 ", "12 ", "17 ", "130 "]),
        ("serve", &["3 ", "4 ", "5 ", "6 ", "7 ", "9 ", "11 ", "12 ", "14 ", "15 ", "17 "]),
        ("mount", &["3 ", "4 ", "5 ", "6 ", "7 ", "11 ", "12 ", "14 ", "15 ", "17 "]),
        ("verify", &["3 ", "4 ", "5 ", "7 ", "11 ", "12 ", "17 ", "19 ", "130 "]),
        ("sign", &["3 ", "4 ", "5 ", "6 ", "7 ", "10 ", "11 ", "12 ", "14 ", "15 ", "130 "]),
        ("manifest", &["3 ", "5 ", "6 ", "7 ", "9 ", "10 ", "11 ", "12 ", "15 ", "130 "]),
        ("receive", &["6 ", "8 ", "9 ", "10 ", "130 "]),
        ("drill", &["3 ", "4 ", "5 ", "6 ", "7 ", "10 ", "11 ", "12 ", "14 ", "15 ", "16 ", "17 ", "130 "]),
        ("inspect", &["3 ", "5 ", "7 ", "11 ", "12 "]),
        ("recipients", &["3 ", "4 ", "5 ", "7 ", "11 ", "12 ", "15 "]),
        ("rewrap", &["3 ", "4 ", "5 ", "7 ", "9 ", "11 ", "12 ", "130 "]),
        ("keygen", &["6 ", "9 ", "10 "]),
        ("discard", &["8 ", "9 "]),
    ] {
        let help = place.run([command, "--help"]);
        let (_, listed) = help.text().rsplit_once("Exit codes:").unwrap();
        for code in ["0 ", "1 ", "2 "].iter().chain(codes) {
            assert!(listed.replace('\n', " ").contains(&format!(" {code}")), "{command}: {code}");
        }
    }
}

#[test]
fn completions_come_for_every_shell() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = place.run(["completions", shell]);
        script.assert_done();
        for command in COMMANDS {
            assert!(script.text().contains(command), "{shell}: {command}");
        }
    }
    assert_eq!(place.run(["completions", "tcsh"]).code, 2);
}

#[test]
fn the_manual_has_a_page_for_every_command() {
    let place = Place::new();
    let page = place.run(["man"]);
    page.assert_done();
    assert!(page.text().contains(".TH cofferdam 1"), "{}", page.text());
    assert!(page.text().contains(".nf\n  cofferdam keygen"), "examples stay as they are laid out");
    assert!(!page.text().contains("cofferdam-help(1)"), "no page of this name is written");
    fs::create_dir(place.path("man1")).unwrap();
    place.run(["man", "--dir", "man1"]).assert_done();
    for command in COMMANDS {
        let page = fs::read_to_string(place.path("man1").join(format!("cofferdam-{command}.1"))).unwrap();
        assert!(page.contains(".TH cofferdam"), "{command}");
    }
    assert!(place.path("man1/cofferdam.1").exists());
    place.run(["man", "--dir", "absent"]).assert_failed(1, "absent");
}
