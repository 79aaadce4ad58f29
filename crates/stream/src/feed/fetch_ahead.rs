//! What of a stream from afar is asked for before it is read: whole segments in wire order, as far as there is memory for them.
//! It walks the index ahead of the feed, and judges nothing: what is wrong there, the feed finds when it gets there.

use std::collections::VecDeque;
use std::ops::Range;
use std::thread;
use std::time::Duration;

use framing::{IndexEntry, SegmentIndex};
use segment_worker::{Budget, Edges, ProvedSegments, Run, StreamError};

use super::PATIENCE;
use crate::Error;
use crate::far::FarSource;
use crate::fetch_memory::{FetchMemory, FetchNeeds};
use crate::index::Walk;

/// The segments after those that a feed hands out.
pub(crate) struct FetchAhead<'a> {
    far: FarSource,
    memory: FetchMemory,
    frames_per_run: u32,
    /// Before the first segment that nothing has been asked of. One index page ahead of the feed at most.
    walk: Walk<'a>,
    /// The segment that ends what is read.
    end: u64,
    /// Of segments before `walk`, what is to be asked for next.
    pending: VecDeque<Wanted>,
    /// What was asked for and no job has, in that order.
    asked: VecDeque<Wanted>,
    /// The index page that was asked for.
    asked_page: Option<Range<u64>>,
    /// The index cannot be walked further. Why, the feed finds out.
    is_stuck: bool,
}

/// A part of a segment, or all of it.
struct Wanted {
    segment: u64,
    range: Range<u64>,
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
            memory: FetchMemory::new(far.clone(), budget, needs),
            far,
            frames_per_run,
            walk,
            end,
            pending: VecDeque::new(),
            asked: VecDeque::new(),
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
        self.memory.settle();
        while self.ask_pending() && self.advance(at, proved) {}
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
        let asked_until = self.pending.front().map_or(self.walk.segments(), |wanted| wanted.segment);
        if asked_until <= index {
            thread::sleep(A_MOMENT);
            return Ok(false);
        }
        match self.ranges(entry) {
            (_, Some(closing)) => self.wait(index, closing),
            (_, None) => Ok(true),
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
        // What closes a segment may have been asked for before its frames.
        for Wanted { range: asked, .. } in self.asked.iter_mut().take(RANGES_MAX) {
            if asked.contains(&range.start) || range.contains(&asked.start) {
                asked.start = range.end.min(asked.end);
            }
        }
        while self.asked.front().is_some_and(|asked| asked.range.is_empty()) {
            self.asked.pop_front();
        }
        run.input = self.far.input(range);
        Ok(Arrival::There(run))
    }

    /// Gives up all that no job has, and the memory for it. No job reads any more.
    pub(crate) fn stop(&mut self) {
        let asked = self.asked.drain(..).map(|asked| asked.range);
        for range in asked.chain(self.asked_page.take()) {
            self.far.fetch().release(range);
        }
        self.memory.stop();
    }

    fn wait(&mut self, index: u64, range: Range<u64>) -> Result<bool, Error> {
        let offset = range.start;
        let fetch = self.far.fetch();
        let mut there = fetch.wait(range.clone(), Duration::ZERO);
        if let Ok(false) = there {
            // The stream waits for its source: more at once may come no later.
            self.memory.grow();
            there = self.far.fetch().wait(range, PATIENCE);
        }
        if let Ok(false) = there {
            self.give_back();
        }
        there.map_err(|source| {
            Error::opening(StreamError::Read { segment: SegmentIndex(index), offset, source })
        })
    }

    /// Gives up what comes last, as long as memory for it is to go back: it may have arrived, and will not be read before what the
    /// stream waits for now has come.
    fn give_back(&mut self) {
        while self.memory.is_owing()
            && self.asked.len() > RANGES_MAX
            && let Some(last) = self.asked.pop_back()
        {
            self.far.fetch().release(last.range.clone());
            self.pending.push_front(last);
        }
    }

    /// Asks for what `walk` has passed. False: not all of it was taken on.
    fn ask_pending(&mut self) -> bool {
        while let Some(next) = self.pending.pop_front() {
            // What the stream needs next is asked for in any case: it may be all that it waits for.
            let must_wait = !self.asked.is_empty() && self.memory.is_owing();
            if must_wait || !self.far.fetch().ask(next.range.clone()) {
                self.pending.push_front(next);
                return false;
            }
            self.asked.push_back(next);
        }
        true
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
            let (frames, closing) = self.ranges(&entry);
            let ranges = closing.into_iter().chain([frames]);
            self.pending.extend(ranges.map(|range| Wanted { segment, range }));
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
        let fetch = self.far.fetch();
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
        self.far.fetch().release(range);
        loaded.map(|()| true)
    }

    /// Where a segment is, in the order in which it is read. Of a compressed one of several runs, what closes it comes first: its TABLE
    /// says where the runs are. The last run reads that again, so it is kept until then.
    fn ranges(&self, entry: &IndexEntry) -> (Range<u64>, Option<Range<u64>>) {
        let shape = self.walk.envelope.shape();
        let start = self.walk.position(entry.wire_offset);
        let end = start.saturating_add(entry.wire_len);
        if !shape.is_compressed() || entry.frame_count <= self.frames_per_run {
            return (start..end, None);
        }
        let closing = end.saturating_sub(Edges::closing_len(shape, entry.frame_count) as u64);
        (start..closing, Some(closing..end))
    }
}

impl Drop for FetchAhead<'_> {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Ranges of a segment at most.
const RANGES_MAX: usize = 2;
/// Before a source is asked again that has taken nothing on, though all has arrived that it was asked for.
const A_MOMENT: Duration = Duration::from_millis(1);
