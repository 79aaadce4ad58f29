//! Owns compressed streams, end to end: every boundary both ways, cuts and flipped bits, resumed restores and resumed sealings.
//! Refuses to know the bytes of a record; vectors and the reference opener do.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod streams;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use cofferdam::{
    CancelToken, Compression, CompressionLevel, Error, ErrorKind, MemorySink, Observer, Opener, Progress,
    Remedy, Restored, Sealer, inspect,
};

use streams::{
    DIGESTS, FRAME, READINGS, Reading, SEGMENT, SUITES, Shared, class_of, in_order, names_in, open, opener,
    scratch, seal, small_sealer, threads, verify,
};

fn level() -> CompressionLevel {
    CompressionLevel::default()
}

fn sealer() -> Sealer {
    small_sealer().compression(level())
}

/// Frames that compress to almost nothing, to a half, and not at all, in turn.
fn mixed(len: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(len as u64);
    let mut bytes = vec![b'.'; len];
    for (index, frame) in bytes.chunks_mut(FRAME).enumerate() {
        let noise = [0, FRAME / 2, FRAME][index % 3].min(frame.len());
        random.fill(&mut frame[..noise]);
    }
    bytes
}

#[test]
fn every_boundary_size_with_every_suite_digest_and_number_of_threads() {
    let sizes = [
        0,
        1,
        FRAME - 1,
        FRAME,
        FRAME + 1,
        SEGMENT - 1,
        SEGMENT,
        SEGMENT + 1,
        2 * SEGMENT,
        3 * SEGMENT + FRAME + 5,
    ];
    for len in sizes {
        let plaintext = Shared::new(mixed(len));
        for (suite, digest) in SUITES.into_iter().flat_map(|suite| DIGESTS.map(|digest| (suite, digest))) {
            for count in [1, 2, 3] {
                let what = format!("{len} bytes, {suite:?}, {digest:?}, {count} threads");
                let sealer = sealer().suite(suite).digest(digest).threads(threads(count));
                let from_place = seal(&sealer, plaintext.as_ref().to_vec());
                let (sink, contents) = MemorySink::new();
                sealer.seal(in_order(plaintext.clone()), sink).unwrap();
                for sealed in [from_place, contents.take().unwrap()] {
                    for reading in READINGS {
                        let opener = opener().threads(threads(count));
                        let (_, opened) = open(&opener, reading, sealed.clone()).unwrap();
                        assert!(opened == plaintext.as_ref(), "{what}, {reading:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn every_level_opens_and_the_highest_is_the_shortest() {
    let plaintext: Vec<u8> = (0..40_000_u32).flat_map(|number| number.to_string().into_bytes()).collect();
    let sealed_at = |level| {
        let sealer = sealer().frame_len(64 << 10).segment_len(256 << 10);
        let sealed = seal(&sealer.compression(CompressionLevel::new(level).unwrap()), plaintext.clone());
        assert!(open(&opener(), Reading::Seekable, sealed.clone()).unwrap().1 == plaintext);
        sealed.len()
    };
    let [fast, usual, small] = [1, 3, 19].map(sealed_at);
    assert!(small < usual.min(fast) && usual.max(fast) < plaintext.len(), "{fast}, {usual}, {small}");
    assert_eq!((CompressionLevel::new(0), CompressionLevel::new(20)), (None, None));
}

#[test]
fn what_does_not_compress_costs_a_table_and_a_digest_and_no_more() {
    let mut plaintext = vec![0; 3 * SEGMENT];
    fastrand::Rng::with_seed(1).fill(&mut plaintext);
    let plain = seal(&small_sealer(), plaintext.clone()).len();
    let compressed = seal(&sealer(), plaintext).len();
    // FORMAT §8, §9: TABLE of four frames, a digest in DIGEST and one in the entry.
    assert_eq!(compressed - plain, 3 * ((32 + 4 * 4) + 32 + 32));
}

#[test]
fn without_a_key_a_compressed_stream_is_consistent_and_says_that_it_is_compressed() {
    let directory = scratch();
    let path = directory.path().join("sealed.cfd");
    let sealed = seal(&sealer(), mixed(3 * SEGMENT));
    fs::write(&path, &sealed).unwrap();
    assert_eq!(inspect(&path).unwrap().compression, Compression::Zstd);
    for reading in READINGS {
        assert!(verify(&Opener::keyless(), reading, sealed.clone()).is_ok(), "{reading:?}");
    }
}

#[test]
fn no_cut_and_no_flipped_bit_opens() {
    let sealed = seal(&sealer(), mixed(2 * SEGMENT + 9));
    // After the key copies, one of which may be damaged.
    let data = 4096 + 2 * 4096;
    for at in (data..sealed.len()).step_by(7) {
        for reading in READINGS {
            let cut = open(&opener(), reading, sealed[..at].to_vec());
            assert_ne!(class_of(&cut), "success", "cut at {at}, {reading:?}");
            let mut flipped = sealed.clone();
            flipped[at] ^= 1 << (at % 8);
            let refused = open(&opener(), reading, flipped);
            assert_eq!(class_of(&refused), "damaged", "byte {at}, {reading:?}");
        }
    }
}

/// Cancels once so many segments have committed.
struct StopAfter(u64, CancelToken);

impl Observer for StopAfter {
    fn progress(&self, progress: &Progress) {
        if progress.segments >= self.0 {
            self.1.cancel();
        }
    }
}

/// A compressed stream of twenty segments, and a directory for its target.
struct Fixture {
    directory: tempfile::TempDir,
    plaintext: Vec<u8>,
    sealed: Shared,
}

impl Fixture {
    fn new() -> Fixture {
        let plaintext = mixed(20 * SEGMENT - 5);
        Fixture { directory: scratch(), sealed: Shared::new(seal(&sealer(), plaintext.clone())), plaintext }
    }

    fn target(&self) -> PathBuf {
        self.directory.path().join("db")
    }

    fn restore(&self, opener: &Opener, reading: Reading) -> Result<Restored, Error> {
        match reading {
            Reading::Seekable => {
                opener.restore_to(cofferdam::BytesSource::new(self.sealed.clone()), self.target())
            }
            Reading::Sequential => opener.restore_to(in_order(self.sealed.clone()), self.target()),
        }
    }

    fn interrupt(&self, reading: Reading) {
        let token = CancelToken::new();
        let stop = Arc::new(StopAfter(10, token.clone()));
        let cancelled = self.restore(&opener().threads(threads(2)).cancel(token).observer(stop), reading);
        assert_eq!(cancelled.unwrap_err().kind(), ErrorKind::Cancelled);
        assert!(!self.target().exists());
    }

    fn assert_restored(&self) {
        assert!(fs::read(self.target()).unwrap() == self.plaintext);
        assert_eq!(names_in(self.directory.path()), [std::path::Path::new("db")]);
    }
}

#[test]
fn an_interrupted_restore_proves_what_it_kept_by_hashing_and_goes_on() {
    for reading in READINGS {
        let fixture = Fixture::new();
        fixture.interrupt(reading);
        let restored = fixture.restore(&opener(), reading).unwrap();
        assert!(restored.resumed_bytes >= 10 * SEGMENT as u64 || reading == Reading::Sequential);
        fixture.assert_restored();
    }
}

#[test]
fn kept_bytes_that_changed_are_not_believed() {
    for at in [0, 3 * SEGMENT + 17, 10 * SEGMENT - 1] {
        let fixture = Fixture::new();
        fixture.interrupt(Reading::Seekable);
        let staging = fixture.directory.path().join(".db.cofferdam-staging");
        let mut kept = fs::read(&staging).unwrap();
        kept[at] ^= 1;
        let segments = (kept.len() / SEGMENT).min(fixture.plaintext.len() / SEGMENT);
        fs::write(&staging, kept).unwrap();
        let restored = fixture.restore(&opener(), Reading::Seekable).unwrap();
        let resumed = restored.resumed_bytes as usize;
        assert!(resumed < segments * SEGMENT, "{resumed} bytes resumed, and byte {at} was wrong");
        assert!(resumed >= 9 * SEGMENT, "all but one of ten: {resumed} bytes");
        fixture.assert_restored();
    }
}

/// A directory in which sealings are interrupted.
struct Sealing {
    directory: tempfile::TempDir,
    states: tempfile::TempDir,
    plaintext: Vec<u8>,
}

impl Sealing {
    fn new() -> Sealing {
        let sealing = Sealing { directory: scratch(), states: scratch(), plaintext: mixed(20 * SEGMENT - 5) };
        fs::write(sealing.path("input"), &sealing.plaintext).unwrap();
        sealing
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn seal(&self, sealer: &Sealer) -> Result<cofferdam::Sealed, Error> {
        sealer.seal_file_resumable(self.path("input"), self.path("out.cfd"), self.states.path())
    }

    fn interrupt(&self, segments: u64) {
        let token = CancelToken::new();
        let stop = Arc::new(StopAfter(segments, token.clone()));
        let stopped = self.seal(&sealer().threads(threads(2)).cancel(token).observer(stop));
        assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Cancelled);
    }

    fn assert_opens(&self) {
        let sealed = fs::read(self.path("out.cfd")).unwrap();
        for reading in READINGS {
            assert!(open(&opener(), reading, sealed.clone()).unwrap().1 == self.plaintext, "{reading:?}");
        }
        assert_eq!(names_in(self.directory.path()).len(), 2, "something is left beside the output");
    }
}

#[test]
fn an_interrupted_sealing_goes_on_after_its_last_good_segment() {
    for segments in [1, 7, 19] {
        let sealing = Sealing::new();
        sealing.interrupt(segments);
        let sealed = sealing.seal(&sealer()).unwrap();
        assert!(sealed.resumed_bytes >= segments * SEGMENT as u64, "{} bytes resumed", sealed.resumed_bytes);
        assert_eq!(sealed.plaintext_len, sealing.plaintext.len() as u64);
        sealing.assert_opens();
    }
}

#[test]
fn what_an_interrupted_sealing_left_is_cut_anywhere_and_its_good_beginning_is_kept() {
    let staging = ".out.cfd.cofferdam-staging";
    for part in [3, 2] {
        let sealing = Sealing::new();
        sealing.interrupt(12);
        let left = fs::read(sealing.path(staging)).unwrap();
        fs::write(sealing.path(staging), &left[..left.len() - left.len() / part - 1]).unwrap();
        let sealed = sealing.seal(&sealer()).unwrap();
        assert!(sealed.resumed_bytes > 0 && sealed.resumed_bytes < 12 * SEGMENT as u64);
        sealing.assert_opens();
    }
    let sealing = Sealing::new();
    sealing.interrupt(12);
    let mut left = fs::read(sealing.path(staging)).unwrap();
    let middle = left.len() / 2;
    left[middle] ^= 1;
    fs::write(sealing.path(staging), left).unwrap();
    sealing.seal(&sealer()).unwrap();
    sealing.assert_opens();
}

#[test]
fn an_interrupted_sealing_stays_compressed_and_another_stays_plain() {
    let sealing = Sealing::new();
    sealing.interrupt(5);
    sealing.seal(&small_sealer()).unwrap();
    assert_eq!(inspect(sealing.path("out.cfd")).unwrap().compression, Compression::Zstd);
    sealing.assert_opens();

    let sealing = Sealing::new();
    let token = CancelToken::new();
    let stop = Arc::new(StopAfter(5, token.clone()));
    sealing.seal(&small_sealer().cancel(token).observer(stop)).unwrap_err();
    let refused = sealing.seal(&sealer()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Usage, "{refused}");
}

#[test]
fn contexts_are_charged_to_the_budget_and_too_little_of_it_says_how_much_is_needed() {
    let plaintext = mixed(8 * SEGMENT);
    let refused =
        sealer().memory(64 << 10).threads(threads(2)).seal(in_order(plaintext.clone()), MemorySink::new().0);
    let refused = refused.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Usage);
    assert!(
        matches!(refused.remedy(), Some(Remedy::RaiseMemory { needed }) if needed > 64 << 10),
        "{refused}"
    );
    let (sink, contents) = MemorySink::new();
    sealer().memory(16 << 20).threads(threads(2)).seal(in_order(plaintext.clone()), sink).unwrap();
    let sealed = contents.take().unwrap();
    assert!(open(&opener().memory(4 << 20), Reading::Sequential, sealed).unwrap().1 == plaintext);
}
