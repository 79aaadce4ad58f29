//! Help, completions and manual pages: that they are there for every command, and name nothing that is not.
//! Their words are the program's.

use std::fs;

use crate::place::Place;

const COMMANDS: [&str; 22] = [
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
    "json",
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

/// Indented lines are laid out by hand: none is so long that it would be broken in its middle. What they are of stands in a column, or before them.
#[test]
fn no_example_and_no_table_of_the_help_is_broken() {
    let place = Place::new();
    for command in ["", "restore", "seal", "json"] {
        let arguments: Vec<&str> = [command, "--help"].into_iter().filter(|word| !word.is_empty()).collect();
        let help = place.run(arguments);
        help.assert_done();
        let (_, after) = help.text().rsplit_once("Print help").unwrap_or_else(|| ("", help.text()));
        let (_, examples) = after.split_once("Example").unwrap();
        let examples = examples.split_once("\n\n").map_or(examples, |(examples, _)| examples);
        let (_, lines) = examples.split_once('\n').unwrap();
        assert!(lines.lines().all(|line| line.starts_with("  ")), "{command}: {examples}");
    }
    let printed = place.run(["json"]);
    printed.assert_done();
    for help in [place.run(["help", "json"]), place.run(["json", "--help"])] {
        help.assert_done();
        assert!(help.text().contains(printed.text().trim_end()), "{}", help.text());
    }
    assert!(!place.run(["--help"]).text().contains("stream_digest"));
}

/// The options of a restore under the headings that they belong to, and what every restore needs before the rest.
#[test]
fn the_options_of_a_restore_stand_under_their_headings() {
    let place = Place::new();
    let help = place.run(["restore", "-h"]);
    let mut heading = "";
    let mut found = Vec::new();
    for line in help.text().lines() {
        if line.ends_with(':') && !line.starts_with(' ') {
            heading = line;
        }
        let line = line.trim_start();
        let options = line.split([' ', ',']).filter(|word| line.starts_with('-') && word.starts_with('-'));
        found.extend(options.take(2).map(|option| (heading, option)));
    }
    let at = |option: &str| found.iter().position(|(_, found)| *found == option).unwrap();
    for option in ["--force", "--expect-digest", "--min-sequence", "--seed", "--wal", "--salvage"] {
        assert_eq!(found[at(option)].0, "Options:", "{option}");
    }
    assert_eq!(found[at("--into")].0, "Streams that are directories:");
    let in_order =
        ["--force", "--identity", "--signed-by", "--into", "--plan", "--manifest", "--foreign-key"];
    assert!(in_order.is_sorted_by_key(|option| at(option)), "{}", help.text());
    // No longer needed, and still taken.
    assert!(!place.run(["seal", "--help"]).text().contains("--identity"));
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
        // As the help has it, of which each option is below.
        let help = place.run([command, "-h"]);
        let usage = help.text().lines().find_map(|line| line.strip_prefix("Usage: ")).unwrap();
        let (_, synopsis) = page.split_once(".SH SYNOPSIS\n").unwrap();
        let (synopsis, _) = synopsis.split_once("\n.SH ").unwrap();
        assert_eq!(synopsis.replace("\\fB", "").replace("\\fR", "").replace("\\-", "-"), usage, "{command}");
    }
    assert!(place.path("man1/cofferdam.1").exists());
    place.run(["man", "--dir", "absent"]).assert_failed(1, "absent");
}
