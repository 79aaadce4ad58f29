//! A cancellation is seen, with everything that was done before it.
//! The token alone: who waits for what while it looks is in the gate's models.

use loom::thread;

use super::{check, check_catches};
use crate::broken;
use crate::patient::cancel::CancelToken;
use crate::prim::{Arc, AtomicBool, Ordering};

/// One does something and cancels; another that sees the cancellation has to see what was done.
macro_rules! what_was_done_before_is_seen {
    ($token:ty) => {
        || {
            let token = <$token>::new();
            let done = Arc::new(AtomicBool::new(false));
            let canceller = {
                let (token, done) = (token.clone(), done.clone());
                thread::spawn(move || {
                    // Relaxed, so that the order comes from the token or not at all.
                    done.store(true, Ordering::Relaxed);
                    token.cancel();
                })
            };
            if token.is_cancelled() {
                assert!(done.load(Ordering::Relaxed), "what was done before is seen");
                assert!(token.is_cancelled(), "a token stays cancelled");
            }
            canceller.join().unwrap();
            assert!(token.is_cancelled(), "a cancellation is seen");
        }
    };
}

#[test]
fn a_cancellation_is_seen_with_what_was_done_before_it() {
    check(what_was_done_before_is_seen!(CancelToken));
}

#[test]
fn two_may_cancel_and_a_job_that_looks_between_its_steps_stops() {
    check(|| {
        let token = CancelToken::new();
        let cancellers = [(); 2].map(|()| {
            let token = token.clone();
            thread::spawn(move || token.cancel())
        });
        while !token.is_cancelled() {
            thread::yield_now();
        }
        for canceller in cancellers {
            canceller.join().unwrap();
        }
        assert!(token.is_cancelled());
    });
}

#[test]
fn canary_a_token_without_an_order() {
    check_catches("what was done before", what_was_done_before_is_seen!(broken::token::Relaxed));
}
