//! What a stream leaves to others: it keeps to a rate that can change while it runs, and to less memory while that is short.
//! How long anything takes is not looked at: a rate of a byte per second is one that nothing comes through.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::io;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use cofferdam::{
    Arrival, Budget, BytesSource, CancelToken, CompressionLevel, ErrorKind, Identities, MemoryPressure,
    MemorySink, NullSink, Observer, Opener, Progress, RateLimit, ReadAt, Recipients, Sealer, Source,
    SystemMemory, WrappingKey,
};

const KEY: [u8; 32] = [9; 32];
const LEN: usize = 4 << 20;
/// Nothing here takes so long; a hang is to be told from a slow machine.
const WATCHDOG: Duration = Duration::from_secs(600);

fn opener() -> Opener {
    Opener::new(Identities::new().wrapping_key(WrappingKey::from_bytes(KEY)))
}

/// A segment is no longer than a run may be.
fn sealer() -> Sealer {
    let recipients = Recipients::new().wrapping_key(WrappingKey::from_bytes(KEY));
    Sealer::new(recipients).frame_len(4096).segment_len(16 << 10)
}

fn plaintext() -> Vec<u8> {
    (0..LEN).map(|at| (at % 251) as u8).collect()
}

fn sealed(sealer: &Sealer) -> Vec<u8> {
    let (sink, contents) = MemorySink::new();
    sealer.seal(BytesSource::new(plaintext()), sink).unwrap();
    contents.take().unwrap()
}

/// A byte per second.
fn nearly_nothing() -> RateLimit {
    RateLimit::new(NonZeroU64::new(1))
}

/// Bytes in memory that count what is read of them, and tell when the first of their body is.
struct Counted {
    bytes: Vec<u8>,
    read: Arc<AtomicU64>,
    begun: Mutex<mpsc::Sender<()>>,
    at_offsets: bool,
    body_at: usize,
}

impl Counted {
    fn note(&self, offset: usize, len: usize) {
        let end = offset + len;
        // SeqCst: counted here, looked at when the thread has been joined.
        self.read.fetch_add(len as u64, Ordering::SeqCst);
        // Behind preamble and key area of what is sealed, and before its index.
        if self.body_at < end && end < LEN / 2 {
            let _ = self.begun.lock().unwrap().send(());
        }
    }
}

impl ReadAt for Counted {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let offset = offset as usize;
        let bytes = self.bytes.get(offset..offset + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        self.note(offset, buffer.len());
        Ok(())
    }

    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }
}

/// A source that shares its counts.
struct Shared(Arc<Counted>, usize);

impl Source for Shared {
    fn len(&self) -> Option<u64> {
        None
    }

    fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
        self.0.at_offsets.then(|| self.0.clone() as Arc<dyn ReadAt>)
    }

    fn read_within(&mut self, buffer: &mut [u8], _: Duration) -> io::Result<Arrival> {
        let at = self.1;
        let count = buffer.len().min(self.0.bytes.len() - at);
        if count == 0 {
            return Ok(Arrival::End);
        }
        buffer[..count].copy_from_slice(&self.0.bytes[at..at + count]);
        self.0.note(at, count);
        self.1 += count;
        Ok(Arrival::Bytes(count))
    }
}

type Task = fn(Shared, RateLimit, CancelToken) -> Result<(), cofferdam::Error>;

/// Every way through a stream, and whether it reads what is sealed at offsets.
const TASKS: [(&str, bool, bool, Task); 7] = [
    ("restore", true, true, |source, rate, cancel| {
        opener().rate_limit(rate).cancel(cancel).open(source, MemorySink::new().0).map(drop)
    }),
    ("restore from a pipe", true, false, |source, rate, cancel| {
        opener().rate_limit(rate).cancel(cancel).open(source, MemorySink::new().0).map(drop)
    }),
    ("verify", true, true, |source, rate, cancel| {
        opener().rate_limit(rate).cancel(cancel).verify(source).map(drop)
    }),
    ("a part", true, true, |source, rate, cancel| {
        opener().rate_limit(rate).cancel(cancel).open_segments(1..200, source, MemorySink::new().0).map(drop)
    }),
    ("read", true, true, |source, rate, cancel| {
        let mut all = Vec::new();
        let mut reader = opener().rate_limit(rate).cancel(cancel).reader(source)?;
        let read = io::Read::read_to_end(&mut reader, &mut all);
        read.map(drop).map_err(|error| error.downcast::<cofferdam::Error>().unwrap())
    }),
    ("seal", false, true, |source, rate, cancel| {
        sealer().rate_limit(rate).cancel(cancel).seal(source, NullSink::new()).map(drop)
    }),
    ("seal a pipe", false, false, |source, rate, cancel| {
        sealer().rate_limit(rate).cancel(cancel).seal(source, NullSink::new()).map(drop)
    }),
];

/// Runs `task` until its body has begun, does `then`, and returns what came of it and the bytes read.
fn run_until_begun(
    (_, is_sealed, at_offsets, task): (&str, bool, bool, Task),
    rate: &RateLimit,
    cancel: &CancelToken,
    then: impl FnOnce(),
) -> (Result<(), cofferdam::Error>, u64) {
    let (sender, begun) = mpsc::channel();
    let read = Arc::new(AtomicU64::new(0));
    let bytes = if is_sealed { sealed(&sealer()) } else { plaintext() };
    let body_at = if is_sealed { 12 << 10 } else { 0 };
    let source = Counted { bytes, read: read.clone(), begun: Mutex::new(sender), at_offsets, body_at };
    let source = Shared(Arc::new(source), 0);
    let (rate, cancel) = (rate.clone(), cancel.clone());
    let running = thread::spawn(move || task(source, rate, cancel));
    begun.recv_timeout(WATCHDOG).unwrap();
    then();
    let outcome = running.join().unwrap();
    (outcome, read.load(Ordering::SeqCst))
}

#[test]
fn a_rate_lets_a_run_through_and_no_second_one_before_it_is_paid_for() {
    for task in TASKS {
        let (rate, cancel) = (nearly_nothing(), CancelToken::new());
        let (outcome, read) = run_until_begun(task, &rate, &cancel, || cancel.cancel());
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Cancelled, "{}", task.0);
        assert!(read < LEN as u64 / 2, "{}: {read} bytes were read", task.0);
    }
}

#[test]
fn a_rate_that_is_lifted_lets_the_rest_through() {
    for task in TASKS {
        let (rate, cancel) = (nearly_nothing(), CancelToken::new());
        let (outcome, read) = run_until_begun(task, &rate, &cancel, || rate.set(None));
        outcome.unwrap();
        assert!(read >= LEN as u64 / 2, "{}: {read} bytes were read", task.0);
    }
}

/// What is sealed is the same at any rate; compressed frames are as long as they turn out to be.
#[test]
fn what_comes_through_a_rate_is_what_comes_without_one() {
    let fast = || RateLimit::new(NonZeroU64::new(1 << 40));
    for sealer in [sealer(), sealer().compression(CompressionLevel::default())] {
        let bytes = sealed(&sealer.clone().rate_limit(fast()));
        let mut restored = vec![0; LEN];
        opener().rate_limit(fast()).open_into(BytesSource::new(bytes), &mut restored).unwrap();
        assert!(restored == plaintext());
    }
}

/// Makes the system under `root` say that of the last ten seconds so many percent were lost for lack of memory.
fn report_stalls(root: &Path, percent: u32) {
    let pressure = root.join("proc/pressure");
    std::fs::create_dir_all(&pressure).unwrap();
    let line = |kind| format!("{kind} avg10={percent}.00 avg60=0.00 avg300=0.00 total=0\n");
    // In one step: a stream may be reading it.
    std::fs::write(pressure.join("new"), [line("some"), line("full")].concat()).unwrap();
    std::fs::rename(pressure.join("new"), pressure.join("memory")).unwrap();
}

/// Told of a high pressure it makes that go away; then the end of the source may come.
struct Relief {
    root: std::path::PathBuf,
    heard: Mutex<Vec<MemoryPressure>>,
    may_end: Arc<AtomicBool>,
}

impl Observer for Relief {
    fn progress(&self, _: &Progress) {}

    fn memory_pressure(&self, pressure: MemoryPressure) {
        self.heard.lock().unwrap().push(pressure);
        match pressure {
            MemoryPressure::None => self.may_end.store(true, Ordering::SeqCst),
            _ => report_stalls(&self.root, 0),
        }
    }
}

/// All but the last bytes come at once, and those not before they may.
struct Late {
    bytes: Vec<u8>,
    at: usize,
    may_end: Arc<AtomicBool>,
}

impl Source for Late {
    fn len(&self) -> Option<u64> {
        None
    }

    fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
        None
    }

    fn read_within(&mut self, buffer: &mut [u8], patience: Duration) -> io::Result<Arrival> {
        let last = self.bytes.len() - 1000;
        let end = if self.may_end.load(Ordering::SeqCst) { self.bytes.len() } else { last };
        let count = buffer.len().min(end.saturating_sub(self.at));
        if count == 0 && end == last {
            thread::sleep(patience);
            return Ok(Arrival::NothingYet);
        }
        if count == 0 {
            return Ok(Arrival::End);
        }
        buffer[..count].copy_from_slice(&self.bytes[self.at..self.at + count]);
        self.at += count;
        Ok(Arrival::Bytes(count))
    }
}

#[test]
fn a_stream_under_pressure_says_so_takes_less_and_comes_to_its_end() {
    for is_sealed in [true, false] {
        let root = tempfile::tempdir().unwrap();
        report_stalls(root.path(), 90);
        let may_end = Arc::new(AtomicBool::new(false));
        let relief = Arc::new(Relief {
            root: root.path().to_owned(),
            heard: Mutex::default(),
            may_end: may_end.clone(),
        });
        let budget = Budget::new(1 << 20);
        let bytes = if is_sealed { sealed(&sealer()) } else { plaintext() };
        let source = Late { bytes, at: 0, may_end };
        let system = SystemMemory::at(root.path());
        if is_sealed {
            let opener = opener().system_memory(system).budget(budget.clone()).observer(relief.clone());
            let mut restored = vec![0; LEN];
            opener.open_into(source, &mut restored).unwrap();
            assert!(restored == plaintext());
        } else {
            let sealer = sealer().system_memory(system).budget(budget.clone()).observer(relief.clone());
            let (sink, contents) = MemorySink::new();
            sealer.seal(source, sink).unwrap();
            assert!(contents.take().is_some());
        }
        assert_eq!(*relief.heard.lock().unwrap(), [MemoryPressure::High, MemoryPressure::None]);
        assert_eq!(budget.used(), 0);
    }
}

/// What it is told, in that order.
#[derive(Default)]
struct Order(Mutex<Vec<&'static str>>);

impl Observer for Order {
    fn progress(&self, _: &Progress) {
        self.0.lock().unwrap().push("progress");
    }

    fn proving(&self, _: u64) {
        self.0.lock().unwrap().push("proving");
    }

    fn memory_pressure(&self, _: MemoryPressure) {
        self.0.lock().unwrap().push("pressure");
    }
}

/// To prove a seed may take as long as a restore: memory is looked after meanwhile, and not only once that begins.
#[test]
fn pressure_is_heard_while_a_seed_is_proved() {
    let directory = tempfile::tempdir().unwrap();
    report_stalls(directory.path(), 90);
    let [seed, target] = ["seed", "target"].map(|name| directory.path().join(name));
    std::fs::write(&seed, plaintext()).unwrap();
    let order = Arc::new(Order::default());
    let opener =
        opener().system_memory(SystemMemory::at(directory.path())).seed(&seed).observer(order.clone());
    opener.restore_to(BytesSource::new(sealed(&sealer())), &target).unwrap();
    assert!(std::fs::read(&target).unwrap() == plaintext());
    let order = order.0.lock().unwrap();
    assert_eq!(order[..2], ["pressure", "proving"]);
}

/// A segment of 16 KiB, held until it is verified, needs more than a quarter of what is left.
#[test]
fn a_stream_gets_what_it_needs_however_little_memory_is_left() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("proc")).unwrap();
    let meminfo = "MemTotal: 1000 kB\nMemAvailable: 8 kB\n";
    std::fs::write(root.path().join("proc/meminfo"), meminfo).unwrap();
    let system = SystemMemory::at(root.path());
    assert_eq!(system.left(), Some(8 << 10));
    let bytes = sealed(&sealer().system_memory(system.clone()));
    for release in [cofferdam::ReleasePolicy::AtOnce, cofferdam::ReleasePolicy::AfterDigest] {
        let mut restored = vec![0; LEN];
        let opener = opener().system_memory(system.clone()).release(release);
        opener.open_into(BytesSource::new(bytes.clone()), &mut restored).unwrap();
        assert!(restored == plaintext());
    }
}
