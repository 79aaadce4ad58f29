//! A step that fails or is killed, and the next one too: what is left is put away, and nothing is said of the target that is not so.

use std::fs;
use std::process::{Command, Stdio};

use crate::between::run_over_an_old_target;
use crate::fixture::{difference, list};
use crate::killed::is_killed;
use crate::place::{Place, Ran};
use crate::trees_killed::Saved;

const COMMIT: [&str; 4] = ["restore", "--plan", "plan", "--commit"];
const GIVE_UP: [&str; 4] = ["restore", "--plan", "plan", "--give-up"];
const PLAN: [&str; 9] =
    ["restore", "--key-file", "stream.key", "--plan", "plan", "--parts", "2", "sealed.cfd", "target"];
const PLANNED: [&str; 5] = ["plain", "plan", "plan.key", "sealed.cfd", "stream.key"];

/// Runs a step of which one system call fails.
fn failing(place: &Place, call: &str, error: &str, when: usize, step: &[&str]) -> Ran {
    failing_command(call, error, when, &mut place.command(step))
}

/// The same of a step that has more than arguments.
pub(crate) fn failing_command(call: &str, error: &str, when: usize, step: &mut Command) -> Ran {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e"]);
    command.arg(format!("inject={call}:error={error}:when={when}"));
    command.arg("--").arg(step.get_program()).args(step.get_args());
    command.current_dir(step.get_current_dir().unwrap()).stdin(Stdio::null());
    for (name, value) in step.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Ran::of(command.output().unwrap())
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

/// What was staged goes, and no other is told that it may have been the target.
#[test]
fn giving_up_a_directory_that_is_killed_is_ended_by_the_next_one_and_speaks_of_no_target() {
    let saved = Saved::new(false, &[]);
    for (commit_killed_at, calls) in [
        (("symlinkat", 1), &["unlinkat", "fsync", "pwrite64"][..]),
        (("renameat2", 3), &["unlinkat", "pwrite64"]),
    ] {
        let mut kills = 0;
        for (call, next) in calls.iter().flat_map(|call| [(call, GIVE_UP), (call, COMMIT)]) {
            for when in 1.. {
                assert!(when < 60, "{call} is called without end");
                let place = saved.begin_anew();
                assert!(is_killed(place, commit_killed_at.0, commit_killed_at.1, &COMMIT));
                if !is_killed(place, call, when, &GIVE_UP) {
                    break;
                }
                kills += 1;
                let at = format!("{commit_killed_at:?}, then {call} {when}");
                let ran = place.run(next);
                assert!(!format!("{ran:?}").contains("may have put"), "{at}: {ran:?}");
                if next == COMMIT {
                    // As many receipts as are left, or the plan has gone.
                    assert!(matches!(ran.code, Some(0 | 8 | 19)), "{at}: {ran:?}");
                    continue;
                }
                assert_eq!(ran.code, Some(0), "{at}: {ran:?}");
                assert_eq!(place.names(), PLANNED, "{at}");
            }
        }
        assert!(kills > 10, "{kills}");
    }
}

/// Its journal had been made, and said nothing yet.
#[test]
fn a_plan_that_is_given_up_after_a_commit_that_had_only_made_its_journal_leaves_nothing() {
    let saved = Saved::new(false, &[]);
    let mut found = 0;
    for when in 1..6 {
        let place = saved.begin_anew();
        if !is_killed(place, "flock", when, &COMMIT) || place.at("target").exists() {
            break;
        }
        let journal = fs::metadata(place.at(".target.cofferdam-journal"));
        found += usize::from(journal.is_ok_and(|journal| journal.len() == 0));
        place.run(GIVE_UP).assert_done();
        assert_eq!(place.names(), PLANNED, "{when}");
    }
    assert!(found > 0);
}

/// It is somebody's who is at work, or can go on.
#[test]
fn giving_up_a_directory_leaves_what_another_restore_has_there() {
    let saved = Saved::new(false, &[]);
    let place = saved.begin_anew();
    let restore = ["restore", "--key-file", "stream.key", "sealed.cfd", "target"];
    assert!(is_killed(place, "symlinkat", 1, &restore));
    let staged = list(&place.at(".target.cofferdam-staging"));
    let journal = fs::File::open(place.at(".target.cofferdam-journal")).unwrap();
    rustix::fs::flock(&journal, rustix::fs::FlockOperation::LockExclusive).unwrap();
    // At work, it keeps the commit from its place; nothing of the plan's is there, so the plan can go. Who is at work where is said of the target.
    let held = place.commit();
    held.assert_failed(9, "/target: another process is writing this target");
    place.run(GIVE_UP).assert_done();
    assert!(place.attempts().is_none());
    drop(journal);
    assert_eq!(difference(&list(&place.at(".target.cofferdam-staging")), &staged), None);
    place.run(restore).assert_done();
    assert_eq!(difference(&list(&place.at("target")), &list(&place.at("plain"))), None);
}

/// The next restore of the target is not told of a plan that has ended.
#[test]
fn a_commit_of_a_file_that_is_killed_in_place_and_once_more_leaves_nothing() {
    for (call, next) in
        ["unlinkat", "flock", "fsync", "pwrite64"].iter().flat_map(|call| [(call, COMMIT), (call, GIVE_UP)])
    {
        for when in 1.. {
            assert!(when < 20, "{call} is called without end");
            let place = run_over_an_old_target();
            assert!(is_killed(&place, "linkat", 2, &COMMIT));
            assert_eq!(place.read("target"), place.read("plain"));
            if !is_killed(&place, call, when, &next) {
                break;
            }
            place.commit().assert_done();
            assert_eq!(place.read("target"), place.read("plain"));
            place.assert_tidy();
        }
    }
}

/// As a program did that made such files to see what is there.
#[test]
fn what_is_left_of_the_plans_own_beside_a_target_that_is_in_place_goes_with_the_commit() {
    let place = run_over_an_old_target();
    assert!(is_killed(&place, "renameat", 1, &COMMIT) || is_killed(&place, "renameat2", 1, &COMMIT));
    let beside = [".target.cofferdam-journal", ".target.cofferdam-staging"];
    let away = |name: &str| place.at(&format!("away{name}"));
    beside.iter().for_each(|name| fs::rename(place.at(name), away(name)).unwrap());
    place.attempt_files("publishing").iter().for_each(|note| fs::remove_file(note).unwrap());
    assert!(is_killed(&place, "linkat", 2, &COMMIT));
    assert_eq!(place.read("target"), place.read("plain"));
    beside.iter().for_each(|name| fs::rename(away(name), place.at(name)).unwrap());
    place.commit().assert_done();
    place.assert_tidy();
}

/// A full disk fills no further by being tried again, and no target is spoken of.
#[test]
fn a_part_of_which_any_call_fails_leaves_no_file_that_nothing_tells_of() {
    let place = Place::small();
    place.plan(2, &[]).assert_done();
    let step = ["restore", "--key-file", "stream.key", "--plan", "plan", "--part", "0"];
    let mut failed = 0;
    for (call, error) in [
        ("fsync", "EIO"),
        ("fsync", "EDQUOT"),
        ("linkat", "ENOSPC"),
        ("renameat2", "EIO"),
        ("pwrite64", "ENOSPC"),
        ("ftruncate", "ENOSPC"),
    ] {
        for when in 1..8 {
            let ran = failing(&place, call, error, when, &step);
            let receipts = place.attempt_files("receipt-0");
            if ran.code != Some(0) {
                failed += 1;
                assert_eq!(ran.code, Some(1), "{call} {when}: {ran:?}");
                assert!(!ran.stderr.contains("in place"), "{call} {when}: {ran:?}");
                // To try again without room is of no use.
                let is_full = error != "EIO";
                let again =
                    if is_full { "Make room there, then run" } else { "; run the same command again" };
                assert!(ran.stderr.contains(again), "{call} {when}: {ran:?}");
                assert_eq!(ran.stderr.contains("Make room"), is_full, "{call} {when}: {ran:?}");
            }
            assert_eq!(place.attempt_files("part-0").len(), receipts.len(), "{call} {when}: {ran:?}");
            receipts.into_iter().for_each(|receipt| fs::remove_file(receipt).unwrap());
            place.attempt_files("part-0").into_iter().for_each(|part| fs::remove_file(part).unwrap());
        }
    }
    assert!(failed > 3, "{failed}");
    [0, 1].into_iter().for_each(|part| place.part(part).assert_done());
    place.commit().assert_done();
}

/// A part whose attempt was killed before it left a receipt is removed by the next one, once nobody has written to it for a minute.
#[test]
fn a_part_without_a_receipt_goes_with_the_next_attempt() {
    let place = Place::small();
    place.plan(2, &[]).assert_done();
    [0, 1].into_iter().for_each(|part| place.part(part).assert_done());
    let [receipt] = place.attempt_files("receipt-0").try_into().unwrap();
    let [dead] = place.attempt_files("part-0").try_into().unwrap();
    fs::remove_file(receipt).unwrap();
    let hours_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(7_200);
    fs::File::options().write(true).open(&dead).unwrap().set_modified(hours_ago).unwrap();
    let [other] = place.attempt_files("part-1").try_into().unwrap();
    fs::File::options().write(true).open(&other).unwrap().set_modified(hours_ago).unwrap();
    place.part(0).assert_done();
    assert!(!dead.exists() && other.exists());
    assert_eq!(place.attempt_files("part-0").len(), 1);
    place.commit().assert_done();
}

/// What a planner has written and could not sync is a plan: the next one finds it, and what belongs to it.
#[test]
fn a_plan_of_which_any_call_fails_is_made_or_found_by_the_next_planner() {
    let (mut failed, mut found) = (0, 0);
    for (call, error) in [("fsync", "EIO"), ("linkat", "ENOSPC"), ("mkdirat", "EDQUOT")] {
        for when in 1..10 {
            let place = Place::small();
            let ran = failing(&place, call, error, when, &PLAN);
            let at = format!("{call} {when}: {ran:?}");
            assert!(matches!(ran.code, Some(0 | 1)), "{at}");
            failed += usize::from(ran.code != Some(0));
            assert_eq!(place.at("plan").exists(), place.attempts().is_some(), "{at}");
            if ran.code == Some(1) && place.at("plan").exists() {
                found += 1;
                assert!(ran.stderr.contains("may not survive a power cut"), "{at}");
                // Whoever finds it does not say that it is there for good before it is.
                failing(&place, "fsync", "EIO", 1, &PLAN).assert_failed(1, "may not survive a power cut");
            }
            place.plan(2, &[]).assert_done();
            (0..2).for_each(|part| place.part(part).assert_done());
            place.commit().assert_done();
            assert_eq!(place.read("target"), place.read("plain"), "{at}");
            place.assert_tidy();
        }
    }
    assert!(failed > 3 && found > 0, "{failed} {found}");
}

/// Of one that has not been synced, a commit that is told so by its exit code is run again, and syncs it.
#[test]
fn the_note_of_a_commit_whose_sync_failed_is_synced_by_the_next_one() {
    let mut failed = 0;
    for when in 1..20 {
        let place = run_over_an_old_target();
        let ran = failing(&place, "fsync", "EIO", when, &COMMIT);
        if ran.code != Some(10) || !place.at("plan.committed").exists() {
            continue;
        }
        failed += 1;
        // The second one is of the directory, after the name has turned out to be there.
        for when in [1, 2] {
            failing(&place, "fsync", "EIO", when, &COMMIT).assert_failed(10, "plan.committed");
        }
        assert!(place.attempts().is_some());
        place.commit().assert_done();
        place.assert_tidy();
    }
    assert!(failed > 0);
}

/// Nothing of the plan's is there, and somebody's directory is theirs.
#[test]
fn a_directory_at_the_staging_files_name_does_not_keep_a_plan_from_being_given_up() {
    let place = run_over_an_old_target();
    let theirs = place.at(".target.cofferdam-staging");
    fs::create_dir(&theirs).unwrap();
    fs::write(theirs.join("file"), "theirs").unwrap();
    place.commit().assert_failed(1, "is taken by something else");
    place.run(GIVE_UP).assert_done();
    assert!(place.attempts().is_none());
    assert_eq!(fs::read(theirs.join("file")).unwrap(), b"theirs");
    assert_eq!(place.read("target"), b"old");
}
