//! Owns a source that counts what is read of a sealed stream at offsets.
//! Refuses to be read in order.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cofferdam::{Arrival, ReadAt, Source};

use super::Shared;

struct Counted {
    bytes: Shared,
    read: Arc<AtomicU64>,
}

impl ReadAt for Counted {
    fn len(&self) -> u64 {
        self.bytes.as_ref().len() as u64
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read.fetch_add(buffer.len() as u64, Ordering::SeqCst);
        let at = offset as usize;
        let there = self.bytes.as_ref().get(at..at + buffer.len());
        buffer.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// A sealed stream whose reads are counted.
pub(crate) struct CountedSource(Arc<Counted>);

impl CountedSource {
    /// Counts in `read`.
    pub(crate) fn of(bytes: Shared, read: Arc<AtomicU64>) -> CountedSource {
        CountedSource(Arc::new(Counted { bytes, read }))
    }
}

impl Source for CountedSource {
    fn len(&self) -> Option<u64> {
        Some(self.0.len())
    }

    fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
        Some(self.0.clone())
    }

    fn read_within(&mut self, _buffer: &mut [u8], _patience: Duration) -> io::Result<Arrival> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
