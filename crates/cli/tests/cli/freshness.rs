//! Sequence numbers on the command line: what is refused with 14, and what is printed.
//! The library's own tests have the odd values.

use std::fs;

use crate::place::Place;

#[test]
fn an_older_stream_is_14_and_nothing_is_written() {
    let place = Place::new();
    fs::write(place.path("plain"), [3; 10_000]).unwrap();
    place.run(["seal", "-r", &place.recipient, "--sequence", "41", "plain"]).assert_done();
    place.run(["seal", "-r", &place.recipient, "-o", "none.cfd", "plain"]).assert_done();
    fs::write(place.path("old"), b"old").unwrap();
    for target in ["old", "new", "-"] {
        let restore = |min: &str, sealed: &str| {
            place.run(["restore", "-i", "key.txt", "--force", "--min-sequence", min, sealed, target])
        };
        let ran = restore("42", "plain.cfd");
        ran.assert_failed(
            14,
            "plain.cfd: the stream is older than asked for: its sequence number is 41, not 42",
        );
        assert!(ran.stderr.contains("--min-sequence"), "{}", ran.stderr);
        assert!(ran.stdout.is_empty());
        restore("0", "none.cfd").assert_failed(14, "none.cfd: the stream has no sequence number");
    }
    assert_eq!(place.read("old"), b"old");
    assert_eq!(place.names(), ["key.txt", "none.cfd", "old", "plain", "plain.cfd"]);
    let ran = place.run(["restore", "-i", "key.txt", "--min-sequence", "41", "plain.cfd", "new"]);
    ran.assert_done();
    assert!(ran.text().contains("\nsequence 41"), "{}", ran.text());
    place.run(["verify", "-i", "key.txt", "--min-sequence", "41", "plain.cfd"]).assert_done();
    place.run(["verify", "-i", "key.txt", "--min-sequence", "42", "plain.cfd"]).assert_failed(14, "older");
    let keyless = place.run(["verify", "--min-sequence", "1", "plain.cfd"]);
    keyless.assert_failed(2, "cannot be read without a key");
    for range in [&["--range", "..9"][..], &["--range", "7..7"], &[]] {
        let cat = |min| {
            place.run([&["cat", "-i", "key.txt", "--min-sequence", min, "plain.cfd"][..], range].concat())
        };
        let ran = cat("42");
        ran.assert_failed(14, "its sequence number is 41, not 42");
        assert!(ran.stdout.is_empty());
        cat("41").assert_done();
    }
}

#[test]
fn json_has_the_number_and_the_error_its_kind() {
    let place = Place::new();
    fs::write(place.path("plain"), b"x").unwrap();
    let max = u64::MAX.to_string();
    let sealed = place.run(["seal", "--json", "-r", &place.recipient, "--sequence", &max, "plain"]);
    let verified = place.run(["verify", "--json", "-i", "key.txt", "--min-sequence", &max, "plain.cfd"]);
    let restored = place.run(["restore", "--json", "-i", "key.txt", "plain.cfd", "new"]);
    for ran in [sealed, verified, restored] {
        assert!(ran.text().contains(r#""sequence":18446744073709551615"#), "{}", ran.text());
    }
    place.run(["seal", "-r", &place.recipient, "-o", "none.cfd", "plain"]).assert_done();
    let refused = place.run(["verify", "--json", "-i", "key.txt", "--min-sequence", "0", "none.cfd"]);
    assert_eq!(refused.code, 14);
    assert!(refused.stderr.contains(r#""kind":"stale""#), "{}", refused.stderr);
    let verified = place.run(["verify", "--json", "-i", "key.txt", "none.cfd"]);
    assert!(verified.text().contains(r#""sequence":null"#), "{}", verified.text());
}

#[test]
fn what_is_no_number_is_a_usage_error_and_the_pair_is_not_given_by_hand() {
    let place = Place::new();
    fs::write(place.path("plain"), b"x").unwrap();
    for number in ["-1", "", "x", "1.5", "18446744073709551616"] {
        let sequence = format!("--sequence={number}");
        assert_eq!(place.run(["seal", "-r", &place.recipient, &sequence, "plain"]).code, 2, "{number}");
        let min = format!("--min-sequence={number}");
        assert_eq!(place.run(["verify", "-i", "key.txt", &min, "plain"]).code, 2, "{number}");
    }
    let by_hand = ["seal", "-r", &place.recipient, "--metadata", "cofferdam.sequence=7", "plain"];
    place.run(by_hand).assert_failed(2, "`cofferdam.`");
    assert_eq!(place.names(), ["key.txt", "plain"]);
}
