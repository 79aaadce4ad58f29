//! What somebody else has done between two steps, or two runs of one: it is kept, or refused, and never taken for what was restored.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use crate::killed::is_killed;
use crate::place::{Place, plaintext};

/// Two parts, run, of a plan that replaces a target.
fn run_over_an_old_target() -> Place {
    let place = Place::new(&plaintext(40_000), "16KiB", "4KiB");
    fs::write(place.at("target"), "old").unwrap();
    place.plan(2, &["--force"]).assert_done();
    (0..2).for_each(|part| place.part(part).assert_done());
    place
}

/// Killed after the target has its name and before that is noted, as a node is that goes down: the engine starts on what it finds.
#[test]
fn what_an_engine_saved_after_a_commit_that_was_killed_is_not_replaced() {
    let commit = ["restore", "--plan", "plan", "--commit"];
    let mut found = None;
    for when in 1..10 {
        let place = run_over_an_old_target();
        assert!(is_killed(&place, "linkat", when, &commit), "no note is made by linkat");
        assert!(!place.at("plan.committed").exists());
        if place.read("target") == place.read("plain") {
            found = Some(place);
            break;
        }
    }
    let place = found.expect("it is not noted after it is published");
    let later = [place.read("plain"), b"later".to_vec()].concat();
    fs::write(place.at("new"), &later).unwrap();
    fs::rename(place.at("new"), place.at("target")).unwrap();
    for _ in 0..2 {
        place.commit().assert_failed(8, "something else stands there since");
        assert_eq!(place.read("target"), later);
    }
    place.run(["restore", "--plan", "plan", "--give-up"]).assert_done();
    assert_eq!(place.read("target"), later);
    assert!(place.attempts().is_none());
}

/// A commit that was killed before that is run again, whatever becomes of its parts meanwhile.
#[test]
fn a_commit_that_was_killed_before_its_rename_is_no_reason_to_refuse_the_next() {
    let commit = ["restore", "--plan", "plan", "--commit"];
    let place = run_over_an_old_target();
    assert!(is_killed(&place, "renameat", 1, &commit) || is_killed(&place, "renameat2", 1, &commit));
    assert_eq!(place.read("target"), b"old");
    assert_eq!(place.attempt_files("publishing").len(), 1);
    for part in place.attempt_files("part-1") {
        fs::OpenOptions::new().append(true).open(part).unwrap().write_all(b"more").unwrap();
    }
    place.commit().assert_failed(19, "1 part missing: 1");
    place.commit().assert_failed(19, "1 part missing: 1");
    place.part(1).assert_done();
    place.commit().assert_done();
    assert_eq!(place.read("target"), place.read("plain"));
    place.assert_tidy();
}

#[test]
fn where_a_commit_could_not_be_noted_nothing_is_put_in_place() {
    let place = run_over_an_old_target();
    symlink("nowhere", place.at("plan.committed")).unwrap();
    place.commit().assert_failed(8, "a link that leads nowhere");
    place.part(0).assert_failed(8, "a link that leads nowhere");
    assert_eq!(place.read("target"), b"old");
    assert!(!place.at("nowhere").exists());
    fs::remove_file(place.at("plan.committed")).unwrap();
    place.commit().assert_done();
    assert_eq!(place.read("target"), place.read("plain"));
    place.assert_tidy();
}

/// As PARTS §3 says, by another program than this one.
fn mac(key: &str, text: &str) -> String {
    let mut child = Command::new("openssl")
        .args(["dgst", "-sha256", "-mac", "HMAC", "-macopt", &format!("hexkey:{}", key.trim())])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    said.trim().rsplit_once(' ').unwrap().1.to_owned()
}

/// Whoever can write where the plan lies knows its key, or puts another there, and has a stream for the same recipient: the plan is
/// one of its own, and names what the right one does.
#[test]
fn a_plan_that_was_swapped_for_another_with_its_name_and_target_is_refused() {
    let place = run_over_an_old_target();
    let text = |name: &str| String::from_utf8(place.read(name)).unwrap();
    fs::write(place.at("evil"), vec![b'E'; 40_000]).unwrap();
    place
        .run(["seal", "--key-file", "stream.key", "-o", "evil.cfd", "--frame-size", "4KiB", "evil"])
        .assert_done();
    let other =
        ["restore", "--key-file", "stream.key", "--plan", "other", "--parts", "1", "evil.cfd", "elsewhere"];
    place.run(other).assert_done();
    let line = |text: &str, word: &str| text.lines().find(|line| line.starts_with(word)).unwrap().to_owned();
    let (right, forged) = (text("plan"), text("other"));
    let mut forged = forged.split_once("mac ").unwrap().0.to_owned();
    let id = line(&right, "plan ");
    // Of the id, the directory's name has 12 digits.
    for id in [id.clone(), format!("{}{}", &id[.."plan ".len() + 12], "0".repeat(20))] {
        for word in ["plan ", "target ", "exists "] {
            let new = if word == "plan " { id.clone() } else { line(&right, word) };
            forged = forged.replace(&line(&forged, word), &new);
        }
        let mac = mac(&text("other.key"), &forged);
        fs::write(place.at("forged"), format!("{forged}mac {mac}\n")).unwrap();
        for name in ["plan", "plan.key"] {
            fs::rename(place.at(name), place.at(&format!("{name}.right"))).unwrap();
        }
        fs::copy(place.at("forged"), place.at("plan")).unwrap();
        fs::copy(place.at("other.key"), place.at("plan.key")).unwrap();
        let kept = place.attempt_files("");
        place.part(0).assert_failed(8, "was made for another plan");
        place.commit().assert_failed(8, "was made for another plan");
        for step in ["--status", "--give-up"] {
            place.run(["restore", "--plan", "plan", step]).assert_failed(8, "was made for another plan");
        }
        assert_eq!(place.read("target"), b"old");
        assert_eq!(place.attempt_files(""), kept);
        for name in ["plan", "plan.key"] {
            fs::rename(place.at(&format!("{name}.right")), place.at(name)).unwrap();
        }
    }
    place.commit().assert_done();
    assert_eq!(place.read("target"), place.read("plain"));
}

/// Its last file but the plan's text is gone, and the directory is still there.
#[test]
fn a_plan_whose_removal_was_interrupted_is_given_up() {
    for keeps_text in [true, false] {
        let place = run_over_an_old_target();
        for file in place.attempt_files("") {
            if !keeps_text || !file.ends_with("plan") {
                fs::remove_file(file).unwrap();
            }
        }
        if !keeps_text {
            place.part(0).assert_failed(8, "given up");
            place.commit().assert_failed(8, "given up");
        }
        place.run(["restore", "--plan", "plan", "--give-up"]).assert_done();
        assert!(place.attempts().is_none());
        assert_eq!(place.read("target"), b"old");
    }
}
