//! What somebody new gets wrong, and the words that tell him: each says what was given, and what belongs there.
//! Exit codes are in `exit_codes`, what is no stream of ours in `foreign`.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use crate::place::{Place, Ran};

#[test]
fn what_was_given_in_place_of_something_else_is_named() {
    let place = Place::with_sealed(1);
    let recipient = place.recipient.clone();
    fs::write(place.path("names"), &recipient).unwrap();
    fs::write(place.path("bytes"), [0x80; 3000]).unwrap();
    fs::create_dir(place.path("folder")).unwrap();
    place.run(["keygen", "--key-file", "-o", "k"]).assert_done();
    let cases: [(&[&str], i32, &str); 25] = [
        (&["seal", "-r", "names", "plain"], 2, "This is a file: -R takes recipients from a file"),
        (&["seal", "-R", "bytes", "plain"], 2, "bytes: this is no text"),
        (&["seal", "-R", "key.txt", "plain"], 2, "this is a secret key; give its public half"),
        (&["seal", "--format", "age", "-r", &recipient, "folder"], 2, "cannot say that it is a directory"),
        (&["seal", "--format", "age", "-r", &recipient, "folder"], 2, "or pack it: `tar c DIR"),
        (&["seal", "-r", &recipient, "-o", "", "plain"], 2, "the name is empty"),
        (&["seal", "-r", &recipient, ""], 2, "the name is empty"),
        (
            &["seal", "-r", &recipient, "--frame-size", "5000", "plain"],
            2,
            "a frame of 5000 bytes is no multiple of 4 KiB",
        ),
        (&["seal", "-r", &recipient, "--memory", "5", "plain"], 2, "a memory budget of 5 bytes is too small"),
        (&["seal", "--key-file", "bytes", "plain"], 2, "this has more than that"),
        (&["restore", "-i", "names", "sealed.cfd", "t"], 2, "this is a recipient, which seals"),
        (&["restore", "-i", "k", "sealed.cfd", "t"], 2, "this is a key file"),
        (&["restore", "-i", "sealed.cfd", "key.txt", "t"], 2, "was the sealed file given in its place?"),
        (&["restore", "-i", "key.txt", "sealed.cfd", "localhost:7000"], 2, "tcp://HOST:PORT"),
        (&["restore", "-i", "key.txt", "sealed.cfd", ""], 2, "the name is empty"),
        (&["verify", ""], 2, "the name is empty"),
        (&["verify", "folder"], 1, "this is a directory"),
        (&["bench", "--size", "1"], 2, "files of 1 byte say nothing"),
        (&["verify", "absent"], 1, "the input could not be opened: absent: No such file"),
        (
            &["seal", "-r", &recipient, "-o", "n.cfd", "absent"],
            1,
            "the input could not be opened: absent: No such file",
        ),
        (
            &["seal", "-r", &recipient, "-o", "n.cfd", "plain/absent"],
            1,
            "the input could not be opened: plain/absent: Not a directory",
        ),
        (
            &["seal", "--resume", "-r", &recipient, "-o", "n.cfd", "--state-dir", "state", "absent"],
            1,
            "the input could not be opened: absent: No such file",
        ),
        (
            &["cat", "-i", "key.txt", "--tar", "sealed.cfd"],
            2,
            "sealed.cfd: the stream is no tree, and --tar is",
        ),
        (
            &["restore", "-i", "key.txt", "--into", "sealed.cfd", "folder"],
            2,
            "sealed.cfd: the stream is no tree, and --into is",
        ),
        (
            &["restore", "-i", "key.txt", "--plan", "p", "--parts", "0", "sealed.cfd", "t"],
            2,
            "a number of parts is a whole number, from 1 on",
        ),
    ];
    let before = place.names();
    for (arguments, code, words) in cases {
        place.run(arguments).assert_failed(code, words);
    }
    assert_eq!(place.names(), before);
}

#[test]
fn a_link_that_points_to_nothing_is_said_to_and_not_to_be_forced() {
    let place = Place::with_sealed(1);
    symlink("nowhere", place.path("link")).unwrap();
    for arguments in [
        &["restore", "--force", "-i", "key.txt", "sealed.cfd", "link"][..],
        &["seal", "--force", "-r", &place.recipient, "-o", "link", "plain"],
        &["restore", "-i", "key.txt", "sealed.cfd", "link"],
        &["seal", "-r", &place.recipient, "-o", "link", "plain"],
        &["receive", "--listen", "127.0.0.1:0", "link"],
    ] {
        let ran = place.run(arguments);
        ran.assert_failed(6, "link: this is a symbolic link that points to nothing");
        assert!(!ran.stderr.contains("--force"), "{}", ran.stderr);
    }
}

#[test]
fn what_is_said_of_an_output_is_not_said_of_a_target() {
    let place = Place::with_sealed(1);
    fs::write(place.path("there"), "old").unwrap();
    let cases: [&[&str]; 4] = [
        &["-o", "there", "plain"],
        &["-o", "no/where", "plain"],
        &["-o", "x", "absent"],
        &["-o", "/dev/null", "plain"],
    ];
    for arguments in cases {
        let ran = place.run([&["seal", "-r", &place.recipient], arguments].concat());
        assert_ne!(ran.code, 0);
        assert!(!ran.stderr.contains("target") && !ran.stderr.contains("restore"), "{}", ran.stderr);
    }
}

#[test]
fn an_option_that_says_nothing_of_the_target_is_refused_before_anything_comes_out() {
    let place = Place::with_sealed(1);
    place.shell("mkfifo fifo").assert_done();
    let kept = [&["--restart"][..], &["--durability", "each"]];
    let of_files = [&["--no-preserve"][..], &["--sparse", "auto"], &["--sparse", "never"]];
    let before = place.names();
    for target in ["-", "/dev/stdout", "fifo", "s3://bucket/key"] {
        for option in kept.iter().chain(&of_files) {
            let ran = place.run([&["restore", "-i", "key.txt", "sealed.cfd", target][..], option].concat());
            ran.assert_failed(2, &format!("{} is of no use", option[0]));
            assert!(ran.stdout.is_empty(), "{target}");
        }
    }
    // A receiver keeps what has come, and its target is its own affair.
    for option in of_files {
        let ran = place.run([&["restore", "-i", "key.txt", "sealed.cfd", "unix:none"][..], option].concat());
        ran.assert_failed(2, &format!("{} is of no use", option[0]));
    }
    for option in kept {
        let ran = place.run([&["restore", "-i", "key.txt", "sealed.cfd", "unix:none"][..], option].concat());
        ran.assert_failed(1, "could not be reached");
    }
    // Nor is a device a file.
    for option in of_files {
        let onto = ["restore", "--force", "--wal", "log", "-i", "key.txt", "sealed.cfd", "/dev/null"];
        place.run([&onto[..], option].concat()).assert_failed(2, "cannot be used with");
    }
    assert_eq!(place.names(), before);
}

#[test]
fn a_room_that_is_too_small_is_told_in_units_that_people_use() {
    let place = Place::with_sealed(1);
    // More than the file systems of tests have, and a file takes none of it.
    fs::File::create(place.path("huge")).unwrap().set_len(1 << 53).unwrap_or_default();
    if fs::metadata(place.path("huge")).unwrap().len() == 0 {
        return;
    }
    let ran = place.run(["seal", "-r", &place.recipient, "huge"]);
    assert!(matches!(ran.code, 1 | 7), "{}", ran.stderr);
    let digits = ran.stderr.split(|character: char| !character.is_ascii_digit()).map(str::len).max();
    assert!(digits < Some(7), "{}", ran.stderr);
}

#[test]
fn without_a_terminal_a_passphrase_is_not_asked_for_and_the_words_say_why() {
    let place = Place::with_sealed(1);
    let mut shell = Command::new("setsid");
    shell.args(["-w", env!("CARGO_BIN_EXE_cofferdam"), "seal", "-p", "plain"]).stdin(Stdio::null());
    let Ok(ran) = shell.current_dir(place.directory.path()).output() else { return };
    Ran::of(ran).assert_failed(2, "there is no terminal to ask for a passphrase on");
}

#[test]
fn a_receiver_that_has_taken_nothing_does_not_say_that_it_keeps_something() {
    let place = Place::with_sealed(1);
    let ran = place.run(["receive", "--listen", "unix:no/where", "t"]);
    ran.assert_failed(1, "could not be listened at");
    assert!(!ran.stderr.contains("kept"), "{}", ran.stderr);
}

#[test]
fn who_asks_what_is_kept_is_told_where_to_ask_and_not_to_make_a_directory() {
    let place = Place::new();
    for command in ["status", "discard"] {
        for address in ["tcp://127.0.0.1:7000", "unix:socket"] {
            place.run([command, address]).assert_failed(2, "on the receiver's machine");
        }
        let ran = place.run([command, "absent/target"]);
        ran.assert_failed(1, "absent");
        assert!(!ran.stderr.contains("make it first"), "{}", ran.stderr);
        let mut homeless = place.command([command, "target"]);
        homeless.env_remove("HOME").env_remove("XDG_STATE_HOME");
        let ran = Ran::of(homeless.output().unwrap());
        ran.assert_done();
        assert!(ran.stderr.contains("no state of a sealing was looked for"), "{}", ran.stderr);
        assert_eq!(place.run([command, "target"]).stderr, "");
    }
}

#[test]
fn a_file_that_is_changed_in_place_is_not_called_an_output() {
    let place = Place::with_sealed(1);
    let ran = place.run(["rewrap", "-i", "key.txt", "-r", &place.recipient, "key.txt"]);
    ran.assert_failed(2, "the sealed file and the file of --identity are the same file");
    assert!(!ran.stderr.contains("output"), "{}", ran.stderr);
}

#[test]
fn what_the_program_notes_for_itself_is_not_shown_as_metadata_of_the_operator() {
    let place = Place::with_sealed(1);
    let note = ["--metadata", "host=db1"];
    let seal = ["seal", "-r", &place.recipient, "-o", "noted.cfd", "plain"];
    place.run(seal.into_iter().chain(note)).assert_done();
    let restored = place.run(["restore", "-i", "key.txt", "noted.cfd", "t"]);
    restored.assert_done();
    assert!(restored.text().contains("\nhost=db1"), "{}", restored.text());
    assert!(!restored.text().contains("cofferdam.file"), "{}", restored.text());
}

#[test]
fn a_receiver_has_no_standard_output_to_write_to() {
    let place = Place::new();
    place.run(["receive", "--listen", "unix:no/where", "-"]).assert_failed(2, "a receiver makes a file");
}

#[test]
fn a_receiver_that_is_not_there_is_asked_after() {
    let place = Place::with_sealed(1);
    let ran = place.run(["restore", "-i", "key.txt", "sealed.cfd", "unix:nobody"]);
    ran.assert_failed(1, "Is `cofferdam receive` running there");
}
