//! Checks for the fuzzer: the cutting of a stream into records: all at once, in blocks of any size, and by `split_frames`.
//! It knows no cipher: bodies and tags are whatever the fuzzer wrote.
//!
//! An input is a byte of mode, a byte that bounds the blocks, four bytes that choose their sizes, and the stream. With
//! an odd mode the stream stands behind a preamble and key copies that are made here, so that the fuzzer works on
//! segments alone: compressed ones where its second bit is set.

use framing::limits::{PREAMBLE_BLOCK_LEN, TERMINATOR_LEN};
use framing::{
    Compression, DigestKind, FramingError, Piece, Preamble, Shape, Splitter, StreamId, Suite, split_frames,
};

/// Blocks have at most 2 to the power of less than this many bytes: from single bytes to several records.
const BLOCK_EXPONENTS: u8 = 14;

/// Everything below, for one input. Panics on a fault.
pub(crate) fn check(data: &[u8]) {
    let Some((&[mode, bound, a, b, c, d], stream)) = data.split_first_chunk() else { return };
    let compression = if mode & 2 == 2 { Compression::Zstd } else { Compression::None };
    let front = if mode % 2 == 1 { front(compression) } else { Vec::new() };
    let wire = [&front[..], stream].concat();
    let blocks = Blocks::new(bound, u32::from_le_bytes([a, b, c, d]));
    let at_once = Cut::at_once(&wire);
    assert_eq!(at_once, Cut::in_blocks(&wire, front.len(), blocks));
    at_once.tiles(&wire);
    at_once.agrees_with_split_frames(&wire);
}

/// What a splitter made of an input: its pieces, and how it ended.
#[derive(Debug, PartialEq)]
struct Cut {
    pieces: Vec<(Piece, usize)>,
    end: Result<(), FramingError>,
    offset: u64,
    segments: u64,
}

impl Cut {
    fn at_once(wire: &[u8]) -> Cut {
        let mut splitter = Splitter::new();
        let mut pieces = Vec::new();
        let mut rest = wire;
        let failure = drain(&mut splitter, &mut rest, &mut pieces).err();
        Cut::ended(&splitter, pieces, failure)
    }

    /// As a reader that cannot seek does it; the first `front` bytes have arrived already.
    fn in_blocks(wire: &[u8], front: usize, mut blocks: Blocks) -> Cut {
        let mut splitter = Splitter::new();
        let mut pieces = Vec::new();
        let (mut taken, mut shown) = (0, front);
        loop {
            let mut rest = &wire[taken..shown];
            if let Err(error) = drain(&mut splitter, &mut rest, &mut pieces) {
                return Cut::ended(&splitter, pieces, Some(error));
            }
            if shown == wire.len() {
                return Cut::ended(&splitter, pieces, None);
            }
            taken = shown - rest.len();
            shown = (shown + blocks.next_len()).min(wire.len());
        }
    }

    fn ended(splitter: &Splitter, pieces: Vec<(Piece, usize)>, failure: Option<FramingError>) -> Cut {
        let end = failure.map_or_else(|| splitter.finish(), Err);
        Cut { pieces, end, offset: splitter.offset(), segments: splitter.segments() }
    }

    /// The pieces lie side by side from the first byte on, none empty; only a whole stream ends well.
    fn tiles(&self, wire: &[u8]) {
        assert!(self.pieces.iter().all(|&(_, len)| len > 0));
        let total: usize = self.pieces.iter().map(|&(_, len)| len).sum();
        assert_eq!(total as u64, self.offset);
        assert!(total <= wire.len());
        if self.end.is_ok() {
            assert_eq!(total, wire.len());
            assert!(matches!(self.pieces.last(), Some((Piece::Footer, _))));
        }
        let closed = self.pieces.iter().filter(|(piece, _)| *piece == Piece::Closing).count();
        assert_eq!(closed as u64, self.segments);
    }

    /// In every whole segment, `split_frames` finds the same frames.
    fn agrees_with_split_frames(&self, wire: &[u8]) {
        let Some(preamble) = wire.get(..PREAMBLE_BLOCK_LEN).and_then(|block| Preamble::parse(block).ok())
        else {
            return;
        };
        let mut lens = Vec::new();
        let mut at = 0;
        for &(piece, len) in &self.pieces {
            at += len;
            match piece {
                Piece::SegmentHeader => lens.clear(),
                Piece::Data(_) | Piece::Table => lens.push(len),
                Piece::Closing => {
                    lens.extend([preamble.shape.digest_frame_len(), TERMINATOR_LEN]);
                    let start = at - lens.iter().sum::<usize>();
                    let frames = split_frames(&wire[start..at], preamble.shape);
                    let found = frames.map(|frames| frames.iter().map(ExactSizeIterator::len).collect());
                    assert_eq!(found.as_ref(), Ok(&lens));
                }
                _ => {}
            }
        }
    }
}

/// Takes all pieces that `rest` begins with.
fn drain(
    splitter: &mut Splitter,
    rest: &mut &[u8],
    pieces: &mut Vec<(Piece, usize)>,
) -> Result<(), FramingError> {
    while let Some((piece, len)) = splitter.next_piece(rest)? {
        pieces.push((piece, len));
        *rest = &rest[len..];
    }
    Ok(())
}

/// Lengths of blocks: xorshift32 under a bound.
struct Blocks {
    len_max: u32,
    state: u32,
}

impl Blocks {
    fn new(bound: u8, seed: u32) -> Blocks {
        Blocks { len_max: 1 << (bound % BLOCK_EXPONENTS), state: seed | 1 }
    }

    fn next_len(&mut self) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 17;
        self.state ^= self.state << 5;
        (self.state % self.len_max + 1) as usize
    }
}

/// A preamble block of the smallest shape that has several frames, and room for two key copies.
fn front(compression: Compression) -> Vec<u8> {
    const KEY_COPY_LEN: u32 = 4096;
    let shape = Shape::new(4096, 4).expect("4096 and 4 are within the limits").with_compression(compression);
    let preamble = Preamble {
        suite: Suite::Aes256Gcm,
        digest: DigestKind::Blake3,
        shape,
        stream_id: StreamId([1; 16]),
        salt: [2; 32],
        commitment: [3; 32],
        key_copy_len: KEY_COPY_LEN,
    };
    let mut front = preamble.to_bytes().to_vec();
    front.resize(PREAMBLE_BLOCK_LEN + 2 * KEY_COPY_LEN as usize, 0);
    front
}
