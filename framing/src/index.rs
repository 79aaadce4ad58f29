//! The trailer: index pages, the directory of pages, the footer (FORMAT §9).
//! It knows no key: MACs are bytes to it.

use crate::field::{array, exact, put, to_usize, u32_at, u64_at, zeros};
use crate::limits::{
    DIGEST_LEN, DIRECTORY_ENTRY_LEN, ENTRY_LEN, FOOTER_LEN, MAC_LEN, PAGE_ENTRIES_MAX, PAGE_HEAD_LEN,
    SEGMENTS_MAX,
};
use crate::{Compression, FramingError, Record, SegmentIndex};

/// What the index says of one segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IndexEntry {
    /// Of the segment header, in bytes from the origin.
    pub wire_offset: u64,
    /// From segment header to TERMINATOR, in bytes.
    pub wire_len: u64,
    /// Of its first plaintext byte in the stream's plaintext.
    pub plaintext_offset: u64,
    /// Plaintext bytes.
    pub plaintext_len: u32,
    /// DATA frames.
    pub frame_count: u32,
    /// As in the segment header.
    pub attempt_salt: [u8; 16],
    /// As in the DIGEST frame.
    pub digest: [u8; DIGEST_LEN],
    /// As in the DIGEST frame of a compressed stream.
    pub plaintext_digest: Option<[u8; DIGEST_LEN]>,
}

impl IndexEntry {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; ENTRY_LEN];
        put(&mut bytes, 0, &self.wire_offset.to_le_bytes());
        put(&mut bytes, 8, &self.wire_len.to_le_bytes());
        put(&mut bytes, 16, &self.plaintext_offset.to_le_bytes());
        put(&mut bytes, 24, &self.plaintext_len.to_le_bytes());
        put(&mut bytes, 28, &self.frame_count.to_le_bytes());
        put(&mut bytes, 32, &self.attempt_salt);
        put(&mut bytes, 48, &self.digest);
        bytes.extend(self.plaintext_digest.iter().flatten());
        bytes
    }

    fn parse(bytes: &[u8]) -> IndexEntry {
        IndexEntry {
            wire_offset: u64_at(bytes, 0),
            wire_len: u64_at(bytes, 8),
            plaintext_offset: u64_at(bytes, 16),
            plaintext_len: u32_at(bytes, 24),
            frame_count: u32_at(bytes, 28),
            attempt_salt: array(bytes, 32),
            digest: array(bytes, 48),
            plaintext_digest: (bytes.len() > ENTRY_LEN).then(|| array(bytes, ENTRY_LEN)),
        }
    }
}

/// Up to 4096 entries with a MAC of their own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IndexPage {
    /// The page's number, from 0.
    pub page: u32,
    /// The segment of the first entry.
    pub first_segment: SegmentIndex,
    /// One a segment, in order.
    pub entries: Vec<IndexEntry>,
}

impl IndexPage {
    /// The page but for its MAC.
    pub fn to_bytes(&self) -> Vec<u8> {
        debug_assert!((1..=to_usize(PAGE_ENTRIES_MAX)).contains(&self.entries.len()));
        let mut bytes = vec![0; PAGE_HEAD_LEN];
        put(&mut bytes, 0, PAGE_MAGIC);
        put(&mut bytes, 8, &self.page.to_le_bytes());
        put(&mut bytes, 12, &(self.entries.len() as u32).to_le_bytes());
        put(&mut bytes, 16, &self.first_segment.0.to_le_bytes());
        for entry in &self.entries {
            bytes.extend(entry.to_bytes());
        }
        bytes
    }

    /// Parses a page with its MAC behind it; the MAC is the caller's to check. A count that contradicts the length of
    /// `bytes` is damage, whatever it is (FORMAT F2.4).
    pub fn parse(bytes: &[u8], compression: Compression) -> Result<(IndexPage, [u8; MAC_LEN]), FramingError> {
        let head: &[u8; PAGE_HEAD_LEN] = exact(bytes, Record::IndexPage)?;
        if head[..8] != *PAGE_MAGIC {
            return Err(FramingError::damaged(Record::IndexPage, "has a wrong magic"));
        }
        zeros(&head[24..], Record::IndexPage)?;
        let count = u32_at(head, 12);
        let len = (PAGE_HEAD_LEN + MAC_LEN) as u64 + u64::from(count) * entry_len(compression) as u64;
        if bytes.len() as u64 != len {
            return Err(FramingError::damaged(Record::IndexPage, "has another length than its count says"));
        }
        if !(1..=PAGE_ENTRIES_MAX).contains(&count) {
            return Err(FramingError::limit(Record::IndexPage, "has no entries, or more than 4096"));
        }
        let entries_end = bytes.len() - MAC_LEN;
        let entries = bytes[PAGE_HEAD_LEN..entries_end].chunks_exact(entry_len(compression));
        let entries = entries.map(IndexEntry::parse).collect();
        let page =
            IndexPage { page: u32_at(head, 8), first_segment: SegmentIndex(u64_at(head, 16)), entries };
        Ok((page, array(bytes, entries_end)))
    }
}

/// Bytes of a page of `entries` entries.
pub fn page_len(entries: u32, compression: Compression) -> usize {
    PAGE_HEAD_LEN + to_usize(entries) * entry_len(compression) + MAC_LEN
}

/// Bytes of an index entry.
pub(crate) fn entry_len(compression: Compression) -> usize {
    match compression {
        Compression::None => ENTRY_LEN,
        Compression::Zstd => ENTRY_LEN + DIGEST_LEN,
    }
}

/// What the directory says of one page. The page's MAC stands here again, so that the footer's MAC fixes which pages
/// belong to the stream, and not only where they stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DirectoryEntry {
    /// Of the page, in bytes from the origin.
    pub offset: u64,
    /// The page's MAC.
    pub mac: [u8; MAC_LEN],
}

/// The directory: one entry a page.
pub fn encode_directory(pages: &[DirectoryEntry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(pages.len() * DIRECTORY_ENTRY_LEN);
    for page in pages {
        bytes.extend(page.offset.to_le_bytes());
        bytes.extend(page.mac);
    }
    bytes
}

/// The entries of a directory's bytes.
pub fn decode_directory(bytes: &[u8]) -> Vec<DirectoryEntry> {
    let entries = bytes.chunks_exact(DIRECTORY_ENTRY_LEN);
    entries.map(|entry| DirectoryEntry { offset: u64_at(entry, 0), mac: array(entry, 8) }).collect()
}

/// The last record of a stream, at a fixed distance from its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Footer {
    /// Index pages.
    pub pages: u32,
    /// Of the directory, in bytes from the origin.
    pub directory_offset: u64,
    /// Segments of the stream.
    pub segments: u64,
    /// Plaintext bytes of the stream.
    pub plaintext_len: u64,
    /// Bytes from the origin to the end of the footer.
    pub wire_len: u64,
    /// The chain value of the last segment.
    pub stream_digest: [u8; DIGEST_LEN],
}

impl Footer {
    /// The footer but for its MAC.
    pub fn to_bytes(&self) -> [u8; FOOTER_LEN - MAC_LEN] {
        let mut bytes = [0; FOOTER_LEN - MAC_LEN];
        put(&mut bytes, 0, FOOTER_MAGIC);
        put(&mut bytes, 8, &self.pages.to_le_bytes());
        put(&mut bytes, 16, &self.directory_offset.to_le_bytes());
        put(&mut bytes, 24, &self.segments.to_le_bytes());
        put(&mut bytes, 32, &self.plaintext_len.to_le_bytes());
        put(&mut bytes, 40, &self.wire_len.to_le_bytes());
        put(&mut bytes, 48, &self.stream_digest);
        bytes
    }

    /// Parses a footer with its MAC behind it; the MAC is the caller's to check. Counts and offsets agree with
    /// each other in what comes back.
    pub fn parse(bytes: &[u8]) -> Result<(Footer, [u8; MAC_LEN]), FramingError> {
        let bytes: &[u8; FOOTER_LEN] = exact(bytes, Record::Footer)?;
        if bytes[..8] != *FOOTER_MAGIC {
            return Err(FramingError::damaged(Record::Footer, "has a wrong magic"));
        }
        zeros(&bytes[12..16], Record::Footer)?;
        let footer = Footer {
            pages: u32_at(bytes, 8),
            directory_offset: u64_at(bytes, 16),
            segments: u64_at(bytes, 24),
            plaintext_len: u64_at(bytes, 32),
            wire_len: u64_at(bytes, 40),
            stream_digest: array(bytes, 48),
        };
        footer.check()?;
        Ok((footer, array(bytes, FOOTER_LEN - MAC_LEN)))
    }

    /// Bytes of the directory.
    pub fn directory_len(&self) -> usize {
        to_usize(self.pages) * DIRECTORY_ENTRY_LEN
    }

    /// The arithmetic first (FORMAT F9.3): a number that contradicts another is damage, and no limit has anything to say.
    fn check(&self) -> Result<(), FramingError> {
        let damaged = |problem| Err(FramingError::damaged(Record::Footer, problem));
        if self.segments == 0 || u64::from(self.pages) != self.segments.div_ceil(u64::from(PAGE_ENTRIES_MAX))
        {
            return damaged("counts pages and segments that do not agree");
        }
        let directory_len = u64::from(self.pages) * DIRECTORY_ENTRY_LEN as u64;
        let end = self.directory_offset.checked_add(directory_len + FOOTER_LEN as u64);
        if end != Some(self.wire_len) {
            return damaged("has offsets that do not agree");
        }
        // So the pages are within theirs, which follows.
        if self.segments > SEGMENTS_MAX {
            return Err(FramingError::limit(Record::Footer, "counts more segments than a stream may have"));
        }
        Ok(())
    }
}

const PAGE_MAGIC: &[u8; 8] = b"CFDIDX1\0";
const FOOTER_MAGIC: &[u8; 8] = b"CFDEND1\0";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fault;

    fn entry(seed: u8) -> IndexEntry {
        IndexEntry {
            wire_offset: u64::from(seed),
            wire_len: 2,
            plaintext_offset: 3,
            plaintext_len: 4,
            frame_count: 5,
            attempt_salt: [6; 16],
            digest: [7; 32],
            plaintext_digest: None,
        }
    }

    #[test]
    fn a_page_and_its_mac_are_read_back() {
        let page =
            IndexPage { page: 1, first_segment: SegmentIndex(4096), entries: vec![entry(0), entry(1)] };
        let mut bytes = page.to_bytes();
        bytes.extend([9; 32]);
        assert_eq!(bytes.len(), page_len(2, Compression::None));
        assert_eq!(IndexPage::parse(&bytes, Compression::None), Ok((page, [9; 32])));
        bytes[12] = 3;
        assert_eq!(IndexPage::parse(&bytes, Compression::None).unwrap_err().fault, Fault::Damaged);
        bytes[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(IndexPage::parse(&bytes, Compression::None).unwrap_err().fault, Fault::Damaged);
    }

    #[test]
    fn a_count_that_agrees_with_the_length_is_held_against_the_limit() {
        for (count, fault) in [(0, Some(Fault::Limit)), (1, None), (4096, None), (4097, Some(Fault::Limit))] {
            let mut bytes = vec![0; 64 + 80 * count];
            bytes[..8].copy_from_slice(PAGE_MAGIC);
            bytes[12..16].copy_from_slice(&(count as u32).to_le_bytes());
            assert_eq!(
                IndexPage::parse(&bytes, Compression::None).err().map(|error| error.fault),
                fault,
                "{count} entries"
            );
        }
    }

    #[test]
    fn a_footer_that_agrees_with_itself_is_held_against_the_limits() {
        let with = |pages: u32, segments: u64, wire_len: u64| Footer {
            pages,
            directory_offset: wire_len.wrapping_sub(112 + 40 * u64::from(pages)),
            segments,
            plaintext_len: 5,
            wire_len,
            stream_digest: [1; 32],
        };
        let fault = |footer: Footer| {
            let bytes = [&footer.to_bytes()[..], &[2; 32]].concat();
            Footer::parse(&bytes).err().map(|error| error.fault)
        };
        assert_eq!(fault(with(1 << 20, 1 << 32, u64::MAX)), None);
        assert_eq!(fault(with((1 << 20) + 1, (1 << 32) + 1, u64::MAX)), Some(Fault::Limit));
        assert_eq!(fault(with((1 << 20) + 1, 1 << 32, u64::MAX)), Some(Fault::Damaged));
        assert_eq!(fault(with(u32::MAX, u64::MAX, u64::MAX)), Some(Fault::Damaged));
        assert_eq!(fault(with(u32::MAX, u64::from(u32::MAX) * 4096, u64::MAX)), Some(Fault::Limit));
        // 1 byte too short for its directory: the offset has wrapped.
        assert_eq!(fault(with(1, 1, 151)), Some(Fault::Damaged));
        assert_eq!(fault(with(1, 1, 152)), None);
    }

    #[test]
    fn a_footer_that_contradicts_itself_is_damaged() {
        let footer = Footer {
            pages: 1,
            directory_offset: 1000,
            segments: 3,
            plaintext_len: 5,
            wire_len: 1000 + 40 + 112,
            stream_digest: [1; 32],
        };
        let bytes = [&footer.to_bytes()[..], &[2; 32]].concat();
        assert_eq!(Footer::parse(&bytes), Ok((footer, [2; 32])));
        for (at, value) in [(0, 0), (8, 2), (12, 1), (16, 1), (24, 0), (25, 0x10), (40, 1)] {
            let mut broken = bytes.clone();
            broken[at] = value;
            assert_eq!(Footer::parse(&broken).unwrap_err().fault, Fault::Damaged, "byte {at}");
        }
    }
}
