//! Marks are taken no newer than they were posted, syncs are waited for and reported, and the first failure is the last.
//! What has committed and what the disk holds is counted beside them, under locks of the model's own.

use std::cell::Cell;
use std::time::Duration;

use loom::thread;

use super::{DEADLOCK, check, check_catches};
use crate::patient::marks::Marks;
use crate::prim::{Arc, Mutex};
use crate::{broken, impatient};

/// A disk that fails from the `good`-th sync on.
struct Disk {
    committed: u64,
    synced: u64,
    syncs: u64,
    good: u64,
}

impl Disk {
    fn of(good: u64) -> Arc<Mutex<Disk>> {
        Arc::new(Mutex::new(Disk { committed: 0, synced: 0, syncs: 0, good }))
    }

    fn sync(&mut self, mark: u64) -> Result<(), &'static str> {
        assert!(mark <= self.committed, "a mark is newer than what has committed");
        assert!(mark > self.synced, "a mark is taken twice");
        assert!(self.syncs <= self.good, "a sync was tried again");
        self.syncs += 1;
        if self.syncs > self.good {
            return Err("the disk is gone");
        }
        self.synced = mark;
        Ok(())
    }
}

/// What the sync thread does. A mark here is the bytes that it stands for.
macro_rules! sync_thread {
    ($marks:expr, $disk:expr, $left:expr) => {{
        let (marks, disk) = ($marks.clone(), $disk.clone());
        thread::spawn(move || {
            while let Some(mark) = marks.take($left) {
                let synced = disk.lock().sync(mark);
                marks.settle(synced);
            }
            marks.stop();
        })
    }};
}

/// A clock on which no group is due by its age.
const NEVER: fn() -> Duration = || Duration::MAX;

/// Commits so many bytes, one after the other, in groups of so many. After each post, what is reported is on the disk,
/// and less than two groups are not.
macro_rules! what_is_posted_is_synced {
    ($marks:ty, $group:expr, $bytes:expr) => {
        || {
            let (marks, disk) = (Arc::new(<$marks>::new($group, 0)), Disk::of(u64::MAX));
            let syncs = sync_thread!(marks, disk, NEVER);
            for bytes in 1..=$bytes {
                disk.lock().committed = bytes;
                let durable = marks.post(bytes, bytes).unwrap();
                assert!(durable <= disk.lock().synced, "more is reported than is on the disk");
                assert!(durable == bytes || bytes - durable < 2 * $group, "two groups are behind");
            }
            marks.stop();
            syncs.join().unwrap();
            assert!(marks.look().unwrap() <= disk.lock().synced, "more is reported than is on the disk");
        }
    };
}

/// The second sync fails: the orchestrator hears of it, once, and there is no third.
macro_rules! the_first_failure_is_the_last {
    ($marks:ty) => {
        || {
            let (marks, disk) = (Arc::new(<$marks>::new(1, 0)), Disk::of(1));
            let syncs = sync_thread!(marks, disk, NEVER);
            let mut failures = 0;
            for bytes in 1..=4 {
                disk.lock().committed = bytes;
                failures += u32::from(marks.post(bytes, bytes).is_err());
            }
            marks.stop();
            syncs.join().unwrap();
            failures += u32::from(marks.look().is_err());
            assert_eq!(failures, u32::from(disk.lock().syncs > 1), "a failure is heard of once");
        }
    };
}

/// The orchestrator stops without a word.
macro_rules! a_thread_that_waits_hears_the_end {
    ($marks:ty) => {
        || {
            let (marks, disk) = (Arc::new(<$marks>::new(1, 0)), Disk::of(0));
            let syncs = sync_thread!(marks, disk, NEVER);
            marks.stop();
            syncs.join().unwrap();
        }
    };
}

/// The sync thread takes a mark and gives up before the sync, as one does that sees a cancellation.
macro_rules! who_waits_for_a_thread_that_gave_up_goes_on {
    ($marks:ty) => {
        || {
            let marks = Arc::new(<$marks>::new(0, 0));
            let gives_up = {
                let marks = marks.clone();
                thread::spawn(move || {
                    let taken = marks.take(NEVER);
                    marks.stop();
                    taken
                })
            };
            assert_eq!(marks.post(1, 1), Ok(0), "nothing is durable");
            assert_eq!(marks.post(2, 2), Ok(0), "and nobody waits for what never will be");
            assert_eq!(gives_up.join().unwrap(), Some(1));
        }
    };
}

type Sound = Marks<u64, &'static str>;

#[test]
fn each_post_returns_when_its_own_mark_is_durable() {
    check(what_is_posted_is_synced!(Sound, 0, 2));
}

#[test]
fn less_than_two_groups_are_ever_behind() {
    check(what_is_posted_is_synced!(Sound, 1, 3));
    check(what_is_posted_is_synced!(Sound, 2, 5));
}

#[test]
fn a_failure_is_heard_of_once_and_followed_by_no_sync() {
    check(the_first_failure_is_the_last!(Sound));
}

#[test]
fn a_sync_thread_that_waits_for_a_mark_hears_the_end() {
    check(a_thread_that_waits_hears_the_end!(Sound));
}

#[test]
fn an_orchestrator_does_not_wait_for_a_thread_that_has_given_up() {
    check(who_waits_for_a_thread_that_gave_up_goes_on!(Sound));
}

#[test]
fn a_group_that_is_not_full_is_taken_when_its_time_is_up() {
    check(|| {
        let (marks, disk) = (Arc::new(impatient::marks::Marks::new(100, 0)), Disk::of(u64::MAX));
        let syncs = sync_thread!(marks, disk, {
            let asked = Cell::new(0);
            move || {
                asked.set(asked.get() + 1);
                if asked.get() == 1 { Duration::from_secs(1) } else { Duration::ZERO }
            }
        });
        disk.lock().committed = 1;
        marks.post(1, 1).unwrap();
        // The source idles: the orchestrator only looks.
        while marks.look().unwrap() == 0 {
            thread::yield_now();
        }
        assert_eq!(disk.lock().synced, 1);
        marks.stop();
        syncs.join().unwrap();
    });
}

#[test]
fn canary_marks_that_wake_the_thread_before_there_is_one() {
    check_catches(DEADLOCK, what_is_posted_is_synced!(broken::marks::NotifiesFirst, 0, 2));
}

#[test]
fn canary_marks_that_settle_in_silence() {
    check_catches(DEADLOCK, what_is_posted_is_synced!(broken::marks::SettlesInSilence, 0, 2));
}

#[test]
fn canary_marks_that_promise_what_was_posted_meanwhile() {
    let model = what_is_posted_is_synced!(broken::marks::PromisesTheNewest, 1, 3);
    check_catches("more is reported than is on the disk", model);
}

#[test]
fn canary_marks_that_let_the_stream_run_ahead() {
    check_catches("two groups are behind", what_is_posted_is_synced!(broken::marks::NeverWaits, 1, 3));
}

#[test]
fn canary_marks_that_go_on_after_a_failure() {
    check_catches("a sync was tried again", the_first_failure_is_the_last!(broken::marks::GoesOn));
}

#[test]
fn canary_marks_that_end_in_silence() {
    check_catches(DEADLOCK, a_thread_that_waits_hears_the_end!(broken::marks::EndsInSilence));
}

#[test]
fn canary_marks_that_wait_for_a_thread_that_has_given_up() {
    let model = who_waits_for_a_thread_that_gave_up_goes_on!(broken::marks::WaitsForever);
    check_catches(DEADLOCK, model);
}
