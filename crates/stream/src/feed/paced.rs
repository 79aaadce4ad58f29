//! A feed that keeps to what its caller and the machine allow: no run is issued faster than the rate, and memory that is short is noticed.
//! It knows no bytes of the stream, only how many a run takes.

use std::collections::VecDeque;
use std::thread;
use std::time::Instant;

use frame_worker::{ChainValue, Closing, ClosingFields, FrameWorker, SegmentIndex};
use segment_worker::{Budget, Buffers, Feed, IsLast, Run, SealFeed, Step, StreamEnd, TrailerOnly};

use super::PATIENCE;
use crate::Error;
use crate::rate_limit::RateLimit;
use crate::resources::Resources;
use crate::stream_metrics::StreamMetrics;

/// A feed whose runs are issued at the rate that [`Resources`] have, by a stream on `budget`.
pub(crate) struct PacedFeed<'a, F> {
    feed: F,
    pace: Pace<'a>,
    metrics: &'a StreamMetrics<'a>,
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
    /// `run_len` is what a run takes of the sealed stream, in bytes, about. `metrics` is told of segments that begin, and of proved ones
    /// that have been compared, so that they commit next or have committed.
    pub(crate) fn new(
        feed: F,
        resources: &'a Resources,
        budget: &'a Budget,
        run_len: usize,
        metrics: &'a StreamMetrics<'a>,
    ) -> PacedFeed<'a, F> {
        let pace = Pace { resources, budget, run_len: run_len as u64 };
        PacedFeed { feed, pace, metrics, proved: VecDeque::new(), taken: VecDeque::new() }
    }

    /// The next step of the feed, where a run may be issued. `taken` says what of the sealed stream a run takes.
    fn step<C, E>(
        &mut self,
        next: impl FnOnce(&mut F) -> Result<Step<C, E>, Error>,
        taken: impl FnOnce(&Run) -> usize,
    ) -> Result<Step<C, E>, Error> {
        self.pace.resources.watch_memory(self.pace.budget);
        self.metrics.step();
        let step = self.paced_step(next, taken)?;
        match &step {
            Step::Segment(plan) => self.metrics.begin_segment(plan.index),
            Step::Proved(plan) => self.metrics.begin_segment(plan.segment.index),
            _ => {}
        }
        Ok(step)
    }

    fn paced_step<C, E>(
        &mut self,
        next: impl FnOnce(&mut F) -> Result<Step<C, E>, Error>,
        taken: impl FnOnce(&Run) -> usize,
    ) -> Result<Step<C, E>, Error> {
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

impl<F> PacedFeed<'_, F> {
    /// The frames of the oldest segment take `frames_len` bytes. How long compressed ones become is not known before.
    fn settle_segment(&mut self, frames_len: u64) {
        if let (Some(rate), Some(taken)) = (&self.pace.resources.rate, self.taken.pop_front()) {
            rate.settle(taken, frames_len);
        }
    }
}

impl Pace<'_> {
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
            self.metrics.pass(*len);
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
        self.settle_segment(frames_len);
        self.feed.close(segment, worker, fields, frames_len)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;
    use std::time::Duration;

    use frame_worker::FrameIndex;
    use segment_worker::{Edges, Input};
    use sources::{BytesSource, Source as _};

    use super::*;
    use crate::stream_metrics::Operation;
    use framing::StreamId;
    use segment_worker::Committed;

    /// Bytes of the sealed stream that a run takes here; it was expected to take more.
    const TAKEN: usize = 700;
    const RUN_LEN: usize = 1000;

    /// Brings a run at each call, or nothing.
    struct Runs {
        asked: usize,
        brings: bool,
    }

    impl Runs {
        fn step<C, E>(&mut self) -> Step<C, E> {
            self.asked += 1;
            if !self.brings {
                return Step::NothingYet;
            }
            Step::Run(Run {
                first: FrameIndex(0),
                count: 1,
                input: Input::Place(BytesSource::new([0; TAKEN]).positioned().unwrap()),
                input_offset: 0,
                input_len: TAKEN,
                edges: Edges::default(),
                output_len: TAKEN,
                sink_offset: 0,
            })
        }
    }

    impl Feed for Runs {
        type Error = Error;

        fn next(&mut self, _: &Buffers) -> Result<Step<Closing, ()>, Error> {
            Ok(self.step())
        }

        fn end(&mut self) -> Result<StreamEnd, Error> {
            unreachable!("no test comes to the end")
        }
    }

    /// A byte per second.
    fn resources() -> Resources {
        Resources { rate: Some(RateLimit::new(NonZeroU64::new(1))), ..Resources::default() }
    }

    fn metrics(budget: &Budget) -> StreamMetrics<'_> {
        let start = Committed::at_start(ChainValue([0; 32]));
        StreamMetrics::new(Operation::Open, StreamId([0; 16]), budget, &start, 0)
    }

    /// Seconds until what was taken is paid for.
    fn owed(resources: &Resources) -> u64 {
        let rate = resources.rate.as_ref().unwrap();
        let wait = rate.try_take(Instant::now(), 0).err().unwrap_or(Duration::ZERO);
        // Less what has come since, a byte per second.
        wait.as_secs_f64().ceil() as u64
    }

    #[test]
    fn after_a_run_the_feed_is_not_asked_before_that_is_paid_for() {
        let (resources, budget) = (resources(), Budget::new(1 << 20));
        let metrics = metrics(&budget);
        let buffers = budget.buffers(1);
        let runs = Runs { asked: 0, brings: true };
        let mut feed = PacedFeed::new(runs, &resources, &budget, RUN_LEN, &metrics);
        assert!(matches!(Feed::next(&mut feed, &buffers), Ok(Step::Run(_))));
        assert!((600..=TAKEN as u64).contains(&owed(&resources)), "{}", owed(&resources));
        for _ in 0..2 {
            assert!(matches!(Feed::next(&mut feed, &buffers), Ok(Step::NothingYet)));
        }
        assert_eq!(feed.feed.asked, 1);
        resources.rate.as_ref().unwrap().set(None);
        assert!(matches!(Feed::next(&mut feed, &buffers), Ok(Step::Run(_))));
    }

    #[test]
    fn what_is_no_run_costs_nothing() {
        let (resources, budget) = (resources(), Budget::new(1 << 20));
        let metrics = metrics(&budget);
        let runs = Runs { asked: 0, brings: false };
        let mut feed = PacedFeed::new(runs, &resources, &budget, RUN_LEN, &metrics);
        for asked in 1..100 {
            assert!(matches!(Feed::next(&mut feed, &budget.buffers(1)), Ok(Step::NothingYet)));
            assert_eq!((feed.feed.asked, owed(&resources)), (asked, 0));
        }
    }

    /// Two segments are in flight; the frames of the first became shorter than they might have, those of the other did not.
    #[test]
    fn a_segment_is_charged_for_what_its_frames_became() {
        let (resources, budget) = (resources(), Budget::new(1 << 20));
        let metrics = metrics(&budget);
        let runs = Runs { asked: 0, brings: false };
        let mut feed = PacedFeed::new(runs, &resources, &budget, RUN_LEN, &metrics);
        resources.rate.as_ref().unwrap().settle(0, 8000);
        feed.taken.extend([5000, 3000]);
        feed.settle_segment(1000);
        assert!((3900..=4000).contains(&owed(&resources)), "{}", owed(&resources));
        feed.settle_segment(3000);
        assert!((3900..=4000).contains(&owed(&resources)), "{}", owed(&resources));
    }
}
