//! Sinks that the caller wrote: functions that take bytes.
//! Knows nothing of where they put them.
#![allow(unsafe_code, reason = "the functions are the caller's, in C")]

use std::ffi::{c_int, c_void};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use cofferdam::CommitError;
use lent::{Access, Medium};

use crate::source_callbacks::outcome_of;

/// Of a cfd_sink_callbacks: nobody sees what is written before it is published. Bytes then come as soon as their frame is authentic, before
/// the digest of their segment has been compared; bytes from the last committed one on may come again, at the same offset. Without this flag
/// each segment comes once it is verified, and nothing comes twice.
pub const CFD_SINK_PRIVATE: u32 = 1;
/// Of a cfd_sink_callbacks, with CFD_SINK_PRIVATE: `write` is **called from several threads at once**, in any order; no two ranges overlap.
/// Without this flag writes come in order, one at a time. `commit` is not called.
pub const CFD_SINK_PARALLEL: u32 = 2;

/// Where a stream goes, piece by piece. `write` is needed. The functions return 0, or an `errno` value: after that no call begins but that of
/// `abort` and that of `release`. Which thread calls them is not said; where CFD_SINK_PARALLEL is not set it is one at a time.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct cfd_sink_callbacks {
    /// Handed to the functions.
    pub context: *mut c_void,
    /// CFD_SINK_PRIVATE, CFD_SINK_PARALLEL, or 0.
    pub flags: u32,
    /// Takes the `len` bytes at `bytes`, all of them, as those from `offset` on. They are tentative.
    pub write: Option<
        unsafe extern "C" fn(context: *mut c_void, offset: u64, bytes: *const c_void, len: usize) -> c_int,
    >,
    /// The first `len` bytes of the stream are verified, and stay as they are. NULL: nobody wants to know.
    pub commit: Option<unsafe extern "C" fn(context: *mut c_void, len: u64) -> c_int>,
    /// The stream is complete and proved, `len` bytes of it: make it so. Called once. An `errno` value says that this did not happen, a negative
    /// number that it is not known whether it did: the call then returns CFD_DURABILITY_UNKNOWN, and `abort` is not called. NULL: nothing is to be done.
    pub publish: Option<unsafe extern "C" fn(context: *mut c_void, len: u64) -> c_int>,
    /// The stream was not published: take back what has come, if any. NULL: nothing is to be done.
    pub abort: Option<unsafe extern "C" fn(context: *mut c_void)>,
    /// Called once, last, whatever came of it. NULL: nothing is to be done.
    pub release: Option<unsafe extern "C" fn(context: *mut c_void)>,
}

/// The caller's functions, until they are released.
pub(crate) struct SinkCallbacks {
    callbacks: cfd_sink_callbacks,
    /// Whether the stream has been published, or may have been.
    published: AtomicBool,
}

// SAFETY: the header asks for functions that may be called on any thread.
unsafe impl Send for SinkCallbacks {}
// SAFETY: the header asks for a `write` that may be called on several threads at once where the flag is set; where it is not, the contract
// of a sink has one caller.
unsafe impl Sync for SinkCallbacks {}

impl SinkCallbacks {
    /// They are released when this is dropped, also where they are of no use.
    pub(crate) fn new(callbacks: cfd_sink_callbacks) -> SinkCallbacks {
        SinkCallbacks { callbacks, published: AtomicBool::new(false) }
    }

    /// Whether there is a `write`, and the flags are known and go with each other.
    pub(crate) fn are_usable(&self) -> bool {
        let known = [0, CFD_SINK_PRIVATE, CFD_SINK_PRIVATE | CFD_SINK_PARALLEL];
        known.contains(&self.callbacks.flags) && self.callbacks.write.is_some()
    }
}

impl Medium for SinkCallbacks {
    fn access(&self) -> Access {
        match self.callbacks.flags {
            0 => Access::Verified,
            CFD_SINK_PRIVATE => Access::Private,
            _ => Access::Parallel,
        }
    }

    fn len_max(&self) -> u64 {
        u64::MAX
    }

    unsafe fn write(&self, at: u64, data: &[u8]) -> io::Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        let write = self.callbacks.write.ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: the function is the caller's, with its own context; the bytes are there while it runs.
        outcome_of(unsafe { write(self.callbacks.context, at, data.as_ptr().cast(), data.len()) })
    }

    unsafe fn fill(
        &self,
        _: u64,
        _: usize,
        _: &mut dyn FnMut(&mut [u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn is_memory(&self) -> bool {
        false
    }

    fn commit(&self, len: u64) -> io::Result<()> {
        match self.callbacks.commit {
            // SAFETY: the function is the caller's, with its own context.
            Some(commit) => outcome_of(unsafe { commit(self.callbacks.context, len) }),
            None => Ok(()),
        }
    }

    fn publish(&self, len: u64) -> Result<(), CommitError> {
        let code = match self.callbacks.publish {
            // SAFETY: the function is the caller's, with its own context.
            Some(publish) => unsafe { publish(self.callbacks.context, len) },
            None => 0,
        };
        // Partner: the load when it is dropped. Relaxed: whoever drops it has seen the last call end.
        self.published.store(code <= 0, Ordering::Relaxed);
        match code {
            ..0 => {
                let error =
                    outcome_of(code.saturating_neg()).err().unwrap_or_else(|| io::ErrorKind::Other.into());
                Err(CommitError::Unknown(error))
            }
            _ => outcome_of(code).map_err(CommitError::NotCommitted),
        }
    }
}

impl Drop for SinkCallbacks {
    fn drop(&mut self) {
        let cfd_sink_callbacks { context, abort, release, .. } = self.callbacks;
        // Partner: the store at publish.
        let abort = abort.filter(|_| !self.published.load(Ordering::Relaxed));
        for last in [abort, release].into_iter().flatten() {
            // SAFETY: the function is the caller's, with its own context; each is called once, and no other runs or follows.
            unsafe { last(context) };
        }
    }
}
