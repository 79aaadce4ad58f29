//! The entries of a catalog in path order, many at a time.
//! Knows nothing of what is done with them.

use std::{mem::size_of, ops::Range, sync::Arc, vec};

use super::{Catalog, INDEX_NUMBER_LEN, LocatedEntry, PAGES_KEPT, Page, read};
use crate::TreeError;

/// Entries one after the other in path order: [`Catalog::in_order`]. Behind an error there are none.
///
/// Of an archive in path order a page is read once. Of one in whatever order, entries are gathered by page, up to 65,536 of them and about 16 MiB,
/// and a page is read once for that many, where [`Catalog::entry_in_order`] may read one for each.
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
    gathered: vec::IntoIter<LocatedEntry>,
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
        if self.catalog.comes_page_by_page(&numbers) {
            self.numbers = numbers.into_iter();
        } else if let Some(entries) = self.catalog.gather(&numbers)? {
            self.gathered = entries.into_iter();
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
            gathered: Vec::new().into_iter(),
        }
    }

    /// Whether each page is come to once if these are looked up one after the other, or all of them are kept.
    fn comes_page_by_page(&self, numbers: &[u32]) -> bool {
        let (mut pages, mut bounds) = (Vec::new(), 0..0);
        for number in numbers.iter().map(|number| u64::from(*number)) {
            if !bounds.contains(&number) {
                let page = self.page_of(number);
                let end = self.records.get(page + 1).map_or(self.entries(), |next| next.first_entry);
                bounds = self.records[page].first_entry..end;
                pages.push(page);
            }
        }
        let come_to = pages.len();
        pages.sort_unstable();
        pages.dedup();
        pages.len() == come_to || pages.len() <= PAGES_KEPT.get()
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
    fn gather(&self, numbers: &[u32]) -> Result<Option<Vec<LocatedEntry>>, TreeError> {
        let mut wanted: Vec<(u32, usize)> = numbers.iter().copied().zip(0..).collect();
        wanted.sort_unstable();
        let mut entries = vec![None; numbers.len()];
        let (mut wanted, mut len) = (&*wanted, 0);
        while let Some((first, _)) = wanted.first() {
            let page = self.page(self.page_of(u64::from(*first)))?;
            let page_end = page.first_entry + page.entries.len() as u64;
            let here = wanted.partition_point(|(number, _)| u64::from(*number) < page_end);
            for (number, place) in &wanted[..here] {
                let located = page.located((u64::from(*number) - page.first_entry) as usize);
                len += located.entry.path.as_bytes().len() + located.entry.link.len();
                len += size_of::<Option<LocatedEntry>>();
                entries[*place] = Some(located);
            }
            if len > ENTRIES_LEN_MAX && numbers.len() > 1 {
                return Ok(None);
            }
            wanted = &wanted[here..];
        }
        Ok(Some(entries.into_iter().flatten().collect()))
    }
}

/// Entries that are looked up first.
const PLACES_FIRST: u64 = 32;
/// Entries that are looked up at a time at most.
const PLACES_MAX: u64 = 1 << 16;
/// Bytes of memory that they take, about.
const ENTRIES_LEN_MAX: usize = 16 << 20;
