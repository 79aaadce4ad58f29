//! `seal --resume`: the real program interrupted, killed, and run again.
//! How much of a sealing is kept byte by byte is the library's to test.

use std::ffi::OsStr;
use std::fs::{self, File, FileTimes};
use std::io::Read as _;
use std::process::Child;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};

use crate::place::{Place, Ran, SEGMENT_LEN, SMALL, end_of, json_lines, plaintext, wait_until};

const STAGING: &str = ".out.cfd.cofferdam-staging";
const STATE: &str = ".out.cfd.cofferdam-journal";
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
fn an_interrupted_seal_says_how_to_go_on_and_the_same_command_does() {
    let place = place();
    let command = seal(&place, &["-i", "key.txt"]);
    let ran = interrupt(&place, &command, Signal::INT);
    let error = json_lines(ran.stderr.as_bytes()).pop().unwrap();
    assert_eq!((ran.code, error["kind"].as_str()), (130, Some("interrupted")));
    let advice = error["advice"].as_str().unwrap();
    assert!(advice.contains("the same command goes on") && advice.contains("--restart"), "{advice}");
    assert_eq!(place.names(), [STATE, STAGING, "key.txt", "plain"]);
    assert!(place.read(STATE).len() < 1000);

    // Threads and memory are no part of a stream.
    let again = seal(&place, &["-i", "key.txt", "--threads", "1", "--memory", "1MiB"]);
    let record = sealed_record(&place.run(again));
    assert!(record["kept"].as_u64() >= Some(SEGMENT_LEN as u64), "{record}");
    assert_eq!(place.names(), ["key.txt", "out.cfd", "plain"]);
    assert_restores(&place, &["-i", "key.txt"]);
}

#[test]
fn a_seal_that_is_killed_again_and_again_is_finished_and_verifies() {
    let place = place();
    let command = seal(&place, &["-i", "key.txt"]);
    let mut kills = 0;
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..KILL_ATTEMPTS_MAX {
        // Knuth's generator: the places are spread over a tenth of the input, and the same in every run.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let written_max = (seed >> 33) % (SEGMENTS * SEGMENT_LEN / 10) as u64;
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
fn without_a_key_it_is_4_and_restart_seals_anew() {
    let place = place();
    interrupt(&place, &seal(&place, &[]), Signal::INT);
    place.run(["keygen", "-o", "other.txt"]).assert_done();
    for keys in [&[][..], &["-i", "other.txt"]] {
        place.run(seal(&place, keys)).assert_failed(4, "--restart");
    }
    assert_eq!(place.names(), [STATE, STAGING, "key.txt", "other.txt", "plain"]);
    let record = sealed_record(&place.run(seal(&place, &["--restart"])));
    assert_eq!(record["kept"], 0);
    assert_restores(&place, &["-i", "key.txt"]);
}

#[test]
fn an_input_that_changed_is_1_another_form_2_and_another_input_8() {
    let place = place();
    let command = seal(&place, &["-i", "key.txt"]);
    interrupt(&place, &command, Signal::INT);
    for other in [["--digest", "sha256"], ["--metadata", "a=b"]] {
        place.run(seal(&place, &[&["-i", "key.txt"][..], &other].concat())).assert_failed(2, "--restart");
    }

    let plain = File::options().write(true).open(place.path("plain")).unwrap();
    let times = plain.metadata().unwrap().modified().unwrap();
    plain.set_times(FileTimes::new().set_modified(times + Duration::from_secs(1))).unwrap();
    let changed = place.run(&command);
    changed.assert_failed(1, "modified after its sealing was interrupted");
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
    for alone in [&["--restart"][..], &["-i", "key.txt"]] {
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
