//! What one stream reports while it runs: metrics and spans, and for its progress, which bytes were there already.
//! It counts nothing but time; the engine and the budget have the figures.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use frame_worker::SegmentIndex;
use framing::StreamId;
use segment_worker::{Budget, Committed, Stage, StageTotal, Stages};

use self::spans::{SegmentSpan, StreamSpan};
use crate::telemetry::{self, Metric, StreamOutcome};

/// What is done to a stream. Metrics carry it as a label.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Operation {
    /// Restored, verified, or written to any other sink.
    Open,
    Seal,
    /// Bytes at hand are compared with what was sealed: kept ones, and a seed's.
    Prove,
    /// Read at single places, or segment by segment.
    Read,
    /// All segments of a damaged stream are looked at, or salvaged.
    Survey,
    /// Plaintext comes from a sender, who has opened it.
    #[cfg(feature = "peer")]
    Receive,
}

impl Operation {
    #[cfg(any(feature = "metrics", feature = "tracing"))]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Operation::Open => "open",
            Operation::Seal => "seal",
            Operation::Prove => "prove",
            Operation::Read => "read",
            Operation::Survey => "survey",
            #[cfg(feature = "peer")]
            Operation::Receive => "receive",
        }
    }

    /// Reports what a thread has done in a stage since `begun`, where no pipeline counts it.
    pub(crate) fn count(self, stage: Stage, bytes: usize, begun: Instant) {
        if let Some(metric) = bytes_of(stage) {
            telemetry::count(metric, self, bytes as u64);
        }
        telemetry::add_seconds(self, name_of(stage), begun.elapsed().as_secs_f64());
    }
}

/// One running stream, on the thread that orchestrates it.
pub(crate) struct StreamMetrics<'a> {
    operation: Operation,
    budget: &'a Budget,
    stages: Arc<Stages>,
    /// Plaintext bytes that were there already, of those that have committed or commit next.
    passed: Cell<u64>,
    /// The segments of those, without the ones before the start.
    passed_segments: Cell<u64>,
    /// Segments that have begun and not committed, the oldest first.
    in_flight: RefCell<VecDeque<StartedSegment>>,
    reported: RefCell<Reported>,
    span: StreamSpan,
}

struct StartedSegment {
    at: Instant,
    _span: SegmentSpan,
}

/// What has been reported already.
struct Reported {
    at: Instant,
    committed: Committed,
    passed: u64,
    passed_segments: u64,
    stages: [StageTotal; Stage::ALL.len()],
}

impl<'a> StreamMetrics<'a> {
    /// A stream that begins at `start`, before which everything was there already. In all, `reused` plaintext bytes need not be made
    /// anew, there or behind it.
    pub(crate) fn new(
        operation: Operation,
        id: StreamId,
        budget: &'a Budget,
        start: &Committed,
        reused: u64,
    ) -> StreamMetrics<'a> {
        telemetry::count(Metric::Reused, operation, reused);
        let reported = Reported {
            at: Instant::now(),
            committed: *start,
            passed: start.plaintext_len,
            passed_segments: 0,
            stages: Default::default(),
        };
        StreamMetrics {
            operation,
            budget,
            stages: Arc::default(),
            passed: Cell::new(start.plaintext_len),
            passed_segments: Cell::new(0),
            in_flight: RefCell::default(),
            reported: RefCell::new(reported),
            span: StreamSpan::new(operation, id),
        }
    }

    pub(crate) fn stages(&self) -> &Arc<Stages> {
        &self.stages
    }

    /// Plaintext bytes that were there already, of those that have committed or commit next.
    pub(crate) fn passed(&self) -> u64 {
        self.passed.get()
    }

    /// The segment that commits next, `len` plaintext bytes, was there already.
    pub(crate) fn pass(&self, len: u64) {
        self.passed.set(self.passed.get() + len);
        self.passed_segments.set(self.passed_segments.get() + 1);
    }

    pub(crate) fn begin_segment(&self, index: SegmentIndex) {
        let started = StartedSegment { at: Instant::now(), _span: self.span.segment(index) };
        self.in_flight.borrow_mut().push_back(started);
    }

    /// The feed is asked again. Where no segment commits for long, what has been done meanwhile is reported here.
    pub(crate) fn step(&self) {
        let (at, committed) = {
            let reported = self.reported.borrow();
            (reported.at, reported.committed)
        };
        if at.elapsed() >= INTERVAL {
            self.report(&committed);
        }
    }

    /// A segment has committed, or what had committed has become durable.
    pub(crate) fn committed(&self, so_far: &Committed) {
        let committed = so_far.segments - self.reported.borrow().committed.segments;
        for _ in 0..committed {
            let Some(segment) = self.in_flight.borrow_mut().pop_front() else { break };
            let seconds = segment.at.elapsed().as_secs_f64();
            telemetry::record(Metric::SegmentSeconds, self.operation, seconds);
        }
        self.report(so_far);
    }

    /// The stream has ended: the rest is reported, and how it went. Gives `outcome` back.
    pub(crate) fn ended<T, E>(&self, outcome: Result<T, E>) -> Result<T, E> {
        self.ended_as(outcome, |_| StreamOutcome::Complete)
    }

    /// The same, of one whose end is `of` what has come of it.
    pub(crate) fn ended_as<T, E>(
        &self,
        outcome: Result<T, E>,
        of: impl FnOnce(&T) -> StreamOutcome,
    ) -> Result<T, E> {
        let committed = self.reported.borrow().committed;
        self.report(&committed);
        // What is proved ends at the first segment that is not what it should be: there is nothing to roll back.
        if self.operation != Operation::Prove {
            let rolled_back = self.stages.rolled_back_segments();
            telemetry::count(Metric::RolledBackSegments, self.operation, rolled_back);
        }
        telemetry::count_stream(self.operation, outcome.as_ref().map_or(StreamOutcome::Failed, of));
        outcome
    }

    fn report(&self, so_far: &Committed) {
        let (operation, mut reported) = (self.operation, self.reported.borrow_mut());
        for (stage, before) in Stage::ALL.into_iter().zip(&mut reported.stages) {
            let now = self.stages.total(stage);
            if let Some(metric) = bytes_of(stage) {
                telemetry::count(metric, operation, now.bytes - before.bytes);
            }
            telemetry::add_seconds(operation, name_of(stage), (now.time - before.time).as_secs_f64());
            *before = now;
        }
        // A segment is passed and commits in one step, between two reports.
        let (passed, passed_segments) = (self.passed.get(), self.passed_segments.get());
        let bytes = so_far.plaintext_len - reported.committed.plaintext_len;
        let fresh = bytes.saturating_sub(passed - reported.passed);
        telemetry::count(Metric::Committed, operation, fresh);
        // Of those that are proved, each that was compared counts as committed to the engine, whatever came of it.
        if operation != Operation::Prove {
            let segments = so_far.segments - reported.committed.segments;
            let fresh = segments.saturating_sub(passed_segments - reported.passed_segments);
            telemetry::count(Metric::CommittedSegments, operation, fresh);
        }
        let durable = so_far.durable_len - reported.committed.durable_len;
        telemetry::count(Metric::Durable, operation, durable);
        telemetry::set(Metric::InFlight, self.budget.used() as f64);
        telemetry::set(Metric::Limit, self.budget.growth_now() as f64);
        telemetry::set(Metric::Pressure, self.budget.pressure() as u8 as f64);
        (reported.at, reported.committed) = (Instant::now(), *so_far);
        (reported.passed, reported.passed_segments) = (passed, passed_segments);
    }
}

impl Drop for StreamMetrics<'_> {
    /// The feed has given back its memory by now.
    fn drop(&mut self) {
        telemetry::set(Metric::InFlight, self.budget.used() as f64);
    }
}

/// The metric of a stage's bytes, if they are counted.
fn bytes_of(stage: Stage) -> Option<Metric> {
    match stage {
        Stage::Read => Some(Metric::Read),
        Stage::Process => Some(Metric::Processed),
        Stage::Write => Some(Metric::Written),
        Stage::Feed | Stage::Commit | Stage::Sync | Stage::Publish => None,
    }
}

pub(crate) fn name_of(stage: Stage) -> &'static str {
    match stage {
        Stage::Feed => "feed",
        Stage::Read => "read",
        Stage::Process => "process",
        Stage::Write => "write",
        Stage::Commit => "commit",
        Stage::Sync => "sync",
        Stage::Publish => "publish",
    }
}

/// How long at most nothing is reported of a stream whose feed is asked.
const INTERVAL: Duration = Duration::from_secs(1);

#[cfg(feature = "tracing")]
mod spans {
    use super::{Operation, SegmentIndex, StreamId};

    /// From a stream's beginning to its end, where it is dropped.
    pub(super) struct StreamSpan(tracing::Span);

    /// From a segment's first step to its commit, where it is dropped.
    pub(super) struct SegmentSpan(#[expect(dead_code, reason = "closed by being dropped")] tracing::Span);

    impl StreamSpan {
        pub(super) fn new(operation: Operation, id: StreamId) -> StreamSpan {
            StreamSpan(tracing::info_span!("stream", operation = operation.name(), stream_id = %id))
        }

        pub(super) fn segment(&self, index: SegmentIndex) -> SegmentSpan {
            SegmentSpan(tracing::debug_span!(parent: &self.0, "segment", index = index.0))
        }
    }
}

#[cfg(not(feature = "tracing"))]
mod spans {
    use super::{Operation, SegmentIndex, StreamId};

    pub(super) struct StreamSpan;
    pub(super) struct SegmentSpan;

    impl StreamSpan {
        pub(super) fn new(_: Operation, _: StreamId) -> StreamSpan {
            StreamSpan
        }

        pub(super) fn segment(&self, _: SegmentIndex) -> SegmentSpan {
            SegmentSpan
        }
    }
}
