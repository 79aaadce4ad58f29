//! The mailbox: where jobs leave their results and the one orchestrator of a stream picks them up.
//! It knows no result. How many can lie in it is bounded by who posts: each posts once for a slot reserved before.

use std::collections::VecDeque;

use super::prim::{Condvar, Mutex};

/// Results on their way from many threads to one.
pub(crate) struct Mailbox<T> {
    results: Mutex<VecDeque<T>>,
    arrived: Condvar,
}

impl<T> Mailbox<T> {
    pub(crate) fn new() -> Mailbox<T> {
        Mailbox { results: Mutex::new(VecDeque::new()), arrived: Condvar::new() }
    }

    /// Leaves a result: a job's last act.
    pub(crate) fn post(&self, result: T) {
        self.results.lock().push_back(result);
        // Only the orchestrator waits, so one wake-up is enough.
        self.arrived.notify_one();
    }

    /// The oldest result, if one has arrived.
    pub(crate) fn try_take(&self) -> Option<T> {
        self.results.lock().pop_front()
    }

    /// Waits for a result. Only for who knows that one is due.
    pub(crate) fn take(&self) -> T {
        let mut results = self.results.lock();
        loop {
            if let Some(result) = results.pop_front() {
                return result;
            }
            self.arrived.wait(&mut results);
        }
    }
}
