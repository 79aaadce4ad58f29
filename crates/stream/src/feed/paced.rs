//! A feed that keeps to what its caller and the machine allow: no run is issued faster than the rate, and memory that is short is noticed.
//! It knows no bytes of the stream, only how many a run takes.

use std::cell::Cell;
use std::collections::VecDeque;
use std::thread;
use std::time::Instant;

use frame_worker::{ChainValue, Closing, ClosingFields, FrameWorker, SegmentIndex};
use segment_worker::{Budget, Buffers, Feed, IsLast, Run, SealFeed, Step, StreamEnd, TrailerOnly};

use super::PATIENCE;
use crate::Error;
use crate::rate_limit::RateLimit;
use crate::resources::Resources;

/// A feed whose runs are issued at the rate that [`Resources`] have, by a stream on `budget`.
pub(crate) struct PacedFeed<'a, F> {
    feed: F,
    pace: Pace<'a>,
    /// Plaintext bytes of the proved segments that have been compared, so that they commit next or have committed.
    passed: &'a Cell<u64>,
    /// Proved segments that have begun, and their plaintext bytes.
    proved: VecDeque<(SegmentIndex, u64)>,
    /// When sealing: what was taken for the frames of each segment in flight.
    taken: VecDeque<u64>,
}

/// What every step is asked before it is taken.
struct Pace<'a> {
    resources: &'a Resources,
    budget: &'a Budget,
    /// Bytes of the sealed stream that a run takes at most.
    run_len: u64,
}

impl<'a, F> PacedFeed<'a, F> {
    /// `run_len` is what a run takes of the sealed stream, in bytes, about. `passed` counts on for whoever observes commits.
    pub(crate) fn new(
        feed: F,
        resources: &'a Resources,
        budget: &'a Budget,
        run_len: usize,
        passed: &'a Cell<u64>,
    ) -> PacedFeed<'a, F> {
        let pace = Pace { resources, budget, run_len: run_len as u64 };
        PacedFeed { feed, pace, passed, proved: VecDeque::new(), taken: VecDeque::new() }
    }

    /// The next step of the feed, where a run may be issued. `taken` says what of the sealed stream a run takes.
    fn step<C, E>(
        &mut self,
        next: impl FnOnce(&mut F) -> Result<Step<C, E>, Error>,
        taken: impl FnOnce(&Run) -> usize,
    ) -> Result<Step<C, E>, Error> {
        self.pace.watch_memory();
        let Some(rate) = &self.pace.resources.rate else { return next(&mut self.feed) };
        if !self.pace.may_go(rate) {
            return Ok(Step::NothingYet);
        }
        let step = next(&mut self.feed);
        let taken = match &step {
            Ok(Step::Run(run)) => taken(run) as u64,
            _ => 0,
        };
        rate.settle(self.pace.run_len, taken);
        step
    }
}

impl Pace<'_> {
    /// Has the budget follow how short memory is, and tells the observer if that has changed.
    fn watch_memory(&self) {
        let look = |before| self.resources.system.pressure(before);
        let changed = self.budget.adjust_growth(Instant::now(), look);
        if let (Some(pressure), Some(observer)) = (changed, &self.resources.observer) {
            observer.memory_pressure(pressure);
        }
    }

    /// Takes a run's bytes of the rate. Waits for that, but no longer than a feed may.
    fn may_go(&self, rate: &RateLimit) -> bool {
        let wait = match rate.try_take(Instant::now(), self.run_len) {
            Ok(()) => return true,
            Err(wait) => wait,
        };
        thread::sleep(wait.min(PATIENCE));
        wait <= PATIENCE && rate.try_take(Instant::now(), self.run_len).is_ok()
    }
}

impl<F: Feed<Error = Error>> Feed for PacedFeed<'_, F> {
    type Error = Error;

    fn next(&mut self, buffers: &Buffers) -> Result<Step<Closing, ()>, Error> {
        let step = self.step(|feed| feed.next(buffers), Run::read_len)?;
        if let Step::Proved(plan) = &step {
            self.proved.push_back((plan.segment.index, plan.plaintext_len));
        }
        Ok(step)
    }

    fn check_closing(&mut self, segment: SegmentIndex, closing: &Closing) -> Result<(), Error> {
        self.feed.check_closing(segment, closing)?;
        if let Some((_, len)) = self.proved.front().filter(|(index, _)| *index == segment) {
            self.passed.set(self.passed.get() + len);
            self.proved.pop_front();
        }
        Ok(())
    }

    fn end(&mut self) -> Result<StreamEnd, Error> {
        self.feed.end()
    }
}

impl<F: SealFeed<Error = Error>> SealFeed for PacedFeed<'_, F> {
    type Error = Error;

    fn next(&mut self, buffers: &Buffers) -> Result<Step<IsLast, TrailerOnly>, Error> {
        let step = self.step(|feed| feed.next(buffers), |run| run.output_len)?;
        match (&step, self.taken.back_mut()) {
            (Step::Segment(_), _) => self.taken.push_back(0),
            (Step::Run(run), Some(segment)) => *segment += run.output_len as u64,
            _ => {}
        }
        Ok(step)
    }

    fn close(
        &mut self,
        segment: SegmentIndex,
        worker: &FrameWorker,
        fields: &ClosingFields,
        frames_len: u64,
    ) -> Result<(Vec<u8>, ChainValue), Error> {
        // Only now is it known how long compressed frames have become.
        if let (Some(rate), Some(taken)) = (&self.pace.resources.rate, self.taken.pop_front()) {
            rate.settle(taken, frames_len);
        }
        self.feed.close(segment, worker, fields, frames_len)
    }
}
