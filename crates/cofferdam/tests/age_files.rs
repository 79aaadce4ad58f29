//! Owns age files: with little memory, damaged, cut and interrupted, and what they cannot have.
//! Refuses to know stanzas: those are the age library's. Round trips with other programs at every chunk edge are those of `age_round_trips`.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod streams;

use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use cofferdam::{
    BytesSource, CancelToken, CompressionLevel, DigestKind, Durability, Error, ErrorKind, Foreign, Format,
    Identities, Identity, IfExists, MemorySink, Observer, Opener, Progress, ReaderSource, Recipients,
    Restored, SealedAs, Sealer, SecretString, StreamDigest, WrappingKey, inspect_foreign, is_foreign,
};

use streams::{READINGS, Reading, Shared, counted, in_order, names_in, open, scratch, threads, verify};

const CHUNK: usize = 64 * 1024;

/// Somebody's keys, and files of theirs for `age`.
struct Keys {
    directory: tempfile::TempDir,
    identity: Identity,
}

impl Keys {
    fn new() -> Keys {
        let (directory, identity) = (scratch(), Identity::generate());
        fs::write(directory.path().join("key.txt"), identity.file_text("today").unwrap().as_bytes()).unwrap();
        Keys { directory, identity }
    }

    fn recipients(&self) -> Recipients {
        Recipients::new().parse(&self.identity.recipient()).unwrap()
    }

    fn identities(&self) -> Identities {
        let text = self.identity.file_text("today").unwrap();
        Identities::new().identity_file(text.as_bytes()).unwrap()
    }

    fn opener(&self) -> Opener {
        Opener::new(self.identities()).foreign(Foreign::Open)
    }

    fn sealer(&self) -> Sealer {
        Sealer::new(self.recipients()).sealed_as(SealedAs::Age)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What `age` makes of `plaintext`.
    fn sealed_by_age(&self, plaintext: &[u8], arguments: &[&str]) -> Vec<u8> {
        let recipient = self.identity.recipient();
        run_age(&[&["-r", &recipient], arguments].concat(), plaintext)
    }

    /// What `age` reads in `sealed`.
    fn opened_by_age(&self, sealed: &[u8]) -> Vec<u8> {
        run_age(&["-d", "-i", self.path("key.txt").to_str().unwrap()], sealed)
    }

    fn seal(&self, sealer: &Sealer, plaintext: &[u8], reading: Reading) -> Vec<u8> {
        let (sink, contents) = MemorySink::new();
        let sealed = match reading {
            Reading::Seekable => sealer.seal(BytesSource::new(plaintext.to_vec()), sink),
            Reading::Sequential => sealer.seal(in_order(plaintext.to_vec()), sink),
        };
        let (sealed, bytes) = (sealed.unwrap(), contents.take().unwrap());
        assert_eq!((sealed.plaintext_len, sealed.wire_len), (plaintext.len() as u64, bytes.len() as u64));
        bytes
    }
}

fn run_age(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut age = Command::new("age")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("age is there: `cargo xtask setup`");
    let mut stdin = age.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        let output = age.wait_with_output().unwrap();
        assert!(output.status.success(), "age {arguments:?}");
        output.stdout
    })
}

/// Without memory for long runs, chunks go one at a time, and come out the same.
#[test]
fn a_small_budget_shortens_runs_and_changes_nothing() {
    let keys = Keys::new();
    let plaintext = counted(40 * CHUNK + 777);
    for reading in READINGS {
        let sealed = keys.seal(&keys.sealer().memory(1 << 20).threads(threads(2)), &plaintext, reading);
        assert!(keys.opened_by_age(&sealed) == plaintext);
        let opener = keys.opener().memory(1 << 20).threads(threads(2));
        assert!(open(&opener, reading, sealed.clone()).unwrap().1 == plaintext);
        let refused = open(&keys.opener().memory(100 << 10), reading, sealed).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Limit, "two runs of a chunk do not fit: {refused}");
    }
}

#[test]
fn a_passphrase_opens_what_is_sealed_with_it_alone() {
    let of = |text: &str| SecretString::from(text);
    let recipients = Recipients::new().passphrase_with_work_factor(of("correct horse"), 10).unwrap();
    let sealer = Sealer::new(recipients.clone()).sealed_as(SealedAs::Age);
    let keys = Keys::new();
    let sealed = keys.seal(&sealer, b"a snapshot", Reading::Seekable);
    let opener =
        |passphrase| Opener::new(Identities::new().passphrase(of(passphrase))).foreign(Foreign::Open);
    for reading in READINGS {
        assert_eq!(open(&opener("correct horse"), reading, sealed.clone()).unwrap().1, b"a snapshot");
        let wrong = open(&opener("wrong"), reading, sealed.clone()).unwrap_err();
        assert_eq!(wrong.kind(), ErrorKind::NoKey);
        let none = open(&keys.opener(), reading, sealed.clone()).unwrap_err();
        assert_eq!(none.kind(), ErrorKind::NoKey);
        assert!(none.to_string().contains("passphrase, and none was given"), "{none}");
    }
    let theirs = age::Decryptor::new(&sealed[..]).unwrap();
    let mut read = Vec::new();
    let identity = age::scrypt::Identity::new(age::secrecy::SecretString::from("correct horse"));
    theirs.decrypt(std::iter::once(&identity as &dyn age::Identity)).unwrap().read_to_end(&mut read).unwrap();
    assert_eq!(read, b"a snapshot");

    let both = recipients.parse(&keys.identity.recipient()).unwrap();
    let refused =
        Sealer::new(both).sealed_as(SealedAs::Age).seal(BytesSource::new(*b"x"), MemorySink::new().0);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Usage, "a passphrase stands alone in an age file");
}

#[test]
fn a_stranger_opens_nothing_and_without_a_key_nothing_is_verified() {
    let (keys, stranger) = (Keys::new(), Keys::new());
    let sealed = keys.seal(&keys.sealer(), b"a snapshot", Reading::Seekable);
    for reading in READINGS {
        assert_eq!(open(&stranger.opener(), reading, sealed.clone()).unwrap_err().kind(), ErrorKind::NoKey);
        let keyless = verify(&Opener::keyless().foreign(Foreign::Open), reading, sealed.clone()).unwrap_err();
        assert_eq!((keyless.kind(), keyless.remedy()), (ErrorKind::Usage, Some(cofferdam::Remedy::GiveKey)));
        // Who does not ask for other formats gets what he got before.
        let refused = open(&Opener::new(keys.identities()), reading, sealed.clone()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotAStream);
    }
}

/// Every bit of a small file of two chunks, and every cut: none is taken for the file, and the error is of the stream.
#[test]
fn no_flipped_bit_no_cut_and_no_added_byte_is_accepted() {
    let keys = Keys::new();
    // The last chunk is short, so that a file of two of them is not long.
    let plaintext = counted(CHUNK + 100);
    let sealed = keys.seal(&keys.sealer(), &plaintext, Reading::Seekable);
    let opener = keys.opener().threads(threads(1));
    let of_stream = |error: &Error| {
        use ErrorKind::{Damaged, Limit, NoKey, NotAStream, Truncated, Unsupported};
        matches!(error.kind(), Damaged | Limit | NoKey | NotAStream | Truncated | Unsupported)
    };
    let head_len = sealed.len() - CHUNK - 100 - 2 * 16;
    // Of what is sealed in a chunk, the tag says the same of each byte; so some of them stand for all.
    let inner = (head_len + 64..sealed.len() - 200).step_by(1009);
    let bytes = (0..head_len + 64).chain(inner).chain(sealed.len() - 200..sealed.len());
    let mut tried = 0;
    for bit in bytes.flat_map(|byte| (0..8).map(move |bit| 8 * byte + bit)) {
        let mut changed = sealed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let reading = READINGS[bit % 2];
        let error = open(&opener, reading, changed).expect_err("a flipped bit is not accepted");
        assert!(of_stream(&error), "bit {bit}: {:?} {error}", error.kind());
        tried += 1;
    }
    assert!(tried > 4000, "{tried}");
    let cuts = (0..head_len + 64).chain((head_len + 64..sealed.len() - 200).step_by(97));
    for len in cuts.chain(sealed.len() - 200..sealed.len()) {
        for reading in READINGS {
            let error = open(&opener, reading, sealed[..len].to_vec()).expect_err("a cut is not accepted");
            assert!(of_stream(&error), "{len} bytes: {:?} {error}", error.kind());
        }
    }
    for more in [1, 15, 16, 17, CHUNK, CHUNK + 16] {
        for reading in READINGS {
            let longer = [&sealed[..], &vec![0; more]].concat();
            assert_eq!(open(&opener, reading, longer).unwrap_err().kind(), ErrorKind::Damaged, "{more} more");
        }
    }
}

/// Chunks of 64 KiB by themselves: dropped, doubled and swapped, and cut behind each.
#[test]
fn chunks_that_are_missing_or_moved_are_refused_and_a_cut_is_named_before_anything_is_written() {
    let keys = Keys::new();
    let sealed = keys.seal(&keys.sealer(), &counted(4 * CHUNK), Reading::Seekable);
    let head_len = sealed.len() - 4 * (CHUNK + 16);
    let (head, payload) = sealed.split_at(head_len);
    let chunks: Vec<&[u8]> = payload.chunks(CHUNK + 16).collect();
    let with = |order: &[usize]| {
        let payload: Vec<&[u8]> = order.iter().map(|chunk| chunks[*chunk]).collect();
        [head, &payload.concat()].concat()
    };
    assert!(open(&keys.opener(), Reading::Seekable, with(&[0, 1, 2, 3])).is_ok());
    for order in
        [&[1, 2, 3][..], &[0, 2, 3], &[0, 0, 1, 2, 3], &[1, 0, 2, 3], &[0, 1, 3, 2], &[0, 1, 2, 3, 3], &[3]]
    {
        for reading in READINGS {
            let refused = open(&keys.opener(), reading, with(order)).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Damaged, "{order:?} {reading:?}: {refused}");
        }
    }
    for kept in 1..4 {
        let order: Vec<usize> = (0..kept).collect();
        let placed = open(&keys.opener(), Reading::Seekable, with(&order)).unwrap_err();
        assert_eq!(placed.kind(), ErrorKind::Truncated, "cut behind chunk {kept}: {placed}");
        // In order, the end of what there is passes for a last chunk that fails.
        let in_order = open(&keys.opener(), Reading::Sequential, with(&order)).unwrap_err();
        assert!(matches!(in_order.kind(), ErrorKind::Damaged | ErrorKind::Truncated), "{in_order}");
    }
    // Nothing was made for it: the cut is found before there is a sink.
    let made = keys.opener().open_sized(BytesSource::new(with(&[0, 1])), |_| -> Result<MemorySink, _> {
        panic!("a sink was made for a file that is cut")
    });
    assert_eq!(made.unwrap_err().kind(), ErrorKind::Truncated);
}

/// A fault says which chunk, and where it begins in the file; nothing is published.
#[test]
fn a_damaged_chunk_is_named_with_its_place() {
    let keys = Keys::new();
    let mut sealed = keys.seal(&keys.sealer(), &counted(20 * CHUNK), Reading::Seekable);
    let head_len = sealed.len() - 20 * (CHUNK + 16);
    let at = head_len + 11 * (CHUNK + 16);
    sealed[at + 5000] ^= 1;
    for reading in READINGS {
        let error = open(&keys.opener(), reading, sealed.clone()).unwrap_err();
        assert_eq!(
            (error.kind(), error.position(), error.segment()),
            (ErrorKind::Damaged, Some(at as u64), None)
        );
        assert!(error.to_string().starts_with("chunk 11 fails authentication"), "{error}");
    }
}

#[test]
fn what_an_age_file_cannot_have_is_refused_and_named() {
    let keys = Keys::new();
    let level = CompressionLevel::new(3).unwrap();
    let cases = [
        (keys.sealer().compression(level), "compression"),
        (keys.sealer().digest(DigestKind::Sha256), "a digest"),
        (keys.sealer().metadata("a", "b"), "metadata"),
        (keys.sealer().sequence(4), "a sequence number"),
        (keys.sealer().frame_len(4096), "frames"),
        (keys.sealer().segment_len(1 << 20), "segments"),
    ];
    for (sealer, what) in cases {
        let refused = sealer.seal(BytesSource::new(*b"x"), MemorySink::new().0).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Usage, "{what}");
        assert!(refused.to_string().contains(what), "{refused}");
    }
    let other = keys.recipients().wrapping_key(WrappingKey::from_bytes([7; 32]));
    let refused =
        Sealer::new(other).sealed_as(SealedAs::Age).seal(BytesSource::new(*b"x"), MemorySink::new().0);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Usage, "a key file is no age recipient");
    let (input, output, state) = (keys.path("input"), keys.path("output"), keys.path("state"));
    fs::write(&input, b"x").unwrap();
    let refused = keys.sealer().seal_file_resumable(&input, &output, &state).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Usage);
    assert!(!output.exists() && !state.exists());
}

#[test]
fn there_is_neither_a_digest_nor_a_number_to_ask_an_age_file_for() {
    let keys = Keys::new();
    let sealed = keys.seal(&keys.sealer(), b"a snapshot", Reading::Seekable);
    for reading in READINGS {
        let pinned = keys.opener().expect_digest(StreamDigest([0; 32]));
        assert_eq!(open(&pinned, reading, sealed.clone()).unwrap_err().kind(), ErrorKind::Unsupported);
        let numbered = keys.opener().min_sequence(1);
        assert_eq!(open(&numbered, reading, sealed.clone()).unwrap_err().kind(), ErrorKind::Stale);
    }
}

/// Cancels once so much has committed.
struct StopAt(u64, CancelToken);

impl Observer for StopAt {
    fn progress(&self, progress: &Progress) {
        if progress.committed >= self.0 {
            self.1.cancel();
        }
    }
}

/// An interrupted restore, and what the next one makes of it.
struct Interrupted {
    keys: Keys,
    plaintext: Vec<u8>,
    sealed: Shared,
}

impl Interrupted {
    fn new(reading: Reading) -> Interrupted {
        let keys = Keys::new();
        let plaintext = counted(200 * CHUNK + 9);
        let sealed = Shared::new(keys.seal(&keys.sealer(), &plaintext, Reading::Seekable));
        let interrupted = Interrupted { keys, plaintext, sealed };
        let cancel = CancelToken::new();
        let stop = Arc::new(StopAt(100 * CHUNK as u64, cancel.clone()));
        let opener = interrupted.keys.opener().threads(threads(2)).durability(Durability::Each);
        let opener = opener.cancel(cancel).observer(stop);
        let error = interrupted.restore(&opener, reading).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        assert!(error.resumable_bytes().unwrap() >= 100 * CHUNK as u64);
        assert!(error.opens_all_again());
        assert!(!interrupted.target().exists());
        interrupted
    }

    fn target(&self) -> PathBuf {
        self.keys.path("db")
    }

    fn staging(&self) -> PathBuf {
        self.keys.path(".db.cofferdam-staging")
    }

    fn restore(&self, opener: &Opener, reading: Reading) -> Result<Restored, Error> {
        match reading {
            Reading::Seekable => opener.restore_to(BytesSource::new(self.sealed.clone()), self.target()),
            Reading::Sequential => opener.restore_to(in_order(self.sealed.clone()), self.target()),
        }
    }
}

#[test]
fn an_interrupted_restore_run_again_opens_all_and_writes_over_what_differs_in_the_same_file() {
    for reading in READINGS {
        let interrupted = Interrupted::new(reading);
        let staging = fs::OpenOptions::new().write(true).open(interrupted.staging()).unwrap();
        let inode = staging.metadata().unwrap().ino();
        // Somebody has changed what is kept: it is a claim, whoever wrote it.
        staging.write_all_at(b"planted", 3 * CHUNK as u64).unwrap();
        drop(staging);
        interrupted.restore(&interrupted.keys.opener().threads(threads(2)), reading).unwrap();
        assert!(fs::read(interrupted.target()).unwrap() == interrupted.plaintext);
        assert_eq!(fs::metadata(interrupted.target()).unwrap().ino(), inode, "another file was written");
        let left = names_in(interrupted.keys.directory.path());
        assert_eq!(left, [Path::new("db"), Path::new("key.txt")]);
    }
}

#[test]
fn what_is_kept_of_one_age_file_is_not_taken_for_that_of_another() {
    let interrupted = Interrupted::new(Reading::Seekable);
    let keys = &interrupted.keys;
    let other = keys.seal(&keys.sealer(), &interrupted.plaintext, Reading::Seekable);
    let refused =
        keys.opener().restore_to(BytesSource::new(other.clone()), interrupted.target()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::JournalMismatch);
    let anew = keys.opener().on_partial(cofferdam::OnPartial::Discard);
    anew.restore_to(BytesSource::new(other), interrupted.target()).unwrap();
    assert!(fs::read(interrupted.target()).unwrap() == interrupted.plaintext);
}

#[test]
fn a_seed_is_refused_and_leaves_nothing() {
    let keys = Keys::new();
    let sealed = keys.seal(&keys.sealer(), b"a snapshot", Reading::Seekable);
    fs::write(keys.path("old"), b"a snap").unwrap();
    let seeded = keys.opener().seed(keys.path("old"));
    let refused = seeded.restore_to(BytesSource::new(sealed), keys.path("db")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Usage);
    assert_eq!(names_in(keys.directory.path()), [Path::new("key.txt"), Path::new("old")]);
}

#[test]
fn files_are_sealed_and_restored_by_their_names_atomically() {
    let keys = Keys::new();
    let plaintext = counted(30 * CHUNK + 1);
    let [input, sealed, target] = ["input", "sealed.age", "target"].map(|name| keys.path(name));
    fs::write(&input, &plaintext).unwrap();
    keys.sealer().seal_file(&input, &sealed).unwrap();
    assert!(keys.opened_by_age(&fs::read(&sealed).unwrap()) == plaintext);
    fs::write(&target, "the old one").unwrap();
    let refused = keys.opener().restore_file(&sealed, &target).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::TargetExists);
    keys.opener().if_exists(IfExists::Replace).restore_file(&sealed, &target).unwrap();
    assert!(fs::read(&target).unwrap() == plaintext);
    assert_eq!(names_in(keys.directory.path()).len(), 4, "something is left");
}

/// Gives so many bytes, and then fails.
struct Failing(usize);

impl Read for Failing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer.len().min(self.0);
        self.0 -= count;
        if count == 0 { Err(io::Error::other("a bad sector")) } else { Ok(count) }
    }
}

#[test]
fn an_input_that_fails_while_it_is_sealed_is_named_and_leaves_nothing() {
    let keys = Keys::new();
    for len in [0, 1, CHUNK, 30 * CHUNK + 5] {
        let error = keys.sealer().seal_to(ReaderSource::new(Failing(len)), keys.path("sealed")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.to_string().starts_with("the input could not be read"), "{error}");
        assert_eq!(names_in(keys.directory.path()), [Path::new("key.txt")], "{len}");
    }
}

#[test]
fn what_is_written_is_sealed_once_it_is_finished_and_not_before() {
    let keys = Keys::new();
    for len in [0, 1, CHUNK, 8 * CHUNK, 8 * CHUNK + 1, 30 * CHUNK + 5] {
        let plaintext = counted(len);
        for is_finished in [true, false] {
            let mut writer = keys.sealer().threads(threads(2)).writer_to(keys.path("sealed")).unwrap();
            plaintext.chunks(50_000).for_each(|piece| writer.write_all(piece).unwrap());
            if is_finished {
                let sealed = writer.finish().unwrap();
                let bytes = fs::read(keys.path("sealed")).unwrap();
                assert_eq!((sealed.plaintext_len, sealed.wire_len), (len as u64, bytes.len() as u64));
                assert!(keys.opened_by_age(&bytes) == plaintext, "{len}");
                fs::remove_file(keys.path("sealed")).unwrap();
            } else {
                drop(writer);
            }
            assert_eq!(names_in(keys.directory.path()), [Path::new("key.txt")], "{len}, {is_finished}");
        }
    }
}

#[test]
fn a_sealing_that_is_cancelled_leaves_nothing() {
    let keys = Keys::new();
    fs::write(keys.path("input"), counted(200 * CHUNK)).unwrap();
    let cancel = CancelToken::new();
    let stop = Arc::new(StopAt(50 * CHUNK as u64, cancel.clone()));
    let sealer = keys.sealer().threads(threads(2)).cancel(cancel).observer(stop);
    let error = sealer.seal_file(keys.path("input"), keys.path("sealed")).unwrap_err();
    assert_eq!((error.kind(), error.resumable_bytes()), (ErrorKind::Cancelled, None));
    assert_eq!(names_in(keys.directory.path()), [Path::new("input"), Path::new("key.txt")]);
}

#[test]
fn a_reader_gives_what_is_at_any_place_and_refuses_a_file_that_was_cut() {
    let keys = Keys::new();
    let plaintext = counted(20 * CHUNK + 5);
    let sealed = keys.seal(&keys.sealer(), &plaintext, Reading::Seekable);
    let mut reader = keys.opener().foreign_reader(BytesSource::new(sealed.clone())).unwrap();
    assert_eq!(reader.len(), plaintext.len() as u64);
    for (at, len) in
        [(0, 1), (CHUNK - 1, 2), (CHUNK, CHUNK), (5 * CHUNK + 7, 9 * CHUNK), (20 * CHUNK, 5), (3, 0)]
    {
        reader.seek(SeekFrom::Start(at as u64)).unwrap();
        let mut read = vec![0; len];
        reader.read_exact(&mut read).unwrap();
        assert!(read == plaintext[at..at + len], "{len} bytes at {at}");
    }
    reader.seek(SeekFrom::End(-3)).unwrap();
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, plaintext[plaintext.len() - 3..]);

    let head_len = sealed.len() - 20 * (CHUNK + 16) - 21;
    let cut = sealed[..head_len + 3 * (CHUNK + 16)].to_vec();
    let refused = keys.opener().foreign_reader(BytesSource::new(cut)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Truncated);
    let mut damaged = sealed;
    damaged[head_len + 4 * (CHUNK + 16) + 1] ^= 1;
    let mut reader = keys.opener().foreign_reader(BytesSource::new(damaged)).unwrap();
    let failed =
        reader.seek(SeekFrom::Start(4 * CHUNK as u64)).and_then(|_| reader.read(&mut [0; 9])).unwrap_err();
    assert_eq!(failed.downcast::<Error>().unwrap().kind(), ErrorKind::Damaged);
    reader.seek(SeekFrom::Start(12 * CHUNK as u64)).unwrap();
    reader.read_exact(&mut [0; CHUNK]).unwrap();
    let ours = keys.opener().foreign_reader(BytesSource::new(*b"\x89CFD")).unwrap_err();
    assert_eq!(ours.kind(), ErrorKind::NotAStream);
    assert!(!is_foreign(&BytesSource::new(*b"\x89CFD")).unwrap());
    let armored = keys.sealed_by_age(b"x", &["-a"]);
    assert_eq!(keys.opener().foreign_reader(BytesSource::new(armored)).unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn a_file_says_of_itself_whom_it_is_for_and_no_more() {
    let keys = Keys::new();
    let sealed = keys.sealed_by_age(b"a snapshot", &[]);
    let len = sealed.len() as u64;
    let found = inspect_foreign(BytesSource::new(sealed)).unwrap().unwrap();
    assert_eq!((found.format, found.armored, found.sealed_len), (Format::Age, false, len));
    assert_eq!(found.notes.first().map(String::as_str), Some("X25519"));
    assert_eq!(len, (found.head_len + 10 + 16) as u64);
    let armored = inspect_foreign(BytesSource::new(keys.sealed_by_age(b"x", &["-a"]))).unwrap().unwrap();
    assert!(armored.armored);
    assert_eq!(inspect_foreign(BytesSource::new(*b"\x89CFD and more")).unwrap(), None);
    let cut = inspect_foreign(BytesSource::new(*b"age-encryption.org/v1\n-> X25519 ")).unwrap_err();
    assert_eq!(cut.kind(), ErrorKind::Truncated);
    let other = inspect_foreign(BytesSource::new(*b"age-encryption.org/v2\n")).unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Unsupported);
}

/// C2SP age.md names no limit; ours come before memory is taken or time is spent.
#[test]
fn a_header_without_an_end_and_one_of_too_many_stanzas_are_beyond_a_limit() {
    let keys = Keys::new();
    let endless = [&b"age-encryption.org/v1\n"[..], &b"-> a\n\n".repeat(200_000)].concat();
    let mac = format!("--- {}\n", "A".repeat(43));
    let many = [&b"age-encryption.org/v1\n"[..], &b"-> a\n\n".repeat(257), mac.as_bytes(), &[0; 32]].concat();
    for (file, reading) in
        [endless, many].into_iter().flat_map(|file| READINGS.map(|reading| (file.clone(), reading)))
    {
        assert_eq!(open(&keys.opener(), reading, file).unwrap_err().kind(), ErrorKind::Limit, "{reading:?}");
    }
}
