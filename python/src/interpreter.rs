//! Uses of the interpreter by calls that are under way: they end before it does.
//! It knows no call.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cofferdam::{Error, ErrorKind};
use pyo3::prelude::*;

use crate::error;

/// Calls that are under way, and objects of Python's that one of them is using.
///
/// A thread that wants the interpreter once that is ending does not come back, and takes the process with it if it has frames of ours.
static USES: AtomicUsize = AtomicUsize::new(0);
static ENDING: AtomicBool = AtomicBool::new(false);

/// One use, until it is dropped.
pub(crate) struct Use(());

impl Use {
    /// `None` where the interpreter is ending.
    pub(crate) fn begin() -> Option<Use> {
        // SeqCst, as in `wait_for_calls`: either this sees that it is ending, or that sees this use.
        USES.fetch_add(1, Ordering::SeqCst);
        let begun = Use(());
        (!is_ending()).then_some(begun)
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        // A forked child has begun to count anew.
        let _ = USES.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |uses| uses.checked_sub(1));
    }
}

/// Whether the program has come to its end.
pub(crate) fn is_ending() -> bool {
    ENDING.load(Ordering::SeqCst)
}

/// Why a call is not made, or has not ended, where it is.
pub(crate) fn ended(py: Python<'_>) -> PyErr {
    error::raise(py, &Error::new(ErrorKind::Cancelled, "the program is ending"))
}

/// Uses an object of Python's on a thread of the library.
pub(crate) fn attach<R>(work: impl FnOnce(Python<'_>) -> io::Result<R>) -> io::Result<R> {
    let begun = Use::begin();
    match begun {
        Some(_used) => Python::attach(work),
        None => Err(io::Error::other("the program is ending")),
    }
}

/// Has calls that daemon threads have under way end, and waits for them, for a while: an object that waits for something may not return.
#[pyfunction]
pub(crate) fn _wait_for_calls(py: Python<'_>) {
    ENDING.store(true, Ordering::SeqCst);
    py.detach(|| {
        let since = Instant::now();
        while USES.load(Ordering::SeqCst) > 0 && since.elapsed() < PATIENCE {
            thread::sleep(PAUSE);
        }
    });
}

/// In a child: the parent's calls are not here.
#[pyfunction]
pub(crate) fn _forked() {
    USES.store(0, Ordering::SeqCst);
}

/// Above the time that a call is given to end.
const PATIENCE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(2);
