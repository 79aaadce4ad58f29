//! What of the segments of a far source is asked for next, and what was asked for and not read, in the order in which it will be read.
//! It knows neither index nor runs.

use std::collections::VecDeque;
use std::ops::Range;

use crate::far::FarSource;
use crate::fetch_memory::FetchMemory;

/// Ranges on their way from a far source, and the memory for them.
pub(crate) struct FetchQueue {
    pub(crate) far: FarSource,
    pub(crate) memory: FetchMemory,
    /// What is to be asked for next.
    pending: VecDeque<Wanted>,
    /// What was asked for and nobody has read, before all that is pending.
    asked: VecDeque<Wanted>,
}

/// A part of a segment, or all of it.
pub(crate) struct Wanted {
    pub(crate) segment: u64,
    pub(crate) range: Range<u64>,
}

impl FetchQueue {
    /// Nothing yet.
    pub(crate) fn new(far: FarSource, memory: FetchMemory) -> FetchQueue {
        FetchQueue { far, memory, pending: VecDeque::new(), asked: VecDeque::new() }
    }

    /// After all that is wanted so far.
    pub(crate) fn push(&mut self, wanted: Wanted) {
        self.pending.push_back(wanted);
    }

    /// Whether nothing is wanted.
    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.asked.is_empty()
    }

    /// Asks for what is pending. False: not all of it was taken on.
    pub(crate) fn ask_pending(&mut self) -> bool {
        while let Some(next) = self.pending.pop_front() {
            // What is read next is asked for in any case: it may be all that is waited for.
            let must_wait = !self.asked.is_empty() && self.memory.is_owing();
            if must_wait || !self.far.fetch().ask(next.range.clone()) {
                self.pending.push_front(next);
                return false;
            }
            self.asked.push_back(next);
        }
        true
    }

    /// The first segment of which something is pending.
    pub(crate) fn pending_from(&self) -> Option<u64> {
        self.pending.front().map(|wanted| wanted.segment)
    }

    /// Whether a part of `range` is pending.
    pub(crate) fn is_pending(&self, range: &Range<u64>) -> bool {
        self.pending.iter().any(|wanted| !overlap(&wanted.range, range).is_empty())
    }

    /// The parts of `range` that were asked for.
    pub(crate) fn asked_of(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        let parts = self.asked.iter().map(|wanted| overlap(&wanted.range, range));
        parts.filter(|part| !part.is_empty()).collect()
    }

    /// A job has `range`, which comes next of what was asked for, and releases it. What closes a segment may have been asked for before
    /// its frames.
    pub(crate) fn hand_out(&mut self, range: &Range<u64>) {
        for Wanted { range: asked, .. } in self.asked.iter_mut().take(RANGES_MAX) {
            if asked.contains(&range.start) || range.contains(&asked.start) {
                asked.start = range.end.min(asked.end);
            }
        }
        while self.asked.front().is_some_and(|asked| asked.range.is_empty()) {
            self.asked.pop_front();
        }
    }

    /// Gives up `range`: it was read, or will not be.
    pub(crate) fn release(&mut self, range: &Range<u64>) {
        for part in self.asked_of(range) {
            self.far.fetch().release(part);
        }
        for queue in [&mut self.asked, &mut self.pending] {
            let wanted = std::mem::take(queue);
            queue.extend(wanted.into_iter().flat_map(|wanted| wanted.without(range)));
        }
    }

    /// Gives up what comes last, as long as memory for it is to go back, but nothing that is `needed`: it may have arrived, and will not
    /// be read before what is waited for now has come. It is pending again.
    pub(crate) fn give_back(&mut self, needed: impl Fn(&Wanted) -> bool) {
        while self.memory.is_owing()
            && self.asked.len() > RANGES_MAX
            && self.asked.back().is_some_and(|last| !needed(last))
            && let Some(last) = self.asked.pop_back()
        {
            self.far.fetch().release(last.range.clone());
            self.pending.push_front(last);
        }
    }

    /// Gives up everything, and the memory for it.
    pub(crate) fn stop(&mut self) {
        self.pending.clear();
        for Wanted { range, .. } in self.asked.drain(..) {
            self.far.fetch().release(range);
        }
        self.memory.stop();
    }
}

impl Wanted {
    fn without(self, range: &Range<u64>) -> impl Iterator<Item = Wanted> {
        let Wanted { segment, range: Range { start, end } } = self;
        let parts = match overlap(&(start..end), range) {
            given_up if given_up.is_empty() => [start..end, 0..0],
            given_up => [start..given_up.start, given_up.end..end],
        };
        parts.into_iter().filter(|part| !part.is_empty()).map(move |range| Wanted { segment, range })
    }
}

fn overlap(one: &Range<u64>, other: &Range<u64>) -> Range<u64> {
    one.start.max(other.start)..one.end.min(other.end)
}

/// Ranges of a segment at most.
const RANGES_MAX: usize = 2;
