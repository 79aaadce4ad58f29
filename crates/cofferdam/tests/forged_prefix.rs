//! Owns what somebody with the key and the storage gets published by having a restore run again: nothing.
//! Refuses to know what a single run refuses anyway; that is the attacks' file.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod reference;
mod streams;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cofferdam::{
    BytesSource, CancelToken, DigestKind, Durability, Error, ErrorKind, MemorySink, Observer, Opener,
    Progress, Restored, StreamDigest,
};

use streams::forge::{Forger, wholly_forged, with_forged_prefix};
use streams::{
    KEY, READINGS, Reading, SEGMENT, Shared, class_of, counted, in_order, names_in, opener, scratch, seal,
    small_sealer, verify,
};

const SEGMENTS: usize = 6;

/// A genuine stream and a place to restore it to.
struct Fixture {
    directory: tempfile::TempDir,
    plaintext: Vec<u8>,
    genuine: Vec<u8>,
}

impl Fixture {
    fn new() -> Fixture {
        let plaintext = counted(SEGMENTS * SEGMENT - 5);
        Fixture { directory: scratch(), genuine: seal(&small_sealer(), plaintext.clone()), plaintext }
    }

    /// The digest that a reader finds who shares no code with the library.
    fn pin(&self) -> StreamDigest {
        let opened = reference::open(&self.genuine, &reference::Key::KeyFile(KEY)).unwrap();
        StreamDigest(opened.stream_digest)
    }

    fn target(&self) -> PathBuf {
        self.directory.path().join("db")
    }

    fn restore(&self, opener: &Opener, reading: Reading, sealed: &[u8]) -> Result<Restored, Error> {
        let sealed = Shared::new(sealed.to_vec());
        match reading {
            Reading::Seekable => opener.restore_to(BytesSource::new(sealed), self.target()),
            Reading::Sequential => opener.restore_to(in_order(sealed), self.target()),
        }
    }

    /// Restores `sealed` until `segments` of it have committed and are durable.
    fn interrupt(&self, segments: u64, sealed: &[u8]) {
        let cancel = CancelToken::new();
        let observer = Arc::new(CancelAfter { segments, cancel: cancel.clone() });
        let opener = opener().durability(Durability::Each).cancel(cancel).observer(observer);
        let error = self.restore(&opener, Reading::Seekable, sealed).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
    }

    fn assert_restored(&self) {
        assert!(fs::read(self.target()).unwrap() == self.plaintext, "the target is not the plaintext");
        assert_eq!(names_in(self.directory.path()), [Path::new("db")]);
    }
}

struct CancelAfter {
    segments: u64,
    cancel: CancelToken,
}

impl Observer for CancelAfter {
    fn progress(&self, progress: &Progress) {
        if progress.segments >= self.segments {
            self.cancel.cancel();
        }
    }
}

#[test]
fn a_forged_prefix_is_published_by_no_run_and_the_genuine_stream_is_restored_after_all_of_them() {
    for reading in READINGS {
        for forged in [1, 2, SEGMENTS - 1] {
            let fixture = Fixture::new();
            let sealed = with_forged_prefix(&fixture.genuine, forged);
            for run in 1..=3 {
                let outcome = fixture.restore(&opener(), reading, &sealed);
                assert_eq!(class_of(&outcome), "damaged", "{reading:?}, {forged} forged, run {run}");
                assert!(!fixture.target().exists());
            }
            fixture.restore(&opener(), reading, &fixture.genuine).unwrap();
            fixture.assert_restored();
        }
    }
}

#[test]
fn a_forged_copy_takes_nothing_away_from_what_was_kept_of_the_genuine_stream() {
    let fixture = Fixture::new();
    fixture.interrupt(4, &fixture.genuine);
    let kept = fs::read(fixture.directory.path().join(".db.cofferdam-staging")).unwrap();
    let sealed = with_forged_prefix(&fixture.genuine, 2);
    for _ in 0..2 {
        let error = fixture.restore(&opener(), Reading::Seekable, &sealed).unwrap_err();
        assert_eq!((error.kind(), error.resumable_bytes().is_some()), (ErrorKind::Damaged, true));
        assert!(fs::read(fixture.directory.path().join(".db.cofferdam-staging")).unwrap() == kept);
    }
    let restored = fixture.restore(&opener(), Reading::Seekable, &fixture.genuine).unwrap();
    assert!(restored.resumed_bytes >= 4 * SEGMENT as u64, "{} bytes", restored.resumed_bytes);
    fixture.assert_restored();
}

#[test]
fn the_chain_over_kept_bytes_has_to_meet_the_segments_that_are_read() {
    // Index and footer agree with each other, and with the forged prefix: only the genuine segments behind it do not.
    let fixture = Fixture::new();
    let mut forger = Forger::of(&fixture.genuine);
    let mut chain = forger.chain_start();
    for index in 0..3 {
        chain = forger.put(index, &vec![0xF0; SEGMENT], chain, |_| {});
    }
    forger.say_digest(forger.chain_over_entries());
    let sealed = forger.finish();
    for run in 1..=3 {
        let error = fixture.restore(&opener(), Reading::Seekable, &sealed).unwrap_err();
        // Where a run meets the first TERMINATOR depends on how much it could keep.
        assert_eq!(error.kind(), ErrorKind::Damaged, "run {run}");
        assert!(error.segment().is_some_and(|segment| segment >= 3), "run {run}: {error}");
        assert!(!fixture.target().exists());
    }
}

#[test]
fn with_a_pin_nothing_is_begun_of_another_stream_and_nothing_kept_of_one_is_published() {
    let fixture = Fixture::new();
    let pinned = || opener().expect_digest(fixture.pin());
    for sealed in [wholly_forged(&fixture.genuine), with_forged_prefix(&fixture.genuine, 2)] {
        for run in 1..=2 {
            assert_eq!(
                class_of(&fixture.restore(&pinned(), Reading::Seekable, &sealed)),
                "damaged",
                "run {run}"
            );
            assert!(names_in(fixture.directory.path()).is_empty());
        }
        let made = pinned().open_sized(BytesSource::new(sealed.clone()), |_| -> Result<MemorySink, _> {
            panic!("a sink was made")
        });
        assert_eq!(class_of(&made), "damaged");
        assert_eq!(class_of(&fixture.restore(&pinned(), Reading::Sequential, &sealed)), "damaged");
        assert!(!fixture.target().exists());
        for reading in READINGS {
            assert_eq!(class_of(&verify(&pinned(), reading, sealed.clone())), "damaged");
        }
        fixture.restore(&pinned(), Reading::Seekable, &fixture.genuine).unwrap();
        fixture.assert_restored();
        fs::remove_file(fixture.target()).unwrap();
    }
}

#[test]
fn what_is_kept_of_another_stream_under_the_same_key_is_read_again_under_a_pin() {
    let fixture = Fixture::new();
    let forged = wholly_forged(&fixture.genuine);
    // Nothing is wrong with it, but that it is not the pinned one.
    assert_eq!(class_of(&verify(&opener(), Reading::Seekable, forged.clone())), "success");
    fixture.interrupt(3, &forged);
    let pinned = opener().expect_digest(fixture.pin());
    let restored = fixture.restore(&pinned, Reading::Seekable, &fixture.genuine).unwrap();
    assert_eq!((restored.resumed_bytes, restored.stream_digest), (0, fixture.pin()));
    fixture.assert_restored();
}

#[test]
fn a_digest_of_tags_pins_nothing_with_a_key_and_without() {
    let sealed = seal(&small_sealer().digest(DigestKind::Tags), counted(2 * SEGMENT));
    let digest = reference::open(&sealed, &reference::Key::KeyFile(KEY)).unwrap().stream_digest;
    let directory = scratch();
    for reading in READINGS {
        assert_eq!(class_of(&verify(&opener(), reading, sealed.clone())), "success");
        for pinned in [opener(), Opener::keyless()] {
            let pinned = pinned.expect_digest(StreamDigest(digest));
            assert_eq!(class_of(&verify(&pinned, reading, sealed.clone())), "unsupported", "{reading:?}");
        }
        let pinned = opener().expect_digest(StreamDigest(digest));
        let target = directory.path().join("db");
        let refused = match reading {
            Reading::Seekable => pinned.restore_to(BytesSource::new(sealed.clone()), &target),
            Reading::Sequential => pinned.restore_to(in_order(sealed.clone()), &target),
        };
        assert_eq!(class_of(&refused), "unsupported");
        assert!(names_in(directory.path()).is_empty());
    }
}

#[cfg(feature = "sqlite")]
mod into_a_sink_that_keeps_a_mark_alone {
    use std::io::Read;
    use std::sync::Mutex;

    use cofferdam::IfExists;
    use cofferdam::database::{DatabaseOptions, DatabaseSink, DatabaseTarget, Published};

    use super::*;

    fn target() -> DatabaseTarget {
        DatabaseTarget::new("db").unwrap()
    }

    fn sink(path: &Path) -> DatabaseSink {
        let options = DatabaseOptions::new(target()).if_exists(IfExists::Replace);
        DatabaseSink::sqlite(path, &options).unwrap()
    }

    fn published(path: &Path) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        Published::sqlite(path, &target()).unwrap()?.read_to_end(&mut bytes).unwrap();
        Some(bytes)
    }

    fn open(opener: &Opener, path: &Path, sealed: &[u8]) -> Result<Restored, Error> {
        opener.open(BytesSource::new(sealed.to_vec()), sink(path))
    }

    /// Notes behind how many segments a stream went on.
    #[derive(Default)]
    struct WentOn(Mutex<Option<u64>>);

    impl Observer for WentOn {
        fn progress(&self, _: &Progress) {}
        fn resumed(&self, _kept: u64, segments: u64) {
            *self.0.lock().unwrap() = Some(segments);
        }
    }

    #[test]
    fn a_forged_prefix_that_it_has_committed_is_never_gone_on_from() {
        let fixture = Fixture::new();
        let path = fixture.directory.path().join("app.db");
        let sealed = with_forged_prefix(&fixture.genuine, 2);
        for run in 1..=3 {
            assert_eq!(class_of(&open(&opener(), &path, &sealed)), "damaged", "run {run}");
            assert!(published(&path).is_none());
        }
        // The rows are the forger's, and cannot be read back: they are not the genuine stream's progress.
        let refused = open(&opener(), &path, &fixture.genuine).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::JournalMismatch);
        assert!(published(&path).is_none());
    }

    #[test]
    fn what_it_has_of_the_genuine_stream_is_gone_on_from_after_a_forged_copy_was_refused() {
        let fixture = Fixture::new();
        let path = fixture.directory.path().join("app.db");
        let cancel = CancelToken::new();
        let observer = Arc::new(CancelAfter { segments: 3, cancel: cancel.clone() });
        let interrupted = open(&opener().cancel(cancel).observer(observer), &path, &fixture.genuine);
        assert_eq!(interrupted.unwrap_err().kind(), ErrorKind::Cancelled);
        let sealed = with_forged_prefix(&fixture.genuine, 2);
        for run in 1..=2 {
            assert_eq!(class_of(&open(&opener(), &path, &sealed)), "damaged", "run {run}");
        }
        let went_on = Arc::new(WentOn::default());
        open(&opener().observer(went_on.clone()), &path, &fixture.genuine).unwrap();
        assert!(went_on.0.lock().unwrap().is_some_and(|segments| segments >= 3));
        assert!(published(&path).unwrap() == fixture.plaintext);
    }
}
