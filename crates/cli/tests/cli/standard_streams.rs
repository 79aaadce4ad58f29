//! Standard streams that are closed, or open the wrong way: nothing is read from them or written to them, and that is said.
//! A shell does the redirections.

use std::fs;

use crate::place::Place;

/// Commands of which standard output is what they are run for.
const WRITERS: [&str; 20] = [
    "restore -i key.txt sealed.cfd -",
    "restore -i key.txt sealed.cfd /dev/stdout",
    "restore -i key.txt sealed.cfd /proc/self/fd/1",
    "cat -i key.txt sealed.cfd",
    "cat -i key.txt --range ..9 sealed.cfd",
    "seal -r $R -o - plain",
    "seal -r $R -o /dev/stdout plain",
    "keygen",
    "keygen -o -",
    "keygen --key-file",
    "keygen -o made.txt",
    "inspect sealed.cfd",
    "verify sealed.cfd",
    "verify --json -i key.txt sealed.cfd",
    "completions bash",
    "man",
    "bench --quick",
    "--help",
    "--version",
    "seal --help",
];

/// Commands that read standard input, for data or for a secret.
const READERS: [&str; 15] = [
    "seal -r $R -o made -",
    "seal -r $R -o made /dev/stdin",
    "seal -r $R -o made /dev/fd/0",
    "seal -R - -o made plain",
    "seal --key-file - -o made plain",
    "seal --passphrase-file /dev/stdin -o made plain",
    "restore -i key.txt - made",
    "restore -i - sealed.cfd made",
    "restore --key-file /proc/self/fd/0 sealed.cfd made",
    "cat -i key.txt -",
    "cat -i key.txt --range ..9 -",
    "verify -",
    "verify -i - sealed.cfd",
    "rewrap -i key.txt -R - sealed.cfd",
    "receive --listen 127.0.0.1:0 --peer-key - made",
];

#[test]
fn an_output_that_is_closed_or_open_for_reading_is_1_and_nothing_is_made() {
    let place = Place::with_sealed(1);
    for redirection in [">&-", "1<plain", ">&- 2>&-", ">&- <&-"] {
        for command in WRITERS {
            let ran = place.shell(&format!("cofferdam {command} {redirection}"));
            assert_eq!(ran.code, 1, "{command} {redirection}: {}", ran.stderr);
            if !redirection.contains("2>&-") {
                ran.assert_failed(1, "standard output could not be written: Bad file descriptor");
            }
            assert_eq!(place.names(), ["key.txt", "plain", "sealed.cfd"], "{command} {redirection}");
        }
    }
}

#[test]
fn no_recipient_is_told_whose_identity_is_gone() {
    let place = Place::new();
    for redirection in [">&-", "1<key.txt"] {
        let ran = place.shell(&format!("cofferdam keygen {redirection}"));
        assert!(!ran.stderr.contains("age1"), "{}", ran.stderr);
    }
}

#[test]
fn an_input_that_is_closed_or_open_for_writing_is_1_and_nothing_is_made() {
    let place = Place::with_sealed(1);
    let sealed = place.read("sealed.cfd");
    for redirection in ["<&-", "0>>plain"] {
        for command in READERS {
            let ran = place.shell(&format!("cofferdam {command} {redirection}"));
            ran.assert_failed(1, "standard input could not be read: Bad file descriptor");
            assert_eq!(place.names(), ["key.txt", "plain", "sealed.cfd"], "{command} {redirection}");
        }
    }
    assert!(place.read("sealed.cfd") == sealed);
}

#[test]
fn a_summary_that_nobody_wants_is_not_missed() {
    let place = Place::with_sealed(2);
    for command in [
        "seal -r $R -o again.cfd plain",
        "restore -i key.txt sealed.cfd restored",
        "verify -q sealed.cfd",
        "rewrap -i key.txt -r $R sealed.cfd",
        "keygen --key-file -o made.key",
    ] {
        place.shell(&format!("cofferdam {command} >&- <&-")).assert_done();
    }
    assert!(place.read("restored") == place.read("plain"));
    assert_eq!(place.names(), ["again.cfd", "key.txt", "made.key", "plain", "restored", "sealed.cfd"]);
}

/// What was found is not lost without a word: it stands on the stream that is left.
#[test]
fn a_verdict_that_standard_output_does_not_take_is_said_on_standard_error() {
    let place = Place::with_sealed(3);
    let digest = place.shell("cofferdam verify sealed.cfd");
    let (_, digest) = digest.text().rsplit_once("stream digest ").unwrap();
    for redirection in [">&-", "1<plain", ">/dev/full"] {
        let ran = place.shell(&format!("cofferdam verify sealed.cfd {redirection}"));
        ran.assert_failed(1, "nothing wrong was found; only the report of it failed");
        assert!(ran.stderr.contains(&format!("stream digest {}", digest.trim())), "{}", ran.stderr);
    }
    place.damage_segment(1);
    for redirection in [">&-", "1<plain", ">/dev/full"] {
        let ran = place.shell(&format!("cofferdam verify sealed.cfd {redirection}"));
        ran.assert_failed(3, "The list of what is lost is missing: standard output could not be written");
        let salvage = "cofferdam restore --force -i key.txt --salvage sealed.cfd plain.salvaged";
        let ran = place.shell(&format!("{salvage} {redirection}"));
        ran.assert_failed(1, "only the report of it failed");
        assert!(place.path("plain.salvaged").exists(), "{redirection}");
    }
    place.shell("cofferdam verify -q sealed.cfd >&-").assert_failed(3, "segment 1");
}

#[test]
fn the_null_device_is_what_it_says() {
    let place = Place::with_sealed(1);
    for line in [
        "cofferdam seal -r $R -o empty.cfd - </dev/null",
        "cofferdam restore -i key.txt empty.cfd restored",
        "cofferdam restore -i key.txt sealed.cfd - >/dev/null",
        "cofferdam inspect sealed.cfd >/dev/null",
        "cofferdam verify sealed.cfd <&- 2>&-",
    ] {
        place.shell(line).assert_done();
    }
    assert_eq!(fs::metadata(place.path("restored")).unwrap().len(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_pipe_behind_a_descriptor_is_written_to_without_force() {
    let place = Place::with_sealed(3);
    // What a shell makes of `>(cat)`: a path that leads to a pipe.
    let through =
        |command: &str| place.shell(&format!("{{ cofferdam {command} 3>&1 >&4 | cat >got; }} 4>&1"));
    through("restore -i key.txt sealed.cfd /dev/fd/3").assert_done();
    assert!(place.read("got") == place.read("plain"));
    through("restore -q -i key.txt sealed.cfd /proc/self/fd/3").assert_done();
    assert!(place.read("got") == place.read("plain"));
    through("seal -r $R -o /dev/fd/3 plain").assert_done();
    place.run(["restore", "-i", "key.txt", "got", "restored"]).assert_done();
    assert!(place.read("restored") == place.read("plain"));
    through("keygen -o /dev/fd/3").assert_done();
    assert!(String::from_utf8(place.read("got")).unwrap().contains("AGE-SECRET-KEY-1"));
    // Standard output by its other name.
    place.shell("cofferdam restore -i key.txt sealed.cfd /dev/stdout | cmp - plain").assert_done();
    place.shell("cofferdam restore -i key.txt sealed.cfd /dev/stdout >/dev/null").assert_done();
}

/// As in a bare chroot, with a terminal or a socket for standard output.
#[cfg(target_os = "linux")]
#[test]
fn without_a_null_device_a_stream_that_is_open_for_both_can_be_written() {
    let place = Place::with_sealed(1);
    let bare =
        "unshare --user --map-root-user --mount sh -c 'mount -t tmpfs none /dev || exit 77; exec \"$@\"' sh";
    if place.shell(&format!("{bare} true")).code != 0 {
        return; // Not everyone may make a mount of their own.
    }
    place.shell(&format!("{bare} \"$0\" inspect sealed.cfd 1<>out")).assert_done();
    assert!(!place.read("out").is_empty());
}
