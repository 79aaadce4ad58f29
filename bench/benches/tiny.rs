//! What a stream of 1 KiB costs to seal and to open, in microseconds, beside what ciphers and format alone demand.
//! It knows no file, and no age recipient, whose curve arithmetic takes longer than all of this.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use cofferdam::{
    Budget, BytesSource, Identities, MemorySink, NullSink, Opener, Pool, Recipients, Sealer, Suite,
    WrappingKey,
};
use cofferdam_bench::{BareStream, CipherCalls, Parts, Scale, Warm, Work, bytes, in_turn, timed};

fn main() {
    let scale = Scale::from_arguments();
    let (parts, fixture) = (Parts::from_arguments(), Fixture::new(scale));
    println!("{}\n", preface(scale));
    println!(
        "| work | threads | row | median µs a stream | fastest to slowest | beyond the cipher µs | streams a second |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (work, _) in
        [(Work::Seal, "seal"), (Work::Open, "open")].into_iter().filter(|(_, name)| parts.has(name))
    {
        for threads in scale.threads() {
            table(&fixture, work, threads);
        }
    }
}

fn preface(scale: Scale) -> String {
    match scale {
        Scale::Measure => format!(
            "{PLAINTEXT_LEN} bytes a stream, {} streams a round, {ROUNDS} rounds in turn after one to warm up.",
            streams(scale)
        ),
        Scale::Smoke => "Everything runs; the figures mean nothing. For figures: cargo bench.".to_owned(),
    }
}

fn table(fixture: &Fixture, work: Work, threads: NonZeroUsize) {
    let pool = Pool::new(threads).expect("the machine gives threads");
    let budget = Budget::new(MEMORY);
    let way = |row| -> Box<dyn Fn() -> Duration + '_> {
        let (pool, budget) = (&pool, &budget);
        Box::new(move || fixture.round(threads, || fixture.stream(work, row, pool, budget)))
    };
    let rounds = if fixture.scale == Scale::Measure { ROUNDS } else { 1 };
    let times = in_turn(&Row::ALL.map(way), rounds, Warm::Once);
    let count = fixture.streams_of_one_thread(threads) as f64;
    let micros = |time: Duration| time.as_secs_f64() * 1e6 / count;
    let cipher = micros(times[0][rounds / 2]);
    for (row, times) in Row::ALL.iter().zip(&times) {
        let median = micros(times[rounds / 2]);
        println!(
            "| {work:?} | {threads} | {} | {median:.1} | {:.1} to {:.1} | {:.1} | {:.0} |",
            row.name(work),
            micros(times[0]),
            micros(times[rounds - 1]),
            median - cipher,
            threads.get() as f64 * 1e6 / median,
        );
    }
}

/// What is done for each stream.
#[derive(Clone, Copy)]
enum Row {
    /// Its calls of the cipher.
    Cipher,
    /// All that the format demands, straight through.
    Straight,
    /// A sealer's or opener's call.
    Called,
}

impl Row {
    const ALL: [Row; 3] = [Row::Cipher, Row::Straight, Row::Called];

    fn name(self, work: Work) -> &'static str {
        match (self, work) {
            (Row::Cipher, _) => "bare cipher calls",
            (Row::Straight, _) => "all the format demands, straight through",
            (Row::Called, Work::Seal) => "`Sealer::seal`",
            (Row::Called, Work::Open) => "`Opener::open`",
        }
    }
}

/// What all rows work on.
struct Fixture {
    scale: Scale,
    plaintext: Arc<[u8]>,
    /// Streams of it, each with keys of its own. The rows of opening take them one after the other, over and over.
    sealed: Vec<Arc<[u8]>>,
    cipher: CipherCalls,
}

impl Fixture {
    fn new(scale: Scale) -> Fixture {
        let plaintext: Arc<[u8]> = bytes(PLAINTEXT_LEN).into();
        let sealer = sealer();
        let sealed = (0..SEALED).map(|_| {
            let (sink, wire) = MemorySink::new();
            sealer.seal(BytesSource::new(plaintext.clone()), sink).expect(WORKS);
            wire.take().expect(WORKS).into()
        });
        let sealed: Vec<Arc<[u8]>> = sealed.collect();
        check(&plaintext, &sealed, &BareStream::new(KEY));
        Fixture { scale, cipher: CipherCalls::new(PLAINTEXT_LEN), plaintext, sealed }
    }

    /// One thread's way of doing a stream, given its number.
    fn stream<'a>(
        &'a self,
        work: Work,
        row: Row,
        pool: &Pool,
        budget: &Budget,
    ) -> Box<dyn FnMut(usize) + 'a> {
        let mut room = vec![0; PLAINTEXT_LEN];
        let wire = |number: usize| &self.sealed[number % self.sealed.len()];
        match (row, work) {
            (Row::Cipher, Work::Seal) => Box::new(move |_| self.cipher.seal(black_box(&mut room))),
            (Row::Cipher, Work::Open) => Box::new(move |_| self.cipher.open(black_box(&mut room))),
            (Row::Straight, Work::Seal) => {
                let bare = BareStream::new(KEY);
                Box::new(move |_| drop(black_box(bare.seal(&self.plaintext))))
            }
            (Row::Straight, Work::Open) => {
                let bare = BareStream::new(KEY);
                Box::new(move |number| bare.open(wire(number), black_box(&mut room)))
            }
            (Row::Called, Work::Seal) => {
                let sealer = sealer().pool(pool.clone()).budget(budget.clone());
                Box::new(move |_| {
                    sealer.seal(BytesSource::new(self.plaintext.clone()), NullSink::new()).expect(WORKS);
                })
            }
            (Row::Called, Work::Open) => {
                let opener = opener().pool(pool.clone()).budget(budget.clone());
                Box::new(move |number| {
                    opener.open(BytesSource::new(wire(number).clone()), NullSink::new()).expect(WORKS);
                })
            }
        }
    }

    /// How long a round takes, divided among `threads` threads; each makes its way of doing a stream first.
    fn round<'a>(
        &self,
        threads: NonZeroUsize,
        make: impl Fn() -> Box<dyn FnMut(usize) + 'a> + Sync,
    ) -> Duration {
        let count = self.streams_of_one_thread(threads);
        timed(|| {
            thread::scope(|scope| {
                for _ in 0..threads.get() {
                    scope.spawn(|| (0..count).for_each(make()));
                }
            });
        })
    }

    fn streams_of_one_thread(&self, threads: NonZeroUsize) -> usize {
        streams(self.scale).div_ceil(threads.get())
    }
}

/// What is timed gives plaintext, and the straight way and the calls understand each other.
fn check(plaintext: &Arc<[u8]>, sealed: &[Arc<[u8]>], bare: &BareStream) {
    for wire in sealed {
        let mut opened = vec![0; plaintext.len()];
        bare.open(wire, &mut opened);
        assert!(*opened == **plaintext, "{WORKS}");
    }
    for wire in [bare.seal(plaintext).into(), sealed[0].clone()] {
        let (sink, opened) = MemorySink::new();
        opener().open(BytesSource::new(wire), sink).expect(WORKS);
        assert!(opened.take().as_deref() == Some(&**plaintext), "{WORKS}");
    }
}

fn sealer() -> Sealer {
    Sealer::new(Recipients::new().wrapping_key(WrappingKey::from_bytes(KEY))).suite(Suite::Aes256Gcm)
}

fn opener() -> Opener {
    Opener::new(Identities::new().wrapping_key(WrappingKey::from_bytes(KEY)))
}

/// Streams of a round.
fn streams(scale: Scale) -> usize {
    match scale {
        Scale::Measure => 10_000,
        Scale::Smoke => 10,
    }
}

const ROUNDS: usize = 10;
const PLAINTEXT_LEN: usize = 1024;
/// Different streams to open: more than the second-level cache holds.
const SEALED: usize = 500;
/// The default, shared by all streams.
const MEMORY: usize = 32 << 20;
const KEY: [u8; 32] = [7; 32];
const WORKS: &str = "a stream in memory has nothing that could fail";
