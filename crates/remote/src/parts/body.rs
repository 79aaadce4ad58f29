//! The bytes of one part, as they arrive and as they are read.
//! Knows no request. They lie in blocks that are used again: what is lent by a connection would keep its whole buffer, a trickle of single
//! bytes thousands of them.

use std::sync::Arc;

use parking_lot::Mutex;

/// Bytes from the start of a part up to where it has arrived.
pub(super) struct Body {
    stock: Arc<Stock>,
    part_len: usize,
    len: usize,
    /// Each but the last is [`BLOCK_LEN`] long.
    blocks: Vec<Box<[u8]>>,
}

impl Body {
    pub(super) fn new(stock: Arc<Stock>, part_len: usize) -> Self {
        Self { stock, part_len, len: 0, blocks: Vec::new() }
    }

    /// Adds what came next; it is of the part.
    pub(super) fn push(&mut self, piece: &[u8]) {
        assert!(piece.len() <= self.part_len - self.len, "more has come than the part is long");
        let mut rest = piece;
        while !rest.is_empty() {
            let at = self.len % BLOCK_LEN;
            if at == 0 {
                self.blocks.push(self.stock.take(self.part_len - self.len));
            }
            let block = self.blocks.last_mut().expect("one was added at the start of each");
            let count = rest.len().min(block.len() - at);
            block[at..at + count].copy_from_slice(&rest[..count]);
            self.len += count;
            rest = &rest[count..];
        }
    }

    /// Fills `buffer` with the bytes from `offset` on.
    pub(super) fn copy_to(&self, offset: usize, buffer: &mut [u8]) {
        assert!(buffer.len() <= self.len - offset, "more is asked for than has arrived");
        let mut filled = 0;
        while filled < buffer.len() {
            let at = offset + filled;
            let block = &self.blocks[at / BLOCK_LEN][at % BLOCK_LEN..];
            let count = block.len().min(buffer.len() - filled);
            buffer[filled..filled + count].copy_from_slice(&block[..count]);
            filled += count;
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.stock.give_back(std::mem::take(&mut self.blocks));
    }
}

/// Blocks that no part holds, and how many there may be.
#[derive(Default)]
pub(super) struct Stock(Mutex<Blocks>);

#[derive(Default)]
struct Blocks {
    free: Vec<Box<[u8]>>,
    /// Bytes that parts hold.
    lent: usize,
    /// Bytes that parts and stock may have together.
    limit: usize,
}

impl Stock {
    /// What is kept with what parts hold is at most `bytes`, from now on.
    pub(super) fn set_limit(&self, bytes: usize) {
        let mut blocks = self.0.lock();
        blocks.limit = bytes;
        let room = bytes.saturating_sub(blocks.lent) / BLOCK_LEN;
        let freed = if room < blocks.free.len() { blocks.free.split_off(room) } else { Vec::new() };
        drop(blocks);
        drop(freed);
    }

    /// Bytes that parts hold, and those that are kept for them.
    pub(super) fn len(&self) -> usize {
        let blocks = self.0.lock();
        blocks.lent + blocks.free.len() * BLOCK_LEN
    }

    /// A block for what is left of a part.
    fn take(&self, left: usize) -> Box<[u8]> {
        let len = left.min(BLOCK_LEN);
        let mut blocks = self.0.lock();
        let kept = if len == BLOCK_LEN { blocks.free.pop() } else { None };
        blocks.lent += len;
        // A shorter one is made; then one that is kept may have to go.
        let is_over = blocks.lent + blocks.free.len() * BLOCK_LEN > blocks.limit;
        let freed = if is_over { blocks.free.pop() } else { None };
        drop(blocks);
        drop(freed);
        kept.unwrap_or_else(|| vec![0; len].into_boxed_slice())
    }

    fn give_back(&self, returned: Vec<Box<[u8]>>) {
        let mut blocks = self.0.lock();
        for block in returned {
            blocks.lent -= block.len();
            let has_room = blocks.lent + (blocks.free.len() + 1) * BLOCK_LEN <= blocks.limit;
            if block.len() == BLOCK_LEN && has_room {
                blocks.free.push(block);
            }
        }
    }
}

/// Bytes of a block: about what one read of a connection brings, and little beside the shortest part.
const BLOCK_LEN: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_any_length_read_as_the_bytes_they_are_of() {
        let mut rng = fastrand::Rng::with_seed(3);
        let stock = Arc::new(Stock::default());
        stock.set_limit(3 * BLOCK_LEN);
        for longest in [1, 100, BLOCK_LEN - 1, BLOCK_LEN, BLOCK_LEN + 1, 3 * BLOCK_LEN] {
            for len in [1, BLOCK_LEN - 1, BLOCK_LEN, BLOCK_LEN + 1, 2 * BLOCK_LEN + 77] {
                let bytes: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(len).collect();
                let mut body = Body::new(stock.clone(), len);
                while body.len < len {
                    let end = body.len + rng.usize(1..=longest.min(len - body.len));
                    body.push(&bytes[body.len..end]);
                    let start = rng.usize(..body.len);
                    let mut read = vec![0; rng.usize(..=(body.len - start).min(50))];
                    body.copy_to(start, &mut read);
                    assert!(read == bytes[start..start + read.len()]);
                }
                let mut read = vec![0; len];
                body.copy_to(0, &mut read);
                assert!(read == bytes);
                assert!(stock.len() >= len);
            }
        }
    }

    #[test]
    fn blocks_are_kept_up_to_the_limit_and_used_again() {
        let stock = Arc::new(Stock::default());
        let part = |len| {
            let mut body = Body::new(stock.clone(), len);
            body.push(&vec![7; len]);
            body
        };
        stock.set_limit(4 * BLOCK_LEN);
        let (first, second) = (part(3 * BLOCK_LEN), part(2 * BLOCK_LEN + 5));
        assert_eq!(stock.len(), 5 * BLOCK_LEN + 5);
        drop(first);
        // Of the three blocks one fits.
        assert_eq!(stock.len(), 3 * BLOCK_LEN + 5);
        drop(second);
        assert_eq!(stock.len(), 3 * BLOCK_LEN);
        let third = part(2 * BLOCK_LEN);
        assert_eq!(stock.len(), 3 * BLOCK_LEN);
        let short = part(5);
        assert_eq!(stock.len(), 3 * BLOCK_LEN + 5);
        let another = part(2 * BLOCK_LEN - 1);
        assert_eq!(stock.len(), 4 * BLOCK_LEN + 4);
        drop((short, another));
        stock.set_limit(0);
        assert_eq!(stock.len(), 2 * BLOCK_LEN);
        drop(third);
        assert_eq!(stock.len(), 0);
    }
}
