//! Owns round trips of age files both ways with `age`, and with other programs that environment variables name: at every chunk edge,
//! on any number of threads, and through files too large to be taken at once. `cargo xtask age` says how many.
//! Refuses to know what is in an age file.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod streams;

use std::env;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cofferdam::{
    BytesSource, Foreign, Format, Identities, Identity, MemorySink, Opener, ReaderSource, Recipients,
    Restored, SealedAs, Sealer, Wholeness,
};

use streams::{READINGS, Reading, counted, in_order, open, scratch, threads};

/// The programs, one after another as in `PATH`, where it is not `age` alone.
const PROGRAMS_VARIABLE: &str = "COFFERDAM_AGE_PROGRAMS";

/// Up to how many chunks every edge of one is tried, where not those alone that [`EDGES`] names.
const CHUNKS_VARIABLE: &str = "COFFERDAM_AGE_CHUNKS";

/// Up to how many threads every number of them is tried, where not those alone that [`THREADS`] names.
const THREADS_VARIABLE: &str = "COFFERDAM_AGE_THREADS";

/// MiB of the large file, beside some bytes.
const LARGE_VARIABLE: &str = "COFFERDAM_AGE_LARGE";

const CHUNK: usize = 64 * 1024;
/// In chunks: none, one, two, as many as a run has, and as two runs have.
const EDGES: [usize; 5] = [0, 1, 2, 8, 16];
const THREADS: [usize; 3] = [1, 2, 4];
const LARGE_MIB: usize = 24;

fn programs() -> Vec<PathBuf> {
    env::var_os(PROGRAMS_VARIABLE).map_or_else(|| vec!["age".into()], |it| env::split_paths(&it).collect())
}

fn number(variable: &str) -> Option<usize> {
    env::var(variable).ok().map(|value| value.parse().expect(variable))
}

/// Lengths of plaintexts: beside each edge of a chunk and on it, and one that ends nowhere near.
fn sizes() -> Vec<usize> {
    let edges = number(CHUNKS_VARIABLE).map_or_else(|| EDGES.to_vec(), |chunks| (0..=chunks).collect());
    let mut sizes: Vec<usize> = edges
        .iter()
        .map(|chunks| chunks * CHUNK)
        .flat_map(|edge| [edge.checked_sub(1), Some(edge), Some(edge + 1)].into_iter().flatten())
        .collect();
    sizes.push(40 * CHUNK + 777);
    sizes
}

fn thread_counts() -> Vec<usize> {
    number(THREADS_VARIABLE).map_or_else(|| THREADS.to_vec(), |most| (1..=most).collect())
}

/// Somebody's key, in a file too, and one of the programs.
struct Other {
    program: PathBuf,
    identity: Identity,
    directory: tempfile::TempDir,
}

impl Other {
    fn new(program: PathBuf, directory: tempfile::TempDir) -> Other {
        let identity = Identity::generate();
        fs::write(directory.path().join("key.txt"), identity.file_text("today").unwrap().as_bytes()).unwrap();
        Other { program, identity, directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn opener(&self, count: usize) -> Opener {
        let text = self.identity.file_text("today").unwrap();
        let identities = Identities::new().identity_file(text.as_bytes()).unwrap();
        Opener::new(identities).foreign(Foreign::Open).threads(threads(count))
    }

    fn sealer(&self, count: usize) -> Sealer {
        let recipients = Recipients::new().parse(&self.identity.recipient()).unwrap();
        Sealer::new(recipients).sealed_as(SealedAs::Age).threads(threads(count))
    }

    fn to_seal(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["-r", &self.identity.recipient()]);
        command
    }

    fn to_open(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("-d").arg("-i").arg(self.path("key.txt"));
        command
    }

    fn seal(&self, plaintext: &[u8], armored: bool) -> Vec<u8> {
        let mut command = self.to_seal();
        if armored {
            command.arg("-a");
        }
        run(command, plaintext)
    }

    fn open(&self, sealed: &[u8]) -> Vec<u8> {
        run(self.to_open(), sealed)
    }
}

/// What `command` writes for `input`.
fn run(mut command: Command, input: &[u8]) -> Vec<u8> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap_or_else(|error| {
        panic!("{command:?}: {error}; `cargo xtask setup` installs age");
    });
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{command:?}");
        output.stdout
    })
}

/// Runs `command`, which reads a file and writes one.
fn run_on_files(mut command: Command, from: &Path, to: &Path) {
    let status = command.arg("-o").arg(to).arg(from).status().unwrap();
    assert!(status.success(), "{command:?}");
}

fn assert_proved(restored: &Restored, len: usize) {
    let foreign = restored.foreign.unwrap();
    assert_eq!((foreign.format, foreign.claim), (Format::Age, Wholeness::Proved));
    assert_eq!(restored.plaintext_len, len as u64);
}

#[test]
fn what_others_have_sealed_opens_at_every_size_on_any_number_of_threads() {
    for program in programs() {
        let other = Other::new(program, scratch());
        for size in sizes() {
            let plaintext = counted(size);
            let bare = other.seal(&plaintext, false);
            let armored = other.seal(&plaintext, true);
            assert!(armored.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----"));
            for (count, sealed) in thread_counts().into_iter().flat_map(|it| [(it, &bare), (it, &armored)]) {
                for reading in READINGS {
                    let (restored, opened) = open(&other.opener(count), reading, sealed.clone()).unwrap();
                    assert!(
                        opened == plaintext,
                        "{:?}: {size}, {reading:?}, {count} threads, armored: {}",
                        other.program,
                        sealed.starts_with(b"-")
                    );
                    assert_proved(&restored, size);
                }
            }
        }
    }
}

#[test]
fn what_is_sealed_as_an_age_file_others_open_and_so_do_we() {
    for program in programs() {
        let other = Other::new(program, scratch());
        for size in sizes() {
            let plaintext = counted(size);
            for (count, reading) in thread_counts().into_iter().flat_map(|it| READINGS.map(|way| (it, way))) {
                let what = format!("{:?}: {size}, {reading:?}, {count} threads", other.program);
                let (sink, contents) = MemorySink::new();
                let sealer = other.sealer(count);
                let sealed = match reading {
                    Reading::Seekable => sealer.seal(BytesSource::new(plaintext.clone()), sink),
                    Reading::Sequential => sealer.seal(in_order(plaintext.clone()), sink),
                };
                let (sealed, bytes) = (sealed.unwrap(), contents.take().unwrap());
                assert_eq!((sealed.plaintext_len, sealed.wire_len), (size as u64, bytes.len() as u64));
                assert!(other.open(&bytes) == plaintext, "{what}");
                assert!(open(&other.opener(count), reading, bytes).unwrap().1 == plaintext, "{what}");
            }
        }
    }
}

/// From file to file, on a disk, and from pipes: what is large is never in memory as a whole.
#[test]
fn a_large_file_goes_both_ways() {
    let len = number(LARGE_VARIABLE).unwrap_or(LARGE_MIB) * (1 << 20) + 12_345;
    for program in programs() {
        let other = Other::new(program, tempfile::tempdir().unwrap());
        let [plain, theirs, ours, back] =
            ["plain", "theirs.age", "ours.age", "back"].map(|it| other.path(it));
        write_drawn(&plain, len);

        run_on_files(other.to_seal(), &plain, &theirs);
        let restored = other.opener(2).restore_file(&theirs, &back).unwrap();
        assert_proved(&restored, len);
        assert!(is_same(&plain, &back), "{:?} sealed it, we restored it", other.program);
        fs::remove_file(&back).unwrap();
        let piped = ReaderSource::new(File::open(&theirs).unwrap());
        assert_proved(&other.opener(4).restore_to(piped, &back).unwrap(), len);
        assert!(is_same(&plain, &back), "{:?} sealed it, we restored it in order", other.program);
        for gone in [&theirs, &back] {
            fs::remove_file(gone).unwrap();
        }

        let sealed = other.sealer(2).seal_file(&plain, &ours).unwrap();
        assert_eq!(sealed.plaintext_len, len as u64);
        run_on_files(other.to_open(), &ours, &back);
        assert!(is_same(&plain, &back), "we sealed it, {:?} opened it", other.program);
        for gone in [&ours, &back] {
            fs::remove_file(gone).unwrap();
        }
        other.sealer(4).seal_to(ReaderSource::new(File::open(&plain).unwrap()), &ours).unwrap();
        run_on_files(other.to_open(), &ours, &back);
        assert!(is_same(&plain, &back), "we sealed it in order, {:?} opened it", other.program);
    }
}

/// Bytes that do not repeat, `len` of them.
fn write_drawn(path: &Path, len: usize) {
    let (mut rng, mut file) =
        (fastrand::Rng::with_seed(len as u64), BufWriter::new(File::create(path).unwrap()));
    let (mut left, mut piece) = (len, vec![0; 1 << 20]);
    while left > 0 {
        rng.fill(&mut piece);
        let some = left.min(piece.len());
        file.write_all(&piece[..some]).unwrap();
        left -= some;
    }
    file.flush().unwrap();
}

fn is_same(one: &Path, other: &Path) -> bool {
    let (mut one, mut other) = (BufReader::new(File::open(one).unwrap()), File::open(other).unwrap());
    if one.get_ref().metadata().unwrap().len() != other.metadata().unwrap().len() {
        return false;
    }
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let some = other.read(&mut right).unwrap();
        if some == 0 {
            return true;
        }
        one.read_exact(&mut left[..some]).unwrap();
        if left[..some] != right[..some] {
            return false;
        }
    }
}
