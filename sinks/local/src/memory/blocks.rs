//! Memory that grows with what is written to it, lent out in blocks.
//! Knows neither which bytes were written nor how many there may be.

use std::io;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

use super::MemorySink;

/// One allocation, in blocks that follow one another. A block is as long as its furthest byte so far.
#[derive(Default)]
pub(super) struct Blocks {
    blocks: Vec<Mutex<BytesMut>>,
    pub(super) capacity: u64,
}

impl Blocks {
    /// Copies to where there is room.
    pub(super) fn copy_in(&self, at: u64, data: &[u8]) {
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
    pub(super) fn list(&mut self, len: u64) -> io::Result<()> {
        let count = index(len)?.div_ceil(MemorySink::BLOCK_LEN);
        self.blocks.try_reserve_exact(count).map_err(|_| no_memory(len))
    }

    /// Makes room for `end` bytes, and where there is memory for twice the room there was. A large allocation is moved by
    /// moving its pages, not by copying.
    pub(super) fn reserve(&mut self, end: u64) -> io::Result<()> {
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
    pub(super) fn join(&mut self) -> Vec<u8> {
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
pub(super) fn index(len: u64) -> io::Result<usize> {
    usize::try_from(len).map_err(|_| no_memory(len))
}

fn no_memory(len: u64) -> io::Error {
    io::Error::new(io::ErrorKind::OutOfMemory, format!("no memory for {len} bytes"))
}
