//! A tree's catalog: which members there are and where, found with a few small reads (TREE §3 to §5).
//! Knows nothing of headers, and of the source only that it can be read at offsets.

mod check;
mod in_order;
mod page;
mod sort;
mod tail;
#[cfg(test)]
mod tests;
mod writer;

use std::{cmp::Ordering, num::NonZeroUsize, ops::Range, sync::Arc};

use cofferdam_io::ReadAt;
use lru::LruCache;
use parking_lot::Mutex;

use self::tail::{INDEX_NUMBER_LEN, PageRecord, parse_directory};
pub use self::{
    check::{CheckedCatalog, EntryCounts},
    in_order::InOrder,
    page::Page,
    writer::{CatalogWriter, WrittenCatalog},
};
pub(crate) use self::{
    page::{EntryRef, encode_entries},
    tail::Tail,
};
use crate::{Entry, TreeError, TreePath};

/// The catalog of a tree that can be read at offsets.
///
/// What is read is checked against what it stands beside: a page against its record of the page directory, an entry against its place.
/// [`check`](Self::check) looks at all of it. Up to 16 pages are kept in memory, of 256 to 512 KiB and 20 bytes for each entry.
pub struct Catalog {
    source: Arc<dyn ReadAt>,
    tail: Tail,
    /// Where the name index begins.
    index_at: u64,
    records: Vec<PageRecord>,
    pages: Mutex<LruCache<usize, Arc<Page>>>,
}

/// What the end of a plaintext says that it is.
#[derive(Debug)]
pub enum Content {
    /// A tree with a catalog.
    Tree(Catalog),
    /// An archive that left the strict profile: a plain file of so many bytes.
    PlainFile {
        /// Its length in bytes.
        tar_len: u64,
    },
}

/// An entry, and where it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LocatedEntry {
    /// Counts from 0, in the order of the archive.
    pub number: u64,
    /// Where in the archive its header begins.
    pub header_at: u64,
    /// Bytes of data of all entries before it.
    pub data_before: u64,
    /// What the catalog says of it.
    pub entry: Entry,
}

impl LocatedEntry {
    /// Where in the archive its data begins.
    pub fn data_at(&self) -> u64 {
        self.header_at + self.entry.header_len
    }
}

impl Catalog {
    /// Opens the catalog of the plaintext `source`: reads its tail and its page directory.
    ///
    /// # Errors
    /// [`TreeError::Catalog`] where it is none, or lies; the medium's own.
    pub fn open(source: Arc<dyn ReadAt>) -> Result<Content, TreeError> {
        let len = source.len();
        let Some(tail_at) = len.checked_sub(Tail::LEN as u64) else {
            return Err(TreeError::catalog(0, "the plaintext is too short for a tree"));
        };
        let mut bytes = [0; Tail::LEN];
        read(&*source, tail_at, &mut bytes)?;
        let (tail, index_at) = Tail::parse(&bytes, len)?;
        if !tail.has_catalog {
            return Ok(Content::PlainFile { tar_len: tail.tar_len });
        }
        // At most 2 MiB: the tail's counts are within the limits.
        let mut directory = vec![0; tail.pages as usize * PageRecord::LEN];
        read(&*source, index_at + tail.entries * INDEX_NUMBER_LEN, &mut directory)?;
        let records = parse_directory(&directory, &tail, index_at)?;
        let pages = Mutex::new(LruCache::new(PAGES_KEPT));
        Ok(Content::Tree(Catalog { source, tail, index_at, records, pages }))
    }

    /// Bytes of the archive.
    pub fn tar_len(&self) -> u64 {
        self.tail.tar_len
    }

    /// Members that there are.
    pub fn entries(&self) -> u64 {
        self.tail.entries
    }

    /// Pages that there are.
    pub fn pages(&self) -> usize {
        self.records.len()
    }

    /// Bytes of data of all members.
    ///
    /// # Errors
    /// As [`page`](Self::page).
    pub fn data_len(&self) -> Result<u64, TreeError> {
        Ok(match self.records.len() {
            0 => 0,
            pages => self.page(pages - 1)?.end.data_before,
        })
    }

    /// The page at `index`, below [`pages`](Self::pages).
    ///
    /// # Errors
    /// [`TreeError::Catalog`] where it is none, or is not what the page directory says; the medium's own.
    pub fn page(&self, index: usize) -> Result<Arc<Page>, TreeError> {
        if let Some(page) = self.pages.lock().get(&index) {
            return Ok(page.clone());
        }
        let page = Arc::new(self.read_page(index)?);
        self.pages.lock().put(index, page.clone());
        Ok(page)
    }

    /// The entry of this number; none from [`entries`](Self::entries) on.
    ///
    /// # Errors
    /// As [`page`](Self::page).
    pub fn entry(&self, number: u64) -> Result<Option<LocatedEntry>, TreeError> {
        if number >= self.tail.entries {
            return Ok(None);
        }
        let page = self.page(self.page_of(number))?;
        let at = (number - page.first_entry) as usize;
        Ok(Some(page.located(at)))
    }

    /// The entry whose header, data or padding is at this offset of the archive; none where the archive's end is.
    ///
    /// # Errors
    /// As [`page`](Self::page).
    pub fn entry_at(&self, offset: u64) -> Result<Option<LocatedEntry>, TreeError> {
        let Some((_, page)) = self.page_at(offset)? else {
            return Ok(None);
        };
        let at = page.starts.partition_point(|start| start.header_at <= offset) - 1;
        Ok((offset < page.end.header_at).then(|| page.located(at)))
    }

    /// The entry of this path.
    ///
    /// # Errors
    /// As [`page`](Self::page).
    pub fn find(&self, path: &TreePath) -> Result<Option<LocatedEntry>, TreeError> {
        let place = self.place_of(path)?;
        let found = self.entry_in_order(place)?;
        Ok(found.filter(|found| found.entry.path == *path))
    }

    /// Where in path order the first path is that is not less than `path`.
    ///
    /// # Errors
    /// As [`page`](Self::page).
    pub fn place_of(&self, path: &TreePath) -> Result<u64, TreeError> {
        let (mut low, mut high) = (0, self.tail.entries);
        while low < high {
            let middle = low + (high - low) / 2;
            let is_less = |found: LocatedEntry| found.entry.path.cmp(path) == Ordering::Less;
            match self.entry_in_order(middle)?.is_some_and(is_less) {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        Ok(low)
    }

    /// The entry at this place in path order; none from [`entries`](Self::entries) on. So all that is below a directory follows the
    /// directory at once.
    ///
    /// # Errors
    /// As [`page`](Self::page).
    pub fn entry_in_order(&self, place: u64) -> Result<Option<LocatedEntry>, TreeError> {
        if place >= self.tail.entries {
            return Ok(None);
        }
        let mut bytes = [0; INDEX_NUMBER_LEN as usize];
        let at = self.index_at + place * INDEX_NUMBER_LEN;
        read(&*self.source, at, &mut bytes)?;
        match self.entry(u64::from(u32::from_le_bytes(bytes)))? {
            None => Err(TreeError::catalog(at, "the name index has a number of no entry")),
            found => Ok(found),
        }
    }

    /// The page that has what is at this offset of the archive, or is the last one before it.
    pub(crate) fn page_at(&self, offset: u64) -> Result<Option<(usize, Arc<Page>)>, TreeError> {
        match self.records.partition_point(|record| record.header_at <= offset) {
            0 => Ok(None),
            behind => Ok(Some((behind - 1, self.page(behind - 1)?))),
        }
    }

    /// The page that has this entry, of those that there are.
    pub(crate) fn page_of(&self, number: u64) -> usize {
        self.records.partition_point(|record| record.first_entry <= number).saturating_sub(1)
    }

    /// The pages of which something lies in this range of the plaintext.
    pub(crate) fn pages_in(&self, range: Range<u64>) -> Range<usize> {
        if range.end <= self.tail.tar_len || range.start >= self.index_at {
            return 0..0;
        }
        let first = self.records.partition_point(|record| record.at <= range.start).saturating_sub(1);
        first..self.records.partition_point(|record| record.at < range.end)
    }

    /// Where the page at `index` begins in the plaintext; behind the last one, where it ends.
    pub(crate) fn page_bounds(&self, index: usize) -> u64 {
        self.records.get(index).map_or(self.index_at, |record| record.at)
    }

    fn read_page(&self, index: usize) -> Result<Page, TreeError> {
        let record = &self.records[index];
        // The page directory's bounds are within the limits.
        let mut bytes = vec![0; (self.page_bounds(index + 1) - record.at) as usize];
        read(&*self.source, record.at, &mut bytes)?;
        let page = Page::parse(bytes, record)?;
        let end_entry = record.first_entry + page.count() as u64;
        let fits = match self.records.get(index + 1) {
            Some(next) => {
                let end = (page.end.header_at, page.end.data_before, end_entry);
                end == (next.header_at, next.data_before, next.first_entry)
            }
            None => {
                let end = page.end.header_at.checked_add(crate::limits::ARCHIVE_END_LEN as u64);
                end.is_some_and(|end| end <= self.tail.tar_len) && end_entry == self.tail.entries
            }
        };
        match fits {
            true => Ok(page),
            false => Err(TreeError::catalog(record.at, "the entries of a page do not tile the archive")),
        }
    }
}

impl Page {
    /// Its entries, each with its place.
    pub fn located_entries(&self) -> impl Iterator<Item = LocatedEntry> {
        (0..self.count()).map(|at| self.located(at))
    }

    /// Its entries.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        self.refs().map(EntryRef::to_entry)
    }

    /// Its entries, where they lie.
    pub(crate) fn refs(&self) -> impl Iterator<Item = EntryRef<'_>> {
        (0..self.count()).map(|at| self.entry(at))
    }

    fn has(&self, number: u64) -> bool {
        (self.first_entry..self.first_entry + self.count() as u64).contains(&number)
    }

    /// The number of its first entry.
    pub fn first_entry(&self) -> u64 {
        self.first_entry
    }

    /// The entry at `at`, below [`count`](Self::count), with its place.
    pub fn located(&self, at: usize) -> LocatedEntry {
        LocatedEntry {
            number: self.first_entry + at as u64,
            header_at: self.starts[at].header_at,
            data_before: self.starts[at].data_before,
            entry: self.entry(at).to_entry(),
        }
    }
}

impl std::fmt::Debug for Catalog {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Catalog").field("tail", &self.tail).finish_non_exhaustive()
    }
}

fn read(source: &dyn ReadAt, at: u64, buffer: &mut [u8]) -> Result<(), TreeError> {
    source
        .read_exact_at(at, buffer)
        .map_err(|error| TreeError::io(format!("read the catalog at byte {at}"), error))
}

/// Decoded pages that are kept.
const PAGES_KEPT: NonZeroUsize = NonZeroUsize::new(16).expect("16 is not 0");
