//! `cofferdam drill`: what is restored, and what is written down of it. Checks, scratch directories, metrics and signals have files of
//! their own, which take from here what makes a drill.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, geteuid};
use serde_json::Value;
use servers::Nginx;

use crate::place::{Place, Ran, SEGMENT_LEN, SMALL, json_lines, plaintext, wait_until};

/// With `sealed.cfd` of some segments, and a directory for scratch ones.
pub(crate) fn place(segments: usize) -> Place {
    let place = Place::with_sealed(segments);
    fs::create_dir(place.path("scratch")).unwrap();
    place
}

/// The file of a drill with these streams.
pub(crate) fn write(place: &Place, streams: &[String]) {
    let head = "scratch = \"scratch\"\nevidence = \"evidence.json\"\n";
    fs::write(place.path("drill.toml"), format!("{head}{}", streams.concat())).unwrap();
}

pub(crate) fn stream(name: &str, sealed: &str, rest: &str) -> String {
    format!("\n[[stream]]\nname = \"{name}\"\nsealed = \"{sealed}\"\nidentity = [\"key.txt\"]\n{rest}\n")
}

/// A restore of `sealed.cfd` whose check is a line of shell, with the restored file as `$1`.
pub(crate) fn checked(line: &str, rest: &str) -> String {
    let line = line.replace('\\', "\\\\").replace('"', "\\\"");
    let check = format!("mode = \"restore\"\ncheck = [\"sh\", \"-c\", \"{line}\", \"sh\", \"{{}}\"]\n{rest}");
    stream("db", "sealed.cfd", &check)
}

pub(crate) fn drill(place: &Place) -> Ran {
    place.run(["drill", "drill.toml"])
}

pub(crate) fn evidence(place: &Place) -> Value {
    serde_json::from_slice(&place.read("evidence.json")).unwrap()
}

pub(crate) fn scratch_names(place: &Place) -> Vec<String> {
    let entries = fs::read_dir(place.path("scratch")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The one scratch directory that there is.
pub(crate) fn scratch_directory(place: &Place) -> Option<PathBuf> {
    scratch_names(place).pop().map(|name| place.path("scratch").join(name))
}

/// Drills one stream with a check, and gives what is said of it.
pub(crate) fn check(line: &str, rest: &str) -> (Place, Ran, Value) {
    let place = place(3);
    write(&place, &[checked(line, rest)]);
    let ran = drill(&place);
    let said = evidence(&place)["streams"][0].take();
    assert!(scratch_names(&place).is_empty(), "{:?}", scratch_names(&place));
    (place, ran, said)
}

/// Drills with a check as a user who is not root: this one, or another. That user's directory is `user`.
pub(crate) fn drill_as_user(place: &Place, line: &str, options: &[&str]) -> Ran {
    let user = place.path("user");
    fs::create_dir_all(user.join("scratch")).unwrap();
    copy_program(Path::new(env!("CARGO_BIN_EXE_cofferdam")), &user.join("cofferdam"));
    for name in ["key.txt", "sealed.cfd"] {
        fs::copy(place.path(name), user.join(name)).unwrap();
    }
    let file = format!("scratch = \"scratch\"\nevidence = \"evidence.json\"\n{}", checked(line, ""));
    fs::write(user.join("drill.toml"), file).unwrap();
    let mut command = Command::new(user.join("cofferdam"));
    if geteuid().is_root() {
        fs::set_permissions(place.directory.path(), fs::Permissions::from_mode(0o711)).unwrap();
        for path in ["", "scratch", "key.txt", "sealed.cfd", "drill.toml"] {
            chown(user.join(path), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        command = Command::new("setpriv");
        let id = NOBODY.to_string();
        command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]).arg(user.join("cofferdam"));
    }
    command.arg("drill").args(options).arg("drill.toml").current_dir(&user).env("HOME", &user);
    Ran::of(command.output().unwrap())
}

pub(crate) const NOBODY: u32 = 65534;

/// By a process of its own: one that another test starts meanwhile would have the copy open to write, and nobody could run it.
pub(crate) fn copy_program(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg(from).arg(to).status().unwrap().success());
}

pub(crate) fn has_ended(process: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
}

/// It sleeps for longer than this waits. A zombie is one that nobody has asked after yet.
pub(crate) fn wait_for_end(process: i32) {
    wait_until("the end of a process", || has_ended(process));
}

/// The process that a check has started, once it has said so.
pub(crate) fn wait_for_check(place: &Place) -> Pid {
    let has = |name: &str| scratch_directory(place).is_some_and(|scratch| scratch.join(name).exists());
    wait_until("the check", || has("ready"));
    let number = fs::read_to_string(scratch_directory(place).unwrap().join("pid")).unwrap();
    Pid::from_raw(number.trim().parse().unwrap()).unwrap()
}

#[test]
fn a_stream_is_restored_checked_and_written_down() {
    let place = Place::new();
    fs::create_dir(place.path("scratch")).unwrap();
    fs::write(place.path("plain"), plaintext(3 * SEGMENT_LEN)).unwrap();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let number = now.to_string();
    let seal = ["seal", "--json", "-r", &place.recipient, "--sequence", &number, "-o", "sealed.cfd", "plain"];
    let sealed = json_lines(&place.run(seal.into_iter().chain(SMALL)).stdout).remove(0);
    let digest = sealed["stream_digest"].as_str().unwrap();
    let plain = place.path("plain").display().to_string();
    let rest = format!(
        "expect_digest = \"{digest}\"\nmin_sequence = {now}\nmax_age = \"1d\"\nsequence_is_time = true"
    );
    let restored = checked(&format!("cmp \"$1\" '{plain}' && echo the same"), &rest);
    let verified = stream("whole", "sealed.cfd", &format!("mode = \"verify\"\n{rest}"));
    let sampled = stream("part", "sealed.cfd", &format!("mode = \"sample\"\nsample = 2\n{rest}"));
    write(&place, &[restored, verified, sampled]);
    let ran = drill(&place);
    ran.assert_done();
    assert!(ran.text().contains("3 of 3 streams passed; the evidence is in"), "{}", ran.text());
    assert!(scratch_names(&place).is_empty());
    let mode = fs::metadata(place.path("evidence.json")).unwrap().mode() & 0o777;
    assert_eq!(mode, 0o600);

    let found = evidence(&place);
    assert_eq!((&found["cofferdam_drill"], &found["result"]), (&Value::from(1), &Value::from("passed")));
    assert_eq!((found["exit_code"].as_u64(), found["format_version"].as_u64()), (Some(0), Some(1)));
    let file = blake3::hash(&place.read("drill.toml")).to_hex();
    assert_eq!(found["drill_file"]["blake3"].as_str(), Some(&*file));
    for (index, (name, mode)) in
        [("db", "restore"), ("whole", "verify"), ("part", "sample")].iter().enumerate()
    {
        let said = &found["streams"][index];
        assert_eq!((&said["name"], &said["mode"]), (&Value::from(*name), &Value::from(*mode)));
        assert_eq!((&said["result"], &said["error"]), (&Value::from("passed"), &Value::Null));
        for field in ["stream_id", "stream_digest", "segments", "sequence"] {
            assert_eq!(said[field], sealed[field], "{name}: {field}");
        }
        assert_eq!(said["plaintext_bytes"], sealed["plaintext_len"]);
        assert_eq!(said["sealed_bytes"], sealed["sealed_len"]);
        assert_eq!((&said["digest_kind"], &said["pinned"]), (&Value::from("blake3"), &Value::from(true)));
        assert!(said["age_seconds"].as_u64().unwrap() <= 24 * 60 * 60);
        assert!(said["sealed_at"].as_str().unwrap().ends_with('Z'));
        assert!(said["open_seconds"].as_f64().unwrap() > 0.0 && said["bytes_per_second"].is_number());
    }
    let checked = &found["streams"][0]["check"];
    assert_eq!((checked["exit_code"].as_i64(), &checked["timed_out"]), (Some(0), &Value::from(false)));
    assert_eq!(
        (&checked["output_tail"], &checked["argv"][4]),
        (&Value::from("the same\n"), &Value::from("{}"))
    );
    // A sample says that it is one.
    let sample = &found["streams"][2]["sample"];
    assert_eq!((sample["segments"].as_array().unwrap().len(), &sample["of_segments"]), (2, &Value::from(3)));
    assert_eq!(sample["plaintext_bytes"].as_u64(), Some(2 * SEGMENT_LEN as u64));
    assert_eq!(found["streams"][0]["sample"], Value::Null);

    // As JSON, the result is what the file has.
    let ran = place.run(["drill", "--json", "drill.toml"]);
    let result = json_lines(&ran.stdout).remove(0);
    assert_eq!((&result["event"], &result["result"]), (&Value::from("drilled"), &Value::from("passed")));
    assert_eq!(result["streams"].as_array().unwrap().len(), 3);
}

#[test]
fn one_stream_that_fails_does_not_keep_the_others_from_being_tried() {
    let place = place(4);
    for (name, damage) in [("damaged.cfd", 2), ("cut.cfd", 3)] {
        let (position, len) = place.segment(damage);
        let mut sealed = place.read("sealed.cfd");
        match name {
            "cut.cfd" => sealed.truncate(position + len / 2),
            _ => sealed[position + len / 2] ^= 1,
        }
        fs::write(place.path(name), sealed).unwrap();
    }
    place.run(["keygen", "-o", "other.txt"]).assert_done();
    let other = stream("no key", "sealed.cfd", "mode = \"restore\"").replace("key.txt", "other.txt");
    let no_file = stream("no key file", "sealed.cfd", "mode = \"verify\"").replace("key.txt", "absent.txt");
    let no_credential = no_file.replace("key file", "credential").replace("absent.txt", "credential:absent");
    let old = "mode = \"restore\"\nmin_sequence = 5";
    let pinned = format!("mode = \"restore\"\nexpect_digest = \"{}\"", "3f".repeat(32));
    write(
        &place,
        &[
            stream("fine", "sealed.cfd", "mode = \"restore\""),
            stream("damaged", "damaged.cfd", "mode = \"restore\""),
            stream("cut", "cut.cfd", "mode = \"verify\""),
            stream("missing", "absent.cfd", "mode = \"restore\""),
            other,
            no_file,
            no_credential,
            stream("none", "plain", "mode = \"sample\""),
            stream("unnumbered", "sealed.cfd", old),
            stream("another", "sealed.cfd", &pinned),
            stream("fine as well", "sealed.cfd", "mode = \"verify\""),
        ],
    );
    let ran = drill(&place);
    // That of the first that failed.
    ran.assert_failed(3, "9 of 11 streams failed");
    assert!(ran.text().contains("2 of 11 streams passed"), "{}", ran.text());
    let found = evidence(&place);
    assert_eq!((&found["result"], found["exit_code"].as_u64()), (&Value::from("failed"), Some(3)));
    let kinds: Vec<Option<&str>> =
        found["streams"].as_array().unwrap().iter().map(|stream| stream["error"]["kind"].as_str()).collect();
    let expected =
        ["damaged", "truncated", "io", "no-key", "io", "usage", "not-a-stream", "stale", "digest-mismatch"];
    assert_eq!(kinds[1..10], expected.map(Some));
    assert_eq!((kinds[0], kinds[10]), (None, None));
    assert_eq!(found["streams"][1]["error"]["segment"].as_u64(), Some(2));
    // Of what did not prove right, nothing is said that a key or a digest would prove.
    for (index, stream) in found["streams"].as_array().unwrap().iter().enumerate() {
        let said = (stream["authenticity"].as_str(), stream["pinned"].as_bool());
        let is_proved = [0, 10].contains(&index);
        assert_eq!(said, if is_proved { (Some("checked"), Some(false)) } else { (None, None) }, "{stream}");
    }
    assert!(scratch_names(&place).is_empty());
    for name in ["damaged", "missing", "no key", "no credential"] {
        assert!(ran.stderr.contains(&format!("cofferdam: {name}: ")), "{}", ran.stderr);
    }
}

#[test]
fn an_old_stream_and_one_of_no_known_age_are_14_before_anything_is_restored() {
    let place = place(1);
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let seal = |name: &str, more: &[&str]| {
        let seal = ["seal", "-r", &place.recipient, "-o", name, "plain"];
        place.run(seal.iter().chain(more)).assert_done();
    };
    seal("old.cfd", &["--sequence", &(now - 200_000).to_string()]);
    seal("future.cfd", &["--sequence", &(now * 1000).to_string()]);
    seal("noted.cfd", &["--metadata", &format!("taken={}", now - 3700)]);
    let by_sequence = "max_age = \"2d\"\nsequence_is_time = true";
    let by_pair = |max: &str| format!("max_age = \"{max}\"\ntime_metadata = \"taken\"");
    for (sealed, rule, words) in [
        ("old.cfd", by_sequence, "it was sealed 2 d 7 h ago, and `max_age` is 2 d"),
        ("sealed.cfd", by_sequence, "has no sequence number, so its age is not known"),
        ("future.cfd", by_sequence, "lies in the future"),
        ("noted.cfd", &by_pair("1h"), "it was sealed 1 h 1 min ago, and `max_age` is 1 h"),
        ("sealed.cfd", &by_pair("1h"), "has no time under `taken` in its metadata"),
    ] {
        for mode in ["restore", "verify", "sample"] {
            write(&place, &[stream("db", sealed, &format!("mode = \"{mode}\"\n{rule}"))]);
            drill(&place).assert_failed(14, words);
            let said = evidence(&place)["streams"][0].take();
            assert_eq!(said["open_seconds"], Value::Null, "{sealed}, {mode}");
        }
    }
    write(&place, &[stream("db", "noted.cfd", &format!("mode = \"verify\"\n{}", by_pair("2h")))]);
    drill(&place).assert_done();
    let said = evidence(&place)["streams"][0].take();
    assert!(said["age_seconds"].as_u64().unwrap() >= 3700, "{said}");
}

#[test]
fn a_sample_finds_damage_where_it_looks_and_says_where_that_was() {
    let place = place(6);
    place.damage_segment(4);
    write(&place, &[stream("db", "sealed.cfd", "mode = \"sample\"\nsample = 6")]);
    drill(&place).assert_failed(3, "segment 4");
    let damaged = stream("db", "sealed.cfd", "mode = \"sample\"\nsample = 1");
    let mut outcomes = [0; 2];
    // That one of the two does not come in 60 draws has a chance of less than 1 in 50,000.
    for _ in 0..60 {
        write(&place, std::slice::from_ref(&damaged));
        let ran = drill(&place);
        let said = evidence(&place)["streams"][0].take();
        match said["sample"]["segments"][0].as_u64() {
            Some(drawn) => assert!(ran.code == 0 && drawn != 4, "{drawn}: {}", ran.stderr),
            None => assert_eq!(ran.code, 3, "{}", ran.stderr),
        }
        outcomes[usize::from(ran.code == 3)] += 1;
        if !outcomes.contains(&0) {
            return;
        }
    }
    panic!("no sample was drawn at random: {outcomes:?}");
}

#[test]
fn a_sample_tries_its_keys_no_more_often_the_more_segments_it_draws() {
    let place = place(40);
    let mut sealed = place.read("sealed.cfd");
    // Whoever opens the key area says that its first copy is damaged.
    sealed[4096 + 100] ^= 1;
    fs::write(place.path("sealed.cfd"), sealed).unwrap();
    let openings = |segments: u64| {
        write(&place, &[stream("db", "sealed.cfd", &format!("mode = \"sample\"\nsample = {segments}"))]);
        let ran = drill(&place);
        ran.assert_done();
        ran.stderr.matches("key copy 0").count()
    };
    // Of 20 of 40, some are no neighbours.
    let one = openings(1);
    assert!(one > 0);
    assert_eq!(openings(20), one);
}

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
        place.run(["drill", option, "/dev/null", "drill.toml"]).assert_failed(2, "/dev/null is no file, and");
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
fn a_file_that_others_can_write_to_is_not_obeyed() {
    let place = place(1);
    write(&place, &[checked("true", "")]);
    for mode in [0o666, 0o664, 0o646, 0o620] {
        fs::set_permissions(place.path("drill.toml"), fs::Permissions::from_mode(mode)).unwrap();
        drill(&place).assert_failed(2, "others than you and root can write to it");
        assert!(!place.path("evidence.json").exists(), "{mode:o}");
    }
    fs::set_permissions(place.path("drill.toml"), fs::Permissions::from_mode(0o644)).unwrap();
    drill(&place).assert_done();
}

#[test]
fn of_a_stream_that_did_not_open_nothing_is_said_that_another_look_has_shown() {
    let place = Place::new();
    fs::create_dir(place.path("scratch")).unwrap();
    fs::write(place.path("plain"), plaintext(3 * SEGMENT_LEN)).unwrap();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs().to_string();
    let seal = ["seal", "-r", &place.recipient, "--sequence", &now, "-o", "sealed.cfd", "plain"];
    place.run(seal.into_iter().chain(SMALL)).assert_done();
    place.damage_segment(1);
    let known =
        ["stream_id", "digest_kind", "sequence", "sealed_at", "age_seconds", "segments", "sealed_bytes"];
    let timed = "sequence_is_time = true\nmin_sequence = 99999999999";
    let other = format!("expect_digest = \"{}\"", "3f".repeat(32));
    for (mode, rest, code) in [
        ("restore", "sequence_is_time = true", 3),
        ("verify", "sequence_is_time = true", 3),
        ("sample", "sequence_is_time = true", 3),
        ("restore", timed, 14),
        ("verify", timed, 14),
        ("sample", timed, 14),
        ("sample", &other, 3),
    ] {
        write(&place, &[stream("db", "sealed.cfd", &format!("mode = \"{mode}\"\n{rest}"))]);
        assert_eq!(drill(&place).code, code, "{mode}, {rest}");
        let said = evidence(&place)["streams"][0].take();
        known.iter().for_each(|field| assert_eq!(said[field], Value::Null, "{mode}, {rest}: {field}"));
    }
    // One that opened, and failed its check, is known.
    place.run(["seal", "--force"].into_iter().chain(seal[1..].iter().copied())).assert_done();
    write(&place, &[checked("false", "sequence_is_time = true")]);
    drill(&place).assert_failed(16, "the check ended with 1");
    let said = evidence(&place)["streams"][0].take();
    known.iter().for_each(|field| assert_ne!(said[field], Value::Null, "{field}"));
}

#[test]
fn a_key_that_is_a_pipe_fails_its_stream_alone() {
    let place = place(1);
    mknodat(CWD, place.path("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let by = |name: &str, key: &str| {
        stream(name, "sealed.cfd", "mode = \"verify\"").replace("identity = [\"key.txt\"]", key)
    };
    write(
        &place,
        &[
            by("a", "identity = [\"fifo\"]"),
            by("b", "key_file = [\"fifo\"]"),
            by("c", "passphrase_file = \"fifo\""),
            by("good", "identity = [\"key.txt\"]"),
        ],
    );
    drill(&place).assert_failed(2, "3 of 4 streams failed");
    let found = evidence(&place);
    let results = [0, 1, 2, 3].map(|index| found["streams"][index]["result"].as_str().unwrap());
    assert_eq!(results, ["failed", "failed", "failed", "passed"]);
    assert!(
        found["streams"][0]["error"]["message"]
            .as_str()
            .unwrap()
            .ends_with("/fifo is a pipe: a drill is repeated")
    );
}

#[test]
fn any_key_that_the_file_names_opens_and_none_of_the_environment_does() {
    let place = place(1);
    place.run(["keygen", "--key-file", "-o", "k"]).assert_done();
    fs::write(place.path("words"), "correct horse\n").unwrap();
    place.run(["seal", "--key-file", "k", "-o", "by-key.cfd", "plain"]).assert_done();
    place.run(["seal", "--passphrase-file", "words", "-o", "by-words.cfd", "plain"]).assert_done();
    let with = |name: &str, sealed: &str, keys: &str| {
        stream(name, sealed, "mode = \"verify\"").replace("identity = [\"key.txt\"]", keys)
    };
    write(
        &place,
        &[
            with("by key", "by-key.cfd", "key_file = [\"k\"]"),
            with("by words", "by-words.cfd", "passphrase_file = \"words\""),
            with("by credential", "sealed.cfd", "identity = [\"credential:key.txt\"]"),
            with("without", "sealed.cfd", ""),
        ],
    );
    let mut command = place.command(["drill", "drill.toml"]);
    command.env("COFFERDAM_IDENTITY", "key.txt").env("CREDENTIALS_DIRECTORY", place.directory.path());
    Ran::of(command.output().unwrap()).assert_done();
    let found = evidence(&place);
    let said = |index: usize| found["streams"][index]["authenticity"].as_str().unwrap();
    assert_eq!([0, 1, 2, 3].map(said), ["checked", "checked", "checked", "not checked"]);
}

#[test]
fn a_closed_standard_output_loses_the_report_alone() {
    let place = place(1);
    write(&place, &[checked("true", "")]);
    place.shell("cofferdam drill drill.toml >&-").assert_done();
    assert_eq!(evidence(&place)["result"], "passed");
    let ran = place.shell("cofferdam drill --json drill.toml >&-");
    ran.assert_failed(1, "the drill has ended, and its evidence is written; only the report of it failed");
    assert!(ran.stderr.contains("\"event\":\"drilled\""), "{}", ran.stderr);
    let ran = place.shell("cofferdam drill drill.toml >/dev/full");
    ran.assert_failed(1, "only the report of it failed");
    place
        .shell("cofferdam drill --example >/dev/full")
        .assert_failed(1, "standard output could not be written");
}

#[test]
fn the_example_is_printed_and_is_a_file_of_a_drill() {
    let place = place(1);
    let example = place.run(["drill", "--example"]);
    example.assert_done();
    fs::write(place.path("drill.toml"), &example.stdout).unwrap();
    // Of its streams and keys none is there: that is what it fails for.
    let ran = place.run(["drill", "--evidence", "e.json", "drill.toml"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("backup-key.txt could not be read"), "{}", ran.stderr);
    place.run(["drill"]).assert_failed(2, "required");
    place.run(["drill", "absent.toml"]).assert_failed(1, "absent.toml could not be read");
    fs::write(place.path("drill.toml"), "scratch = \"s\"\nsecret = 5\n").unwrap();
    drill(&place).assert_failed(2, "drill.toml, line 2: unknown field `secret`");
}

#[test]
fn what_is_secret_in_a_url_of_the_file_is_in_no_message_and_no_evidence() {
    if servers::installed::is_skipped() {
        return;
    }
    let place = place(1);
    let server = Nginx::start(place.directory.path()).unwrap();
    let served = |path: &str| format!("http://hunter2:S3CR3T@{}/{path}?sig=hunter2", server.address());
    let quoted = r#"ftp://hunter2:a\"S3CR'S3CR3T@host.invalid/k"#.to_owned();
    for url in [served("absent"), served("plain"), "ftp://hunter2:S3CR3T@host.invalid/k".to_owned(), quoted] {
        for text in [
            stream("db", &url, "mode = \"verify\""),
            stream("db", &url, "mode = \"verify\"\nchek = 1"),
            stream("db", "sealed.cfd", &format!("mode = \"{url}\"")),
            stream("db", "sealed.cfd", &format!("mode = \"verify\"\nmax_age = \"{url}\"")),
            stream("db", "sealed.cfd", &format!("mode = \"verify\"\nmin_sequence = \"{url}\"")),
            stream("db", "sealed.cfd", "mode = \"verify\"").replace("key.txt", &url),
            checked("cat ../../url; false", "").replace("../../url", &format!("../../url '{url}'")),
        ] {
            write(&place, &[text]);
            fs::write(place.path("url"), url.replace('\\', "")).unwrap();
            let ran = place.run(["drill", "--metrics-file", "d.prom", "drill.toml"]);
            assert_ne!(ran.code, 0);
            let written = ["evidence.json", "d.prom"].map(|name| fs::read_to_string(place.path(name)));
            let said = format!("{}{}{written:?}", ran.stderr, ran.text());
            for secret in ["hunter2", "S3CR"] {
                assert!(!said.contains(secret), "{url}: {said}");
            }
        }
    }
}

#[test]
fn a_stream_on_a_server_is_drilled_as_a_file_is() {
    if servers::installed::is_skipped() {
        return;
    }
    let place = place(40);
    let server = Nginx::start(place.directory.path()).unwrap();
    let url = server.url("sealed.cfd");
    write(
        &place,
        &[
            stream("all", &url, "mode = \"restore\"\ncheck = [\"test\", \"-s\", \"{}\"]"),
            stream("some", &url, "mode = \"sample\"\nsample = 5"),
            stream("checked", &url, "mode = \"verify\""),
        ],
    );
    drill(&place).assert_done();
    let found = evidence(&place);
    for index in 0..3 {
        assert_eq!(found["streams"][index]["sealed"], url);
        assert_eq!(found["streams"][index]["plaintext_bytes"].as_u64(), Some(40 * SEGMENT_LEN as u64 - 5));
    }
}
