//! What a byte costs as streams grow, from 64 MiB to 16 GiB: sealed from nowhere to nowhere, verified, sealed and restored.
//! It knows no disk; beside each row from file to file `cp` copies as many bytes there and syncs them.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, iter};

use cofferdam::{
    BytesSource, FileSource, Identities, MemorySink, NullSink, Opener, ReadAt, Recipients, Sealer,
    WrappingKey,
};
use cofferdam_bench::{Generated, Measured, Parts, Scale, timed};
use rustix::fs::{statvfs, syncfs};

fn main() {
    if let Some(row) = Measured::row() {
        return measure(&row);
    }
    let (scale, parts) = (Scale::from_arguments(), Parts::from_arguments());
    let parent = env::var_os(DIRECTORY).map_or_else(env::temp_dir, PathBuf::from);
    let directory = tempfile::tempdir_in(&parent).expect("the directory can be written");
    check_generated();
    println!("{}\n", preface(scale, &parent));
    let base = base(scale);
    println!(
        "| work | MiB | median GB/s | slowest to fastest | a byte's time beside {base} MiB | peak MiB \
         | cp, synced, GB/s | slowest to fastest | a byte's time beside {base} MiB |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for work in Work::ROWS.into_iter().filter(|work| parts.has(work.name())) {
        let sizes = sizes(scale).filter(|mib| parts.has_number(*mib));
        let rows: Vec<_> = sizes.map(|mib| (mib, work.outcome(scale, mib << 20, directory.path()))).collect();
        let of_base =
            rows.iter().find(|(mib, _)| *mib == base).and_then(|(_, outcome)| outcome.as_ref().ok());
        for (mib, outcome) in &rows {
            match outcome {
                Ok(outcome) => println!("| {} | {mib} | {} |", work.name(), outcome.columns(of_base)),
                Err(why) => println!("| {} | {mib} | {why} | | | | | | |", work.name()),
            }
        }
    }
}

fn preface(scale: Scale, parent: &Path) -> String {
    match scale {
        Scale::Measure => format!(
            "Files in {}; all cores, everything at its default; {} rounds in turn with `cp`, {} above {base} MiB, each in a \
             process of its own after what is not written yet has been; GB/s are 10^9 bytes of plaintext.",
            parent.display(),
            rounds(scale, 0),
            rounds(scale, u64::MAX),
            base = base(scale),
        ),
        Scale::Smoke => "Everything runs; the figures mean nothing. For figures: cargo bench.".to_owned(),
    }
}

/// What is done with a stream's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Work {
    /// Sealed as they are generated, into a sink that drops them.
    Generated,
    /// Opened from a file, into a sink that drops them.
    Verify,
    /// Sealed, file to file.
    Seal,
    /// Restored, file to file.
    Restore,
    /// Copied by `cp`, then synced: no row, but what stands beside others.
    Copy,
}

impl Work {
    const ROWS: [Work; 4] = [Work::Generated, Work::Verify, Work::Seal, Work::Restore];

    fn name(self) -> &'static str {
        match self {
            Work::Generated => "generated",
            Work::Verify => "verify",
            Work::Seal => "seal",
            Work::Restore => "restore",
            Work::Copy => "cp",
        }
    }

    /// Measures a size of it, or says why it is left out.
    fn outcome(self, scale: Scale, len: u64, directory: &Path) -> Result<Outcome, String> {
        let files = self.files() * len;
        let free = statvfs(directory).map(|room| room.f_bavail * room.f_frsize).expect(WORKS);
        if free < files + ROOM_LEFT {
            let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
            return Err(format!("left out: {:.1} GiB are free of {:.1}", gib(free), gib(files + ROOM_LEFT)));
        }
        let place = Place::new(directory, len);
        self.prepare(&place);
        let mut outcome = Outcome { ours: Rounds::new(len), copied: Rounds::new(len) };
        for _ in 0..rounds(scale, len) {
            outcome.ours.push(place.child(self));
            if outcome.ours.times.len() == 1 {
                self.check(&place);
            }
            place.clear_target();
            if self.is_from_file_to_file() {
                outcome.copied.push(place.child(Work::Copy));
                place.clear_target();
            }
        }
        place.clear();
        Ok(outcome)
    }

    /// Files as long as the plaintext that stand there at once.
    fn files(self) -> u64 {
        match self {
            Work::Generated => 0,
            Work::Verify => 1,
            Work::Seal | Work::Restore | Work::Copy => 3,
        }
    }

    fn is_from_file_to_file(self) -> bool {
        matches!(self, Work::Seal | Work::Restore)
    }

    fn prepare(self, place: &Place) {
        if self.is_from_file_to_file() {
            place.write_plaintext();
        }
        if matches!(self, Work::Verify | Work::Restore) {
            sealer().seal_to(Generated::new(place.len), &place.sealed).expect(WORKS);
        }
    }

    /// Does it once, in a process of its own.
    fn perform(self, place: &Place) {
        match self {
            Work::Generated => {
                sealer().seal(Generated::new(place.len), NullSink::new()).expect(WORKS);
            }
            Work::Verify => {
                let sealed = FileSource::open(&place.sealed).expect(WORKS);
                opener().open(sealed, NullSink::new()).expect(WORKS);
            }
            Work::Seal => {
                sealer().seal_file(&place.plaintext, &place.target).expect(WORKS);
            }
            Work::Restore => {
                opener().restore_file(&place.sealed, &place.target).expect(WORKS);
            }
            Work::Copy => {
                let status = Command::new("cp").arg(&place.plaintext).arg(&place.target).status();
                assert!(status.expect(WORKS).success(), "cp failed");
                File::open(&place.target).and_then(|file| file.sync_all()).expect(WORKS);
                File::open(&place.directory).and_then(|directory| directory.sync_all()).expect(WORKS);
            }
        }
    }

    /// What has been made is what it should be.
    fn check(self, place: &Place) {
        match self {
            Work::Seal => {
                opener().restore_file(&place.target, &place.sealed).expect(WORKS);
                place.check_plaintext(&place.sealed);
                fs::remove_file(&place.sealed).expect(WORKS);
            }
            Work::Restore => place.check_plaintext(&place.target),
            Work::Generated | Work::Verify | Work::Copy => {}
        }
    }
}

/// Where the files of one size are.
struct Place {
    len: u64,
    directory: PathBuf,
    plaintext: PathBuf,
    sealed: PathBuf,
    target: PathBuf,
}

impl Place {
    fn new(directory: &Path, len: u64) -> Place {
        let [plaintext, sealed, target] = ["plaintext", "sealed", "target"].map(|name| directory.join(name));
        Place { len, directory: directory.into(), plaintext, sealed, target }
    }

    /// Does `work` in a process of its own, once all that others have written is on the disk.
    fn child(&self, work: Work) -> Measured {
        File::open(&self.directory).map(|directory| syncfs(directory).expect(WORKS)).expect(WORKS);
        let directory = self.directory.to_str().expect("temporary names are text").to_owned();
        Measured::of_child(&[work.name().to_owned(), self.len.to_string(), directory])
    }

    fn write_plaintext(&self) {
        let mut file = File::create(&self.plaintext).expect(WORKS);
        for block in self.blocks() {
            file.write_all(&block).expect(WORKS);
        }
    }

    fn check_plaintext(&self, path: &Path) {
        let mut file = File::open(path).expect(WORKS);
        let mut read = vec![0; BLOCK_LEN as usize];
        for block in self.blocks() {
            file.read_exact(&mut read[..block.len()]).expect(WORKS);
            assert!(read[..block.len()] == block, "{} is not the plaintext", path.display());
        }
        assert_eq!(file.read(&mut read).expect(WORKS), 0, "{} is longer than the plaintext", path.display());
    }

    /// The plaintext, a block after the other.
    fn blocks(&self) -> impl Iterator<Item = Vec<u8>> {
        let (generated, len) = (Generated::new(self.len), self.len);
        let offsets = iter::successors(Some(0), |offset| Some(offset + BLOCK_LEN));
        offsets.take_while(move |offset| *offset < len).map(move |offset| {
            let mut block = vec![0; BLOCK_LEN.min(len - offset) as usize];
            generated.read_exact_at(offset, &mut block).expect(WORKS);
            block
        })
    }

    fn clear_target(&self) {
        let _ = fs::remove_file(&self.target);
    }

    fn clear(&self) {
        for path in [&self.plaintext, &self.sealed] {
            let _ = fs::remove_file(path);
        }
    }
}

/// What one size came to.
struct Outcome {
    ours: Rounds,
    /// Empty where no files are made.
    copied: Rounds,
}

impl Outcome {
    fn columns(&self, base: Option<&Outcome>) -> String {
        let ours = self.ours.columns(base.map(|base| &base.ours));
        let [speed, range, beside] = &ours;
        let peak = self.ours.peak as f64 / f64::from(1 << 20);
        let copied = self.copied.columns(base.map(|base| &base.copied)).join(" | ");
        format!("{speed} | {range} | {beside} | {peak:.1} | {copied}")
    }
}

/// The rounds of one way at one size.
struct Rounds {
    len: u64,
    times: Vec<Duration>,
    peak: u64,
}

impl Rounds {
    fn new(len: u64) -> Rounds {
        Rounds { len, times: Vec::new(), peak: 0 }
    }

    fn push(&mut self, measured: Measured) {
        self.times.push(measured.time);
        self.peak = self.peak.max(measured.peak);
    }

    /// GB/s, from slowest to fastest.
    fn speeds(&self) -> Vec<f64> {
        let mut speeds: Vec<_> =
            self.times.iter().map(|time| self.len as f64 / time.as_secs_f64() / 1e9).collect();
        speeds.sort_unstable_by(f64::total_cmp);
        speeds
    }

    /// Speed, its range, and the time of a byte beside that of `base`.
    fn columns(&self, base: Option<&Rounds>) -> [String; 3] {
        let speeds = self.speeds();
        let (Some(slowest), Some(fastest)) = (speeds.first(), speeds.last()) else {
            return [(); 3].map(|()| String::new());
        };
        let median = speeds[speeds.len() / 2];
        let base = base.map(|base| base.speeds()).map(|speeds| speeds[speeds.len() / 2]);
        let beside = base.map_or(String::new(), |base| format!("{:.2}", base / median));
        [format!("{median:.2}"), format!("{slowest:.2} to {fastest:.2}"), beside]
    }
}

/// In the child: does the work once, and tells.
fn measure(row: &[String]) {
    let [name, len, directory] = row else { panic!("a row has three arguments") };
    let mut works = Work::ROWS.into_iter().chain([Work::Copy]);
    let work = works.find(|work| work.name() == name).expect(PARENT);
    let place = Place::new(directory.as_ref(), len.parse().expect(PARENT));
    Measured::tell(timed(|| work.perform(&place)));
}

/// A stream of what is generated opens as what is generated.
fn check_generated() {
    let (sink, sealed) = MemorySink::new();
    let generated = Generated::new(9 << 20);
    sealer().seal(generated.clone(), sink).expect(WORKS);
    let (sink, opened) = MemorySink::new();
    opener().open(BytesSource::new(sealed.take().expect(WORKS)), sink).expect(WORKS);
    let mut plaintext = vec![0; 9 << 20];
    generated.read_exact_at(0, &mut plaintext).expect(WORKS);
    assert!(opened.take() == Some(plaintext), "what was opened is what was generated");
}

fn sealer() -> Sealer {
    Sealer::new(Recipients::new().wrapping_key(WrappingKey::from_bytes(KEY)))
}

fn opener() -> Opener {
    Opener::new(Identities::new().wrapping_key(WrappingKey::from_bytes(KEY)))
}

/// In MiB.
fn sizes(scale: Scale) -> impl Iterator<Item = u64> {
    match scale {
        Scale::Measure => [64, 256, 1024, 4096, 8192, 16384].as_slice(),
        Scale::Smoke => [1, 9].as_slice(),
    }
    .iter()
    .copied()
}

/// The size that the others are compared with, in MiB.
fn base(scale: Scale) -> u64 {
    match scale {
        Scale::Measure => 1024,
        Scale::Smoke => 1,
    }
}

fn rounds(scale: Scale, len: u64) -> usize {
    match scale {
        Scale::Measure if len <= base(scale) << 20 => 5,
        Scale::Measure => 3,
        Scale::Smoke => 1,
    }
}

const KEY: [u8; 32] = [7; 32];
const BLOCK_LEN: u64 = 1 << 20;
/// What is left free on the disk, in bytes.
const ROOM_LEFT: u64 = 4 << 30;
/// Where the files go; without it, where temporary files do.
const DIRECTORY: &str = "COFFERDAM_BENCH_DIRECTORY";
const WORKS: &str = "nothing fails here that the bench is about";
const PARENT: &str = "the parent wrote it";
