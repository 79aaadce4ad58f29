//! A feed is told that its stream is over: once, when no job reads any more, and while its memory is still reserved.
//! So what it holds beside runs goes back to nobody before it is given up.

use std::sync::Arc;

use frame_worker::{Closing, SegmentIndex};
use segment_worker::{Budget, Buffers, Feed, Step, StreamEnd};

use crate::support::*;

/// A run on its way in and out.
const MINIMUM: usize = 2 * RUN_LEN;

/// Looks around when it is stopped.
struct Stopped<'a> {
    feed: OpenFeed<'a>,
    wire: Arc<Wire>,
    budget: Budget,
    /// For each stop: whether its minimum was still reserved, and whether a job still had its input.
    stops: Vec<(bool, bool)>,
}

impl Feed for Stopped<'_> {
    type Error = FeedFailed;

    fn next(&mut self, buffers: &Buffers) -> Result<Step<Closing, ()>, FeedFailed> {
        self.feed.next(buffers)
    }

    fn check_closing(&mut self, segment: SegmentIndex, closing: &Closing) -> Result<(), FeedFailed> {
        self.feed.check_closing(segment, closing)
    }

    fn end(&mut self) -> Result<StreamEnd, FeedFailed> {
        self.feed.end()
    }

    fn stop(&mut self) {
        let beyond = self.budget.total() - MINIMUM + 1;
        let is_reserved = self.budget.try_borrow(beyond).is_none();
        // One is the test's, one the feed's.
        self.stops.push((is_reserved, Arc::strong_count(&self.wire) > 2));
    }
}

#[test]
fn a_feed_is_stopped_once_when_all_jobs_have_ended_and_before_its_memory_goes_back() {
    let stream = Stream::sealed_from(&plaintext(5 * SEGMENT + 99));
    let steps = OpenFeed::new(&stream, Supply::PlaceWithEdges).moves.len();
    for workers in all_workers() {
        // With none failing, and with each.
        for failing in 0..=steps {
            let fixture = Fixture::within(&workers, 20 * RUN_LEN);
            let wire = Wire::new(stream.wire.clone());
            let mut feed = OpenFeed::over(&stream, wire.clone(), Supply::PlaceWithEdges);
            if failing < steps {
                feed.moves.insert(failing, Move::Fail);
            }
            let (budget, stops) = (fixture.budget.clone(), Vec::new());
            let mut feed = Stopped { feed, wire, budget, stops };
            let (sink, _) = Probe::new(Kind::Positioned);
            let opened = fixture.open_observed(&mut feed, sink, &mut |_| {});
            assert_eq!(opened.is_ok(), failing == steps, "step {failing}");
            assert_eq!(feed.stops, [(true, false)], "step {failing}");
            assert!(fixture.budget.try_lease(fixture.budget.total()).is_some());
        }
    }
}
