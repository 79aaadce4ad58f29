//! How a stream is to be run, and how far it has come: what callers say and are told.
//! It knows no bytes and no step.

use std::sync::Arc;

use contract::{Checkpoint, Durability};
use frame_worker::{ChainValue, Pool, Shape};

use crate::{Budget, CancelToken, ReleasePolicy, Stages};

/// How a stream is to be run.
pub struct Settings<'a> {
    /// Where its jobs run.
    pub executor: Executor<'a>,
    /// What its buffers are charged to.
    pub budget: &'a Budget,
    /// When plaintext leaves for the sink.
    pub release: ReleasePolicy,
    /// When what has committed is made durable, where the sink offers that: then, unless it is at the finish, on a
    /// thread of the stream's own.
    pub durability: Durability,
    /// Stops it.
    pub cancel: &'a CancelToken,
    /// What its feed asks for.
    pub demand: BufferNeeds,
    /// How the stream is cut.
    pub shape: Shape,
    /// Counts what each stage does.
    pub stages: &'a Arc<Stages>,
    /// Makes the checkpoint of a commit.
    pub checkpoint: &'a dyn Fn(&Committed) -> Checkpoint,
    /// Told of each commit, also of those while the stream is failing, and of what becomes durable between them and at the
    /// end; on the calling thread.
    pub observe: &'a mut dyn FnMut(&Committed),
}

/// Where jobs run.
#[derive(Clone, Copy)]
pub enum Executor<'a> {
    /// On a pool. A caller that is one of its threads runs its stream by itself.
    Pool(&'a Pool),
    /// On a pool of the stream's own, and on the calling thread where it would wait for a result while a job of the stream
    /// waits for a thread. So it sleeps and is woken less often.
    PoolAndCaller(&'a Pool),
    /// On the calling thread: for streams of one run.
    Inline,
}

impl<'a> Executor<'a> {
    pub(crate) fn pool(self) -> Option<&'a Pool> {
        match self {
            Executor::Pool(pool) | Executor::PoolAndCaller(pool) => Some(pool),
            Executor::Inline => None,
        }
    }

    /// How many runs are out at once.
    pub(crate) fn runs_at_once(self) -> usize {
        let threads = match self {
            Executor::Pool(pool) => pool.threads(),
            Executor::PoolAndCaller(pool) => pool.threads() + 1,
            Executor::Inline => return 1,
        };
        RUNS_PER_THREAD * threads + RUNS_IN_RESERVE
    }
}

/// What a feed asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BufferNeeds {
    /// The most bytes that a run brings in, or that come out of it.
    pub run_len: usize,
    /// The most runs of a segment.
    pub runs_per_segment: usize,
    /// Bytes that it takes beside runs, however many are in flight, for the stream's whole life: contexts of compression, what is
    /// fetched ahead at least.
    pub fixed_len: usize,
}

/// How far a stream has committed: what an observer is told, and where a stream goes on.
///
/// As a start it is the caller's claim that everything before it is in the sink and proved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Committed {
    /// Segments.
    pub segments: u64,
    /// Plaintext bytes.
    pub plaintext_len: u64,
    /// Bytes of the sink.
    pub sink_len: u64,
    /// The chain value.
    pub chain: ChainValue,
    /// Bytes of the sink that are known to survive a power cut, at most `sink_len`; none before publish for a sink that
    /// offers no more. A start says what an earlier attempt made durable.
    pub durable_len: u64,
}

impl Committed {
    /// The start of a fresh stream; `chain` is the value before its first segment.
    pub fn at_start(chain: ChainValue) -> Committed {
        Committed { segments: 0, plaintext_len: 0, sink_len: 0, chain, durable_len: 0 }
    }
}

/// Runs in flight per thread: one that is worked on, one that waits for the thread.
const RUNS_PER_THREAD: usize = 2;
/// Further runs in flight, so that no thread idles while the orchestrator is busy elsewhere.
const RUNS_IN_RESERVE: usize = 2;
