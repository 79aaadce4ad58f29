//! Loom's primitives in the dress of those that `segment-worker` uses.
//! It adds nothing to them: a guard that a condition variable can borrow is all.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

pub(crate) use loom::sync::Arc;
pub(crate) use loom::sync::atomic::{AtomicBool, Ordering};
use loom::sync::{Condvar as Inner, Mutex as InnerMutex, MutexGuard as InnerGuard};

/// A mutex without poisoning.
pub(crate) struct Mutex<T>(InnerMutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Mutex<T> {
        Mutex(InnerMutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard { mutex: self, held: Some(self.0.lock().expect("loom's locks are not poisoned")) }
    }
}

/// Holds a [`Mutex`]; a condition variable takes it out and puts it back.
pub(crate) struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    held: Option<InnerGuard<'a, T>>,
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.held.as_ref().expect("held but while it waits")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.held.as_mut().expect("held but while it waits")
    }
}

/// A condition variable whose timed wait does not run out.
pub(crate) struct Condvar(Inner);

impl Condvar {
    pub(crate) fn new() -> Condvar {
        Condvar(Inner::new())
    }

    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let held = guard.held.take().expect("held but while it waits");
        guard.held = Some(self.0.wait(held).expect("loom's locks are not poisoned"));
    }

    pub(crate) fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, _: Duration) {
        self.wait(guard);
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }
}

/// A condition variable whose timed wait runs out as soon as the others have had a turn.
pub(crate) struct Hasty;

impl Hasty {
    pub(crate) fn new() -> Hasty {
        Hasty
    }

    pub(crate) fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, _: Duration) {
        guard.held = None;
        loom::thread::yield_now();
        guard.held = Some(guard.mutex.0.lock().expect("loom's locks are not poisoned"));
    }

    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        self.wait_for(guard, Duration::MAX);
    }

    pub(crate) fn notify_one(&self) {}
}
