//! Reads of the source: what it keeps is copied at once, and the rest is waited for, on at most [`READS_MAX`] threads. With a bounded
//! memory for what they return.
//! Knows no client.

use std::future::Future;
use std::io;
use std::ops::{Deref, Range};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use cofferdam_io::ReadAt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, spawn_blocking, yield_now};

use crate::Notice;

/// The source, and the memory that all clients share. Nobody waits for a share of it: who gets none has memory of its own.
pub(crate) struct Reads {
    source: Arc<dyn ReadAt>,
    /// In units of [`MEMORY_UNIT`].
    shared: Arc<Semaphore>,
    pub(crate) notify: Arc<dyn Fn(Notice<'_>) + Send + Sync>,
}

/// What a connection has, whatever others do: memory for one piece of [`OWN_LEN`] bytes, and for another one that the source keeps, and
/// its client's slots to wait for the source.
#[derive(Clone)]
pub(crate) struct ClientShare {
    own_memory: Arc<Semaphore>,
    own_memory_for_cached: Arc<Semaphore>,
    slots: ReadSlots,
}

/// How many reads of a client may wait for the source at once. Clones are the same slots.
#[derive(Clone)]
pub(crate) struct ReadSlots(pub(crate) Arc<Semaphore>);

/// Memory for some bytes. Dropped, it is free for others.
pub(crate) struct MemoryLease {
    len: usize,
    _permit: OwnedSemaphorePermit,
}

/// A read that has been queued, or runs. Dropped, it is given up.
pub(crate) struct Read {
    task: Task<io::Result<Piece>>,
    is_given_up: Arc<AtomicBool>,
}

/// Bytes of the source, in the memory that is leased for them.
pub(crate) struct Piece {
    bytes: Vec<u8>,
    lease: MemoryLease,
}

impl Reads {
    pub(crate) fn new(source: Arc<dyn ReadAt>, notify: Arc<dyn Fn(Notice<'_>) + Send + Sync>) -> Arc<Reads> {
        Arc::new(Reads { source, shared: Arc::new(Semaphore::new(READ_BYTES_MAX / MEMORY_UNIT)), notify })
    }

    /// Shared memory for `len` bytes, if there is that much now.
    pub(crate) fn try_lease(&self, len: usize) -> Option<MemoryLease> {
        let units = u32::try_from(len.div_ceil(MEMORY_UNIT)).ok()?;
        let permit = self.shared.clone().try_acquire_many_owned(units).ok()?;
        Some(MemoryLease { len, _permit: permit })
    }

    /// Shared memory for `len` bytes, or else the connection's own.
    pub(crate) async fn lease(&self, len: usize, share: &ClientShare) -> io::Result<MemoryLease> {
        match self.try_lease(len) {
            Some(lease) => Ok(lease),
            None => share.lease().await,
        }
    }

    /// Memory for `len` bytes that the source keeps; nothing if there is none that no other read holds.
    pub(crate) async fn lease_for_cached(
        &self,
        len: usize,
        share: &ClientShare,
    ) -> io::Result<Option<MemoryLease>> {
        match self.try_lease(len) {
            None if len <= OWN_LEN => own_lease(&share.own_memory_for_cached).await.map(Some),
            lease => Ok(lease),
        }
    }

    /// Begins a read of the `len` bytes at `offset`, which fit into `lease`. It goes on whether it is polled or not: whoever takes no
    /// answer holds no slot that others wait for.
    pub(crate) fn read(
        self: &Arc<Reads>,
        offset: u64,
        len: usize,
        lease: MemoryLease,
        share: &ClientShare,
    ) -> Read {
        assert!(len <= lease.len, "what is read has memory");
        let is_given_up = Arc::new(AtomicBool::new(false));
        let (reads, slots, given_up) = (self.clone(), share.slots.clone(), is_given_up.clone());
        let task = tokio::spawn(async move {
            let mut piece = Piece { bytes: Vec::new(), lease };
            reads.copy_cached(offset, len, &mut piece.bytes).await?;
            if piece.bytes.len() == len {
                return Ok(piece);
            }
            let slot = slots.0.acquire_owned().await.map_err(io::Error::other)?;
            let waiting = Task(spawn_blocking(move || {
                let _slot = slot;
                reads.read_rest(offset, len, &mut piece.bytes, &given_up).map(|()| piece)
            }));
            waiting.await?
        });
        Read { task: Task(task), is_given_up }
    }

    /// The `len` bytes at `offset`, which fit into `lease`, if the source keeps all of them.
    pub(crate) async fn read_cached(
        &self,
        offset: u64,
        len: usize,
        lease: MemoryLease,
    ) -> io::Result<Option<Piece>> {
        let mut piece = Piece { bytes: Vec::new(), lease };
        self.copy_cached(offset, len, &mut piece.bytes).await?;
        Ok((piece.bytes.len() == len).then_some(piece))
    }

    /// Reads all of `range`, as much at once as there is room for, and keeps nothing: then it can be read, and the source may
    /// have it at hand.
    ///
    /// # Errors
    /// Something of it cannot be read.
    pub(crate) async fn read_over(
        self: &Arc<Reads>,
        range: Range<u64>,
        mut lease: MemoryLease,
        share: &ClientShare,
    ) -> io::Result<MemoryLease> {
        let mut at = range.start;
        while at < range.end {
            let len = (range.end - at).min(lease.len as u64);
            lease = self.read(at, len as usize, lease, share).await?.into_lease();
            at += len;
        }
        Ok(lease)
    }

    /// Fills `bytes`, which are to be `len`, as far as the source keeps them, a piece at a time: other tasks wait for this thread.
    async fn copy_cached(&self, offset: u64, len: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
        bytes.try_reserve_exact(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
        while bytes.len() < len {
            let filled = bytes.len();
            bytes.resize(len.min(filled + OWN_LEN), 0);
            let due = bytes.len();
            let count = self.source.read_cached_at(offset + filled as u64, &mut bytes[filled..]);
            bytes.truncate(filled + count);
            if bytes.len() < due {
                break;
            }
            yield_now().await;
        }
        Ok(())
    }

    /// Reads what is missing in `bytes`, which are to be `len`.
    fn read_rest(
        &self,
        offset: u64,
        len: usize,
        bytes: &mut Vec<u8>,
        given_up: &AtomicBool,
    ) -> io::Result<()> {
        // Relaxed: it says nothing of any other memory. Partner: the drop of the read.
        let is_given_up = || given_up.load(Ordering::Relaxed);
        let (filled, offset) = (bytes.len(), offset + bytes.len() as u64);
        bytes.resize(len, 0);
        let read = self.source.read_exact_at_unless(offset, &mut bytes[filled..], &is_given_up);
        read.inspect_err(|error| {
            if !is_given_up() {
                (self.notify)(Notice::ReadFailed { offset, len: len - filled, error });
            }
        })
    }
}

impl ClientShare {
    pub(crate) fn new(slots: ReadSlots) -> ClientShare {
        let [own_memory, own_memory_for_cached] = [(); 2].map(|()| Arc::new(Semaphore::new(1)));
        ClientShare { own_memory, own_memory_for_cached, slots }
    }

    /// [`OWN_LEN`] bytes, once what was read into them before has been taken.
    pub(crate) async fn lease(&self) -> io::Result<MemoryLease> {
        own_lease(&self.own_memory).await
    }
}

async fn own_lease(memory: &Arc<Semaphore>) -> io::Result<MemoryLease> {
    let permit = memory.clone().acquire_owned().await.map_err(io::Error::other)?;
    Ok(MemoryLease { len: OWN_LEN, _permit: permit })
}

impl ReadSlots {
    pub(crate) fn new(count: usize) -> ReadSlots {
        ReadSlots(Arc::new(Semaphore::new(count)))
    }
}

impl MemoryLease {
    /// For how many bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

impl Future for Read {
    type Output = io::Result<Piece>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<Piece>> {
        Pin::new(&mut self.task).poll(context).map(|done| done?)
    }
}

impl Drop for Read {
    fn drop(&mut self) {
        // Partner: the load in `read_rest`.
        self.is_given_up.store(true, Ordering::Relaxed);
    }
}

impl Piece {
    /// Its memory, for another.
    pub(crate) fn into_lease(self) -> MemoryLease {
        self.lease
    }
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

/// A task that ends when nobody waits for it any more, unless it is within a call that blocks.
struct Task<T>(JoinHandle<T>);

impl<T> Future for Task<T> {
    type Output = io::Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        Pin::new(&mut self.0).poll(context).map_err(io::Error::other)
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Reads that wait for the source at once, which is also the number of threads for them: more wait, in order.
pub const READS_MAX: usize = 32;
/// Of those, how many one client of NBD has at most: all connections of one process.
pub const NBD_CLIENT_READS_MAX: usize = 16;
/// And all clients of HTTP, which cannot be told apart.
pub const HTTP_READS_MAX: usize = 24;
const _: () = assert!(NBD_CLIENT_READS_MAX < READS_MAX && HTTP_READS_MAX < READS_MAX);
/// Bytes that have been read, or are being, and that no client has taken yet. Beyond them each connection has [`OWN_LEN`].
pub const READ_BYTES_MAX: usize = 128 << 20;
/// Bytes that each connection may have read and not taken, however little memory is left to share.
pub const OWN_LEN: usize = 256 << 10;
const MEMORY_UNIT: usize = 1024;
