//! A command whose work is done and whose report has nowhere to go: the exit code and the words tell the two apart.
//! And what every record has.

use std::fs::{self, OpenOptions};
use std::process::Stdio;

use serde_json::Value;

use crate::place::{Place, Ran, end_of, json_lines};

#[cfg(target_os = "linux")]
#[test]
fn what_is_in_place_is_said_to_be_where_its_report_could_not_be_written() {
    let place = Place::with_sealed(1);
    let recipient = place.recipient.clone();
    let cases: [(&[&str], &str, &str); 5] = [
        (
            &["restore", "-i", "key.txt", "sealed.cfd", "r"],
            "r is in place and whole; only the report",
            "restored",
        ),
        (
            &["seal", "-r", &recipient, "-o", "s", "plain"],
            "s is in place and whole; only the report",
            "sealed",
        ),
        (
            &["rewrap", "-i", "key.txt", "-r", &recipient, "sealed.cfd"],
            "sealed.cfd is re-wrapped; only the",
            "rewrapped",
        ),
        (&["verify", "sealed.cfd"], "nothing wrong was found; only the report", "verified"),
        (&["keygen", "-o", "k"], "the key is in k; only the report", "keygen"),
    ];
    for (arguments, words, event) in cases {
        full(&place, arguments).assert_failed(1, words);
        let Some(made) = ["r", "s", "k"].into_iter().find(|name| place.path(name).exists()) else { continue };
        fs::remove_file(place.path(made)).unwrap();
        let _ = event;
    }
    for (arguments, words, event) in cases {
        let ran = full(&place, &[&["--json"], arguments].concat());
        let records = json_lines(ran.stderr.as_bytes());
        let error = records.last().unwrap();
        assert_eq!((error["event"].as_str(), error["exit_code"].as_i64()), (Some("error"), Some(1)));
        assert!(error["message"].as_str().unwrap().contains(words), "{error}");
        // The result itself is not lost; only a new key's is on its own in the key file.
        let told = records.iter().any(|record| record["event"] == event);
        assert!(told || event == "keygen", "{records:?}");
    }
    assert!(place.read("r") == place.read("plain"));
    place.run(["verify", "-i", "key.txt", "s"]).assert_done();
}

#[test]
fn a_closed_pipe_for_the_report_is_no_failure_of_the_restore() {
    let place = Place::with_sealed(1);
    let mut restoring = place.spawn(["restore", "-i", "key.txt", "-", "r"]);
    drop(restoring.stdout.take());
    let mut feed = restoring.stdin.take().unwrap();
    std::io::Write::write_all(&mut feed, &place.read("sealed.cfd")).unwrap();
    drop(feed);
    end_of(restoring).assert_failed(1, "r is in place and whole; only the report");
    assert!(place.read("r") == place.read("plain"));
}

#[test]
fn every_record_has_the_time_and_every_result_the_version() {
    let place = Place::with_sealed(4);
    let version = place.run(["--version"]).text().trim().trim_start_matches("cofferdam ").to_owned();
    let results = [
        place.run(["verify", "--json", "sealed.cfd"]),
        place.run(["inspect", "--json", "sealed.cfd"]),
        place.run(["restore", "--json", "-i", "key.txt", "sealed.cfd", "r"]),
    ];
    for ran in results {
        let [result] = &json_lines(&ran.stdout)[..] else { panic!("{ran:?}") };
        assert_eq!(result["version"], *version);
        assert_is_a_time(&result["time"]);
        json_lines(ran.stderr.as_bytes()).iter().for_each(|record| assert_is_a_time(&record["time"]));
    }
    let failed = place.run(["verify", "--json", "plain"]);
    assert_is_a_time(&json_lines(failed.stderr.as_bytes())[0]["time"]);
}

#[test]
fn an_empty_stream_from_a_pipe_is_sealed_with_a_warning() {
    let place = Place::new();
    let seal = ["seal", "-r", &place.recipient, "-o"];
    let warned = |ran: &Ran| {
        ran.assert_done();
        ran.stderr.contains("nothing came through the pipe")
    };
    assert!(warned(&place.run_fed(seal.into_iter().chain(["a.cfd", "-"]), Vec::new())));
    assert!(!warned(&place.run_fed(seal.into_iter().chain(["b.cfd", "-"]), b"x".to_vec())));
    // Somebody who names an empty file, or /dev/null, means it.
    fs::write(place.path("empty"), b"").unwrap();
    assert!(!warned(&place.run(seal.into_iter().chain(["c.cfd", "empty"]))));
    assert!(!warned(&place.run(seal.into_iter().chain(["d.cfd", "-"]))));
}

/// With nothing that takes its standard output.
fn full(place: &Place, arguments: &[&str]) -> Ran {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    Ran::of(place.command(arguments).stdout(full).stderr(Stdio::piped()).output().unwrap())
}

/// RFC 3339 in UTC, of this century.
#[track_caller]
fn assert_is_a_time(time: &Value) {
    let text = time.as_str().unwrap_or_else(|| panic!("{time}"));
    let shape: String = text.chars().map(|digit| if digit.is_ascii_digit() { '0' } else { digit }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00Z");
    assert!(text.starts_with("20"), "{text}");
}
