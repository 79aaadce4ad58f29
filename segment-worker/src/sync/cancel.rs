//! Cancellation: one flag that every part of a stream checks.
//! It wakes nobody: whoever waits does so for a bounded time, or for work that looks here itself.

use super::prim::{Arc, AtomicBool, Ordering};

/// Asks a stream to stop. Clones are the same token; once cancelled it stays so.
#[derive(Clone)]
pub struct CancelToken(Arc<Flags>);

struct Flags {
    cancelled: AtomicBool,
    publishing: AtomicBool,
}

impl CancelToken {
    /// A token that has not been cancelled.
    pub fn new() -> CancelToken {
        CancelToken(Arc::new(Flags { cancelled: AtomicBool::new(false), publishing: AtomicBool::new(false) }))
    }

    /// Asks whoever holds a clone to stop.
    pub fn cancel(&self) {
        // Partner: the load below. Release, so that what the canceller did before is seen by whoever stops for it.
        self.0.cancelled.store(true, Ordering::Release);
    }

    /// Whether it has been cancelled.
    pub fn is_cancelled(&self) -> bool {
        // Partner: the store above.
        self.0.cancelled.load(Ordering::Acquire)
    }

    /// Whether a stream with this token has begun to publish, and so whether the target may be the new one already. It stays
    /// so: a cancellation comes too late then, and whoever ends the process cannot say that the target is as it was.
    pub fn is_publishing(&self) -> bool {
        // Partner: the store below.
        self.0.publishing.load(Ordering::Acquire)
    }

    pub(crate) fn begin_publish(&self) {
        // Partner: the load above. Release for symmetry; the flag is set before the publish, so it is never too late.
        self.0.publishing.store(true, Ordering::Release);
    }
}

impl Default for CancelToken {
    fn default() -> CancelToken {
        CancelToken::new()
    }
}

impl std::fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CancelToken({})", if self.is_cancelled() { "cancelled" } else { "live" })
    }
}
