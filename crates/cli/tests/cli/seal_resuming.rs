//! `seal --resume`: the real program interrupted, killed, and run again.
//! How much of a sealing is kept byte by byte is the library's to test.

use std::ffi::OsStr;
use std::fs::{self, File, FileTimes};
use std::io::Read as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::process::Child;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};

use crate::place::{Place, Ran, SEGMENT_LEN, SMALL, end_of, json_lines, plaintext, wait_until};

const STAGING: &str = ".out.cfd.cofferdam-staging";
const JOURNAL: &str = ".out.cfd.cofferdam-journal";
/// Long enough to be interrupted.
const SEGMENTS: usize = 3000;
/// Runs that are killed before they are done, of so many that are begun.
const KILLS: usize = 8;
const KILL_ATTEMPTS_MAX: usize = 60;
/// Runs that may end before they are interrupted.
const ATTEMPTS_MAX: usize = 20;

/// With `plain`, and a command that seals it.
fn place() -> Place {
    let place = Place::new();
    fs::write(place.path("plain"), plaintext(SEGMENTS * SEGMENT_LEN - 5)).unwrap();
    place
}

fn seal<'a>(place: &'a Place, more: &[&'a str]) -> Vec<&'a str> {
    let command = ["seal", "--json", "--resume", "-r", &place.recipient, "-o", "out.cfd", "plain"];
    [&command[..], &SMALL, more].concat()
}

/// Runs until the first progress is reported, which is behind the first commit, then sends a signal. A run that has ended
/// before the signal came is done over.
fn interrupt(place: &Place, arguments: &[&str], signal: Signal) -> Ran {
    for _ in 0..ATTEMPTS_MAX {
        let ran = run_until_progress(place, arguments, signal);
        if ran.code != 0 {
            return ran;
        }
        fs::remove_file(place.path("out.cfd")).unwrap();
    }
    panic!("every run had ended before the signal came");
}

fn run_until_progress(place: &Place, arguments: &[&str], signal: Signal) -> Ran {
    let mut sealing = place.spawn(arguments);
    let mut stderr = sealing.stderr.take().unwrap();
    let mut said = vec![0; 1];
    stderr.read_exact(&mut said).unwrap();
    kill_process(Pid::from_child(&sealing), signal).unwrap();
    stderr.read_to_end(&mut said).unwrap();
    let mut ran = end_of(sealing);
    ran.stderr = String::from_utf8(said).unwrap();
    ran
}

fn assert_restores(place: &Place, keys: &[&str]) {
    let restore = [&["restore", "--force", "out.cfd", "restored"][..], keys].concat();
    place.run(restore).assert_done();
    assert!(place.read("restored") == place.read("plain"));
    fs::remove_file(place.path("restored")).unwrap();
}

fn sealed_record(ran: &Ran) -> serde_json::Value {
    ran.assert_done();
    json_lines(&ran.stdout).pop().unwrap()
}

#[test]
fn a_sealing_of_a_file_with_holes_goes_on_over_them() {
    let place = Place::new();
    let plain = File::create(place.path("plain")).unwrap();
    plain.set_len((4 * SEGMENTS * SEGMENT_LEN) as u64).unwrap();
    plain.write_all_at(&plaintext(SEGMENT_LEN), (3 * SEGMENTS * SEGMENT_LEN + 5) as u64).unwrap();
    let command = seal(&place, &[]);
    interrupt(&place, &command, Signal::INT);
    let record = sealed_record(&place.run(&command));
    assert!(record["kept"].as_u64().unwrap() > 0, "{record}");
    assert_restores(&place, &["-i", "key.txt"]);
}

#[test]
fn an_interrupted_seal_says_how_to_go_on_and_the_same_command_does() {
    let place = place();
    let command = seal(&place, &[]);
    let ran = interrupt(&place, &command, Signal::INT);
    let error = json_lines(ran.stderr.as_bytes()).pop().unwrap();
    assert_eq!((ran.code, error["kind"].as_str()), (130, Some("interrupted")));
    let advice = error["advice"].as_str().unwrap();
    assert!(advice.contains("the same command goes on") && advice.contains("--restart"), "{advice}");
    assert_eq!(place.names(), [JOURNAL, STAGING, "key.txt", "plain"]);
    assert!(place.read(JOURNAL).len() < 1000);
    assert_eq!(place.state_names().len(), 1);

    // Threads and memory are no part of a stream.
    let again = seal(&place, &["--threads", "1", "--memory", "1MiB"]);
    let record = sealed_record(&place.run(again));
    assert!(record["kept"].as_u64() >= Some(SEGMENT_LEN as u64), "{record}");
    assert_eq!(place.names(), ["key.txt", "out.cfd", "plain"]);
    assert_eq!(place.state_names(), [""; 0]);
    assert_restores(&place, &["-i", "key.txt"]);
}

#[test]
fn a_seal_that_is_killed_again_and_again_is_finished_and_verifies() {
    let place = place();
    let command = seal(&place, &[]);
    let mut kills = 0;
    let mut rng = fastrand::Rng::with_seed(1);
    for _ in 0..KILL_ATTEMPTS_MAX {
        // The places are spread over a tenth of the input, and the same in every run.
        let written_max = rng.u64(..(SEGMENTS * SEGMENT_LEN / 10) as u64);
        let mut sealing = place.spawn(&command);
        wait_until("the bytes written", || {
            written_by(&mut sealing).is_none_or(|written| written >= written_max)
        });
        sealing.kill().unwrap();
        sealing.wait().unwrap();
        if place.path("out.cfd").exists() {
            // It came too late. Then the output is whole, and the next run begins anew.
            assert_restores(&place, &["-i", "key.txt"]);
            fs::remove_file(place.path("out.cfd")).unwrap();
        } else {
            kills += 1;
        }
        if kills == KILLS {
            break;
        }
    }
    assert_eq!(kills, KILLS, "of {KILL_ATTEMPTS_MAX}");
    // However early the last kill came, now a segment has committed.
    assert_eq!(interrupt(&place, &command, Signal::TERM).code, 143);
    let record = sealed_record(&place.run(&command));
    assert!(record["kept"].as_u64() > Some(0), "{record}");
    place.run(["verify", "-i", "key.txt", "out.cfd"]).assert_done();
    assert_restores(&place, &["-i", "key.txt"]);
    assert_eq!(place.names(), ["key.txt", "out.cfd", "plain"]);
    assert_eq!(place.state_names(), [""; 0]);
}

/// Bytes that a process has handed to write calls, as the kernel counts them; `None` once it has ended.
fn written_by(child: &mut Child) -> Option<u64> {
    if child.try_wait().unwrap().is_some() {
        return None;
    }
    let io = fs::read_to_string(format!("/proc/{}/io", child.id())).ok()?;
    io.lines().find_map(|line| line.strip_prefix("wchar: "))?.parse().ok()
}

#[test]
fn a_passphrase_and_a_key_file_open_what_they_sealed() {
    let place = place();
    fs::write(place.path("words"), "correct horse").unwrap();
    place.run(["keygen", "--key-file", "-o", "raw.key"]).assert_done();
    for keys in [["--passphrase-file", "words"], ["--key-file", "raw.key"]] {
        let seal = ["seal", "--json", "--resume", "-o", "out.cfd", "plain"];
        let command = [&seal[..], &SMALL, &keys].concat();
        assert_eq!(interrupt(&place, &command, Signal::TERM).code, 143);
        assert!(sealed_record(&place.run(&command))["kept"].as_u64() > Some(0));
        assert_restores(&place, &keys);
        fs::remove_file(place.path("out.cfd")).unwrap();
    }
}

#[test]
fn an_identity_is_not_needed_and_one_that_is_given_is_not_read_and_that_is_said() {
    let place = place();
    interrupt(&place, &seal(&place, &[]), Signal::INT);
    let ran = place.run(seal(&place, &["-i", "no such file"]));
    assert!(sealed_record(&ran)["kept"].as_u64() > Some(0));
    let warnings = json_lines(ran.stderr.as_bytes());
    let warning = warnings.iter().find(|record| record["event"] == "warning").unwrap();
    assert!(warning["message"].as_str().unwrap().contains("not read"), "{warning}");
    assert_restores(&place, &["-i", "key.txt"]);
}

#[test]
fn without_its_state_it_is_8_and_restart_seals_anew() {
    let place = place();
    interrupt(&place, &seal(&place, &[]), Signal::INT);
    for _ in 0..2 {
        place.run(seal(&place, &["--state-dir", "other"])).assert_failed(8, "--restart");
    }
    // Beside the output nothing has changed, and the state that was kept still serves.
    assert!(sealed_record(&place.run(seal(&place, &[])))["kept"].as_u64() > Some(0));
    fs::remove_file(place.path("out.cfd")).unwrap();

    interrupt(&place, &seal(&place, &[]), Signal::INT);
    let record = sealed_record(&place.run(seal(&place, &["--state-dir", "other", "--restart"])));
    assert_eq!(record["kept"], 0);
    assert_restores(&place, &["-i", "key.txt"]);
}

#[test]
fn without_a_place_for_a_state_it_is_2_and_the_home_directory_is_one() {
    let place = place();
    let run = |home: Option<&str>, states: &str| {
        let mut command = place.command(seal(&place, &[]));
        command.env("XDG_STATE_HOME", states).env_remove("HOME");
        if let Some(home) = home {
            command.env("HOME", home);
        }
        Ran::of(command.output().unwrap())
    };
    // What is empty or relative counts for nothing.
    for (home, states) in [(None, ""), (Some(""), ""), (None, "relative"), (Some("relative"), "")] {
        run(home, states).assert_failed(2, "--state-dir");
    }
    assert_eq!(place.names(), ["key.txt", "plain"]);
    let home = tempfile::tempdir().unwrap();
    run(home.path().to_str(), "").assert_done();
    let states = home.path().join(".local/state/cofferdam");
    assert_eq!(fs::metadata(&states).unwrap().permissions().mode() & 0o7777, 0o700);
    assert_eq!(fs::read_dir(states).unwrap().count(), 0);
}

#[test]
fn what_is_kept_of_a_sealing_is_shown_and_discarded() {
    let place = place();
    interrupt(&place, &seal(&place, &[]), Signal::INT);
    let kept = place.names();
    let status = place.run(["status", "out.cfd"]);
    status.assert_done();
    for words in ["a sealing has not ended", STAGING, JOURNAL, ".sealing"] {
        assert!(status.text().contains(words), "{words}: {}", status.text());
    }
    let record = json_lines(&place.run(["status", "--json", "out.cfd"]).stdout).pop().unwrap();
    assert_eq!((&record["event"], &record["attempt"]), (&"status".into(), &"sealing".into()));
    assert_eq!(record["staging_len"].as_u64(), Some(place.read(STAGING).len() as u64));
    assert_eq!(record["input_len"].as_u64(), Some(place.read("plain").len() as u64));
    assert_eq!(record["durable_len"], serde_json::Value::Null);
    assert!(!status.text().contains("nothing is kept") && place.names() == kept);

    let discarded = place.run(["discard", "--json", "out.cfd"]);
    discarded.assert_done();
    let record = json_lines(&discarded.stdout).pop().unwrap();
    assert_eq!((&record["event"], record["removed"].as_array().unwrap().len()), (&"discarded".into(), 3));
    assert_eq!(place.names(), ["key.txt", "plain"]);
    assert_eq!(place.state_names(), [""; 0]);
    for command in ["status", "discard"] {
        let again = place.run([command, "out.cfd"]);
        again.assert_done();
        assert!(again.text().contains("nothing is kept for out.cfd"), "{}", again.text());
    }
    for command in ["status", "discard"] {
        place.run([command, "-"]).assert_failed(2, "standard output");
        place.run([command, "absent/out.cfd"]).assert_failed(1, "absent");
    }
}

#[test]
fn what_is_at_work_is_shown_and_not_discarded() {
    let place = place();
    let mut sealing = place.spawn(seal(&place, &["--memory", "1MiB", "--threads", "1"]));
    let stderr = sealing.stderr.take().unwrap();
    // Its progress is not read: it waits on a full pipe before it can end.
    wait_until("the staging file", || place.path(STAGING).exists() || sealing.try_wait().unwrap().is_some());
    kill_process(Pid::from_child(&sealing), Signal::STOP).unwrap();
    assert!(place.path(STAGING).exists(), "it had ended before it was stopped");
    place.run(["status", "out.cfd"]).assert_done();
    place.run(["discard", "out.cfd"]).assert_failed(9, "wait for it to end");
    assert!(place.path(STAGING).exists());
    sealing.kill().unwrap();
    sealing.wait().unwrap();
    drop(stderr);
    place.run(["discard", "out.cfd"]).assert_done();
    assert_eq!(place.names(), ["key.txt", "plain"]);
}

#[test]
fn an_input_that_changed_is_12_another_form_2_and_another_input_8() {
    let place = place();
    let command = seal(&place, &[]);
    interrupt(&place, &command, Signal::INT);
    for other in [["--digest", "sha256"], ["--metadata", "a=b"]] {
        place.run(seal(&place, &other)).assert_failed(2, "--restart");
    }

    let plain = File::options().write(true).open(place.path("plain")).unwrap();
    let times = plain.metadata().unwrap().modified().unwrap();
    plain.set_times(FileTimes::new().set_modified(times + Duration::from_secs(1))).unwrap();
    let changed = place.run(&command);
    changed.assert_failed(12, "modified after its sealing was interrupted");
    assert!(changed.stderr.contains("--restart") && !changed.stderr.contains("nothing is left"));

    fs::write(place.path("other"), b"another input").unwrap();
    let other: Vec<&str> = command.iter().map(|word| if *word == "plain" { "other" } else { word }).collect();
    place.run(other).assert_failed(8, "another input");

    plain.set_times(FileTimes::new().set_modified(times)).unwrap();
    assert!(sealed_record(&place.run(&command))["kept"].as_u64() > Some(0));
}

#[test]
fn what_cannot_be_resumed_is_a_usage_error_that_says_why() {
    let place = place();
    mknodat(CWD, place.path("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let seal = ["seal", "--resume", "-r", &place.recipient];
    for (more, words) in [
        (["-o", "out.cfd", "-"], "cannot be read a second time"),
        (["-o", "out.cfd", "fifo"], "only the sealing of a regular file"),
        (["-o", "-", "plain"], "not kept"),
    ] {
        place.run(seal.iter().chain(&more)).assert_failed(2, words);
    }
    for alone in [&["--restart"][..], &["-i", "key.txt"], &["--state-dir", "states"]] {
        let without = ["seal", "-r", &place.recipient, "plain"];
        let arguments: Vec<&OsStr> = without.iter().chain(alone).map(OsStr::new).collect();
        place.run(arguments).assert_failed(2, "--resume");
    }
    assert_eq!(place.names(), ["fifo", "key.txt", "plain"]);
}

#[test]
fn a_seal_without_resume_throws_away_nothing_that_an_interrupted_one_left() {
    let place = place();
    interrupt(&place, &seal(&place, &[]), Signal::INT);
    let kept = place.names();
    place.seal("plain", "out.cfd").assert_failed(8, "Go on with it by `--resume`");
    assert_eq!(place.names(), kept);
    place.run(seal(&place, &["--restart"])).assert_done();
    assert_eq!(place.names(), ["key.txt", "out.cfd", "plain"]);
    assert_restores(&place, &["-i", "key.txt"]);
}

#[test]
fn a_seal_over_what_a_restore_has_left_is_not_told_to_resume_it() {
    let place = Place::with_sealed(6);
    let half = place.read("sealed.cfd")[..3 * SEGMENT_LEN].to_vec();
    place
        .run_fed(["restore", "-i", "key.txt", "-", "t"], half)
        .assert_failed(5, "run the same command again");
    let kept = place.names();
    let ran = place.seal("plain", "t");
    ran.assert_failed(8, "`cofferdam discard`");
    assert!(ran.stderr.contains("restore") && !ran.stderr.contains("--resume"), "{}", ran.stderr);
    assert_eq!(place.names(), kept);
    place.run(["discard", "t"]).assert_done();
    place.seal("plain", "t").assert_done();
}

#[test]
fn an_interrupted_seal_keeps_its_number_and_takes_no_other() {
    let place = place();
    let interrupted = interrupt(&place, &seal(&place, &["--sequence", "7"]), Signal::INT);
    assert_eq!(interrupted.code, 130, "{}", interrupted.stderr);
    place.run(seal(&place, &["--sequence", "8"])).assert_failed(2, "another sequence number");
    let sealed = place.run(seal(&place, &[]));
    sealed.assert_done();
    assert_eq!(json_lines(&sealed.stdout)[0]["sequence"], 7);
    place.run(["verify", "-i", "key.txt", "--min-sequence", "7", "out.cfd"]).assert_done();
    place.run(["verify", "-i", "key.txt", "--min-sequence", "8", "out.cfd"]).assert_failed(14, "is 7");
}

/// What was kept is compared as far as it goes; that it ends there is no fault, and nothing is rolled back.
#[test]
fn a_seal_that_resumes_well_has_rolled_nothing_back() {
    let place = place();
    let arguments = seal(&place, &["--limit-rate", "512KiB"]);
    interrupt(&place, &arguments, Signal::TERM);
    let again = seal(&place, &["--metrics-file", "m.prom"]);
    assert!(sealed_record(&place.run(again))["kept"].as_u64().unwrap() > 0);
    let text = String::from_utf8(place.read("m.prom")).unwrap();
    let rolled_back = text.lines().filter(|line| line.starts_with("cofferdam_rolled_back_segments_total{"));
    assert!(
        rolled_back.clone().count() > 0 && rolled_back.clone().all(|line| line.ends_with(" 0")),
        "{text}"
    );
}
