//! `cat`: all of a stream or a range of it on standard output, and what is refused before anything comes out.
//! Which bytes are read for it, the library's own tests know.

use std::fs;
use std::fs::File;

use crate::place::{Place, Ran, SEGMENT_LEN, SMALL, json_lines, plaintext};

fn cat(place: &Place, range: &str) -> Ran {
    place.run(["cat", "-q", "-i", "key.txt", "--range", range, "sealed.cfd"])
}

#[test]
fn a_range_is_that_part_of_the_plaintext() {
    let place = Place::with_sealed(5);
    let plain = place.read("plain");
    let len = plain.len();
    for (range, due) in [
        ("0..1", 0..1),
        ("..", 0..len),
        ("4095..4097", 4095..4097),
        ("4KiB..20k", 4096..20480),
        ("16383..", 16383..len),
        ("..16385", 0..16385),
        ("7..7", 0..0),
        ("-1", len - 1..len),
        ("-5KiB", len - 5120..len),
        ("-0", 0..0),
        (&format!("{len}.."), 0..0),
        (&format!("-{len}"), 0..len),
    ] {
        let ran = cat(&place, range);
        ran.assert_done();
        assert!(ran.stdout == plain[due], "{range}");
        assert_eq!(ran.stderr, "", "{range}");
    }
    let compressed = ["seal", "--zstd", "-r", &place.recipient, "-o", "small.cfd", "plain"];
    place.run(compressed.into_iter().chain(SMALL)).assert_done();
    let ran = place.run(["cat", "-i", "key.txt", "--range=-5KiB", "--memory", "1MiB", "small.cfd"]);
    ran.assert_done();
    assert!(ran.stdout == plain[len - 5120..]);
}

#[test]
fn without_a_range_it_is_what_restore_gives_to_standard_output() {
    let place = Place::with_sealed(5);
    let ran = place.run(["cat", "--json", "-i", "key.txt", "sealed.cfd"]);
    ran.assert_done();
    assert!(ran.stdout == place.read("plain"));
    assert_eq!(json_lines(ran.stderr.as_bytes()).last().unwrap()["event"], "restored");
    let piped = place.run_fed(["cat", "-q", "-i", "key.txt", "-"], place.read("sealed.cfd"));
    piped.assert_done();
    assert!(piped.stdout == place.read("plain"));
    place.damage_segment(3);
    let ran = place.run(["cat", "-i", "key.txt", "sealed.cfd"]);
    ran.assert_failed(3, "segment 3");
    assert!(ran.stdout.len() <= 3 * SEGMENT_LEN && place.read("plain").starts_with(&ran.stdout));
}

#[test]
fn a_range_that_is_not_within_the_stream_is_a_usage_error_that_says_the_length() {
    let place = Place::with_sealed(1);
    let len = place.read("plain").len();
    for range in [format!("0..{}", len + 1), format!("{}..", len + 1), format!("-{}", len + 1)] {
        let ran = cat(&place, &range);
        ran.assert_failed(2, &format!("has {len} bytes"));
        assert!(ran.stdout.is_empty());
    }
    for range in ["", "5", "2..1", "a..b"] {
        let ran = cat(&place, range);
        assert_eq!((ran.code, ran.stdout.len()), (2, 0), "{range}: {}", ran.stderr);
    }
}

#[test]
fn a_range_of_what_comes_in_order_is_a_usage_error_that_says_what_to_do() {
    let place = Place::with_sealed(2);
    let piped = place.run_fed(["cat", "-i", "key.txt", "--range", "..9", "-"], place.read("sealed.cfd"));
    piped.assert_failed(2, "without `--range`, `cofferdam cat` takes a pipe");
    assert!(piped.stdout.is_empty());
    // A file on standard input has offsets.
    let mut command = place.command(["cat", "-q", "-i", "key.txt", "--range", "..9", "-"]);
    let ran = Ran::of(command.stdin(File::open(place.path("sealed.cfd")).unwrap()).output().unwrap());
    ran.assert_done();
    assert!(ran.stdout == place.read("plain")[..9]);
}

#[test]
fn a_damaged_segment_fails_the_ranges_that_need_it_and_no_others() {
    let place = Place::with_sealed(5);
    place.damage_segment(3);
    let plain = place.read("plain");
    let before = cat(&place, &format!("..{}", 3 * SEGMENT_LEN));
    before.assert_done();
    assert!(before.stdout == plain[..3 * SEGMENT_LEN]);
    cat(&place, &format!("{}..", 4 * SEGMENT_LEN)).assert_done();
    let over = place.run(["cat", "--json", "-i", "key.txt", "--range", "..", "sealed.cfd"]);
    assert!(over.stdout.len() >= 3 * SEGMENT_LEN && plain.starts_with(&over.stdout));
    let error = json_lines(over.stderr.as_bytes()).pop().unwrap();
    assert_eq!((error["segment"].as_u64(), error["exit_code"].as_u64()), (Some(3), Some(3)));
    assert!(error["advice"].as_str().unwrap().contains("is not the whole"), "{error}");
}

#[test]
fn the_result_names_the_range() {
    let place = Place::with_sealed(2);
    let ran = place.run(["cat", "--json", "-i", "key.txt", "--range", "5..9", "sealed.cfd"]);
    ran.assert_done();
    let record = json_lines(ran.stderr.as_bytes()).pop().unwrap();
    assert_eq!(record["event"], "read");
    assert_eq!((record["begin"].as_u64(), record["end"].as_u64()), (Some(5), Some(9)));
    assert_eq!(record["plaintext_len"].as_u64(), Some(place.read("plain").len() as u64));
    let inspected = place.run(["inspect", "--json", "sealed.cfd"]);
    assert_eq!(record["stream_id"], json_lines(&inspected.stdout)[0]["stream_id"]);
    let said = place.run(["cat", "-i", "key.txt", "--range", "5..9", "sealed.cfd"]);
    assert!(said.stderr.contains("the rest was not looked at"), "{}", said.stderr);
}

#[test]
fn another_digest_or_key_or_an_older_footer_is_refused_with_its_own_code() {
    let place = Place::with_sealed(3);
    let digest = "0".repeat(64);
    let pinned = ["cat", "-i", "key.txt", "--range", "..9", "--expect-digest", &digest, "sealed.cfd"];
    let ran = place.run(pinned);
    ran.assert_failed(3, "");
    assert!(ran.stdout.is_empty());
    place.run(["keygen", "-o", "other.txt"]).assert_done();
    let ran = place.run(["cat", "-i", "other.txt", "--range", "..9", "sealed.cfd"]);
    ran.assert_failed(4, "Try another identity");
    fs::write(place.path("sealed.cfd"), &place.read("sealed.cfd")[..20_000]).unwrap();
    assert_eq!(cat(&place, "..9").code, 3, "without its end, it takes a pass to say more");
    fs::write(place.path("sealed.cfd"), plaintext(20_000)).unwrap();
    assert_eq!(cat(&place, "..9").code, 11);
}

#[test]
fn too_little_memory_is_a_limit_that_says_how_much() {
    let place = Place::with_sealed(2);
    let little = ["cat", "-i", "key.txt", "--range", "..9", "--memory", "4KiB", "sealed.cfd"];
    place.run(little).assert_failed(7, "Give it more with `--memory`");
}

#[test]
fn plaintext_goes_to_a_terminal_only_when_that_is_asked_for() {
    let place = Place::with_sealed(1);
    let shown = place.on_terminal("$COFFERDAM cat -i key.txt --range ..3 sealed.cfd; echo code $?");
    assert!(shown.contains("would go to the terminal") && shown.contains("code 2"), "{shown}");
    let shown =
        place.on_terminal("$COFFERDAM cat -q --force -i key.txt --range ..1 sealed.cfd; echo code $?");
    assert!(shown.contains("code 0"), "{shown}");
    let shown = place.on_terminal("$COFFERDAM cat -i key.txt sealed.cfd; echo code $?");
    assert!(shown.contains("would go to the terminal") && shown.contains("code 2"), "{shown}");
}
