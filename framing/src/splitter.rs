//! Which record comes next in a stream, and how long it is, from headers alone: for readers that cannot seek.
//! It keeps no bytes and knows no key: what it tells apart is structure, not truth.

use crate::field::to_usize;
use crate::limits::{
    DIRECTORY_ENTRY_LEN, FOOTER_LEN, FRAME_HEADER_LEN, METADATA_HEAD_LEN, PAGE_ENTRIES_MAX,
    PREAMBLE_BLOCK_LEN, SEGMENT_HEADER_LEN, SEGMENTS_MAX,
};
use crate::{
    Fault, FrameHeader, FrameIndex, FrameKind, FramingError, MetadataHead, Preamble, Record, Shape,
    Terminator, page_len,
};

/// What lies next on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Piece {
    /// A preamble block.
    Preamble,
    /// Both key copies.
    KeyArea,
    /// The metadata record.
    Metadata,
    /// A segment header.
    SegmentHeader,
    /// One whole DATA frame.
    Data(FrameHeader),
    /// The TABLE of a compressed segment.
    Table,
    /// DIGEST and TERMINATOR of a segment.
    Closing,
    /// An index page.
    IndexPage,
    /// The directory.
    Directory,
    /// The footer. Nothing may follow.
    Footer,
}

/// A cursor over a stream's records. Show it the bytes that have arrived; it says what they begin with.
///
/// The caller keeps what is not consumed and shows it again with more behind it. A piece is named only when all
/// of it is there, so a caller's buffer need never be longer than the longest record.
#[derive(Clone, Debug)]
pub struct Splitter {
    state: State,
    offset: u64,
    segments: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Preamble,
    KeyArea { key_copy_len: u32, shape: Shape },
    Metadata(Shape),
    SegmentHeader(Shape),
    Frame { shape: Shape, next: FrameIndex, due: Due },
    IndexPage { shape: Shape, last: bool },
    Directory,
    Footer,
    End,
}

/// Which frames of a segment may come next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Due {
    /// DATA, or what ends the segment.
    Data,
    /// What ends the segment: no DATA frame follows one that is not full.
    End,
    /// DIGEST and TERMINATOR: the TABLE has been there.
    Closing,
}

impl Default for Splitter {
    fn default() -> Splitter {
        Splitter { state: State::Preamble, offset: 0, segments: 0 }
    }
}

impl Splitter {
    /// A cursor at the beginning of a stream.
    pub fn new() -> Splitter {
        Splitter::default()
    }

    /// Bytes consumed so far: where the next piece begins in the stream.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Segments whose TERMINATOR has been consumed.
    pub fn segments(&self) -> u64 {
        self.segments
    }

    /// The piece that `bytes` begin with and its length, or `None` while more bytes are needed to tell.
    ///
    /// A piece that is returned counts as consumed. Errors carry the offset in the stream.
    pub fn next_piece(&mut self, bytes: &[u8]) -> Result<Option<(Piece, usize)>, FramingError> {
        let step = self.step(bytes).map_err(|error| error.moved(self.offset))?;
        let Some((piece, len, after)) = step else { return Ok(None) };
        if piece == Piece::Closing {
            self.segments += 1;
        }
        self.state = after;
        self.offset += len as u64;
        Ok(Some((piece, len)))
    }

    /// What an input that ends here is: whole, or truncated in the record that was due.
    pub fn finish(&self) -> Result<(), FramingError> {
        let record = match self.state {
            State::End => return Ok(()),
            State::Preamble => Record::Preamble,
            State::KeyArea { .. } => Record::KeyCopy,
            State::Metadata(_) => Record::Metadata,
            State::SegmentHeader(_) => Record::SegmentHeader,
            State::Frame { .. } => Record::Frame,
            State::IndexPage { .. } => Record::IndexPage,
            State::Directory => Record::Directory,
            State::Footer => Record::Footer,
        };
        Err(FramingError::new(Fault::Truncated, record, "is missing or cut short: the stream ends too early")
            .moved(self.offset))
    }

    fn step(&self, bytes: &[u8]) -> Result<Option<(Piece, usize, State)>, FramingError> {
        match self.state {
            State::Preamble => preamble(bytes),
            State::KeyArea { key_copy_len, shape } => {
                Ok(whole(bytes, 2 * to_usize(key_copy_len), Piece::KeyArea, State::Metadata(shape)))
            }
            State::Metadata(shape) => metadata(bytes, shape),
            State::SegmentHeader(shape) => self.segment_header(bytes, shape),
            State::Frame { shape, next, due } => self.frame(bytes, shape, next, due),
            State::IndexPage { shape, last } => {
                let after = if last { State::Directory } else { State::SegmentHeader(shape) };
                let entries = (self.segments - 1) % u64::from(PAGE_ENTRIES_MAX) + 1;
                Ok(whole(bytes, page_len(entries as u32, shape.compression()), Piece::IndexPage, after))
            }
            State::Directory => {
                let pages = self.segments.div_ceil(u64::from(PAGE_ENTRIES_MAX)) as usize;
                Ok(whole(bytes, pages * DIRECTORY_ENTRY_LEN, Piece::Directory, State::Footer))
            }
            State::Footer => Ok(whole(bytes, FOOTER_LEN, Piece::Footer, State::End)),
            State::End if bytes.is_empty() => Ok(None),
            State::End => Err(FramingError::damaged(Record::Footer, "has bytes behind it")),
        }
    }

    fn segment_header(&self, bytes: &[u8], shape: Shape) -> Step {
        if self.segments >= SEGMENTS_MAX {
            return Err(FramingError::limit(Record::SegmentHeader, "is one more than a stream may have"));
        }
        let after = State::Frame { shape, next: FrameIndex(0), due: Due::Data };
        Ok(whole(bytes, SEGMENT_HEADER_LEN, Piece::SegmentHeader, after))
    }

    fn frame(&self, bytes: &[u8], shape: Shape, next: FrameIndex, due: Due) -> Step {
        if bytes.len() < FRAME_HEADER_LEN {
            return Ok(None);
        }
        let header = FrameHeader::parse(bytes, shape)?;
        if header.index != next {
            return Err(FramingError::damaged(
                Record::Frame,
                "is not the one that is due: frames are missing or moved",
            ));
        }
        match header.kind {
            FrameKind::Data if due == Due::Closing => {
                Err(FramingError::damaged(Record::Frame, "stands behind the TABLE"))
            }
            FrameKind::Data if due == Due::End => {
                Err(FramingError::damaged(Record::Frame, "stands behind one that is not full"))
            }
            FrameKind::Data => {
                let full = header.plaintext_len == shape.frame_len();
                let due = if full { Due::Data } else { Due::End };
                let after = State::Frame { shape, next: FrameIndex(next.0 + 1), due };
                Ok(whole(bytes, header.frame_len(), Piece::Data(header), after))
            }
            FrameKind::Table if due == Due::Closing => {
                Err(FramingError::damaged(Record::Table, "stands there twice"))
            }
            FrameKind::Table => {
                let after = State::Frame { shape, next, due: Due::Closing };
                Ok(whole(bytes, header.frame_len(), Piece::Table, after))
            }
            FrameKind::Digest if shape.is_compressed() && due != Due::Closing => {
                Err(FramingError::damaged(Record::Table, "is missing"))
            }
            FrameKind::Digest => self.closing(bytes, shape, next),
            FrameKind::Terminator => Err(FramingError::damaged(Record::Digest, "is missing")),
        }
    }

    fn closing(&self, bytes: &[u8], shape: Shape, next: FrameIndex) -> Step {
        if bytes.len() < shape.closing_len() {
            return Ok(None);
        }
        let digest_len = shape.digest_frame_len();
        let behind_digest = |error: FramingError| error.moved(digest_len as u64);
        let terminator = Terminator::parse(&bytes[digest_len..], shape).map_err(behind_digest)?;
        if terminator.frame_count != next.0 {
            let error = FramingError::damaged(Record::Terminator, "counts other frames than there are");
            return Err(behind_digest(error));
        }
        let page_is_full = (self.segments + 1).is_multiple_of(u64::from(PAGE_ENTRIES_MAX));
        let after = if terminator.last || page_is_full {
            State::IndexPage { shape, last: terminator.last }
        } else {
            State::SegmentHeader(shape)
        };
        Ok(whole(bytes, shape.closing_len(), Piece::Closing, after))
    }
}

type Step = Result<Option<(Piece, usize, State)>, FramingError>;

fn preamble(bytes: &[u8]) -> Step {
    match Preamble::parse(bytes) {
        Ok(preamble) => {
            let after = State::KeyArea { key_copy_len: preamble.key_copy_len, shape: preamble.shape };
            Ok(whole(bytes, PREAMBLE_BLOCK_LEN, Piece::Preamble, after))
        }
        Err(error) if error.fault == Fault::Truncated => Ok(None),
        Err(error) => Err(error),
    }
}

fn metadata(bytes: &[u8], shape: Shape) -> Step {
    if bytes.len() < METADATA_HEAD_LEN {
        return Ok(None);
    }
    let head = MetadataHead::parse(bytes)?;
    Ok(whole(bytes, head.record_len(), Piece::Metadata, State::SegmentHeader(shape)))
}

fn whole(bytes: &[u8], len: usize, piece: Piece, after: State) -> Option<(Piece, usize, State)> {
    (bytes.len() >= len).then_some((piece, len, after))
}
