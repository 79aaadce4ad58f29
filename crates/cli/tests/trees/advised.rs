//! What is said to do about a restore of a directory that stopped: what it says is true, and helps.
//! How much of a restore is kept is told elsewhere.

use std::fs;
use std::os::unix::fs::chown;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::injected::injected;
use crate::place::{Place, Ran, wait_until};
use crate::programs::has;
use crate::recovering::{assert_is, kill, left, place, restore};

/// Runs a restore of `one.cfd` to `at/target` with a fault.
fn stopped(place: &Place, fault: &str, more: &[&str]) -> Ran {
    let command = [&["restore", "-i", "key.txt"], more, &["one.cfd", "at/target"]].concat();
    Ran::of(injected(place, &[fault], &command).output().unwrap())
}

/// With a directory `at/target` that is to be replaced.
fn replacing() -> Place {
    let place = place();
    fs::create_dir_all(place.path("at/target/old")).unwrap();
    place
}

#[test]
fn a_tree_that_is_in_place_and_not_tidied_up_is_brought_to_its_end_by_the_same_command() {
    if !has("strace") {
        return;
    }
    let place = replacing();
    // Two of the place, two of the intent: this one is after the exchange.
    let ran = stopped(&place, "fsync:error=EIO:when=5", &["--force"]);
    ran.assert_failed(10, "Run the same command again");
    assert!(place.path("at/target/a").exists() && place.path("at/.target.cofferdam-staging/old").is_dir());
    let status = place.run(["status", "at/target"]);
    assert!(status.text().contains("this is the directory that was replaced"), "{}", status.text());
    place.run(["discard", "at/target"]).assert_failed(1, "The same restore puts it away");
    assert!(place.path("at/.target.cofferdam-staging/old").is_dir());
    restore(&place, &["--force", "one.cfd", "at/target"]).assert_done();
    assert_is(&place, "at/target", "one");
    assert_eq!(left(&place, "at"), [""; 0]);
}

/// Held before the exchange, while somebody puts another directory at the target's name.
#[test]
fn a_target_that_was_exchanged_meanwhile_is_told_without_the_option_that_was_given() {
    if !has("strace") {
        return;
    }
    let place = replacing();
    let mut command = Command::new("strace");
    command.args([
        "-f",
        "-qq",
        "-o",
        "calls",
        "-e",
        "trace=syncfs",
        "-e",
        "inject=syncfs:signal=SIGSTOP:when=1",
    ]);
    command.arg("--").arg(env!("CARGO_BIN_EXE_cofferdam"));
    command.args(["restore", "-i", "key.txt", "--force", "one.cfd", "at/target"]);
    command.current_dir(place.directory.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let mut calls = String::new();
    wait_until("the program is held", || {
        calls = fs::read_to_string(place.path("calls")).unwrap_or_default();
        calls.contains("--- stopped by SIGSTOP ---")
    });
    fs::rename(place.path("at/target"), place.path("at/away")).unwrap();
    fs::create_dir_all(place.path("at/target/new")).unwrap();
    let held = calls.split_whitespace().next().and_then(|pid| Pid::from_raw(pid.parse().ok()?));
    kill_process(held.unwrap(), Signal::CONT).unwrap();
    let ran = Ran::of(child.wait_with_output().unwrap());
    ran.assert_failed(6, "The same command takes it for what is to be replaced");
    assert!(!ran.stderr.contains("--force"), "{}", ran.stderr);
    assert!(place.path("at/target/new").is_dir());
    restore(&place, &["--force", "one.cfd", "at/target"]).assert_done();
    assert_is(&place, "at/target", "one");
}

#[test]
fn a_file_is_not_restored_over_what_is_kept_of_a_tree_and_is_not_said_to_go_on_from_there() {
    if !has("strace") {
        return;
    }
    let place = place();
    fs::create_dir(place.path("at")).unwrap();
    fs::write(place.path("plain"), "a file").unwrap();
    place.seal("plain", "file.cfd").assert_done();
    kill(&place, "syncfs:when=1", &["one.cfd", "at/target"]);
    for more in [&[][..], &["--force"], &["--restart"]] {
        let ran = restore(&place, &[more, &["file.cfd", "at/target"]].concat());
        ran.assert_failed(8, "Finish that restore");
        assert!(!ran.stderr.contains("--restart"), "{}", ran.stderr);
    }
    fs::create_dir(place.path("at/target")).unwrap();
    restore(&place, &["--force", "file.cfd", "at/target"]).assert_failed(2, "directory");
    fs::remove_dir(place.path("at/target")).unwrap();
    restore(&place, &["one.cfd", "at/target"]).assert_done();
    assert_is(&place, "at/target", "one");
}

#[test]
fn another_users_directory_at_the_private_name_is_not_said_to_be_replaced() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let place = place();
    let staging = place.path("at/.target.cofferdam-staging");
    fs::create_dir_all(staging.join("precious")).unwrap();
    chown(&staging, Some(65_534), None).unwrap();
    let ran = restore(&place, &["--restart", "one.cfd", "at/target"]);
    ran.assert_failed(8, "its owner, or root, can move it away");
    assert!(!ran.stderr.contains("--restart") && staging.join("precious").is_dir(), "{}", ran.stderr);
    // No other step says less, and none that it could be discarded.
    for (step, code) in [("discard", 8), ("status", 0)] {
        let ran = place.run([step, "at/target"]);
        assert_eq!(ran.code, code, "{}", ran.stderr);
        let said = [ran.text(), &ran.stderr].concat();
        assert!(
            said.contains("this directory belongs to user 65534, and its name is needed"),
            "{step}: {said}"
        );
        assert!(said.contains("its owner, or root, can move it away"), "{step}: {said}");
        assert!(!said.contains("discarded") && staging.join("precious").is_dir(), "{step}: {said}");
    }
    // Of a file the next restore of a file says nothing, and one of a directory refuses it.
    fs::remove_dir_all(&staging).unwrap();
    fs::write(&staging, "").unwrap();
    chown(&staging, Some(65_534), None).unwrap();
    let status = place.run(["status", "at/target"]);
    assert!(status.text().contains("is another user's"), "{}", status.text());
}

#[test]
fn a_full_disk_is_told_as_one() {
    if !has("strace") {
        return;
    }
    let mut refused = 0;
    for (error, call) in
        [("ENOSPC", "mkdirat"), ("EDQUOT", "mkdirat"), ("ENOSPC", "pwrite64"), ("ENOSPC", "fsync")]
    {
        for when in 1..40 {
            let place = place();
            fs::create_dir(place.path("at")).unwrap();
            let ran = stopped(&place, &format!("{call}:error={error}:when={when}"), &[]);
            match ran.code {
                0 => break,
                // Once the target is in place other things are told.
                10 => continue,
                _ => {
                    refused += 1;
                    ran.assert_failed(1, "Make room there");
                }
            }
            restore(&place, &["one.cfd", "at/target"]).assert_done();
        }
    }
    assert!(refused > 8, "{refused}");
}
