//! Many streams at once in one process, with one pool and one budget: speed beside one stream's, and memory in all.
//! It knows one way to call: a thread a stream, as a server has it.

use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use cofferdam::{
    Budget, BytesSource, Identities, MemorySink, NullSink, Opener, Pool, ReaderSource, Recipients, Sealer,
    WrappingKey,
};
use cofferdam_bench::{Measured, Parts, Scale, bytes};

fn main() {
    if let Some(row) = Measured::row() {
        return Row::parse(&row).measure();
    }
    let (scale, parts) = (Scale::from_arguments(), Parts::from_arguments());
    let parent = env::var_os(DIRECTORY).map_or_else(|| PathBuf::from("/dev/shm"), PathBuf::from);
    let directory = tempfile::tempdir_in(&parent).expect("the directory can be written");
    println!("{}", preface(scale));
    for place in Place::ALL {
        if parts.has(place.name()) {
            let from_to = match place {
                Place::Memory => "from memory to a sink that drops them".to_owned(),
                Place::Reader => "from a reader, as from a pipe, to a sink that drops them".to_owned(),
                Place::Files => format!("file to file in {}", parent.display()),
            };
            println!("\n{} MiB a stream, {from_to}:\n", stream_len(scale, place) as f64 / MIB);
            table(scale, place, directory.path());
        }
    }
}

fn preface(scale: Scale) -> String {
    match scale {
        Scale::Measure => format!(
            "{} streams in each row on all cores, one pool, one budget of {} MiB, {} KiB of stack a calling thread; \
             {} rounds in turn, each row in a process of its own; GB/s are 10^9 bytes of plaintext.",
            streams(scale),
            BUDGET >> 20,
            STACK_LEN >> 10,
            rounds(scale)
        ),
        Scale::Smoke => "Everything runs; the figures mean nothing. For figures: cargo bench.".to_owned(),
    }
}

fn table(scale: Scale, place: Place, directory: &Path) {
    let stream_len = stream_len(scale, place);
    prepare(directory, stream_len);
    println!(
        "| work | at once | median GB/s | slowest to fastest | of one at once | peak MiB | of it threads and program \
         | must stay under | does |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for each in [Each::Seals, Each::Opens] {
        let row = |each, at_once| Row {
            each,
            place,
            at_once,
            streams: streams(scale),
            directory: directory.into(),
        };
        let outcomes = in_turn(scale, &at_once(scale).map(|at_once| row(each, at_once)));
        for (at_once, outcome) in at_once(scale).into_iter().zip(&outcomes) {
            let idle = Measured::of_child(&row(Each::Waits, at_once).arguments()).peak;
            let bytes = (streams(scale) * stream_len) as f64;
            print_row(each, at_once, &outcome.speeds(bytes), &outcomes[0].speeds(bytes), outcome.peak, idle);
        }
    }
}

fn print_row(each: Each, at_once: usize, speeds: &[f64], speeds_of_one: &[f64], peak: u64, idle: u64) {
    let median = |speeds: &[f64]| speeds[speeds.len() / 2];
    let bound = (BUDGET + at_once * PER_STREAM) as f64 * TOLERANCE;
    println!(
        "| {} | {at_once} | {:.2} | {:.2} to {:.2} | {:.2} | {:.1} | {:.1} | {:.1} | {} |",
        each.name(),
        median(speeds),
        speeds[speeds.len() - 1],
        speeds[0],
        median(speeds) / median(speeds_of_one),
        peak as f64 / MIB,
        idle as f64 / MIB,
        bound / MIB,
        if peak as f64 <= bound { "yes" } else { "no" },
    );
}

/// What the rounds of a row came to.
struct Outcome {
    /// Sorted.
    times: Vec<Duration>,
    /// The highest of all rounds, without the input that is held in memory.
    peak: u64,
}

impl Outcome {
    /// GB/s, the fastest first.
    fn speeds(&self, bytes: f64) -> Vec<f64> {
        self.times.iter().map(|time| bytes / time.as_secs_f64() / 1e9).collect()
    }
}

/// Runs the rows, each in a child, in turn.
fn in_turn(scale: Scale, rows: &[Row]) -> Vec<Outcome> {
    let mut outcomes: Vec<_> = rows.iter().map(|_| Outcome { times: Vec::new(), peak: 0 }).collect();
    for _ in 0..rounds(scale) {
        for (row, outcome) in rows.iter().zip(&mut outcomes) {
            let measured = Measured::of_child(&row.arguments());
            outcome.times.push(measured.time);
            outcome.peak = outcome.peak.max(measured.peak - row.held_input_len());
        }
    }
    outcomes.iter_mut().for_each(|outcome| outcome.times.sort_unstable());
    outcomes
}

/// A plaintext, and a stream of it, which has been opened once and was that plaintext.
fn prepare(directory: &Path, stream_len: usize) {
    let [plaintext, sealed] = [PLAINTEXT, SEALED].map(|name| directory.join(name));
    let _ = fs::remove_file(&sealed);
    fs::write(&plaintext, bytes(stream_len)).expect(WORKS);
    sealer().seal_file(&plaintext, &sealed).expect(WORKS);
    assert!(opened(&sealed) == bytes(stream_len), "what is opened is what was sealed");
}

/// What a row's threads do, once a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Each {
    Seals,
    Opens,
    /// Nothing: what the program and its threads take is seen.
    Waits,
}

impl Each {
    fn name(self) -> &'static str {
        match self {
            Each::Seals => "Seal",
            Each::Opens => "Open",
            Each::Waits => "Wait",
        }
    }
}

/// Where streams come from and go to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Memory,
    /// The same bytes, in order only: windows and what is read ahead are held as well.
    Reader,
    Files,
}

impl Place {
    const ALL: [Place; 3] = [Place::Memory, Place::Reader, Place::Files];

    fn name(self) -> &'static str {
        match self {
            Place::Memory => "memory",
            Place::Reader => "reader",
            Place::Files => "files",
        }
    }
}

/// A row: so many streams by so many threads at once.
struct Row {
    each: Each,
    place: Place,
    at_once: usize,
    streams: usize,
    directory: PathBuf,
}

impl Row {
    fn arguments(&self) -> Vec<String> {
        let words =
            [self.each.name(), self.place.name(), self.directory.to_str().expect("a name that we chose")];
        let numbers = [self.at_once, self.streams].map(|number| number.to_string());
        words.map(str::to_owned).into_iter().chain(numbers).collect()
    }

    fn parse(arguments: &[String]) -> Row {
        let [each, place, directory, at_once, streams] = arguments else {
            panic!("a row has five arguments")
        };
        let each = [Each::Seals, Each::Opens, Each::Waits].into_iter().find(|one| one.name() == each);
        let place = Place::ALL.into_iter().find(|one| one.name() == place);
        Row {
            each: each.expect(PARENT),
            place: place.expect(PARENT),
            at_once: at_once.parse().expect(PARENT),
            streams: streams.parse().expect(PARENT),
            directory: directory.into(),
        }
    }

    /// Runs the row in this process and tells its parent.
    fn measure(&self) {
        let shared = Shared {
            pool: Pool::new(Pool::threads_of_the_machine()).expect("the machine gives threads"),
            budget: Budget::new(BUDGET),
            // It lives as long as the process, and is there once.
            input: if self.held_input_len() > 0 { fs::read(self.input()).expect(WORKS).leak() } else { &[] },
        };
        let ready = Barrier::new(self.at_once + 1);
        let start = thread::scope(|scope| {
            for first in 0..self.at_once {
                let (shared, ready) = (&shared, &ready);
                let work = move || {
                    let one = self.way(shared);
                    ready.wait();
                    (first..self.streams).step_by(self.at_once).for_each(one);
                };
                let thread = thread::Builder::new().stack_size(STACK_LEN);
                thread.spawn_scoped(scope, work).expect("the machine gives threads");
            }
            ready.wait();
            Instant::now()
        });
        Measured::tell(start.elapsed());
        if self.place == Place::Files && self.each != Each::Waits {
            self.check_and_clear();
        }
    }

    /// One thread's way of doing a stream, given its number.
    fn way<'a>(&'a self, shared: &'a Shared) -> Box<dyn Fn(usize) + 'a> {
        let sealer = sealer().pool(shared.pool.clone()).budget(shared.budget.clone());
        let opener = opener().pool(shared.pool.clone()).budget(shared.budget.clone());
        let source = || BytesSource::new(shared.input);
        match (self.each, self.place) {
            (Each::Waits, _) => Box::new(|_| {}),
            (Each::Seals, Place::Memory) => Box::new(move |_| {
                sealer.seal(source(), NullSink::new()).expect(WORKS);
            }),
            (Each::Opens, Place::Memory) => Box::new(move |_| {
                opener.open(source(), NullSink::new()).expect(WORKS);
            }),
            (Each::Seals, Place::Reader) => Box::new(move |_| {
                sealer.seal(ReaderSource::new(shared.input), NullSink::new()).expect(WORKS);
            }),
            (Each::Opens, Place::Reader) => Box::new(move |_| {
                opener.open(ReaderSource::new(shared.input), NullSink::new()).expect(WORKS);
            }),
            (Each::Seals, Place::Files) => Box::new(move |number| {
                sealer.seal_file(&self.input(), &self.target(number)).expect(WORKS);
            }),
            (Each::Opens, Place::Files) => Box::new(move |number| {
                opener.restore_file(&self.input(), &self.target(number)).expect(WORKS);
            }),
        }
    }

    /// After the figures have been told: the last target is what it should be. All of them are removed.
    fn check_and_clear(&self) {
        let plaintext = fs::read(self.directory.join(PLAINTEXT)).expect(WORKS);
        let last = self.target(self.streams - 1);
        let made = if self.each == Each::Seals { opened(&last) } else { fs::read(&last).expect(WORKS) };
        assert!(made == plaintext, "{} is not what was sealed", last.display());
        (0..self.streams).for_each(|number| fs::remove_file(self.target(number)).expect(WORKS));
    }

    fn input(&self) -> PathBuf {
        self.directory.join(if self.each == Each::Seals { PLAINTEXT } else { SEALED })
    }

    fn target(&self, number: usize) -> PathBuf {
        self.directory.join(format!("target-{number}"))
    }

    /// Bytes of input that the process holds, for all streams.
    fn held_input_len(&self) -> u64 {
        let holds = self.place != Place::Files && self.each != Each::Waits;
        if holds { fs::metadata(self.input()).expect(WORKS).len() } else { 0 }
    }
}

/// What all streams of a process share.
struct Shared {
    pool: Pool,
    budget: Budget,
    input: &'static [u8],
}

fn opened(sealed: &Path) -> Vec<u8> {
    let (sink, opened) = MemorySink::new();
    opener().open(BytesSource::new(fs::read(sealed).expect(WORKS)), sink).expect(WORKS);
    opened.take().expect("the stream was published")
}

fn sealer() -> Sealer {
    Sealer::new(Recipients::new().wrapping_key(WrappingKey::from_bytes(KEY)))
}

fn opener() -> Opener {
    Opener::new(Identities::new().wrapping_key(WrappingKey::from_bytes(KEY)))
}

fn at_once(scale: Scale) -> [usize; 4] {
    match scale {
        Scale::Measure => [1, 10, 100, 1000],
        Scale::Smoke => [1, 2, 4, 8],
    }
}

fn streams(scale: Scale) -> usize {
    at_once(scale)[3]
}

fn rounds(scale: Scale) -> usize {
    match scale {
        Scale::Measure => 3,
        Scale::Smoke => 1,
    }
}

/// Two segments; of files half of one, since all targets stand there at once.
fn stream_len(scale: Scale, place: Place) -> usize {
    match (scale, place) {
        (Scale::Measure, Place::Memory | Place::Reader) => 16 << 20,
        (Scale::Measure, Place::Files) => 4 << 20,
        (Scale::Smoke, _) => 1 << 20,
    }
}

const KEY: [u8; 32] = [7; 32];
/// The default, shared by all streams.
const BUDGET: usize = 32 << 20;
/// What a stream may take beyond the budget.
const PER_STREAM: usize = 64 << 10;
/// For what is rounded up to pages, and what an allocator keeps.
const TOLERANCE: f64 = 1.1;
/// An eighth of what Rust gives a thread; it is address space, and memory only as far as it is touched.
const STACK_LEN: usize = 256 << 10;
const MIB: f64 = (1 << 20) as f64;
/// Where the files go; without it, to memory.
const DIRECTORY: &str = "COFFERDAM_BENCH_DIRECTORY";
const PLAINTEXT: &str = "plaintext";
const SEALED: &str = "sealed";
const WORKS: &str = "nothing fails here that the bench is about";
const PARENT: &str = "the parent wrote it";
