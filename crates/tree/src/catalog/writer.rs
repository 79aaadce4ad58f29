//! A catalog as it is made: pages in the order of the archive, then the name index, the page directory, the tail.
//! Knows no archive: it is told of members one after another.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use cofferdam_io::ReadAt;

use super::{
    check::EntryCounts,
    page::{Page, Start, encode_entries},
    sort::{PathSort, SortedPath},
    tail::{PageRecord, Tail},
};
use crate::{
    Entry, EntryKind, TreeError,
    limits::{ARCHIVE_END_LEN, ENTRIES_MAX, PAGE_ENTRIES_MAX, PAGE_LEN_FULL, PAGES_MAX},
    path::PathOrder,
};

/// Writes a catalog into a file without a name, for its lengths are known when the archive has ended. Holds one page in memory; if members
/// come in path order, nothing else, else up to 65,536 paths of 16 MiB in all, at the end.
pub struct CatalogWriter {
    out: BufWriter<File>,
    directory: PathBuf,
    entries: Vec<Entry>,
    /// About how many bytes `entries` become.
    page_len: usize,
    records: Vec<PageRecord>,
    /// Bytes of all pages written.
    pages_len: u64,
    next_entry: u64,
    /// Where the page that is filled begins.
    page_start: Start,
    /// Where the next entry begins.
    next: Start,
    counts: EntryCounts,
    /// None once a path came that is less than the one before it.
    order: Option<PathOrder>,
}

impl CatalogWriter {
    /// A catalog that is spilled into `directory`, which should be this user's alone: paths are in it in clear.
    ///
    /// # Errors
    /// No file can be made there.
    pub fn new(directory: &Path) -> Result<CatalogWriter, TreeError> {
        let out = tempfile::tempfile_in(directory)
            .map_err(|error| TreeError::io(format!("make a file in {}", directory.display()), error))?;
        let start = Start { header_at: 0, data_before: 0 };
        Ok(CatalogWriter {
            out: BufWriter::new(out),
            directory: directory.to_owned(),
            entries: Vec::new(),
            page_len: 0,
            records: Vec::new(),
            pages_len: 0,
            next_entry: 0,
            page_start: start,
            next: start,
            counts: EntryCounts::default(),
            order: Some(PathOrder::default()),
        })
    }

    /// Takes the next member of the archive.
    ///
    /// # Errors
    /// [`TreeError::Name`] where it cannot be in one tree with those before it, as far as that is seen already;
    /// [`TreeError::Catalog`] beyond the limits; the medium's own.
    pub fn push(&mut self, entry: Entry) -> Result<(), TreeError> {
        let overflow = || TreeError::catalog(0, "a tree longer than can be");
        if self.next_entry == ENTRIES_MAX {
            return Err(TreeError::catalog(0, format!("a tree of more than {ENTRIES_MAX} entries")));
        }
        if let Some(order) = &mut self.order {
            match order.push(entry.path.as_bytes(), entry.kind == EntryKind::Directory) {
                Err(TreeError::Catalog { .. }) => self.order = None,
                checked => checked?,
            }
        }
        self.next = self.next.behind(entry.header_len, entry.size).ok_or_else(overflow)?;
        self.next_entry += 1;
        self.counts.add((&entry).into());
        self.page_len += entry.path.as_bytes().len() + entry.link.len() + ENTRY_LEN_ABOUT;
        self.entries.push(entry);
        match self.entries.len() == PAGE_ENTRIES_MAX || self.page_len >= PAGE_LEN_FULL {
            true => self.end_page(),
            false => Ok(()),
        }
    }

    /// Where the next member's header begins: the length of the archive so far.
    pub fn next_header_at(&self) -> u64 {
        self.next.header_at
    }

    /// What the tree is made of so far.
    pub fn counts(&self) -> EntryCounts {
        self.counts
    }

    /// Ends the catalog of an archive of `tar_len` bytes.
    ///
    /// # Errors
    /// [`TreeError::Name`] where two members cannot be in one tree; [`TreeError::OutsideProfile`] where the archive has no room for its end;
    /// the medium's own.
    pub fn finish(mut self, tar_len: u64) -> Result<WrittenCatalog, TreeError> {
        if tar_len < self.next.header_at.saturating_add(ARCHIVE_END_LEN as u64) {
            return Err(TreeError::profile(tar_len, "the archive ends without its two blocks of zeros"));
        }
        if !self.entries.is_empty() {
            self.end_page()?;
        }
        let index_at = tar_len.checked_add(self.pages_len);
        let index_at = index_at.ok_or_else(|| TreeError::catalog(0, "a tree longer than can be"))?;
        match self.order {
            Some(_) => self.write_numbers_in_order()?,
            None => self.write_sorted_numbers()?,
        }
        for record in &self.records {
            let record = PageRecord { at: record.at + tar_len, ..*record };
            self.out.write_all(&record.to_bytes()).map_err(spilling)?;
        }
        let (entries, pages) = (self.next_entry, self.records.len() as u64);
        let tail = Tail { tar_len, entries, pages, has_catalog: true };
        self.out.write_all(&tail.to_bytes(index_at)).map_err(spilling)?;
        WrittenCatalog::new(self.out, tar_len)
    }

    /// Ends a tree whose archive, of `tar_len` bytes, left the strict profile: it is a plain file from now on.
    ///
    /// # Errors
    /// The medium's own.
    pub fn finish_without_catalog(self, tar_len: u64) -> Result<WrittenCatalog, TreeError> {
        let mut out = self.out;
        out.flush().and_then(|()| out.get_ref().set_len(0)).map_err(spilling)?;
        let tail = Tail::without_catalog(tar_len).to_bytes(tar_len);
        out.get_ref().write_all_at(&tail, 0).map_err(spilling)?;
        WrittenCatalog::new(out, tar_len)
    }

    fn end_page(&mut self) -> Result<(), TreeError> {
        if self.records.len() as u64 == PAGES_MAX {
            return Err(TreeError::catalog(0, format!("a catalog of more than {PAGES_MAX} pages")));
        }
        let mut page = Vec::with_capacity(self.page_len);
        encode_entries(&self.entries, &mut page);
        self.records.push(PageRecord {
            at: self.pages_len,
            first_entry: self.next_entry - self.entries.len() as u64,
            header_at: self.page_start.header_at,
            data_before: self.page_start.data_before,
        });
        self.out.write_all(&page).map_err(spilling)?;
        self.pages_len += page.len() as u64;
        self.page_start = self.next;
        self.entries.clear();
        self.page_len = 0;
        Ok(())
    }

    fn write_numbers_in_order(&mut self) -> Result<(), TreeError> {
        for number in 0..self.next_entry as u32 {
            self.out.write_all(&number.to_le_bytes()).map_err(spilling)?;
        }
        Ok(())
    }

    /// The paths are in the pages that are written: they are read back.
    fn write_sorted_numbers(&mut self) -> Result<(), TreeError> {
        self.out.flush().map_err(spilling)?;
        let mut sort = PathSort::new(&self.directory, RUN_LEN)?;
        let ends = self.records.iter().skip(1).map(|next| next.at).chain([self.pages_len]);
        for (record, end) in self.records.iter().zip(ends) {
            let mut bytes = vec![0; (end - record.at) as usize];
            self.out.get_ref().read_exact_at(&mut bytes, record.at).map_err(spilling)?;
            for (number, entry) in (record.first_entry as u32..).zip(Page::parse(bytes, record)?.entries()) {
                let is_directory = entry.kind == EntryKind::Directory;
                sort.push(SortedPath { path: entry.path, number, is_directory })?;
            }
        }
        let mut order = PathOrder::default();
        sort.finish(&mut |sorted| {
            order.push(sorted.path.as_bytes(), sorted.is_directory)?;
            self.out.write_all(&sorted.number.to_le_bytes()).map_err(spilling)
        })
    }
}

impl std::fmt::Debug for CatalogWriter {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("CatalogWriter").field("entries", &self.next_entry).finish_non_exhaustive()
    }
}

/// All bytes of a tree that follow its archive. Offset 0 is where the archive ends.
#[derive(Debug)]
pub struct WrittenCatalog {
    file: File,
    len: u64,
    tar_len: u64,
}

impl WrittenCatalog {
    fn new(out: BufWriter<File>, tar_len: u64) -> Result<WrittenCatalog, TreeError> {
        let file = out.into_inner().map_err(|error| spilling(error.into_error()))?;
        let len = file.metadata().map_err(spilling)?.len();
        Ok(WrittenCatalog { file, len, tar_len })
    }

    /// The catalog as [`Catalog::open`](super::Catalog::open) takes it: at the offsets of the plaintext. The archive before it cannot
    /// be read there.
    pub fn into_plaintext(self: Arc<Self>) -> Arc<dyn ReadAt> {
        Arc::new(BehindArchive(self))
    }
}

impl ReadAt for WrittenCatalog {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn len(&self) -> u64 {
        self.len
    }
}

struct BehindArchive(Arc<WrittenCatalog>);

impl ReadAt for BehindArchive {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let offset = offset.checked_sub(self.0.tar_len).ok_or(io::ErrorKind::Unsupported)?;
        self.0.read_exact_at(offset, buffer)
    }

    fn len(&self) -> u64 {
        self.0.tar_len + self.0.len
    }
}

fn spilling(error: io::Error) -> TreeError {
    TreeError::io("keep the catalog in a file", error)
}

/// What an entry takes in a page beside its path and link: less than this.
const ENTRY_LEN_ABOUT: usize = 64;
/// Paths that are sorted in memory at a time.
const RUN_LEN: usize = 65_536;
