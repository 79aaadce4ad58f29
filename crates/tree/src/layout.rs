//! What lies where in a tree's plaintext: in the data of a file, or in the skeleton (TREE T4.5).
//! Knows neither where files are nor who reads or writes them.

use std::{io, ops::Range, sync::Arc};

use cofferdam_io::ReadAt;

use crate::{
    Catalog, CheckedCatalog, Entry, LocatedEntry, Member, TreeError, archive::of_header,
    limits::HEADER_LEN_MAX,
};

/// The map from a tree's plaintext to the data of its files and to its *skeleton*: headers, padding and the catalog, one behind the other.
#[derive(Clone, Debug)]
pub struct Layout {
    catalog: Arc<CheckedCatalog>,
    /// Bytes of data of all files.
    data_len: u64,
}

/// Bytes of the plaintext that lie in one place.
#[derive(Debug)]
pub struct Piece<'a> {
    /// Where in the plaintext they begin.
    pub at: u64,
    /// How many they are, at least one.
    pub len: u64,
    /// Where they lie.
    pub place: Place<'a>,
}

/// Where bytes of a plaintext lie.
#[derive(Debug)]
pub enum Place<'a> {
    /// In the skeleton, from this offset on.
    Skeleton(u64),
    /// In a file.
    File {
        /// The entry's number.
        number: u64,
        /// What the catalog says of it.
        entry: &'a Entry,
        /// Where in the file they begin.
        offset: u64,
    },
}

impl Layout {
    /// The layout of a tree all of whose catalog has been looked at.
    pub fn new(catalog: Arc<CheckedCatalog>) -> Layout {
        let data_len = catalog.counts().data_len;
        Layout { catalog, data_len }
    }

    /// The catalog that it follows from.
    pub fn catalog(&self) -> &Catalog {
        self.catalog.catalog()
    }

    /// What the tree is made of.
    pub fn checked(&self) -> &CheckedCatalog {
        &self.catalog
    }

    /// Bytes of the skeleton of a plaintext of `plain_len` bytes.
    pub fn skeleton_len(&self, plain_len: u64) -> u64 {
        plain_len - self.data_len
    }

    /// Calls `take` for each piece of `range`, in order.
    ///
    /// # Errors
    /// Those of `take`, and of the catalog's pages.
    pub fn for_each_piece(
        &self,
        range: Range<u64>,
        take: &mut dyn FnMut(Piece<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut at = range.start;
        while at < range.end {
            let Some((_, page)) = self.catalog().page_at(at)?.filter(|(_, page)| at < page.end.header_at)
            else {
                // Behind all entries: the archive's end, and the catalog.
                let place = Place::Skeleton(at - self.data_len);
                return take(Piece { at, len: range.end - at, place });
            };
            let first = page.starts.partition_point(|start| start.header_at <= at) - 1;
            for index in first..page.count() {
                let (entry, start) = (page.entry(index), page.starts[index]);
                let data_at = start.header_at + entry.header_len;
                let end = page.starts.get(index + 1).unwrap_or(&page.end).header_at;
                let number = page.first_entry + index as u64;
                for (part, part_end) in
                    [(Part::Header, data_at), (Part::Data, data_at + entry.size), (Part::Padding, end)]
                {
                    let part_end = part_end.min(range.end);
                    if at >= part_end {
                        continue;
                    }
                    let entry_of_data;
                    let place = match part {
                        Part::Header => Place::Skeleton(at - start.data_before),
                        Part::Data => {
                            entry_of_data = entry.to_entry();
                            Place::File { number, entry: &entry_of_data, offset: at - data_at }
                        }
                        Part::Padding => Place::Skeleton(at - start.data_before - entry.size),
                    };
                    take(Piece { at, len: part_end - at, place })?;
                    at = part_end;
                }
                if at >= range.end {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Reads the headers of the entries of a page out of the skeleton, and calls `take` with each.
    ///
    /// # Errors
    /// Those of `take`; [`TreeError::Catalog`] where a header does not say what its entry says; those of headers; the medium's own.
    pub fn for_each_member(
        &self,
        page: usize,
        skeleton: &dyn ReadAt,
        take: &mut dyn FnMut(&LocatedEntry, Member) -> Result<(), TreeError>,
    ) -> Result<(), TreeError> {
        let page = self.catalog().page(page)?;
        let end = page.end.header_at - page.end.data_before;
        let mut window = Window::new(WINDOW_LEN);
        for located in page.located_entries() {
            let at = located.header_at - located.data_before;
            let header = window.read(skeleton, at, located.entry.header_len as usize, end);
            let header = header.map_err(|error| {
                TreeError::io(format!("read the header of {}", located.entry.path), error)
            })?;
            take(&located, located.member_of(header)?)?;
        }
        Ok(())
    }

    /// Whether the archive's end, in the skeleton, is zeros.
    ///
    /// # Errors
    /// [`TreeError::OutsideProfile`] where it is not; the medium's own.
    pub fn check_archive_end(&self, skeleton: &dyn ReadAt) -> Result<(), TreeError> {
        self.check_end(skeleton, self.data_len)
    }

    /// The same of the plaintext itself.
    ///
    /// # Errors
    /// As [`check_archive_end`](Self::check_archive_end).
    pub fn check_archive_end_in(&self, plaintext: &dyn ReadAt) -> Result<(), TreeError> {
        self.check_end(plaintext, 0)
    }

    /// `left_out` bytes of the archive are not in `bytes`, all of them before its end.
    fn check_end(&self, bytes: &dyn ReadAt, left_out: u64) -> Result<(), TreeError> {
        let catalog = self.catalog();
        let members_end = match catalog.pages() {
            0 => 0,
            pages => catalog.page(pages - 1)?.end.header_at,
        };
        let mut buffer = vec![0; END_BUFFER_LEN];
        let mut at = members_end;
        while at < catalog.tar_len() {
            let len = usize::try_from(catalog.tar_len() - at)
                .map_or(END_BUFFER_LEN, |left| left.min(END_BUFFER_LEN));
            let read = bytes.read_exact_at(at - left_out, &mut buffer[..len]);
            read.map_err(|error| TreeError::io("read the end of the archive", error))?;
            if buffer[..len].iter().any(|byte| *byte != 0) {
                return Err(TreeError::profile(at, "bytes behind the archive's end"));
            }
            at += len as u64;
        }
        Ok(())
    }
}

impl LocatedEntry {
    /// The member whose header these bytes are.
    ///
    /// # Errors
    /// They are none, or one that says something else than the catalog (T6.3).
    pub fn member_of(&self, header: &[u8]) -> Result<Member, TreeError> {
        let member = Member::parse(header).map_err(|fault| of_header(self.header_at, fault))?;
        let entry = member.to_entry(header.len() as u64);
        match (Entry { changed: self.entry.changed, gone: self.entry.gone, ..entry }) == self.entry {
            true => Ok(member),
            false => {
                let what = format!("the header of {} says something else than the catalog", self.entry.path);
                Err(TreeError::catalog(self.header_at, what))
            }
        }
    }

    /// Reads its header from the plaintext.
    ///
    /// # Errors
    /// As [`member_of`](Self::member_of); the medium's own.
    pub fn read_member(&self, plaintext: &dyn ReadAt) -> Result<Member, TreeError> {
        let len = (self.entry.header_len as usize).min(HEADER_LEN_MAX);
        let mut header = vec![0; len];
        let read = plaintext.read_exact_at(self.header_at, &mut header);
        read.map_err(|error| TreeError::io(format!("read the header of {}", self.entry.path), error))?;
        self.member_of(&header)
    }
}

/// A part of the skeleton in memory: headers of a page follow one another there, padding apart.
pub(crate) struct Window {
    bytes: Vec<u8>,
    /// Where in the skeleton they begin.
    at: u64,
    /// What is read at a time, unless more is asked for.
    ahead_len: usize,
}

impl Window {
    pub(crate) fn new(ahead_len: usize) -> Window {
        Window { bytes: Vec::new(), at: 0, ahead_len }
    }

    /// The `len` bytes at `at`, which is not before that of the last call; `end` bounds what is read ahead.
    pub(crate) fn read(&mut self, skeleton: &dyn ReadAt, at: u64, len: usize, end: u64) -> io::Result<&[u8]> {
        let start = (at - self.at) as usize;
        if start + len > self.bytes.len() {
            let ahead = usize::try_from(end - at).map_or(self.ahead_len, |left| left.min(self.ahead_len));
            self.bytes.resize(len.max(ahead), 0);
            self.at = at;
            skeleton.read_exact_at(at, &mut self.bytes)?;
            return Ok(&self.bytes[..len]);
        }
        Ok(&self.bytes[start..start + len])
    }
}

/// What a member is made of.
#[derive(Clone, Copy)]
enum Part {
    Header,
    Data,
    Padding,
}

/// What is read of a page's headers at a time.
const WINDOW_LEN: usize = 64 << 10;
/// What is read of an archive's end at a time.
const END_BUFFER_LEN: usize = 64 << 10;
