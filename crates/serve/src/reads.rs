//! Reads of the source, which block: at most [`READS_MAX`] at once, with a bounded memory for what they return.
//! Knows no client.

use std::future::Future;
use std::io;
use std::ops::{Deref, Range};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use cofferdam_io::ReadAt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::Notice;

/// The source, and the memory that all clients share. Nobody waits for a share of it: who gets none has a room of its own.
pub(crate) struct Reads {
    source: Arc<dyn ReadAt>,
    /// In units of [`MEMORY_UNIT`].
    shared: Arc<Semaphore>,
    pub(crate) notify: Arc<dyn Fn(Notice<'_>) + Send + Sync>,
}

/// The memory for one piece of [`OWN_LEN`] bytes that a connection always has, whatever others keep.
#[derive(Clone)]
pub(crate) struct OwnRoom(Arc<Semaphore>);

/// Memory for some bytes. Dropped, it is free for others.
pub(crate) struct Room {
    len: usize,
    _permit: OwnedSemaphorePermit,
}

/// A read that has been queued, or runs. Dropped before it runs, it reads nothing.
pub(crate) struct Read(JoinHandle<io::Result<Piece>>);

/// Bytes of the source, in the room that they take.
pub(crate) struct Piece {
    bytes: Vec<u8>,
    room: Room,
}

impl Reads {
    pub(crate) fn new(source: Arc<dyn ReadAt>, notify: Arc<dyn Fn(Notice<'_>) + Send + Sync>) -> Arc<Reads> {
        Arc::new(Reads { source, shared: Arc::new(Semaphore::new(READ_BYTES_MAX / MEMORY_UNIT)), notify })
    }

    /// Shared memory for `len` bytes, if there is that much now.
    pub(crate) fn shared_room(&self, len: usize) -> Option<Room> {
        let units = u32::try_from(len.div_ceil(MEMORY_UNIT)).ok()?;
        let permit = self.shared.clone().try_acquire_many_owned(units).ok()?;
        Some(Room { len, _permit: permit })
    }

    /// Shared memory for `len` bytes, or else the connection's own.
    pub(crate) async fn room(&self, len: usize, own: &OwnRoom) -> io::Result<Room> {
        match self.shared_room(len) {
            Some(room) => Ok(room),
            None => own.room().await,
        }
    }

    /// Queues a read of the `len` bytes at `offset`, which fit into `room`. It goes on whether it is polled or not: the system's
    /// threads take it in its turn.
    pub(crate) fn read(self: &Arc<Reads>, offset: u64, len: usize, room: Room) -> Read {
        assert!(len <= room.len, "what is read has room");
        let reads = self.clone();
        Read(spawn_blocking(move || Ok(Piece { bytes: reads.read_now(offset, len)?, room })))
    }

    /// Reads all of `range`, as much at once as there is room for, and keeps nothing: then it can be read, and the source may
    /// have it at hand.
    ///
    /// # Errors
    /// Something of it cannot be read.
    pub(crate) async fn read_over(self: &Arc<Reads>, range: Range<u64>, mut room: Room) -> io::Result<Room> {
        let mut at = range.start;
        while at < range.end {
            let len = (range.end - at).min(room.len as u64);
            room = self.read(at, len as usize, room).await?.into_room();
            at += len;
        }
        Ok(room)
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

impl OwnRoom {
    pub(crate) fn new() -> OwnRoom {
        OwnRoom(Arc::new(Semaphore::new(1)))
    }

    /// [`OWN_LEN`] bytes, once what was read into them before has been taken.
    pub(crate) async fn room(&self) -> io::Result<Room> {
        let permit = self.0.clone().acquire_owned().await.map_err(io::Error::other)?;
        Ok(Room { len: OWN_LEN, _permit: permit })
    }
}

impl Room {
    /// For how many bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

impl Future for Read {
    type Output = io::Result<Piece>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<Piece>> {
        Pin::new(&mut self.0).poll(context).map(|done| done.map_err(io::Error::other)?)
    }
}

impl Drop for Read {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Piece {
    /// Its room, for another.
    pub(crate) fn into_room(self) -> Room {
        self.room
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

/// Reads of the source at once, which is also the number of threads for them: more wait, in order.
pub const READS_MAX: usize = 32;
/// Bytes that have been read, or are being, and that no client has taken yet. Beyond them each connection has [`OWN_LEN`].
pub const READ_BYTES_MAX: usize = 128 << 20;
/// Bytes that each connection may have read and not taken, however little memory is left to share.
pub const OWN_LEN: usize = 256 << 10;
const MEMORY_UNIT: usize = 1024;
