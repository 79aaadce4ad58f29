//! Reads of the source, which block: so many at once, in so much memory, for all clients together.
//! Knows no client.

use std::future::Future;
use std::io;
use std::ops::Deref;
use std::sync::Arc;

use cofferdam_io::ReadAt;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

use crate::Notice;

/// The source, and who may read of it now.
pub(crate) struct Reads {
    source: Arc<dyn ReadAt>,
    running: Arc<Semaphore>,
    /// In units of [`MEMORY_UNIT`].
    memory: Arc<Semaphore>,
    pub(crate) notify: Arc<dyn Fn(Notice<'_>) + Send + Sync>,
}

/// Bytes of the source. Dropped, they make room for others.
pub(crate) struct Piece {
    bytes: Vec<u8>,
    _memory: OwnedSemaphorePermit,
}

impl Reads {
    pub(crate) fn new(source: Arc<dyn ReadAt>, notify: Arc<dyn Fn(Notice<'_>) + Send + Sync>) -> Arc<Reads> {
        let running = Arc::new(Semaphore::new(READS_MAX));
        let memory = Arc::new(Semaphore::new(READ_BYTES_MAX / MEMORY_UNIT));
        Arc::new(Reads { source, running, memory, notify })
    }

    /// The `len` bytes at `offset`, [`READ_BYTES_MAX`] at most, once it is this read's turn. Dropped before that, it reads nothing.
    pub(crate) fn read(
        self: &Arc<Reads>,
        offset: u64,
        len: usize,
    ) -> impl Future<Output = io::Result<Piece>> + Send + use<> {
        let reads = self.clone();
        async move {
            let units = u32::try_from(len.div_ceil(MEMORY_UNIT)).unwrap_or(u32::MAX);
            let memory = reads.memory.clone().acquire_many_owned(units).await.map_err(closed)?;
            let running = reads.running.clone().acquire_owned().await.map_err(closed)?;
            let read = spawn_blocking(move || {
                let read = reads.read_now(offset, len);
                drop(running);
                read
            });
            let bytes = read.await.map_err(io::Error::other)??;
            Ok(Piece { bytes, _memory: memory })
        }
    }

    fn read_now(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
        bytes.resize(len, 0);
        match self.source.read_exact_at(offset, &mut bytes) {
            Ok(()) => Ok(bytes),
            Err(error) => {
                (self.notify)(Notice::ReadFailed { offset, len, error: &error });
                Err(error)
            }
        }
    }
}

fn closed(_: AcquireError) -> io::Error {
    io::Error::other("no more is read")
}

impl Deref for Piece {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads of the source at once: more wait.
pub const READS_MAX: usize = 32;
/// Bytes that have been read, or are being, and that no client has taken yet: more wait.
pub const READ_BYTES_MAX: usize = 128 << 20;
const MEMORY_UNIT: usize = 1024;
