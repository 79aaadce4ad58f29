//! Frames: their header, those that end a segment, and where each ends (FORMAT §8).
//! It knows no cipher: bodies and tags are bytes to it.

use std::ops::Range;

use crate::field::{array, exact, put, to_usize, u32_at, u64_at, zeros};
use crate::limits::{
    CLOSING_LEN, COMPRESSED_BODY_LEN_MIN, DIGEST_FRAME_LEN, DIGEST_LEN, FRAME_HEADER_LEN, FRAME_OVERHEAD,
    TABLE_ENTRY_LEN, TAG_LEN, TERMINATOR_LEN,
};
use crate::{FramingError, Record, Shape};

/// A frame's number in its segment, from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FrameIndex(pub u32);

/// What a frame is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameKind {
    /// Carries plaintext.
    Data = 1,
    /// Fixes a segment's completeness and order.
    Digest = 2,
    /// Fixes a segment's count and length, and whether it is the last.
    Terminator = 3,
    /// In compressed streams: says how long each DATA frame of the segment is.
    Table = 4,
}

/// How a DATA frame holds its plaintext.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encoding {
    /// As it is.
    Plain,
    /// As one zstd frame, which is shorter.
    Zstd,
}

/// The 16 bytes before every body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameHeader {
    /// What the frame is for.
    pub kind: FrameKind,
    /// How it holds its plaintext; plain unless DATA.
    pub encoding: Encoding,
    /// Its place in the segment.
    pub index: FrameIndex,
    /// Bytes of plaintext in it; 0 unless DATA.
    pub plaintext_len: u32,
    /// Bytes after the header, the tag included.
    pub body_len: u32,
}

impl FrameHeader {
    /// The header of a DATA frame that holds `plaintext_len` bytes as they are.
    pub fn data(index: FrameIndex, plaintext_len: u32) -> FrameHeader {
        FrameHeader::of_data(Encoding::Plain, index, plaintext_len, plaintext_len)
    }

    /// The header of a DATA frame that holds `plaintext_len` bytes as `text_len` bytes of zstd, which are fewer.
    pub fn compressed(index: FrameIndex, plaintext_len: u32, text_len: u32) -> FrameHeader {
        debug_assert!(
            (1..plaintext_len).contains(&text_len),
            "a frame is compressed where that makes it shorter"
        );
        FrameHeader::of_data(Encoding::Zstd, index, plaintext_len, text_len)
    }

    fn of_data(encoding: Encoding, index: FrameIndex, plaintext_len: u32, text_len: u32) -> FrameHeader {
        FrameHeader {
            kind: FrameKind::Data,
            encoding,
            index,
            plaintext_len,
            body_len: text_len + TAG_LEN as u32,
        }
    }

    /// The header of a frame that holds no plaintext.
    fn of_end(kind: FrameKind, index: u32, frame_len: usize) -> FrameHeader {
        let body_len = (frame_len - FRAME_HEADER_LEN) as u32;
        FrameHeader { kind, encoding: Encoding::Plain, index: FrameIndex(index), plaintext_len: 0, body_len }
    }

    /// Bytes of the whole frame.
    pub fn frame_len(&self) -> usize {
        FRAME_HEADER_LEN + to_usize(self.body_len)
    }

    /// The record.
    pub fn to_bytes(&self) -> [u8; FRAME_HEADER_LEN] {
        let mut bytes = [0; FRAME_HEADER_LEN];
        bytes[0] = self.kind as u8;
        bytes[1] = u8::from(self.encoding == Encoding::Zstd);
        put(&mut bytes, 4, &self.index.0.to_le_bytes());
        put(&mut bytes, 8, &self.plaintext_len.to_le_bytes());
        put(&mut bytes, 12, &self.body_len.to_le_bytes());
        bytes
    }

    /// Parses and checks all that a header can tell by itself: kind, flags, and that the lengths agree with
    /// each other and with `shape`.
    pub fn parse(bytes: &[u8], shape: Shape) -> Result<FrameHeader, FramingError> {
        let bytes: &[u8; FRAME_HEADER_LEN] = exact(bytes, Record::Frame)?;
        let header = FrameHeader {
            kind: parse_kind(bytes[0], shape)?,
            encoding: if bytes[1] == 0 { Encoding::Plain } else { Encoding::Zstd },
            index: FrameIndex(u32_at(bytes, 4)),
            plaintext_len: u32_at(bytes, 8),
            body_len: u32_at(bytes, 12),
        };
        let flag_max = u8::from(shape.is_compressed() && header.kind == FrameKind::Data);
        if bytes[1] > flag_max {
            return Err(damaged("has a flag that this stream does not allow"));
        }
        zeros(&bytes[2..4], Record::Frame)?;
        header.check(shape)?;
        Ok(header)
    }

    fn check(&self, shape: Shape) -> Result<(), FramingError> {
        let Some(frame_end) = self.index.0.checked_add(1) else {
            return Err(damaged("has an index beyond its segment"));
        };
        let full = u64::from(self.plaintext_len) + TAG_LEN as u64;
        let body_of = |frame_len: usize| frame_len as u64 - FRAME_HEADER_LEN as u64;
        let (plaintext_len, body_len, index_max) = match (self.kind, self.encoding) {
            (FrameKind::Data, Encoding::Plain) => (1..=shape.frame_len(), full..=full, 0),
            (FrameKind::Data, Encoding::Zstd) => {
                (1..=shape.frame_len(), u64::from(COMPRESSED_BODY_LEN_MIN)..=full - 1, 0)
            }
            (FrameKind::Table, _) => (0..=0, only(body_of(table_len(self.index.0))), 1),
            (FrameKind::Digest, _) => (0..=0, only(body_of(shape.digest_frame_len())), 1),
            (FrameKind::Terminator, _) => (0..=0, only(body_of(TERMINATOR_LEN)), 2),
        };
        if !plaintext_len.contains(&self.plaintext_len) {
            return Err(damaged("has a plaintext length that its kind does not allow"));
        }
        if !body_len.contains(&u64::from(self.body_len)) {
            return Err(damaged("has a body length that does not follow from its other fields"));
        }
        if frame_end > shape.frames_per_segment() + index_max {
            return Err(damaged("has an index beyond its segment"));
        }
        Ok(())
    }
}

/// The frame after the last DATA frame of a compressed segment: how long each of them is, and a tag over that. Its place
/// follows from the segment's end, so one read finds every frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    /// `body_len` of each DATA frame, in order.
    pub body_lens: Vec<u32>,
}

impl Table {
    /// All of the frame but its tag, which is also the tag's AAD.
    pub fn clear_bytes(&self) -> Vec<u8> {
        let frame_count = self.body_lens.len() as u32;
        let header = FrameHeader::of_end(FrameKind::Table, frame_count, table_len(frame_count));
        let mut bytes = Vec::with_capacity(table_len(frame_count));
        bytes.extend(header.to_bytes());
        bytes.extend(self.body_lens.iter().flat_map(|len| len.to_le_bytes()));
        bytes
    }

    /// Parses a TABLE of a segment whose DATA frames are counted already; the tag is the caller's to check. What it says
    /// of a frame is a claim until it is compared with the frame's header.
    pub fn parse(bytes: &[u8], frame_count: u32, shape: Shape) -> Result<Table, FramingError> {
        let header = FrameHeader::parse(bytes, shape)?;
        if header.kind != FrameKind::Table {
            return Err(FramingError::damaged(Record::Table, "is missing"));
        }
        if header.index.0 != frame_count || bytes.len() != table_len(frame_count) {
            return Err(FramingError::damaged(Record::Table, "counts other frames than there are"));
        }
        let entries = &bytes[FRAME_HEADER_LEN..bytes.len() - TAG_LEN];
        let body_lens: Vec<u32> =
            entries.chunks_exact(TABLE_ENTRY_LEN).map(|entry| u32_at(entry, 0)).collect();
        let body_len_max = shape.frame_len() + TAG_LEN as u32;
        if body_lens.iter().any(|len| !(COMPRESSED_BODY_LEN_MIN..=body_len_max).contains(len)) {
            return Err(FramingError::damaged(Record::Table, "has a length that no frame has"));
        }
        Ok(Table { body_lens })
    }
}

/// The frame that fixes a segment's frames: their digest in clear, and a tag over it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DigestFrame {
    /// How many DATA frames it covers; its own index.
    pub frame_count: u32,
    /// The segment's digest.
    pub digest: [u8; DIGEST_LEN],
    /// The digest of the segment's plaintext, in compressed streams.
    pub plaintext_digest: Option<[u8; DIGEST_LEN]>,
}

impl DigestFrame {
    /// All of the frame but its tag, which is also the tag's AAD.
    pub fn clear_bytes(&self) -> Vec<u8> {
        let frame_len = digest_frame_len(self.plaintext_digest.is_some());
        let mut bytes = Vec::with_capacity(frame_len);
        bytes.extend(FrameHeader::of_end(FrameKind::Digest, self.frame_count, frame_len).to_bytes());
        bytes.extend(self.digest);
        bytes.extend(self.plaintext_digest.iter().flatten());
        bytes
    }

    /// Parses a DIGEST frame; the tag is the caller's to check.
    pub fn parse(bytes: &[u8], shape: Shape) -> Result<DigestFrame, FramingError> {
        if bytes.len() < shape.digest_frame_len() {
            return Err(FramingError::truncated(Record::Digest));
        }
        let header = FrameHeader::parse(bytes, shape)?;
        if header.kind != FrameKind::Digest {
            return Err(FramingError::damaged(Record::Digest, "is missing"));
        }
        Ok(DigestFrame {
            frame_count: header.index.0,
            digest: array(bytes, FRAME_HEADER_LEN),
            plaintext_digest: shape.is_compressed().then(|| array(bytes, FRAME_HEADER_LEN + DIGEST_LEN)),
        })
    }
}

/// The frame that ends a segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Terminator {
    /// DATA frames of the segment.
    pub frame_count: u32,
    /// Whether the stream ends here.
    pub last: bool,
    /// Plaintext bytes of the segment.
    pub plaintext_len: u64,
    /// The chain value of the segment before.
    pub chain_before: [u8; DIGEST_LEN],
}

impl Terminator {
    /// All of the frame but its tag, which is also the tag's AAD.
    pub fn clear_bytes(&self) -> [u8; TERMINATOR_LEN - TAG_LEN] {
        let mut bytes = [0; TERMINATOR_LEN - TAG_LEN];
        let header = FrameHeader::of_end(FrameKind::Terminator, self.frame_count + 1, TERMINATOR_LEN);
        put(&mut bytes, 0, &header.to_bytes());
        put(&mut bytes, 16, &self.frame_count.to_le_bytes());
        put(&mut bytes, 20, &u32::from(self.last).to_le_bytes());
        put(&mut bytes, 24, &self.plaintext_len.to_le_bytes());
        put(&mut bytes, 32, &self.chain_before);
        bytes
    }

    /// Parses a TERMINATOR; the tag is the caller's to check.
    pub fn parse(bytes: &[u8], shape: Shape) -> Result<Terminator, FramingError> {
        let bytes: &[u8; TERMINATOR_LEN] = exact(bytes, Record::Terminator)?;
        let header = FrameHeader::parse(bytes, shape)?;
        if header.kind != FrameKind::Terminator {
            return Err(FramingError::damaged(Record::Terminator, "is missing"));
        }
        let terminator = Terminator {
            frame_count: u32_at(bytes, 16),
            last: u32_at(bytes, 20) == 1,
            plaintext_len: u64_at(bytes, 24),
            chain_before: array(bytes, 32),
        };
        terminator.check(header, u32_at(bytes, 20), shape)?;
        Ok(terminator)
    }

    fn check(&self, header: FrameHeader, flags: u32, shape: Shape) -> Result<(), FramingError> {
        let damaged = |problem| Err(FramingError::damaged(Record::Terminator, problem));
        if flags > 1 {
            return damaged("has a flag that this version does not know");
        }
        if u64::from(header.index.0) != u64::from(self.frame_count) + 1 {
            return damaged("counts other frames than its index says");
        }
        if self.frame_count == 0 && !self.last {
            return damaged("ends an empty segment that is not the last");
        }
        let frame_len = u64::from(shape.frame_len());
        let full = u64::from(self.frame_count) * frame_len;
        if self.plaintext_len > full || self.plaintext_len + frame_len <= full {
            return damaged("has a length that its frames cannot hold");
        }
        Ok(())
    }
}

/// Where each frame of `bytes` lies, from headers alone. `bytes` begins with a frame and ends with one.
///
/// Errors name the offending frame's offset in `bytes`.
pub fn split_frames(bytes: &[u8], shape: Shape) -> Result<Vec<Range<usize>>, FramingError> {
    let mut frames = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let end = FrameHeader::parse(&bytes[at..], shape).map(|header| at + header.frame_len());
        let end = end.map_err(|error| error.moved(at as u64))?;
        if end > bytes.len() {
            return Err(FramingError::truncated(Record::Frame).moved(at as u64));
        }
        frames.push(at..end);
        at = end;
    }
    Ok(frames)
}

impl Shape {
    /// Bytes of a DIGEST frame.
    pub fn digest_frame_len(self) -> usize {
        digest_frame_len(self.is_compressed())
    }

    /// Bytes of DIGEST and TERMINATOR together.
    pub fn closing_len(self) -> usize {
        self.digest_frame_len() + TERMINATOR_LEN
    }

    /// Bytes of the TABLE of a segment of `frame_count` DATA frames; 0 in a stream that has none.
    pub fn table_len(self, frame_count: u32) -> usize {
        if self.is_compressed() { table_len(frame_count) } else { 0 }
    }
}

fn digest_frame_len(compressed: bool) -> usize {
    DIGEST_FRAME_LEN + if compressed { DIGEST_LEN } else { 0 }
}

fn table_len(frame_count: u32) -> usize {
    FRAME_OVERHEAD + to_usize(frame_count) * TABLE_ENTRY_LEN
}

fn only(value: u64) -> std::ops::RangeInclusive<u64> {
    value..=value
}

fn parse_kind(kind: u8, shape: Shape) -> Result<FrameKind, FramingError> {
    match kind {
        1 => Ok(FrameKind::Data),
        2 => Ok(FrameKind::Digest),
        3 => Ok(FrameKind::Terminator),
        4 if shape.is_compressed() => Ok(FrameKind::Table),
        _ => Err(damaged("is of an unknown kind")),
    }
}

fn damaged(problem: &'static str) -> FramingError {
    FramingError::damaged(Record::Frame, problem)
}

const _: () = assert!(CLOSING_LEN == 144);

#[cfg(test)]
mod tests {
    use super::*;

    fn shape() -> Shape {
        Shape::new(4096, 4).unwrap()
    }

    #[test]
    fn headers_have_the_bytes_of_the_format_table() {
        let header = FrameHeader::data(FrameIndex(2), 4096);
        assert_eq!(header.to_bytes(), [1, 0, 0, 0, 2, 0, 0, 0, 0, 0x10, 0, 0, 0x10, 0x10, 0, 0]);
        assert_eq!(FrameHeader::parse(&header.to_bytes(), shape()), Ok(header));
    }

    #[test]
    fn every_single_bit_of_a_closing_frame_that_parses_changes_a_value() {
        let digest = DigestFrame { frame_count: 3, digest: [0x55; 32], plaintext_digest: None };
        let terminator =
            Terminator { frame_count: 3, last: true, plaintext_len: 3 * 4096, chain_before: [6; 32] };
        let digest_bytes = [&digest.clear_bytes()[..], &[0; 16]].concat();
        let terminator_bytes = [&terminator.clear_bytes()[..], &[0; 16]].concat();
        assert_eq!(DigestFrame::parse(&digest_bytes, shape()).as_ref(), Ok(&digest));
        assert_eq!(Terminator::parse(&terminator_bytes, shape()).as_ref(), Ok(&terminator));
        for bit in 0..48 * 8 {
            let mut bytes = digest_bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(DigestFrame::parse(&bytes, shape()).as_ref(), Ok(&digest), "bit {bit}");
        }
        for bit in 0..64 * 8 {
            let mut bytes = terminator_bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(Terminator::parse(&bytes, shape()).as_ref(), Ok(&terminator), "bit {bit}");
        }
    }

    #[test]
    fn a_terminator_whose_length_its_frames_cannot_hold_is_damaged() {
        for (frame_count, plaintext_len, last, holds) in [
            (0, 0, true, true),
            (0, 0, false, false),
            (0, 1, true, false),
            (1, 0, true, false),
            (1, 1, false, true),
            (2, 4096, true, false),
            (2, 4097, true, true),
            (2, 8192, true, true),
            (2, 8193, true, false),
        ] {
            let frame = Terminator { frame_count, last, plaintext_len, chain_before: [0; 32] };
            let bytes = [&frame.clear_bytes()[..], &[0; 16]].concat();
            assert_eq!(Terminator::parse(&bytes, shape()).is_ok(), holds, "{frame:?}");
        }
    }

    #[test]
    fn a_length_of_four_gigabytes_is_refused_by_its_header() {
        let mut bytes = FrameHeader::data(FrameIndex(0), 4096).to_bytes();
        put(&mut bytes, 12, &u32::MAX.to_le_bytes());
        assert!(FrameHeader::parse(&bytes, shape()).is_err());
        put(&mut bytes, 8, &(u32::MAX - 16).to_le_bytes());
        assert!(FrameHeader::parse(&bytes, shape()).is_err());
    }

    #[test]
    fn frames_that_end_early_are_truncated_at_their_own_offset() {
        let mut wire = Vec::new();
        for (index, len) in [(0, 4096), (1, 10)] {
            wire.extend(FrameHeader::data(FrameIndex(index), len).to_bytes());
            wire.extend(vec![0; len as usize + TAG_LEN]);
        }
        assert_eq!(split_frames(&wire, shape()).unwrap(), [0..4128, 4128..4170]);
        for cut in [4129, 4144, 4169] {
            let error = split_frames(&wire[..cut], shape()).unwrap_err();
            assert_eq!((error.fault, error.offset), (crate::Fault::Truncated, 4128), "cut at {cut}");
        }
    }
}
