//! A queue with one fault.
//! Its name says which.

use std::collections::VecDeque;

use crate::prim::Mutex;

/// Looks at the oldest value, lets the lock go, and takes it again to remove what is oldest then.
pub(crate) struct LooksBeforeItTakes<T>(Mutex<VecDeque<T>>);

impl<T: Copy> LooksBeforeItTakes<T> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(VecDeque::new()))
    }

    pub(crate) fn leave(&self, value: T) {
        self.0.lock().push_back(value);
    }

    pub(crate) fn take(&self) -> Option<T> {
        let oldest = self.0.lock().front().copied();
        self.0.lock().pop_front();
        oldest
    }
}
