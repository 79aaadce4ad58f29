//! Inspect: what it shows of a stream, and of what is left of one.
//! The numbers come from the options that the stream was sealed with.

use std::fs;

use crate::place::{Place, SEGMENT_LEN, json_lines};

#[test]
fn inspect_shows_the_shape_the_keys_and_every_segment() {
    let place = Place::with_sealed(3);
    let shown = place.run(["inspect", "--json", "--segments", "sealed.cfd"]);
    shown.assert_done();
    let records = json_lines(&shown.stdout);
    let stream = &records[0];
    assert_eq!(stream["event"], "stream");
    assert_eq!(stream["frame_len"], 4096);
    assert_eq!(stream["segment_len"], SEGMENT_LEN);
    assert_eq!(stream["sealed_len"], place.read("sealed.cfd").len());
    assert_eq!(stream["key_copies"][0]["slots"][0]["kind"], "age");
    assert_eq!(stream["key_copies"][0]["slots"][0]["stanzas"][0], "X25519");
    assert_eq!(stream["key_copies"][0], stream["key_copies"][1]);
    assert_eq!(stream["trailer"]["segments"], 3);
    assert_eq!(stream["trailer"]["plaintext_len"], place.read("plain").len());
    let offsets: Vec<_> = records[1..].iter().map(|segment| segment["plaintext_offset"].as_u64()).collect();
    assert_eq!(offsets, [Some(0), Some(SEGMENT_LEN as u64), Some(2 * SEGMENT_LEN as u64)]);
    let last = &records[3];
    assert_eq!((last["index"].as_u64(), last["frame_count"].as_u64()), (Some(2), Some(4)));
}

#[test]
fn inspect_for_people_says_that_it_vouches_for_nothing() {
    let place = Place::with_sealed(2);
    let shown = place.run(["inspect", "--quiet", "--segments", "sealed.cfd"]);
    shown.assert_done();
    assert!(!shown.text().contains("grease"), "{}", shown.text());
    for words in
        ["blake3", "(X25519)", "2 segments", "Nothing of this has been authenticated", "segment 1 at"]
    {
        assert!(shown.text().contains(words), "{words}: {}", shown.text());
    }
}

#[test]
fn a_stream_without_its_end_is_shown_as_far_as_it_goes() {
    let place = Place::with_sealed(3);
    place.cut_segment(1);
    let shown = place.run(["inspect", "sealed.cfd"]);
    shown.assert_done();
    assert!(shown.text().contains("the file does not end with one"), "{}", shown.text());
    fs::write(place.path("sealed.cfd"), &place.read("sealed.cfd")[..5000]).unwrap();
    assert_eq!(place.run(["inspect", "sealed.cfd"]).code, 5);
    assert_eq!(place.run(["inspect", "plain"]).code, 11);
}

#[test]
fn what_stands_before_the_segments_is_judged_and_not_taken_for_a_missing_end() {
    let place = Place::with_sealed(1);
    let mut sealed = place.read("sealed.cfd");
    let origin = 4096 + 2 * u32::from_le_bytes(sealed[112..116].try_into().unwrap()) as usize;
    // FORMAT F14.4: body_len of the metadata under 16 is damage, above 65552 a limit.
    for (body_len, code) in [(15_u32, 3), (65_553, 7)] {
        sealed[origin + 16..origin + 20].copy_from_slice(&body_len.to_le_bytes());
        fs::write(place.path("sealed.cfd"), &sealed).unwrap();
        assert_eq!(place.run(["inspect", "sealed.cfd"]).code, code, "{body_len}");
    }
}

#[test]
fn what_needs_a_file_refuses_standard_input() {
    let place = Place::with_sealed(1);
    for arguments in [&["inspect", "-"][..], &["rewrap", "-i", "key.txt", "--new-key-file", "k", "-"]] {
        place.run(arguments).assert_failed(2, "not on standard input");
    }
}

#[test]
fn what_is_no_file_is_not_advised_to_be_given_as_a_pipe() {
    let place = Place::with_sealed(1);
    for device in ["/dev/null", "/dev/zero"] {
        let ran = place.run(["inspect", device]);
        ran.assert_failed(2, "`cofferdam verify` takes a pipe");
        assert!(!ran.stderr.contains("read others"), "{}", ran.stderr);
    }
}
