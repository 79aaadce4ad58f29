//! The queue of jobs that have no thread yet: whoever comes takes the oldest.
//! It knows no job. How many can lie in it is bounded by who leaves them: each was paid for before.

use std::collections::VecDeque;

use super::prim::Mutex;

/// Values left by many threads for many others, each taken once.
pub(crate) struct Queue<T>(Mutex<VecDeque<T>>);

impl<T> Queue<T> {
    pub(crate) fn new() -> Queue<T> {
        Queue(Mutex::new(VecDeque::new()))
    }

    /// Leaves a value behind those that are there.
    pub(crate) fn leave(&self, value: T) {
        self.0.lock().push_back(value);
    }

    /// The oldest value, if there is one. It is the taker's alone.
    pub(crate) fn take(&self) -> Option<T> {
        self.0.lock().pop_front()
    }
}
