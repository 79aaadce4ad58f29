//! Streams of other formats into sinks: age files into those that stand behind features, once, again after an interruption, and over what
//! somebody has left there; and a stream that nothing proves over what a longer one has left.
//! Knows of each sink what its user sees, and of an age file that `Sealer` makes it.
#![cfg(all(
    feature = "foreign",
    feature = "mmap",
    feature = "ring",
    feature = "sqlite",
    feature = "wal",
    target_os = "linux"
))]
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod streams;

use std::error::Error as _;
use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use cofferdam::database::{DatabaseOptions, DatabaseSink, DatabaseTarget, Published};
use cofferdam::wal::{AtPublish, FileTarget, LogDiffers, Opened, ReplayTarget, WalSink};
use cofferdam::{
    AttemptId, BytesSource, CancelToken, Durability, Error, ErrorKind, Foreign, ForeignKey, Format,
    Identities, Identity, IfExists, MappedFile, Observer, Opener, Progress, Recipients, Restored, RingSink,
    SealedAs, Sealer, StageOptions, StreamingSink,
};

use streams::{READINGS, Reading, counted, in_order, names_in, scratch, threads};

const CHUNK: usize = 64 << 10;

/// An age file, and a directory for what becomes of it.
struct Place {
    directory: tempfile::TempDir,
    identity: Identity,
    plaintext: Vec<u8>,
    sealed: Vec<u8>,
}

impl Place {
    fn new() -> Place {
        let (directory, identity, plaintext) = (scratch(), Identity::generate(), counted(60 * CHUNK + 9));
        let sealer = Sealer::new(Recipients::new().parse(&identity.recipient()).unwrap());
        let sealed = streams::seal(&sealer.sealed_as(SealedAs::Age), plaintext.clone());
        Place { directory, identity, plaintext, sealed }
    }

    /// Runs are short, so that much commits before the end.
    fn opener(&self) -> Opener {
        let text = self.identity.file_text("today").unwrap();
        let opener = Opener::new(Identities::new().identity_file(text.as_bytes()).unwrap());
        opener.foreign(Foreign::Open).threads(threads(2)).memory(4 << 20).durability(Durability::Each)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn open(&self, opener: &Opener, reading: Reading, sink: impl StreamingSink) -> Result<Restored, Error> {
        match reading {
            Reading::Seekable => opener.open(BytesSource::new(self.sealed.clone()), sink),
            Reading::Sequential => opener.open(in_order(self.sealed.clone()), sink),
        }
    }

    /// Opens it half.
    fn interrupt(&self, reading: Reading, sink: impl StreamingSink) {
        let cancel = CancelToken::new();
        let half = Arc::new(StopAt(self.plaintext.len() as u64 / 2, cancel.clone()));
        let error = self.open(&self.opener().cancel(cancel).observer(half), reading, sink).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
    }

    fn assert_whole(&self, restored: &Restored, found: &[u8], what: &str) {
        assert_eq!(restored.foreign.map(|foreign| foreign.format), Some(Format::Age), "{what}");
        assert_eq!(restored.plaintext_len, self.plaintext.len() as u64, "{what}");
        assert!(found == self.plaintext, "{what}");
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

#[test]
fn an_age_file_is_restored_through_a_map_of_its_length() {
    let place = Place::new();
    let restored = place.opener().open_sized(BytesSource::new(place.sealed.clone()), |len| {
        assert_eq!(len, Some(place.plaintext.len() as u64));
        MappedFile::create(place.path("db"), &StageOptions::default().expected_len(len))
    });
    place.assert_whole(&restored.unwrap(), &fs::read(place.path("db")).unwrap(), "mapped");
}

#[test]
fn a_reader_gets_an_age_file_as_it_is_opened_and_of_a_damaged_one_no_end() {
    let place = Place::new();
    let mut damaged = place.sealed.clone();
    damaged[50 * (CHUNK + 16)] ^= 1;
    for reading in READINGS {
        for (sealed, is_whole) in [(place.sealed.clone(), true), (damaged.clone(), false)] {
            let (sink, mut reader) = RingSink::new(16 * CHUNK).unwrap();
            let received = std::thread::spawn(move || {
                let mut bytes = Vec::new();
                let ended = reader.read_to_end(&mut bytes);
                (bytes, ended.is_ok())
            });
            let opened = match reading {
                Reading::Seekable => place.opener().open(BytesSource::new(sealed), sink),
                Reading::Sequential => place.opener().open(in_order(sealed), sink),
            };
            let (bytes, ended) = received.join().unwrap();
            assert_eq!((opened.is_ok(), ended), (is_whole, is_whole), "{reading:?}");
            assert!(
                place.plaintext.starts_with(&bytes) && (bytes.len() == place.plaintext.len()) == is_whole
            );
        }
    }
}

#[test]
fn what_a_database_has_of_an_age_file_is_begun_anew() {
    let target = || DatabaseTarget::new("db").unwrap();
    for (first, second) in READINGS.into_iter().flat_map(|first| READINGS.map(|second| (first, second))) {
        let place = Place::new();
        let path = place.path("app.db");
        let sink = || {
            let options = DatabaseOptions::new(target()).if_exists(IfExists::Replace);
            DatabaseSink::sqlite(&path, &options).unwrap()
        };
        let published = || {
            let mut bytes = Vec::new();
            Published::sqlite(&path, &target()).unwrap()?.read_to_end(&mut bytes).unwrap();
            Some(bytes)
        };
        place.interrupt(first, sink());
        assert!(sink().last_commit().unwrap().is_some() && published().is_none());
        let restored = place.open(&place.opener(), second, sink()).unwrap();
        place.assert_whole(&restored, &published().unwrap(), &format!("{first:?}, then {second:?}"));
    }
}

impl Place {
    fn file_target(&self) -> AtPublish {
        AtPublish::Replay(Box::new(FileTarget::open_path(self.path("db")).unwrap()))
    }

    /// Opens it into the log, whatever that has.
    fn log(&self, opener: &Opener, reading: Reading, at_publish: AtPublish) -> Result<Restored, Error> {
        let attempt_id = AttemptId::new(b"db").unwrap();
        match WalSink::open_path(self.path("log"), &attempt_id, at_publish).unwrap() {
            Opened::Ready(sink) => self.open(opener, reading, sink),
            Opened::Finished(log) => self.open(opener, reading, log),
        }
    }
}

/// A target that takes nothing: a log that is to be replayed there stays finished.
struct Broken;

impl ReplayTarget for Broken {
    fn check(&self, _len: u64) -> io::Result<()> {
        Ok(())
    }

    fn write_at(&mut self, _at: u64, _data: &[u8]) -> io::Result<()> {
        Err(io::Error::other("a device that is broken"))
    }

    fn finish(&mut self, _len: u64) -> io::Result<()> {
        Err(io::Error::other("a device that is broken"))
    }
}

#[test]
fn a_log_that_has_some_of_an_age_file_is_begun_anew_and_one_that_has_all_is_compared_and_replayed() {
    for (first, second) in READINGS.into_iter().flat_map(|first| READINGS.map(|second| (first, second))) {
        let what = format!("{first:?}, then {second:?}");
        let place = Place::new();
        fs::write(place.path("db"), "what was there").unwrap();
        let attempt_id = AttemptId::new(b"db").unwrap();
        let Opened::Ready(sink) =
            WalSink::open_path(place.path("log"), &attempt_id, place.file_target()).unwrap()
        else {
            panic!("a new log has nothing")
        };
        place.interrupt(first, sink);
        assert!(fs::metadata(place.path("log")).unwrap().len() > place.plaintext.len() as u64 / 3);

        // All of it comes into the log, and none of it out.
        let error = place.log(&place.opener(), second, AtPublish::Replay(Box::new(Broken))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DurabilityUnknown, "{what}: {error}");
        assert_eq!(fs::read(place.path("db")).unwrap(), b"what was there");
        let restored = place.log(&place.opener(), second, place.file_target()).unwrap();
        place.assert_whole(&restored, &fs::read(place.path("db")).unwrap(), &what);
        assert_eq!(names_in(place.directory.path()), [PathBuf::from("db")], "{what}");
    }
}

/// Whoever can write where the log is can say that it has all of the stream.
#[test]
fn a_log_of_something_else_that_says_that_it_is_whole_is_not_replayed() {
    for reading in READINGS {
        let place = Place::new();
        let mut other = Place::new();
        other.plaintext[40 * CHUNK] ^= 1;
        let sealer = Sealer::new(Recipients::new().parse(&other.identity.recipient()).unwrap());
        other.sealed = streams::seal(&sealer.sealed_as(SealedAs::Age), other.plaintext.clone());
        fs::write(other.path("db"), "theirs").unwrap();
        other.log(&other.opener(), reading, AtPublish::Replay(Box::new(Broken))).unwrap_err();
        fs::copy(other.path("log"), place.path("log")).unwrap();
        fs::write(place.path("db"), "what was there").unwrap();
        let error = place.log(&place.opener(), reading, place.file_target()).unwrap_err();
        let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
        assert!(
            cause.is_some_and(|cause| cause.get_ref().is_some_and(|it| it.is::<LogDiffers>())),
            "{error}"
        );
        assert_eq!(fs::read(place.path("db")).unwrap(), b"what was there");
    }
}

/// As harpocrates seals `plaintext`, in chunks of 64 KiB.
fn agcm(key: [u8; 32], plaintext: &[u8]) -> Vec<u8> {
    use aes_gcm::aead::{Aead, KeyInit};
    let cipher = aes_gcm::Aes256Gcm::new(&key.into());
    let nonce = [5; 12];
    let mut sealed = [&b"AGCM"[..], &1_u32.to_le_bytes(), &nonce, &65_536_u32.to_le_bytes()].concat();
    for chunk in plaintext.chunks(65_536) {
        let chunk = cipher.encrypt(&nonce.into(), chunk).unwrap();
        sealed.extend((chunk.len() as u32).to_le_bytes());
        sealed.extend(chunk);
    }
    sealed
}

/// Both have one head, and so one name: what is beside the target is taken up, and what is more of it than the stream has does not stay.
#[test]
fn what_a_longer_attempt_has_left_is_no_part_of_a_shorter_stream() {
    let plaintext = counted(40 * 65_536 + 9);
    let sealed = agcm([9; 32], &plaintext);
    let chunk_len = 4 + 65_536 + 16;
    for (reading, kept_chunks) in READINGS.into_iter().flat_map(|it| [0, 1, 2, 20].map(|kept| (it, kept))) {
        let directory = scratch();
        let target = directory.path().join("target");
        let restore = |opener: &Opener, sealed: Vec<u8>| match reading {
            Reading::Seekable => opener.restore_to(BytesSource::new(sealed), &target),
            Reading::Sequential => opener.restore_to(in_order(sealed), &target),
        };
        let key = ForeignKey::parse(&[9; 32]).unwrap();
        let opener = Opener::new(Identities::new().foreign_key(key)).foreign(Foreign::AcceptUnproven);
        let opener = opener.threads(threads(2)).memory(2 << 20).durability(Durability::Each);
        let cancel = CancelToken::new();
        let stopped = opener.clone().cancel(cancel.clone()).observer(Arc::new(StopAt(1, cancel)));
        let error = restore(&stopped, sealed.clone()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        assert!(error.resumable_bytes().is_some_and(|kept| kept > 0) && !target.exists());
        // Whoever has the storage cuts it behind a chunk.
        let error = restore(&opener, sealed[..24 + kept_chunks * chunk_len].to_vec()).unwrap_err();
        assert_eq!(error.as_asserted().unwrap().plaintext_len, 65_536 * kept_chunks as u64);
        assert!(
            fs::read(&target).unwrap() == plaintext[..65_536 * kept_chunks],
            "{reading:?}, {kept_chunks}"
        );
        assert_eq!(names_in(directory.path()), [PathBuf::from("target")]);
    }
}
