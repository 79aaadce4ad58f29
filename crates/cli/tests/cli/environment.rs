//! Keys that the environment names: taken where the command line names none, and only there.
//! Every run has no other environment of ours.

use std::fs;

use crate::place::{Place, Ran};

/// With two identities, `key.txt` and `other.txt`, a list of recipients of each, and a passphrase.
fn place_with_two() -> Place {
    let place = Place::with_sealed(1);
    let other = place.run(["keygen", "-o", "other.txt"]);
    fs::write(place.path("other-team.txt"), other.text()).unwrap();
    fs::write(place.path("team.txt"), &place.recipient).unwrap();
    fs::write(place.path("words"), "of a passphrase\n").unwrap();
    place
}

fn run(place: &Place, environment: &[(&str, &str)], arguments: &[&str]) -> Ran {
    let mut command = place.command(arguments);
    Ran::of(command.envs(environment.iter().copied()).output().unwrap())
}

#[test]
fn an_identity_of_the_environment_opens_and_an_option_takes_its_place() {
    let place = place_with_two();
    let ours = [("COFFERDAM_IDENTITY", "key.txt")];
    let other = [("COFFERDAM_IDENTITY", "other.txt")];
    run(&place, &ours, &["restore", "sealed.cfd", "restored"]).assert_done();
    assert!(place.read("restored") == place.read("plain"));
    let verified = run(&place, &ours, &["verify", "sealed.cfd"]);
    assert!(verified.text().contains("every frame opens"), "{verified:?}");
    run(&place, &other, &["verify", "sealed.cfd"]).assert_failed(4, "");
    run(&place, &other, &["verify", "-i", "key.txt", "sealed.cfd"]).assert_done();
    // Not one more key, but another one.
    run(&place, &ours, &["verify", "-i", "other.txt", "sealed.cfd"]).assert_failed(4, "");
    run(&place, &ours, &["verify", "--passphrase-file", "words", "sealed.cfd"]).assert_failed(4, "");
    run(&place, &ours, &["rewrap", "-R", "other-team.txt", "sealed.cfd"]).assert_done();
    run(&place, &other, &["verify", "sealed.cfd"]).assert_done();
}

#[test]
fn recipients_of_the_environment_can_open_unless_the_command_line_says_who() {
    let place = place_with_two();
    let team = [("COFFERDAM_RECIPIENTS", "team.txt")];
    let opens = |key: &str, name: &str| place.run(["verify", "-i", key, name]).code == 0;
    run(&place, &team, &["seal", "-o", "a.cfd", "plain"]).assert_done();
    assert!(opens("key.txt", "a.cfd") && !opens("other.txt", "a.cfd"));
    run(&place, &team, &["seal", "-R", "other-team.txt", "-o", "b.cfd", "plain"]).assert_done();
    assert!(opens("other.txt", "b.cfd") && !opens("key.txt", "b.cfd"), "the team was let in");
    run(&place, &team, &["seal", "--passphrase-file", "words", "-o", "c.cfd", "plain"]).assert_done();
    assert!(!opens("key.txt", "c.cfd"), "the team was let in");
    run(&place, &team, &["rewrap", "-i", "other.txt", "b.cfd"]).assert_done();
    assert!(opens("key.txt", "b.cfd") && !opens("other.txt", "b.cfd"));
}

#[test]
fn a_passphrase_file_of_the_environment_seals_and_opens() {
    let place = place_with_two();
    let words = [("COFFERDAM_PASSPHRASE_FILE", "words")];
    run(&place, &words, &["seal", "-o", "locked.cfd", "plain"]).assert_done();
    run(&place, &words, &["restore", "locked.cfd", "restored"]).assert_done();
    assert!(place.read("restored") == place.read("plain"));
    place.run(["verify", "--passphrase-file", "words", "locked.cfd"]).assert_done();
    run(&place, &words, &["rewrap", "-R", "team.txt", "locked.cfd"]).assert_done();
    place.run(["verify", "--passphrase-file", "words", "locked.cfd"]).assert_failed(4, "");
}

#[test]
fn an_empty_variable_is_none_and_a_wrong_one_is_named() {
    let place = place_with_two();
    let verified = run(&place, &[("COFFERDAM_IDENTITY", "")], &["verify", "sealed.cfd"]);
    assert!(verified.text().contains("authenticity not checked"), "{verified:?}");
    run(&place, &[("COFFERDAM_RECIPIENTS", "")], &["seal", "plain"]).assert_failed(2, "nobody was given");
    run(&place, &[("COFFERDAM_IDENTITY", "absent")], &["restore", "sealed.cfd", "made"])
        .assert_failed(1, "absent (named by COFFERDAM_IDENTITY) could not be read");
    assert!(!place.path("made").exists());
}

#[test]
fn a_file_that_the_environment_names_is_not_replaced() {
    let place = place_with_two();
    let identity = place.read("key.txt");
    run(&place, &[("COFFERDAM_IDENTITY", "key.txt")], &["restore", "--force", "sealed.cfd", "key.txt"])
        .assert_failed(2, "the file of COFFERDAM_IDENTITY and the output are the same file");
    run(&place, &[("COFFERDAM_RECIPIENTS", "team.txt")], &["seal", "--force", "-o", "team.txt", "plain"])
        .assert_failed(2, "the file of COFFERDAM_RECIPIENTS and the output are the same file");
    assert!(place.read("key.txt") == identity);
}

#[test]
fn help_names_the_variables_and_never_what_they_hold() {
    let place = Place::new();
    for (command, variables) in [
        ("seal", &["COFFERDAM_RECIPIENTS", "COFFERDAM_PASSPHRASE_FILE"][..]),
        ("restore", &["COFFERDAM_IDENTITY", "COFFERDAM_PASSPHRASE_FILE"]),
        ("verify", &["COFFERDAM_IDENTITY", "COFFERDAM_PASSPHRASE_FILE"]),
        ("rewrap", &["COFFERDAM_IDENTITY", "COFFERDAM_PASSPHRASE_FILE", "COFFERDAM_RECIPIENTS"]),
    ] {
        let help = run(&place, &[("COFFERDAM_IDENTITY", "a-secret-place")], &[command, "--help"]);
        for variable in variables {
            assert!(help.text().contains(variable), "{command}: {variable}");
        }
        assert!(!help.text().contains("a-secret-place"));
    }
}
