//! Streams that share a pool of one thread and a budget for one of them, as a server's do.
//! A watchdog ends the test where two wait for each other.

#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use cofferdam::{
    Arrival, Budget, BytesSource, Identities, MemorySink, Opener, Pool, ReadAt, Recipients, Sealer, Source,
    WrappingKey,
};

const KEY: [u8; 32] = [5; 32];

fn sealer() -> Sealer {
    let recipients = Recipients::new().wrapping_key(WrappingKey::from_bytes(KEY));
    Sealer::new(recipients).frame_len(4096).segment_len(4 * 4096)
}

fn opener() -> Opener {
    Opener::new(Identities::new().wrapping_key(WrappingKey::from_bytes(KEY)))
}

fn sealed(plaintext: &[u8]) -> Vec<u8> {
    let (sink, contents) = MemorySink::new();
    sealer().seal(BytesSource::new(plaintext.to_vec()), sink).unwrap();
    contents.take().unwrap()
}

/// A source whose bytes behind `open_until` come only once the gate is opened. It says when it has got that far.
struct Gated {
    bytes: Vec<u8>,
    next: usize,
    open_until: usize,
    gate: Arc<AtomicBool>,
    waits: mpsc::Sender<()>,
}

impl Source for Gated {
    fn len(&self) -> Option<u64> {
        None
    }
    fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
        None
    }
    fn read_within(&mut self, buffer: &mut [u8], _patience: Duration) -> io::Result<Arrival> {
        // Acquire and release: the gate orders nothing but itself.
        let open = self.gate.load(Ordering::Acquire);
        let end = if open { self.bytes.len() } else { self.open_until };
        let count = buffer.len().min(end - self.next);
        if count == 0 && !open {
            let _ = self.waits.send(());
            thread::yield_now();
            return Ok(Arrival::NothingYet);
        }
        buffer[..count].copy_from_slice(&self.bytes[self.next..self.next + count]);
        self.next += count;
        Ok(if count == 0 { Arrival::End } else { Arrival::Bytes(count) })
    }
}

/// A source that notes how much it is asked for, and brings that.
struct Asked {
    bytes: Vec<u8>,
    next: usize,
    lens: mpsc::Sender<usize>,
}

impl Source for Asked {
    fn len(&self) -> Option<u64> {
        None
    }
    fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
        None
    }
    fn read_within(&mut self, buffer: &mut [u8], _patience: Duration) -> io::Result<Arrival> {
        self.lens.send(buffer.len()).unwrap();
        let count = buffer.len().min(self.bytes.len() - self.next);
        buffer[..count].copy_from_slice(&self.bytes[self.next..self.next + count]);
        self.next += count;
        Ok(if count == 0 { Arrival::End } else { Arrival::Bytes(count) })
    }
}

#[test]
fn a_stream_from_a_pipe_asks_for_little_before_its_turn_and_for_much_once_it_runs() {
    let (lens, asked) = mpsc::channel();
    let bytes = sealed(&[7; 4 << 20]);
    let source = Asked { bytes, next: 0, lens };
    opener().open(source, MemorySink::new().0).unwrap();
    let asked: Vec<usize> = asked.iter().collect();
    // The first read brings the records before the segments, and then it waits for its share of the budget.
    assert!(asked[0] <= 16 << 10, "{} bytes", asked[0]);
    assert!(asked.len() <= 1 + (4 << 20) / (128 << 10), "{} reads for 4 MiB", asked.len());
}

#[test]
fn a_small_stream_on_the_pool_s_one_thread_works_for_the_large_one_it_waits_for() {
    let large: Vec<u8> = (0..200_000u32).map(|at| (at % 249) as u8).collect();
    let pool = Pool::new(NonZeroUsize::MIN).unwrap();
    // The least that the large stream can do with: what a run of one frame takes on its way in and out.
    let budget = Budget::new(2 * (4096 + 32));
    let gate = Arc::new(AtomicBool::new(false));
    let (waits, waiting) = mpsc::channel();
    let bytes = sealed(&large);
    let source = Gated { open_until: bytes.len() / 2, bytes, next: 0, gate: gate.clone(), waits };
    let (done, ends) = mpsc::channel();
    thread::spawn({
        let (pool, budget, done) = (pool.clone(), budget.clone(), done.clone());
        move || {
            let (sink, contents) = MemorySink::new();
            opener().pool(pool).budget(budget).open(source, sink).unwrap();
            done.send(contents.take().unwrap()).unwrap();
        }
    });
    waiting
        .recv_timeout(Duration::from_secs(600))
        .expect("the large stream holds the budget and waits for its source");
    let (begun, begins) = mpsc::channel();
    pool.spawn({
        let pool = pool.clone();
        move || {
            begun.send(()).unwrap();
            let (sink, contents) = MemorySink::new();
            opener().pool(pool).budget(budget).open(BytesSource::new(sealed(b"small")), sink).unwrap();
            done.send(contents.take().unwrap()).unwrap();
        }
    });
    begins.recv_timeout(Duration::from_secs(600)).unwrap();
    gate.store(true, Ordering::Release);
    let mut results =
        [(); 2].map(|()| ends.recv_timeout(Duration::from_secs(600)).expect("neither waits for ever"));
    results.sort_by_key(Vec::len);
    assert_eq!(results, [b"small".to_vec(), large]);
}
