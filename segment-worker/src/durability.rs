//! The one sync thread of a stream: it makes durable what has committed, while the stream goes on.
//! It knows no segment's bytes, takes no credit, and holds no lock while it waits for the disk.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use contract::{Checkpoint, Durability, SyncTo};
use frame_worker::SegmentIndex;

use crate::error::StreamError;
use crate::settings::Committed;
use crate::sync::marks::Marks;
use crate::{CancelToken, Stage, Stages};

/// The sync thread, as its orchestrator sees it. Dropped, it is stopped and waited for.
pub(crate) struct SyncThread {
    marks: Arc<Marks<Mark, SyncFailed>>,
    thread: Option<JoinHandle<()>>,
}

/// The checkpoint of a commit, with the segment that committed.
struct Mark {
    segment: SegmentIndex,
    checkpoint: Checkpoint,
}

/// A sync that failed: the stream's end, whatever else goes well.
#[derive(Debug)]
pub(crate) struct SyncFailed {
    segment: SegmentIndex,
    source: io::Error,
}

impl SyncThread {
    /// Starts a thread where there is something for it to do: the sink makes commits durable as a step of its own, and
    /// that is wanted before the finish.
    ///
    /// # Errors
    /// The operating system gave no thread.
    pub(crate) fn start(
        sink: Option<Arc<dyn SyncTo>>,
        durability: Durability,
        start: &Committed,
        cancel: &CancelToken,
        stages: &Arc<Stages>,
    ) -> io::Result<Option<SyncThread>> {
        let (sink, group, interval) = match (sink, durability) {
            (None, _) | (Some(_), Durability::AtFinish) => return Ok(None),
            (Some(sink), Durability::Each) => (sink, 0, Duration::MAX),
            (Some(sink), Durability::Group { bytes, interval }) => (sink, bytes, interval),
        };
        let marks = Arc::new(Marks::new(group, start.durable_len));
        let (theirs, cancel, stages) = (marks.clone(), cancel.clone(), stages.clone());
        let thread = Builder::new()
            .name("cofferdam-sync".into())
            .spawn(move || sync_until_over(&theirs, &*sink, interval, &cancel, &stages))?;
        Ok(Some(SyncThread { marks, thread: Some(thread) }))
    }

    /// `committed` has committed under `checkpoint`. Waits where the policy says so; gives the bytes that are durable.
    pub(crate) fn post(&self, committed: &Committed, checkpoint: Checkpoint) -> Result<u64, SyncFailed> {
        let segment = SegmentIndex(committed.segments - 1);
        self.marks.post(committed.sink_len, Mark { segment, checkpoint })
    }

    /// The bytes that are durable.
    pub(crate) fn durable(&self) -> Result<u64, SyncFailed> {
        self.marks.look()
    }

    /// Starts no further sync, and waits for a running one. Returns the bytes that are durable.
    pub(crate) fn stop(mut self) -> Result<u64, SyncFailed> {
        self.join();
        self.marks.look()
    }

    fn join(&mut self) {
        self.marks.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the sync thread catches what panics in it");
        }
    }
}

impl Drop for SyncThread {
    fn drop(&mut self) {
        self.join();
    }
}

impl<E> From<SyncFailed> for StreamError<E> {
    fn from(SyncFailed { segment, source }: SyncFailed) -> StreamError<E> {
        StreamError::Sink { segment, source }
    }
}

/// What the thread does. A group is due `interval` after the sync before it began, full or not, also while no commit comes.
fn sync_until_over(
    marks: &Marks<Mark, SyncFailed>,
    sink: &dyn SyncTo,
    interval: Duration,
    cancel: &CancelToken,
    stages: &Stages,
) {
    let mut last = Instant::now();
    while let Some(checkpoint) = marks.take(|| interval.saturating_sub(last.elapsed())) {
        if cancel.is_cancelled() {
            break;
        }
        last = Instant::now();
        // The sink is not called again after a panic, so that nobody sees what it left behind.
        let sync = || stages.time(Stage::Sync, 0, || sink.make_durable(&checkpoint.checkpoint));
        let synced = catch_unwind(AssertUnwindSafe(sync))
            .unwrap_or_else(|_| Err(io::Error::other("the sink panicked while it made its commits durable")));
        marks.settle(synced.map_err(|source| SyncFailed { segment: checkpoint.segment, source }));
    }
    // The orchestrator must not wait for a mark that nobody takes.
    marks.stop();
}

#[cfg(test)]
mod tests {
    use frame_worker::ChainValue;

    use super::*;

    struct Untouched;

    impl SyncTo for Untouched {
        fn make_durable(&self, _: &Checkpoint) -> io::Result<()> {
            unreachable!("nothing was posted")
        }
    }

    #[test]
    fn there_is_a_thread_only_where_there_is_something_to_sync_before_the_finish() {
        let start = Committed::at_start(ChainValue([0; 32]));
        let group = Durability::default();
        let table = [
            (false, Durability::Each, false),
            (false, group, false),
            (false, Durability::AtFinish, false),
            (true, Durability::AtFinish, false),
            (true, Durability::Each, true),
            (true, group, true),
        ];
        for (offered, durability, started) in table {
            let sink = offered.then(|| Arc::new(Untouched) as Arc<dyn SyncTo>);
            let thread =
                SyncThread::start(sink, durability, &start, &CancelToken::new(), &Arc::default()).unwrap();
            assert_eq!(thread.is_some(), started, "{durability:?}, offered: {offered}");
        }
    }
}
