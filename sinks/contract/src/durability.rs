//! When committed segments are made durable.
//! Knows no sink and no clock: the engine keeps the time and calls [`SyncTo`](crate::SyncTo).

use std::time::Duration;

/// How much of a stream may have committed without being durable. It matters only for sinks that offer
/// [`SyncTo`](crate::SyncTo); publish is durable whatever is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// Every segment is made durable as it commits: least lost, longest waits.
    Each,
    /// Segments are made durable together, every `bytes` or every `interval`. The stream continues meanwhile, until
    /// two groups of bytes are not yet durable.
    Group {
        /// Bytes committed since the last time.
        bytes: u64,
        /// Time since the last time.
        interval: Duration,
    },
    /// Nothing before publish.
    AtFinish,
}

impl Default for Durability {
    /// Groups of 256 MiB or 5 seconds, whichever comes first.
    fn default() -> Self {
        Self::Group { bytes: 256 * 1024 * 1024, interval: Duration::from_secs(5) }
    }
}
