//! The index pages of a far source, fetched ahead of a walk that reads nothing else.
//! It knows no entry. What was not fetched, the walk reads with a request of its own.

use std::collections::VecDeque;
use std::ops::Range;

use framing::limits::PAGE_ENTRIES_MAX;
use segment_worker::{Budget, CancelToken, Loan};

use crate::far::FarSource;
use crate::feed::PATIENCE;
use crate::index::Walk;
use crate::{Error, ErrorKind};

/// The pages that a walk has not read yet. Dropped, it gives up all that is left, and the memory for it.
pub(crate) struct PageFetch {
    far: FarSource,
    _memory: Loan,
    next_page: u32,
    end_page: u32,
    /// What was asked for, in that order.
    asked: VecDeque<Range<u64>>,
}

impl PageFetch {
    /// The pages of `walk` from where it is to segment `end`. `None` if the source is near, if they are not several, or if the budget
    /// has no memory for them now.
    pub(crate) fn new(walk: &Walk<'_>, end: u64, budget: &Budget) -> Option<PageFetch> {
        let far = FarSource::of(&walk.source)?;
        let end = end.min(walk.index.footer.segments);
        let (next_page, end_page) = (walk.next_page(), end.div_ceil(u64::from(PAGE_ENTRIES_MAX)) as u32);
        if end_page.saturating_sub(next_page) < 2 {
            return None;
        }
        let least = far.fetch().min_memory(walk.index.page_len(walk.envelope, 0));
        let several = least.saturating_mul(AT_ONCE);
        let memory = budget.try_borrow(several).map(|memory| (memory, several));
        let (memory, len) = memory.or_else(|| Some((budget.try_borrow(least)?, least)))?;
        far.fetch().grant(len);
        Some(PageFetch { far, _memory: memory, next_page, end_page, asked: VecDeque::new() })
    }

    /// Has `walk` load the page of its next segment once that has arrived, and asks for those after it.
    ///
    /// # Errors
    /// It will not come, or is wrong; or cancelled.
    pub(crate) fn load(&mut self, walk: &mut Walk<'_>, cancel: &CancelToken) -> Result<(), Error> {
        let Some(range) = walk.missing_page()? else { return Ok(()) };
        self.next_page = self.next_page.max(walk.next_page());
        self.release_until(range.start);
        self.ask(walk);
        if self.asked.front() == Some(&range) {
            self.wait(&range, cancel)?;
        }
        walk.load_page()?;
        self.release_until(range.end);
        Ok(())
    }

    /// Asks for as much as is taken on. A page that the directory has at no place, the walk finds when it gets there.
    fn ask(&mut self, walk: &Walk<'_>) {
        while self.next_page < self.end_page
            && let Ok(range) = walk.index.page_range(walk.envelope, self.next_page)
            && self.asked.back().is_none_or(|last| last.end <= range.start)
            && self.far.fetch().ask(range.clone())
        {
            self.asked.push_back(range);
            self.next_page += 1;
        }
    }

    fn wait(&self, range: &Range<u64>, cancel: &CancelToken) -> Result<(), Error> {
        loop {
            if cancel.is_cancelled() {
                return Err(Error::new(ErrorKind::Cancelled, "interrupted"));
            }
            let there = self.far.fetch().wait(range.clone(), PATIENCE);
            if there.map_err(|error| Error::io("the index could not be read", error).at(range.start))? {
                return Ok(());
            }
        }
    }

    fn release_until(&mut self, end: u64) {
        while self.asked.front().is_some_and(|range| range.end <= end)
            && let Some(range) = self.asked.pop_front()
        {
            self.far.fetch().release(range);
        }
    }
}

impl Drop for PageFetch {
    fn drop(&mut self) {
        self.release_until(u64::MAX);
        self.far.fetch().grant(0);
    }
}

/// What is fetched at once, of what the least memory is good for.
const AT_ONCE: usize = 4;
