//! The mailbox loses no result and wakes who takes.
//! Two threads post; the taker knows how many are due.

use loom::thread;

use super::{DEADLOCK, check, check_catches};
use crate::broken;
use crate::patient::mailbox::Mailbox;
use crate::prim::Arc;

/// The same model for the mailbox and for its broken copies.
macro_rules! two_post_and_one_takes {
    ($mailbox:ty) => {
        || {
            let mailbox = Arc::new(<$mailbox>::new());
            let posts = [1_u32, 2].map(|result| {
                let mailbox = mailbox.clone();
                thread::spawn(move || mailbox.post(result))
            });
            let mut taken = [mailbox.take(1), mailbox.take(1)];
            taken.sort_unstable();
            assert_eq!(taken, [1, 2], "what was posted is what was taken");
            assert_eq!(mailbox.try_take(), None, "nothing is taken twice");
            for post in posts {
                post.join().unwrap();
            }
        }
    };
}

/// The same for a taker that sleeps until both are there.
macro_rules! two_post_and_one_takes_both {
    ($mailbox:ty) => {
        || {
            let mailbox = Arc::new(<$mailbox>::new());
            let posts = [1_u32, 2].map(|result| {
                let mailbox = mailbox.clone();
                thread::spawn(move || mailbox.post(result))
            });
            let first = mailbox.take(2);
            let second = mailbox.try_take().expect("it has waited for two");
            assert_eq!(first + second, 3);
            for post in posts {
                post.join().unwrap();
            }
        }
    };
}

#[test]
fn every_result_is_taken_once_and_the_taker_wakes() {
    check(two_post_and_one_takes!(Mailbox<u32>));
}

#[test]
fn a_taker_that_wants_two_wakes_when_both_are_there() {
    check(two_post_and_one_takes_both!(Mailbox<u32>));
}

#[test]
fn canary_a_mailbox_that_wakes_one_too_late() {
    check_catches(DEADLOCK, two_post_and_one_takes_both!(broken::mailbox::WakesOneTooLate<u32>));
}

#[test]
fn a_result_that_is_tried_for_and_then_waited_for_comes_once() {
    check(|| {
        let mailbox = Arc::new(Mailbox::new());
        let posts = [1_u32, 2].map(|result| {
            let mailbox = mailbox.clone();
            thread::spawn(move || mailbox.post(result))
        });
        let mut taken = Vec::new();
        taken.extend(mailbox.try_take());
        while taken.len() < 2 {
            taken.push(mailbox.take(1));
            taken.extend(mailbox.try_take());
        }
        taken.sort_unstable();
        assert_eq!(taken, [1, 2]);
        for post in posts {
            post.join().unwrap();
        }
    });
}

#[test]
fn canary_a_mailbox_that_wakes_before_it_has_the_result() {
    check_catches(DEADLOCK, two_post_and_one_takes!(broken::mailbox::NotifiesFirst<u32>));
}

#[test]
fn canary_a_mailbox_that_looks_and_waits_under_two_locks() {
    check_catches(DEADLOCK, two_post_and_one_takes!(broken::mailbox::LooksUnderAnotherLock<u32>));
}

#[test]
fn canary_a_mailbox_with_room_for_one_result() {
    check_catches(DEADLOCK, two_post_and_one_takes!(broken::mailbox::KeepsTheNewest<u32>));
}
