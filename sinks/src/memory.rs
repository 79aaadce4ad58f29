//! A sink that keeps a stream in memory and hands it over whole.
//! Knows nothing of files; grows only by what is written.

use std::{collections::BTreeMap, fmt, io, sync::Arc};

use parking_lot::{Mutex, RwLock};

use crate::{
    Checkpoint, CommitError, MakeDurable, PositionedWrite, Profile, StreamingSink, Visibility,
    cursor::Cursor, ledger::Ledger,
};

/// Keeps tentative bytes in blocks and gives them out, as one vector, only after publish.
///
/// Blocks are made as they are written, so a length that a stream merely claims costs nothing. Threads that write
/// different blocks do not wait for each other.
pub struct MemorySink {
    store: Arc<Store>,
    cursor: Cursor,
    published: Arc<Mutex<Option<Vec<u8>>>>,
    reserved: Vec<u8>,
}

/// Limits of a [`MemorySink`].
#[derive(Clone, Copy, Default, Debug)]
pub struct MemoryOptions {
    /// How many bytes will probably come. Address space for them is reserved at the start, so that a lack of it is
    /// told before the first byte.
    pub len_hint: Option<u64>,
    /// The most bytes that are taken. None: as many as there is memory for.
    pub len_max: Option<u64>,
}

impl MemorySink {
    /// Bytes of one block.
    pub const BLOCK_LEN: usize = 1 << 20;

    /// A sink without limit, and the place where its contents will be.
    pub fn new() -> (Self, MemoryContents) {
        Self::with_reserve(u64::MAX, Vec::new())
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
        let mut reserved = Vec::new();
        reserve(&mut reserved, hint)?;
        Ok(Self::with_reserve(len_max, reserved))
    }

    fn with_reserve(len_max: u64, reserved: Vec<u8>) -> (Self, MemoryContents) {
        let contents = MemoryContents { published: Arc::default() };
        let store = Store { ledger: Mutex::new(Ledger::new(len_max)), blocks: RwLock::default() };
        let published = contents.published.clone();
        (Self { store: Arc::new(store), cursor: Cursor::default(), published, reserved }, contents)
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
    fn profile(&self) -> Profile {
        Profile { visibility: Visibility::Private, reserve_bytes: 0 }
    }

    fn last_commit(&mut self) -> io::Result<Option<Checkpoint>> {
        Ok(None)
    }

    fn begin_segment(&mut self, index: u64, at: u64) -> io::Result<()> {
        self.cursor.begin(index, at)
    }

    fn write_tentative(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        self.cursor.write(at, data.len())?;
        self.store.write_at(at, data)
    }

    fn rollback_segment(&mut self) -> io::Result<()> {
        let start = self.cursor.roll_back()?;
        self.store.ledger.lock().cut(start);
        Ok(())
    }

    fn commit_segment(&mut self, _mark: &Checkpoint) -> Result<(), CommitError> {
        self.store.ledger.lock().check_live().map_err(CommitError::NotCommitted)?;
        self.cursor.commit();
        Ok(())
    }

    fn publish(&mut self, plain_len: u64) -> Result<(), CommitError> {
        self.cursor.check_closed().map_err(CommitError::NotCommitted)?;
        self.store.ledger.lock().check_complete(plain_len).map_err(CommitError::NotCommitted)?;
        let whole = std::mem::take(&mut self.reserved);
        let whole = self.store.assemble(whole, plain_len).map_err(CommitError::NotCommitted)?;
        self.store.ledger.lock().close();
        *self.published.lock() = Some(whole);
        Ok(())
    }

    fn discard(&mut self) -> io::Result<()> {
        self.store.clear();
        Ok(())
    }

    fn positioned(&self) -> Option<Arc<dyn PositionedWrite>> {
        Some(self.store.clone())
    }

    fn durability(&self) -> Option<Arc<dyn MakeDurable>> {
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

/// The blocks, by number. A block is as long as its furthest byte so far.
struct Store {
    ledger: Mutex<Ledger>,
    blocks: RwLock<BTreeMap<u64, Arc<Mutex<Vec<u8>>>>>,
}

impl PositionedWrite for Store {
    fn write_at(&self, at: u64, data: &[u8]) -> io::Result<()> {
        self.ledger.lock().claim(at, data.len())?;
        self.copy_in(at, data).inspect_err(|error| self.ledger.lock().fail_for(error))
    }
}

impl Store {
    fn copy_in(&self, at: u64, data: &[u8]) -> io::Result<()> {
        let mut rest = data;
        let (mut number, mut offset) = split(at);
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(MemorySink::BLOCK_LEN - offset));
            place(&mut self.block(number)?.lock(), offset, now);
            rest = later;
            number += 1;
            offset = 0;
        }
        Ok(())
    }

    /// The block of that number, made if it is not there. Its capacity is whole from the start.
    fn block(&self, number: u64) -> io::Result<Arc<Mutex<Vec<u8>>>> {
        if let Some(block) = self.blocks.read().get(&number) {
            return Ok(block.clone());
        }
        let mut bytes = Vec::new();
        reserve(&mut bytes, MemorySink::BLOCK_LEN as u64)?;
        Ok(self.blocks.write().entry(number).or_insert_with(|| Arc::new(Mutex::new(bytes))).clone())
    }

    /// Joins the blocks, giving each back as soon as it is copied. The ledger has shown that there are no holes.
    fn assemble(&self, mut whole: Vec<u8>, len: u64) -> io::Result<Vec<u8>> {
        reserve(&mut whole, len)?;
        let mut blocks = self.blocks.write();
        let mut left = len;
        while left > 0 {
            let missing = || io::Error::other("a block that was written is not there");
            let (_, block) = blocks.pop_first().ok_or_else(missing)?;
            let block = block.lock();
            let wanted = usize::try_from(left).map_or(block.len(), |left| left.min(block.len()));
            whole.extend_from_slice(&block[..wanted]);
            left -= wanted as u64;
        }
        blocks.clear();
        Ok(whole)
    }

    fn clear(&self) {
        self.ledger.lock().close();
        self.blocks.write().clear();
    }
}

/// Block number and offset in it.
fn split(at: u64) -> (u64, usize) {
    let block_len = MemorySink::BLOCK_LEN as u64;
    let offset = usize::try_from(at % block_len).unwrap_or_default(); // below BLOCK_LEN, a usize
    (at / block_len, offset)
}

fn place(block: &mut Vec<u8>, offset: usize, data: &[u8]) {
    if offset == block.len() {
        block.extend_from_slice(data);
        return;
    }
    let end = offset + data.len();
    if block.len() < end {
        block.resize(end, 0);
    }
    block[offset..end].copy_from_slice(data);
}

fn reserve(bytes: &mut Vec<u8>, len: u64) -> io::Result<()> {
    let none = || io::Error::new(io::ErrorKind::OutOfMemory, format!("no memory for {len} bytes"));
    bytes.try_reserve_exact(usize::try_from(len).map_err(|_| none())?).map_err(|_| none())
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
                    for lane in 0..3 {
                        let writer = writer.clone();
                        scope.spawn(move || {
                            // Each lane from the back, so that blocks are entered in the middle first.
                            let starts: Vec<u64> = (0..len).step_by(piece).skip(lane).step_by(3).collect();
                            for at in starts.into_iter().rev() {
                                let piece = piece.min(usize::try_from(len - at).unwrap());
                                writer.write_at(at, &pattern(at, piece)).unwrap();
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
        writer.write_at(0, &[1; 10]).unwrap();
        writer.write_at(11, &[1; 10]).unwrap();
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
        writer.write_at(0, &[5; 100]).unwrap();
        assert_eq!(writer.write_at(100, &[5]).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        sink.publish(100).unwrap();
        assert_eq!(contents.take().unwrap().len(), 100);
    }

    #[test]
    fn a_hint_beyond_all_memory_is_an_error_and_an_offset_beyond_it_costs_one_block() {
        let options = MemoryOptions { len_hint: Some(1 << 62), len_max: None };
        assert_eq!(MemorySink::with_options(options).unwrap_err().kind(), io::ErrorKind::OutOfMemory);
        let (sink, _contents) = MemorySink::new();
        sink.positioned().unwrap().write_at(1 << 60, &[1]).unwrap();
        assert_eq!(sink.store.blocks.read().len(), 1);
    }
}
