//! Segments of a far source on their way to whoever opens each by itself: announced in the order in which they will be read, waited for
//! run by run, released as they were read.
//! It opens none, and knows no index.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use cofferdam_io::{Fetch, FetchError, FetchFault, ReadAt};
use segment_worker::{CancelToken, Lease};

use crate::far::FarSource;
use crate::feed::PATIENCE;
use crate::feed::segment_runs::SegmentRanges;
use crate::fetch_memory::{A_MOMENT, FetchMemory};
use crate::fetch_queue::{FetchQueue, Wanted};

/// What a far source is asked for by those who open its segments, on any number of threads.
///
/// Read through it, what was asked for is waited for, and stays; anything else is a request of its own.
pub(crate) struct SegmentFetch {
    far: FarSource,
    cancel: CancelToken,
    state: Mutex<State>,
}

struct State {
    queue: FetchQueue,
    /// Where the segments begin that nobody reads yet, and those that somebody does.
    announced: BTreeSet<u64>,
    being_read: BTreeSet<u64>,
    /// What somebody waits for now.
    awaited: Vec<Range<u64>>,
    /// For as long as something is fetched, where nobody else pays for it.
    _memory: Option<Lease>,
}

/// A segment that is being read, from its beginning on. Dropped, what is left of it is given up.
pub(crate) struct FetchedSegment<'a> {
    fetch: &'a SegmentFetch,
    begin: u64,
    end: u64,
}

impl SegmentFetch {
    /// Nothing yet, in `memory`, of which the least is paid for by `lease`, or by the caller.
    pub(crate) fn new(
        far: FarSource,
        memory: FetchMemory,
        lease: Option<Lease>,
        cancel: &CancelToken,
    ) -> SegmentFetch {
        let state = State {
            queue: FetchQueue::new(far.clone(), memory),
            announced: BTreeSet::new(),
            being_read: BTreeSet::new(),
            awaited: Vec::new(),
            _memory: lease,
        };
        SegmentFetch { far, cancel: cancel.clone(), state: Mutex::new(state) }
    }

    /// Asks for `range` after all that was asked for before it. Waits for nothing.
    pub(crate) fn push(&self, range: Range<u64>) {
        self.state().push(range);
    }

    /// Says that the segment which begins at `begin` will be read by whoever reads all that were announced, in that order.
    pub(crate) fn announce(&self, begin: u64) -> bool {
        self.state().announced.insert(begin)
    }

    /// Begins to read a segment, which is fetched at `ranges`. One that was not announced is fetched now if no other is; `None` if some
    /// other is, or if it is being read already.
    pub(crate) fn begin(&self, ranges: SegmentRanges) -> Option<FetchedSegment<'_>> {
        let Range { start, end } = ranges.whole();
        let mut state = self.state();
        if !state.announced.remove(&start) {
            if !state.queue.is_empty() || !state.being_read.is_empty() {
                return None;
            }
            ranges.in_order().for_each(|range| state.push(range));
        }
        state.being_read.insert(start);
        Some(FetchedSegment { fetch: self, begin: start, end })
    }

    /// Gives up all that was asked for of `range`.
    pub(crate) fn release(&self, range: &Range<u64>) {
        let mut state = self.state();
        state.queue.release(range);
        state.ask();
    }

    /// Waits for what was announced of `range`.
    fn wait(&self, range: &Range<u64>) -> io::Result<()> {
        let parts = loop {
            self.check_cancelled()?;
            let mut state = self.state();
            state.ask();
            if !state.queue.is_pending(range) {
                let parts = state.queue.asked_of(range);
                state.awaited.extend_from_slice(&parts);
                break parts;
            }
            drop(state);
            thread::sleep(A_MOMENT);
        };
        let waited = parts.iter().try_for_each(|part| self.wait_for(part));
        self.state().awaited.retain(|awaited| !parts.contains(awaited));
        waited
    }

    /// Waits for `part`, which was asked for.
    fn wait_for(&self, part: &Range<u64>) -> io::Result<()> {
        let fetch = self.far.fetch();
        let mut is_there = fetch.wait(part.clone(), Duration::ZERO)?;
        while !is_there {
            self.check_cancelled()?;
            // More at once may come no later.
            self.state().queue.memory.grow();
            is_there = fetch.wait(part.clone(), PATIENCE)?;
            if !is_there {
                self.state().give_back();
            }
        }
        Ok(())
    }

    fn check_cancelled(&self) -> io::Result<()> {
        match self.cancel.is_cancelled() {
            true => Err(FetchError::new(FetchFault::Cancelled, "interrupted").into()),
            false => Ok(()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What it guards is whole at every step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, range: Range<u64>) {
        // In order as it is, no number is needed.
        self.queue.push(Wanted { segment: 0, range });
        self.ask();
    }

    fn ask(&mut self) {
        self.queue.memory.settle();
        self.queue.ask_pending();
    }

    fn give_back(&mut self) {
        let awaited = &self.awaited;
        let is_awaited = |part: &Wanted| {
            awaited.iter().any(|range| range.start < part.range.end && part.range.start < range.end)
        };
        self.queue.give_back(is_awaited);
    }
}

impl FetchedSegment<'_> {
    /// All of the segment before `end` has been read. What closes it may have been fetched before that, and stays.
    pub(crate) fn release(&self, end: u64) {
        self.fetch.release(&(self.begin..end));
    }
}

impl ReadAt for SegmentFetch {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.wait(&(offset..offset.saturating_add(buffer.len() as u64)))?;
        self.far.source().read_exact_at(offset, buffer)
    }

    fn len(&self) -> u64 {
        self.far.source().len()
    }

    fn changed(&self) -> io::Result<bool> {
        self.far.source().changed()
    }

    fn fetch(&self) -> Option<&dyn Fetch> {
        Some(self.far.fetch())
    }
}

impl Drop for FetchedSegment<'_> {
    fn drop(&mut self) {
        self.release(self.end);
        self.fetch.state().being_read.remove(&self.begin);
    }
}

impl Drop for SegmentFetch {
    fn drop(&mut self) {
        self.state().queue.stop();
    }
}
