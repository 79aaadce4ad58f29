//! `cofferdam drill`: what is restored, and what is written down of it. Checks, evidence, keys, samples, ages, scratch directories, metrics and
//! signals have files of their own, which take from here what makes a drill.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

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
