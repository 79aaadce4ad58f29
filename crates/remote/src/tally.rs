//! What requests have cost.
//! Counts alone; whoever shows them words them.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::failure::SetbackKind;
use crate::telemetry::{self, Direction};

/// What the requests to a place have cost so far.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Tally {
    /// Requests sent, each try counted.
    pub requests: u64,
    /// Bytes of the object that have arrived, those that arrived twice counted twice.
    pub bytes: u64,
    /// Tries that failed and were made again.
    pub retries: u64,
    /// How often the place asked for fewer requests.
    pub throttled: u64,
}

/// The counts while they grow. Each is read alone, so no order is needed between them.
#[derive(Default)]
pub(crate) struct Counters {
    requests: AtomicU64,
    bytes: AtomicU64,
    progress: AtomicU64,
    retries: AtomicU64,
    throttled: AtomicU64,
}

impl Counters {
    pub(crate) fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        telemetry::request(Direction::Download);
    }

    pub(crate) fn arrived(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        telemetry::received(bytes);
    }

    pub(crate) fn retry(&self, cause: SetbackKind) {
        self.retries.fetch_add(1, Ordering::Relaxed);
        telemetry::retry(Direction::Download, cause.name());
    }

    pub(crate) fn throttled(&self) {
        self.throttled.fetch_add(1, Ordering::Relaxed);
    }

    /// Of the bytes that have arrived, so many more had been waited for. Returns how many that are in all.
    pub(crate) fn progressed(&self, bytes: usize) -> u64 {
        self.progress.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64
    }

    pub(crate) fn tally(&self) -> Tally {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Tally {
            requests: of(&self.requests),
            bytes: of(&self.bytes),
            retries: of(&self.retries),
            throttled: of(&self.throttled),
        }
    }
}
