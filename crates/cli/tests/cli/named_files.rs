//! Files that a command names twice: what would be written is never what is read.
//! Names, links and redirections alike; what a file holds afterwards is compared with what it held.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::process::Stdio;

use crate::place::{Place, Ran, SEGMENT_LEN, SMALL, end_of, plaintext};

/// A directory with one file of each kind that a command can read.
fn place_with_keys() -> Place {
    let place = Place::with_sealed(1);
    place.run(["keygen", "--key-file", "-o", "k.key"]).assert_done();
    fs::write(place.path("words"), "a passphrase\n").unwrap();
    fs::write(place.path("team.txt"), &place.recipient).unwrap();
    fs::hard_link(place.path("key.txt"), place.path("hard")).unwrap();
    symlink("key.txt", place.path("soft")).unwrap();
    place
}

#[test]
fn no_file_that_a_command_reads_is_replaced_by_what_it_writes() {
    let place = place_with_keys();
    let before: Vec<_> = place.names().iter().map(|name| (name.clone(), place.read(name))).collect();
    for (line, words) in [
        (
            "restore --force -i key.txt sealed.cfd key.txt",
            "the file of --identity and the output are the same file",
        ),
        ("restore --force -i key.txt sealed.cfd ./hard", "the file of --identity and the output"),
        ("restore --force -i soft sealed.cfd hard", "the file of --identity and the output"),
        ("restore --force -i key.txt sealed.cfd soft", "the file of --identity and the output"),
        ("restore --force --key-file k.key sealed.cfd k.key", "the file of --key-file and the output"),
        (
            "restore --force --passphrase-file words sealed.cfd words",
            "the file of --passphrase-file and the output",
        ),
        ("restore --force -i - sealed.cfd key.txt <key.txt", "the file of --identity and the output"),
        ("restore --force -i key.txt - sealed.cfd <sealed.cfd", "the input and the output are the same file"),
        ("restore --force -i key.txt /dev/stdin sealed.cfd <sealed.cfd", "the input and the output"),
        ("restore -i key.txt sealed.cfd - >>sealed.cfd", "the input and the output"),
        ("restore -i key.txt sealed.cfd - >>key.txt", "the file of --identity and the output"),
        ("restore -i key.txt sealed.cfd /dev/stdout >>key.txt", "the file of --identity and the output"),
        ("seal --force -r $R -o plain - <plain", "the input and the output"),
        ("seal -r $R - <plain >>plain", "the input and the output"),
        ("seal -r $R - 0<>plain 1>&0", "the input and the output"),
        ("seal --force -R team.txt -o team.txt plain", "the file of --recipients-file and the output"),
        ("seal --force --key-file k.key -o k.key plain", "the file of --key-file and the output"),
        (
            "seal --force --passphrase-file words -o words plain",
            "the file of --passphrase-file and the output",
        ),
        ("rewrap -i key.txt -R sealed.cfd sealed.cfd", "the sealed file and the file of --recipients-file"),
        (
            "rewrap -i key.txt --new-key-file sealed.cfd sealed.cfd",
            "the sealed file and the file of --new-key-file",
        ),
        (
            "rewrap -i key.txt --new-passphrase-file sealed.cfd sealed.cfd",
            "the sealed file and the file of --new-passphrase-file",
        ),
        (
            "receive --force --listen 127.0.0.1:0 --peer-key k.key k.key",
            "the file of --peer-key and the output are the same file",
        ),
        ("receive --listen unix:new new", "the socket and the output are the same file"),
    ] {
        let ran = place.shell(&format!("cofferdam {line}"));
        assert_eq!(ran.code, 2, "{line}: {}", ran.stderr);
        ran.assert_failed(2, words);
    }
    let after: Vec<_> = place.names().iter().map(|name| (name.clone(), place.read(name))).collect();
    assert!(before == after);
}

#[test]
fn a_key_under_the_name_of_a_targets_own_files_is_not_discarded_with_them() {
    let place = Place::with_sealed(1);
    let long = "t".repeat(250);
    // A name beside a long one is its head and its tail.
    let cut = |suffix: &str| format!(".{}~{}.cofferdam-{suffix}", &long[..117], &long[..117]);
    for (target, name, what) in [
        ("target", ".target.cofferdam-staging".to_owned(), "staging file"),
        ("target", ".target.cofferdam-journal".to_owned(), "journal"),
        (&long, cut("staging"), "staging file"),
        (&long, cut("journal"), "journal"),
    ] {
        let name = name.as_str();
        fs::copy(place.path("key.txt"), place.path(name)).unwrap();
        for options in ["", "--restart", "--restart --force"] {
            let ran = place.shell(&format!("cofferdam restore {options} -i {name} sealed.cfd {target}"));
            ran.assert_failed(
                2,
                &format!("the file of --identity and the {what} of the output are the same file"),
            );
        }
        assert!(place.read(name) == place.read("key.txt"));
        fs::remove_file(place.path(name)).unwrap();
    }
}

#[test]
fn standard_input_is_read_for_one_purpose() {
    let place = place_with_keys();
    for (line, words) in [
        ("restore -i - - made", "the input and the file of --identity cannot both be standard input"),
        (
            "restore -i - /dev/stdin made",
            "the input and the file of --identity cannot both be standard input",
        ),
        (
            "restore -i - -i - sealed.cfd made",
            "the file of --identity and the file of --identity cannot both",
        ),
        (
            "restore -i key.txt --key-file - --passphrase-file - sealed.cfd made",
            "cannot both be standard input",
        ),
        ("seal -R - -o made -", "the input and the file of --recipients-file cannot both be standard input"),
        ("verify --key-file - -", "the input and the file of --key-file cannot both be standard input"),
        (
            "rewrap -i - -R - sealed.cfd",
            "the file of --identity and the file of --recipients-file cannot both",
        ),
    ] {
        place.shell(&format!("cofferdam {line} <key.txt")).assert_failed(2, words);
    }
    assert!(!place.path("made").exists());
}

#[test]
fn one_file_may_be_read_for_two_purposes() {
    let place = place_with_keys();
    place.run(["seal", "--key-file", "k.key", "-o", "keyed.cfd", "key.txt"]).assert_done();
    place.run(["rewrap", "--key-file", "k.key", "--new-key-file", "k.key", "keyed.cfd"]).assert_done();
    place.run(["restore", "-i", "key.txt", "-i", "hard", "sealed.cfd", "made"]).assert_done();
}

#[test]
fn keys_are_taken_from_standard_input() {
    let place = place_with_keys();
    place.shell("cofferdam restore -i - sealed.cfd by-identity <key.txt").assert_done();
    place.shell("cat key.txt | cofferdam restore -i - sealed.cfd by-pipe").assert_done();
    place.shell("cofferdam seal -R - -o team.cfd plain <team.txt").assert_done();
    place.shell("cofferdam restore -i key.txt team.cfd by-team").assert_done();
    place.shell("cofferdam seal --key-file - -o keyed.cfd plain <k.key").assert_done();
    place.shell("cofferdam restore --key-file - keyed.cfd by-key <k.key").assert_done();
    place.shell("cofferdam seal --passphrase-file - -o locked.cfd plain <words").assert_done();
    place.shell("cofferdam restore --passphrase-file - locked.cfd by-words <words").assert_done();
    place.shell("cofferdam rewrap --key-file k.key --new-key-file - keyed.cfd <k.key").assert_done();
    for name in ["by-identity", "by-pipe", "by-team", "by-key", "by-words"] {
        assert!(place.read(name) == place.read("plain"), "{name}");
    }
    let printed = place.run(["keygen", "-o", "-"]);
    printed.assert_done();
    assert!(printed.text().contains("AGE-SECRET-KEY-1"));
    assert!(!place.path("-").exists());
}

#[test]
fn a_file_on_standard_input_is_sealed_from_where_it_stands() {
    let place = Place::new();
    fs::write(place.path("notes"), "a title\nand the rest\n").unwrap();
    // A shell's `read` leaves a file at the end of the line.
    place.shell("{ read title; cofferdam seal -r $R -o rest.cfd -; cat >left; } <notes").assert_done();
    place.run(["restore", "-i", "key.txt", "rest.cfd", "rest"]).assert_done();
    assert_eq!(place.read("rest"), b"and the rest\n");
    assert_eq!(place.read("left"), b"", "what was sealed has been read");
}

#[test]
fn a_file_on_standard_input_that_changes_while_it_is_sealed_is_12() {
    let place = Place::new();
    // More than a pipe holds: the program waits for a reader before it has seen the end of the file.
    fs::write(place.path("log"), plaintext(300 * SEGMENT_LEN)).unwrap();
    for input in ["-", "/dev/stdin", "log"] {
        let seal = ["seal", "-r", &place.recipient, "-o", "-", input].into_iter().chain(SMALL);
        let mut command = place.command(seal);
        command
            .stdin(fs::File::open(place.path("log")).unwrap())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut sealing = command.spawn().unwrap();
        let mut stdout = sealing.stdout.take().unwrap();
        stdout.read_exact(&mut [0; 1]).unwrap();
        fs::OpenOptions::new()
            .append(true)
            .open(place.path("log"))
            .unwrap()
            .write_all(b"one more line")
            .unwrap();
        stdout.read_to_end(&mut Vec::new()).unwrap();
        end_of(sealing).assert_failed(12, "the input changed while it was sealed");
    }
}

#[test]
fn a_pipe_is_sealed_into_standard_output_without_being_told_to() {
    let place = Place::with_sealed(2);
    place.shell("cat plain | cofferdam seal -r $R - >made.cfd").assert_done();
    place.shell("cat plain | cofferdam seal -r $R - | cofferdam restore -i key.txt - restored").assert_done();
    place.run(["restore", "-i", "key.txt", "made.cfd", "again"]).assert_done();
    assert!(place.read("again") == place.read("plain") && place.read("restored") == place.read("plain"));
    // A descriptor has no name to derive another from.
    for input in ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"] {
        place.shell(&format!("cofferdam seal -r $R {input} <plain >by-name.cfd")).assert_done();
        place.run(["restore", "--force", "-i", "key.txt", "by-name.cfd", "again"]).assert_done();
        assert!(place.read("again") == place.read("plain"));
    }
    let shown = place.on_terminal("cat plain | $COFFERDAM seal -r $R -; echo \"code $?\"");
    assert!(shown.contains("Say with -o") && shown.contains("code 2"), "{shown}");
    let forced: Ran = place.shell("cofferdam seal -r $R -o - plain | cofferdam verify -");
    forced.assert_done();
}

/// What a command writes of itself is staged under a name of its own, as its output is.
#[test]
fn a_file_under_the_name_of_what_stands_beside_a_report_is_not_lost_with_it() {
    let place = Place::with_sealed(1);
    fs::create_dir(place.path("scratch")).unwrap();
    let drill = |sealed: &str, identity: &str, evidence: &str| {
        let text = format!(
            "scratch = \"scratch\"\nevidence = \"{evidence}\"\n[[stream]]\nname = \"db\"\nsealed = \"{sealed}\"\nidentity = [\"{identity}\"]\nmode = \"verify\"\n"
        );
        fs::write(place.path("drill.toml"), text).unwrap();
        "drill drill.toml".to_owned()
    };
    for kind in ["staging", "journal", "probe", "probe2"] {
        let name = |of: &str| format!(".{of}.cofferdam-{kind}");
        let (beside, beside_evidence) = (name("m.prom"), name("e.json"));
        let beside = beside.as_str();
        let words = if kind == "probe2" { "probe" } else { kind };
        let noun = if kind == "staging" { "staging file" } else { words };
        for (file, line) in [
            ("plain", format!("seal -r $R -o new.cfd {beside} --metrics-file m.prom")),
            ("key.txt", format!("verify -i {beside} sealed.cfd --metrics-file m.prom")),
            ("sealed.cfd", format!("serve -i key.txt {beside} --metrics-file m.prom")),
            ("plain", format!("restore -i key.txt --seed {beside} sealed.cfd new --metrics-file m.prom")),
            ("key.txt", format!("{} --metrics-file m.prom", drill("sealed.cfd", beside, "e.json"))),
        ] {
            fs::copy(place.path(file), place.path(beside)).unwrap();
            let text = fs::read(place.path("drill.toml")).unwrap();
            let ran = place.shell(&format!("cofferdam {line}"));
            ran.assert_failed(2, "are the same file");
            assert!(ran.stderr.contains(&format!("the {noun} of the metrics file")), "{}", ran.stderr);
            assert!(place.read(beside) == place.read(file), "{line}");
            assert_eq!(fs::read(place.path("drill.toml")).unwrap(), text);
        }
        fs::remove_file(place.path(beside)).unwrap();
        for (file, sealed, identity) in
            [("sealed.cfd", &*beside_evidence, "key.txt"), ("key.txt", "sealed.cfd", &*beside_evidence)]
        {
            fs::copy(place.path(file), place.path(&beside_evidence)).unwrap();
            let line = drill(sealed, identity, "e.json");
            place
                .shell(&format!("cofferdam {line}"))
                .assert_failed(2, &format!("the {noun} of the evidence"));
            assert!(place.read(&beside_evidence) == place.read(file), "{line}");
        }
        fs::remove_file(place.path(&beside_evidence)).unwrap();
        // Where nothing is there yet, one of the two would take the other's place.
        for line in [
            format!("restore -i key.txt sealed.cfd db --metrics-file {}", name("db")),
            format!("{} --metrics-file m.prom", drill("sealed.cfd", "key.txt", beside)),
        ] {
            let ran = place.shell(&format!("cofferdam {line}"));
            ran.assert_failed(2, "are the same file");
            assert!(ran.stderr.contains("Give one of the two another name."), "{}", ran.stderr);
        }
    }
    let names = ["drill.toml", "key.txt", "plain", "scratch", "sealed.cfd"];
    assert_eq!(place.names(), names);
}

/// Not even one that the command does not name.
#[test]
fn what_has_the_name_under_which_a_report_is_staged_and_is_none_stays() {
    let place = Place::with_sealed(1);
    let beside = ".m.prom.cofferdam-staging";
    place.run(["restore", "-i", "key.txt", "sealed.cfd", beside]).assert_done();
    let verify = ["verify", "sealed.cfd", "--metrics-file", "m.prom"];
    place.run(verify).assert_failed(6, "would be replaced by what is written to m.prom");
    assert!(place.read(beside) == place.read("plain"));
    // What a run has left that was killed is nobody's.
    for left in [&b""[..], &[0; 100], b"# written by cofferdam --metrics-file\n# HELP"] {
        fs::write(place.path(beside), left).unwrap();
        place.run(verify).assert_done();
        assert!(!place.path(beside).exists());
    }
}

#[test]
fn a_restore_that_was_interrupted_is_not_thrown_away_for_a_report() {
    let place = Place::with_sealed(20);
    fs::create_dir(place.path("scratch")).unwrap();
    let whole = place.read("sealed.cfd");
    place.cut_segment(10);
    let restore = ["restore", "-i", "key.txt", "sealed.cfd", "out"];
    assert_ne!(place.run(restore).code, 0);
    fs::write(place.path("sealed.cfd"), whole).unwrap();
    let kept = [".out.cofferdam-staging", ".out.cofferdam-journal"];
    let before = kept.map(|name| place.read(name));
    fs::write(
        place.path("drill.toml"),
        "evidence = \"out\"\n[[stream]]\nname = \"db\"\nsealed = \"sealed.cfd\"\nmode = \"verify\"\n",
    )
    .unwrap();
    for line in [
        "verify sealed.cfd --metrics-file out",
        "serve -i key.txt --record out sealed.cfd",
        "drill drill.toml",
        "drill drill.toml --evidence e.json --metrics-file out",
        "keygen -o out",
    ] {
        let ran = place.shell(&format!("cofferdam {line}"));
        ran.assert_failed(8, "out: something that was interrupted is kept beside it");
        assert!(ran.stderr.contains("`cofferdam discard "), "{}", ran.stderr);
        assert!(kept.map(|name| place.read(name)) == before, "{line}");
    }
    let ran = place.run(restore);
    ran.assert_done();
    assert!(ran.stderr.contains("that an earlier attempt left"), "{}", ran.stderr);
    assert!(place.read("out") == place.read("plain"));
}
