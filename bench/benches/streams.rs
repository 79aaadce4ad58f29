//! Many streams at once in one process, with one pool and one budget: speed beside one stream's, and memory in all.
//! It knows one way to call: a thread a stream, as a server has it. Each row runs in a process of its own, for its peak.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Barrier, OnceLock};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use cofferdam::{Budget, BytesSource, MemorySink, NullSink, Pool, ReaderSource};
use cofferdam_bench::{Scale, bytes, directory, is_wanted, opener, sealer};
use harness::{Effort, Summary, Variant, WarmUp, interleaved, ratio};

fn main() {
    let mut arguments = env::args().skip(1);
    if arguments.next().as_deref() == Some(ROW) {
        return Row::parse(&arguments.collect::<Vec<_>>()).measure();
    }
    let scale = Scale::from_arguments();
    let scratch = tempfile::tempdir_in(directory()).expect("the directory can be written");
    let about = format!(
        "All cores, one pool, one budget of {} MiB, {} KiB of stack a calling thread; {ROUNDS} rounds in turn; GB/s are \
         10^9 bytes of plaintext.",
        BUDGET >> 20,
        STACK_LEN >> 10
    );
    println!("{}", scale.preface(about));
    for place in Place::ALL.into_iter().filter(|place| is_wanted(place.name())) {
        table(scale, place, scratch.path());
    }
}

fn table(scale: Scale, place: Place, scratch: &Path) {
    let (stream_len, streams) = place.extent(scale);
    prepare(scratch, stream_len);
    println!("\n{streams} streams of {} KiB, {}:\n", stream_len >> 10, place.text());
    println!(
        "| work | at once | median µs a stream | GB/s | of one at once | quartiles | peak MiB | must stay under | does |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for work in ["Seal", "Open"] {
        let at_once = place.at_once(scale);
        let row = |at_once| Row { work: work.to_owned(), place, at_once, streams, scratch: scratch.into() };
        let rows: Vec<Row> = at_once.iter().copied().map(row).collect();
        let mut ways: Vec<Variant<'_, Measured, String>> =
            rows.iter().map(|row| Box::new(|| row.in_child()) as Variant<'_, _, _>).collect();
        let effort = Effort::of(scale.choose(ROUNDS, 1), WarmUp::None);
        let samples = interleaved(&mut ways, effort).unwrap_or_else(|error| panic!("{error}"));
        let of_one: Vec<Duration> = samples[0].iter().map(|sample| sample.time).collect();
        for (row, samples) in rows.iter().zip(&samples) {
            println!("{}", row.line(stream_len, samples, &of_one));
        }
    }
}

/// A plaintext, and a stream of it, which has been opened once and was that plaintext.
fn prepare(scratch: &Path, stream_len: usize) {
    let [plaintext, sealed] = ["Seal", "Open"].map(|input| scratch.join(input));
    let _ = fs::remove_file(&sealed);
    fs::write(&plaintext, bytes(stream_len)).expect(WORKS);
    sealer().seal_file(&plaintext, &sealed).expect(WORKS);
    assert!(opened(&sealed) == bytes(stream_len), "what is opened is what was sealed");
}

fn opened(sealed: &Path) -> Vec<u8> {
    let (sink, opened) = MemorySink::new();
    opener().open(BytesSource::new(fs::read(sealed).expect(WORKS)), sink).expect(WORKS);
    opened.take().expect("the stream was published")
}

/// Where streams come from and go to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// So short that what counts is the cost of a stream, not of its bytes.
    Tiny,
    Memory,
    /// The same bytes, in order only: windows and what is read ahead are held as well.
    Reader,
    Files,
}

impl Place {
    const ALL: [Place; 4] = [Place::Tiny, Place::Memory, Place::Reader, Place::Files];

    fn name(self) -> &'static str {
        match self {
            Place::Tiny => "tiny",
            Place::Memory => "memory",
            Place::Reader => "reader",
            Place::Files => "files",
        }
    }

    fn text(self) -> String {
        match self {
            Place::Tiny | Place::Memory => "from memory to a sink that drops them".to_owned(),
            Place::Reader => "from a reader, as from a pipe, to a sink that drops them".to_owned(),
            Place::Files => format!("file to file in {}", directory().display()),
        }
    }

    /// Bytes of a stream, and streams of a row. Of files half a segment, since all targets stand there at once.
    fn extent(self, scale: Scale) -> (usize, usize) {
        let measure = match self {
            Place::Tiny => (1 << 10, 20_000),
            Place::Memory | Place::Reader => (16 << 20, 1000),
            Place::Files => (4 << 20, 1000),
        };
        scale.choose(measure, (measure.0.min(1 << 20), 8))
    }

    fn at_once(self, scale: Scale) -> &'static [usize] {
        match self {
            Place::Tiny => &[1, 2],
            _ => scale.choose(&[1, 100, 1000], &[1, 8]),
        }
    }
}

/// What a row took.
struct Measured {
    time: Duration,
    /// The most bytes that were resident at once, without the input that is held in memory.
    peak: u64,
}

/// Some streams, by so many threads at once.
struct Row {
    /// `Seal` or `Open`, and the name of the input.
    work: String,
    place: Place,
    at_once: usize,
    streams: usize,
    scratch: PathBuf,
}

impl Row {
    fn line(&self, stream_len: usize, samples: &[Measured], of_one: &[Duration]) -> String {
        let times: Vec<Duration> = samples.iter().map(|sample| sample.time).collect();
        let seconds = Summary::of_times(&times).median;
        let beside = ratio(of_one, &times);
        let peak = samples.iter().map(|sample| sample.peak).max().unwrap_or_default() as f64;
        let bound = (BUDGET + self.at_once * PER_STREAM) as f64 * TOLERANCE;
        format!(
            "| {} | {} | {:.1} | {:.2} | {:.2} | {:.0} % | {:.1} | {:.1} | {} |",
            self.work,
            self.at_once,
            seconds * 1e6 / self.streams as f64,
            (self.streams * stream_len) as f64 / seconds / 1e9,
            beside.median,
            beside.spread() * 100.0,
            peak / MIB,
            bound / MIB,
            if peak <= bound { "yes" } else { "no" },
        )
    }

    /// Measures the row in a process of its own.
    fn in_child(&self) -> Result<Measured, String> {
        let scratch = self.scratch.to_str().expect("a name that we chose");
        let numbers = [self.at_once, self.streams].map(|number| number.to_string());
        let words = [ROW, &self.work, self.place.name(), scratch, &numbers[0], &numbers[1]];
        let own = env::current_exe().expect("the program knows its path");
        let output = Command::new(own).args(words).stderr(Stdio::inherit()).output();
        let output = output.map_err(|error| error.to_string())?;
        let printed = String::from_utf8_lossy(&output.stdout);
        let told = printed.trim().split_once(' ').filter(|_| output.status.success());
        let told = told.and_then(|(nanos, peak)| Some((nanos.parse().ok()?, peak.parse::<u64>().ok()?)));
        let (nanos, peak) = told.ok_or_else(|| format!("the row {words:?} printed {printed:?}"))?;
        Ok(Measured { time: Duration::from_nanos(nanos), peak: peak - self.held_len() })
    }

    fn parse(words: &[String]) -> Row {
        let [work, place, scratch, at_once, streams] = words else { panic!("a row has five words") };
        Row {
            work: work.clone(),
            place: Place::ALL.into_iter().find(|one| one.name() == place).expect(PARENT),
            at_once: at_once.parse().expect(PARENT),
            streams: streams.parse().expect(PARENT),
            scratch: scratch.into(),
        }
    }

    /// In the child: runs the row, tells its parent, and looks at the last target.
    fn measure(&self) {
        let shared = Shared {
            pool: Pool::new(Pool::threads_of_the_machine()).expect("the machine gives threads"),
            budget: Budget::new(BUDGET),
            // It lives as long as the process, and is there once.
            input: if self.held_len() > 0 { fs::read(self.input()).expect(WORKS).leak() } else { &[] },
        };
        let (ready, begun) = (Barrier::new(self.at_once), OnceLock::new());
        thread::scope(|scope| {
            for first in 0..self.at_once {
                let (shared, ready, begun) = (&shared, &ready, &begun);
                let work = move || {
                    let mut stream = self.stream(shared);
                    ready.wait();
                    begun.get_or_init(Instant::now);
                    (first..self.streams).step_by(self.at_once).for_each(&mut stream);
                };
                let thread = thread::Builder::new().stack_size(STACK_LEN);
                thread.spawn_scoped(scope, work).expect("the machine gives threads");
            }
        });
        let begun = begun.get().expect("there is a thread at least");
        println!("{} {}", begun.elapsed().as_nanos(), peak());
        if self.place == Place::Files {
            self.check_and_clear();
        }
    }

    /// One thread's way of doing a stream, given its number.
    fn stream<'a>(&'a self, shared: &'a Shared) -> Box<dyn FnMut(usize) + 'a> {
        let sealer = sealer().pool(shared.pool.clone()).budget(shared.budget.clone());
        let opener = opener().pool(shared.pool.clone()).budget(shared.budget.clone());
        let source = || BytesSource::new(shared.input);
        let reader = || ReaderSource::new(shared.input);
        let seals = self.work == "Seal";
        match self.place {
            Place::Tiny | Place::Memory if seals => Box::new(move |_| {
                sealer.seal(source(), NullSink::new()).expect(WORKS);
            }),
            Place::Tiny | Place::Memory => Box::new(move |_| {
                opener.open(source(), NullSink::new()).expect(WORKS);
            }),
            Place::Reader if seals => Box::new(move |_| {
                sealer.seal(reader(), NullSink::new()).expect(WORKS);
            }),
            Place::Reader => Box::new(move |_| {
                opener.open(reader(), NullSink::new()).expect(WORKS);
            }),
            Place::Files if seals => Box::new(move |number| {
                sealer.seal_file(self.input(), self.target(number)).expect(WORKS);
            }),
            Place::Files => Box::new(move |number| {
                opener.restore_file(self.input(), self.target(number)).expect(WORKS);
            }),
        }
    }

    fn check_and_clear(&self) {
        let last = self.target(self.streams - 1);
        let made = if self.work == "Seal" { opened(&last) } else { fs::read(&last).expect(WORKS) };
        assert!(made == fs::read(self.scratch.join("Seal")).expect(WORKS), "{} is another", last.display());
        (0..self.streams).for_each(|number| fs::remove_file(self.target(number)).expect(WORKS));
    }

    fn input(&self) -> PathBuf {
        self.scratch.join(&self.work)
    }

    fn target(&self, number: usize) -> PathBuf {
        self.scratch.join(format!("target-{number}"))
    }

    /// Bytes of input that the process holds, for all streams.
    fn held_len(&self) -> u64 {
        if self.place == Place::Files { 0 } else { fs::metadata(self.input()).expect(WORKS).len() }
    }
}

/// What all streams of a process share.
struct Shared {
    pool: Pool,
    budget: Budget,
    input: &'static [u8],
}

/// The most bytes of this process that were resident at once: `VmHWM` of proc(5).
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux tells a process of itself");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak is told");
    line.trim().trim_end_matches("kB").trim().parse::<u64>().expect("it is told in KiB") << 10
}

const ROUNDS: usize = 3;
/// The default, shared by all streams.
const BUDGET: usize = 32 << 20;
/// What a stream may take beyond the budget.
const PER_STREAM: usize = 64 << 10;
/// For what is rounded up to pages, and what an allocator keeps.
const TOLERANCE: f64 = 1.1;
/// An eighth of what Rust gives a thread; it is address space, and memory only as far as it is touched.
const STACK_LEN: usize = 256 << 10;
const MIB: f64 = (1 << 20) as f64;
/// Stands before a row's words.
const ROW: &str = "--row";
const WORKS: &str = "nothing fails here that the bench is about";
const PARENT: &str = "the parent wrote it";
