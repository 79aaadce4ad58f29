//! A seed that is copied into the staging file by being read: whoever proves what a read gave has proved what is there.
//! Knows nothing of what the bytes should be.

use std::{
    io,
    ops::Range,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use cofferdam_io::ReadAt;
use storage::Seed;

use super::staging::Staging;

/// The bytes of a seed, each of which is at its place in the staging file by the time that a read has given it.
///
/// The bytes that a read gives were either written there, by the same call and out of the same memory, or read from there, because
/// the file system shares them. They are never read from the seed again: it may change at any time. Reads come from any thread, over
/// ranges that do not overlap, until the sink resumes or takes its first write; later ones are refused.
pub struct CopyOnRead {
    seed: Arc<Seed>,
    /// Of the seed, as it was found.
    len: u64,
    staging: Arc<Staging>,
    /// All that was to be shared before this byte is. From here on bytes are copied.
    shared_to: AtomicU64,
    copied: AtomicU64,
    unreadable: OnceLock<u64>,
}

impl CopyOnRead {
    pub(super) fn new(seed: Arc<Seed>, staging: Arc<Staging>) -> CopyOnRead {
        let shared_to = if staging.file.may_share(&seed) { u64::MAX } else { 0 };
        CopyOnRead {
            // A seed that cannot even be examined has nothing to give.
            len: seed.len().unwrap_or(0),
            seed,
            staging,
            shared_to: AtomicU64::new(shared_to),
            copied: AtomicU64::new(0),
            unreadable: OnceLock::new(),
        }
    }

    /// Whether bytes may be shared, before any was announced: then nobody knows how much room they will take.
    pub fn may_share(&self) -> bool {
        self.shared_to.load(Ordering::Relaxed) > 0
    }

    /// Announces that `range` will be read, behind all that was announced before, so that it is shared if it can be. What is
    /// not announced must not be read.
    pub fn announce(&self, range: Range<u64>) {
        // Only this thread stores it, and its reader is handed the range by this thread: that orders the two.
        if range.start < self.shared_to.load(Ordering::Relaxed)
            && !self.staging.share(&self.seed, range.clone())
        {
            self.shared_to.store(range.start, Ordering::Relaxed);
        }
    }

    /// How many bytes have been read, and are in the staging file.
    pub fn copied(&self) -> u64 {
        self.copied.load(Ordering::Relaxed)
    }

    /// Where a read began that failed, first of all, for another reason than that the seed is shorter by now.
    pub fn unreadable(&self) -> Option<u64> {
        self.unreadable.get().copied()
    }

    /// Whether the staging file takes no more: then there is no use in reading on.
    pub fn has_failed(&self) -> bool {
        self.staging.check_unbegun().is_err()
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        match offset < self.shared_to.load(Ordering::Relaxed) {
            true => self.staging.file.read_exact_at(buffer, offset),
            false => self.seed.read_exact_at(buffer, offset),
        }
    }
}

impl ReadAt for CopyOnRead {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if let Err(error) = self.read(offset, buffer) {
            if error.kind() != io::ErrorKind::UnexpectedEof {
                self.unreadable.get_or_init(|| offset);
            }
            return Err(error);
        }
        if offset >= self.shared_to.load(Ordering::Relaxed) {
            self.staging.copy_in(offset, buffer)?;
        }
        // A count for people, and read exactly only once all reads have been waited for.
        self.copied.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn len(&self) -> u64 {
        self.len
    }
}
