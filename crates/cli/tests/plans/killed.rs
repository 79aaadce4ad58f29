//! Each step killed before each of the system calls by which it changes something: the target is the old one or the new one, and the
//! step run again does its work.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use crate::place::Place;
use crate::vouched::Volume;

/// What changes a directory or a file, or makes it durable.
const CALLS: [&str; 11] = [
    "renameat2",
    "renameat",
    "linkat",
    "unlinkat",
    "mkdirat",
    "flock",
    "ftruncate",
    "fchmod",
    "fsync",
    "pwrite64",
    "copy_file_range",
];

/// Runs a step that strace kills before the call number `when` to `call`. Whether it was killed.
pub(crate) fn is_killed(place: &Place, call: &str, when: usize, step: &[&str]) -> bool {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e"]);
    command.arg(format!("inject={call}:signal=KILL:when={when}"));
    command.arg("--").arg(env!("CARGO_BIN_EXE_cofferdam")).args(step).current_dir(place.directory());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().unwrap();
    match status.code() {
        Some(0) => false,
        // strace ends as its child has.
        _ if status.signal() == Some(9) || status.code() == Some(137) => true,
        // Another of its threads was, and the program was told of an error.
        code => panic!("{call} {when}: {code:?}"),
    }
}

/// Kills `step` at each call in turn, in a new place each time, and hands that to `check`. Gives how often.
fn kill_everywhere(prepare: impl Fn() -> Place, step: &[&str], check: impl Fn(&Place, &str)) -> usize {
    let mut kills = 0;
    for call in CALLS {
        for when in 1.. {
            assert!(when < 500, "{call} is called without end");
            let place = prepare();
            let was_killed = is_killed(&place, call, when, step);
            check(&place, &format!("{call} {when}"));
            if !was_killed {
                break;
            }
            kills += 1;
        }
    }
    kills
}

/// Two parts: a place to be copied, for planning it anew each time would take longer than what is tested.
fn planned() -> Place {
    let place = Place::new(&crate::place::plaintext(40_000), "16KiB", "4KiB");
    place.plan(2, &[]).assert_done();
    place
}

#[test]
fn a_planner_that_is_killed_anywhere_leaves_the_way_free_for_the_next() {
    let step =
        ["restore", "--key-file", "stream.key", "--plan", "plan", "--parts", "2", "sealed.cfd", "target"];
    let kills = kill_everywhere(
        || Place::new(&crate::place::plaintext(40_000), "16KiB", "4KiB"),
        &step,
        |place, at| {
            let ran = place.plan(2, &[]);
            assert_eq!(ran.code, Some(0), "{at}: {ran:?}");
            assert!(!place.at("target").exists(), "{at}");
            (0..2).for_each(|part| place.part(part).assert_done());
            place.commit().assert_done();
            assert_eq!(place.read("target"), place.read("plain"), "{at}");
        },
    );
    assert!(kills > 5, "{kills}");
}

#[test]
fn a_worker_that_is_killed_anywhere_leaves_no_receipt_that_is_wrong() {
    let kills = kill_everywhere(
        || {
            let place = planned();
            place.part(1).assert_done();
            place
        },
        &["restore", "--key-file", "stream.key", "--plan", "plan", "--part", "0"],
        |place, at| {
            // Whatever is there is enough, or is said to be missing.
            let committed = place.commit();
            assert!(matches!(committed.code, Some(0 | 19)), "{at}: {committed:?}");
            if committed.code == Some(19) {
                assert!(!place.at("target").exists(), "{at}");
                place.part(0).assert_done();
                place.commit().assert_done();
            }
            assert_eq!(place.read("target"), place.read("plain"), "{at}");
            place.assert_tidy();
        },
    );
    assert!(kills > 5, "{kills}");
}

#[test]
fn a_coordinator_that_is_killed_anywhere_leaves_the_target_old_or_new_and_the_next_one_ends_it() {
    let xfs = Volume::xfs();
    let elsewhere = xfs.as_ref().map(Volume::path);
    let here = std::env::temp_dir();
    let places = [(Some(&*here), None), (Some(&*here), Some(&b"old"[..])), (elsewhere, Some(b"old"))];
    for (parent, old) in places {
        let Some(parent) = parent else { continue };
        let prepare = || {
            let place = Place::new_in(parent, &crate::place::plaintext(40_000), "16KiB", "4KiB");
            if let Some(old) = old {
                fs::write(place.at("target"), old).unwrap();
            }
            place.plan(2, if old.is_some() { &["--force"] } else { &[] }).assert_done();
            (0..2).for_each(|part| place.part(part).assert_done());
            place
        };
        let kills = kill_everywhere(prepare, &["restore", "--plan", "plan", "--commit"], |place, at| {
            let (found, new) = (fs::read(place.at("target")).ok(), place.read("plain"));
            let is_new = found.as_ref() == Some(&new);
            assert!(is_new || found.as_deref() == old, "{at}: neither the old one nor the new one");
            let inode = |place: &Place| {
                use std::os::unix::fs::MetadataExt as _;
                fs::metadata(place.at("target")).map(|found| found.ino()).ok()
            };
            let before = inode(place);
            let ran = place.commit();
            assert_eq!(ran.code, Some(0), "{at}: {ran:?}");
            assert_eq!(place.read("target"), new, "{at}");
            assert!(!is_new || inode(place) == before, "{at}: it was put in place twice");
            place.assert_tidy();
        });
        assert!(kills > 10, "{kills}");
    }
}
