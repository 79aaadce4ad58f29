//! The last 64 bytes of a tree, and the records of its page directory (TREE §4, §5).
//! Knows no page.

use crate::{
    TreeError,
    limits::{ENTRIES_MAX, PAGE_ENTRIES_MAX, PAGE_LEN_MAX, PAGES_MAX},
};

/// What the tail says: where the parts of the catalog are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Tail {
    pub(crate) tar_len: u64,
    pub(crate) entries: u64,
    pub(crate) pages: u64,
    /// Whether there is a catalog; else the tree is a plain file of `tar_len` bytes.
    pub(crate) has_catalog: bool,
}

impl Tail {
    pub(crate) const LEN: usize = 64;
    pub(crate) const MAGIC: &[u8; 8] = b"CFDTREE\0";

    /// The tail of a tree without a catalog.
    pub(crate) fn without_catalog(tar_len: u64) -> Tail {
        Tail { tar_len, entries: 0, pages: 0, has_catalog: false }
    }

    /// Bytes of the parts behind the pages, this one included.
    fn behind_pages(entries: u64, pages: u64) -> u64 {
        entries * INDEX_NUMBER_LEN + pages * PageRecord::LEN as u64 + Tail::LEN as u64
    }

    /// Reads the tail of a plaintext of `len` bytes. Gives it, and where the name index begins.
    pub(crate) fn parse(bytes: &[u8; Tail::LEN], len: u64) -> Result<(Tail, u64), TreeError> {
        let at = len - Tail::LEN as u64;
        let fault = |what: &'static str| Err(TreeError::catalog(at, what));
        if !bytes.starts_with(Tail::MAGIC) {
            return fault("this is not the end of a tree");
        }
        let version = u16::from_le_bytes([bytes[8], bytes[9]]);
        if version != VERSION {
            return Err(TreeError::catalog(
                at,
                format!("the catalog has version {version}; 1 is known here"),
            ));
        }
        let flags = u16::from_le_bytes([bytes[10], bytes[11]]);
        if flags > NO_CATALOG || bytes[56..] != [0; 8] {
            return fault("unknown flags, or bytes where zeros belong");
        }
        let tail = Tail {
            tar_len: u64_at(bytes, 16),
            entries: u64_at(bytes, 24),
            pages: u64::from(u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]])),
            has_catalog: flags & NO_CATALOG == 0,
        };
        let (index_at, directory_at) = (u64_at(bytes, 32), u64_at(bytes, 40));
        if u64_at(bytes, 48) != len {
            return fault("the tree has another length than its tail says");
        }
        if tail.entries > ENTRIES_MAX || tail.pages > PAGES_MAX || tail.pages > tail.entries {
            return fault("more entries or pages than there may be");
        }
        if (tail.entries == 0) != (tail.pages == 0) || (!tail.has_catalog && tail.entries > 0) {
            return fault("entries without pages, or pages without entries");
        }
        let pages_end = len.checked_sub(Tail::behind_pages(tail.entries, tail.pages));
        let directory_is_at = pages_end.map(|end| end + tail.entries * INDEX_NUMBER_LEN);
        if pages_end != Some(index_at) || directory_is_at != Some(directory_at) {
            return fault("the parts of the catalog do not follow one another");
        }
        let pages_len = index_at.checked_sub(tail.tar_len);
        if !pages_len
            .is_some_and(|len| len <= tail.pages * PAGE_LEN_MAX as u64 && (len > 0) == (tail.pages > 0))
        {
            return fault("the pages are longer than they may be, or begin within the name index");
        }
        Ok((tail, index_at))
    }

    /// Writes the tail of a tree whose pages end at `index_at`.
    pub(crate) fn to_bytes(self, index_at: u64) -> [u8; Tail::LEN] {
        let mut bytes = [0; Tail::LEN];
        let directory_at = index_at + self.entries * INDEX_NUMBER_LEN;
        let len = index_at + Tail::behind_pages(self.entries, self.pages);
        bytes[..8].copy_from_slice(Tail::MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[10..12].copy_from_slice(&(if self.has_catalog { 0 } else { NO_CATALOG }).to_le_bytes());
        bytes[12..20].copy_from_slice(&self.pages.to_le_bytes());
        for (at, number) in
            [(16, self.tar_len), (24, self.entries), (32, index_at), (40, directory_at), (48, len)]
        {
            bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }
}

/// Where a page is, and what is before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PageRecord {
    /// Where in the plaintext the page begins.
    pub(crate) at: u64,
    /// The number of its first entry.
    pub(crate) first_entry: u64,
    /// Where the header of its first entry begins.
    pub(crate) header_at: u64,
    /// Bytes of data of all entries before it.
    pub(crate) data_before: u64,
}

impl PageRecord {
    pub(crate) const LEN: usize = 32;

    pub(crate) fn to_bytes(self) -> [u8; PageRecord::LEN] {
        let mut bytes = [0; PageRecord::LEN];
        let numbers = [self.at, self.first_entry, self.header_at, self.data_before];
        for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    fn parse(bytes: &[u8]) -> PageRecord {
        PageRecord {
            at: u64_at(bytes, 0),
            first_entry: u64_at(bytes, 8),
            header_at: u64_at(bytes, 16),
            data_before: u64_at(bytes, 24),
        }
    }
}

/// Reads the page directory of a tree with this tail, whose pages end at `index_at`.
pub(crate) fn parse_directory(
    bytes: &[u8],
    tail: &Tail,
    index_at: u64,
) -> Result<Vec<PageRecord>, TreeError> {
    let records: Vec<PageRecord> = bytes.chunks_exact(PageRecord::LEN).map(PageRecord::parse).collect();
    let first = PageRecord { at: tail.tar_len, first_entry: 0, header_at: 0, data_before: 0 };
    if records.first().is_some_and(|record| *record != first) {
        return Err(TreeError::catalog(index_at, "the first page does not begin the catalog"));
    }
    let ends = records.iter().skip(1).map(|next| (next.at, next.first_entry));
    let ends = ends.chain([(index_at, tail.entries)]);
    for (record, (end, end_entry)) in records.iter().zip(ends) {
        let len = end.checked_sub(record.at);
        let entries = end_entry.checked_sub(record.first_entry);
        let fits = len.is_some_and(|len| (1..=PAGE_LEN_MAX as u64).contains(&len))
            && entries.is_some_and(|count| (1..=PAGE_ENTRIES_MAX as u64).contains(&count))
            && record.header_at < tail.tar_len
            && record.data_before <= record.header_at;
        if !fits {
            let what = "a page that is empty, too long, or not behind the one before it";
            return Err(TreeError::catalog(record.at, what));
        }
    }
    Ok(records)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// Bytes of an entry's number in the name index.
pub(crate) const INDEX_NUMBER_LEN: u64 = 4;
const VERSION: u16 = 1;
/// The flag of a tree without a catalog.
const NO_CATALOG: u16 = 1;

const _: () = assert!(ENTRIES_MAX <= u32::MAX as u64);
