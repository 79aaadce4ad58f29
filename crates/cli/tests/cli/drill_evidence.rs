//! The evidence of a drill: what it replaces, what it says of a stream that failed, and what becomes of it where it cannot be written.
//! What a stream that passed has in it, `drilling.rs` has.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use serde_json::Value;

use crate::drilling::{checked, drill, evidence, place, stream, write};
use crate::place::{Place, SEGMENT_LEN, SMALL, json_lines, plaintext};

#[test]
fn evidence_and_metrics_replace_their_own_kind_and_nothing_else() {
    let place = place(1);
    write(&place, &[stream("db", "sealed.cfd", "mode = \"verify\"")]);
    for (name, content) in [("precious", "{\"cofferdam_drill\": \"1\"}"), ("list", "[1]")] {
        fs::write(place.path(name), content).unwrap();
        let ran = place.run(["drill", "--evidence", name, "drill.toml"]);
        ran.assert_failed(6, &format!("{name} exists, and is no evidence of a drill"));
        let ran = place.run(["drill", "--metrics-file", name, "drill.toml"]);
        ran.assert_failed(6, &format!("{name} exists, and is no file of a drill's metrics"));
        assert_eq!(place.read(name), content.as_bytes());
    }
    fs::write(place.path("empty"), "").unwrap();
    let ran = place.run(["drill", "--evidence", "empty", "drill.toml"]);
    ran.assert_failed(6, "empty exists, and is no evidence of a drill");
    place.run(["drill", "--metrics-file", "empty", "drill.toml"]).assert_done();
    fs::remove_file(place.path("evidence.json")).unwrap();
    for (option, name) in
        [("--evidence", "key.txt"), ("--metrics-file", "sealed.cfd"), ("--evidence", "drill.toml")]
    {
        place.run(["drill", option, name, "drill.toml"]).assert_failed(2, "are the same file");
    }
    for option in ["--evidence", "--metrics-file"] {
        place.run(["drill", option, "/dev/null", "drill.toml"]).assert_failed(6, "/dev/null is no file, and");
    }
    assert!(!place.path("evidence.json").exists());
    drill(&place).assert_done();
    let first = place.read("evidence.json");
    fs::set_permissions(place.path("evidence.json"), fs::Permissions::from_mode(0o640)).unwrap();
    drill(&place).assert_done();
    assert_ne!(place.read("evidence.json"), first);
    assert_eq!(
        fs::metadata(place.path("evidence.json")).unwrap().mode() & 0o777,
        0o640,
        "its mode was changed"
    );
}

#[test]
fn evidence_that_cannot_be_written_is_a_failure_and_goes_to_stderr() {
    let place = place(1);
    let directory = place.path("evidence").display().to_string();
    fs::create_dir(&directory).unwrap();
    write(&place, &[checked(&format!("rm -r '{directory}'"), "")]);
    let ran = place.run(["drill", "--evidence", "evidence/now.json", "drill.toml"]);
    ran.assert_failed(1, "the evidence could not be written to evidence/now.json");
    let line = ran.stderr.lines().find(|line| line.starts_with('{')).unwrap();
    let found: Value = serde_json::from_str(line).unwrap();
    assert_eq!(
        (&found["cofferdam_drill"], &found["streams"][0]["result"]),
        (&Value::from(1), &Value::from("passed"))
    );
    // Where that is known beforehand, nothing is begun.
    let ran = place.run(["drill", "--evidence", "absent/now.json", "drill.toml"]);
    ran.assert_failed(1, "absent/now.json could not be made");
    assert!(!ran.stderr.contains("cofferdam_drill"), "{}", ran.stderr);
    // What the stream failed with comes first, and both are said.
    fs::create_dir(&directory).unwrap();
    write(&place, &[checked(&format!("rm -r '{directory}'; exit 3"), "")]);
    let ran = place.run(["drill", "--evidence", "evidence/now.json", "drill.toml"]);
    ran.assert_failed(16, "the check ended with 3");
    assert!(ran.stderr.contains("the evidence could not be written"), "{}", ran.stderr);
}

#[test]
fn what_comes_into_the_place_of_the_evidence_while_a_drill_runs_is_not_replaced() {
    let place = place(1);
    write(&place, &[checked("echo precious >../../evidence.json; echo precious >../../d.prom", "")]);
    let ran = place.run(["drill", "--metrics-file", "d.prom", "drill.toml"]);
    ran.assert_failed(6, "evidence.json exists, and is no evidence of a drill");
    assert!(ran.stderr.contains("d.prom exists, and is no file of a drill's metrics"), "{}", ran.stderr);
    assert!(ran.stderr.contains("\"cofferdam_drill\":1"), "{}", ran.stderr);
    for name in ["evidence.json", "d.prom"] {
        assert_eq!(place.read(name), b"precious\n");
    }
}

#[test]
fn of_a_stream_that_did_not_open_evidence_has_what_its_key_has_opened_and_nothing_else() {
    let place = Place::new();
    fs::create_dir(place.path("scratch")).unwrap();
    fs::write(place.path("plain"), plaintext(3 * SEGMENT_LEN)).unwrap();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs().to_string();
    let seal = ["seal", "--json", "-r", &place.recipient, "--sequence", &now, "-o", "sealed.cfd", "plain"];
    let sealed = json_lines(&place.run(seal.into_iter().chain(SMALL)).stdout).remove(0);
    place.damage_segment(1);
    place.run(["keygen", "-o", "other.txt"]).assert_done();
    // What is known of a stream before its segments, and what its end proves.
    let head = ["stream_id", "sequence", "sealed_at", "age_seconds"];
    let proved = ["stream_digest", "digest_kind", "segments", "plaintext_bytes", "sealed_bytes"];
    let drilled = |mode: &str, rest: &str, key: &str| {
        let rest = format!("mode = \"{mode}\"\nsequence_is_time = true\n{rest}");
        write(&place, &[stream("db", "sealed.cfd", &rest).replace("key.txt", key)]);
        let code = drill(&place).code;
        let said = evidence(&place)["streams"][0].take();
        (code, said)
    };
    let other_digest = format!("expect_digest = \"{}\"", "3f".repeat(32));
    for mode in ["restore", "verify", "sample"] {
        for (rest, code) in [("", 3), ("min_sequence = 99999999999", 14), (&other_digest, 3)] {
            let (found, said) = drilled(mode, rest, "key.txt");
            assert_eq!(found, code, "{mode}, {rest}: {said}");
            proved.iter().for_each(|field| assert_eq!(said[field], Value::Null, "{mode}, {rest}: {field}"));
            assert_eq!([&said["stream_id"], &said["sequence"]], [&sealed["stream_id"], &sealed["sequence"]]);
            head.iter().for_each(|field| assert_ne!(said[field], Value::Null, "{mode}, {rest}: {field}"));
        }
        let (code, said) = drilled(mode, "", "other.txt");
        assert_eq!(code, 4, "{said}");
        head.iter().chain(&proved).for_each(|field| assert_eq!(said[field], Value::Null, "{mode}: {field}"));
    }
    // One that opened, and failed its check, is known.
    place.run(["seal", "--force"].into_iter().chain(seal[1..].iter().copied())).assert_done();
    write(&place, &[checked("false", "sequence_is_time = true")]);
    drill(&place).assert_failed(16, "the check ended with 1");
    let said = evidence(&place)["streams"][0].take();
    head.iter().chain(&proved).for_each(|field| assert_ne!(said[field], Value::Null, "{field}"));
}

/// As many streams as a file can name, with all that they say.
#[test]
fn evidence_of_any_length_is_replaced() {
    let place = place(1);
    write(&place, &[stream("db", "sealed.cfd", "mode = \"verify\"")]);
    drill(&place).assert_done();
    let mut long = place.read("evidence.json");
    long.resize(20 << 20, b' ');
    fs::write(place.path("evidence.json"), long).unwrap();
    drill(&place).assert_done();
    assert_eq!(evidence(&place)["result"], "passed");
}

#[test]
fn what_is_in_the_way_of_a_report_is_6() {
    let place = place(1);
    write(&place, &[stream("db", "sealed.cfd", "mode = \"verify\"")]);
    fs::create_dir(place.path("directory")).unwrap();
    std::os::unix::fs::symlink("nowhere", place.path("dangling")).unwrap();
    place.shell("mkfifo fifo").assert_done();
    for name in ["directory", "dangling", "fifo"] {
        for line in [
            "drill drill.toml --evidence",
            "drill drill.toml --metrics-file",
            "verify sealed.cfd --metrics-file",
            "serve -i key.txt sealed.cfd --record",
            "serve -i key.txt sealed.cfd --force --record",
        ] {
            let ran = place.shell(&format!("cofferdam {line} {name}"));
            ran.assert_failed(6, name);
            assert!(ran.stderr.contains("another name"), "{line}: {}", ran.stderr);
        }
    }
    assert!(!place.path("nowhere").exists());
}

/// However often the stream is opened for that.
#[test]
fn a_warning_is_said_once_and_is_in_the_evidence_of_each_mode() {
    let place = place(2);
    // In the first of the two copies of the keys, at offset 4096 (FORMAT, §5).
    let mut sealed = place.read("sealed.cfd");
    sealed[4200] ^= 1;
    fs::write(place.path("sealed.cfd"), sealed).unwrap();
    for mode in ["restore", "sample"] {
        write(&place, &[stream("db", "sealed.cfd", &format!("mode = \"{mode}\""))]);
        let ran = drill(&place);
        ran.assert_done();
        let warnings = evidence(&place)["streams"][0]["warnings"].clone();
        assert_eq!(warnings.as_array().unwrap().len(), 1, "{mode}: {warnings}");
        let said = ran.stderr.matches(warnings[0].as_str().unwrap()).count();
        assert_eq!(said, 1, "{mode}: {}", ran.stderr);
    }
}
