//! Mailboxes with one fault each.
//! Their names say which.

use std::collections::VecDeque;

use crate::prim::{Condvar, Mutex};

/// Wakes the taker, and then leaves the result.
pub(crate) struct NotifiesFirst<T>(Shared<T>);

/// Looks whether there is a result, lets the lock go, and takes it again to wait.
pub(crate) struct LooksUnderAnotherLock<T>(Shared<T>);

/// Has one slot.
pub(crate) struct KeepsTheNewest<T>(Shared<T>);

struct Shared<T> {
    results: Mutex<VecDeque<T>>,
    arrived: Condvar,
}

impl<T> NotifiesFirst<T> {
    pub(crate) fn new() -> Self {
        Self(Shared::new())
    }

    pub(crate) fn post(&self, result: T) {
        self.0.arrived.notify_one();
        self.0.results.lock().push_back(result);
    }

    pub(crate) fn try_take(&self) -> Option<T> {
        self.0.results.lock().pop_front()
    }

    pub(crate) fn take(&self) -> T {
        self.0.take()
    }
}

impl<T> LooksUnderAnotherLock<T> {
    pub(crate) fn new() -> Self {
        Self(Shared::new())
    }

    pub(crate) fn post(&self, result: T) {
        self.0.post(result);
    }

    pub(crate) fn try_take(&self) -> Option<T> {
        self.0.results.lock().pop_front()
    }

    pub(crate) fn take(&self) -> T {
        loop {
            if let Some(result) = self.try_take() {
                return result;
            }
            self.0.arrived.wait(&mut self.0.results.lock());
        }
    }
}

impl<T> KeepsTheNewest<T> {
    pub(crate) fn new() -> Self {
        Self(Shared::new())
    }

    pub(crate) fn post(&self, result: T) {
        let mut results = self.0.results.lock();
        results.clear();
        results.push_back(result);
        drop(results);
        self.0.arrived.notify_one();
    }

    pub(crate) fn try_take(&self) -> Option<T> {
        self.0.results.lock().pop_front()
    }

    pub(crate) fn take(&self) -> T {
        self.0.take()
    }
}

impl<T> Shared<T> {
    fn new() -> Self {
        Self { results: Mutex::new(VecDeque::new()), arrived: Condvar::new() }
    }

    fn post(&self, result: T) {
        self.results.lock().push_back(result);
        self.arrived.notify_one();
    }

    fn take(&self) -> T {
        let mut results = self.results.lock();
        loop {
            if let Some(result) = results.pop_front() {
                return result;
            }
            self.arrived.wait(&mut results);
        }
    }
}
