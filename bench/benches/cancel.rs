//! How long a call takes to return after it was cancelled: file to file at a random commit, and on an idle pipe.
//! It knows no bound, and tells no system call from what surrounds it: the call that runs and the clearing up count.

use std::fs::{self, File};
use std::io::{self, Write, pipe};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use cofferdam::{
    Arrival, CancelToken, Error, ErrorKind, Identities, Observer, Opener, PipeSource, Progress, ReadAt,
    Recipients, SEGMENT_LEN_DEFAULT, Sealer, Source, WrappingKey,
};
use cofferdam_bench::{Scale, Work, bytes};

fn main() -> io::Result<()> {
    let scale = Scale::from_arguments();
    println!("{}\n", preface(scale));
    println!("| cancelled | times | median ms | 99th percentile ms | maximum ms | files left |");
    println!("|---|---|---|---|---|---|");
    let fixture = Fixture::new(scale)?;
    let mut seeded = Seeded(1);
    for work in [Work::Open, Work::Seal] {
        let name = format!("{work:?}, file to file, at a random commit");
        print_row(&name, times(scale), || fixture.at_a_commit(work, &mut seeded))?;
    }
    for work in [Work::Open, Work::Seal] {
        let name = format!("{work:?}, an idle pipe to a file, by another thread");
        print_row(&name, times_idle(scale), || fixture.on_an_idle_pipe(work, &mut seeded))?;
    }
    Ok(())
}

fn preface(scale: Scale) -> String {
    match scale {
        Scale::Measure => format!(
            "{} MiB in segments of {} MiB, everything else at its default, files in {}.",
            scale.plaintext_len() >> 20,
            SEGMENT_LEN_DEFAULT >> 20,
            std::env::temp_dir().display()
        ),
        Scale::Smoke => "Everything runs; the figures mean nothing. For figures: cargo bench.".to_owned(),
    }
}

/// Prints the row of what `sample` gave, so many times.
fn print_row(name: &str, times: usize, mut sample: impl FnMut() -> io::Result<Sample>) -> io::Result<()> {
    let samples = (0..times).map(|_| sample()).collect::<io::Result<Vec<_>>>()?;
    let mut delays: Vec<_> = samples.iter().map(|sample| sample.delay.as_secs_f64() * 1e3).collect();
    delays.sort_unstable_by(f64::total_cmp);
    let left: usize = samples.iter().map(|sample| sample.files_left).sum();
    println!(
        "| {name} | {times} | {:.1} | {:.1} | {:.1} | {left} |",
        delays[times / 2],
        delays[(times * 99).div_ceil(100) - 1],
        delays[times - 1],
    );
    Ok(())
}

/// What one cancelled call gave.
struct Sample {
    /// From the cancellation to the call's return.
    delay: Duration,
    /// What was then at the target or beside it.
    files_left: usize,
}

/// A plaintext and its sealed stream as files, and an empty directory for the targets.
struct Fixture {
    plaintext: PathBuf,
    sealed: PathBuf,
    targets: PathBuf,
    segments: u64,
    /// Owns the directory that all of them are in.
    _directory: tempfile::TempDir,
}

impl Fixture {
    fn new(scale: Scale) -> io::Result<Fixture> {
        let directory = tempfile::tempdir()?;
        let [plaintext, sealed, targets] =
            ["plaintext", "sealed", "targets"].map(|name| directory.path().join(name));
        fs::create_dir(&targets)?;
        fs::write(&plaintext, bytes(scale.plaintext_len()))?;
        let segments = sealer().seal_file(&plaintext, &sealed).map_err(io::Error::other)?.segments;
        Ok(Fixture { plaintext, sealed, targets, segments, _directory: directory })
    }

    fn input(&self, work: Work) -> &Path {
        match work {
            Work::Open => &self.sealed,
            Work::Seal => &self.plaintext,
        }
    }

    /// Cancels from the observer, while the segments behind the committed one are worked on.
    fn at_a_commit(&self, work: Work, seeded: &mut Seeded) -> io::Result<Sample> {
        let cancellation = Arc::new(Cancellation::default());
        let segments = 1 + seeded.below(self.segments);
        let observer = Arc::new(AtCommit { segments, cancellation: cancellation.clone() });
        let (token, input) = (cancellation.token.clone(), self.input(work));
        self.sample(&cancellation, |target| match work {
            Work::Open => opener().cancel(token).observer(observer).restore_file(input, target).map(drop),
            Work::Seal => sealer().cancel(token).observer(observer).seal_file(input, target).map(drop),
        })
    }

    /// Cancels when the pipe has been found empty, at any point of the next wait.
    fn on_an_idle_pipe(&self, work: Work, seeded: &mut Seeded) -> io::Result<Sample> {
        let cancellation = Arc::new(Cancellation::default());
        let wait = Duration::from_micros(seeded.below(WAIT_MICROS_MAX));
        let (reader, mut writer) = pipe()?;
        let mut beginning = vec![0; BEGINNING_LEN];
        io::Read::read_exact(&mut File::open(self.input(work))?, &mut beginning)?;
        writer.write_all(&beginning)?;
        let (found_empty, is_empty) = mpsc::channel();
        let source = IdlePipe { pipe: PipeSource::new(OwnedFd::from(reader)), found_empty };
        let (token, canceller) = (cancellation.token.clone(), cancellation.clone());
        thread::scope(|scope| {
            scope.spawn(move || {
                // An error says that the call has returned by itself, which the sample will not accept.
                if is_empty.recv().is_ok() {
                    thread::sleep(wait);
                    canceller.cancel();
                }
            });
            self.sample(&cancellation, |target| match work {
                Work::Open => opener().cancel(token).restore_to(source, target).map(drop),
                Work::Seal => sealer().cancel(token).seal_to(source, target).map(drop),
            })
        })
    }

    /// Removes what is left, which the next call would go on with, and counts it.
    fn clear_targets(&self) -> io::Result<usize> {
        let left = fs::read_dir(&self.targets)?.collect::<io::Result<Vec<_>>>()?;
        for file in &left {
            fs::remove_file(file.path())?;
        }
        Ok(left.len())
    }

    /// Runs `call` on a new target. A call that ended for another reason has nothing to measure.
    fn sample(
        &self,
        cancellation: &Cancellation,
        call: impl FnOnce(&Path) -> Result<(), Error>,
    ) -> io::Result<Sample> {
        let outcome = call(&self.targets.join("target"));
        let returned = Instant::now();
        match (outcome, cancellation.at.get()) {
            (Err(error), Some(&at)) if error.kind() == ErrorKind::Cancelled => {
                let files_left = self.clear_targets()?;
                Ok(Sample { delay: returned.duration_since(at), files_left })
            }
            (Err(error), _) => Err(io::Error::other(error)),
            (Ok(()), _) => Err(io::Error::other("a call that was to be cancelled ran to its end")),
        }
    }
}

/// A token that knows when it was used.
#[derive(Default)]
struct Cancellation {
    token: CancelToken,
    at: OnceLock<Instant>,
}

impl Cancellation {
    fn cancel(&self) {
        self.at.get_or_init(Instant::now);
        self.token.cancel();
    }
}

/// Cancels when so many segments have committed.
struct AtCommit {
    segments: u64,
    cancellation: Arc<Cancellation>,
}

impl Observer for AtCommit {
    fn progress(&self, progress: &Progress) {
        if progress.segments == self.segments {
            self.cancellation.cancel();
        }
    }
}

/// A pipe that tells when it was read in vain.
struct IdlePipe {
    pipe: PipeSource,
    found_empty: mpsc::Sender<()>,
}

impl Source for IdlePipe {
    fn len(&self) -> Option<u64> {
        self.pipe.len()
    }

    fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
        self.pipe.positioned()
    }

    fn read_within(&mut self, buffer: &mut [u8], patience: Duration) -> io::Result<Arrival> {
        let arrival = self.pipe.read_within(buffer, patience)?;
        if arrival == Arrival::NothingYet {
            // Who was told once has gone.
            let _ = self.found_empty.send(());
        }
        Ok(arrival)
    }
}

/// Numbers that look random and are the same in every run.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, bound: u64) -> u64 {
        // Knuth's MMIX generator; the upper bits are the good ones.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn sealer() -> Sealer {
    Sealer::new(Recipients::new().wrapping_key(WrappingKey::from_bytes(KEY)))
}

fn opener() -> Opener {
    Opener::new(Identities::new().wrapping_key(WrappingKey::from_bytes(KEY)))
}

fn times(scale: Scale) -> usize {
    match scale {
        Scale::Measure => 100,
        Scale::Smoke => 1,
    }
}

fn times_idle(scale: Scale) -> usize {
    match scale {
        Scale::Measure => 20,
        Scale::Smoke => 1,
    }
}

const KEY: [u8; 32] = [7; 32];
/// What comes through an idle pipe: more than stands before the first segment, and less than a pipe holds.
const BEGINNING_LEN: usize = 48 << 10;
/// More than one wait for a pipe takes, so that the cancellation falls anywhere into it.
const WAIT_MICROS_MAX: u64 = 60_000;
