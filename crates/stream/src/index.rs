//! The index of a stream that lies still: footer, directory and pages, authenticated, and walked in order.
//! It knows segments by their entries only; what the segments themselves say is compared by those who read them.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cofferdam_io::ReadAt;
use framing::limits::{DIRECTORY_ENTRY_LEN, FOOTER_LEN, MAC_LEN, PAGE_ENTRIES_MAX};
use framing::{
    Compression, DirectoryEntry, Footer, IndexEntry, IndexPage, Record, decode_directory, page_len,
};
use keys::macs_equal;

use crate::envelope::Envelope;
use crate::{Error, ErrorKind, memory};

/// The index of a stream: its footer and directory, checked against each other.
pub(crate) struct Index {
    pub(crate) footer: Footer,
    origin: u64,
    directory: Vec<DirectoryEntry>,
}

impl Index {
    /// Reads the trailer of a source that begins with `envelope`. `None` if the source does not end with a footer that
    /// belongs to its length: then it is truncated or damaged, and only reading it from the front tells which.
    pub(crate) fn read(source: &dyn ReadAt, envelope: &Envelope) -> Result<Option<Index>, Error> {
        let origin = envelope.origin();
        let body = source.len().saturating_sub(origin);
        let Some(position) = body.checked_sub(FOOTER_LEN as u64).map(|offset| origin + offset) else {
            return Ok(None);
        };
        let bytes: [u8; FOOTER_LEN] = read_array(source, position)?;
        let (footer, mac) = match Footer::parse(&bytes) {
            Ok((footer, mac)) if footer.wire_len == body => (footer, mac),
            // Whatever else stands there is no footer (FORMAT F13.11): a pipe would say what it is, and so does the same pass.
            _ => return Ok(None),
        };
        let directory_position = origin + footer.directory_offset;
        let mut directory = memory::zeroed("the directory", footer.directory_len())?;
        read(source, directory_position, &mut directory)?;
        if let Some(schedule) = &envelope.schedule
            && !macs_equal(&schedule.footer_mac(&directory, &footer.to_bytes()), &mac)
        {
            return Err(Error::damaged("the footer fails authentication").at(position));
        }
        // For a length that cannot be true, room would be taken before it is found out. Without compression all plaintext is on
        // the wire.
        let shape = envelope.shape();
        let plaintext_len_max = match shape.compression() {
            Compression::None => footer.wire_len,
            Compression::Zstd => footer.segments.saturating_mul(shape.segment_len()),
        };
        if footer.plaintext_len > plaintext_len_max {
            return Err(trailer_fault(Record::Footer, position));
        }
        let mut entries = Vec::new();
        memory::reserve("the directory", &mut entries, footer.pages as usize)?;
        directory.chunks(DECODED_AT_ONCE).for_each(|some| entries.extend(decode_directory(some)));
        Ok(Some(Index { footer, origin, directory: entries }))
    }

    /// Where the footer was found: the length of a source may have changed since.
    pub(crate) fn footer_position(&self) -> u64 {
        self.origin + self.footer.wire_len - FOOTER_LEN as u64
    }

    /// How many segments page `page` names.
    pub(crate) fn entries_of_page(&self, page: u32) -> u32 {
        let first_segment = u64::from(page) * u64::from(PAGE_ENTRIES_MAX);
        (self.footer.segments - first_segment).min(u64::from(PAGE_ENTRIES_MAX)) as u32
    }

    /// Bytes of memory that the directory takes.
    pub(crate) fn directory_len(&self) -> usize {
        self.directory.len() * size_of::<DirectoryEntry>()
    }

    /// Where the first segment of `page` begins by the directory: right after the page before it. How much plaintext comes
    /// before it is not known here.
    fn page_start(&self, envelope: &Envelope, page: u32) -> Result<PageStart, Error> {
        let page_len = page_len(PAGE_ENTRIES_MAX, envelope.shape().compression()) as u64;
        let wire_offset = match page.checked_sub(1) {
            None => Some(envelope.metadata_len),
            Some(before) => self.directory[before as usize].offset.checked_add(page_len),
        };
        let segments = u64::from(page) * u64::from(PAGE_ENTRIES_MAX);
        match wire_offset.filter(|offset| *offset <= self.footer.directory_offset) {
            Some(wire_offset) => Ok(PageStart { segments, wire_offset, plaintext_offset: 0 }),
            None => {
                let directory = envelope.origin() + self.footer.directory_offset;
                Err(trailer_fault(Record::Directory, directory))
            }
        }
    }

    /// Bytes of page `page`.
    pub(crate) fn page_len(&self, envelope: &Envelope, page: u32) -> usize {
        page_len(self.entries_of_page(page), envelope.shape().compression())
    }

    /// Where page `page` is in the source, by the directory.
    pub(crate) fn page_range(&self, envelope: &Envelope, page: u32) -> Result<Range<u64>, Error> {
        let offset = self.directory[page as usize].offset;
        let end = offset.checked_add(self.page_len(envelope, page) as u64);
        let end = end.filter(|end| *end <= self.footer.directory_offset);
        let end = end.ok_or_else(|| {
            trailer_fault(Record::Directory, envelope.origin() + self.footer.directory_offset)
        })?;
        Ok(envelope.origin().saturating_add(offset)..envelope.origin().saturating_add(end))
    }

    /// Reads a page and checks it against its place in the directory.
    pub(crate) fn page(
        &self,
        source: &dyn ReadAt,
        envelope: &Envelope,
        page: u32,
    ) -> Result<Vec<IndexEntry>, Error> {
        let listed = self.directory[page as usize];
        let first_segment = u64::from(page) * u64::from(PAGE_ENTRIES_MAX);
        let position = self.page_range(envelope, page)?.start;
        let mut bytes = memory::zeroed("an index page", self.page_len(envelope, page))?;
        read(source, position, &mut bytes)?;
        let (parsed, mac) = IndexPage::parse(&bytes, envelope.shape().compression())
            .map_err(|error| Error::framing(error, position))?;
        let authentic = match &envelope.schedule {
            Some(schedule) => macs_equal(&schedule.page_mac(&bytes[..bytes.len() - MAC_LEN]), &mac),
            None => true,
        };
        let seekable = parsed.page == page && parsed.first_segment.0 == first_segment;
        if !authentic || !seekable || !macs_equal(&mac, &listed.mac) {
            return Err(trailer_fault(Record::IndexPage, position));
        }
        Ok(parsed.entries)
    }
}

/// A walk along the entries of an index, in order. Each is checked against the ones before it and against arithmetic.
#[derive(Clone)]
pub(crate) struct Walk<'a> {
    pub(crate) source: Arc<dyn ReadAt>,
    pub(crate) envelope: &'a Envelope,
    pub(crate) index: Arc<Index>,
    entries: Arc<Vec<IndexEntry>>,
    /// The page that they are of.
    page: Option<u32>,
    /// The pages that it and its clones have read last.
    read_pages: Arc<Mutex<VecDeque<ReadPage>>>,
    segments: u64,
    wire_offset: u64,
    plaintext_offset: u64,
}

/// The entries of a page, which has been checked.
type ReadPage = (u32, Arc<Vec<IndexEntry>>);

/// Where a page's first segment begins: all that a walk knows there of what it has passed.
#[derive(Clone, Copy)]
pub(crate) struct PageStart {
    segments: u64,
    wire_offset: u64,
    plaintext_offset: u64,
}

impl<'a> Walk<'a> {
    /// Before the first segment.
    pub(crate) fn new(source: Arc<dyn ReadAt>, envelope: &'a Envelope, index: Index) -> Walk<'a> {
        Walk {
            source,
            envelope,
            index: Arc::new(index),
            entries: Arc::default(),
            page: None,
            read_pages: Arc::default(),
            segments: 0,
            wire_offset: envelope.metadata_len,
            plaintext_offset: 0,
        }
    }

    /// Before the first segment of a page, `start`, which another walk along this index has reached.
    pub(crate) fn at_page(
        source: Arc<dyn ReadAt>,
        envelope: &'a Envelope,
        index: Arc<Index>,
        start: PageStart,
    ) -> Walk<'a> {
        let PageStart { segments, wire_offset, plaintext_offset } = start;
        let (entries, read_pages) = (Arc::default(), Arc::default());
        let page = None;
        Walk { source, envelope, index, entries, page, read_pages, segments, wire_offset, plaintext_offset }
    }

    /// Before the first segment of page `page`, of which the entries have been read, and none before it (FORMAT F13.8). Where the page stands follows
    /// from the directory; where its plaintext begins it says itself.
    pub(crate) fn on_page(
        source: Arc<dyn ReadAt>,
        envelope: &'a Envelope,
        index: Arc<Index>,
        page: u32,
        entries: Vec<IndexEntry>,
    ) -> Result<Walk<'a>, Error> {
        let start = index.page_start(envelope, page)?;
        let plaintext_offset = if page == 0 { 0 } else { entries[0].plaintext_offset };
        let mut walk = Walk::at_page(source, envelope, index, PageStart { plaintext_offset, ..start });
        if plaintext_offset > walk.index.footer.plaintext_len {
            return Err(walk.footer_fault());
        }
        (walk.entries, walk.page) = (Arc::new(entries), Some(page));
        Ok(walk)
    }

    /// Where this walk is, between two pages.
    pub(crate) fn page_start(&self) -> PageStart {
        let Walk { segments, wire_offset, plaintext_offset, .. } = *self;
        assert!(
            self.is_at_end() || segments.is_multiple_of(u64::from(PAGE_ENTRIES_MAX)),
            "a walk goes on from a page's beginning"
        );
        PageStart { segments, wire_offset, plaintext_offset }
    }

    /// The same place, without holding the entries of its page.
    pub(crate) fn without_page(&self) -> Walk<'a> {
        Walk { entries: Arc::default(), page: None, ..self.clone() }
    }

    /// Segments passed.
    pub(crate) fn segments(&self) -> u64 {
        self.segments
    }

    /// Plaintext bytes passed.
    pub(crate) fn plaintext_offset(&self) -> u64 {
        self.plaintext_offset
    }

    /// Whether all segments have been passed.
    pub(crate) fn is_at_end(&self) -> bool {
        self.segments == self.index.footer.segments
    }

    /// Whether the segment that comes next is the last.
    pub(crate) fn is_at_last(&self) -> bool {
        self.segments + 1 == self.index.footer.segments
    }

    /// Where an offset of the index is in the stream.
    pub(crate) fn position(&self, offset: u64) -> u64 {
        self.envelope.origin().saturating_add(offset)
    }

    /// The entry of the segment that comes next. There is one: not all have been passed.
    pub(crate) fn entry(&mut self) -> Result<IndexEntry, Error> {
        let at = (self.segments % u64::from(PAGE_ENTRIES_MAX)) as usize;
        self.load_page()?;
        let entry = self.entries[at].clone();
        self.check(&entry)?;
        Ok(entry)
    }

    /// The page that names the segment that comes next.
    pub(crate) fn next_page(&self) -> u32 {
        (self.segments / u64::from(PAGE_ENTRIES_MAX)) as u32
    }

    /// Where that page is in the source, if neither this walk nor a clone has it.
    pub(crate) fn missing_page(&self) -> Result<Option<Range<u64>>, Error> {
        let page = self.next_page();
        match self.page == Some(page) || self.read_pages().iter().any(|(number, _)| *number == page) {
            true => Ok(None),
            false => self.index.page_range(self.envelope, page).map(Some),
        }
    }

    /// Reads that page, if it is missing.
    pub(crate) fn load_page(&mut self) -> Result<(), Error> {
        let page = self.next_page();
        if self.page == Some(page) {
            return Ok(());
        }
        let read = self.read_pages().iter().find(|(number, _)| *number == page).cloned();
        self.entries = match read {
            Some((_, entries)) => entries,
            None => {
                let entries = Arc::new(self.index.page(&*self.source, self.envelope, page)?);
                let mut read_pages = self.read_pages();
                read_pages.truncate(PAGES_KEPT - 1);
                read_pages.push_front((page, entries.clone()));
                entries
            }
        };
        self.page = Some(page);
        Ok(())
    }

    fn read_pages(&self) -> MutexGuard<'_, VecDeque<ReadPage>> {
        // What it guards is whole at every step.
        self.read_pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes the segment of `entry`, and the page that stands behind it.
    pub(crate) fn pass(&mut self, entry: &IndexEntry) -> Result<(), Error> {
        self.segments += 1;
        self.wire_offset += entry.wire_len;
        self.plaintext_offset += u64::from(entry.plaintext_len);
        if self.is_at_end() || self.segments.is_multiple_of(u64::from(PAGE_ENTRIES_MAX)) {
            self.pass_page()?;
        }
        Ok(())
    }

    /// What has been passed is all, if the footer says so as well.
    pub(crate) fn check_end(&self) -> Result<(), Error> {
        let footer = &self.index.footer;
        if (self.wire_offset, self.plaintext_offset) != (footer.directory_offset, footer.plaintext_len) {
            return Err(self.footer_fault());
        }
        Ok(())
    }

    /// The footer is not what the segments say.
    pub(crate) fn footer_fault(&self) -> Error {
        trailer_fault(Record::Footer, self.index.footer_position())
    }

    /// A page stands where its last segment ends, and the directory where the last page does.
    fn pass_page(&mut self) -> Result<(), Error> {
        let page = ((self.segments - 1) / u64::from(PAGE_ENTRIES_MAX)) as usize;
        if self.index.directory[page].offset != self.wire_offset {
            return Err(trailer_fault(Record::Directory, self.position(self.index.footer.directory_offset)));
        }
        self.wire_offset += page_len(self.entries.len() as u32, self.envelope.shape().compression()) as u64;
        Ok(())
    }

    /// Segments are contiguous, in wire and plaintext, as long as their plaintext makes them, and before the directory.
    fn check(&self, entry: &IndexEntry) -> Result<(), Error> {
        let shape = self.envelope.shape();
        let plaintext_len = u64::from(entry.plaintext_len);
        let last = self.is_at_last();
        let agrees = entry.wire_offset == self.wire_offset
            && entry.plaintext_offset == self.plaintext_offset
            && plaintext_len <= shape.segment_len()
            && entry.frame_count == shape.frame_count(plaintext_len)
            && shape.segment_wire_lens(plaintext_len).contains(&entry.wire_len)
            && entry.wire_offset.saturating_add(entry.wire_len) <= self.index.footer.directory_offset
            && (entry.frame_count > 0 || last);
        if !agrees {
            return Err(
                trailer_fault(Record::IndexPage, self.position(self.wire_offset)).in_segment(self.segments)
            );
        }
        // Within the footer's length, for which run buffers were made: checked before a run is cut, not only at the end.
        if self.plaintext_offset + plaintext_len > self.index.footer.plaintext_len {
            return Err(self.footer_fault());
        }
        Ok(())
    }
}

/// A record of the trailer is not what the segments imply.
pub(crate) fn trailer_fault(record: Record, position: u64) -> Error {
    Error::damaged(format!("the {record} is not what the segments say")).at(position)
}

/// Reads `buffer.len()` bytes at `position`; what is not there has been cut off since the source was opened.
pub(crate) fn read(source: &dyn ReadAt, position: u64, buffer: &mut [u8]) -> Result<(), Error> {
    source.read_exact_at(position, buffer).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => {
            Error::new(ErrorKind::Truncated, "the sealed stream ends too early").at(position).because(error)
        }
        _ => Error::io("the sealed stream could not be read", error).at(position),
    })
}

pub(crate) fn read_array<const LEN: usize>(source: &dyn ReadAt, position: u64) -> Result<[u8; LEN], Error> {
    let mut bytes = [0; LEN];
    read(source, position, &mut bytes)?;
    Ok(bytes)
}

/// Reads, with zeros for the sectors that cannot be read.
///
/// # Errors
/// Of a source from afar, whatever it says: there are no sectors, and its bytes may well be whole.
pub(crate) fn read_what_there_is(source: &dyn ReadAt, position: u64, buffer: &mut [u8]) -> Result<(), Error> {
    if source.fetch().is_some() {
        return read(source, position, buffer);
    }
    if source.read_exact_at(position, buffer).is_ok() {
        return Ok(());
    }
    let mut at = position;
    for sector in buffer.chunks_mut(SECTOR_LEN) {
        if source.read_exact_at(at, sector).is_err() {
            sector.fill(0);
        }
        at += sector.len() as u64;
    }
    Ok(())
}

/// Pages that a walk and its clones keep: two of them may be on either side of a page's end.
const PAGES_KEPT: usize = 2;
/// What a medium loses at once, in bytes.
pub(crate) const SECTOR_LEN: usize = 4096;
/// Bytes of a directory that are decoded in one go: whole entries.
const DECODED_AT_ONCE: usize = 1024 * DIRECTORY_ENTRY_LEN;
