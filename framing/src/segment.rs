//! The segment header: which segment, where its plaintext begins, under which salt (FORMAT §7).

use crate::field::{array, exact, put, u64_at, zeros};
use crate::limits::SEGMENT_HEADER_LEN;
use crate::{FramingError, Record};

/// A segment's number in its stream, from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SegmentIndex(pub u64);

/// The record at the start of a segment. The segment's key derives from all of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SegmentHeader {
    /// Which segment.
    pub index: SegmentIndex,
    /// Where its plaintext begins in the stream's, in bytes.
    pub plaintext_offset: u64,
    /// Drawn anew for each attempt to seal the segment.
    pub attempt_salt: [u8; 16],
}

impl SegmentHeader {
    /// What every segment begins with.
    pub const MAGIC: &[u8; 8] = b"CFDSEG1\0";

    /// The record.
    pub fn to_bytes(&self) -> [u8; SEGMENT_HEADER_LEN] {
        let mut bytes = [0; SEGMENT_HEADER_LEN];
        put(&mut bytes, 0, Self::MAGIC);
        put(&mut bytes, 8, &self.index.0.to_le_bytes());
        put(&mut bytes, 16, &self.plaintext_offset.to_le_bytes());
        put(&mut bytes, 32, &self.attempt_salt);
        bytes
    }

    /// Parses the first bytes of a segment.
    pub fn parse(bytes: &[u8]) -> Result<SegmentHeader, FramingError> {
        let bytes: &[u8; SEGMENT_HEADER_LEN] = exact(bytes, Record::SegmentHeader)?;
        if bytes[..8] != *Self::MAGIC {
            return Err(FramingError::damaged(Record::SegmentHeader, "has a wrong magic"));
        }
        zeros(&bytes[24..32], Record::SegmentHeader)?;
        Ok(SegmentHeader {
            index: SegmentIndex(u64_at(bytes, 8)),
            plaintext_offset: u64_at(bytes, 16),
            attempt_salt: array(bytes, 32),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_the_wire_and_a_set_flag_does_not() {
        let header =
            SegmentHeader { index: SegmentIndex(3), plaintext_offset: 1 << 40, attempt_salt: [5; 16] };
        let mut bytes = header.to_bytes();
        assert_eq!(&bytes[..10], b"CFDSEG1\0\x03\0");
        assert_eq!(SegmentHeader::parse(&bytes), Ok(header));
        bytes[24] = 1;
        assert!(SegmentHeader::parse(&bytes).is_err());
    }
}
