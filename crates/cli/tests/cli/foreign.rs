//! Files that are no stream of ours: each command says what the file looks like, and ends with 11.
//! The files are written by the programs that they belong to, or from the first page of their specifications.

use std::fs;
use std::process::Command;

use crate::place::{Place, Ran};

#[test]
fn what_others_have_made_is_named_by_every_command_and_from_a_pipe() {
    let place = Place::with_sealed(1);
    let identity = place.read("key.txt");
    let cases: [(&[u8], &str); 11] = [
        (&identity, "an age identity"),
        (b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", "a gzip file"),
        (b"\xfd7zXZ\x00\x00\x04", "an xz file"),
        (b"\x28\xb5\x2f\xfd\x24\x0d", "a zstd file"),
        (b"PK\x03\x04\x14\x00\x00\x00", "a zip archive"),
        (b"Salted__01234567", "a file of `openssl enc`"),
        (b"-----BEGIN PGP MESSAGE-----\n", "a PGP message"),
        (b"\x7fELF\x02\x01\x01", "a program or library (ELF)"),
        (b"<!DOCTYPE html>\n<title>404", "an HTML page"),
        (b"the quick brown fox", "a text file"),
        (&[0; 5000], "a file of zeros"),
    ];
    for (content, words) in cases {
        fs::write(place.path("other"), content).unwrap();
        let commands: [&[&str]; 5] = [
            &["restore", "-i", "key.txt", "other", "t"],
            &["verify", "-i", "key.txt", "other"],
            &["verify", "other"],
            &["inspect", "other"],
            &["rewrap", "-i", "key.txt", "-r", &place.recipient, "other"],
        ];
        for arguments in commands {
            assert_is_no_stream(&place.run(arguments), "other: ", words);
        }
        let piped = place.run_fed(["restore", "-i", "key.txt", "-", "t"], content.to_vec());
        assert_is_no_stream(&piped, "-: ", words);
    }
    assert_eq!(place.names(), ["key.txt", "other", "plain", "sealed.cfd"]);
}

#[test]
fn an_archive_is_known_by_what_stands_in_its_middle() {
    let place = Place::with_sealed(1);
    let mut tar = Command::new("tar");
    let made = tar.args(["cf", "a.tar", "plain"]).current_dir(place.directory.path()).status();
    if made.is_ok_and(|status| status.success()) {
        assert_is_no_stream(&place.run(["verify", "a.tar"]), "a.tar: ", "a tar archive");
    }
}

#[test]
fn a_stream_that_went_through_a_text_transfer_is_told_so() {
    let place = Place::with_sealed(1);
    let sealed = place.read("sealed.cfd");
    let without_returns: Vec<u8> = sealed.iter().copied().filter(|byte| *byte != b'\r').collect();
    let with_returns: Vec<u8> = sealed
        .iter()
        .flat_map(|byte| if *byte == b'\n' { vec![b'\r', b'\n'] } else { vec![*byte] })
        .collect();
    let seven_bits: Vec<u8> = sealed.iter().map(|byte| byte & 0x7f).collect();
    let recoded: String = sealed.iter().copied().map(char::from).collect();
    for (changed, words) in [
        (without_returns, "a transfer in text mode"),
        (with_returns, "a transfer in text mode"),
        (seven_bits, "lost their eighth bit"),
        (recoded.into_bytes(), "converted to UTF-8"),
    ] {
        fs::write(place.path("changed.cfd"), changed).unwrap();
        let ran = place.run(["verify", "changed.cfd"]);
        assert_is_no_stream(&ran, "changed.cfd: ", words);
        assert!(ran.stderr.contains("Fetch it again as binary data"), "{}", ran.stderr);
    }
}

#[test]
fn the_beginning_of_a_stream_is_truncated_and_an_empty_input_is_said_to_be_empty() {
    let place = Place::with_sealed(1);
    let sealed = place.read("sealed.cfd");
    for len in [1, 7, 8, 100, 4095] {
        fs::write(place.path("cut"), &sealed[..len]).unwrap();
        for arguments in [
            &["verify", "cut"][..],
            &["inspect", "cut"],
            &["rewrap", "-i", "key.txt", "-r", &place.recipient, "cut"],
        ] {
            place.run(arguments).assert_failed(5, "Its end is missing");
        }
        place.run_fed(["verify", "-"], sealed[..len].to_vec()).assert_failed(5, "Its end is missing");
    }
    fs::write(place.path("cut"), b"").unwrap();
    place.run(["verify", "cut"]).assert_failed(5, "cut: the input is empty");
    place
        .run_fed(["restore", "-i", "key.txt", "-", "t"], Vec::new())
        .assert_failed(5, "-: the input is empty");
    place
        .run(["rewrap", "-i", "key.txt", "-r", &place.recipient, "cut"])
        .assert_failed(5, "the input is empty");
}

#[track_caller]
fn assert_is_no_stream(ran: &Ran, name: &str, words: &str) {
    ran.assert_failed(11, name);
    ran.assert_failed(11, "this is no Cofferdam stream: it looks like ");
    ran.assert_failed(11, words);
    assert!(
        !ran.stderr.contains("truncated") && !ran.stderr.contains("Fetch the stream again"),
        "{}",
        ran.stderr
    );
}
