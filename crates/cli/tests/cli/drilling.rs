//! `cofferdam drill`: what is restored, checked and written down, and what is left of it: nothing.
//! Checks are lines of shell; whatever a test waits for can be seen.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::Value;
use servers::Nginx;

use crate::device_place::Mount;
use crate::interrupts::catches_interrupts;
use crate::metrics::assert_is_understood;
use crate::place::{Place, Ran, SEGMENT_LEN, SMALL, end_of, json_lines, plaintext, wait_until};
use crate::programs::{has, skipped};

/// With `sealed.cfd` of some segments, and a directory for scratch ones.
fn place(segments: usize) -> Place {
    let place = Place::with_sealed(segments);
    fs::create_dir(place.path("scratch")).unwrap();
    place
}

/// The file of a drill with these streams.
fn write(place: &Place, streams: &[String]) {
    let head = "scratch = \"scratch\"\nevidence = \"evidence.json\"\n";
    fs::write(place.path("drill.toml"), format!("{head}{}", streams.concat())).unwrap();
}

fn stream(name: &str, sealed: &str, rest: &str) -> String {
    format!("\n[[stream]]\nname = \"{name}\"\nsealed = \"{sealed}\"\nidentity = [\"key.txt\"]\n{rest}\n")
}

/// A restore of `sealed.cfd` whose check is a line of shell, with the restored file as `$1`.
fn checked(line: &str, rest: &str) -> String {
    let line = line.replace('\\', "\\\\").replace('"', "\\\"");
    let check = format!("mode = \"restore\"\ncheck = [\"sh\", \"-c\", \"{line}\", \"sh\", \"{{}}\"]\n{rest}");
    stream("db", "sealed.cfd", &check)
}

fn drill(place: &Place) -> Ran {
    place.run(["drill", "drill.toml"])
}

fn evidence(place: &Place) -> Value {
    serde_json::from_slice(&place.read("evidence.json")).unwrap()
}

fn scratch_names(place: &Place) -> Vec<String> {
    let entries = fs::read_dir(place.path("scratch")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The one scratch directory that there is.
fn scratch_directory(place: &Place) -> Option<PathBuf> {
    scratch_names(place).pop().map(|name| place.path("scratch").join(name))
}

/// Drills one stream with a check, and gives what is said of it.
fn check(line: &str, rest: &str) -> (Place, Ran, Value) {
    let place = place(3);
    write(&place, &[checked(line, rest)]);
    let ran = drill(&place);
    let said = evidence(&place)["streams"][0].take();
    assert!(scratch_names(&place).is_empty(), "{:?}", scratch_names(&place));
    (place, ran, said)
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
fn a_check_that_fails_is_16_and_what_it_said_is_written_down() {
    let (_, ran, said) = check("echo something; echo 'pages 3 and 4: wrong' >&2; exit 7", "");
    ran.assert_failed(16, "db: the check ended with 7: pages 3 and 4: wrong");
    assert_eq!(
        (&said["result"], &said["error"]["kind"]),
        (&Value::from("failed"), &Value::from("check-failed"))
    );
    assert_eq!(said["check"]["exit_code"].as_i64(), Some(7));
    assert_eq!(said["check"]["output_tail"], "something\npages 3 and 4: wrong\n");
    // The stream itself was restored.
    assert_eq!(said["authenticity"], "checked");
    assert_eq!(said["plaintext_bytes"].as_u64(), Some(3 * SEGMENT_LEN as u64 - 5));

    let (_, ran, said) = check("kill -SEGV $$", "");
    ran.assert_failed(16, "was ended by signal 11");
    assert_eq!((said["check"]["exit_code"].as_i64(), said["check"]["signal"].as_i64()), (None, Some(11)));

    // One that tidies up more than it needs to has not failed.
    check("cd / && rm -r \"$OLDPWD\"", "").1.assert_done();

    let place = place(1);
    write(&place, &[stream("db", "sealed.cfd", "mode = \"restore\"\ncheck = [\"no-such-program\", \"{}\"]")]);
    drill(&place).assert_failed(16, "the check could not be run: no-such-program: ");
    assert!(scratch_names(&place).is_empty());
}

#[test]
fn a_check_that_hangs_is_stopped_with_all_that_it_has_started() {
    // One that heeds no signal, one in the background, and one that has left the group and its parent.
    let line = "trap '' TERM; sleep 1000 & setsid -f sh -c 'trap \"\" TERM; echo $$ >daemon; exec sleep 1000'; \
                until test -s daemon; do sleep 0.05; done; cat daemon; echo $!; while :; do sleep 1; done";
    // A machine that is busy may need longer to start them.
    for seconds in [2, 8, 32] {
        let (_, ran, said) = check(line, &format!("check_timeout = \"{seconds}s\""));
        ran.assert_failed(16, &format!("the check had not ended after {seconds} s, and was stopped"));
        let ended = (&said["check"]["timed_out"], &said["check"]["exit_code"]);
        assert_eq!(ended, (&Value::from(true), &Value::Null));
        if said["check"]["output_tail"].as_str().unwrap().lines().count() == 2 {
            return assert_gone(&said["check"]["output_tail"], 2);
        }
    }
    panic!("the check has not come to its loop");
}

#[test]
fn a_check_that_leaves_a_daemon_behind_passes_and_the_daemon_is_ended() {
    let line = "sleep 1000 & echo $!; setsid -f sh -c 'echo $$ >daemon; exec sleep 1000'; \
                until test -s daemon; do sleep 0.05; done; cat daemon";
    let (_, ran, said) = check(line, "");
    ran.assert_done();
    assert_gone(&said["check"]["output_tail"], 2);
}

/// Drills with a check as a user who is not root: this one, or another. That user's directory is `user`.
fn drill_as_user(place: &Place, line: &str, options: &[&str]) -> Ran {
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

const NOBODY: u32 = 65534;

/// By a process of its own: one that another test starts meanwhile would have the copy open to write, and nobody could run it.
fn copy_program(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg(from).arg(to).status().unwrap().success());
}

#[test]
fn a_check_that_takes_its_own_directory_from_its_user_does_not_keep_it_from_being_removed() {
    let place = place(1);
    for line in ["chmod 500 .", "mkdir -p a/b && touch a/b/c && chmod 0 a/b a .", "chmod 0 ."] {
        drill_as_user(&place, line, &[]).assert_done();
        let left = fs::read_dir(place.path("user/scratch")).unwrap().count();
        assert_eq!(left, 0, "{line}");
    }
    // What is kept is no drill's to remove any more.
    drill_as_user(&place, "chmod 500 . && false", &["--keep"]).assert_failed(16, "is kept in");
    drill_as_user(&place, "true", &[]).assert_done();
    assert_eq!(fs::read_dir(place.path("user/scratch")).unwrap().count(), 1);
}

#[test]
fn what_a_check_has_started_as_another_user_is_said_and_in_the_evidence() {
    if !geteuid().is_root() {
        skipped("this needs to be root");
        return;
    }
    let place = place(1);
    // As sudo does it: the user may not end what it starts.
    fs::create_dir(place.path("user")).unwrap();
    let as_root = place.path("user/as-root");
    copy_program(&program("setpriv"), &as_root);
    fs::set_permissions(&as_root, fs::Permissions::from_mode(0o4755)).unwrap();
    let path = as_root.display();
    let line = format!("{path} --reuid 0 --regid 0 --clear-groups setsid -f sleep 1000");
    let ran = drill_as_user(&place, &line, &[]);
    let evidence: Value = serde_json::from_slice(&place.read("user/evidence.json")).unwrap();
    let said = &evidence["streams"][0];
    if ran.stderr.contains("setpriv: ") || said["check"]["exit_code"].as_i64() != Some(0) {
        skipped(&format!("no program becomes root here: {}", ran.stderr));
        return;
    }
    let left = said["check"]["left_processes"].as_array().unwrap();
    assert_eq!(left.len(), 1, "{said}");
    let left = left[0].as_i64().unwrap() as i32;
    kill_process(Pid::from_raw(left).unwrap(), Signal::KILL).unwrap();
    ran.assert_done();
    assert!(ran.stderr.contains(&format!("could not be ended: process {left}")), "{}", ran.stderr);
    assert!(said["warnings"][0].as_str().unwrap().contains("could not be ended"), "{said}");
}

/// Where it is on the search path.
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file()).unwrap()
}

/// The processes whose numbers a check has printed.
fn assert_gone(output: &Value, count: usize) {
    let numbers: Vec<i32> = output.as_str().unwrap().lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(numbers.len(), count, "{output}");
    numbers.into_iter().for_each(wait_for_end);
}

/// It sleeps for longer than this waits. A zombie is one that nobody has asked after yet.
fn wait_for_end(process: i32) {
    wait_until("the end of a process", || {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
    });
}

#[test]
fn of_what_a_check_writes_the_end_is_kept_and_nothing_that_steers_a_terminal() {
    let (_, ran, said) = check("head -c 5000000 /dev/zero | tr '\\0' 'x'; printf '\\033[2J\\377end'", "");
    ran.assert_done();
    assert_eq!(said["check"]["output_bytes"].as_u64(), Some(5_000_000 + 8));
    let tail = said["check"]["output_tail"].as_str().unwrap();
    assert!(tail.ends_with("x\\u{1b}[2J\u{fffd}end"), "{:?}", &tail[tail.len() - 40..]);
    assert!(tail.len() < 5000, "{}", tail.len());
}

#[test]
fn a_check_is_given_the_file_and_neither_input_nor_secrets() {
    let place = place(1);
    let line = "cat; pwd; echo \"$1\"; env | cut -d= -f1 | sort; umask >/dev/null; ls -a";
    write(&place, &[checked(line, "")]);
    let mut command = place.command(["drill", "drill.toml"]);
    command.env("AWS_SECRET_ACCESS_KEY", "S3CR3T").env("COFFERDAM_IDENTITY", "key.txt").env("TZ", "UTC");
    command.env("CREDENTIALS_DIRECTORY", "/nowhere");
    Ran::of(command.output().unwrap()).assert_done();
    let said = evidence(&place)["streams"][0].take();
    let output = said["check"]["output_tail"].as_str().unwrap();
    for secret in ["AWS", "COFFERDAM", "CREDENTIALS", "XDG_STATE_HOME", "S3CR3T"] {
        assert!(!output.contains(secret), "{secret}: {output}");
    }
    for there in ["\nPATH\n", "\nTZ\n", "\nTMPDIR\n", "\nrestored\n"] {
        assert!(output.contains(there), "{there}: {output}");
    }
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(format!("{}/restored", lines[0]), lines[1]);
    let scratch = fs::canonicalize(place.path("scratch")).unwrap();
    assert!(lines[0].starts_with(&*scratch.to_string_lossy()), "{}", lines[0]);
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
            stream("none", "plain", "mode = \"sample\""),
            stream("unnumbered", "sealed.cfd", old),
            stream("another", "sealed.cfd", &pinned),
            stream("fine as well", "sealed.cfd", "mode = \"verify\""),
        ],
    );
    let ran = drill(&place);
    // That of the first that failed.
    ran.assert_failed(3, "8 of 10 streams failed");
    assert!(ran.text().contains("2 of 10 streams passed"), "{}", ran.text());
    let found = evidence(&place);
    assert_eq!((&found["result"], found["exit_code"].as_u64()), (&Value::from("failed"), Some(3)));
    let kinds: Vec<Option<&str>> =
        found["streams"].as_array().unwrap().iter().map(|stream| stream["error"]["kind"].as_str()).collect();
    let expected = ["damaged", "truncated", "io", "no-key", "io", "not-a-stream", "stale", "digest-mismatch"];
    assert_eq!(kinds[1..9], expected.map(Some));
    assert_eq!((kinds[0], kinds[9]), (None, None));
    assert_eq!(found["streams"][1]["error"]["segment"].as_u64(), Some(2));
    // Of what did not prove right, nothing is said that a key or a digest would prove.
    for (index, stream) in found["streams"].as_array().unwrap().iter().enumerate() {
        let said = (stream["authenticity"].as_str(), stream["pinned"].as_bool());
        let is_proved = [0, 9].contains(&index);
        assert_eq!(said, if is_proved { (Some("checked"), Some(false)) } else { (None, None) }, "{stream}");
    }
    assert!(scratch_names(&place).is_empty());
    for name in ["damaged", "missing", "no key"] {
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
    for (name, content) in [("precious", "{\"cofferdam_drill\": \"1\"}"), ("empty", ""), ("list", "[1]")] {
        fs::write(place.path(name), content).unwrap();
        let ran = place.run(["drill", "--evidence", name, "drill.toml"]);
        ran.assert_failed(6, &format!("{name} exists, and is no evidence of a drill"));
        let ran = place.run(["drill", "--metrics-file", name, "drill.toml"]);
        ran.assert_failed(6, &format!("{name} exists, and is no file of a drill's metrics"));
        assert_eq!(place.read(name), content.as_bytes());
    }
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
    // What the stream failed with comes first, and both are said.
    fs::create_dir(&directory).unwrap();
    write(&place, &[checked(&format!("rm -r '{directory}'; exit 3"), "")]);
    let ran = place.run(["drill", "--evidence", "evidence/now.json", "drill.toml"]);
    ran.assert_failed(16, "the check ended with 3");
    assert!(ran.stderr.contains("the evidence could not be written"), "{}", ran.stderr);
}

#[test]
fn metrics_keep_when_a_stream_last_passed() {
    let place = place(1);
    place.seal("plain", "other.cfd").assert_done();
    let streams = |check: &str| {
        write(
            &place,
            &[checked(check, ""), stream("a \\\"quoted\\\" one", "other.cfd", "mode = \"verify\"")],
        );
        place.run(["drill", "--metrics-file", "d.prom", "drill.toml"]).code
    };
    let value = |name: &str, stream: &str| {
        let text = String::from_utf8(place.read("d.prom")).unwrap();
        let head = format!("cofferdam_drill_{name}{{stream=\"{stream}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&head).map(|value| value.parse::<f64>().unwrap()))
    };
    assert_eq!(streams("exit 1"), 16);
    assert_eq!((value("success", "db"), value("last_success_timestamp_seconds", "db")), (Some(0.0), None));
    let quoted = "a \\\"quoted\\\" one";
    assert_eq!(value("success", quoted), Some(1.0));
    assert_eq!(streams("exit 0"), 0);
    let passed = value("last_success_timestamp_seconds", "db").unwrap();
    assert!(passed > 1.7e9, "{passed}");
    assert_eq!(value("restored_bytes", "db"), Some((SEGMENT_LEN - 5) as f64));
    // One that can be told from the next drill's.
    let text = String::from_utf8(place.read("d.prom")).unwrap();
    fs::write(place.path("d.prom"), text.replace(&format!("{passed}"), "1700000001")).unwrap();
    assert_eq!(streams("exit 1"), 16);
    assert_eq!(value("last_success_timestamp_seconds", "db"), Some(1_700_000_001.0));
    assert!(value("last_run_timestamp_seconds", "db").unwrap() >= passed);
    assert_eq!(value("success", "db"), Some(0.0));
    assert!(value("duration_seconds", "db").unwrap() > 0.0);
    let mode = fs::metadata(place.path("d.prom")).unwrap().mode() & 0o777;
    assert_eq!(mode, 0o644, "a collector has to read it");
    assert_is_understood(&place, "d.prom");
    let text = String::from_utf8(place.read("d.prom")).unwrap();
    for family in ["success", "last_success_timestamp_seconds", "duration_seconds", "restored_bytes"] {
        let name = format!("cofferdam_drill_{family}");
        assert_eq!(text.matches(&format!("# TYPE {name} gauge\n")).count(), 1, "{text}");
        assert_eq!(text.matches(&format!("# HELP {name} ")).count(), 1, "{text}");
    }
}

#[test]
fn no_room_is_said_before_anything_is_restored_and_room_that_runs_out_leaves_nothing() {
    let place = place(1);
    fs::write(place.path("long"), plaintext(3 << 20)).unwrap();
    let zeros = fs::File::create(place.path("zeros")).unwrap();
    zeros.set_len(64 << 20).unwrap();
    place.run(["seal", "-r", &place.recipient, "-o", "long.cfd", "long"]).assert_done();
    place.run(["seal", "-r", &place.recipient, "-o", "zeros.cfd", "zeros"]).assert_done();
    let Some(mount) = Mount::tmpfs(&place, "small", "2m") else { return };
    let into_small = |sealed: &str, rest: &str| {
        write(&place, &[stream("db", sealed, &format!("mode = \"restore\"\n{rest}"))]);
        let file = String::from_utf8(place.read("drill.toml")).unwrap();
        fs::write(place.path("drill.toml"), file.replace("\"scratch\"", "\"small\"")).unwrap();
        let ran = drill(&place);
        assert_eq!(fs::read_dir(place.path("small")).unwrap().count(), 0);
        ran
    };
    into_small("long.cfd", "")
        .assert_failed(1, "no room in ./small: the stream has 3.00 MiB, and 2.00 MiB are free");
    into_small("long.cfd", "ignore_room = true").assert_failed(1, "No space left");
    into_small("zeros.cfd", "").assert_failed(1, "no room in");
    into_small("zeros.cfd", "ignore_room = true").assert_done();
    drop(mount);
}

#[test]
fn a_scratch_behind_a_link_is_used_and_one_that_others_write_to_is_not() {
    let place = place(1);
    fs::rename(place.path("scratch"), place.path("elsewhere")).unwrap();
    symlink("elsewhere", place.path("scratch")).unwrap();
    write(&place, &[checked("pwd", "")]);
    drill(&place).assert_done();
    let said = evidence(&place)["streams"][0].take();
    assert!(said["check"]["output_tail"].as_str().unwrap().contains("/elsewhere/cofferdam-drill-"), "{said}");
    assert!(scratch_names(&place).is_empty());
    fs::set_permissions(place.path("elsewhere"), fs::Permissions::from_mode(0o777)).unwrap();
    drill(&place).assert_failed(2, "is others' to write to");
    fs::remove_file(place.path("scratch")).unwrap();
    drill(&place).assert_failed(1, "cannot be used");
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
fn a_pipe_is_not_drilled_and_what_lies_in_the_scratch_directory_is_left_alone() {
    let place = place(1);
    let live = ["scratch/restored", "scratch/.cofferdam-drill", "scratch/cofferdam-drill-0123456789abcdef"];
    live.iter().for_each(|name| fs::write(place.path(name), "live").unwrap());
    mknodat(CWD, place.path("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    write(&place, &[stream("a pipe", "fifo", "mode = \"restore\""), checked("echo new >../note", "")]);
    drill(&place).assert_failed(2, "a pipe: ./fifo is a pipe: a drill is repeated");
    assert_eq!(evidence(&place)["streams"][1]["result"], "passed");
    live.iter().for_each(|name| assert_eq!(place.read(name), b"live", "{name}"));
    assert_eq!(
        scratch_names(&place).len(),
        live.len() + 1,
        "what a check writes elsewhere is the operator's"
    );
}

#[test]
fn what_is_kept_for_the_operator_is_not_removed_by_the_next_drill() {
    let place = place(1);
    write(&place, &[checked("echo mine >note; exit 1", "")]);
    let ran = place.run(["drill", "--keep", "drill.toml"]);
    ran.assert_failed(16, "What was restored is kept in ");
    let kept = scratch_directory(&place).unwrap();
    assert!(fs::read(kept.join("restored")).unwrap() == place.read("plain"));
    drill(&place).assert_failed(16, "the check ended with 1");
    assert_eq!(scratch_directory(&place), Some(kept.clone()));
    assert_eq!(fs::read(kept.join("note")).unwrap(), b"mine\n");
    write(&place, &[checked("true", "")]);
    place.run(["drill", "--keep", "drill.toml"]).assert_done();
    assert_eq!(scratch_names(&place).len(), 1);
}

#[test]
fn what_a_check_has_mounted_is_not_emptied() {
    let place = place(1);
    let other = place.path("live");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("precious"), "x").unwrap();
    let line = format!("mkdir m && mount --bind '{}' m", other.display());
    write(&place, &[checked(&line, "")]);
    let ran = drill(&place);
    if ran.code == 16 {
        skipped("this needs to mount a file system");
        return;
    }
    assert!(other.join("precious").exists());
    ran.assert_failed(1, "something is mounted in it");
    let scratch = scratch_directory(&place).unwrap();
    let unmounted = Command::new("umount").arg(scratch.join("m")).status().unwrap();
    assert!(unmounted.success());
    drill(&place);
    assert!(!scratch.exists(), "the next drill removes it");
    let scratch = scratch_directory(&place).unwrap();
    Command::new("umount").arg(scratch.join("m")).status().unwrap();
}

#[test]
fn a_signal_ends_a_drill_in_each_phase_and_leaves_nothing() {
    let place = place(400);
    for mode in ["restore", "verify", "sample"] {
        let slow = stream("slow", "sealed.cfd", &format!("mode = \"{mode}\"\n"));
        let sample = if mode == "sample" { "sample = 400\n" } else { "" };
        write(&place, &[slow + sample, checked("true", "").replace("\"db\"", "\"later\"")]);
        let mut drilling = place.spawn(["drill", "--json", "--limit-rate", "64KiB", "drill.toml"]);
        // Its first line of progress shows that it has begun.
        let mut stderr = drilling.stderr.take().unwrap();
        std::io::Read::read_exact(&mut stderr, &mut [0; 1]).unwrap();
        send(&drilling, Signal::INT);
        let ran = end_of(drilling);
        assert_eq!(ran.code, 130, "{mode}");
        assert!(scratch_names(&place).is_empty());
        let found = evidence(&place);
        assert_eq!((&found["result"], found["exit_code"].as_u64()), (&Value::from("interrupted"), Some(130)));
        assert_eq!(found["streams"][0]["result"], "interrupted");
        assert_eq!(found["streams"][1]["result"], "not-tried");
        for stream in [0, 1] {
            let said = (&found["streams"][stream]["authenticity"], &found["streams"][stream]["pinned"]);
            assert_eq!(said, (&Value::Null, &Value::Null), "{mode}");
        }
    }
    write(&place, &[checked("sleep 1000 & echo $! >pid; echo ready >ready; wait", "")]);
    let drilling = place.spawn(["drill", "--metrics-file", "d.prom", "drill.toml"]);
    let pid = wait_for_check(&place);
    send(&drilling, Signal::TERM);
    end_of(drilling).assert_failed(143, "db: interrupted");
    wait_for_end(pid.as_raw_nonzero().get());
    assert!(scratch_names(&place).is_empty());
    assert!(!place.path("d.prom").exists(), "nothing was found out");
}

#[test]
fn a_drill_that_is_stopped_between_two_streams_has_not_passed() {
    let place = place(1);
    // Whether the check has ended by then or not: the second stream is not tried.
    write(&place, &[checked("kill -TERM $PPID", ""), checked("true", "").replace("\"db\"", "\"later\"")]);
    for _ in 0..5 {
        let ran = drill(&place);
        assert_eq!(ran.code, 143, "{}", ran.stderr);
        let found = evidence(&place);
        assert_eq!((&found["result"], found["exit_code"].as_u64()), (&"interrupted".into(), Some(143)));
        assert_eq!(found["streams"][1]["result"], "not-tried");
        assert!(scratch_names(&place).is_empty());
    }
    // The signal comes to the check as well.
    write(&place, &[checked("kill -TERM $PPID $$", "")]);
    drill(&place).assert_failed(143, "db: interrupted");
    assert_eq!(evidence(&place)["streams"][0]["result"], "interrupted");
}

#[test]
fn what_a_check_has_put_in_the_place_of_its_directory_stays() {
    let place = place(1);
    let precious = place.path("precious");
    let line = format!("mv \"$TMPDIR\" ../moved && ln -s '{}' \"$TMPDIR\"", precious.display());
    fs::create_dir(&precious).unwrap();
    fs::write(precious.join("file"), "x").unwrap();
    write(&place, &[checked(&line, "")]);
    drill(&place).assert_failed(1, "it has been moved, and something else is in its place");
    assert!(precious.join("file").exists());
    assert_eq!(evidence(&place)["streams"][0]["result"], "failed");
}

#[test]
fn a_check_may_take_longer_than_any_clock_goes() {
    check("true", "check_timeout = \"18446744073709551615s\"").1.assert_done();
}

#[test]
fn a_signal_ends_a_drill_that_waits_for_a_key() {
    let place = place(1);
    mknodat(CWD, place.path("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    write(&place, &[stream("db", "sealed.cfd", "mode = \"restore\"").replace("key.txt", "fifo")]);
    let drilling = place.spawn(["drill", "drill.toml"]);
    wait_until("the handler of signals", || catches_interrupts(&drilling));
    send(&drilling, Signal::INT);
    end_of(drilling).assert_failed(130, "cofferdam: interrupted");
    assert!(scratch_names(&place).is_empty() && !place.path("evidence.json").exists());
}

#[test]
fn what_a_killed_drill_left_is_removed_by_the_next_one_and_one_at_work_is_left_alone() {
    let place = place(1);
    write(&place, &[checked("sleep 1000 & echo $! >pid; echo ready >ready; wait", "")]);
    let mut drilling = place.spawn(["drill", "drill.toml"]);
    let pid = wait_for_check(&place);
    let left = scratch_directory(&place).unwrap();
    fs::write(place.path("quick.toml"), {
        let text = "scratch = \"scratch\"\nevidence = \"quick.json\"\n".to_owned();
        text + &checked("true", "")
    })
    .unwrap();
    let quick = place.run(["drill", "quick.toml"]);
    quick.assert_done();
    assert!(left.join("restored").exists(), "the other drill is at work");
    drilling.kill().unwrap();
    drilling.wait().unwrap();
    // What it has started goes on: nobody could end it.
    kill_process(pid, Signal::KILL).unwrap();
    let quick = place.run(["drill", "quick.toml"]);
    quick.assert_done();
    assert!(quick.stderr.contains("was removed: a drill that did not end had left it"), "{}", quick.stderr);
    assert!(scratch_names(&place).is_empty());
}

/// The process that a check has started, once it has said so.
fn wait_for_check(place: &Place) -> Pid {
    let has = |name: &str| scratch_directory(place).is_some_and(|scratch| scratch.join(name).exists());
    wait_until("the check", || has("ready"));
    let number = fs::read_to_string(scratch_directory(place).unwrap().join("pid")).unwrap();
    Pid::from_raw(number.trim().parse().unwrap()).unwrap()
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
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
    for url in [served("absent"), served("plain"), "ftp://hunter2:S3CR3T@host.invalid/k".to_owned()] {
        for text in [
            stream("db", &url, "mode = \"verify\""),
            stream("db", &url, "mode = \"verify\"\nchek = 1"),
            stream("db", "sealed.cfd", &format!("mode = \"{url}\"")),
            stream("db", "sealed.cfd", &format!("mode = \"verify\"\nmax_age = \"{url}\"")),
            stream("db", "sealed.cfd", &format!("mode = \"verify\"\nmin_sequence = \"{url}\"")),
            stream("db", "sealed.cfd", "mode = \"verify\"").replace("key.txt", &url),
            checked(&format!("echo '{url}'; false"), ""),
        ] {
            write(&place, &[text]);
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

#[test]
fn a_database_that_was_sealed_damaged_is_found_by_its_own_check() {
    if !has("sqlite3") {
        return;
    }
    let place = place(1);
    let rows = "create table t(n integer primary key, text); with recursive c(n) as (select 1 union all \
                select n + 1 from c where n < 20000) insert into t select n, hex(randomblob(20)) from c; \
                create index i on t(text);";
    let made = Command::new("sqlite3").arg(place.path("db")).arg(rows).status().unwrap();
    assert!(made.success());
    let whole = place.read("db");
    for (damage, code) in [(false, 0), (true, 16)] {
        let mut bytes = whole.clone();
        if damage {
            let middle = bytes.len() / 2;
            bytes[middle..middle + 3000].fill(0x5a);
        }
        fs::write(place.path("db"), bytes).unwrap();
        let seal = ["seal", "--force", "-r", &place.recipient, "-o", "sealed.cfd", "db"];
        place.run(seal).assert_done();
        // As the example has it.
        write(
            &place,
            &[checked("test \"$(sqlite3 \"$1\" 'PRAGMA integrity_check' | tee -a /dev/stderr)\" = ok", "")],
        );
        let ran = drill(&place);
        assert_eq!(ran.code, code, "{}", ran.stderr);
        let said = evidence(&place)["streams"][0].take();
        let output = said["check"]["output_tail"].as_str().unwrap();
        assert_eq!(output.trim() == "ok", !damage, "{output}");
        assert!(scratch_names(&place).is_empty());
    }
}
