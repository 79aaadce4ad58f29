//! The gate gives no more than it has, wakes whoever can be served, and serves in the order of asking.
//! What is out is counted beside it, under a lock of the model's own.

use loom::thread;

use super::{DEADLOCK, check, check_catches};
use crate::patient::gate::Gate;
use crate::prim::{Arc, Mutex};
use crate::{broken, impatient};

/// Credit that is out, and the most there may be.
struct Out {
    bytes: usize,
    total: usize,
}

impl Out {
    fn of(total: usize) -> Arc<Mutex<Out>> {
        Arc::new(Mutex::new(Out { bytes: 0, total }))
    }

    fn took(&mut self, bytes: usize) {
        self.bytes += bytes;
        assert!(self.bytes <= self.total, "more was given than there is");
    }

    fn gives(&mut self, bytes: usize) {
        self.bytes -= bytes;
    }
}

/// Two reserve 2 of 3 and a third tries for 2: one at a time fits, whatever the order.
macro_rules! three_want_more_than_there_is {
    ($gate:ty) => {
        || {
            let gate = Arc::new(<$gate>::new(3));
            let out = Out::of(3);
            let reserves = [2, 2].map(|bytes| {
                let (gate, out) = (gate.clone(), out.clone());
                thread::spawn(move || {
                    assert!(gate.take(bytes, || false));
                    out.lock().took(bytes);
                    out.lock().gives(bytes);
                    gate.give(bytes);
                })
            });
            if gate.try_take(2) {
                out.lock().took(2);
                out.lock().gives(2);
                gate.give(2);
            }
            for reserve in reserves {
                reserve.join().unwrap();
            }
            assert!(gate.try_take(3), "all of it came back");
        }
    };
}

/// One asks for 3 of 3 and waits for a holder of 2; another asks for 1, which is free, later: it waits too.
macro_rules! a_small_one_does_not_pass_a_large_one {
    ($gate:ty) => {
        || {
            let gate = Arc::new(<$gate>::new(3));
            assert!(gate.try_take(2));
            let (asked, order) = (Arc::new(Mutex::new(false)), Arc::new(Mutex::new(Vec::new())));
            let large = {
                let (gate, asked, order) = (gate.clone(), asked.clone(), order.clone());
                thread::spawn(move || {
                    // The first question is put when the place in the queue is taken.
                    assert!(gate.take(3, || {
                        *asked.lock() = true;
                        false
                    }));
                    order.lock().push("large");
                    gate.give(3);
                })
            };
            let small = {
                let (gate, order) = (gate.clone(), order.clone());
                thread::spawn(move || {
                    let large_was_first = *asked.lock();
                    assert!(gate.take(1, || false));
                    order.lock().push("small");
                    gate.give(1);
                    large_was_first
                })
            };
            // In two steps: the first is enough for the small one alone.
            gate.give(1);
            gate.give(1);
            large.join().unwrap();
            if small.join().unwrap() {
                assert_eq!(*order.lock(), ["large", "small"], "who asked first is served first");
            }
        }
    };
}

/// The first in the queue gives up; the one behind it could be served and has to hear of it.
macro_rules! the_next_in_line_hears_that_the_first_gave_up {
    ($gate:ty) => {
        || {
            let gate = Arc::new(<$gate>::new(3));
            assert!(gate.try_take(2));
            let cancelled = Arc::new(Mutex::new(false));
            let first = {
                let (gate, cancelled) = (gate.clone(), cancelled.clone());
                thread::spawn(move || {
                    let taken = gate.take(3, || *cancelled.lock());
                    if taken {
                        gate.give(3);
                    }
                })
            };
            let second = {
                let gate = gate.clone();
                thread::spawn(move || {
                    assert!(gate.take(1, || false));
                    gate.give(1);
                })
            };
            *cancelled.lock() = true;
            gate.give(2);
            first.join().unwrap();
            second.join().unwrap();
        }
    };
}

/// One lowers the growth limit to 1 of 3, another reserves 3 and a third tries for 2, in any order.
macro_rules! a_limit_stops_who_tries_and_nobody_who_waits {
    ($gate:ty) => {
        || {
            let gate = Arc::new(<$gate>::new(3));
            let out = Out::of(3);
            let limits = {
                let gate = gate.clone();
                thread::spawn(move || {
                    gate.limit_growth(1);
                    assert!(!gate.try_take(2), "it was given beyond the limit");
                })
            };
            let reserves = {
                let (gate, out) = (gate.clone(), out.clone());
                thread::spawn(move || {
                    assert!(gate.take(3, || false));
                    out.lock().took(3);
                    out.lock().gives(3);
                    gate.give(3);
                })
            };
            if gate.try_take(2) {
                out.lock().took(2);
                out.lock().gives(2);
                gate.give(2);
            }
            limits.join().unwrap();
            reserves.join().unwrap();
            gate.limit_growth(3);
            assert!(gate.try_take(3), "all of it came back");
        }
    };
}

#[test]
fn no_more_is_given_than_there_is_and_all_who_wait_are_served() {
    check(three_want_more_than_there_is!(Gate));
}

#[test]
fn who_asks_first_is_served_first() {
    check(a_small_one_does_not_pass_a_large_one!(Gate));
}

#[test]
fn who_gives_up_lets_the_next_one_pass() {
    check(the_next_in_line_hears_that_the_first_gave_up!(Gate));
}

#[test]
fn a_growth_limit_is_kept_at_once_by_those_who_try_and_delays_nobody_who_waits() {
    check(a_limit_stops_who_tries_and_nobody_who_waits!(Gate));
}

#[test]
fn two_that_fit_together_do_not_wait_for_each_other() {
    check(|| {
        let gate = Arc::new(Gate::new(3));
        assert!(gate.try_take(3));
        let both = Arc::new(Mutex::new(0));
        let reserves = [1, 2].map(|bytes| {
            let (gate, both) = (gate.clone(), both.clone());
            thread::spawn(move || {
                assert!(gate.take(bytes, || false));
                *both.lock() += 1;
            })
        });
        gate.give(3);
        for reserve in reserves {
            reserve.join().unwrap();
        }
        assert_eq!(*both.lock(), 2, "neither gave anything back, and both were served");
    });
}

#[test]
fn who_leaves_his_place_unserved_lets_the_next_one_pass() {
    check(|| {
        let gate = Arc::new(Gate::new(3));
        assert!(gate.try_take(2));
        let place = gate.line_up(3);
        let sleeps = {
            let gate = gate.clone();
            thread::spawn(move || assert!(gate.take(1, || false)))
        };
        assert!(!place.try_take(), "there is too little, and the next one waits behind");
        drop(place);
        sleeps.join().unwrap();
    });
}

#[test]
fn a_reservation_sees_a_cancellation_that_nobody_announces() {
    check(|| {
        let gate = Arc::new(impatient::gate::Gate::new(1));
        assert!(gate.try_take(1));
        let cancel = crate::patient::cancel::CancelToken::new();
        let waits = {
            let (gate, cancel) = (gate.clone(), cancel.clone());
            thread::spawn(move || gate.take(1, || cancel.is_cancelled()))
        };
        cancel.cancel();
        assert!(!waits.join().unwrap(), "nothing was free");
        gate.give(1);
        assert!(gate.try_take(1), "who gave up took nothing and left the queue");
    });
}

#[test]
fn canary_a_gate_that_checks_and_takes_under_two_locks() {
    check_catches("more was given", three_want_more_than_there_is!(broken::gate::TakesUnderAnotherLock));
}

#[test]
fn canary_a_gate_that_gives_back_in_silence() {
    check_catches(DEADLOCK, three_want_more_than_there_is!(broken::gate::GivesInSilence));
}

#[test]
fn canary_a_gate_that_wakes_the_last_in_the_queue() {
    check_catches(DEADLOCK, a_small_one_does_not_pass_a_large_one!(broken::gate::WakesTheLast));
}

#[test]
fn canary_a_gate_without_a_queue() {
    check_catches("who asked first", a_small_one_does_not_pass_a_large_one!(broken::gate::HasNoQueue));
}

#[test]
fn canary_a_gate_that_leaves_the_queue_in_silence() {
    check_catches(DEADLOCK, the_next_in_line_hears_that_the_first_gave_up!(broken::gate::LeavesInSilence));
}

#[test]
fn canary_a_gate_whose_growth_limit_holds_up_who_waits() {
    check_catches(DEADLOCK, a_limit_stops_who_tries_and_nobody_who_waits!(broken::gate::LimitsWhoWaits));
}

#[test]
fn canary_a_gate_that_gives_beyond_its_growth_limit() {
    check_catches(
        "beyond the limit",
        a_limit_stops_who_tries_and_nobody_who_waits!(broken::gate::LimitsNobody),
    );
}
