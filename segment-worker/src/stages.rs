//! What each stage of a stream has done: bytes, and the time of all threads that were at it.
//! It counts alone; whoever shows it words it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Where a stream's time goes, in the order in which a run passes through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// The feed is asked for the next step: it reads a pipe, waits for bytes from afar, and keeps to the rate.
    Feed,
    /// Jobs read runs, several at once; of a far source, from what has arrived. The bytes are those of all runs, also where the feed
    /// brings them.
    Read,
    /// Jobs open, seal or prove runs. The bytes are plaintext.
    Process,
    /// Bytes go to the sink, at their place or in order.
    Write,
    /// The sink commits a segment. Of this stage and the next ones no bytes are counted.
    Commit,
    /// What has committed is made durable, on a thread of its own.
    Sync,
    /// The sink publishes.
    Publish,
}

impl Stage {
    /// All of them, in order.
    pub const ALL: [Stage; 7] =
        [Stage::Feed, Stage::Read, Stage::Process, Stage::Write, Stage::Commit, Stage::Sync, Stage::Publish];
}

/// What one stage has done so far.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct StageTotal {
    /// Bytes that went well.
    pub bytes: u64,
    /// The time that threads were at it, added up; where it failed, too, unless it panicked.
    pub time: Duration,
}

/// The counts of one stream while they grow. Each is read alone, so no order is needed between them.
#[derive(Default, Debug)]
pub struct Stages {
    counters: [Counter; Stage::ALL.len()],
    rolled_back: AtomicU64,
}

#[derive(Default, Debug)]
struct Counter {
    bytes: AtomicU64,
    nanos: AtomicU64,
}

impl Stages {
    /// What `stage` has done so far.
    pub fn total(&self, stage: Stage) -> StageTotal {
        let counter = &self.counters[stage as usize];
        StageTotal {
            bytes: counter.bytes.load(Ordering::Relaxed),
            time: Duration::from_nanos(counter.nanos.load(Ordering::Relaxed)),
        }
    }

    /// Segments that had begun and have not committed when their stream ended: nothing of them counts.
    pub fn rolled_back_segments(&self) -> u64 {
        self.rolled_back.load(Ordering::Relaxed)
    }

    /// Does `work`, which is `bytes` of `stage` if it goes well.
    pub(crate) fn time<T, E>(
        &self,
        stage: Stage,
        bytes: usize,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let begun = Instant::now();
        let done = work();
        let counter = &self.counters[stage as usize];
        // Half a millennium fits.
        counter.nanos.fetch_add(begun.elapsed().as_nanos() as u64, Ordering::Relaxed);
        if done.is_ok() {
            counter.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        done
    }

    /// `bytes` of `stage` that took no time of its own.
    pub(crate) fn add(&self, stage: Stage, bytes: usize) {
        self.counters[stage as usize].bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn rolled_back(&self, segments: u64) {
        self.rolled_back.fetch_add(segments, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_has_its_own_count_and_what_failed_brought_no_bytes() {
        let stages = Stages::default();
        for (number, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(stages.time(stage, number + 1, || Ok::<_, ()>(number)), Ok(number));
            assert_eq!(stages.time(stage, 1000, || Err::<(), _>(number)), Err(number));
            stages.add(stage, 100);
        }
        let bytes = Stage::ALL.map(|stage| stages.total(stage).bytes);
        assert_eq!(bytes, [101, 102, 103, 104, 105, 106, 107]);
    }
}
