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
const PLANNED: [&str; 5] = ["plain", "plan", "plan.key", "sealed.cfd", "stream.key"];

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
    place.run(GIVE_UP).assert_done();
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
    for (call, error) in [("fsync", "EIO"), ("linkat", "ENOSPC"), ("renameat2", "EIO")] {
        for when in 1..8 {
            let ran = failing(&place, call, error, when, &step);
            let receipts = place.attempt_files("receipt-0");
            if ran.code != Some(0) {
                failed += 1;
                assert_eq!(ran.code, Some(1), "{call} {when}: {ran:?}");
                assert!(!ran.stderr.contains("in place"), "{call} {when}: {ran:?}");
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
