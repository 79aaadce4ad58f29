//! A step that fails or is killed, and the next one too: what is left is put away, and nothing is said of the target that is not so.

use std::fs;
use std::process::{Command, Stdio};

use crate::fixture::{difference, list};
use crate::killed::is_killed;
use crate::place::{Place, Ran};
use crate::trees_killed::Saved;

const COMMIT: [&str; 4] = ["restore", "--plan", "plan", "--commit"];

/// Runs a step of which one system call fails.
fn failing(place: &Place, call: &str, error: &str, when: usize, step: &[&str]) -> Ran {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e"]);
    command.arg(format!("inject={call}:error={error}:when={when}"));
    command.arg("--").arg(env!("CARGO_BIN_EXE_cofferdam")).args(step).current_dir(place.directory());
    Ran::of(command.stdin(Stdio::null()).output().unwrap())
}

/// A full disk, a quota, a bad sector: whatever it is that fails, the parts are not lost.
#[test]
fn a_commit_of_a_directory_of_which_any_call_fails_is_ended_by_the_next_one() {
    for (old, is_killed_before, call, error) in [
        (false, false, "fsync", "ENOSPC"),
        (true, false, "fsync", "EIO"),
        (false, false, "linkat", "EDQUOT"),
        (true, true, "unlinkat", "EIO"),
    ] {
        let saved = Saved::new(old, &[]);
        let new = list(&saved.place.at("plain"));
        let mut failed = 0;
        for when in 1..12 {
            let place = saved.begin_anew();
            assert!(!is_killed_before || is_killed(place, "renameat2", 3, &COMMIT));
            let ran = failing(place, call, error, when, &COMMIT);
            failed += usize::from(ran.code != Some(0));
            let again = place.commit();
            assert_eq!(again.code, Some(0), "{call} {when}, old {old}: {ran:?}, then {again:?}");
            assert_eq!(difference(&list(&place.at("target")), &new), None, "{call} {when}");
        }
        assert!(failed > 0, "{call}");
    }
}
