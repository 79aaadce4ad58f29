//! The objects that C holds pointers to: made here, told from what is none, and freed here.
//! Knows nothing of what they are for.
#![allow(unsafe_code, reason = "what C holds is a pointer")]

use std::ops::Deref;
use std::process;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use cofferdam::Error;

use crate::call::{call_briefly, usage};
use crate::status::cfd_status;

/// What C may hold a pointer to.
pub(crate) trait Object {
    /// Stands at the beginning of each such object while it lives. No two kinds share one.
    const MAGIC: u64;
    /// What it is, for an error.
    const NAME: &'static str;
    /// Whether threads belong to it, which a forked process does not have.
    const HAS_THREADS: bool = false;
}

/// An object on the heap. C's pointer leads here, and is typed by what is in it.
#[repr(C)]
struct Held<T> {
    magic: AtomicU64,
    process: u32,
    poisoned: AtomicBool,
    value: T,
}

/// An object in use by a call. A panic that passes it leaves the object refused: nobody knows what is true of it then.
pub(crate) struct Borrowed<'a, T: Object>(&'a Held<T>);

/// Hands `value` to C.
pub(crate) fn give<T: Object>(value: T) -> *mut T {
    let (magic, process) = (AtomicU64::new(T::MAGIC), process::id());
    let held = Box::into_raw(Box::new(Held { magic, process, poisoned: AtomicBool::new(false), value }));
    live::add(held.addr());
    held.cast()
}

/// The object at `object`.
///
/// # Safety
/// `object` is NULL, or leads to memory that can be read. While the result is in use, nobody frees it.
pub(crate) unsafe fn borrow<'a, T: Object>(object: *const T) -> Result<Borrowed<'a, T>, Error> {
    // SAFETY: the same is asked for there.
    let held = unsafe { look_at(object)? };
    if T::HAS_THREADS && held.process != process::id() {
        let what =
            format!("this {} was made before a fork, and its threads are not in this process", T::NAME);
        return Err(usage(what).advise("Make one in the process that uses it."));
    }
    // Partner: the store when a panic passes. Relaxed: it is a flag, and guards no other data.
    match held.poisoned.load(Ordering::Relaxed) {
        true => Err(usage(format!("a fault of this library has stopped a call with this {}", T::NAME))
            .advise("Free it and make another one.")),
        false => Ok(Borrowed(held)),
    }
}

/// The object at `object`, for a signal handler: it takes no lock, and says nothing of what is wrong.
///
/// # Safety
/// As of [`borrow`].
pub(crate) unsafe fn borrow_in_handler<'a, T: Object>(object: *const T) -> Option<&'a T> {
    if object.is_null() {
        return None;
    }
    // SAFETY: it is not NULL, so it leads to what `give` has made.
    let held = unsafe { &*object.cast::<Held<T>>() };
    // Partner: the store in `take`. Relaxed: it only tells a misuse.
    (held.magic.load(Ordering::Relaxed) == T::MAGIC).then_some(&held.value)
}

/// Takes the object at `object` back from C; nothing where its threads are another process's.
///
/// # Safety
/// As of [`borrow`], and nobody else uses it now or later.
pub(crate) unsafe fn take<T: Object>(object: *mut T) -> Result<Option<T>, Error> {
    // SAFETY: the same is asked for there.
    let held = unsafe { look_at(object)? };
    if T::HAS_THREADS && held.process != process::id() {
        // Whoever drops it waits for its threads, for ever.
        return Ok(None);
    }
    live::remove(object.addr());
    // Partner: the loads of whoever looks at an object that has been freed. Relaxed: it only tells a misuse.
    held.magic.store(0, Ordering::Relaxed);
    // SAFETY: `give` has made it of a box, and it has not been taken before: its magic was there.
    Ok(Some(unsafe { Box::from_raw(object.cast::<Held<T>>()) }.value))
}

/// Frees the object at `object`, or nothing if it is NULL.
///
/// # Safety
/// As of [`take`].
pub(crate) unsafe fn free<T: Object>(object: *mut T) -> cfd_status {
    if object.is_null() {
        return cfd_status::CFD_OK;
    }
    // SAFETY: the same is asked for there.
    call_briefly(|| unsafe { take(object) }.map(drop))
}

/// # Safety
/// `object` is NULL, or leads to memory that can be read.
unsafe fn look_at<'a, T: Object>(object: *const T) -> Result<&'a Held<T>, Error> {
    if object.is_null() {
        return Err(usage(format!("the {} is NULL", T::NAME)));
    }
    let no_such = || usage(format!("this is no {}, or it has been freed", T::NAME));
    if !object.cast::<Held<T>>().is_aligned() || !live::has(object.addr()) {
        return Err(no_such());
    }
    // SAFETY: it can be read, and is aligned. In a build for debugging it is known to live.
    let held = unsafe { &*object.cast::<Held<T>>() };
    // Partner: the store in `take`. Relaxed: it only tells a misuse.
    if held.magic.load(Ordering::Relaxed) != T::MAGIC {
        return Err(no_such());
    }
    Ok(held)
}

impl<T: Object> Deref for Borrowed<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T: Object> Drop for Borrowed<'_, T> {
    fn drop(&mut self) {
        if thread::panicking() {
            // Partner: the load in `borrow`.
            self.0.poisoned.store(true, Ordering::Relaxed);
        }
    }
}

/// Which objects live. In a build for debugging alone: there the memory of one that has been freed is not even read.
#[cfg(debug_assertions)]
mod live {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use parking_lot::Mutex;

    static LIVE: Mutex<BTreeSet<usize>> = Mutex::new(BTreeSet::new());

    pub(super) fn add(address: usize) {
        if let Some(mut live) = LIVE.try_lock_for(PATIENCE) {
            live.insert(address);
        }
    }

    pub(super) fn remove(address: usize) {
        if let Some(mut live) = LIVE.try_lock_for(PATIENCE) {
            live.remove(&address);
        }
    }

    /// Where nobody knows, it is left to the magic number.
    pub(super) fn has(address: usize) -> bool {
        LIVE.try_lock_for(PATIENCE).is_none_or(|live| live.contains(&address))
    }

    /// A process that was forked while another thread held the lock has it locked for ever.
    const PATIENCE: Duration = Duration::from_secs(1);
}

#[cfg(not(debug_assertions))]
mod live {
    pub(super) fn add(_: usize) {}
    pub(super) fn remove(_: usize) {}
    pub(super) fn has(_: usize) -> bool {
        true
    }
}
