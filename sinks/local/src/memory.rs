//! A sink that keeps a stream in memory and hands it over whole.
//! Knows nothing of files; its own memory grows only as far as is written, and a caller's not at all.

mod blocks;
mod pieces;

use std::{fmt, io, sync::Arc};

use contract::{
    Checkpoint, CommitError, Lending, SinkCapabilities, StreamingSink, SyncTo, Visibility, WriteAt,
    cursor::Cursor, written::WrittenRanges,
};
use parking_lot::{Mutex, RwLock};

use self::{
    blocks::{Blocks, index},
    pieces::Pieces,
};

/// Keeps tentative bytes in one allocation, and gives it out as a vector, only after publish.
///
/// The allocation is lent out in blocks: threads that write different blocks do not wait for each other, and nothing
/// is copied in the end. It grows by doubling, up to the furthest byte written, so a length that a stream merely
/// claims costs nothing. Up front it costs address space and 40 bytes per block; the system provides the pages as
/// they are first written, which is most of this sink's cost.
///
/// Two things spare most of that. A vector that is used again ([`over`](Self::over), then [`MemoryContents::take`], then
/// `over` again) costs no faults after the first stream. Huge pages cost a 512th of the faults; they are the allocator's to
/// ask for, which glibc's does with `GLIBC_TUNABLES=glibc.malloc.hugetlb=1` in the process's environment where the system
/// offers them on request (`/sys/kernel/mm/transparent_hugepage/enabled`). This sink cannot without unsafe code.
pub struct MemorySink {
    store: Arc<Store>,
    cursor: Cursor,
    contents: MemoryContents,
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
        Self::with_memory(u64::MAX, Memory::Own(RwLock::default()))
    }

    /// A sink over all of a vector's capacity, and no more, and the place where the vector will be again: with its contents after
    /// publish, else empty. It stays where it is in memory. What it held is written over, and in no order.
    ///
    /// Plaintext is opened in place there, by all threads at once, so nothing is copied. Memory that was written before costs no
    /// page faults; capacity beyond the vector's length is filled with zeros first.
    pub fn over(memory: Vec<u8>) -> (Self, MemoryContents) {
        let pieces = Pieces::of(memory);
        Self::with_memory(pieces.capacity(), Memory::Lent(pieces))
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
        Ok(Self::with_memory(len_max, Memory::Own(RwLock::new(blocks))))
    }

    fn with_memory(len_max: u64, memory: Memory) -> (Self, MemoryContents) {
        let contents = MemoryContents::default();
        let store = Store { written: Mutex::new(WrittenRanges::new(len_max)), memory };
        (Self { store: Arc::new(store), cursor: Cursor::default(), contents: contents.clone() }, contents)
    }

    fn clear(&self) {
        if let Some(memory) = self.store.clear() {
            self.contents.state.lock().unused = Some(memory);
        }
    }
}

/// Where the contents of a [`MemorySink`] are once it has published them.
#[derive(Clone, Default, Debug)]
pub struct MemoryContents {
    state: Arc<Mutex<Contents>>,
}

#[derive(Default)]
struct Contents {
    published: Option<Vec<u8>>,
    /// The caller's, of which nothing came.
    unused: Option<Vec<u8>>,
}

/// The bytes are nobody's to see in a log.
impl fmt::Debug for Contents {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let published = self.published.as_ref().map(Vec::len);
        out.debug_struct("Contents").field("published", &published).finish_non_exhaustive()
    }
}

impl MemoryContents {
    /// The stream's bytes, once, and only after publish.
    pub fn take(&self) -> Option<Vec<u8>> {
        self.state.lock().published.take()
    }

    /// The vector that the sink was [`over`](MemorySink::over), empty, once the sink has ended without a publish. Its
    /// capacity may hold bytes that nobody has verified.
    pub fn take_unused(&self) -> Option<Vec<u8>> {
        self.state.lock().unused.take()
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
        self.contents.state.lock().published = Some(whole);
        Ok(())
    }

    fn discard(&mut self) -> io::Result<()> {
        self.clear();
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
        self.clear();
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
    memory: Memory,
}

/// Whose memory it is.
enum Memory {
    /// Ours, which grows. Locked exclusively while it does, and shared while blocks are written.
    Own(RwLock<Blocks>),
    /// A caller's, as large as it is.
    Lent(Pieces),
}

impl WriteAt for Store {
    fn write_all_at(&self, at: u64, data: &[u8]) -> io::Result<()> {
        self.written.lock().claim(at, data.len())?;
        self.copy_in(at, data).inspect_err(|error| self.written.lock().fail_for(error))
    }

    fn fill_at(
        &self,
        at: u64,
        len: usize,
        fill: &mut dyn FnMut(&mut [u8]) -> io::Result<()>,
    ) -> io::Result<Lending> {
        let Memory::Lent(pieces) = &self.memory else { return Ok(Lending::NotLent) };
        self.written.lock().claim(at, len)?;
        let filled = fill_piece(pieces, at, len, fill);
        filled.map(|()| Lending::Filled).inspect_err(|error| self.written.lock().fail_for(error))
    }
}

fn fill_piece(
    pieces: &Pieces,
    at: u64,
    len: usize,
    fill: &mut dyn FnMut(&mut [u8]) -> io::Result<()>,
) -> io::Result<()> {
    let Some(mut lent) = pieces.lend(at, len) else {
        let message = format!("{len} bytes at {at} are being written, or are not there");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    };
    fill(lent.bytes_mut())
}

impl Store {
    fn copy_in(&self, at: u64, data: &[u8]) -> io::Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        let blocks = match &self.memory {
            Memory::Own(blocks) => blocks,
            Memory::Lent(pieces) => {
                return fill_piece(pieces, at, data.len(), &mut |bytes| {
                    bytes.copy_from_slice(data);
                    Ok(())
                });
            }
        };
        let end = at + data.len() as u64; // the ledger has seen that this does not overflow
        loop {
            let lent = blocks.read();
            if end <= lent.capacity {
                lent.copy_in(at, data);
                return Ok(());
            }
            drop(lent);
            blocks.write().reserve(end)?;
        }
    }

    /// The first `len` bytes. The ledger has shown that there are no holes.
    fn hand_over(&self, len: u64) -> io::Result<Vec<u8>> {
        self.written.lock().close();
        let len = index(len)?;
        match &self.memory {
            Memory::Own(blocks) => {
                let mut whole = blocks.write().join();
                whole.truncate(len);
                whole.shrink_to_fit();
                Ok(whole)
            }
            Memory::Lent(pieces) => {
                pieces.join(len).ok_or_else(|| io::Error::other("some of the memory is still being written"))
            }
        }
    }

    /// Gives up what was written, and gives a caller's memory back, if nobody writes to it.
    fn clear(&self) -> Option<Vec<u8>> {
        self.written.lock().close();
        match &self.memory {
            Memory::Own(blocks) => {
                *blocks.write() = Blocks::default();
                None
            }
            Memory::Lent(pieces) => pieces.join(0),
        }
    }
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
    fn a_callers_vector_is_written_in_place_by_threads_and_comes_back_where_it_was() {
        for len in [0, 1, BLOCK, 3 * BLOCK + 77] {
            let len = usize::try_from(len).unwrap();
            for memory in [vec![0xEE; len], Vec::with_capacity(len + 5), vec![0xEE; 2 * len]] {
                let (place, capacity) = (memory.as_ptr(), memory.capacity());
                let (mut sink, contents) = MemorySink::over(memory);
                let writer = sink.positioned().unwrap();
                thread::scope(|scope| {
                    for number in 0..3 {
                        let writer = writer.clone();
                        scope.spawn(move || {
                            for at in (0..len).step_by(10_000).skip(number).step_by(3) {
                                let piece = pattern(at as u64, 10_000.min(len - at));
                                let filled = writer.fill_at(at as u64, piece.len(), &mut |bytes| {
                                    bytes.copy_from_slice(&piece);
                                    Ok(())
                                });
                                assert_eq!(filled.unwrap(), Lending::Filled);
                            }
                        });
                    }
                });
                sink.publish(len as u64).unwrap();
                let whole = contents.take().unwrap();
                assert!(whole == pattern(0, len), "{len} bytes");
                assert_eq!((whole.as_ptr(), whole.capacity()), (place, capacity));
                drop(sink);
                assert!(contents.take_unused().is_none());
            }
        }
    }

    #[test]
    fn a_callers_vector_comes_back_empty_where_nothing_was_published_and_whatever_failed() {
        type Act = fn(&MemorySink);
        let acts: [Act; 4] = [
            |_| {},
            |sink| sink.positioned().unwrap().write_all_at(5, &[1; 10]).unwrap(),
            |sink| {
                let writer = sink.positioned().unwrap();
                let failed = writer.fill_at(5, 10, &mut |_| Err(io::ErrorKind::Other.into()));
                assert!(
                    failed.is_err() && writer.write_all_at(20, &[1]).is_err(),
                    "the first failure is final"
                );
            },
            |sink| {
                let writer = sink.positioned().unwrap();
                let panics = || drop(writer.fill_at(5, 10, &mut |_| panic!("in a job")));
                assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics)).is_err());
            },
        ];
        for act in acts {
            let memory = vec![7; 100];
            let (place, capacity) = (memory.as_ptr(), memory.capacity());
            let (sink, contents) = MemorySink::over(memory);
            act(&sink);
            let writer = sink.positioned().unwrap();
            drop(sink);
            assert!(contents.take().is_none());
            let unused = contents.take_unused().unwrap();
            assert_eq!((unused.len(), unused.as_ptr(), unused.capacity()), (0, place, capacity));
            assert!(
                writer.fill_at(50, 10, &mut |_| Ok(())).is_err() && writer.write_all_at(50, &[1]).is_err()
            );
        }
    }

    #[test]
    fn what_is_longer_than_a_callers_vector_is_refused() {
        let (mut sink, contents) = MemorySink::over(vec![0; 100]);
        let writer = sink.positioned().unwrap();
        writer.write_all_at(0, &[5; 100]).unwrap();
        assert_eq!(writer.write_all_at(100, &[5]).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        sink.publish(100).unwrap();
        assert_eq!(contents.take().unwrap(), [5; 100]);
    }

    #[test]
    fn a_sink_with_memory_of_its_own_lends_none() {
        let (sink, _) = MemorySink::new();
        let lending = sink.positioned().unwrap().fill_at(0, 10, &mut |_| panic!("nothing is lent"));
        assert_eq!(lending.unwrap(), Lending::NotLent);
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
