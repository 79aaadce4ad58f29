//! Cancellation: one flag that everyone of a stream looks at.
//! It wakes nobody: whoever waits does so for a bounded time, or for work that looks here itself.

use super::prim::{Arc, AtomicBool, Ordering};

/// Asks a stream to stop. Clones are the same token; once cancelled it stays so.
#[derive(Clone)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// A token that has not been cancelled.
    pub fn new() -> CancelToken {
        CancelToken(Arc::new(AtomicBool::new(false)))
    }

    /// Asks whoever holds a clone to stop.
    pub fn cancel(&self) {
        // Partner: the load below. Release, so that what the canceller did before is seen by whoever stops for it.
        self.0.store(true, Ordering::Release);
    }

    /// Whether it has been cancelled.
    pub fn is_cancelled(&self) -> bool {
        // Partner: the store above.
        self.0.load(Ordering::Acquire)
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
