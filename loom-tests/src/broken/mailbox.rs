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

/// Wakes the taker with the result behind the last that it wants.
pub(crate) struct WakesOneTooLate<T>(Shared<T>);

struct Shared<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
}

struct State<T> {
    results: VecDeque<T>,
    wanted: usize,
}

impl<T> NotifiesFirst<T> {
    pub(crate) fn new() -> Self {
        Self(Shared::new())
    }

    pub(crate) fn post(&self, result: T) {
        self.0.arrived.notify_one();
        self.0.state.lock().results.push_back(result);
    }

    pub(crate) fn try_take(&self) -> Option<T> {
        self.0.try_take()
    }

    pub(crate) fn take(&self, wanted: usize) -> T {
        self.0.take(wanted)
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
        self.0.try_take()
    }

    pub(crate) fn take(&self, _wanted: usize) -> T {
        loop {
            if let Some(result) = self.try_take() {
                return result;
            }
            self.0.arrived.wait(&mut self.0.state.lock());
        }
    }
}

impl<T> KeepsTheNewest<T> {
    pub(crate) fn new() -> Self {
        Self(Shared::new())
    }

    pub(crate) fn post(&self, result: T) {
        let mut state = self.0.state.lock();
        state.results.clear();
        state.results.push_back(result);
        drop(state);
        self.0.arrived.notify_one();
    }

    pub(crate) fn try_take(&self) -> Option<T> {
        self.0.try_take()
    }

    pub(crate) fn take(&self, wanted: usize) -> T {
        self.0.take(wanted)
    }
}

impl<T> WakesOneTooLate<T> {
    pub(crate) fn new() -> Self {
        Self(Shared::new())
    }

    pub(crate) fn post(&self, result: T) {
        let mut state = self.0.state.lock();
        state.results.push_back(result);
        let enough = state.results.len() > state.wanted;
        drop(state);
        if enough {
            self.0.arrived.notify_one();
        }
    }

    pub(crate) fn try_take(&self) -> Option<T> {
        self.0.try_take()
    }

    pub(crate) fn take(&self, wanted: usize) -> T {
        self.0.take(wanted)
    }
}

impl<T> Shared<T> {
    fn new() -> Self {
        let state = State { results: VecDeque::new(), wanted: 0 };
        Self { state: Mutex::new(state), arrived: Condvar::new() }
    }

    fn post(&self, result: T) {
        self.state.lock().results.push_back(result);
        self.arrived.notify_one();
    }

    fn try_take(&self) -> Option<T> {
        self.state.lock().results.pop_front()
    }

    fn take(&self, wanted: usize) -> T {
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
