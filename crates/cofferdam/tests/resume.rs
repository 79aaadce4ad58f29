//! Owns restores that are interrupted and run again: what was kept is proved, what is missing is read, nothing else.
//! Refuses to know the journal's bytes; it sees files beside the target, and what is read of the sealed stream.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod streams;

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use cofferdam::{
    CancelToken, Durability, Error, ErrorKind, IfExists, Observer, OnPartial, Opener, Progress, Restored,
    Warning,
};

use streams::counting::CountedSource;
use streams::{
    READINGS, Reading, SEGMENT, Shared, counted, in_order, names_in, opener, scratch, seal, small_sealer,
    threads,
};

/// Segments of the streams here.
const SEGMENTS: usize = 20;

/// Cancels once so many segments have committed, and notes what it is told.
struct Stop {
    after: u64,
    cancel: CancelToken,
    resumed: Mutex<Vec<(u64, u64)>>,
    warnings: Mutex<Vec<Warning>>,
    durable: AtomicU64,
    proved: AtomicU64,
}

impl Stop {
    fn after(segments: u64) -> Arc<Stop> {
        Arc::new(Stop {
            after: segments,
            cancel: CancelToken::new(),
            resumed: Mutex::default(),
            warnings: Mutex::default(),
            durable: AtomicU64::new(0),
            proved: AtomicU64::new(0),
        })
    }

    fn never() -> Arc<Stop> {
        Stop::after(u64::MAX)
    }
}

impl Observer for Stop {
    fn progress(&self, progress: &Progress) {
        assert!(progress.durable <= progress.committed);
        self.durable.fetch_max(progress.durable, Ordering::SeqCst);
        if progress.segments >= self.after {
            self.cancel.cancel();
        }
    }

    fn proving(&self, proved: u64) {
        self.proved.fetch_max(proved, Ordering::SeqCst);
    }

    fn resumed(&self, kept: u64, segments: u64) {
        assert_eq!(self.proved.load(Ordering::SeqCst), kept, "told while it was proved");
        self.resumed.lock().unwrap().push((kept, segments));
    }

    fn warning(&self, warning: &Warning) {
        self.warnings.lock().unwrap().push(*warning);
    }
}

/// Makes a file appear while the stream is restored.
struct Appearing(PathBuf);

impl Observer for Appearing {
    fn progress(&self, _: &Progress) {
        fs::write(&self.0, b"meanwhile").unwrap();
    }
}

/// A stream, its plaintext, and a directory with a target's name in it.
struct Fixture {
    directory: tempfile::TempDir,
    plaintext: Vec<u8>,
    sealed: Shared,
}

impl Fixture {
    fn new() -> Fixture {
        let plaintext = counted(SEGMENTS * SEGMENT - 5);
        let sealed = Shared::new(seal(&small_sealer(), plaintext.clone()));
        Fixture { directory: scratch(), plaintext, sealed }
    }

    fn target(&self) -> PathBuf {
        self.directory.path().join("db")
    }

    fn staging(&self) -> PathBuf {
        self.directory.path().join(".db.cofferdam-staging")
    }

    fn opener(&self, stop: &Arc<Stop>) -> Opener {
        opener().threads(threads(2)).cancel(stop.cancel.clone()).observer(stop.clone())
    }

    fn restore(&self, opener: &Opener, reading: Reading) -> (Result<Restored, Error>, u64) {
        let read = Arc::new(AtomicU64::new(0));
        let restored = match reading {
            Reading::Seekable => {
                opener.restore_to(CountedSource::of(self.sealed.clone(), read.clone()), self.target())
            }
            Reading::Sequential => opener.restore_to(in_order(self.sealed.clone()), self.target()),
        };
        (restored, read.load(Ordering::SeqCst))
    }

    /// Interrupts a restore behind `segments` segments, and gives the bytes it says it kept.
    fn interrupt(&self, segments: u64, reading: Reading) -> u64 {
        let stop = Stop::after(segments);
        let (cancelled, _) = self.restore(&self.opener(&stop), reading);
        let error = cancelled.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        assert!(!self.target().exists());
        error.resumable_bytes().unwrap_or(0)
    }

    /// What a crash leaves between the rename and the removal of the journal. A target that appears is in the way of the
    /// rename, and makes it possible to do that by hand.
    fn put_in_place(&self) {
        let appearing = Appearing(self.target());
        let (refused, _) = self.restore(&opener().observer(Arc::new(appearing)), Reading::Seekable);
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::TargetExists);
        fs::rename(self.staging(), self.target()).unwrap();
    }

    fn assert_restored(&self) {
        assert!(fs::read(self.target()).unwrap() == self.plaintext, "the target is not the plaintext");
        assert_eq!(names_in(self.directory.path()), [Path::new("db")], "something is left beside the target");
    }
}

#[test]
fn what_was_kept_is_not_read_again() {
    let fixture = Fixture::new();
    let kept = fixture.interrupt(10, Reading::Seekable);
    assert!(kept >= 10 * SEGMENT as u64, "{kept} bytes kept");
    let staging = fs::metadata(fixture.staging()).unwrap();
    assert_eq!(staging.permissions().mode() & 0o777, 0o600);

    let stop = Stop::never();
    let (restored, read) = fixture.restore(&fixture.opener(&stop), Reading::Seekable);
    let restored = restored.unwrap();
    assert!(restored.resumed_bytes >= kept, "{} bytes were proved of {kept}", restored.resumed_bytes);
    let segments = restored.resumed_bytes / SEGMENT as u64;
    assert_eq!(*stop.resumed.lock().unwrap(), [(restored.resumed_bytes, segments)]);
    let sealed_len = fixture.sealed.as_ref().len() as u64;
    let most = sealed_len * 55 / 100;
    assert!(read <= most, "{read} bytes were read of {sealed_len}, after half had been kept");
    fixture.assert_restored();
}

#[test]
fn a_restore_may_be_interrupted_again_and_again() {
    for reading in READINGS {
        let fixture = Fixture::new();
        let mut kept = 0;
        for segments in [1, 4, 5, 11, 18] {
            let now = fixture.interrupt(segments, reading);
            assert!(now >= segments * SEGMENT as u64, "{reading:?}: {now} bytes behind {segments} segments");
            assert!(reading == Reading::Sequential || now >= kept, "{reading:?}: {now} bytes after {kept}");
            kept = now;
        }
        fixture.restore(&fixture.opener(&Stop::never()), reading).0.unwrap();
        fixture.assert_restored();
    }
}

#[test]
fn a_byte_that_changed_in_between_is_found_and_its_segment_read_again() {
    for segment in [0, 3, 9] {
        let fixture = Fixture::new();
        fixture.interrupt(10, Reading::Seekable);
        let staging = OpenOptions::new().read(true).write(true).open(fixture.staging()).unwrap();
        let at = (segment * SEGMENT + 1234) as u64;
        let mut byte = [0];
        staging.read_exact_at(&mut byte, at).unwrap();
        staging.write_all_at(&[byte[0] ^ 1], at).unwrap();
        let (restored, read) = fixture.restore(&fixture.opener(&Stop::never()), Reading::Seekable);
        let (restored, read) = (restored.unwrap(), read as usize);
        // Its frames, what stands around frames and segments, and the index, which is read for each purpose anew.
        let around = fixture.sealed.as_ref().len() - fixture.plaintext.len() + 8192;
        let most = fixture.plaintext.len() - restored.resumed_bytes as usize + around;
        assert!(read <= most, "{read} bytes were read, {} had been kept", restored.resumed_bytes);
        assert!(restored.resumed_bytes >= 9 * SEGMENT as u64, "all but the changed segment");
        fixture.assert_restored();
    }
}

/// Cancels once the first kept segment has been proved. How much is good, nobody knows then, and nothing is to be said of it.
struct StopProving(CancelToken);

impl Observer for StopProving {
    fn progress(&self, progress: &Progress) {
        panic!("{progress:?}");
    }

    fn proving(&self, _: u64) {
        self.0.cancel();
    }

    fn resumed(&self, kept: u64, _: u64) {
        panic!("{kept} bytes are said to be kept");
    }

    fn warning(&self, warning: &Warning) {
        panic!("{warning}");
    }
}

#[test]
fn a_cancellation_while_it_is_proved_what_was_kept_loses_none_of_it() {
    let fixture = Fixture::new();
    let kept = fixture.interrupt(10, Reading::Seekable);
    let cancel = CancelToken::new();
    let stopped = opener().threads(threads(2)).cancel(cancel.clone()).observer(Arc::new(StopProving(cancel)));
    let (cancelled, _) = fixture.restore(&stopped, Reading::Seekable);
    assert_eq!(cancelled.unwrap_err().kind(), ErrorKind::Cancelled);
    let restored = fixture.restore(&fixture.opener(&Stop::never()), Reading::Seekable).0.unwrap();
    assert!(restored.resumed_bytes >= kept, "{} bytes are left of {kept}", restored.resumed_bytes);
    fixture.assert_restored();
}

#[test]
fn what_a_pipe_brings_again_is_compared_with_what_is_kept_and_mended() {
    let fixture = Fixture::new();
    fixture.interrupt(10, Reading::Sequential);
    let staging = OpenOptions::new().write(true).open(fixture.staging()).unwrap();
    staging.write_all_at(b"rot", 5000).unwrap();
    fixture.restore(&fixture.opener(&Stop::never()), Reading::Sequential).0.unwrap();
    fixture.assert_restored();
}

#[test]
fn a_stream_that_was_cut_or_damaged_goes_on_from_a_whole_copy() {
    for cut in [true, false] {
        let mut fixture = Fixture::new();
        let whole = fixture.sealed.clone();
        let mut bytes = whole.as_ref().to_vec();
        let middle = bytes.len() / 2;
        match cut {
            true => bytes.truncate(middle),
            false => bytes[middle] ^= 1,
        }
        fixture.sealed = Shared::new(bytes);
        let reading = if cut { Reading::Sequential } else { Reading::Seekable };
        let error = fixture.restore(&fixture.opener(&Stop::never()), reading).0.unwrap_err();
        assert_eq!(error.kind(), if cut { ErrorKind::Truncated } else { ErrorKind::Damaged });
        assert!(error.resumable_bytes().unwrap() >= 9 * SEGMENT as u64);
        assert!(!fixture.target().exists());
        fixture.sealed = whole;
        let restored = fixture.restore(&fixture.opener(&Stop::never()), Reading::Seekable).0.unwrap();
        assert!(restored.resumed_bytes >= 9 * SEGMENT as u64);
        fixture.assert_restored();
    }
}

#[test]
fn threads_memory_and_durability_may_differ_between_the_runs() {
    let fixture = Fixture::new();
    fixture.interrupt(6, Reading::Seekable);
    let stop = Stop::after(12);
    let other = fixture.opener(&stop).threads(threads(1)).memory(1 << 20).durability(Durability::Each);
    assert!(fixture.restore(&other, Reading::Seekable).0.is_err());
    assert!(
        stop.durable.load(Ordering::SeqCst) >= 11 * SEGMENT as u64,
        "each segment is durable as it commits"
    );
    let last = fixture.opener(&Stop::never()).threads(threads(3)).durability(Durability::AtFinish);
    assert!(fixture.restore(&last, Reading::Seekable).0.unwrap().resumed_bytes >= 12 * SEGMENT as u64);
    fixture.assert_restored();
}

/// The least that a resumed restore says to be durable.
struct LeastDurable(AtomicU64);

impl Observer for LeastDurable {
    fn progress(&self, progress: &Progress) {
        self.0.fetch_min(progress.durable, Ordering::SeqCst);
    }
}

#[test]
fn what_was_durable_before_is_said_to_be_so_from_the_first_report_on() {
    let fixture = Fixture::new();
    let each = fixture.opener(&Stop::after(8)).durability(Durability::Each);
    let durable = fixture.restore(&each, Reading::Seekable).0.unwrap_err().resumable_bytes().unwrap();
    assert!(durable >= 8 * SEGMENT as u64);
    let least = Arc::new(LeastDurable(AtomicU64::new(u64::MAX)));
    let at_finish = opener().durability(Durability::AtFinish).observer(least.clone());
    fixture.restore(&at_finish, Reading::Seekable).0.unwrap();
    assert_eq!(least.0.load(Ordering::SeqCst), durable);
}

#[test]
fn what_is_kept_of_another_stream_is_refused_and_stays_until_it_is_discarded() {
    let mut fixture = Fixture::new();
    fixture.interrupt(10, Reading::Seekable);
    let before = names_in(fixture.directory.path());
    let first = std::mem::replace(&mut fixture.sealed, Shared::new(seal(&small_sealer(), counted(SEGMENT))));
    for reading in READINGS {
        let error = fixture.restore(&fixture.opener(&Stop::never()), reading).0.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::JournalMismatch, "{error}");
        assert_eq!(names_in(fixture.directory.path()), before);
    }
    let second = std::mem::replace(&mut fixture.sealed, first);
    assert!(
        fixture
            .restore(&fixture.opener(&Stop::after(12)), Reading::Seekable)
            .0
            .unwrap_err()
            .resumable_bytes()
            .is_some()
    );
    (fixture.sealed, fixture.plaintext) = (second, counted(SEGMENT));
    let anew = fixture.opener(&Stop::never()).on_partial(OnPartial::Discard);
    assert_eq!(fixture.restore(&anew, Reading::Seekable).0.unwrap().resumed_bytes, 0);
    fixture.assert_restored();
}

#[test]
fn what_is_kept_is_told_where_the_next_attempt_ends_before_it_has_proved_it() {
    let fixture = Fixture::new();
    fixture.interrupt(10, Reading::Seekable);
    let before = names_in(fixture.directory.path());
    let stop = Stop::never();
    stop.cancel.cancel();
    for reading in READINGS {
        let error = fixture.restore(&fixture.opener(&stop), reading).0.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        assert!(error.resumable_bytes().is_some());
    }
    let nowhere = fixture.directory.path().join("nowhere");
    let error = fixture.opener(&Stop::never()).restore_file(&nowhere, fixture.target()).unwrap_err();
    assert_eq!((error.kind(), error.resumable_bytes().is_some()), (ErrorKind::Io, true));
    assert_eq!(names_in(fixture.directory.path()), before);
}

#[test]
fn what_was_put_in_place_before_a_crash_is_done_if_it_still_is_what_the_stream_says() {
    for reading in READINGS {
        let fixture = Fixture::new();
        fixture.put_in_place();
        let (restored, _) = fixture.restore(&fixture.opener(&Stop::never()), reading);
        assert_eq!(restored.unwrap().resumed_bytes, fixture.plaintext.len() as u64);
        fixture.assert_restored();
    }
}

#[test]
fn a_target_that_has_changed_since_it_was_put_in_place_is_not_taken_for_restored() {
    let len = (SEGMENTS * SEGMENT - 5) as u64;
    for reading in READINGS {
        for (at, changed) in [(0, 1), (len / 2, 1), (len - 1, 1), (len, 1), (0, len)] {
            let fixture = Fixture::new();
            fixture.put_in_place();
            let target = OpenOptions::new().write(true).open(fixture.target()).unwrap();
            target.write_all_at(&vec![0xEE; changed as usize], at).unwrap();
            let refused = fixture.restore(&fixture.opener(&Stop::never()), reading).0.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::TargetExists, "{at}: {refused:?}");
            assert_eq!(names_in(fixture.directory.path()), [Path::new("db")]);
            let replacing = fixture.opener(&Stop::never()).if_exists(IfExists::Replace);
            fixture.restore(&replacing, reading).0.unwrap();
            fixture.assert_restored();
        }
    }
}

/// Changes a byte of a kept segment.
fn spoil(fixture: &Fixture, segment: u64) {
    let staging = OpenOptions::new().read(true).write(true).open(fixture.staging()).unwrap();
    let at = segment * SEGMENT as u64 + 99;
    let mut byte = [0];
    staging.read_exact_at(&mut byte, at).unwrap();
    staging.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

#[test]
fn of_what_was_durable_each_segment_that_is_lost_is_told_and_the_unproved_last_one_is_not() {
    for lost in [&[1][..], &[2], &[5], &[7, 2, 1]] {
        let fixture = Fixture::new();
        let stop = Stop::after(10);
        let each = fixture.opener(&stop).durability(Durability::Each);
        let kept = fixture.restore(&each, Reading::Seekable).0.unwrap_err().resumable_bytes().unwrap();
        lost.iter().for_each(|lost| spoil(&fixture, kept / SEGMENT as u64 - lost));
        let (first, segments) = (kept / SEGMENT as u64 - lost[0], lost.len() as u64);
        let stop = Stop::never();
        let restored = fixture.restore(&fixture.opener(&stop), Reading::Seekable).0.unwrap();
        let expected = [Warning::KeptSegmentsLost { first, segments }];
        assert_eq!(restored.warnings, expected);
        assert_eq!(*stop.warnings.lock().unwrap(), expected);
        fixture.assert_restored();
    }
    for lost in [None, Some(2)] {
        let fixture = Fixture::new();
        let each = opener().durability(Durability::Each).observer(Arc::new(Appearing(fixture.target())));
        fixture.restore(&each, Reading::Seekable).0.unwrap_err();
        fs::remove_file(fixture.target()).unwrap();
        let expected = lost.map(|behind| {
            let first = SEGMENTS as u64 - behind;
            spoil(&fixture, first);
            Warning::KeptSegmentsLost { first, segments: 1 }
        });
        let restored = fixture.restore(&fixture.opener(&Stop::never()), Reading::Seekable).0.unwrap();
        assert_eq!(restored.warnings, Vec::from_iter(expected));
        fixture.assert_restored();
    }
}

#[test]
fn too_little_memory_is_the_same_limit_with_kept_bytes_and_without() {
    let fixture = Fixture::new();
    for _ in 0..2 {
        let little = fixture.opener(&Stop::never()).memory(1);
        assert_eq!(fixture.restore(&little, Reading::Seekable).0.unwrap_err().kind(), ErrorKind::Limit);
        fixture.interrupt(6, Reading::Seekable);
    }
}

#[test]
fn a_restart_reads_everything_again() {
    let fixture = Fixture::new();
    fixture.interrupt(10, Reading::Seekable);
    let anew = fixture.opener(&Stop::never()).on_partial(OnPartial::Discard);
    let (restored, read) = fixture.restore(&anew, Reading::Seekable);
    assert_eq!(restored.unwrap().resumed_bytes, 0);
    assert!(read >= fixture.sealed.as_ref().len() as u64 - 3 * 4096, "{read} bytes");
    fixture.assert_restored();
}

#[test]
fn a_restore_that_has_committed_nothing_leaves_nothing() {
    let fixture = Fixture::new();
    let stop = Stop::never();
    stop.cancel.cancel();
    let error = fixture.restore(&fixture.opener(&stop), Reading::Seekable).0.unwrap_err();
    assert_eq!((error.kind(), error.resumable_bytes()), (ErrorKind::Cancelled, None));
    assert!(names_in(fixture.directory.path()).is_empty());
}

#[test]
fn the_old_target_stays_until_the_resumed_restore_replaces_it() {
    let fixture = Fixture::new();
    fs::write(fixture.target(), b"old").unwrap();
    let refused = fixture.restore(&fixture.opener(&Stop::never()), Reading::Seekable).0.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::TargetExists);
    let replacing = |stop: &Arc<Stop>| fixture.opener(stop).if_exists(IfExists::Replace);
    assert!(fixture.restore(&replacing(&Stop::after(10)), Reading::Seekable).0.is_err());
    assert_eq!(fs::read(fixture.target()).unwrap(), b"old");
    let refused = fixture.restore(&fixture.opener(&Stop::never()), Reading::Seekable).0.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::TargetExists, "it was not to be replaced");
    assert!(
        fixture.restore(&replacing(&Stop::never()), Reading::Seekable).0.unwrap().resumed_bytes
            >= 10 * SEGMENT as u64
    );
    fixture.assert_restored();
}

/// Does something to the directory once some segments have committed.
struct Meddler<F> {
    meddle: Mutex<Option<F>>,
    cancel: CancelToken,
    ends: Ends,
}

/// Whether the restore is cancelled then.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    Cancelled,
    ByItself,
}

impl<F: FnOnce() + Send> Observer for Meddler<F> {
    fn progress(&self, progress: &Progress) {
        assert!(!self.cancel.is_publishing(), "nothing is published while segments commit");
        if progress.segments < 10 {
            return;
        }
        if let Some(meddle) = self.meddle.lock().unwrap().take() {
            meddle();
            if self.ends == Ends::Cancelled {
                self.cancel.cancel();
            }
        }
    }
}

fn meddled(fixture: &Fixture, ends: Ends, meddle: impl FnOnce() + Send + 'static) -> (Error, CancelToken) {
    let cancel = CancelToken::new();
    let meddler = Meddler { meddle: Mutex::new(Some(meddle)), cancel: cancel.clone(), ends };
    let opener = opener().threads(threads(1)).cancel(cancel.clone()).observer(Arc::new(meddler));
    (fixture.restore(&opener, Reading::Seekable).0.unwrap_err(), cancel)
}

#[test]
fn what_somebody_takes_away_is_not_said_to_be_kept() {
    for taken in [&["staging", "journal"][..], &["staging"], &["journal"]] {
        for ends in [Ends::Cancelled, Ends::ByItself] {
            // Without its journal a restore that goes on publishes all the same.
            if ends == Ends::ByItself && *taken == ["journal"] {
                continue;
            }
            let fixture = Fixture::new();
            let directory = fixture.directory.path().to_owned();
            let (error, _) = meddled(&fixture, ends, move || {
                for name in taken {
                    fs::remove_file(directory.join(format!(".db.cofferdam-{name}"))).unwrap();
                }
            });
            assert_eq!(
                error.kind(),
                if ends == Ends::Cancelled { ErrorKind::Cancelled } else { ErrorKind::Io }
            );
            assert_eq!(error.resumable_bytes(), None, "without {taken:?}: {error:?}");
            assert!(!fixture.target().exists());
        }
    }
}

#[test]
fn a_directory_that_is_moved_meanwhile_is_told_and_so_is_where_the_target_is() {
    let fixture = Fixture::new();
    let inner = fixture.directory.path().join("inner");
    let moved = fixture.directory.path().join("moved");
    fs::create_dir(&inner).unwrap();
    let cancel = CancelToken::new();
    let (from, to) = (inner.clone(), moved.clone());
    let meddle = move || fs::rename(&from, &to).unwrap();
    let meddler = Meddler { meddle: Mutex::new(Some(meddle)), cancel: cancel.clone(), ends: Ends::ByItself };
    let opener = opener().threads(threads(1)).cancel(cancel.clone()).observer(Arc::new(meddler));
    let error = opener.restore_to(in_order(fixture.sealed.clone()), inner.join("db")).unwrap_err();
    assert_eq!((error.kind(), error.resumable_bytes()), (ErrorKind::DurabilityUnknown, None));
    let place = fs::canonicalize(&moved).unwrap().join("db");
    assert!(format!("{error:?}").contains(place.to_str().unwrap()), "{error:?}");
    assert!(fs::read(place).unwrap() == fixture.plaintext);
    assert!(cancel.is_publishing());
}

#[test]
fn whether_a_publish_has_begun_is_told_by_the_token() {
    let fixture = Fixture::new();
    let stop = Stop::after(10);
    fixture.restore(&fixture.opener(&stop), Reading::Seekable).0.unwrap_err();
    assert!(!stop.cancel.is_publishing(), "it was cancelled before");
    let stop = Stop::never();
    fixture.restore(&fixture.opener(&stop), Reading::Seekable).0.unwrap();
    assert!(stop.cancel.is_publishing());
}

#[test]
fn discarded_without_leave_to_replace_what_was_put_in_place_is_compared_and_tidied_up() {
    let fixture = Fixture::new();
    fixture.put_in_place();
    let anew = || fixture.opener(&Stop::never()).on_partial(OnPartial::Discard);
    assert_eq!(
        fixture.restore(&anew(), Reading::Seekable).0.unwrap().resumed_bytes,
        fixture.plaintext.len() as u64
    );
    fixture.assert_restored();
    let again = fixture.restore(&anew(), Reading::Seekable).0.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::TargetExists);

    let fixture = Fixture::new();
    fixture.put_in_place();
    let anew = fixture.opener(&Stop::never()).on_partial(OnPartial::Discard).if_exists(IfExists::Replace);
    assert_eq!(fixture.restore(&anew, Reading::Seekable).0.unwrap().resumed_bytes, 0);
    fixture.assert_restored();
}
