//! Rewrap: who opens the stream after it, and what it leaves alone.
//! That it survives being killed is the library's to show.

use std::fs;

use crate::place::Place;

#[test]
fn a_rewrap_lets_in_the_new_key_and_not_the_old_and_touches_no_data() {
    let place = Place::with_sealed(3);
    let before = place.read("sealed.cfd");
    let other = place.run(["keygen", "-o", "other.txt"]);
    place.run(["rewrap", "-i", "key.txt", "-r", other.text().trim(), "sealed.cfd"]).assert_done();
    place.run(["verify", "-i", "other.txt", "sealed.cfd"]).assert_done();
    assert_eq!(place.run(["verify", "-i", "key.txt", "sealed.cfd"]).code, 4);
    let after = place.read("sealed.cfd");
    let (segments, _) = place.segment(0);
    assert_eq!(before.len(), after.len());
    assert!(before[..4096] == after[..4096], "the preamble");
    assert!(before[segments..] == after[segments..], "the segments");
    assert!(before[4096..segments] != after[4096..segments], "the key area");
}

#[test]
fn a_rewrap_goes_from_a_key_file_to_a_passphrase_and_back() {
    let place = Place::new();
    fs::write(place.path("plain"), b"x").unwrap();
    fs::write(place.path("words"), "a new passphrase").unwrap();
    place.run(["keygen", "--key-file", "-o", "k"]).assert_done();
    place.run(["seal", "--key-file", "k", "plain"]).assert_done();
    place.run(["rewrap", "--key-file", "k", "--new-passphrase-file", "words", "plain.cfd"]).assert_done();
    assert_eq!(place.run(["verify", "--key-file", "k", "plain.cfd"]).code, 4);
    place.run(["rewrap", "--passphrase-file", "words", "--new-key-file", "k", "plain.cfd"]).assert_done();
    place.run(["verify", "--key-file", "k", "plain.cfd"]).assert_done();
}

#[test]
fn a_rewrap_without_the_key_changes_nothing() {
    let place = Place::with_sealed(1);
    let before = place.read("sealed.cfd");
    let other = place.run(["keygen", "-o", "other.txt"]);
    let refused = place.run(["rewrap", "-i", "other.txt", "-r", other.text().trim(), "sealed.cfd"]);
    refused.assert_failed(4, "");
    assert!(place.read("sealed.cfd") == before);
}

#[test]
fn a_rewrap_into_a_copy_leaves_the_original_and_replaces_only_with_force() {
    let place = Place::with_sealed(3);
    let before = place.read("sealed.cfd");
    let other = place.run(["keygen", "-o", "other.txt"]);
    let rewrap = |more: &[&str]| {
        let arguments =
            [&["rewrap", "-i", "key.txt", "-r", other.text().trim(), "-o", "new.cfd"], more].concat();
        place.run(arguments.iter().copied().chain(["sealed.cfd"]))
    };
    rewrap(&[]).assert_done();
    assert!(place.read("sealed.cfd") == before);
    place.run(["verify", "-i", "other.txt", "new.cfd"]).assert_done();
    place.run(["verify", "-i", "key.txt", "sealed.cfd"]).assert_done();
    assert_eq!(place.run(["verify", "-i", "key.txt", "new.cfd"]).code, 4);
    rewrap(&[]).assert_failed(6, "exists");
    rewrap(&["--force"]).assert_done();
    let onto_itself =
        ["rewrap", "-i", "key.txt", "-r", other.text().trim(), "-o", "./sealed.cfd", "--force", "sealed.cfd"];
    place.run(onto_itself).assert_failed(2, "the same file");
    assert!(place.read("sealed.cfd") == before);
    place
        .run(["rewrap", "--force", "-i", "key.txt", "-r", other.text().trim(), "sealed.cfd"])
        .assert_failed(2, "");
    place
        .run(["rewrap", "-i", "key.txt", "-r", other.text().trim(), "-o", "-", "sealed.cfd"])
        .assert_failed(2, "a file");
}
