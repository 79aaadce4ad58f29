//! A pool, a budget and the rest of the settings, and how a stream is run in them.
//! It knows no feed and no sink.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};
use std::{panic, thread};

use contract::{Checkpoint, Durability, StreamingSink};
use frame_worker::Pool;
use segment_worker::{
    Budget, BufferNeeds, CancelToken, Committed, Executor, Feed, Opened, ProofFeed, ProvedSegments,
    ReleasePolicy, Sealed, Settings, Stages, StreamError,
};

use super::feed::{FeedFailed, OpenFeed, SealFeed};
use super::probe::{Call, Kind, Probe};
use super::stream::{RUN_LEN, RUNS_PER_SEGMENT, shape, start};

/// All that a stream is run with.
#[derive(Clone)]
pub(crate) struct Fixture {
    pub(crate) workers: Workers,
    pub(crate) budget: Budget,
    pub(crate) release: ReleasePolicy,
    pub(crate) durability: Durability,
    pub(crate) cancel: CancelToken,
    pub(crate) start: Committed,
    pub(crate) stages: Arc<Stages>,
}

/// Where its jobs run.
#[derive(Clone)]
pub(crate) enum Workers {
    Inline,
    Pool(Pool),
    PoolAndCaller(Pool),
}

impl Workers {
    pub(crate) fn pool(threads: usize) -> Workers {
        Workers::Pool(pool_of(threads))
    }

    pub(crate) fn pool_and_caller(threads: usize) -> Workers {
        Workers::PoolAndCaller(pool_of(threads))
    }

    /// How many jobs may run at once.
    pub(crate) fn threads(&self) -> usize {
        match self {
            Workers::Inline => 1,
            Workers::Pool(pool) => pool.threads(),
            Workers::PoolAndCaller(pool) => pool.threads() + 1,
        }
    }

    pub(crate) fn spawn(&self, job: impl FnOnce() + Send + 'static) {
        match self {
            Workers::Inline => job(),
            Workers::Pool(pool) | Workers::PoolAndCaller(pool) => pool.spawn(job),
        }
    }
}

/// The calling thread, pools of 1, 2, 3 and 8, and pools of 1 and 3 beside the calling thread.
pub(crate) fn all_workers() -> Vec<Workers> {
    let pools = [1, 2, 3, 8].map(Workers::pool);
    pools.into_iter().chain([1, 3].map(Workers::pool_and_caller)).chain([Workers::Inline]).collect()
}

fn pool_of(threads: usize) -> Pool {
    Pool::new(NonZeroUsize::new(threads).unwrap()).unwrap()
}

impl Fixture {
    /// With more budget than any stream here wants.
    pub(crate) fn new(workers: &Workers) -> Fixture {
        Fixture::within(workers, 1 << 30)
    }

    pub(crate) fn within(workers: &Workers, budget: usize) -> Fixture {
        Fixture {
            workers: workers.clone(),
            budget: Budget::new(budget),
            release: ReleasePolicy::AtOnce,
            durability: Durability::AtFinish,
            cancel: CancelToken::new(),
            start: Committed::at_start(start()),
            stages: Arc::default(),
        }
    }

    /// The same, for a stream that goes on at `start`.
    pub(crate) fn going_on_at(mut self, start: Committed) -> Fixture {
        self.start = start;
        self
    }

    pub(crate) fn releasing(mut self, release: ReleasePolicy) -> Fixture {
        self.release = release;
        self
    }

    pub(crate) fn open(
        &self,
        feed: &mut OpenFeed<'_>,
        sink: impl StreamingSink,
    ) -> Result<Opened, StreamError<FeedFailed>> {
        self.open_observed(feed, sink, &mut |_| {})
    }

    pub(crate) fn open_observed<F: Feed>(
        &self,
        feed: &mut F,
        sink: impl StreamingSink,
        observe: &mut dyn FnMut(&Committed),
    ) -> Result<Opened, StreamError<F::Error>> {
        segment_worker::open(feed, sink, self.start, self.settings(observe))
    }

    pub(crate) fn open_part(
        &self,
        feed: &mut OpenFeed<'_>,
        sink: impl StreamingSink,
    ) -> Result<Opened, StreamError<FeedFailed>> {
        segment_worker::open_part(feed, sink, self.start, self.settings(&mut |_| {}))
    }

    pub(crate) fn prove<F: ProofFeed>(
        &self,
        feed: &mut F,
        sink: impl StreamingSink,
        proved: &mut ProvedSegments,
    ) -> Result<(), StreamError<F::Error>> {
        segment_worker::prove(feed, sink, proved, self.settings(&mut |_| {}))
    }

    pub(crate) fn seal(
        &self,
        feed: &mut SealFeed<'_>,
        sink: impl StreamingSink,
    ) -> Result<Sealed, StreamError<FeedFailed>> {
        self.seal_observed(feed, sink, &mut |_| {})
    }

    pub(crate) fn seal_observed(
        &self,
        feed: &mut SealFeed<'_>,
        sink: impl StreamingSink,
        observe: &mut dyn FnMut(&Committed),
    ) -> Result<Sealed, StreamError<FeedFailed>> {
        segment_worker::seal(feed, sink, self.start, self.settings(observe))
    }

    fn settings<'a>(&'a self, observe: &'a mut dyn FnMut(&Committed)) -> Settings<'a> {
        Settings {
            executor: match &self.workers {
                Workers::Inline => Executor::Inline,
                Workers::Pool(pool) => Executor::Pool(pool),
                Workers::PoolAndCaller(pool) => Executor::PoolAndCaller(pool),
            },
            budget: &self.budget,
            release: self.release,
            durability: self.durability,
            cancel: &self.cancel,
            demand: BufferNeeds { run_len: RUN_LEN, runs_per_segment: RUNS_PER_SEGMENT, fixed_len: 0 },
            shape: shape(),
            stages: &self.stages,
            checkpoint: &checkpoint,
            observe,
        }
    }
}

/// Runs over every kind of sink and every number of threads, and gives the error with how many segments committed.
pub(crate) fn fails_everywhere(
    feed: impl Fn() -> OpenFeed<'static>,
    judge: impl Fn(StreamError<FeedFailed>, u64),
) {
    for workers in all_workers() {
        for kind in Kind::ALL {
            let (sink, report) = Probe::new(kind);
            let mut reported = 0;
            let error = Fixture::new(&workers)
                .open_observed(&mut feed(), sink, &mut |at| reported = at.segments)
                .unwrap_err();
            report.assert_unpublished();
            assert_eq!(reported, report.commits(), "every commit is reported, also while the stream fails");
            assert_eq!(report.count(Call::Publish), 0);
            judge(error, report.commits());
        }
    }
}

/// Runs `what` on a thread of its own, and fails if it does not return: not even a busy machine takes ten minutes.
pub(crate) fn unless_it_hangs<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    let runs = thread::spawn(move || {
        let _ = sender.send(what());
    });
    match receiver.recv_timeout(Duration::from_secs(600)) {
        Ok(value) => value,
        Err(RecvTimeoutError::Timeout) => panic!("it hangs"),
        Err(RecvTimeoutError::Disconnected) => {
            panic::resume_unwind(runs.join().expect_err("it ended without a result"))
        }
    }
}

/// Gives way to others so often; less often where that takes longer than on any machine that has nothing else to do.
pub(crate) fn give_way(times: usize) {
    let begun = Instant::now();
    (0..times).take_while(|_| begun.elapsed() < GIVING_WAY_MAX).for_each(|_| thread::yield_now());
}

const GIVING_WAY_MAX: Duration = Duration::from_millis(20);

/// A checkpoint that says how many segments there are.
fn checkpoint(committed: &Committed) -> Checkpoint {
    let mut bytes = [0; Checkpoint::LEN];
    bytes[..8].copy_from_slice(&committed.segments.to_le_bytes());
    Checkpoint::from_bytes(bytes)
}
