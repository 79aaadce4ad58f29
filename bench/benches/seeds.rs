//! One sealed stream restored in full and over a seed, in turn, from a fast source and from one of 100 MB/s, as a Markdown table.
//! It knows of a seed what is changed in it: one segment in a hundred.
//!
//! Seed and target lie in the directory that `COFFERDAM_BENCH_DIRECTORY` names: on XFS they share blocks. The sealed
//! stream lies in the system's directory for such things (`TMPDIR`), in the page cache.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use cofferdam::{Arrival, FileSource, Opener, ReadAt, Restored, SEGMENT_LEN_DEFAULT, Source};
use cofferdam_bench::{Scale, Timed, bytes, directory, is_wanted, opener, sealer, times};
use harness::{Effort, Summary, WarmUp, ratio, timed};

fn main() {
    let scale = Scale::from_arguments();
    let parent = directory();
    let scratch = tempfile::tempdir_in(&parent).expect(WORKS);
    let elsewhere = tempfile::tempdir().expect(WORKS);
    let segments = scale.choose(256, 3);
    let fixture = Fixture::new(scratch.path(), elsewhere.path(), segments);
    let len = fixture.len >> 20;
    println!(
        "{len} MiB in {segments} segments of 8 MiB, one in a hundred changed, files in {}.\n",
        parent.display()
    );
    println!(
        "| source | rounds | full restore, median s | over the seed, median s | over the seed beside full | fastest to slowest | read of the sealed bytes |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (name, pace, rounds) in [("fast", None, 9), ("100 MB/s", Some(100_000_000), 3)] {
        if is_wanted(name) {
            fixture.row(name, pace, scale.choose(rounds, 1));
        }
    }
}

struct Fixture {
    seed: PathBuf,
    target: PathBuf,
    sealed: PathBuf,
    len: u64,
    /// Bytes read of the sealed stream by the last restore.
    read: Arc<AtomicU64>,
}

impl Fixture {
    fn new(here: &Path, elsewhere: &Path, segments: usize) -> Fixture {
        let fixture = Fixture {
            seed: here.join("old"),
            target: here.join("target"),
            sealed: elsewhere.join("sealed"),
            len: segments as u64 * SEGMENT_LEN_DEFAULT,
            read: Arc::default(),
        };
        let mut plaintext = bytes(fixture.len as usize);
        fs::write(&fixture.seed, &plaintext).expect(WORKS);
        for segment in (0..segments).step_by(100) {
            plaintext[segment * SEGMENT_LEN_DEFAULT as usize] ^= 1;
        }
        let new = elsewhere.join("new");
        fs::write(&new, &plaintext).expect(WORKS);
        drop(plaintext);
        sealer().seal_file(&new, &fixture.sealed).expect(WORKS);
        fs::remove_file(new).expect(WORKS);
        fs::File::open(&fixture.seed).and_then(|seed| seed.sync_all()).expect(WORKS);
        fixture
    }

    fn row(&self, name: &str, pace: Option<u64>, rounds: usize) {
        let mut ways: [Timed<'_>; 2] = [
            Box::new(|| Ok(self.restore(&opener(), pace))),
            Box::new(|| Ok(self.restore(&opener().seed(&self.seed), pace))),
        ];
        let times = times(&mut ways, Effort::of(rounds, WarmUp::FirstRound));
        // The last restore of a row is either; only that over the seed is told.
        self.restore(&opener().seed(&self.seed), pace);
        let read =
            self.read.load(Ordering::Relaxed) as f64 / fs::metadata(&self.sealed).expect(WORKS).len() as f64;
        let [full, seeded] = [&times[0], &times[1]].map(|times| Summary::of_times(times).median);
        let Summary { median, range: [least, most], .. } = ratio(&times[1], &times[0]);
        println!(
            "| {name} | {rounds} | {full:.2} | {seeded:.2} | {median:.2} | {least:.2} to {most:.2} | {:.1} % |",
            read * 100.0
        );
    }

    fn restore(&self, opener: &Opener, pace: Option<u64>) -> Duration {
        self.read.store(0, Ordering::Relaxed);
        let file = FileSource::open(&self.sealed).expect(WORKS).positioned().expect(WORKS);
        let source = Paced { file, read: self.read.clone(), pace, next: Mutex::new(Instant::now()) };
        let mut restored: Option<Restored> = None;
        let time = timed(|| {
            restored = Some(opener.restore_to(PacedSource(Arc::new(source)), &self.target).expect(WORKS))
        });
        assert_eq!(restored.map(|restored| restored.plaintext_len), Some(self.len));
        fs::remove_file(&self.target).expect(WORKS);
        time
    }
}

/// A file of which so many bytes a second can be read, and no fewer.
struct Paced {
    file: Arc<dyn ReadAt>,
    read: Arc<AtomicU64>,
    pace: Option<u64>,
    /// When the next byte can come.
    next: Mutex<Instant>,
}

impl ReadAt for Paced {
    fn len(&self) -> u64 {
        self.file.len()
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        // A count for people: nothing else is read on its strength.
        self.read.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        if let Some(pace) = self.pace {
            let due = {
                let mut next = self.next.lock().expect("nobody panics with it");
                *next =
                    (*next).max(Instant::now()) + Duration::from_secs_f64(buffer.len() as f64 / pace as f64);
                *next
            };
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        self.file.read_exact_at(offset, buffer)
    }
}

struct PacedSource(Arc<Paced>);

impl Source for PacedSource {
    fn len(&self) -> Option<u64> {
        Some(self.0.len())
    }

    fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
        Some(self.0.clone())
    }

    fn read_within(&mut self, _buffer: &mut [u8], _patience: Duration) -> io::Result<Arrival> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

const WORKS: &str = "a restore of a good stream has nothing that could fail";
