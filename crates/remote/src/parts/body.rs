//! The bytes of one part, as they arrive and as they are read.
//! Knows no request. What it holds is what it takes: small pieces are put together.

use bytes::{Bytes, BytesMut};

/// Bytes from the start of a part up to where it has arrived.
#[derive(Default)]
pub(super) struct Body {
    /// Pieces with the offset, within the part, of the byte after each.
    pieces: Vec<(usize, Bytes)>,
    /// What came in small pieces after those.
    small: BytesMut,
}

impl Body {
    /// Bytes that have arrived.
    pub(super) fn len(&self) -> usize {
        self.pieces_end() + self.small.len()
    }

    /// Adds `piece`, which came next. Of the part `left` bytes are to come, it included.
    pub(super) fn push(&mut self, piece: Bytes, left: usize) {
        if piece.len() >= KEPT_MIN {
            self.close_small();
            self.add(piece);
            return;
        }
        let mut piece = piece;
        let mut left = left;
        while !piece.is_empty() {
            if self.small.capacity() == 0 {
                self.small = BytesMut::with_capacity(left.min(BLOCK_LEN));
            }
            let room = self.small.capacity() - self.small.len();
            let taken = piece.split_to(piece.len().min(room));
            self.small.extend_from_slice(&taken);
            left -= taken.len();
            if taken.len() == room {
                self.close_small();
            }
        }
    }

    /// Fills `buffer` with the bytes from `offset` on, which have arrived.
    pub(super) fn copy_to(&self, offset: usize, buffer: &mut [u8]) {
        let mut at = offset;
        let mut filled = 0;
        let first = self.pieces.partition_point(|(end, _)| *end <= offset);
        let small = (self.len(), &self.small[..]);
        let pieces = self.pieces[first..].iter().map(|(end, piece)| (*end, &piece[..])).chain([small]);
        for (end, piece) in pieces {
            let rest = &piece[piece.len() - (end - at)..];
            let count = rest.len().min(buffer.len() - filled);
            buffer[filled..filled + count].copy_from_slice(&rest[..count]);
            filled += count;
            at += count;
            if filled == buffer.len() {
                return;
            }
        }
        assert_eq!(filled, buffer.len(), "more was asked for than has arrived");
    }

    fn pieces_end(&self) -> usize {
        self.pieces.last().map_or(0, |(end, _)| *end)
    }

    fn close_small(&mut self) {
        let small = std::mem::take(&mut self.small).freeze();
        if !small.is_empty() {
            self.add(small);
        }
    }

    fn add(&mut self, piece: Bytes) {
        let end = self.pieces_end() + piece.len();
        self.pieces.push((end, piece));
    }
}

/// The shortest piece that is kept as it came, in bytes. A piece is lent from the buffer that the connection read into, which is at most
/// 4 times as long where pieces are of one length; shorter ones are copied.
const KEPT_MIN: usize = 128 * 1024;
/// What short pieces are copied into, in bytes.
const BLOCK_LEN: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_any_length_read_as_the_bytes_they_are_of() {
        /// About as many reads as this while a part arrives.
        const READS: usize = 200;
        let mut rng = fastrand::Rng::with_seed(3);
        for longest in [1, 100, KEPT_MIN - 1, KEPT_MIN + 1, 3 * BLOCK_LEN] {
            let bytes: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(2 * BLOCK_LEN + 77).collect();
            let mut body = Body::default();
            while body.len() < bytes.len() {
                let left = bytes.len() - body.len();
                let piece = rng.usize(1..=longest.min(left));
                body.push(Bytes::copy_from_slice(&bytes[body.len()..body.len() + piece]), left);
                if rng.usize(..bytes.len()) > READS * piece {
                    continue;
                }
                let start = rng.usize(..body.len());
                let mut read = vec![0; rng.usize(..=body.len() - start)];
                body.copy_to(start, &mut read);
                assert!(read == bytes[start..start + read.len()]);
            }
        }
    }

    #[test]
    fn a_trickle_takes_no_more_memory_than_its_bytes() {
        let lent_from = Bytes::from(vec![7; 4 * KEPT_MIN]);
        let mut body = Body::default();
        for at in 0..1000 {
            body.push(lent_from.slice(at..at + 1), 1000 - at);
        }
        assert!(lent_from.is_unique());
        assert_eq!((body.len(), body.pieces.len(), body.small.capacity()), (1000, 1, 0));
    }
}
