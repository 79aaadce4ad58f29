//! What a stream may use: threads, memory, and who may stop and watch it.
//! It knows no format and no key; Sealer and Opener share it.

use std::fmt;
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use cofferdam_io::ReadAt;
use frame_worker::{Backend, FrameWorker, Pool, Shape, check_threads};
#[cfg(feature = "foreign")]
use framing::limits::FRAME_LEN_MAX;
use segment_worker::{Budget, BufferNeeds, CancelToken, Edges, Executor};

use crate::envelope::Envelope;
use crate::feed::PATIENCE;
use crate::fetch_memory::FetchNeeds;
use crate::index::Walk;
use crate::rate_limit::RateLimit;
use crate::stop::Stop;
use crate::system_memory::{MEMORY_DEFAULT, SystemMemory};
use crate::{Error, Observer};

/// What a stream may use, and who may stop and watch it.
#[derive(Clone, Default)]
pub struct Resources {
    /// Threads of a pool of its own; as many as the machine has where nothing is said.
    pub threads: Option<NonZeroUsize>,
    /// A pool that other streams may share.
    pub pool: Option<Pool>,
    /// Memory that other streams may share.
    pub budget: Option<Budget>,
    /// Stops the stream.
    pub cancel: CancelToken,
    /// Is told how the stream gets on.
    pub observer: Option<Arc<dyn Observer>>,
    /// Which implementation of the ciphers.
    pub backend: Backend,
    /// How fast sealed streams are read, and written when sealing; as fast as it goes where nothing is said.
    pub rate: Option<RateLimit>,
    /// Where the system says how short memory is.
    pub system: SystemMemory,
}

impl fmt::Debug for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resources")
            .field("threads", &self.threads)
            .field("pool", &self.pool)
            .field("budget", &self.budget)
            .field("cancel", &self.cancel)
            .field("observer", &self.observer.is_some())
            .field("backend", &self.backend)
            .field("rate", &self.rate.as_ref().map(RateLimit::get))
            .field("system", &self.system)
            .finish()
    }
}

/// How a stream of some shape is cut into runs under some budget.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunPlan {
    pub(crate) frames_per_run: u32,
    /// How many threads there are to be kept busy.
    pub(crate) threads: usize,
    pub(crate) demand: BufferNeeds,
    /// What is fetched ahead, of a source from afar.
    pub(crate) fetch: FetchNeeds,
}

impl Resources {
    /// The pool given, or one made now; none for a stream that is one run. A caller that is a thread of the pool is
    /// known by it, whatever the length: what that thread waits for may need it.
    pub(crate) fn workers_for(
        &self,
        plan: RunPlan,
        shape: Shape,
        plaintext_len: Option<u64>,
    ) -> Result<Workers, Error> {
        self.workers(plan.is_one_run(shape, plaintext_len))
    }

    /// The same, for a stream of which it is known whether it is one run.
    pub(crate) fn workers(&self, is_one_run: bool) -> Result<Workers, Error> {
        match &self.pool {
            Some(pool) if pool.is_current() => Ok(Workers::Pool(pool.clone())),
            _ if is_one_run => Ok(Workers::Inline),
            Some(pool) => Ok(Workers::Pool(pool.clone())),
            None => Workers::of_its_own(self.threads()),
        }
    }

    /// What was asked for and cannot be, before anything is read or made.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.threads.map_or(Ok(()), |threads| check_threads(threads).map_err(Error::pool))
    }

    /// For the reads that come before the pipeline runs.
    pub(crate) fn check_cancelled(&self) -> Result<(), Error> {
        self.stop().check()
    }

    /// When whoever waits for bytes of the stream waits no more.
    pub(crate) fn stop(&self) -> Stop<'_> {
        Stop::on(&self.cancel)
    }

    /// Tells the observer that a file is about to be made beside the target.
    pub fn tell_staging(&self) {
        if let Some(observer) = &self.observer {
            observer.staging();
        }
    }

    /// Waits until bytes of a sealed stream may be read, `len` about, and takes them of the rate.
    pub(crate) fn take_of_rate(&self, len: u64, stop: Stop<'_>) -> Result<(), Error> {
        let Some(rate) = &self.rate else { return Ok(()) };
        while let Err(wait) = rate.try_take(Instant::now(), len) {
            stop.check()?;
            thread::sleep(wait.min(PATIENCE));
        }
        Ok(())
    }

    /// The same, where nothing is left to wait for.
    pub(crate) fn try_take_of_rate(&self, len: u64) -> bool {
        self.rate.as_ref().is_none_or(|rate| rate.try_take(Instant::now(), len).is_ok())
    }

    /// Of `expected` bytes that were taken of the rate `taken` were needed.
    pub(crate) fn settle_rate(&self, expected: u64, taken: u64) {
        if let Some(rate) = &self.rate {
            rate.settle(expected, taken);
        }
    }

    /// Has `budget` follow how short memory is, and tells the observer if that has changed.
    pub(crate) fn watch_memory(&self, budget: &Budget) {
        let look = |before| self.system.pressure(before);
        let changed = budget.adjust_growth(Instant::now(), look);
        let Some(pressure) = changed else { return };
        if let Some(observer) = &self.observer {
            observer.memory_pressure(pressure);
        }
    }

    /// Bytes of memory that there are for a stream and its sink.
    pub fn memory_len(&self) -> usize {
        self.budget().total()
    }

    pub(crate) fn budget(&self) -> Budget {
        self.budget.clone().unwrap_or_else(|| self.system.budget(MEMORY_DEFAULT))
    }

    /// The budget of a stream whose segments are read from `source`: where that is far, more is worth having if nobody says how much.
    pub(crate) fn budget_from(&self, source: &dyn ReadAt) -> Budget {
        let most = if source.fetch().is_some() { MEMORY_DEFAULT_FAR } else { MEMORY_DEFAULT };
        self.budget.clone().unwrap_or_else(|| self.system.budget(most))
    }

    /// These, with the budget of a stream that is read from `source`: what is taken of it in one place is missing in the other, also where
    /// nobody has given one.
    pub(crate) fn on_one_budget(&self, source: &dyn ReadAt) -> Resources {
        Resources { budget: Some(self.budget_from(source)), ..self.clone() }
    }

    /// The same, for who takes a share of a budget once: where `source` is near, nothing is taken beside that.
    pub(crate) fn of_reader(&self, source: &dyn ReadAt) -> Resources {
        source.fetch().map_or_else(|| self.clone(), |_| self.on_one_budget(source))
    }

    /// Runs as long as pays, shorter where the budget would not keep every thread busy with them, and none longer than
    /// the whole stream where its `plaintext_len` is known.
    pub(crate) fn plan(
        &self,
        envelope: &Envelope,
        budget: &Budget,
        plaintext_len: Option<u64>,
        direction: Direction,
    ) -> Result<RunPlan, Error> {
        let contexts_len = self.contexts_len(envelope, direction)?;
        Ok(self.runs(envelope.shape(), budget, plaintext_len, contexts_len))
    }

    /// As [`Resources::plan`], of a stream whose segments jobs read at offsets along `walk`, each run with the edges of its segment:
    /// `plaintext_len` bytes of it. Where the source is far, that is read of what has been fetched ahead, in steps of a run, or of an
    /// index page.
    pub(crate) fn plan_along(
        &self,
        walk: &Walk<'_>,
        budget: &Budget,
        plaintext_len: Option<u64>,
    ) -> Result<RunPlan, Error> {
        let envelope = walk.envelope;
        let (shape, contexts_len) = (envelope.shape(), self.contexts_len(envelope, Direction::Open)?);
        let page_len = walk.index.page_len(envelope, 0);
        let runs = |fixed_len| self.runs(shape, budget, plaintext_len, fixed_len).with_edges(shape);
        let Some(fetch) = walk.source.fetch() else { return Ok(runs(contexts_len)) };
        let least_of = |plan: RunPlan| fetch.min_memory(plan.demand.run_len.max(page_len));
        // Longer runs touch more of what is fetched, which leaves less for them: they are cut for the most that it may be.
        let of_one_frame = contexts_len.saturating_add(least_of(runs(usize::MAX)));
        let of_longest = contexts_len.saturating_add(least_of(runs(of_one_frame)));
        let mut plan = runs(of_longest);
        let least = least_of(plan);
        plan.demand.fixed_len = contexts_len.saturating_add(least);
        let runs_len = plan.demand.run_len.saturating_mul(2 * RUNS_A_THREAD * plan.threads);
        plan.fetch = FetchNeeds { least, beside: contexts_len.saturating_add(runs_len) };
        Ok(plan)
    }

    /// As [`Resources::plan`], of a stream of chunks that have `longest` bytes at most: a run is at least one of them. `fixed_len` bytes
    /// are taken beside runs.
    #[cfg(feature = "foreign")]
    pub(crate) fn plan_chunks(
        &self,
        longest: foreign::ChunkLens,
        budget: &Budget,
        plaintext_len: Option<u64>,
        fixed_len: usize,
    ) -> RunPlan {
        let (threads, share, paced) = self.run_share(budget, fixed_len);
        let of_stream = plaintext_len.map_or(u64::MAX, |len| len.div_ceil(longest.plaintext.max(1) as u64));
        let fit = FRAME_LEN_MAX as usize / longest.plaintext.max(1);
        let chunks = (share.min(RUN_LEN).min(paced) / longest.wire).min(fit) as u64;
        let chunks = chunks.min(of_stream).max(1) as usize;
        let demand = BufferNeeds { run_len: chunks * longest.wire, runs_per_segment: 1, fixed_len };
        RunPlan { frames_per_run: 1, threads, demand, fetch: FetchNeeds::default() }
    }

    /// How many threads are to be kept busy, what a run may take of `budget` for that, and what it may have at the rate.
    fn run_share(&self, budget: &Budget, fixed_len: usize) -> (usize, usize, usize) {
        let threads = self.pool.as_ref().map_or_else(|| self.threads().get(), Pool::threads);
        // What a stream only gets because it needs it at least is nothing to plan with.
        let share = budget.growth().saturating_sub(fixed_len) / (RUNS_A_THREAD * 2 * threads);
        // At a low rate, a long run would be a long pause.
        let rate = self.rate.as_ref().and_then(RateLimit::get).map_or(u64::MAX, NonZeroU64::get);
        (threads, share, usize::try_from(rate / RUNS_PER_SECOND).unwrap_or(usize::MAX))
    }

    /// Bytes of the contexts that compress or decompress, one for each thread and the caller's.
    fn contexts_len(&self, envelope: &Envelope, direction: Direction) -> Result<usize, Error> {
        let threads = self.pool.as_ref().map_or_else(|| self.threads().get(), Pool::threads);
        let context_len = match (&envelope.codec, direction) {
            (None, _) => Ok(0),
            (Some(codec), Direction::Seal) => codec.sealing_len(),
            (Some(codec), Direction::Open) => codec.opening_len(),
        };
        let context_len = context_len.map_err(|_| Error::no_memory("a zstd context", 0))?;
        Ok(context_len * (threads + 1))
    }

    /// As [`Resources::plan`], where `fixed_len` bytes are taken beside the runs.
    fn runs(&self, shape: Shape, budget: &Budget, plaintext_len: Option<u64>, fixed_len: usize) -> RunPlan {
        let (threads, share, paced) = self.run_share(budget, fixed_len);
        let segment_len = plaintext_len.unwrap_or(u64::MAX).min(shape.segment_len());
        let frames_of_segment = shape.frame_count(segment_len).max(1);
        let frames = (share.min(RUN_LEN).min(paced) / shape.frame_wire_len() as usize) as u32;
        let frames = frames.clamp(1, frames_of_segment);
        let run_len = segment_len.min(u64::from(frames) * u64::from(shape.frame_len()));
        let demand = BufferNeeds {
            run_len: FrameWorker::run_wire_len(shape, run_len as usize),
            runs_per_segment: frames_of_segment.div_ceil(frames) as usize,
            fixed_len,
        };
        RunPlan { frames_per_run: frames, threads, demand, fetch: FetchNeeds::default() }
    }

    pub(crate) fn threads(&self) -> NonZeroUsize {
        self.threads.unwrap_or_else(Pool::threads_of_the_machine)
    }
}

/// Bytes of plaintext of a run, however much memory there is.
pub(crate) fn longest_run(shape: Shape) -> u64 {
    let frames = (RUN_LEN / shape.frame_wire_len() as usize).max(1) as u64;
    frames * u64::from(shape.frame_len())
}

/// Which way a stream goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    Open,
    Seal,
}

/// The threads of one stream.
pub(crate) enum Workers {
    /// The caller's alone.
    Inline,
    /// Those of a pool. The caller only keeps them busy.
    Pool(Pool),
    /// Those of a pool that no other stream has, and the caller's.
    PoolAndCaller(Pool),
}

impl Workers {
    /// One of several `threads` is the caller's. A single one is not: else nobody would read ahead for it.
    fn of_its_own(threads: NonZeroUsize) -> Result<Workers, Error> {
        let made = match NonZeroUsize::new(threads.get() - 1) {
            Some(others) => Pool::new(others).map(Workers::PoolAndCaller),
            None => Pool::new(threads).map(Workers::Pool),
        };
        made.map_err(Error::pool)
    }

    pub(crate) fn executor(&self) -> Executor<'_> {
        match self {
            Workers::Inline => Executor::Inline,
            Workers::Pool(pool) => Executor::Pool(pool),
            Workers::PoolAndCaller(pool) => Executor::PoolAndCaller(pool),
        }
    }
}

impl RunPlan {
    /// The same runs, where jobs read the edges of a segment with them: for sources that can be read at offsets.
    pub(crate) fn with_edges(mut self, shape: Shape) -> RunPlan {
        self.demand.run_len += Edges::len_max(shape);
        self
    }

    /// Whether a stream of `plaintext_len` bytes is one run, and so not worth a pool.
    fn is_one_run(&self, shape: Shape, plaintext_len: Option<u64>) -> bool {
        let run = u64::from(self.frames_per_run) * u64::from(shape.frame_len());
        plaintext_len.is_some_and(|len| len <= run)
    }
}

/// Wire bytes of a run: long enough to hide what a job costs, short enough that wire and plaintext stay in a core's
/// second-level cache.
const RUN_LEN: usize = 520 * 1024;
/// At a limited rate, at least so many, as far as frames are short enough.
const RUNS_PER_SECOND: u64 = 4;
/// A thread is kept busy by so many runs in flight.
const RUNS_A_THREAD: usize = 3;
/// Bytes that a stream from afar uses at most, unless told otherwise: nearly all of it for what is fetched ahead.
const MEMORY_DEFAULT_FAR: usize = 256 * 1024 * 1024;

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails by panicking.
mod tests {
    use std::io;
    use std::ops::Range;
    use std::time::Duration;

    use cofferdam_io::Fetch;

    use super::*;

    /// Plaintext bytes of a frame; on the wire it has 32 more.
    const FRAME: u64 = 64 << 10;
    /// Sixteen frames.
    const SEGMENT: u64 = 1 << 20;

    /// The longest run on the wire and the most runs of a segment, on two threads.
    fn demanded(budget: usize, plaintext_len: Option<u64>) -> (usize, usize) {
        let resources = Resources { threads: NonZeroUsize::new(2), ..Resources::default() };
        let shape = Shape::new(FRAME as u32, 16).unwrap();
        let demand = resources.runs(shape, &Budget::new(budget), plaintext_len, 0).demand;
        (demand.run_len, demand.runs_per_segment)
    }

    #[test]
    fn with_enough_memory_runs_have_eight_frames_fit_520_kib_and_are_no_longer_than_the_stream() {
        const RUN: u64 = 8 * FRAME;
        let whole_run = (524_288 + 8 * 32, 2);
        for (plaintext_len, expected) in [
            (None, whole_run),
            (Some(0), (0, 1)),
            (Some(1), (1 + 32, 1)),
            (Some(FRAME - 1), (65_535 + 32, 1)),
            (Some(FRAME), (65_536 + 32, 1)),
            (Some(FRAME + 1), (65_537 + 2 * 32, 1)),
            (Some(RUN - 1), (524_287 + 8 * 32, 1)),
            (Some(RUN), (524_288 + 8 * 32, 1)),
            (Some(RUN + 1), whole_run),
            (Some(SEGMENT - 1), whole_run),
            (Some(SEGMENT), whole_run),
            (Some(SEGMENT + 1), whole_run),
        ] {
            assert_eq!(demanded(32 << 20, plaintext_len), expected, "{plaintext_len:?}");
        }
    }

    /// 3 MiB are twelve shares of 256 KiB, for three frames with their 96 bytes: a segment is five such runs and a frame.
    #[test]
    fn with_little_memory_runs_are_as_long_as_keeps_every_thread_busy() {
        const RUN: u64 = 3 * FRAME;
        for (plaintext_len, expected) in [
            (None, (196_608 + 3 * 32, 6)),
            (Some(0), (0, 1)),
            (Some(1), (1 + 32, 1)),
            (Some(FRAME - 1), (65_535 + 32, 1)),
            (Some(FRAME), (65_536 + 32, 1)),
            (Some(FRAME + 1), (65_537 + 2 * 32, 1)),
            (Some(RUN - 1), (196_607 + 3 * 32, 1)),
            (Some(RUN), (196_608 + 3 * 32, 1)),
            (Some(RUN + 1), (196_608 + 3 * 32, 2)),
            (Some(SEGMENT - 1), (196_608 + 3 * 32, 6)),
            (Some(SEGMENT), (196_608 + 3 * 32, 6)),
            (Some(SEGMENT + 1), (196_608 + 3 * 32, 6)),
        ] {
            assert_eq!(demanded(3 << 20, plaintext_len), expected, "{plaintext_len:?}");
        }
    }

    /// Nothing, near or far.
    struct Nothing {
        is_far: bool,
    }

    impl ReadAt for Nothing {
        fn read_exact_at(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
            Err(io::ErrorKind::UnexpectedEof.into())
        }

        fn len(&self) -> u64 {
            0
        }

        fn fetch(&self) -> Option<&dyn Fetch> {
            self.is_far.then_some(self as &dyn Fetch)
        }
    }

    impl Fetch for Nothing {
        fn grant(&self, _: usize) {}

        fn held(&self) -> usize {
            0
        }

        fn min_memory(&self, _: usize) -> usize {
            0
        }

        fn ask(&self, _: Range<u64>) -> bool {
            false
        }

        fn wait(&self, _: Range<u64>, _: Duration) -> io::Result<bool> {
            Ok(false)
        }

        fn release(&self, _: Range<u64>) {}
    }

    /// 4 GiB are left: a quarter is more than either default.
    #[test]
    fn from_afar_a_stream_may_use_more_memory_where_nobody_says_how_much() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("proc")).unwrap();
        let text = "MemTotal: 8388608 kB\nMemAvailable: 4194304 kB\n";
        std::fs::write(root.path().join("proc/meminfo"), text).unwrap();
        let resources = Resources { system: SystemMemory::at(root.path()), ..Resources::default() };
        let growth = |is_far| resources.budget_from(&Nothing { is_far }).growth();
        assert_eq!((growth(false), growth(true)), (32 << 20, 256 << 20));
        let told = Resources { budget: Some(Budget::new(7 << 20)), ..resources };
        assert_eq!(told.budget_from(&Nothing { is_far: true }).growth(), 7 << 20);
    }

    #[test]
    fn on_one_budget_what_is_taken_here_is_missing_there() {
        for is_far in [false, true] {
            let resources = Resources::default().on_one_budget(&Nothing { is_far });
            let taken = resources.budget_from(&Nothing { is_far }).try_lease(1000).unwrap();
            assert_eq!(resources.budget().used(), 1000);
            drop(taken);
            assert_eq!(resources.budget().used(), 0);
        }
    }

    #[test]
    fn the_longest_run_that_is_cut_fits_and_so_do_all_of_a_segment() {
        let shape = Shape::new(FRAME as u32, 16).unwrap();
        let resources = Resources { threads: NonZeroUsize::new(2), ..Resources::default() };
        for budget in [3 << 20, 32 << 20] {
            for plaintext_len in (0..=2 * SEGMENT).step_by(4093) {
                let plan = resources.runs(shape, &Budget::new(budget), Some(plaintext_len), 0);
                // The frames of its first segment, which is none shorter than the others.
                let frames: Vec<usize> = vec![0; plaintext_len.min(SEGMENT) as usize]
                    .chunks(FRAME as usize)
                    .map(|frame| frame.len() + 32)
                    .collect();
                let runs = frames.chunks(plan.frames_per_run as usize).map(|run| run.iter().sum::<usize>());
                assert!(runs.clone().all(|len| len <= plan.demand.run_len), "{plaintext_len} in {budget}");
                assert!(runs.count() <= plan.demand.runs_per_segment, "{plaintext_len} in {budget}");
                let room = plan.with_edges(shape).demand.run_len - plan.demand.run_len;
                assert_eq!(room, 48 + 64 + 80, "segment header, DIGEST and TERMINATOR");
            }
        }
    }
}
