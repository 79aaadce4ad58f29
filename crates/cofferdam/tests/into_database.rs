//! Streams opened into a database: published whole, gone on with, and no lock held while the source idles.
//! It knows the tables only by what is published from them.

#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cofferdam::database::{DatabaseOptions, DatabaseSink, DatabaseTarget, Published};
use cofferdam::{
    Arrival, BytesSource, Checkpoint, ErrorKind, Identities, IfExists, MemorySink, Observer, Opener,
    Progress, ReadAt, Recipients, Sealer, Source, StreamingSink, WrappingKey,
};

const KEY: [u8; 32] = [5; 32];
const FRAME_LEN: u32 = 4096;
const SEGMENT_LEN: usize = 4 * FRAME_LEN as usize;
const PLAIN_LEN: usize = 9 * SEGMENT_LEN + 123;

/// Bytes that come at once: less than a segment.
const PIECE_LEN: usize = 5_000;

fn plaintext(seed: u8) -> Vec<u8> {
    (0..PLAIN_LEN).map(|place| seed ^ (place % 251) as u8).collect()
}

fn sealed(plaintext: &[u8]) -> Vec<u8> {
    let (sink, contents) = MemorySink::new();
    let recipients = Recipients::new().wrapping_key(WrappingKey::from_bytes(KEY));
    let sealer = Sealer::new(recipients).frame_len(FRAME_LEN).segment_len(SEGMENT_LEN as u64);
    sealer.seal(BytesSource::new(plaintext.to_vec()), sink).unwrap();
    contents.take().unwrap()
}

fn opener() -> Opener {
    Opener::new(Identities::new().wrapping_key(WrappingKey::from_bytes(KEY)))
}

fn target(name: &str) -> DatabaseTarget {
    DatabaseTarget::new(name).unwrap()
}

fn sink(path: &Path, name: &str) -> DatabaseSink {
    let options = DatabaseOptions::new(target(name)).if_exists(IfExists::Replace);
    DatabaseSink::sqlite(path, &options).unwrap()
}

fn published(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    Published::sqlite(path, &target(name)).unwrap()?.read_to_end(&mut bytes).unwrap();
    Some(bytes)
}

/// Bytes in order, an error in place of those behind `breaks_at`, and a look at something else before each
/// read.
struct ObservedSource<L> {
    bytes: Vec<u8>,
    next: usize,
    breaks_at: usize,
    look: L,
}

impl<L: FnMut() + Send> Source for ObservedSource<L> {
    fn len(&self) -> Option<u64> {
        None
    }
    fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
        None
    }
    fn read_within(&mut self, buffer: &mut [u8], _patience: Duration) -> io::Result<Arrival> {
        (self.look)();
        if self.next >= self.breaks_at {
            return Err(io::Error::other("the line is cut"));
        }
        let count = buffer.len().min(PIECE_LEN).min(self.bytes.len() - self.next);
        buffer[..count].copy_from_slice(&self.bytes[self.next..self.next + count]);
        self.next += count;
        Ok(if count == 0 && !buffer.is_empty() { Arrival::End } else { Arrival::Bytes(count) })
    }
}

/// Notes where a stream went on.
#[derive(Default)]
struct WentOn(Mutex<Option<(u64, u64)>>);

impl Observer for WentOn {
    fn progress(&self, _: &Progress) {}
    fn resumed(&self, kept: u64, segments: u64) {
        *self.0.lock().unwrap() = Some((kept, segments));
    }
}

fn database() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    (directory, path)
}

#[test]
fn the_database_is_free_whenever_the_source_is_asked() {
    let (_directory, path) = database();
    let mut reads = 0_u64;
    let other = path.clone();
    let look = || {
        // Claims, writes, commits, and takes it back: four transactions, each of which needs the only write
        // lock.
        let mut other = sink(&other, "another target");
        other.begin_segment(0, 0).unwrap();
        other.write_tentative(0, b"x").unwrap();
        other.commit_segment(&Checkpoint::from_bytes([0; Checkpoint::LEN])).unwrap();
        other.discard().unwrap();
        reads += 1;
    };
    let bytes = sealed(&plaintext(1));
    let source = ObservedSource { bytes, next: 0, breaks_at: usize::MAX, look };
    opener().open(source, sink(&path, "db1")).unwrap();
    assert!(published(&path, "db1").unwrap() == plaintext(1));
    assert!(reads > 10, "the source was asked {reads} times: nothing was seen between segments");
}

#[test]
fn a_stream_that_broke_off_goes_on_behind_what_was_committed() {
    let (_directory, path) = database();
    opener().open(BytesSource::new(sealed(&plaintext(1))), sink(&path, "db1")).unwrap();
    let bytes = sealed(&plaintext(2));
    let breaks_at = bytes.len() / 2;
    let cut = ObservedSource { bytes: bytes[..].to_vec(), next: 0, breaks_at, look: || {} };
    opener().open(cut, sink(&path, "db1")).unwrap_err();
    assert!(published(&path, "db1").unwrap() == plaintext(1));

    let went_on = Arc::new(WentOn::default());
    opener().observer(went_on.clone()).open(BytesSource::new(bytes), sink(&path, "db1")).unwrap();
    assert!(published(&path, "db1").unwrap() == plaintext(2));
    let (kept, segments) = went_on.0.lock().unwrap().unwrap();
    assert!((1..9).contains(&segments), "{segments}");
    assert_eq!(kept, segments * SEGMENT_LEN as u64);
}

#[test]
fn a_stream_that_comes_in_order_goes_on_too() {
    let (_directory, path) = database();
    let bytes = sealed(&plaintext(3));
    let feed = |breaks_at| ObservedSource { bytes: bytes.clone(), next: 0, breaks_at, look: || {} };
    opener().open(feed(bytes.len() / 2), sink(&path, "db1")).unwrap_err();
    assert!(sink(&path, "db1").last_commit().unwrap().is_some());
    opener().open(feed(usize::MAX), sink(&path, "db1")).unwrap();
    assert!(published(&path, "db1").unwrap() == plaintext(3));
}

#[test]
fn progress_of_another_stream_is_refused_and_stays() {
    let (_directory, path) = database();
    let bytes = sealed(&plaintext(4));
    let breaks_at = bytes.len() / 2;
    let cut = ObservedSource { bytes: bytes.clone(), next: 0, breaks_at, look: || {} };
    opener().open(cut, sink(&path, "db1")).unwrap_err();
    let other = opener().open(BytesSource::new(sealed(&plaintext(5))), sink(&path, "db1")).unwrap_err();
    assert_eq!(other.kind(), ErrorKind::JournalMismatch);
    opener().open(BytesSource::new(bytes), sink(&path, "db1")).unwrap();
    assert!(published(&path, "db1").unwrap() == plaintext(4));
}

#[test]
fn a_damaged_stream_leaves_what_was_published() {
    let (_directory, path) = database();
    opener().open(BytesSource::new(sealed(&plaintext(1))), sink(&path, "db1")).unwrap();
    let mut bytes = sealed(&plaintext(2));
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let error = opener().open(BytesSource::new(bytes), sink(&path, "db1")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(published(&path, "db1").unwrap() == plaintext(1));
}
