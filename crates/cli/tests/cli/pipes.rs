//! `-` on either side: pipes through the program, and what is out when it fails.
//! Files are elsewhere.

use std::fs;
use std::process::Stdio;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::place::{Place, Ran, SEGMENT_LEN, SMALL, plaintext};

#[test]
fn a_pipe_through_seal_and_restore_is_the_same_bytes() {
    let place = Place::new();
    let plain = plaintext(5 * SEGMENT_LEN + 3);
    let seal = ["seal", "-r", &place.recipient, "-", "-o", "-"].into_iter().chain(SMALL);
    let sealed = place.run_fed(seal, plain.clone());
    sealed.assert_done();
    let restored = place.run_fed(["restore", "-i", "key.txt", "-", "-"], sealed.stdout);
    restored.assert_done();
    assert!(restored.stdout == plain);
    assert_eq!(place.names(), ["key.txt"]);
}

#[test]
fn two_programs_on_one_pipe_are_the_same_bytes() {
    let place = Place::new();
    let plain = plaintext(40 * SEGMENT_LEN);
    fs::write(place.path("plain"), &plain).unwrap();
    let seal = ["seal", "-r", &place.recipient, "plain", "-o", "-"].into_iter().chain(SMALL);
    let mut sealer = place.command(seal).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut restore = place.command(["restore", "-i", "key.txt", "-", "restored"]);
    let restored = Ran::of(restore.stdin(sealer.stdout.take().unwrap()).output().unwrap());
    restored.assert_done();
    assert!(sealer.wait().unwrap().success());
    assert!(place.read("restored") == plain);
}

#[test]
fn a_pipe_into_a_file_and_a_file_into_a_pipe() {
    let place = Place::new();
    let plain = plaintext(2 * SEGMENT_LEN + 1);
    let seal = ["seal", "-r", &place.recipient, "-o", "sealed.cfd", "-"].into_iter().chain(SMALL);
    place.run_fed(seal, plain.clone()).assert_done();
    let restored = place.run(["restore", "-i", "key.txt", "sealed.cfd", "-"]);
    restored.assert_done();
    assert!(restored.stdout == plain);
    let verified = place.run_fed(["verify", "-"], place.read("sealed.cfd"));
    verified.assert_done();
}

#[test]
fn a_truncated_stream_lets_out_the_segments_that_were_whole_and_no_more() {
    let place = Place::with_sealed(6);
    place.cut_segment(3);
    let plain = place.read("plain");
    let by_pipe = place.run_fed(["restore", "-i", "key.txt", "-", "-"], place.read("sealed.cfd"));
    for ran in [place.run(["restore", "-i", "key.txt", "sealed.cfd", "-"]), by_pipe] {
        ran.assert_failed(5, "What has gone to standard output, if anything, is not the whole");
        assert!(ran.stdout == plain[..3 * SEGMENT_LEN], "{} bytes came out", ran.stdout.len());
    }
}

#[test]
fn a_key_that_does_not_open_keeps_its_advice_on_the_way_to_standard_output() {
    let place = Place::with_sealed(1);
    place.run(["keygen", "-o", "other.txt"]).assert_done();
    let refused = place.run(["restore", "-i", "other.txt", "sealed.cfd", "-"]);
    refused.assert_failed(4, "Try another identity");
    assert!(refused.stdout.is_empty());
}

#[test]
fn a_damaged_stream_lets_out_whole_segments_from_before_the_damage_alone() {
    let place = Place::with_sealed(6);
    place.damage_segment(4);
    let plain = place.read("plain");
    let by_pipe = place.run_fed(["restore", "-i", "key.txt", "-", "-"], place.read("sealed.cfd"));
    for ran in [place.run(["restore", "-i", "key.txt", "sealed.cfd", "-"]), by_pipe] {
        ran.assert_failed(3, "segment 4");
        // Segments before the damage may have been under way still when it was found: they do not come out.
        assert!(ran.stdout.len() <= 4 * SEGMENT_LEN && ran.stdout.len().is_multiple_of(SEGMENT_LEN));
        assert!(plain.starts_with(&ran.stdout));
    }
}

#[test]
fn a_fifo_is_a_source() {
    let place = Place::with_sealed(3);
    mknodat(CWD, place.path("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let restoring = place.spawn(["restore", "-i", "key.txt", "fifo", "restored"]);
    fs::write(place.path("fifo"), place.read("sealed.cfd")).unwrap();
    crate::place::end_of(restoring).assert_done();
    assert!(place.read("restored") == place.read("plain"));
}

#[test]
fn a_reader_that_went_away_is_an_error_and_no_panic() {
    let place = Place::with_sealed(6);
    let recipient = place.recipient.clone();
    for arguments in [
        vec!["restore", "-i", "key.txt", "sealed.cfd", "-"],
        vec!["cat", "-i", "key.txt", "sealed.cfd"],
        vec!["cat", "-i", "key.txt", "--range", "..", "sealed.cfd"],
        vec!["seal", "-r", &recipient, "plain", "-o", "-"],
        vec!["inspect", "--segments", "sealed.cfd"],
        vec!["verify", "--json", "sealed.cfd"],
        vec!["man"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ran = Ran::of(place.command(&arguments).stdout(writer).output().unwrap());
        ran.assert_failed(1, "Broken pipe");
        assert!(!ran.stderr.contains("panicked"), "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn a_closed_standard_error_does_not_stop_a_restore() {
    let place = Place::with_sealed(3);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut restore = place.command(["restore", "--json", "-i", "key.txt", "sealed.cfd", "restored"]);
    Ran::of(restore.stderr(writer).output().unwrap()).assert_done();
    assert!(place.read("restored") == place.read("plain"));
}
