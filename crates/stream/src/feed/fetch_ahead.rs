//! What of a stream from afar is asked for before it is read: whole segments in wire order, as far as there is memory for them.
//! It walks the index ahead of the feed, and judges nothing: what is wrong there, the feed finds when it gets there.

use std::ops::Range;
use std::thread;
use std::time::Duration;

use framing::{IndexEntry, SegmentIndex};
use segment_worker::{Budget, ProvedSegments, Run, StreamError};

use super::PATIENCE;
use super::segment_runs::SegmentRanges;
use crate::Error;
use crate::far::FarSource;
use crate::fetch_memory::{A_MOMENT, FetchMemory, FetchNeeds};
use crate::fetch_queue::{FetchQueue, Wanted};
use crate::index::Walk;

/// The segments after those that a feed hands out.
pub(crate) struct FetchAhead<'a> {
    /// Of segments before `walk`, what is to be asked for next, and what was asked for and no job has.
    queue: FetchQueue,
    frames_per_run: u32,
    /// Before the first segment that nothing has been asked of. One index page ahead of the feed at most.
    walk: Walk<'a>,
    /// The segment that ends what is read.
    end: u64,
    /// The index page that was asked for.
    asked_page: Option<Range<u64>>,
    /// The index cannot be walked further. Why, the feed finds out.
    is_stuck: bool,
}

/// Whether a run can be handed out.
pub(crate) enum Arrival {
    /// It can: its bytes are there.
    There(Run),
    /// Not yet.
    NotYet(Run),
}

impl<'a> FetchAhead<'a> {
    /// From where `walk` is to segment `end`, which is not read. Nothing is asked for before the first look.
    pub(crate) fn new(
        far: FarSource,
        walk: Walk<'a>,
        end: u64,
        frames_per_run: u32,
        budget: &Budget,
        needs: FetchNeeds,
    ) -> FetchAhead<'a> {
        FetchAhead {
            queue: FetchQueue::new(far.clone(), FetchMemory::new(far, budget, needs)),
            frames_per_run,
            walk,
            end,
            asked_page: None,
            is_stuck: false,
        }
    }

    /// Nothing is read from segment `end` on.
    pub(crate) fn end_at(&mut self, end: u64) {
        self.end = end;
    }

    /// Asks for as much of what comes after `at` as is taken on, but for segments that are `proved`. Waits for nothing.
    pub(crate) fn look(&mut self, at: &Walk<'_>, proved: &ProvedSegments) {
        self.queue.memory.settle();
        while self.queue.ask_pending() && self.advance(at, proved) {}
    }

    /// Whether the index page of the segment that comes next in `at` has been read.
    ///
    /// # Errors
    /// It cannot be read, or is wrong.
    pub(crate) fn has_page(&mut self, at: &Walk<'a>) -> Result<bool, Error> {
        if at.missing_page()?.is_none() || self.walk.segments() > at.segments() {
            return Ok(true);
        }
        (self.walk, self.is_stuck) = (at.clone(), false);
        let has_page = self.load_page(PATIENCE)?;
        if self.asked_page.is_none() && !has_page {
            thread::sleep(A_MOMENT);
        }
        Ok(has_page)
    }

    /// Whether segment `index` has been asked for, and what has to be read of it before its first run has arrived.
    ///
    /// # Errors
    /// It will not come.
    pub(crate) fn has_head(&mut self, index: u64, entry: &IndexEntry) -> Result<bool, Error> {
        let asked_until = self.queue.pending_from().unwrap_or(self.walk.segments());
        if asked_until <= index {
            thread::sleep(A_MOMENT);
            return Ok(false);
        }
        match SegmentRanges::of(self.walk.envelope, entry, self.frames_per_run).closing {
            Some(closing) => self.wait(index, closing),
            None => Ok(true),
        }
    }

    /// Hands out `run` of segment `index` if it has arrived, or does within the patience.
    ///
    /// # Errors
    /// It will not come.
    pub(crate) fn take(&mut self, index: u64, mut run: Run) -> Result<Arrival, Error> {
        let range = run.read_offset()..run.read_offset() + run.read_len() as u64;
        if !self.wait(index, range.clone())? {
            return Ok(Arrival::NotYet(run));
        }
        self.queue.hand_out(&range);
        run.input = self.queue.far.input(range);
        Ok(Arrival::There(run))
    }

    /// Gives up all that no job has, and the memory for it. No job reads any more.
    pub(crate) fn stop(&mut self) {
        if let Some(range) = self.asked_page.take() {
            self.queue.far.fetch().release(range);
        }
        self.queue.stop();
    }

    fn wait(&mut self, index: u64, range: Range<u64>) -> Result<bool, Error> {
        let offset = range.start;
        let mut there = self.queue.far.fetch().wait(range.clone(), Duration::ZERO);
        if let Ok(false) = there {
            // The stream waits for its source: more at once may come no later.
            self.queue.memory.grow();
            there = self.queue.far.fetch().wait(range, PATIENCE);
        }
        if let Ok(false) = there {
            self.queue.give_back(|_| false);
        }
        there.map_err(|source| {
            Error::opening(StreamError::Read { segment: SegmentIndex(index), offset, source })
        })
    }

    /// Walks past the next segment. False: that is all for now.
    fn advance(&mut self, at: &Walk<'_>, proved: &ProvedSegments) -> bool {
        let is_far_ahead = self.walk.next_page() > at.next_page() + 1;
        if self.is_stuck || is_far_ahead || self.walk.segments() >= self.end {
            return false;
        }
        let segment = self.walk.segments();
        let entry = match self.next_entry() {
            Ok(Some(entry)) => entry,
            Ok(None) => return false,
            Err(_) => {
                self.is_stuck = true;
                return false;
            }
        };
        self.is_stuck = self.walk.pass(&entry).is_err();
        if !proved.contains(SegmentIndex(segment)) {
            let ranges = SegmentRanges::of(self.walk.envelope, &entry, self.frames_per_run);
            for range in ranges.in_order() {
                self.queue.push(Wanted { segment, range });
            }
        }
        true
    }

    /// The entry of the next segment, if its page is there.
    fn next_entry(&mut self) -> Result<Option<IndexEntry>, Error> {
        match self.load_page(Duration::ZERO)? {
            true => self.walk.entry().map(Some),
            false => Ok(None),
        }
    }

    /// Reads the index page of the next segment, if it arrives.
    fn load_page(&mut self, patience: Duration) -> Result<bool, Error> {
        let Some(range) = self.walk.missing_page()? else { return Ok(true) };
        let fetch = self.queue.far.fetch();
        if self.asked_page.is_none() {
            if !fetch.ask(range.clone()) {
                return Ok(false);
            }
            self.asked_page = Some(range.clone());
        }
        let there = fetch.wait(range.clone(), patience);
        if let Ok(false) = there {
            return Ok(false);
        }
        let loaded = match there {
            Ok(_) => self.walk.load_page(),
            Err(error) => Err(Error::io("the index could not be read", error).at(range.start)),
        };
        self.asked_page = None;
        self.queue.far.fetch().release(range);
        loaded.map(|()| true)
    }
}

impl Drop for FetchAhead<'_> {
    fn drop(&mut self) {
        self.stop();
    }
}
