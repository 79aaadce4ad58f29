//! Owns a sealed stream with the map of its records, and the damage that happens to bytes after sealing.
//! Refuses to know how records are made: nothing here computes a tag again.

use super::plan::Record;
use std::collections::BTreeMap;
use std::ops::Range;

#[derive(Clone)]
pub(super) struct Sealed {
    pub(super) bytes: Vec<u8>,
    pub(super) layout: BTreeMap<Record, Range<usize>>,
    pub(super) plaintext: Vec<u8>,
    pub(super) stream_digest: [u8; 32],
}

impl Sealed {
    /// The bytes of one record.
    pub(super) fn record(&self, record: Record) -> &[u8] {
        &self.bytes[self.record_range(record)]
    }

    /// Where the record lies.
    pub(super) fn record_range(&self, record: Record) -> Range<usize> {
        self.layout[&record].clone()
    }

    /// Flips one bit of the byte `at` in the record.
    pub(super) fn flip(mut self, record: Record, at: usize) -> Sealed {
        let range = self.record_range(record);
        assert!(at < range.len(), "{record:?} has {} bytes", range.len());
        self.bytes[range.start + at] ^= 1;
        self
    }

    /// Flips one bit of the record's last byte, which belongs to its tag, MAC or checksum.
    pub(super) fn flip_last(self, record: Record) -> Sealed {
        let last = self.layout[&record].len() - 1;
        self.flip(record, last)
    }

    /// Ends the input after `at` bytes of the record.
    pub(super) fn cut(mut self, record: Record, at: usize) -> Sealed {
        self.bytes.truncate(self.layout[&record].start + at);
        self
    }

    pub(super) fn cut_before(self, record: Record) -> Sealed {
        self.cut(record, 0)
    }

    pub(super) fn cut_after(self, record: Record) -> Sealed {
        let len = self.layout[&record].len();
        self.cut(record, len)
    }

    pub(super) fn without(self, record: Record) -> Sealed {
        self.replace(record, &[])
    }

    pub(super) fn doubled(self, record: Record) -> Sealed {
        let twice = self.record(record).repeat(2);
        self.replace(record, &twice)
    }

    /// Exchanges two records; the first must lie before the second.
    pub(super) fn swapped(self, first: Record, second: Record) -> Sealed {
        let (before, after) = (self.record(first).to_vec(), self.record(second).to_vec());
        self.replace(second, &before).replace(first, &after)
    }

    pub(super) fn append(mut self, bytes: &[u8]) -> Sealed {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Puts other bytes in the record's place. Records behind it move where the length differs, so damage goes from the
    /// end of the stream to its start.
    pub(super) fn replace(mut self, record: Record, bytes: &[u8]) -> Sealed {
        self.bytes.splice(self.record_range(record), bytes.iter().copied());
        self
    }
}
