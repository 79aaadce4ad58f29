//! The entries of a catalog in path order, many at a time.
//! Knows nothing of what is done with them.

use std::{ops::Range, sync::Arc, vec};

use super::{Catalog, EntryRef, INDEX_NUMBER_LEN, LocatedEntry, PAGES_KEPT, Page, page::Start, read};
use crate::{TreeError, limits::PAGE_LEN_MAX};

/// Entries one after the other in path order: [`Catalog::in_order`]. Behind an error there are none.
///
/// Of an archive in path order a page is read once, and of one that is mixed within directories once or twice. Of one in whatever order, entries are
/// gathered by page, up to 65,536 of them and 8 MiB, and a page is read once for that many, where [`Catalog::entry_in_order`] may read one for each.
#[derive(Debug)]
pub struct InOrder<'a> {
    catalog: &'a Catalog,
    /// What has not been looked up.
    places: Range<u64>,
    /// How many are looked up next, and at most: whoever wants a few does not pay for many.
    count: u64,
    count_max: u64,
    /// The next ones: their numbers, where page follows page.
    numbers: vec::IntoIter<u32>,
    page: Option<Arc<Page>>,
    /// The next ones, where it does not.
    gathered: Gathered,
}

/// Entries in path order, which come from pages in another one.
#[derive(Default, Debug)]
struct Gathered {
    /// As they are encoded in pages, in no order.
    bytes: Vec<u8>,
    places: vec::IntoIter<GatheredPlace>,
}

#[derive(Clone, Copy, Default, Debug)]
struct GatheredPlace {
    number: u32,
    /// Where in the bytes it begins.
    at: u32,
    start: Start,
}

impl Iterator for Gathered {
    type Item = LocatedEntry;

    fn next(&mut self) -> Option<LocatedEntry> {
        let GatheredPlace { number, at, start } = self.places.next()?;
        Some(LocatedEntry {
            number: u64::from(number),
            header_at: start.header_at,
            data_before: start.data_before,
            entry: EntryRef::of_checked(&self.bytes[at as usize..]).to_entry(),
        })
    }
}

impl Iterator for InOrder<'_> {
    type Item = Result<LocatedEntry, TreeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let found = self.found();
        if found.is_err() {
            self.places = 0..0;
            self.numbers = Vec::new().into_iter();
        }
        found.transpose()
    }
}

impl InOrder<'_> {
    fn found(&mut self) -> Result<Option<LocatedEntry>, TreeError> {
        loop {
            if let Some(located) = self.gathered.next() {
                return Ok(Some(located));
            }
            if let Some(number) = self.numbers.next() {
                return self.of_page(u64::from(number)).map(Some);
            }
            if self.places.is_empty() {
                return Ok(None);
            }
            self.look_up()?;
        }
    }

    fn of_page(&mut self, number: u64) -> Result<LocatedEntry, TreeError> {
        let page = match self.page.take() {
            Some(page) if page.has(number) => page,
            _ => self.catalog.page(self.catalog.page_of(number))?,
        };
        let page = self.page.insert(page);
        Ok(page.located((number - page.first_entry) as usize))
    }

    fn look_up(&mut self) -> Result<(), TreeError> {
        let count = self.count.min(self.places.end - self.places.start);
        let numbers = self.catalog.numbers_in_order(self.places.start, count)?;
        // What has been given goes before anything takes its place.
        self.gathered = Gathered::default();
        if self.catalog.comes_page_by_page(&numbers) {
            self.numbers = numbers.into_iter();
        } else if let Some(gathered) = self.catalog.gather(&numbers)? {
            self.gathered = gathered;
        } else {
            self.count_max = (count / 2).max(1);
            self.count = self.count_max;
            return Ok(());
        }
        self.places.start += count;
        self.count = (count * 16).min(self.count_max);
        Ok(())
    }
}

impl Catalog {
    /// The entries whose places in path order are in `places`, as far as there are any, in that order.
    ///
    /// Each comes with the errors of [`entry_in_order`](Self::entry_in_order).
    pub fn in_order(&self, places: Range<u64>) -> InOrder<'_> {
        InOrder {
            catalog: self,
            places: places.start..places.end.min(self.entries()),
            count: PLACES_FIRST,
            count_max: PLACES_MAX,
            numbers: Vec::new().into_iter(),
            page: None,
            gathered: Gathered::default(),
        }
    }

    /// Whether pages are read about once each if these are looked up one after the other, with those that are kept.
    fn comes_page_by_page(&self, numbers: &[u32]) -> bool {
        let (mut kept, mut pages_read, mut bounds) = (Vec::new(), Vec::new(), 0..0);
        for number in numbers.iter().map(|number| u64::from(*number)) {
            if bounds.contains(&number) {
                continue;
            }
            let page = self.page_of(number);
            let end = self.records.get(page + 1).map_or(self.entries(), |next| next.first_entry);
            bounds = self.records[page].first_entry..end;
            match kept.iter().position(|kept| *kept == page) {
                Some(place) => {
                    kept.remove(place);
                }
                None => {
                    kept.drain(..(kept.len() + 1).saturating_sub(PAGES_KEPT.get()));
                    pages_read.push(page);
                }
            }
            // The last one is the one that was used last, as in the cache.
            kept.push(page);
        }
        let reads = pages_read.len();
        pages_read.sort_unstable();
        pages_read.dedup();
        reads <= READS_PER_PAGE * pages_read.len()
    }

    fn numbers_in_order(&self, place: u64, count: u64) -> Result<Vec<u32>, TreeError> {
        let mut bytes = vec![0; (count * INDEX_NUMBER_LEN) as usize];
        let at = self.index_at + place * INDEX_NUMBER_LEN;
        read(&*self.source, at, &mut bytes)?;
        let numbers = bytes.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
        let numbers: Vec<u32> = numbers.collect();
        match numbers.iter().all(|number| u64::from(*number) < self.entries()) {
            true => Ok(numbers),
            false => Err(TreeError::catalog(at, "the name index has a number of no entry")),
        }
    }

    /// The entries of these numbers, each where its number is; none where they are too long to be held together.
    fn gather(&self, numbers: &[u32]) -> Result<Option<Gathered>, TreeError> {
        let mut wanted: Vec<(u32, u32)> = numbers.iter().copied().zip(0..).collect();
        wanted.sort_unstable();
        let mut places = vec![GatheredPlace::default(); numbers.len()];
        let (mut wanted, mut bytes) = (&*wanted, Vec::new());
        while let Some((first, _)) = wanted.first() {
            let page = self.page(self.page_of(u64::from(*first)))?;
            let here = wanted.partition_point(|(number, _)| page.has(u64::from(*number)));
            for (number, place) in &wanted[..here] {
                let (in_page, at) = ((u64::from(*number) - page.first_entry) as usize, bytes.len() as u32);
                bytes.extend_from_slice(page.encoded(in_page));
                places[*place as usize] = GatheredPlace { number: *number, at, start: page.starts[in_page] };
            }
            if bytes.len() > ENTRIES_LEN_MAX && numbers.len() > 1 {
                return Ok(None);
            }
            wanted = &wanted[here..];
        }
        Ok(Some(Gathered { bytes, places: places.into_iter() }))
    }
}

/// Entries that are looked up first.
const PLACES_FIRST: u64 = 32;
/// Entries that are looked up at a time at most.
const PLACES_MAX: u64 = 1 << 16;
/// How often a page is read at most before entries are gathered instead.
const READS_PER_PAGE: usize = 2;
/// Bytes that gathered entries have encoded; with what the last page brings in, more by less than a page.
const ENTRIES_LEN_MAX: usize = 8 << 20;

// Places and offsets of what is gathered fit 4 bytes.
const _: () = assert!(PLACES_MAX <= u32::MAX as u64 && ENTRIES_LEN_MAX + PAGE_LEN_MAX <= u32::MAX as usize);
