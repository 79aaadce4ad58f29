//! When committed segments are made durable.
//! Knows no sink and no clock: the engine keeps the time and calls [`MakeDurable`](crate::MakeDurable).

use std::time::Duration;

/// How much of a stream may have committed without being durable. It matters only for sinks that offer
/// [`MakeDurable`](crate::MakeDurable); publish is durable whatever is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// Every segment is made durable as it commits: the least is lost, and the most is waited for.
    Each,
    /// Segments are made durable together, once so many bytes or so much time have gone by.
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

impl Durability {
    /// Whether a sync is due, `bytes` and `elapsed` after the last one.
    pub fn is_due(self, bytes: u64, elapsed: Duration) -> bool {
        match self {
            Self::Each => true,
            Self::Group { bytes: limit, interval } => bytes >= limit || elapsed >= interval,
            Self::AtFinish => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_ends_by_bytes_or_by_time() {
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        let group = Durability::Group { bytes: 10, interval: minute };
        let table = [
            (Durability::Each, 0, Duration::ZERO, true),
            (Durability::AtFinish, u64::MAX, minute, false),
            (group, 9, second, false),
            (group, 10, second, true),
            (group, 9, minute, true),
        ];
        for (durability, bytes, elapsed, due) in table {
            assert_eq!(durability.is_due(bytes, elapsed), due, "{durability:?} after {bytes} bytes");
        }
    }
}
