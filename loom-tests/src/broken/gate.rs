//! The gate of the engine with one fault at a time, each named by its type: what the models must find.
//! All share one body, so that only the fault differs.

use std::collections::VecDeque;

use crate::prim::{Arc, Condvar, Mutex};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flaw {
    TakesUnderAnotherLock,
    GivesInSilence,
    WakesTheLast,
    HasNoQueue,
    LeavesInSilence,
    LimitsWhoWaits,
    LimitsNobody,
}

macro_rules! flawed {
    ($($name:ident: $what:literal,)*) => {$(
        #[doc = $what]
        pub(crate) struct $name(Gate);

        impl $name {
            pub(crate) fn new(total: usize) -> Self {
                Self(Gate::new(total, Flaw::$name))
            }

            pub(crate) fn try_take(&self, bytes: usize) -> bool {
                self.0.try_take(bytes)
            }

            pub(crate) fn take(&self, bytes: usize, stop: impl Fn() -> bool) -> bool {
                self.0.take(bytes, stop)
            }

            pub(crate) fn give(&self, bytes: usize) {
                self.0.give(bytes);
            }

            #[allow(dead_code, reason = "one model calls it")]
            pub(crate) fn limit_growth(&self, bytes: usize) {
                self.0.limit_growth(bytes);
            }
        }
    )*};
}

flawed! {
    TakesUnderAnotherLock: "Lets the lock go between the look and the taking.",
    GivesInSilence: "Wakes nobody when credit comes back.",
    WakesTheLast: "Wakes the last in the queue: perhaps one that cannot be served.",
    HasNoQueue: "Serves whoever fits.",
    LeavesInSilence: "Wakes nobody when one leaves the queue.",
    LimitsWhoWaits: "Keeps the growth limit from those who wait, too.",
    LimitsNobody: "Gives beyond the growth limit.",
}

struct Gate {
    flaw: Flaw,
    total: usize,
    state: Mutex<State>,
}

struct State {
    free: usize,
    reserve: usize,
    waiting: VecDeque<Waiting>,
    next_ticket: u64,
}

struct Waiting {
    ticket: u64,
    bytes: usize,
    turn: Arc<Condvar>,
}

impl Gate {
    fn new(total: usize, flaw: Flaw) -> Gate {
        let state = State { free: total, reserve: 0, waiting: VecDeque::new(), next_ticket: 0 };
        Gate { flaw, total, state: Mutex::new(state) }
    }

    fn limit_growth(&self, bytes: usize) {
        self.state.lock().reserve = self.total - bytes;
    }

    fn try_take(&self, bytes: usize) -> bool {
        let mut state = self.state.lock();
        let reserve = if self.flaw == Flaw::LimitsNobody { 0 } else { state.reserve };
        if !state.waiting.is_empty() || state.free.saturating_sub(reserve) < bytes {
            return false;
        }
        if self.flaw == Flaw::TakesUnderAnotherLock {
            drop(state);
            state = self.state.lock();
        }
        state.free = state.free.wrapping_sub(bytes);
        true
    }

    fn take(&self, bytes: usize, stop: impl Fn() -> bool) -> bool {
        let turn = Arc::new(Condvar::new());
        let mut state = self.state.lock();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.waiting.push_back(Waiting { ticket, bytes, turn: turn.clone() });
        let mut taken = false;
        loop {
            if stop() {
                break;
            }
            let first = state.waiting.front().is_some_and(|first| first.ticket == ticket);
            let due = self.flaw == Flaw::HasNoQueue || first;
            let reserve = if self.flaw == Flaw::LimitsWhoWaits { state.reserve } else { 0 };
            if due && state.free.saturating_sub(reserve) >= bytes {
                if self.flaw == Flaw::TakesUnderAnotherLock {
                    drop(state);
                    state = self.state.lock();
                }
                state.free = state.free.wrapping_sub(bytes);
                taken = true;
                break;
            }
            turn.wait(&mut state);
        }
        state.waiting.retain(|waiting| waiting.ticket != ticket);
        if self.flaw != Flaw::LeavesInSilence {
            self.wake(&state);
        }
        taken
    }

    fn give(&self, bytes: usize) {
        let mut state = self.state.lock();
        state.free = state.free.wrapping_add(bytes);
        if self.flaw != Flaw::GivesInSilence {
            self.wake(&state);
        }
    }

    fn wake(&self, state: &State) {
        let woken = match self.flaw {
            Flaw::WakesTheLast => state.waiting.back(),
            _ => state.waiting.front(),
        };
        if let Some(woken) = woken.filter(|woken| woken.bytes <= state.free) {
            woken.turn.notify_one();
        }
    }
}
