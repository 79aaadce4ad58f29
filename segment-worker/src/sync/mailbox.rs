//! The mailbox: where jobs leave their results and the one orchestrator of a stream picks them up.
//! It knows no result. How many can lie in it is bounded by who posts: each posts once for a slot reserved before.

use std::collections::VecDeque;

use super::prim::{Condvar, Mutex};

/// Results on their way from many threads to one.
pub(crate) struct Mailbox<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
}

struct State<T> {
    results: VecDeque<T>,
    /// How many results the sleeping taker waits for. `None` while it does not sleep.
    wanted: usize,
}

impl<T> Mailbox<T> {
    pub(crate) fn new() -> Mailbox<T> {
        let state = State { results: VecDeque::new(), wanted: 0 };
        Mailbox { state: Mutex::new(state), arrived: Condvar::new() }
    }

    /// Leaves a result: a job's last act.
    pub(crate) fn post(&self, result: T) {
        let mut state = self.state.lock();
        state.results.push_back(result);
        let enough = state.results.len() >= state.wanted;
        drop(state);
        if enough {
            // Only the orchestrator waits, so one wake-up is enough.
            self.arrived.notify_one();
        }
    }

    /// The oldest result, if one has arrived.
    pub(crate) fn try_take(&self) -> Option<T> {
        self.state.lock().results.pop_front()
    }

    /// Waits until `wanted` results are there and takes the oldest. Only for a caller that knows that many to be due,
    /// at least one. Waking a thread costs as much as a few frames, so it pays to sleep until there is more to do.
    pub(crate) fn take(&self, wanted: usize) -> T {
        let mut state = self.state.lock();
        state.wanted = wanted;
        loop {
            if state.results.len() >= wanted
                && let Some(result) = state.results.pop_front()
            {
                state.wanted = 0;
                return result;
            }
            self.arrived.wait(&mut state);
        }
    }
}
