//! Where the records of a stream that is not compressed lie: lengths and offsets by arithmetic (FORMAT F2.3, §3).
//! It knows no bytes, only how many there are.

use crate::limits::{
    CLOSING_LEN, COMPRESSED_BODY_LEN_MIN, DIRECTORY_ENTRY_LEN, ENTRY_LEN, FOOTER_LEN, FRAME_HEADER_LEN,
    FRAME_OVERHEAD, MAC_LEN, PAGE_ENTRIES_MAX, PAGE_HEAD_LEN, PREAMBLE_BLOCK_LEN, SEGMENT_HEADER_LEN,
    TAG_LEN,
};
use crate::{Compression, Preamble, SegmentIndex, Shape};

/// The arithmetic of a stream whose segments are all full but the last.
///
/// Offsets are in bytes from the beginning of the metadata record, the origin of all offsets in the index.
#[derive(Clone, Copy, Debug)]
pub struct StreamGeometry {
    shape: Shape,
    metadata_len: u64,
}

/// Where a segment lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentPlace {
    /// Of its header, from the origin.
    pub wire_offset: u64,
    /// From header to TERMINATOR.
    pub wire_len: u64,
    /// Of its first plaintext byte in the stream's plaintext.
    pub plaintext_offset: u64,
    /// Plaintext bytes.
    pub plaintext_len: u64,
}

impl StreamGeometry {
    /// For streams of `shape`, not compressed, whose metadata record has `metadata_len` bytes.
    pub fn new(shape: Shape, metadata_len: u64) -> StreamGeometry {
        StreamGeometry { shape, metadata_len }
    }

    /// Where segment `index` lies if it holds `plaintext_len` bytes and all before it are full.
    pub fn segment(&self, index: SegmentIndex, plaintext_len: u64) -> SegmentPlace {
        let full = self.shape.segment_wire_len(self.shape.segment_len());
        let pages = index.0 / u64::from(PAGE_ENTRIES_MAX);
        SegmentPlace {
            wire_offset: self.metadata_len + index.0 * full + pages * PAGE_LEN_MAX,
            wire_len: self.shape.segment_wire_len(plaintext_len),
            plaintext_offset: index.0 * self.shape.segment_len(),
            plaintext_len,
        }
    }

    /// Bytes from the origin to the end of a stream of `plaintext_len` bytes.
    pub fn wire_len(&self, plaintext_len: u64) -> u64 {
        let segments = plaintext_len.div_ceil(self.shape.segment_len()).max(1);
        let last = SegmentIndex(segments - 1);
        let place = self.segment(last, plaintext_len - last.0 * self.shape.segment_len());
        let entries = last.0 % u64::from(PAGE_ENTRIES_MAX) + 1;
        let pages = segments.div_ceil(u64::from(PAGE_ENTRIES_MAX));
        let page = (PAGE_HEAD_LEN + MAC_LEN) as u64 + entries * ENTRY_LEN as u64;
        place.wire_offset + place.wire_len + page + pages * DIRECTORY_ENTRY_LEN as u64 + FOOTER_LEN as u64
    }
}

impl Shape {
    /// DATA frames of a segment of `plaintext_len` bytes.
    pub fn frame_count(self, plaintext_len: u64) -> u32 {
        plaintext_len.div_ceil(u64::from(self.frame_len())) as u32
    }

    /// Bytes of a segment of `plaintext_len` bytes, from its header to its TERMINATOR.
    pub fn segment_wire_len(self, plaintext_len: u64) -> u64 {
        let frames = u64::from(self.frame_count(plaintext_len));
        (SEGMENT_HEADER_LEN + CLOSING_LEN) as u64 + plaintext_len + frames * FRAME_OVERHEAD as u64
    }

    /// Bytes that a segment of `plaintext_len` bytes may have, from its header to its TERMINATOR (FORMAT F13.8c): one number
    /// where nothing is compressed.
    pub fn segment_wire_lens(self, plaintext_len: u64) -> std::ops::RangeInclusive<u64> {
        let frames = self.frame_count(plaintext_len);
        let around = (SEGMENT_HEADER_LEN + self.table_len(frames) + self.closing_len()) as u64;
        let body_len_min = match self.compression() {
            Compression::None => plaintext_len + u64::from(frames) * TAG_LEN as u64,
            Compression::Zstd => u64::from(frames) * u64::from(COMPRESSED_BODY_LEN_MIN),
        };
        let headers = u64::from(frames) * FRAME_HEADER_LEN as u64;
        around + headers + body_len_min..=around + plaintext_len + u64::from(frames) * FRAME_OVERHEAD as u64
    }

    /// Bytes of a full DATA frame on the wire; at most, where it is compressed.
    pub fn frame_wire_len(self) -> u64 {
        u64::from(self.frame_len()) + FRAME_OVERHEAD as u64
    }
}

impl Preamble {
    /// Where the metadata begins, in bytes from the beginning of the stream: behind preamble and key copies.
    pub fn origin(&self) -> u64 {
        PREAMBLE_BLOCK_LEN as u64 + 2 * u64::from(self.key_copy_len)
    }
}

const PAGE_LEN_MAX: u64 = (PAGE_HEAD_LEN + MAC_LEN) as u64 + PAGE_ENTRIES_MAX as u64 * ENTRY_LEN as u64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_follow_from_the_record_sizes() {
        let shape = Shape::new(4096, 4).unwrap();
        for (plaintext_len, frames) in [(0, 0), (1, 1), (4095, 1), (4096, 1), (4097, 2), (16384, 4)] {
            assert_eq!(shape.frame_count(plaintext_len), frames);
            assert_eq!(
                shape.segment_wire_len(plaintext_len),
                48 + plaintext_len + 32 * u64::from(frames) + 64 + 80
            );
        }
    }

    #[test]
    fn a_page_stands_after_every_4096_segments() {
        let geometry = StreamGeometry::new(Shape::new(4096, 1).unwrap(), 48);
        let segment = 48 + 4096 + 32 + 144;
        assert_eq!(geometry.segment(SegmentIndex(4095), 4096).wire_offset, 48 + 4095 * segment);
        assert_eq!(
            geometry.segment(SegmentIndex(4096), 4096).wire_offset,
            48 + 4096 * segment + 64 + 4096 * 80
        );
    }

    #[test]
    fn the_end_of_the_stream_counts_pages_directory_and_footer() {
        let geometry = StreamGeometry::new(Shape::new(4096, 1).unwrap(), 48);
        assert_eq!(geometry.wire_len(0), 48 + 192 + (64 + 80) + 40 + 112);
        let full = 48 + 4096 + 32 + 144;
        let page = 64 + 4096 * 80;
        assert_eq!(geometry.wire_len(4096 * 4096), 48 + 4096 * full + page + 40 + 112);
        assert_eq!(
            geometry.wire_len(4096 * 4096 + 1),
            48 + 4096 * full + page + (48 + 1 + 32 + 144) + (64 + 80) + 80 + 112
        );
    }
}
