//! Finding the segment that holds a byte of the plaintext: index pages, read when they are first needed.
//! It knows segments by their entries only.

use std::sync::Arc;

use framing::IndexEntry;
use framing::limits::PAGE_ENTRIES_MAX;

use super::frames::Frames;
use crate::index::Walk;
use crate::stop::Stop;
use crate::{Error, memory};

/// The entries of an index page, each checked against those of its page, and the page against the directory.
pub(super) struct Page {
    number: u32,
    entries: Vec<IndexEntry>,
}

impl Page {
    /// Reads page `number`, and none before it. The last one has to end where the footer says.
    pub(super) fn read(frames: &Frames, number: u32, stop: Stop<'_>) -> Result<Page, Error> {
        let (index, envelope) = (frames.index.clone(), &frames.envelope);
        let read = index.page(&frames.source_until(stop), envelope, number)?;
        let mut walk = Walk::on_page(frames.source.clone(), envelope, index, number, read)?;
        let count = frames.index.entries_of_page(number);
        let mut entries = Vec::new();
        memory::reserve("an index page", &mut entries, count as usize)?;
        for _ in 0..count {
            let entry = walk.entry()?;
            walk.pass(&entry)?;
            entries.push(entry);
        }
        if walk.is_at_end() {
            walk.check_end()?;
        }
        Ok(Page { number, entries })
    }

    /// Bytes of memory that a page of `entries` takes.
    pub(super) fn len_of(entries: u32) -> usize {
        size_of::<Page>() + entries as usize * size_of::<IndexEntry>()
    }

    fn begins_after(&self, offset: u64) -> bool {
        offset < self.entries[0].plaintext_offset
    }

    fn ends_before(&self, offset: u64) -> bool {
        self.entries.last().is_none_or(|last| offset >= end_of(last))
    }

    /// The segment that holds the byte at `offset`, which is in this page.
    pub(super) fn segment_at(&self, offset: u64) -> (u64, &IndexEntry) {
        let at = self.entries.partition_point(|entry| end_of(entry) <= offset);
        (u64::from(self.number) * u64::from(PAGE_ENTRIES_MAX) + at as u64, &self.entries[at])
    }
}

impl Frames {
    /// The segment that holds the byte at `offset`, one of the stream's, with its entry.
    pub(super) fn locate(&self, offset: u64, stop: Stop<'_>) -> Result<(u64, IndexEntry), Error> {
        // Two pages leave out bytes between them: whoever has the key can make an index like that.
        let left_out = || Error::damaged("the index names no segment for a part of the plaintext");
        let page = self.page_at(offset, |number| self.page(number, stop))?.ok_or_else(left_out)?;
        let (segment, entry) = page.segment_at(offset);
        Ok((segment, entry.clone()))
    }

    /// The page of the segment that holds the byte at `offset`, of those that `page` gives; `None` if the index has none. The first guess is
    /// right where segments are alike.
    pub(super) fn page_at<E>(
        &self,
        offset: u64,
        page: impl Fn(u32) -> Result<Arc<Page>, E>,
    ) -> Result<Option<Arc<Page>>, E> {
        let footer = &self.index.footer;
        let (mut first, mut end) = (0, footer.pages);
        let guess = u128::from(offset) * u128::from(footer.segments) / u128::from(footer.plaintext_len);
        let mut number = (guess / u128::from(PAGE_ENTRIES_MAX)) as u32;
        while first < end {
            number = number.clamp(first, end - 1);
            let page = page(number)?;
            if page.begins_after(offset) {
                end = number;
            } else if page.ends_before(offset) {
                first = number + 1;
            } else {
                return Ok(Some(page));
            }
            number = first + (end.saturating_sub(first)) / 2;
        }
        Ok(None)
    }
}

fn end_of(entry: &IndexEntry) -> u64 {
    entry.plaintext_offset + u64::from(entry.plaintext_len)
}
