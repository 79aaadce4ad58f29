//! Owns cancellation: a hundred times at a random call, commit or read, and nothing is written, left or begun after it.
//! Refuses to know how the token travels; it counts the calls that sources and sinks get.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod streams;

use std::io::{self, pipe};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread::{self, ThreadId};
use std::time::Duration;

use cofferdam::{
    Arrival, BytesSource, CancelToken, Checkpoint, CommitError, Error, ErrorKind, Identities, Observer,
    Opener, PipeSource, Progress, ReadAt, Recipients, Sealer, SinkCapabilities, Source, StageOptions,
    StagedFile, StreamingSink, SyncTo, WriteAt,
};

use streams::{
    READINGS, Reading, SEGMENT, Shared, counted, names_in, open, opener, scratch, seal, small_sealer, threads,
};

/// How often each task of cancelling is tried.
const TIMES: usize = 100;
/// Nothing here takes so long; a hang is to be told from a slow machine.
const WATCHDOG: Duration = Duration::from_secs(600);

/// Counts the calls on a source and a sink, and cancels during one of them.
struct Watch {
    token: CancelToken,
    cancel_at: usize,
    calls: AtomicUsize,
    begun_after: AtomicUsize,
    /// The thread whose call was the one that cancelled.
    canceller: OnceLock<ThreadId>,
    begun_by_canceller: AtomicUsize,
}

impl Watch {
    fn new(cancel_at: usize) -> Arc<Watch> {
        Arc::new(Watch {
            token: CancelToken::new(),
            cancel_at,
            calls: AtomicUsize::new(0),
            begun_after: AtomicUsize::new(0),
            canceller: OnceLock::new(),
            begun_by_canceller: AtomicUsize::new(0),
        })
    }

    /// A call begins. Its number is its place among all, from 1.
    fn begin(&self) {
        if self.token.is_cancelled() {
            self.begun_after.fetch_add(1, Ordering::SeqCst);
        }
        if self.canceller.get() == Some(&thread::current().id()) {
            self.begun_by_canceller.fetch_add(1, Ordering::SeqCst);
        }
        if self.calls.fetch_add(1, Ordering::SeqCst) + 1 == self.cancel_at {
            self.canceller.get_or_init(|| thread::current().id());
            self.token.cancel();
        }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn begun_after(&self) -> usize {
        self.begun_after.load(Ordering::SeqCst)
    }
}

/// A source under watch.
struct HookedSource<T> {
    inner: T,
    reading: Reading,
    /// The most bytes that a read brings.
    read_len: usize,
    watch: Arc<Watch>,
}

impl<T: Source> Source for HookedSource<T> {
    fn len(&self) -> Option<u64> {
        self.inner.len().filter(|_| self.reading == Reading::Seekable)
    }

    fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
        let inner = self.inner.positioned().filter(|_| self.reading == Reading::Seekable)?;
        Some(Arc::new(HookedReadAt { inner, watch: self.watch.clone() }))
    }

    fn read_within(&mut self, buffer: &mut [u8], patience: Duration) -> io::Result<Arrival> {
        self.watch.begin();
        let room = buffer.len().min(self.read_len);
        self.inner.read_within(&mut buffer[..room], patience)
    }
}

struct HookedReadAt {
    inner: Arc<dyn ReadAt>,
    watch: Arc<Watch>,
}

impl ReadAt for HookedReadAt {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.watch.begin();
        self.inner.read_exact_at(offset, buffer)
    }

    fn len(&self) -> u64 {
        self.inner.len()
    }
}

/// A staged file under watch.
struct WatchedSink {
    inner: StagedFile,
    watch: Arc<Watch>,
}

impl StreamingSink for WatchedSink {
    fn capabilities(&self) -> SinkCapabilities {
        self.inner.capabilities()
    }
    fn last_commit(&mut self) -> io::Result<Option<Checkpoint>> {
        self.inner.last_commit()
    }
    fn begin_segment(&mut self, index: u64, at: u64) -> io::Result<()> {
        self.inner.begin_segment(index, at)
    }
    fn write_tentative(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        self.watch.begin();
        self.inner.write_tentative(at, data)
    }
    fn rollback_segment(&mut self) -> io::Result<()> {
        self.inner.rollback_segment()
    }
    fn commit_segment(&mut self, checkpoint: &Checkpoint) -> Result<(), CommitError> {
        self.watch.begin();
        self.inner.commit_segment(checkpoint)
    }
    fn publish(&mut self, plain_len: u64) -> Result<(), CommitError> {
        self.watch.begin();
        self.inner.publish(plain_len)
    }
    fn discard(&mut self) -> io::Result<()> {
        self.inner.discard()
    }
    fn positioned(&self) -> Option<Arc<dyn WriteAt>> {
        let inner = self.inner.positioned()?;
        Some(Arc::new(WatchedWrites { inner, watch: self.watch.clone() }))
    }
    fn durability(&self) -> Option<Arc<dyn SyncTo>> {
        self.inner.durability()
    }
}

struct WatchedWrites {
    inner: Arc<dyn WriteAt>,
    watch: Arc<Watch>,
}

impl WriteAt for WatchedWrites {
    fn write_all_at(&self, at: u64, data: &[u8]) -> io::Result<()> {
        self.watch.begin();
        self.inner.write_all_at(at, data)
    }
}

/// Which task a stream goes, and how it is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Task {
    Seal(Reading),
    Open(Reading),
}

const TASKS: [Task; 4] = [
    Task::Seal(Reading::Seekable),
    Task::Seal(Reading::Sequential),
    Task::Open(Reading::Seekable),
    Task::Open(Reading::Sequential),
];

/// Runs one stream into a new directory, where it leaves its target and nothing else, or nothing at all.
fn run(task: Task, input: &Shared, count: usize, watch: &Arc<Watch>) -> Result<(), Error> {
    // Short, so that a stream takes many reads.
    run_by(5000, task, input, count, watch)
}

fn run_by(
    read_len: usize,
    task: Task,
    input: &Shared,
    count: usize,
    watch: &Arc<Watch>,
) -> Result<(), Error> {
    let directory = scratch();
    let target = directory.path().join("target");
    let inner = StagedFile::create(&target, &StageOptions::default()).unwrap();
    let sink = WatchedSink { inner, watch: watch.clone() };
    let (Task::Seal(reading) | Task::Open(reading)) = task;
    let source =
        HookedSource { inner: BytesSource::new(input.clone()), reading, read_len, watch: watch.clone() };
    let token = watch.token.clone();
    let outcome = match task {
        Task::Seal(_) => small_sealer().threads(threads(count)).cancel(token).seal(source, sink).map(drop),
        Task::Open(_) => opener().threads(threads(count)).cancel(token).open(source, sink).map(drop),
    };
    let left = names_in(directory.path());
    assert_eq!(left.len(), usize::from(outcome.is_ok()), "{task:?} left {left:?}");
    outcome
}

fn input_of(task: Task) -> Shared {
    let plaintext = counted(20 * SEGMENT + 5);
    Shared::new(if matches!(task, Task::Seal(_)) { plaintext } else { seal(&small_sealer(), plaintext) })
}

#[test]
fn a_hundred_times_at_a_random_call() {
    for task in TASKS {
        let input = input_of(task);
        let dry = Watch::new(usize::MAX);
        run(task, &input, 1, &dry).unwrap();
        let calls = dry.calls();
        let mut rng = fastrand::Rng::with_seed(calls as u64);
        for time in 0..TIMES {
            let count = 1 + time % 3;
            // Publishing is the last call; what cancels during it comes too late.
            let watch = Watch::new(1 + rng.usize(..calls - 1));
            let error = run(task, &input, count, &watch).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Cancelled, "{task:?} at call {}: {error}", watch.cancel_at);
            // Each thread, the caller's too, may have looked at the token just before. A reader at offsets reads the
            // records before the segments, four pieces, in one go.
            let begun = watch.begun_after();
            assert!(begun <= count + 2, "{task:?} at call {}: {begun} calls after it", watch.cancel_at);
        }
    }
}

#[test]
fn at_every_call_of_a_single_thread_at_most_one_more_is_begun() {
    for task in
        [Task::Seal(Reading::Seekable), Task::Seal(Reading::Sequential), Task::Open(Reading::Sequential)]
    {
        let input = input_of(task);
        let dry = Watch::new(usize::MAX);
        run(task, &input, 1, &dry).unwrap();
        for cancel_at in 1..dry.calls() {
            let watch = Watch::new(cancel_at);
            assert_eq!(run(task, &input, 1, &watch).unwrap_err().kind(), ErrorKind::Cancelled);
            // The thread that cancelled has seen it; the other one, the pool's or the caller's, may have looked before.
            assert_eq!(watch.begun_by_canceller.load(Ordering::SeqCst), 0, "{task:?} at call {cancel_at}");
            assert!(
                watch.begun_after() <= 1,
                "{task:?} at call {cancel_at}: {} after it",
                watch.begun_after()
            );
        }
    }
}

#[test]
fn what_cancels_while_the_target_is_published_comes_too_late() {
    for task in TASKS {
        let input = input_of(task);
        let dry = Watch::new(usize::MAX);
        run(task, &input, 1, &dry).unwrap();
        run(task, &input, 1, &Watch::new(dry.calls())).unwrap();
    }
}

#[test]
fn a_token_that_was_used_before_lets_no_call_begin() {
    for task in TASKS {
        let watch = Watch::new(usize::MAX);
        watch.token.cancel();
        let error = run(task, &input_of(task), 2, &watch).unwrap_err();
        assert_eq!((error.kind(), watch.calls()), (ErrorKind::Cancelled, 0), "{task:?}");
    }
}

#[test]
fn a_source_that_trickles_does_not_hide_the_token() {
    for task in [Task::Seal(Reading::Sequential), Task::Open(Reading::Sequential)] {
        let input = input_of(task);
        for cancel_at in [1, 100, 5000, 20_000] {
            let watch = Watch::new(cancel_at);
            let error = run_by(1, task, &input, 1, &watch).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Cancelled, "{task:?} at read {cancel_at}");
            assert!(
                watch.begun_after() <= 1,
                "{task:?} at read {cancel_at}: {} after it",
                watch.begun_after()
            );
        }
    }
}

/// Cancels at a commit.
struct AtCommit {
    segments: u64,
    token: CancelToken,
}

impl Observer for AtCommit {
    fn progress(&self, progress: &Progress) {
        if progress.segments == self.segments {
            self.token.cancel();
        }
    }
}

#[test]
fn a_hundred_times_at_a_random_commit() {
    let plaintext = Shared::new(counted(20 * SEGMENT + 5));
    let sealed = Shared::new(seal(&small_sealer(), plaintext.as_ref().to_vec()));
    let mut rng = fastrand::Rng::with_seed(1);
    for time in 0..TIMES {
        let directory = scratch();
        let target = directory.path().join("target");
        let token = CancelToken::new();
        let observer = Arc::new(AtCommit { segments: 1 + rng.u64(..21), token: token.clone() });
        let count = threads(1 + time % 3);
        let sealer = small_sealer().threads(count).cancel(token.clone()).observer(observer.clone());
        let staged = || StagedFile::create(&target, &StageOptions::default()).unwrap();
        let error = sealer.seal(BytesSource::new(plaintext.clone()), staged()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        let token = CancelToken::new();
        let observer = Arc::new(AtCommit { segments: observer.segments, token: token.clone() });
        let opener = opener().threads(count).cancel(token).observer(observer);
        let error = opener.open(BytesSource::new(sealed.clone()), staged()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        assert_eq!(names_in(directory.path()).len(), 0);
    }
}

/// A pipe whose writer stays idle. It cancels when it is first asked in vain, or tells that it is being asked.
struct Idle {
    pipe: PipeSource,
    token: Option<CancelToken>,
    asked: mpsc::Sender<()>,
}

impl Source for Idle {
    fn len(&self) -> Option<u64> {
        None
    }

    fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
        None
    }

    fn read_within(&mut self, buffer: &mut [u8], patience: Duration) -> io::Result<Arrival> {
        // The test may have seen enough and gone.
        let _ = self.asked.send(());
        let arrival = self.pipe.read_within(buffer, patience)?;
        if let (Arrival::NothingYet, Some(token)) = (arrival, &self.token) {
            token.cancel();
        }
        Ok(arrival)
    }
}

/// Runs `work` on an idle pipe into which `before` has been written; `canceller` gets the token once the pipe is read.
fn on_an_idle_pipe(
    before: Vec<u8>,
    by_the_source: bool,
    work: impl FnOnce(Idle, CancelToken) -> Result<(), Error> + Send + 'static,
) -> ErrorKind {
    let (reader, mut writer) = pipe().unwrap();
    let (asked, is_asked) = mpsc::channel();
    let (done, is_done) = mpsc::channel();
    let token = CancelToken::new();
    let pipe = PipeSource::new(OwnedFd::from(reader));
    let source = Idle { pipe, token: by_the_source.then(|| token.clone()), asked };
    let in_work = token.clone();
    // Less than a pipe holds, so that this does not wait for a reader.
    io::Write::write_all(&mut writer, &before).unwrap();
    thread::spawn(move || done.send(work(source, in_work)));
    is_asked.recv_timeout(WATCHDOG).unwrap();
    if !by_the_source {
        token.cancel();
    }
    let outcome = is_done.recv_timeout(WATCHDOG).expect("a cancelled stream returns");
    // The pipe was open all the time: its end is not what ended the stream.
    drop(writer);
    outcome.unwrap_err().kind()
}

#[test]
fn an_idle_pipe_does_not_hold_a_stream_that_is_cancelled() {
    let plaintext = counted(3 * SEGMENT);
    let sealed = seal(&small_sealer(), plaintext.clone());
    for by_the_source in [true, false] {
        // Nothing at all, a part of what comes first, and some segments.
        for len in [0, 100, 5000, 13_000, 2 * SEGMENT] {
            let directory = scratch();
            let target = directory.path().join("target");
            let staged = StagedFile::create(&target, &StageOptions::default()).unwrap();
            let kind = on_an_idle_pipe(plaintext[..len].to_vec(), by_the_source, |source, token| {
                small_sealer().cancel(token).seal(source, staged).map(drop)
            });
            assert_eq!(kind, ErrorKind::Cancelled, "sealing, {len} bytes had come");
            let staged = StagedFile::create(&target, &StageOptions::default()).unwrap();
            let kind = on_an_idle_pipe(sealed[..len].to_vec(), by_the_source, |source, token| {
                opener().cancel(token).open(source, staged).map(drop)
            });
            assert_eq!(kind, ErrorKind::Cancelled, "opening, {len} bytes had come");
            assert_eq!(names_in(directory.path()).len(), 0, "{len} bytes had come");
        }
    }
}

#[test]
fn a_verification_is_cancelled_like_a_restore() {
    let sealed = input_of(Task::Open(Reading::Seekable));
    for reading in READINGS {
        for keyed in [opener(), Opener::keyless()] {
            let watch = Watch::new(12);
            let source = HookedSource {
                inner: BytesSource::new(sealed.clone()),
                reading,
                read_len: 5000,
                watch: watch.clone(),
            };
            let error = keyed.cancel(watch.token.clone()).verify(source).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Cancelled, "{reading:?}");
        }
    }
}

/// That a builder is used again after a cancelled stream is up to the caller: its token stays used.
#[test]
fn a_used_token_stays_used() {
    let token = CancelToken::new();
    token.cancel();
    let sealer: Sealer = small_sealer().cancel(token.clone());
    for _ in 0..2 {
        let (sink, contents) = cofferdam::MemorySink::new();
        let error = sealer.seal(BytesSource::new(counted(10)), sink).unwrap_err();
        assert_eq!((error.kind(), contents.take()), (ErrorKind::Cancelled, None));
    }
    assert!(token.is_cancelled());
}

#[test]
fn a_passphrase_that_is_asked_for_and_cancelled_is_tried_on_no_slot_but_that_one() {
    let passphrase = |text: &str| text.to_owned().into();
    let recipients = ["one", "two"].into_iter().fold(Recipients::new(), |recipients, text| {
        recipients.passphrase_with_work_factor(passphrase(text), 1).unwrap()
    });
    let sealed = Shared::new(seal(&Sealer::new(recipients), counted(10)));
    for reading in READINGS {
        for (cancels, due) in [(false, None), (true, Some(ErrorKind::Cancelled))] {
            let token = CancelToken::new();
            let during = token.clone();
            // It is the second slot's.
            let identities = Identities::new().ask_passphrase(move || {
                if cancels {
                    during.cancel();
                }
                Some("two".to_owned().into())
            });
            let opened = open(&Opener::new(identities).cancel(token), reading, sealed.clone());
            assert_eq!(opened.err().map(|error| error.kind()), due, "{reading:?}");
        }
    }
}
