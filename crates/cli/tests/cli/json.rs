//! `--json`: every line is an object, results on stdout, the rest on stderr.
//! The fields are those that `cofferdam help json` lists.

use std::fs;

use serde_json::Value;

use crate::place::{Place, Ran, SEGMENT_LEN, SMALL, json_lines, plaintext};

#[test]
fn every_result_is_one_object_with_the_documented_fields() {
    let place = Place::new();
    fs::write(place.path("plain"), plaintext(3 * SEGMENT_LEN)).unwrap();
    let seal = ["seal", "--json", "-r", &place.recipient, "--metadata", "host=db1", "plain"];
    let sealed = result(&place.run(seal.into_iter().chain(SMALL)));
    assert_eq!(sealed["event"], "sealed");
    assert_eq!((&sealed["input"], &sealed["output"]), (&Value::from("plain"), &Value::from("plain.cfd")));
    assert_eq!((sealed["segments"].as_u64(), sealed["plaintext_len"].as_u64()), (Some(3), Some(49152)));
    assert_eq!(sealed["sealed_len"].as_u64(), Some(place.read("plain.cfd").len() as u64));

    let restored = result(&place.run(["restore", "--json", "-i", "key.txt", "plain.cfd", "restored"]));
    assert_eq!(restored["event"], "restored");
    // Sorted by key.
    assert_eq!(restored["metadata"][0]["key"], "cofferdam.file");
    assert_eq!(restored["metadata"][1]["key"], "host");
    assert_eq!(restored["metadata"][1]["value"], "db1");

    let keyless = result(&place.run(["verify", "--json", "plain.cfd"]));
    assert_eq!(
        (&keyless["event"], &keyless["authenticity"]),
        (&Value::from("verified"), &Value::from("not checked"))
    );
    let keyed = result(&place.run(["verify", "--json", "-i", "key.txt", "plain.cfd"]));
    assert_eq!(keyed["authenticity"], "checked");
    for record in [&restored, &keyless, &keyed] {
        for field in ["stream_id", "stream_digest", "segments", "plaintext_len"] {
            assert_eq!(record[field], sealed[field], "{field}");
        }
        assert!(record["seconds"].as_f64().unwrap() > 0.0);
    }

    let made = result(&place.run(["keygen", "--json", "-o", "new.txt"]));
    assert_eq!((&made["event"], &made["file"]), (&Value::from("keygen"), &Value::from("new.txt")));
    let recipient = made["recipient"].as_str().unwrap();
    let rewrapped = result(&place.run(["rewrap", "--json", "-i", "key.txt", "-r", recipient, "plain.cfd"]));
    assert_eq!((rewrapped["generation"].as_u64(), rewrapped["slots"].as_u64()), (Some(2), Some(1)));
}

#[test]
fn where_the_payload_has_stdout_the_result_is_on_stderr() {
    let place = Place::with_sealed(3);
    let ran = place.run(["restore", "--json", "-i", "key.txt", "sealed.cfd", "-"]);
    ran.assert_done();
    assert!(ran.stdout == place.read("plain"));
    let records = json_lines(ran.stderr.as_bytes());
    assert_eq!(records.last().unwrap()["event"], "restored");
    let progress = &records[0];
    assert_eq!(progress["event"], "progress");
    assert_eq!(progress["total"].as_u64(), Some(place.read("plain").len() as u64));
    assert!(progress["committed"].as_u64().unwrap() > 0);
}

#[test]
fn a_failure_is_an_object_that_says_what_where_and_the_code() {
    let place = Place::with_sealed(4);
    place.damage_segment(2);
    let (position, len) = place.segment(2);
    let ran = place.run(["restore", "--json", "-i", "key.txt", "sealed.cfd", "t"]);
    assert!(ran.stdout.is_empty());
    let error = json_lines(ran.stderr.as_bytes()).pop().unwrap();
    assert_eq!((&error["event"], &error["kind"]), (&Value::from("error"), &Value::from("damaged")));
    assert_eq!((error["segment"].as_i64(), error["exit_code"].as_i64()), (Some(2), Some(3)));
    assert_eq!(ran.code, 3);
    // The damage is in the middle of four frames: in the third, or in the header before it.
    assert!(matches!(error["frame"].as_u64(), Some(1 | 2)), "{error}");
    let at = usize::try_from(error["position"].as_u64().unwrap()).unwrap();
    assert!((position..position + len).contains(&at), "{at} is not in {position} and {len} bytes on");
    assert!(error["message"].is_string() && error["advice"].is_string());
}

#[test]
fn a_usage_error_is_an_object_too() {
    let place = Place::with_sealed(1);
    for arguments in [&["restore", "--json", "--nonsense"][..], &["restore", "--json", "sealed.cfd", "t"]] {
        let ran = place.run(arguments);
        assert_eq!((ran.code, ran.stdout.len()), (2, 0));
        let error = json_lines(ran.stderr.as_bytes()).pop().unwrap();
        assert_eq!((&error["kind"], &error["exit_code"]), (&Value::from("usage"), &Value::from(2)));
    }
}

#[test]
fn a_key_copy_that_is_damaged_is_a_warning_to_a_restore_and_an_error_to_a_check() {
    let place = Place::with_sealed(1);
    let mut sealed = place.read("sealed.cfd");
    sealed[4096 + 100] ^= 1;
    fs::write(place.path("sealed.cfd"), sealed).unwrap();
    let restored = place.run(["restore", "--json", "-i", "key.txt", "sealed.cfd", "restored"]);
    restored.assert_done();
    let warning = &json_lines(restored.stderr.as_bytes())[0];
    assert_eq!(warning["event"], "warning");
    assert!(warning["message"].as_str().unwrap().contains("key copy 0"), "{warning}");
    assert!(place.read("restored") == place.read("plain"));
    place.run(["verify", "-i", "key.txt", "sealed.cfd"]).assert_failed(3, "key copy 0");
    // With more wrong than that, nothing else has served, and a re-wrap does not mend it.
    let sealed = place.read("sealed.cfd");
    fs::write(place.path("sealed.cfd"), &sealed[..sealed.len() - 600]).unwrap();
    let both = place.run(["verify", "-i", "key.txt", "sealed.cfd"]);
    both.assert_failed(3, "key copy 0 of the stream is damaged, and more is wrong: ");
    assert!(!both.stderr.contains("rewrap"), "{}", both.stderr);
}

/// The one object on stdout; stderr holds objects too.
fn result(ran: &Ran) -> Value {
    ran.assert_done();
    json_lines(ran.stderr.as_bytes());
    let mut records = json_lines(&ran.stdout);
    assert_eq!(records.len(), 1, "{}", ran.text());
    records.remove(0)
}
