//! Damaged streams at the command line: all that is lost is listed, and what is whole can be saved, and never passes for success.
//! What is saved is the library's to show.

use std::fs;
use std::os::unix::fs::symlink;

use crate::place::{Place, SEGMENT_LEN, json_lines, plaintext};

/// The plaintext of five segments, with zeros in place of some.
fn with_zeros(lost: &[usize]) -> Vec<u8> {
    let mut bytes = plaintext(5 * SEGMENT_LEN - 5);
    let len = bytes.len();
    for segment in lost {
        bytes[segment * SEGMENT_LEN..((segment + 1) * SEGMENT_LEN).min(len)].fill(0);
    }
    bytes
}

#[test]
fn verify_lists_all_that_is_lost_with_a_key_and_without() {
    let place = Place::with_sealed(5);
    [1, 2, 4].into_iter().for_each(|segment| place.damage_segment(segment));
    for keys in [&["-i", "key.txt"][..], &[]] {
        let verified = place.run(["verify"].iter().chain(keys).chain(&["sealed.cfd"]));
        verified.assert_failed(3, "segment 1");
        let lines: Vec<&str> = verified.text().lines().collect();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(
            lines[0].starts_with("lost: bytes 16384..49152 (32.0 KiB), segments 1 to 2: "),
            "{}",
            lines[0]
        );
        assert!(lines[1].starts_with("lost: bytes 65536..81915 (16.0 KiB), segment 4: "), "{}", lines[1]);
        assert_eq!(lines[2], "sealed.cfd: 2 segments whole, 32.0 KiB; lost 48.0 KiB in 2 ranges");
        let json = place.run(["verify", "--json"].iter().chain(keys).chain(&["sealed.cfd"]));
        let records = json_lines(&json.stdout);
        let of = |index: usize, field: &str| records[index][field].as_u64();
        assert_eq!(records[0]["event"], "lost");
        assert_eq!((of(0, "first_segment"), of(0, "segments")), (Some(1), Some(2)));
        assert_eq!((of(1, "plaintext_offset"), of(1, "plaintext_len")), (Some(65_536), Some(16_379)));
        assert_eq!(records[2]["event"], "surveyed");
        assert_eq!(
            (of(2, "segments"), of(2, "lost_ranges"), of(2, "lost_len")),
            (Some(2), Some(2), Some(49_147))
        );
    }
    // Of a pipe, the first.
    let piped = place.run_fed(["verify", "-"], place.read("sealed.cfd"));
    piped.assert_failed(3, "only the first fault");
    assert_eq!(piped.text(), "");
}

#[test]
fn what_is_whole_is_saved_under_a_name_that_says_so_and_the_exit_code_is_never_0() {
    let place = Place::with_sealed(5);
    let salvage = |more: &[&str]| {
        let arguments =
            [&["restore", "-i", "key.txt", "--salvage", "sealed.cfd", "plain.salvaged"], more].concat();
        place.run(arguments)
    };
    let whole = salvage(&[]);
    whole.assert_failed(3, "every segment is whole");
    assert!(place.read("plain.salvaged") == with_zeros(&[]));
    [0, 3].into_iter().for_each(|segment| place.damage_segment(segment));
    salvage(&[]).assert_failed(6, "exists");
    assert!(place.read("plain.salvaged") == with_zeros(&[]), "the second run replaces nothing by itself");
    let saved = salvage(&["--force"]);
    saved.assert_failed(3, "not what was sealed");
    assert!(saved.text().contains("lost: bytes 0..16384 (16.0 KiB), segment 0: "), "{}", saved.text());
    assert!(place.read("plain.salvaged") == with_zeros(&[0, 3]));
    // The same from a truncated one.
    place.cut_segment(4);
    let cut = salvage(&["--force"]);
    cut.assert_failed(3, "not what was sealed");
    assert!(
        cut.text().contains("lost: all bytes from 49152 on, segment 3 and all after it: "),
        "{}",
        cut.text()
    );
    assert!(place.read("plain.salvaged") == with_zeros(&[0])[..3 * SEGMENT_LEN]);
    place.run(["verify", "-i", "key.txt", "sealed.cfd"]).assert_failed(3, "segment 0");
    assert_eq!(place.names(), ["key.txt", "plain", "plain.salvaged", "sealed.cfd"]);
}

#[test]
fn the_json_of_a_salvage_has_every_lost_range_and_what_the_file_is() {
    let place = Place::with_sealed(5);
    let id = json_lines(&place.run(["inspect", "--json", "sealed.cfd"]).stdout)[0]["stream_id"].clone();
    let salvage = || {
        let ran = place.run([
            "restore",
            "--json",
            "-i",
            "key.txt",
            "--salvage",
            "--force",
            "sealed.cfd",
            "x.salvaged",
        ]);
        let error = json_lines(ran.stderr.as_bytes()).pop().unwrap();
        assert_eq!((ran.code, &error["event"], &error["kind"]), (3, &"error".into(), &"damaged".into()));
        assert_eq!(error["exit_code"], 3);
        json_lines(&ran.stdout)
    };
    [1, 2, 4].into_iter().for_each(|segment| place.damage_segment(segment));
    let records = salvage();
    let events: Vec<&str> = records.iter().map(|record| record["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["lost", "lost", "salvaged"]);
    let lost: Vec<_> = records[..2]
        .iter()
        .map(|record| {
            let number = |field: &str| record[field].as_u64();
            ["first_segment", "segments", "plaintext_offset", "plaintext_len"].map(number)
        })
        .collect();
    let len = SEGMENT_LEN as u64;
    assert_eq!(lost[0], [1, 2, len, 2 * len].map(Some));
    assert_eq!(lost[1], [4, 1, 4 * len, len - 5].map(Some));
    let last = &records[2];
    assert_eq!((&last["input"], &last["output"]), (&"sealed.cfd".into(), &"x.salvaged".into()));
    assert_eq!(last["stream_id"], id);
    let number = |field: &str| last[field].as_u64().unwrap();
    assert_eq!(
        ["segments", "plaintext_len", "lost_ranges", "lost_len"].map(number),
        [2, 2 * len, 2, 3 * len - 5]
    );
    assert_eq!((&last["has_whole_index"], &last["end_is_known"]), (&true.into(), &true.into()));
    assert!(last["seconds"].is_number() && last["version"].is_string(), "{last}");
    // Of a truncated stream nobody knows how much is missing.
    place.cut_segment(2);
    let records = salvage();
    let [lost, last] = [&records[records.len() - 2], &records[records.len() - 1]];
    assert!(lost["segments"].is_null() && lost["plaintext_len"].is_null(), "{lost}");
    assert_eq!(lost["plaintext_offset"].as_u64(), Some(len));
    assert_eq!((&last["has_whole_index"], &last["end_is_known"]), (&false.into(), &false.into()));
}

#[test]
fn what_cannot_be_salvaged_makes_no_file() {
    let place = Place::with_sealed(2);
    let before = place.names();
    let salvage =
        |sealed: &str, target: &str| place.run(["restore", "-i", "key.txt", "--salvage", sealed, target]);
    salvage("sealed.cfd", "restored").assert_failed(2, ".salvaged");
    salvage("sealed.cfd", ".salvaged").assert_failed(2, ".salvaged");
    salvage("sealed.cfd", "-").assert_failed(2, ".salvaged");
    salvage("plain", "x.salvaged").assert_failed(11, "");
    let piped =
        place.run_fed(["restore", "-i", "key.txt", "--salvage", "-", "x.salvaged"], place.read("sealed.cfd"));
    piped.assert_failed(2, "offsets");
    place.run(["keygen", "-o", "other.txt"]).assert_done();
    let stranger = ["restore", "-i", "other.txt", "--salvage", "sealed.cfd", "x.salvaged"];
    place.run(stranger).assert_failed(4, "");
    fs::remove_file(place.path("other.txt")).unwrap();
    place.cut_segment(0);
    salvage("sealed.cfd", "x.salvaged").assert_failed(5, "Nothing was salvaged");
    place
        .run(["restore", "-i", "key.txt", "--salvage", "--restart", "sealed.cfd", "x.salvaged"])
        .assert_failed(2, "");
    assert_eq!(place.names(), before);
}

#[test]
fn what_an_interrupted_restore_left_beside_the_name_is_not_thrown_away() {
    let place = Place::with_sealed(2);
    fs::write(place.path("sealed.salvaged"), "someone's").unwrap();
    let onto = ["restore", "-i", "key.txt", "--salvage", "--force", "sealed.cfd", "sealed.salvaged"];
    place.run(onto).assert_failed(3, "every segment is whole");
    fs::rename(place.path("sealed.cfd"), place.path("stream.salvaged")).unwrap();
    let onto_itself =
        ["restore", "-i", "key.txt", "--salvage", "--force", "stream.salvaged", "./stream.salvaged"];
    place.run(onto_itself).assert_failed(2, "the same file");
}

#[test]
fn a_stream_that_cannot_be_restored_though_its_segments_are_whole_is_said_to_be_one() {
    let place = Place::with_sealed(3);
    let mut sealed = place.read("sealed.cfd");
    let at = sealed.len() - 200;
    sealed[at] ^= 1;
    fs::write(place.path("sealed.cfd"), sealed).unwrap();
    let verified = place.run(["verify", "-i", "key.txt", "sealed.cfd"]);
    verified.assert_failed(3, "`restore --salvage` saves what is whole");
    assert!(verified.text().contains("nothing is lost of the plaintext"), "{}", verified.text());
    let saved = place.run(["restore", "-i", "key.txt", "--salvage", "sealed.cfd", "plain.salvaged"]);
    saved.assert_failed(3, "metadata or index that is not");
    assert!(!saved.stderr.contains("Restore the stream"), "{}", saved.stderr);
    assert!(place.read("plain.salvaged") == place.read("plain"));
}

#[test]
fn a_report_that_nobody_takes_does_not_hide_that_the_file_is_there() {
    let place = Place::with_sealed(3);
    place.damage_segment(1);
    let ran = place.shell("cofferdam restore -i key.txt --salvage sealed.cfd plain.salvaged > /dev/full");
    ran.assert_failed(1, "only the report of it failed");
    assert!(place.path("plain.salvaged").exists());
}

#[test]
fn a_link_does_not_lead_to_a_file_without_the_label() {
    let place = Place::with_sealed(3);
    place.damage_segment(1);
    fs::write(place.path("db.img"), "the only copy").unwrap();
    symlink("db.img", place.path("link.salvaged")).unwrap();
    let onto = ["restore", "-i", "key.txt", "--salvage", "--force", "sealed.cfd", "link.salvaged"];
    place.run(onto).assert_failed(2, ".salvaged");
    assert_eq!(place.read("db.img"), b"the only copy");
    symlink("real.salvaged", place.path("other.salvaged")).unwrap();
    fs::write(place.path("real.salvaged"), "older").unwrap();
    place
        .run(["restore", "-i", "key.txt", "--salvage", "--force", "sealed.cfd", "other.salvaged"])
        .assert_failed(3, "not what was sealed");
    assert_eq!(place.read("real.salvaged").len(), place.read("plain").len());
}
