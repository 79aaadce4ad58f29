//! How long a call takes to return after it was cancelled: file to file at a commit, and on an idle pipe.
//! It knows no bound, and tells no system call from what surrounds it: the call that runs and the clearing up count.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _, pipe};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use cofferdam::{CancelToken, Error, ErrorKind, Observer, PipeSource, Progress};
use cofferdam_bench::{Scale, Work, bytes, directory, opener, sealer};
use harness::Summary;

fn main() -> io::Result<()> {
    let scale = Scale::from_arguments();
    let parent = directory();
    let scratch = tempfile::tempdir_in(&parent)?;
    let [plaintext, sealed] = ["plaintext", "sealed"].map(|name| scratch.path().join(name));
    fs::write(&plaintext, bytes(scale.plaintext_len()))?;
    let segments = sealer().seal_file(&plaintext, &sealed).map_err(io::Error::other)?.segments;
    let (mib, parent) = (scale.plaintext_len() >> 20, parent.display());
    println!("{}\n", scale.preface(format!("{mib} MiB, everything at its default, files in {parent}.")));
    println!("| cancelled | times | median ms | maximum ms |");
    println!("|---|---|---|---|");
    for (work, input) in [(Work::Open, &sealed), (Work::Seal, &plaintext)] {
        row(&format!("{work:?}, file to file, at each commit in turn"), scale.choose(100, 1), |number| {
            at_a_commit(work, input, 1 + number % segments)
        })?;
        row(&format!("{work:?}, an idle pipe to a file"), scale.choose(20, 1), |number| {
            on_an_idle_pipe(work, input, Duration::from_millis(3 * (number % 20)))
        })?;
    }
    Ok(())
}

fn row(name: &str, times: u64, delay: impl Fn(u64) -> io::Result<Duration>) -> io::Result<()> {
    let delays = (0..times).map(delay).collect::<io::Result<Vec<_>>>()?;
    let Summary { median, range: [_, most], .. } = Summary::of_times(&delays);
    println!("| {name} | {times} | {:.1} | {:.1} |", median * 1e3, most * 1e3);
    Ok(())
}

/// Cancels from the observer, while the segments after the committed one are worked on.
fn at_a_commit(work: Work, input: &Path, segments: u64) -> io::Result<Duration> {
    let cancellation = Arc::new(Cancellation::default());
    let observer = Arc::new(AtCommit { segments, cancellation: cancellation.clone() });
    let token = cancellation.token.clone();
    cancellation.delay(input, |target| match work {
        Work::Open | Work::OpenInto => {
            opener().cancel(token).observer(observer).restore_file(input, target).map(drop)
        }
        Work::Seal => sealer().cancel(token).observer(observer).seal_file(input, target).map(drop),
    })
}

/// Cancels `wait` after the pipe has had its beginning, long before which it has been read.
fn on_an_idle_pipe(work: Work, input: &Path, wait: Duration) -> io::Result<Duration> {
    let cancellation = Arc::new(Cancellation::default());
    let (reader, mut writer) = pipe()?;
    let mut beginning = vec![0; BEGINNING_LEN];
    File::open(input)?.read_exact(&mut beginning)?;
    writer.write_all(&beginning)?;
    let source = PipeSource::new(OwnedFd::from(reader));
    let (token, canceller) = (cancellation.token.clone(), cancellation.clone());
    thread::scope(|scope| {
        scope.spawn(move || {
            thread::sleep(READ_BY + wait);
            canceller.cancel();
        });
        cancellation.delay(input, |target| match work {
            Work::Open | Work::OpenInto => opener().cancel(token).restore_to(source, target).map(drop),
            Work::Seal => sealer().cancel(token).seal_to(source, target).map(drop),
        })
    })
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

    /// From the cancellation to the return of `call`, on a new target beside `input`. A call that ended for another reason
    /// has nothing to measure.
    fn delay(&self, input: &Path, call: impl FnOnce(&Path) -> Result<(), Error>) -> io::Result<Duration> {
        let targets = tempfile::tempdir_in(input.parent().unwrap_or(input))?;
        let outcome = call(&targets.path().join("target"));
        let returned = Instant::now();
        match (outcome, self.at.get()) {
            (Err(error), Some(&at)) if error.kind() == ErrorKind::Cancelled => {
                Ok(returned.duration_since(at))
            }
            (Err(error), _) => Err(io::Error::other(error)),
            (Ok(()), _) => Err(io::Error::other("a call that was to be cancelled ran to its end")),
        }
    }
}

/// Cancels when this many segments have committed.
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

/// What comes through an idle pipe: more than stands before the first segment, and less than a pipe holds.
const BEGINNING_LEN: usize = 48 << 10;
/// A call has read the beginning by then.
const READ_BY: Duration = Duration::from_millis(100);
