//! A restore of 2 GiB by the real program, killed half-way: what it had is proved, and only the rest is read.
//! It knows nothing of the journal; it counts what is read of the sealed file.

#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cofferdam::{
    Arrival, FileSource, Identities, Opener, ReadAt, Recipients, Restored, Sealer, Source, WrappingKey,
};
use rustix::fs::statvfs;

const PLAINTEXT_LEN: u64 = 2 << 30;
const SEGMENT_LEN: u64 = 8 << 20;
const KEY: [u8; 32] = [3; 32];

/// A sealed file, and how much of it has been read.
struct Counted {
    file: Arc<dyn ReadAt>,
    read: Arc<AtomicU64>,
}

impl ReadAt for Counted {
    fn len(&self) -> u64 {
        self.file.len()
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read.fetch_add(buffer.len() as u64, Ordering::SeqCst);
        self.file.read_exact_at(offset, buffer)
    }
}

struct CountedSource(Arc<Counted>);

impl Source for CountedSource {
    fn len(&self) -> Option<u64> {
        Some(self.0.len())
    }

    fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
        Some(self.0.clone())
    }

    fn read_within(&mut self, _: &mut [u8], _: Duration) -> io::Result<Arrival> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

struct Fixture {
    directory: tempfile::TempDir,
}

impl Fixture {
    /// The plaintext repeats with a period that is no multiple of a frame.
    fn new() -> Fixture {
        let directory =
            if has_room("/dev/shm") { tempfile::tempdir_in("/dev/shm") } else { tempfile::tempdir() };
        let directory = directory.unwrap();
        let fixture = Fixture { directory };
        fs::write(fixture.path("key"), format!("{}\n", "03".repeat(32))).unwrap();
        let mut plain = fs::File::create(fixture.path("plain")).unwrap();
        let block: Vec<u8> =
            (0..1_000_003_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let mut left = PLAINTEXT_LEN;
        while left > 0 {
            let len = left.min(block.len() as u64);
            plain.write_all(&block[..len as usize]).unwrap();
            left -= len;
        }
        let recipients = Recipients::new().wrapping_key(WrappingKey::from_bytes(KEY));
        Sealer::new(recipients)
            .segment_len(SEGMENT_LEN)
            .seal_file(fixture.path("plain"), fixture.path("sealed"))
            .unwrap();
        fixture
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs the program and kills it once it says that half has committed. Gives what it said last.
    fn kill_half_way(&self) -> u64 {
        let mut child = Command::new(env!("CARGO_BIN_EXE_cofferdam"))
            .args(["restore", "--json", "--threads", "2", "--key-file", "key", "sealed", "target"])
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut committed = 0;
        for line in BufReader::new(child.stderr.take().unwrap()).lines() {
            let line = line.unwrap();
            let Some((_, rest)) = line.split_once("\"committed\":") else { continue };
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            committed = digits.parse().unwrap();
            if committed >= PLAINTEXT_LEN / 2 {
                break;
            }
        }
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success(), "it was done before it could be killed");
        assert!(!self.path("target").exists());
        committed
    }

    fn resume(&self) -> (Restored, u64) {
        let read = Arc::new(AtomicU64::new(0));
        let file = FileSource::open(self.path("sealed")).unwrap().positioned().unwrap();
        let source = CountedSource(Arc::new(Counted { file, read: read.clone() }));
        let identities = Identities::new().wrapping_key(WrappingKey::from_bytes(KEY));
        let restored = Opener::new(identities).restore_to(source, self.path("target")).unwrap();
        (restored, read.load(Ordering::SeqCst))
    }
}

#[test]
fn two_gibibytes_killed_half_way_read_only_the_rest_again() {
    let fixture = Fixture::new();
    let sealed_len = fs::metadata(fixture.path("sealed")).unwrap().len();
    let committed = fixture.kill_half_way();
    let (restored, read) = fixture.resume();
    println!(
        "killed at {:.1} %; kept {:.1} %; read {:.1} % of the sealed bytes",
        percent(committed, PLAINTEXT_LEN),
        percent(restored.resumed_bytes, PLAINTEXT_LEN),
        percent(read, sealed_len)
    );
    assert!(
        restored.resumed_bytes + 2 * SEGMENT_LEN >= committed,
        "{} of {committed} bytes were kept",
        restored.resumed_bytes
    );
    assert!(read <= sealed_len * 55 / 100, "{read} of {sealed_len} bytes were read");
    assert_same(&fixture.path("plain"), &fixture.path("target"));

    fs::remove_file(fixture.path("target")).unwrap();
    let committed = fixture.kill_half_way();
    let staging =
        OpenOptions::new().read(true).write(true).open(fixture.path(".target.cofferdam-staging")).unwrap();
    let at = 77 * SEGMENT_LEN + 12_345;
    let mut byte = [0];
    staging.read_exact_at(&mut byte, at).unwrap();
    staging.write_all_at(&[!byte[0]], at).unwrap();
    let (restored, read) = fixture.resume();
    assert!(
        restored.resumed_bytes + 3 * SEGMENT_LEN >= committed,
        "{} of {committed} bytes were kept, and one segment was changed",
        restored.resumed_bytes
    );
    assert!(read <= sealed_len * 55 / 100, "{read} of {sealed_len} bytes were read");
    assert_same(&fixture.path("plain"), &fixture.path("target"));
}

/// Whether plaintext, sealed stream and target fit there, with something to spare.
fn has_room(directory: &str) -> bool {
    statvfs(directory).is_ok_and(|found| found.f_bavail * found.f_frsize >= 4 * PLAINTEXT_LEN)
}

fn percent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole as f64
}

fn assert_same(one: &Path, other: &Path) {
    let [mut one, mut other] =
        [one, other].map(|path| BufReader::with_capacity(1 << 20, fs::File::open(path).unwrap()));
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let count = read_full(&mut one, &mut left);
        assert_eq!(count, read_full(&mut other, &mut right), "the lengths differ");
        if count == 0 {
            return;
        }
        assert!(left[..count] == right[..count], "the bytes differ");
    }
}

fn read_full(reader: &mut impl Read, buffer: &mut [u8]) -> usize {
    let mut count = 0;
    while count < buffer.len() {
        match reader.read(&mut buffer[count..]).unwrap() {
            0 => break,
            more => count += more,
        }
    }
    count
}
