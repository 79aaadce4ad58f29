//! Logs that an interrupted restore left, and that somebody has changed since, with checksums that are right: what is in them is
//! proved before anything is built on it. Knows a record by the table in the log's documentation.
#![cfg(feature = "wal")]
#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::fs;
use std::io::{self, Cursor};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cofferdam::wal::{AtPublish, FileTarget, LogDiffers, Opened, ReplayTarget, WalSink};
use cofferdam::{
    AttemptId, BytesSource, CancelToken, CompressionLevel, Durability, Error, ErrorKind, Identities,
    MemorySink, Opener, Progress, ReaderSource, Recipients, Restored, Sealer, WrappingKey,
};

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

/// A directory with a target in it, and a stream.
struct Place {
    directory: tempfile::TempDir,
    sealed: Vec<u8>,
    plain: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum From {
    Bytes,
    Pipe,
}

impl Place {
    fn new(level: Option<CompressionLevel>) -> Place {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("target"), OLD).unwrap();
        let recipients = Recipients::new().wrapping_key(WrappingKey::from_bytes([7; 32]));
        let sealer = Sealer::new(recipients).frame_len(4096).segment_len(8192);
        let sealer = level.into_iter().fold(sealer, Sealer::compression);
        let plain: Vec<u8> = (0..SEGMENTS * 8192 - 77).map(|at| (at / 40 % 251) as u8).collect();
        let (sink, sealed) = MemorySink::new();
        sealer.seal(BytesSource::new(plain.clone()), sink).unwrap();
        Place { directory, sealed: sealed.take().unwrap(), plain }
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    fn target(&self) -> Vec<u8> {
        fs::read(self.directory.path().join("target")).unwrap()
    }

    fn put_log(&self, bytes: &[u8]) {
        fs::write(self.log(), bytes).unwrap();
        fs::set_permissions(self.log(), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn file_target(&self) -> Box<dyn ReplayTarget> {
        Box::new(FileTarget::open_path(self.directory.path().join("target")).unwrap())
    }

    fn restore(&self, opener: &Opener, from: From, target: Box<dyn ReplayTarget>) -> Result<Restored, Error> {
        let opened =
            WalSink::open_path(self.log(), &AttemptId::new(b"db").unwrap(), AtPublish::Replay(target));
        match (opened.unwrap(), from) {
            (Opened::Ready(sink), From::Bytes) => opener.open(BytesSource::new(self.sealed.clone()), sink),
            (Opened::Finished(log), From::Bytes) => opener.open(BytesSource::new(self.sealed.clone()), log),
            (Opened::Ready(sink), From::Pipe) => {
                opener.open(ReaderSource::new(Cursor::new(self.sealed.clone())), sink)
            }
            (Opened::Finished(log), From::Pipe) => {
                opener.open(ReaderSource::new(Cursor::new(self.sealed.clone())), log)
            }
        }
    }

    /// A log with some of the segments.
    fn interrupt(&self) {
        let (cancel, seen) = (CancelToken::new(), Arc::new(AtomicUsize::new(0)));
        let stop = cancel.clone();
        let opener = opener().durability(Durability::Each).cancel(cancel).on_progress(move |_: &Progress| {
            // One observer counts; nothing else depends on the order.
            if seen.fetch_add(1, Ordering::Relaxed) == SEGMENTS / 2 {
                stop.cancel();
            }
        });
        let error = self.restore(&opener, From::Bytes, self.file_target()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
    }
}

fn opener() -> Opener {
    Opener::new(Identities::new().wrapping_key(WrappingKey::from_bytes([7; 32])))
}

fn levels() -> [Option<CompressionLevel>; 2] {
    [None, CompressionLevel::new(3)]
}

#[test]
fn what_was_changed_in_an_unfinished_log_is_fetched_again() {
    for level in levels() {
        let place = Place::new(level);
        place.interrupt();
        let log = fs::read(place.log()).unwrap();
        let records = data_records(&log);
        assert!(records.len() >= SEGMENTS / 2);
        for from in [From::Bytes, From::Pipe] {
            for at in records.iter().copied() {
                fs::write(place.directory.path().join("target"), OLD).unwrap();
                let mut forged = log.clone();
                forged[at + HEAD_LEN] ^= 1;
                close_record(&mut forged, at);
                place.put_log(&forged);
                let restored = place.restore(&opener(), from, place.file_target()).unwrap();
                assert!(place.target() == place.plain, "{from:?}, record at {at}");
                let before = first_changed(&log, at) as u64;
                assert!(restored.resumed_bytes <= before, "{from:?}, record at {at}");
                assert!(!place.log().exists());
            }
        }
        // What is as it was is kept, all but what no proof reaches.
        place.put_log(&log);
        let restored = place.restore(&opener(), From::Bytes, place.file_target()).unwrap();
        assert!(restored.resumed_bytes > 0 && place.target() == place.plain);
    }
}

#[test]
fn a_finished_log_that_was_changed_is_not_replayed_and_one_that_was_not_is() {
    for level in levels() {
        let place = Place::new(level);
        let error = place.restore(&opener(), From::Bytes, Box::new(Broken)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DurabilityUnknown);
        let log = fs::read(place.log()).unwrap();
        for from in [From::Bytes, From::Pipe] {
            for at in data_records(&log) {
                let mut forged = log.clone();
                forged[at + HEAD_LEN] ^= 1;
                close_record(&mut forged, at);
                place.put_log(&forged);
                let error = place.restore(&opener(), from, place.file_target()).unwrap_err();
                assert!(is_difference(&error), "{from:?}, record at {at}: {error:?}");
                assert_eq!(place.target(), OLD);
                assert!(place.log().exists());
            }
            place.put_log(&log);
            place.restore(&opener(), from, place.file_target()).unwrap();
            assert!(place.target() == place.plain);
            assert!(!place.log().exists());
            fs::write(place.directory.path().join("target"), OLD).unwrap();
        }
    }
}

/// Whether the log was held against the stream, and found to be another.
fn is_difference(error: &Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let inner = error.downcast_ref::<io::Error>().and_then(|error| error.get_ref());
        if inner.is_some_and(|inner| inner.is::<LogDiffers>()) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Where the DATA records of a log are: end to end from byte 12288; the kind at 4, the length of the body at 32.
fn data_records(log: &[u8]) -> Vec<usize> {
    let mut at = 12_288;
    let mut found = Vec::new();
    while at + HEAD_LEN <= log.len() {
        if log[at + 4] == 1 {
            found.push(at);
        }
        at += HEAD_LEN + body_len(log, at);
    }
    found
}

/// Where the record's bytes begin in the stream.
fn first_changed(log: &[u8], at: usize) -> usize {
    u64::from_le_bytes(log[at + 24..at + 32].try_into().unwrap()) as usize
}

fn body_len(log: &[u8], at: usize) -> usize {
    u32::from_le_bytes(log[at + 32..at + 36].try_into().unwrap()) as usize
}

fn close_record(log: &mut [u8], at: usize) {
    let end = at + HEAD_LEN + body_len(log, at);
    let crc = crc32fast::hash(&log[at + 4..end]);
    log[at..at + 4].copy_from_slice(&crc.to_le_bytes());
}

const OLD: &[u8] = b"what stood here before";
const SEGMENTS: usize = 9;
const HEAD_LEN: usize = 40;
