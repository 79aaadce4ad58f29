//! A receiver's sink whose work is counted: what arrives, what is written, committed and made durable.
//! It knows no connection, and no byte of what it counts.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use contract::{Checkpoint, CommitError, ReadAt, SinkCapabilities, StreamingSink, SyncTo, WriteAt};
use segment_worker::Stage;

use crate::checkpoint::claim_of;
use crate::stream_metrics::{Operation, name_of};
use crate::telemetry::{self, Metric, StreamOutcome};

/// Reports to the metrics what `sink` does for a receiver, as the operation *receive*. A stream is one from its first segment, or its resume, to
/// its publish, or to where the sink is dropped.
pub struct CountedSink<S> {
    sink: S,
    open: Option<OpenSegment>,
    /// Whether a stream has begun that has not been published.
    is_underway: bool,
    lens: Arc<Lens>,
}

struct OpenSegment {
    begun: Instant,
    len: u64,
}

/// Plaintext bytes from the stream's beginning.
#[derive(Default)]
struct Lens {
    /// Stored by the receiver's thread, loaded by the one that makes durable. Relaxed: it says nothing of any other memory.
    committed: AtomicU64,
    durable: Mutex<u64>,
}

impl<S: StreamingSink> CountedSink<S> {
    /// Before anything is done with `sink`.
    pub fn new(sink: S) -> CountedSink<S> {
        CountedSink { sink, open: None, is_underway: false, lens: Arc::default() }
    }

    fn committed(&self, len: u64, begun: Instant) {
        self.lens.committed.fetch_add(len, Ordering::Relaxed);
        count(Metric::Committed, len);
        count(Metric::CommittedSegments, 1);
        telemetry::record(Metric::SegmentSeconds, Operation::Receive, begun.elapsed().as_secs_f64());
    }
}

impl<S: StreamingSink> StreamingSink for CountedSink<S> {
    fn capabilities(&self) -> SinkCapabilities {
        self.sink.capabilities()
    }

    fn last_commit(&mut self) -> io::Result<Option<Checkpoint>> {
        self.sink.last_commit()
    }

    fn resumable(&self) -> Option<Arc<dyn ReadAt>> {
        self.sink.resumable()
    }

    fn resume_at(&mut self, index: u64, at: u64) -> io::Result<()> {
        self.sink.resume_at(index, at)?;
        self.is_underway = true;
        self.lens.committed.store(at, Ordering::Relaxed);
        *self.lens.durable.lock().unwrap_or_else(PoisonError::into_inner) = at;
        count(Metric::Reused, at);
        Ok(())
    }

    fn confirm_segment(&mut self, index: u64, at: u64, len: u64) -> io::Result<()> {
        self.sink.confirm_segment(index, at, len)
    }

    fn begin_segment(&mut self, index: u64, at: u64) -> io::Result<()> {
        self.is_underway = true;
        self.open = Some(OpenSegment { begun: Instant::now(), len: 0 });
        self.sink.begin_segment(index, at)
    }

    fn write_tentative(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        count(Metric::Read, data.len() as u64);
        time(Stage::Write, || self.sink.write_tentative(at, data))?;
        count(Metric::Written, data.len() as u64);
        if let Some(open) = &mut self.open {
            open.len += data.len() as u64;
        }
        Ok(())
    }

    fn rollback_segment(&mut self) -> io::Result<()> {
        self.sink.rollback_segment()?;
        if self.open.take().is_some() {
            count(Metric::RolledBackSegments, 1);
        }
        Ok(())
    }

    fn commit_segment(&mut self, checkpoint: &Checkpoint) -> Result<(), CommitError> {
        time(Stage::Commit, || self.sink.commit_segment(checkpoint))?;
        if let Some(OpenSegment { begun, len }) = self.open.take() {
            self.committed(len, begun);
        }
        Ok(())
    }

    fn publish(&mut self, plain_len: u64) -> Result<(), CommitError> {
        self.is_underway = true;
        time(Stage::Publish, || self.sink.publish(plain_len))?;
        self.is_underway = false;
        telemetry::count_stream(Operation::Receive, StreamOutcome::Complete);
        Ok(())
    }

    fn discard(&mut self) -> io::Result<()> {
        self.sink.discard()
    }

    /// None: what is written elsewhere than through this would not be counted.
    fn positioned(&self) -> Option<Arc<dyn WriteAt>> {
        None
    }

    fn durability(&self) -> Option<Arc<dyn SyncTo>> {
        let durable = self.sink.durability()?;
        Some(Arc::new(CountedSync { durable, lens: self.lens.clone() }))
    }
}

impl<S> Drop for CountedSink<S> {
    fn drop(&mut self) {
        if self.open.is_some() {
            count(Metric::RolledBackSegments, 1);
        }
        if self.is_underway {
            telemetry::count_stream(Operation::Receive, StreamOutcome::Failed);
        }
    }
}

struct CountedSync {
    durable: Arc<dyn SyncTo>,
    lens: Arc<Lens>,
}

impl SyncTo for CountedSync {
    fn make_durable(&self, checkpoint: &Checkpoint) -> io::Result<()> {
        // What a checkpoint says is its sender's word.
        let len = claim_of(checkpoint).0.min(self.lens.committed.load(Ordering::Relaxed));
        time(Stage::Sync, || self.durable.make_durable(checkpoint))?;
        let mut durable = self.lens.durable.lock().unwrap_or_else(PoisonError::into_inner);
        count(Metric::Durable, len.saturating_sub(*durable));
        *durable = len.max(*durable);
        Ok(())
    }
}

fn count(metric: Metric, by: u64) {
    telemetry::count(metric, Operation::Receive, by);
}

fn time<T>(stage: Stage, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = work();
    telemetry::add_seconds(Operation::Receive, name_of(stage), begun.elapsed().as_secs_f64());
    done
}
