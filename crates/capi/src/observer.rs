//! Who is told how a stream gets on.
//! Knows nothing of streams.
#![allow(unsafe_code, reason = "the functions are the caller's, in C")]

use std::ffi::{CString, c_char, c_void};
use std::sync::Arc;

use cofferdam::{Observer, Progress, Warning};

/// How far a stream is. Counts plaintext bytes that are verified and committed, and never goes back.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct cfd_progress {
    /// Plaintext bytes committed.
    pub committed: u64,
    /// Plaintext bytes that are known to survive a power cut; 0 until publish for targets that are durable only then.
    pub durable: u64,
    /// Plaintext bytes in all, where `has_total`.
    pub total: u64,
    /// Segments committed.
    pub segments: u64,
    /// Plaintext bytes per second of late; 0 where it is not known yet.
    pub bytes_per_second: f64,
    /// Estimated seconds left; negative where it is not known.
    pub seconds_left: f64,
    /// Whether `total` is known.
    pub has_total: bool,
    /// Zeros, for later.
    pub reserved: [u8; 15],
}

/// Told of progress, on the thread that runs the stream: the caller's, or the one of a cfd_seal_writer. It returns quickly.
pub type cfd_on_progress = Option<unsafe extern "C" fn(context: *mut c_void, progress: *const cfd_progress)>;
/// Told of something that is wrong and does not stop the stream: `message` is one line, and stays until it returns. On the thread that runs the
/// stream.
pub type cfd_on_warning = Option<unsafe extern "C" fn(context: *mut c_void, message: *const c_char)>;

/// Whom a sealer or opener tells.
#[derive(Clone, Copy, Default)]
pub(crate) struct Told {
    pub(crate) progress: Option<(cfd_on_progress, Context)>,
    pub(crate) warning: Option<(cfd_on_warning, Context)>,
}

/// The caller's own pointer.
#[derive(Clone, Copy)]
pub(crate) struct Context(pub(crate) *mut c_void);

// SAFETY: nothing here follows the pointer: it goes to the caller's function, and the header says that this may be on another thread.
unsafe impl Send for Context {}
// SAFETY: the same.
unsafe impl Sync for Context {}

impl Told {
    pub(crate) fn observer(self) -> Arc<dyn Observer> {
        Arc::new(self)
    }
}

impl Observer for Told {
    fn progress(&self, progress: &Progress) {
        let Some((Some(tell), context)) = self.progress else { return };
        let progress = cfd_progress {
            committed: progress.committed,
            durable: progress.durable,
            total: progress.total.unwrap_or(0),
            segments: progress.segments,
            bytes_per_second: progress.throughput.unwrap_or(0.0),
            seconds_left: progress.eta.map_or(-1.0, |eta| eta.as_secs_f64()),
            has_total: progress.total.is_some(),
            reserved: [0; 15],
        };
        // SAFETY: the function is the caller's, with its own context.
        unsafe { tell(context.0, &raw const progress) };
    }

    fn warning(&self, warning: &Warning) {
        let Some((Some(tell), context)) = self.warning else { return };
        let message = CString::new(warning.to_string()).unwrap_or_default();
        // SAFETY: the function is the caller's, with its own context.
        unsafe { tell(context.0, message.as_ptr()) };
    }
}
