//! A sink that keeps a stream in memory and hands it over whole.
//! Knows nothing of files; grows only as far as is written.

use std::{fmt, io, sync::Arc};

use bytes::{Bytes, BytesMut};
use contract::{
    Checkpoint, CommitError, SinkCapabilities, StreamingSink, SyncTo, Visibility, WriteAt, cursor::Cursor,
    written::WrittenRanges,
};
use parking_lot::{Mutex, RwLock};

/// Keeps tentative bytes in one allocation, and gives it out as a vector, only after publish.
///
/// The allocation is lent out in blocks: threads that write different blocks do not wait for each other, and nothing
/// is copied in the end. It grows by doubling, up to the furthest byte written, so a length that a stream merely
/// claims costs nothing. Up front it costs address space and 40 bytes per block; the system provides the pages as
/// they are first written, which is most of this sink's cost.
pub struct MemorySink {
    store: Arc<Store>,
    cursor: Cursor,
    published: Arc<Mutex<Option<Vec<u8>>>>,
}

/// Limits of a [`MemorySink`].
#[derive(Clone, Copy, Default, Debug)]
#[non_exhaustive]
pub struct MemoryOptions {
    /// How many bytes are expected. Address space for them, and 40 bytes per block of [`MemorySink::BLOCK_LEN`], are
    /// reserved at the start, so that a lack is reported before the first byte.
    pub len_hint: Option<u64>,
    /// The most bytes that are taken. None: as many as there is memory for.
    pub len_max: Option<u64>,
}

impl MemoryOptions {
    /// Says how many bytes are expected, so that they are reserved at the start. Default: not known.
    #[must_use]
    pub fn len_hint(mut self, bytes: impl Into<Option<u64>>) -> MemoryOptions {
        self.len_hint = bytes.into();
        self
    }

    /// Takes at most `bytes` bytes; the write of one more fails. Default: as many as there is memory for.
    #[must_use]
    pub fn len_max(mut self, bytes: impl Into<Option<u64>>) -> MemoryOptions {
        self.len_max = bytes.into();
        self
    }
}

impl MemorySink {
    /// Bytes of one block.
    pub const BLOCK_LEN: usize = 64 << 10;

    /// A sink without limit, and the place where its contents will be.
    pub fn new() -> (Self, MemoryContents) {
        Self::with_blocks(u64::MAX, Blocks::default())
    }

    /// A sink within limits, and the place where its contents will be.
    ///
    /// # Errors
    /// The hint is above the maximum ([`io::ErrorKind::FileTooLarge`]), or there is no memory for it
    /// ([`io::ErrorKind::OutOfMemory`]).
    pub fn with_options(options: MemoryOptions) -> io::Result<(Self, MemoryContents)> {
        let len_max = options.len_max.unwrap_or(u64::MAX);
        let hint = options.len_hint.unwrap_or(0);
        if hint > len_max {
            let message = format!("{hint} bytes are to come, and the limit in memory is {len_max}");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        let mut blocks = Blocks::default();
        blocks.list(hint)?;
        blocks.reserve(hint)?;
        Ok(Self::with_blocks(len_max, blocks))
    }

    fn with_blocks(len_max: u64, blocks: Blocks) -> (Self, MemoryContents) {
        let contents = MemoryContents { published: Arc::default() };
        let store = Store { written: Mutex::new(WrittenRanges::new(len_max)), blocks: RwLock::new(blocks) };
        let published = contents.published.clone();
        (Self { store: Arc::new(store), cursor: Cursor::default(), published }, contents)
    }
}

/// Where the contents of a [`MemorySink`] are once it has published them.
#[derive(Clone, Debug)]
pub struct MemoryContents {
    published: Arc<Mutex<Option<Vec<u8>>>>,
}

impl MemoryContents {
    /// The stream's bytes, once, and only after publish.
    pub fn take(&self) -> Option<Vec<u8>> {
        self.published.lock().take()
    }
}

impl StreamingSink for MemorySink {
    fn capabilities(&self) -> SinkCapabilities {
        SinkCapabilities::new(Visibility::Private)
    }

    fn last_commit(&mut self) -> io::Result<Option<Checkpoint>> {
        Ok(None)
    }

    fn begin_segment(&mut self, index: u64, at: u64) -> io::Result<()> {
        self.cursor.begin(index, at)
    }

    fn write_tentative(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        self.cursor.write(at, data.len())?;
        self.store.write_all_at(at, data)
    }

    fn rollback_segment(&mut self) -> io::Result<()> {
        let start = self.cursor.roll_back()?;
        self.store.written.lock().cut(start);
        Ok(())
    }

    fn commit_segment(&mut self, _mark: &Checkpoint) -> Result<(), CommitError> {
        self.store.written.lock().check_live().map_err(CommitError::NotCommitted)?;
        self.cursor.commit();
        Ok(())
    }

    fn publish(&mut self, plain_len: u64) -> Result<(), CommitError> {
        self.cursor.check_closed().map_err(CommitError::NotCommitted)?;
        self.store.written.lock().check_complete(plain_len).map_err(CommitError::NotCommitted)?;
        let whole = self.store.hand_over(plain_len).map_err(CommitError::NotCommitted)?;
        *self.published.lock() = Some(whole);
        Ok(())
    }

    fn discard(&mut self) -> io::Result<()> {
        self.store.clear();
        Ok(())
    }

    fn positioned(&self) -> Option<Arc<dyn WriteAt>> {
        Some(self.store.clone())
    }

    fn durability(&self) -> Option<Arc<dyn SyncTo>> {
        None
    }
}

impl Drop for MemorySink {
    fn drop(&mut self) {
        self.store.clear();
    }
}

impl fmt::Debug for MemorySink {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("MemorySink").field("cursor", &self.cursor).finish_non_exhaustive()
    }
}

/// What writers on other threads share with the sink.
struct Store {
    written: Mutex<WrittenRanges>,
    /// Locked exclusively while the allocation grows, and shared while blocks are written.
    blocks: RwLock<Blocks>,
}

impl WriteAt for Store {
    fn write_all_at(&self, at: u64, data: &[u8]) -> io::Result<()> {
        self.written.lock().claim(at, data.len())?;
        self.copy_in(at, data).inspect_err(|error| self.written.lock().fail_for(error))
    }
}

impl Store {
    fn copy_in(&self, at: u64, data: &[u8]) -> io::Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        let end = at + data.len() as u64; // the ledger has seen that this does not overflow
        loop {
            let blocks = self.blocks.read();
            if end <= blocks.capacity {
                blocks.copy_in(at, data);
                return Ok(());
            }
            drop(blocks);
            self.blocks.write().reserve(end)?;
        }
    }

    /// The first `len` bytes. The ledger has shown that there are no holes.
    fn hand_over(&self, len: u64) -> io::Result<Vec<u8>> {
        self.written.lock().close();
        let mut whole = self.blocks.write().join();
        whole.truncate(index(len)?);
        whole.shrink_to_fit();
        Ok(whole)
    }

    fn clear(&self) {
        self.written.lock().close();
        *self.blocks.write() = Blocks::default();
    }
}

/// One allocation, in blocks that follow one another. A block is as long as its furthest byte so far.
#[derive(Default)]
struct Blocks {
    blocks: Vec<Mutex<BytesMut>>,
    capacity: u64,
}

impl Blocks {
    /// Copies to where there is room.
    fn copy_in(&self, at: u64, data: &[u8]) {
        let block_len = MemorySink::BLOCK_LEN as u64;
        // Both are within an allocation, or below BLOCK_LEN.
        let (number, mut offset) = ((at / block_len) as usize, (at % block_len) as usize);
        let mut rest = data;
        for block in self.blocks.iter().skip(number) {
            let (now, later) = rest.split_at(rest.len().min(MemorySink::BLOCK_LEN - offset));
            place(&mut block.lock(), offset, now);
            if later.is_empty() {
                break;
            }
            rest = later;
            offset = 0;
        }
    }

    /// Makes room in the list for the blocks of `len` bytes.
    fn list(&mut self, len: u64) -> io::Result<()> {
        let count = index(len)?.div_ceil(MemorySink::BLOCK_LEN);
        self.blocks.try_reserve_exact(count).map_err(|_| no_memory(len))
    }

    /// Makes room for `end` bytes, and where there is memory for twice the room there was. A large allocation is moved by
    /// moving its pages, not by copying.
    fn reserve(&mut self, end: u64) -> io::Result<()> {
        if end <= self.capacity {
            return Ok(()); // another thread was first
        }
        let enough = index(end)?;
        let mut whole = self.join();
        let before = whole.capacity();
        let rooms = [before.saturating_mul(2), before.saturating_add(before / 8), enough];
        let found =
            rooms.iter().any(|room| whole.try_reserve_exact(*room.max(&enough) - whole.len()).is_ok());
        self.split(whole);
        // Else whoever writes there would ask for room again and again.
        assert!(!found || end <= self.capacity, "what was reserved is lent out");
        if found { Ok(()) } else { Err(no_memory(end)) }
    }

    /// Lends out all of a vector's capacity.
    fn split(&mut self, whole: Vec<u8>) {
        let mut rest = BytesMut::from(Bytes::from(whole));
        self.capacity = rest.capacity() as u64;
        while rest.capacity() > MemorySink::BLOCK_LEN {
            let behind = rest.split_off(MemorySink::BLOCK_LEN);
            self.blocks.push(Mutex::new(std::mem::replace(&mut rest, behind)));
        }
        self.blocks.push(Mutex::new(rest));
    }

    /// Takes all blocks back, and gives the allocation up to its furthest byte. What was not written before that is zeros.
    fn join(&mut self) -> Vec<u8> {
        self.capacity = 0;
        let mut blocks: Vec<BytesMut> = self.blocks.drain(..).map(Mutex::into_inner).collect();
        blocks.truncate(blocks.iter().rposition(|block| !block.is_empty()).map_or(1, |last| last + 1));
        let last = blocks.len().saturating_sub(1);
        blocks[..last].iter_mut().for_each(|block| block.resize(block.capacity(), 0));
        let joined = blocks.into_iter().reduce(|mut whole, block| {
            whole.unsplit(block);
            whole
        });
        joined.map_or_else(Vec::new, Vec::from)
    }
}

/// Writes `data` at `offset` of a block, whose capacity has room for it.
fn place(block: &mut BytesMut, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if offset == block.len() {
        block.extend_from_slice(data);
        return;
    }
    if block.len() < end {
        block.resize(end, 0);
    }
    block[offset..end].copy_from_slice(data);
}

/// A length as this machine counts memory.
fn index(len: u64) -> io::Result<usize> {
    usize::try_from(len).map_err(|_| no_memory(len))
}

fn no_memory(len: u64) -> io::Error {
    io::Error::new(io::ErrorKind::OutOfMemory, format!("no memory for {len} bytes"))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const BLOCK: u64 = MemorySink::BLOCK_LEN as u64;

    fn pattern(at: u64, len: usize) -> Vec<u8> {
        (at..at + len as u64).map(|i| (i % 251) as u8).collect()
    }

    #[test]
    fn pieces_of_any_size_from_many_threads_make_the_whole() {
        for len in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 3 * BLOCK + 77] {
            for piece in [1000, 65_536, MemorySink::BLOCK_LEN, 3 * MemorySink::BLOCK_LEN / 2] {
                let (mut sink, contents) = MemorySink::new();
                let writer = sink.positioned().unwrap();
                thread::scope(|scope| {
                    for number in 0..3 {
                        let writer = writer.clone();
                        scope.spawn(move || {
                            // Each writer from the back, so that blocks are entered in the middle first.
                            let starts: Vec<u64> = (0..len).step_by(piece).skip(number).step_by(3).collect();
                            for at in starts.into_iter().rev() {
                                let piece = piece.min(usize::try_from(len - at).unwrap());
                                writer.write_all_at(at, &pattern(at, piece)).unwrap();
                            }
                        });
                    }
                });
                assert!(contents.take().is_none());
                sink.publish(len).unwrap();
                let whole = contents.take().unwrap();
                assert!(whole == pattern(0, usize::try_from(len).unwrap()), "len {len}, pieces of {piece}");
                assert!(contents.take().is_none());
            }
        }
    }

    #[test]
    fn a_hole_is_not_published() {
        let (mut sink, contents) = MemorySink::new();
        let writer = sink.positioned().unwrap();
        writer.write_all_at(0, &[1; 10]).unwrap();
        writer.write_all_at(11, &[1; 10]).unwrap();
        assert!(matches!(sink.publish(21), Err(CommitError::NotCommitted(_))));
        drop(sink);
        assert!(contents.take().is_none());
    }

    #[test]
    fn a_segment_rolled_back_leaves_nothing_of_itself() {
        let (mut sink, contents) = MemorySink::new();
        sink.begin_segment(0, 0).unwrap();
        sink.write_tentative(0, &[0xEE; 100]).unwrap();
        sink.rollback_segment().unwrap();
        sink.begin_segment(0, 0).unwrap();
        sink.write_tentative(0, &[1; 10]).unwrap();
        sink.commit_segment(&Checkpoint::from_bytes([0; Checkpoint::LEN])).unwrap();
        sink.publish(10).unwrap();
        assert_eq!(contents.take().unwrap(), [1; 10]);
    }

    #[test]
    fn the_limit_holds_for_the_hint_and_for_the_bytes() {
        let limited = |hint| MemorySink::with_options(MemoryOptions { len_hint: hint, len_max: Some(100) });
        assert_eq!(limited(Some(101)).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        let (mut sink, contents) = limited(Some(100)).unwrap();
        let writer = sink.positioned().unwrap();
        writer.write_all_at(0, &[5; 100]).unwrap();
        assert_eq!(writer.write_all_at(100, &[5]).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        sink.publish(100).unwrap();
        assert_eq!(contents.take().unwrap().len(), 100);
    }

    #[test]
    fn a_hint_or_an_offset_beyond_all_memory_is_an_error() {
        let options = MemoryOptions { len_hint: Some(1 << 62), len_max: None };
        assert_eq!(MemorySink::with_options(options).unwrap_err().kind(), io::ErrorKind::OutOfMemory);
        let (mut sink, contents) = MemorySink::new();
        let writer = sink.positioned().unwrap();
        writer.write_all_at(0, &[7]).unwrap();
        writer.write_all_at(1 << 60, &[]).unwrap();
        assert_eq!(writer.write_all_at(1 << 60, &[1]).unwrap_err().kind(), io::ErrorKind::OutOfMemory);
        assert!(matches!(sink.publish(1), Err(CommitError::NotCommitted(_))));
        assert!(contents.take().is_none());
    }

    #[test]
    fn what_is_handed_over_is_as_large_as_the_stream_whether_its_length_was_known_or_not() {
        let len = 5 * BLOCK + 3;
        for hint in [None, Some(1), Some(len), Some(4 * len)] {
            let options = MemoryOptions { len_hint: hint, len_max: None };
            let (mut sink, contents) = MemorySink::with_options(options).unwrap();
            sink.positioned().unwrap().write_all_at(0, &pattern(0, 5 * MemorySink::BLOCK_LEN + 3)).unwrap();
            sink.publish(len).unwrap();
            let whole = contents.take().unwrap();
            assert_eq!(whole.capacity() as u64, len, "{hint:?}");
            assert!(whole == pattern(0, 5 * MemorySink::BLOCK_LEN + 3), "{hint:?}");
        }
    }

    #[test]
    fn writers_go_on_where_another_one_makes_it_grow() {
        const PIECE: usize = MemorySink::BLOCK_LEN / 4 + 1;
        let (mut sink, contents) = MemorySink::new();
        let writer = sink.positioned().unwrap();
        thread::scope(|scope| {
            for first in 0..4 {
                let writer = writer.clone();
                scope.spawn(move || {
                    for number in (first..1000).step_by(4) {
                        let at = number * PIECE as u64;
                        writer.write_all_at(at, &pattern(at, PIECE)).unwrap();
                    }
                });
            }
        });
        let len = 1000 * PIECE;
        sink.publish(len as u64).unwrap();
        assert!(contents.take().unwrap() == pattern(0, len));
    }
}
