//! The entries of a catalog in path order, many at a time.
//! Knows nothing of what is done with them.

use std::{mem::size_of, ops::Range};

use super::{Catalog, INDEX_NUMBER_LEN, LocatedEntry, read};
use crate::TreeError;

impl Catalog {
    /// Calls `take` with each entry whose place in path order is in `places`, in that order.
    ///
    /// Entries are gathered by page, up to 65,536 of them and about 16 MiB: of an archive in whatever order a page is read once for that many
    /// entries, where [`entry_in_order`](Self::entry_in_order) may read one for each.
    ///
    /// # Errors
    /// Those of `take`; as [`entry_in_order`](Self::entry_in_order).
    pub fn gather_in_order(
        &self,
        places: Range<u64>,
        take: &mut dyn FnMut(LocatedEntry) -> Result<(), TreeError>,
    ) -> Result<(), TreeError> {
        let end = places.end.min(self.entries());
        let (mut at, mut count_max) = (places.start, PLACES_MAX);
        while at < end {
            let count = count_max.min(end - at);
            let numbers = self.numbers_in_order(at, count)?;
            match self.gather(&numbers)? {
                Some(entries) => {
                    entries.into_iter().flatten().try_for_each(&mut *take)?;
                    at += count;
                }
                None => count_max = (count / 2).max(1),
            }
        }
        Ok(())
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
    fn gather(&self, numbers: &[u32]) -> Result<Option<Vec<Option<LocatedEntry>>>, TreeError> {
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
        Ok(Some(entries))
    }
}

/// Entries that are gathered at most.
const PLACES_MAX: u64 = 1 << 16;
/// Bytes of memory that they take, about.
const ENTRIES_LEN_MAX: usize = 16 << 20;
