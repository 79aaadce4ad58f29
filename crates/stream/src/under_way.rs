//! One stream while it runs: what it has done so far, as it is told to whoever collects figures and spans.
//! It decides nothing; without the features `metrics` and `tracing` it only keeps what progress needs.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use frame_worker::SegmentIndex;
use framing::StreamId;
use segment_worker::{Budget, Committed, Stage, StageTotal, Stages};

use crate::telemetry::{self, Figure};

/// What is done to a stream, as figures are told apart by it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Operation {
    /// Restored, verified, or written to whatever sink.
    Open,
    Seal,
    /// What is at hand is compared with what was sealed: kept bytes, and a seed's.
    Prove,
}

impl Operation {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Operation::Open => "open",
            Operation::Seal => "seal",
            Operation::Prove => "prove",
        }
    }
}

/// One stream under way, on the thread that orchestrates it.
pub(crate) struct UnderWay<'a> {
    operation: Operation,
    budget: &'a Budget,
    stages: Arc<Stages>,
    /// Plaintext bytes that were there already, of those that have committed or commit next.
    passed: Cell<u64>,
    /// The segments of those behind the start.
    passed_segments: Cell<u64>,
    /// Segments that have begun and not committed, the oldest first.
    segments: RefCell<VecDeque<StartedSegment>>,
    told: RefCell<Told>,
    span: StreamSpan,
}

/// A segment that has begun.
struct StartedSegment {
    at: Instant,
    _span: SegmentSpan,
}

/// What has been told already.
struct Told {
    committed: Committed,
    passed: u64,
    passed_segments: u64,
    stages: [StageTotal; Stage::ALL.len()],
}

impl<'a> UnderWay<'a> {
    /// A stream that begins at `start`, before which all was there already.
    pub(crate) fn new(
        operation: Operation,
        id: StreamId,
        budget: &'a Budget,
        start: &Committed,
    ) -> UnderWay<'a> {
        let passed = start.plaintext_len;
        let stages = Default::default();
        UnderWay {
            operation,
            budget,
            stages: Arc::default(),
            passed: Cell::new(passed),
            passed_segments: Cell::new(0),
            segments: RefCell::default(),
            told: RefCell::new(Told { committed: *start, passed, passed_segments: 0, stages }),
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
        let begun = StartedSegment { at: Instant::now(), _span: self.span.segment(index) };
        self.segments.borrow_mut().push_back(begun);
    }

    /// A segment has committed, or what had committed has become durable.
    pub(crate) fn committed(&self, so_far: &Committed) {
        let committed = so_far.segments - self.told.borrow().committed.segments;
        let mut segments = self.segments.borrow_mut();
        let begun = (committed as usize).min(segments.len());
        for segment in segments.drain(..begun) {
            let seconds = segment.at.elapsed().as_secs_f64();
            telemetry::record(&telemetry::SEGMENT_SECONDS, self.operation, seconds);
        }
        drop(segments);
        self.tell(so_far);
    }

    /// The stream has ended: what is left is told, and how it went. Gives `outcome` back.
    pub(crate) fn ended<T, E>(&self, outcome: Result<T, E>) -> Result<T, E> {
        let committed = self.told.borrow().committed;
        self.tell(&committed);
        telemetry::count(&telemetry::ROLLED_BACK, self.operation, self.stages.rolled_back_segments());
        telemetry::count_stream(self.operation, if outcome.is_ok() { "complete" } else { "failed" });
        outcome
    }

    fn tell(&self, so_far: &Committed) {
        let (operation, mut told) = (self.operation, self.told.borrow_mut());
        for (stage, before) in Stage::ALL.into_iter().zip(&mut told.stages) {
            let now = self.stages.total(stage);
            if let Some(figure) = bytes_of(stage) {
                telemetry::count(figure, operation, now.bytes - before.bytes);
            }
            telemetry::add_seconds(operation, name_of(stage), (now.time - before.time).as_secs_f64());
            *before = now;
        }
        let (passed, passed_segments) = (self.passed.get(), self.passed_segments.get());
        let reused = passed - told.passed;
        telemetry::count(&telemetry::REUSED, operation, reused);
        // What is passed may be told before its commit is.
        let plaintext_len = (so_far.plaintext_len + told.passed).saturating_sub(passed);
        telemetry::count(
            &telemetry::COMMITTED,
            operation,
            plaintext_len.saturating_sub(told.committed.plaintext_len),
        );
        let segments = (so_far.segments + told.passed_segments).saturating_sub(passed_segments);
        telemetry::count(
            &telemetry::COMMITTED_SEGMENTS,
            operation,
            segments.saturating_sub(told.committed.segments),
        );
        telemetry::count(&telemetry::DURABLE, operation, so_far.durable_len - told.committed.durable_len);
        telemetry::set(&telemetry::IN_FLIGHT, self.budget.used() as f64);
        telemetry::set(&telemetry::LIMIT, self.budget.growth() as f64);
        (told.committed, told.passed, told.passed_segments) = (*so_far, passed, passed_segments);
    }
}

impl Drop for UnderWay<'_> {
    /// Whoever fed the stream has given back its memory by now.
    fn drop(&mut self) {
        telemetry::set(&telemetry::IN_FLIGHT, self.budget.used() as f64);
    }
}

/// The figure of a stage's bytes, if they are counted.
fn bytes_of(stage: Stage) -> Option<&'static Figure> {
    match stage {
        Stage::Read => Some(&telemetry::READ),
        Stage::Work => Some(&telemetry::PROCESSED),
        Stage::Write => Some(&telemetry::WRITTEN),
        Stage::Feed | Stage::Commit | Stage::Sync | Stage::Publish => None,
    }
}

fn name_of(stage: Stage) -> &'static str {
    match stage {
        Stage::Feed => "feed",
        Stage::Read => "read",
        Stage::Work => "process",
        Stage::Write => "write",
        Stage::Commit => "commit",
        Stage::Sync => "sync",
        Stage::Publish => "publish",
    }
}

#[cfg(feature = "tracing")]
mod spans {
    use super::*;

    /// From where a stream begins to where it ends. It is closed when this is dropped.
    pub(super) struct StreamSpan(tracing::Span);

    /// From a segment's first step to its commit. It is closed when this is dropped.
    pub(super) struct SegmentSpan(#[expect(dead_code, reason = "dropped with the segment")] tracing::Span);

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
    use super::*;

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

use spans::{SegmentSpan, StreamSpan};
