//! Keys that the program makes: their files, and that the age program takes them.
//! Without the age-keygen program some tests are skipped.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::place::Place;
use crate::programs::has;

#[test]
fn an_identity_is_its_owners_alone_and_age_keygen_reads_it() {
    if !has("age-keygen") {
        return;
    }
    let place = Place::new();
    let mode = fs::metadata(place.path("key.txt")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let told = Command::new("age-keygen").arg("-y").arg(place.path("key.txt")).output().unwrap();
    assert_eq!(String::from_utf8(told.stdout).unwrap().trim(), place.recipient);
}

#[test]
fn what_age_keygen_makes_seals_and_opens() {
    if !has("age-keygen") {
        return;
    }
    let place = Place::new();
    let made = Command::new("age-keygen").arg("-o").arg(place.path("theirs.txt")).output().unwrap();
    assert!(made.status.success());
    let told = Command::new("age-keygen").arg("-y").arg(place.path("theirs.txt")).output().unwrap();
    let recipient = String::from_utf8(told.stdout).unwrap();
    fs::write(place.path("plain"), b"theirs").unwrap();
    place.run(["seal", "-r", recipient.trim(), "plain"]).assert_done();
    place.run(["restore", "-i", "theirs.txt", "plain.cfd", "restored"]).assert_done();
    assert_eq!(place.read("restored"), b"theirs");
}

#[test]
fn without_a_name_the_identity_is_printed_and_the_recipient_goes_to_stderr() {
    if !has("age-keygen") {
        return;
    }
    let place = Place::new();
    let made = place.run(["keygen"]);
    made.assert_done();
    fs::write(place.path("printed.txt"), &made.stdout).unwrap();
    let told = Command::new("age-keygen").arg("-y").arg(place.path("printed.txt")).output().unwrap();
    assert_eq!(String::from_utf8(told.stdout).unwrap(), made.stderr);
}

#[test]
fn a_key_file_is_64_digits_and_each_another() {
    let place = Place::new();
    place.run(["keygen", "--key-file", "-o", "one.key"]).assert_done();
    let mode = fs::metadata(place.path("one.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let one = String::from_utf8(place.read("one.key")).unwrap();
    assert_eq!(one.len(), 65);
    assert!(one.trim_end().chars().all(|digit| digit.is_ascii_hexdigit()), "{one}");
    let other = place.run(["keygen", "--key-file"]);
    assert_eq!(other.stdout.len(), 65);
    assert_ne!(one, other.text());
}
