//! What is forged or has changed, and is authentic in all but one respect: none of it is proved, believed or published.
//! The forger has the stream's key.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod streams;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use cofferdam::{CancelToken, Durability, ErrorKind, Observer, Progress};
use contract::Checkpoint;
use frame_worker::{
    ChainValue, Closing, ClosingFields, DigestKind, Fragment, FrameIndex, OpenedFrame, SegmentDigest,
    SegmentIndex,
};
use segment_worker::{OpenedRun, SegmentFault, Sequencer};

use streams::forge::Forger;
use streams::{FRAME, Reading, SEGMENT, Shared, counted, in_order, opener, scratch, seal, small_sealer};

#[test]
fn a_segment_with_another_digest_is_refused() {
    let mut closing = closing_of(2);
    closing.fields.digest[7] ^= 1;
    assert_eq!(fault_of(&closing), Some(SegmentFault::Digest), "a segment was proved");
}

#[test]
fn a_segment_with_a_frame_too_few_is_refused() {
    assert_eq!(fault_of(&closing_of(3)), Some(SegmentFault::Count), "a segment was proved");
}

const CHAIN: ChainValue = ChainValue([0xC0; 32]);

fn digest() -> SegmentDigest {
    SegmentDigest::new(DigestKind::Blake3, &[1; 112], &[2; 48])
}

fn frame(index: u32) -> OpenedFrame {
    let fragment = Fragment::from_bytes([index as u8; 32]);
    OpenedFrame::plain(FrameIndex(index), FRAME as u32, fragment)
}

/// What closing frames say of `frame_count` frames.
fn closing_of(frame_count: u32) -> Closing {
    let mut digest = digest();
    for index in 0..frame_count {
        digest.absorb(&frame(index));
    }
    let fields = ClosingFields {
        frame_count,
        plaintext_len: u64::from(frame_count) * FRAME as u64,
        digest: digest.finish(frame_count, None),
        plaintext_digest: None,
        last: false,
        chain_before: CHAIN,
    };
    Closing { fields, chain_after: ChainValue([0xC1; 32]), table: None }
}

/// Why these closing frames make no proof of the two frames that have come, unless they do.
fn fault_of(closing: &Closing) -> Option<SegmentFault> {
    let mut sequencer = Sequencer::new(SegmentIndex(0), digest(), FRAME as u32);
    let run = OpenedRun { first: FrameIndex(0), frames: vec![frame(0), frame(1)], output: () };
    sequencer.accept(run).unwrap();
    while sequencer.pop().unwrap().is_some() {}
    sequencer.finish(closing, CHAIN, || Checkpoint::from_bytes([0; Checkpoint::LEN])).err()
}

#[test]
fn another_digest_in_a_segment_is_not_published_from_a_file() {
    assert_not_published(Reading::Seekable, another_digest);
}

#[test]
fn another_digest_in_a_segment_is_not_published_from_a_pipe() {
    assert_not_published(Reading::Sequential, another_digest);
}

#[test]
fn a_segment_of_another_chain_is_not_published_from_a_file() {
    assert_not_published(Reading::Seekable, another_chain);
}

#[test]
fn a_segment_of_another_chain_is_not_published_from_a_pipe() {
    assert_not_published(Reading::Sequential, another_chain);
}

/// All frames are authentic, and every other record agrees with this digest. It is just not the frames' own.
fn another_digest(fields: &mut ClosingFields) {
    fields.digest[7] ^= 1;
}

/// Each segment is whole and authentic, and they do not belong together.
fn another_chain(fields: &mut ClosingFields) {
    fields.chain_before.0[7] ^= 1;
}

/// Restores a stream whose second segment is closed as `edit` has it, with all that follows and the index to match.
fn assert_not_published(reading: Reading, edit: fn(&mut ClosingFields)) {
    let plaintext = counted(4 * SEGMENT);
    let mut forger = Forger::of(&seal(&small_sealer(), plaintext.clone()));
    let chain = forger.chain_behind(0);
    let chain = forger.put(1, &plaintext[SEGMENT..2 * SEGMENT], chain, edit);
    let chain = forger.put_all_from(2, chain);
    forger.say_digest(chain);
    let (sealed, directory) = (forger.finish(), scratch());
    let target = directory.path().join("db");
    let restored = match reading {
        Reading::Seekable => opener().restore_to(cofferdam::BytesSource::new(sealed), &target),
        Reading::Sequential => opener().restore_to(in_order(sealed), &target),
    };
    let error = restored.expect_err("a forged stream was published");
    assert_eq!((error.kind(), error.segment()), (ErrorKind::Damaged, Some(1)), "{error:?}");
    assert!(!target.exists());
}

#[test]
fn a_checkpoint_with_another_mac_is_refused() {
    let fixture = Interrupted::new();
    let path = fixture.path(".db.cofferdam-journal");
    let mut journal = fs::read(&path).unwrap();
    let mut checkpoints = 0;
    // A slot: generation u64, checkpoint 192 with the MAC at its end, zeros, CRC-32 in the last four of 512 bytes.
    for at in [4096, 8192] {
        let Some(slot) = journal.get_mut(at..at + 512) else { continue };
        if slot[..8] != [0; 8] {
            slot[8 + 191] ^= 1;
            let crc = crc32fast::hash(&slot[..508]);
            slot[508..].copy_from_slice(&crc.to_le_bytes());
            checkpoints += 1;
        }
    }
    assert!(checkpoints > 0, "the interrupted restore has kept a checkpoint");
    fs::write(&path, &journal).unwrap();
    let error = fixture.restore().expect_err("a checkpoint with a wrong MAC was believed");
    assert_eq!(error.kind(), ErrorKind::JournalMismatch, "{error:?}");
}

#[test]
fn a_byte_that_changed_in_between_is_not_published() {
    let fixture = Interrupted::new();
    let path = fixture.path(".db.cofferdam-staging");
    let mut staging = fs::read(&path).unwrap();
    staging[SEGMENT + 5] ^= 1;
    fs::write(&path, &staging).unwrap();
    fixture.restore().unwrap();
    let restored = fs::read(fixture.path("db")).unwrap();
    assert!(restored == fixture.plaintext, "a byte that was changed in the staging file was published");
}

/// A restore of six segments that was cancelled when three had committed, each durable.
struct Interrupted {
    directory: tempfile::TempDir,
    plaintext: Vec<u8>,
    sealed: Shared,
}

impl Interrupted {
    fn new() -> Interrupted {
        let plaintext = counted(6 * SEGMENT - 5);
        let sealed = Shared::new(seal(&small_sealer(), plaintext.clone()));
        let fixture = Interrupted { directory: scratch(), plaintext, sealed };
        let cancel = CancelToken::new();
        let observer = Arc::new(CancelAfter { segments: 3, cancel: cancel.clone() });
        let opener = opener().durability(Durability::Each).cancel(cancel).observer(observer);
        let source = cofferdam::BytesSource::new(fixture.sealed.clone());
        let error = opener.restore_to(source, fixture.path("db")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        fixture
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn restore(&self) -> Result<(), cofferdam::Error> {
        let source = cofferdam::BytesSource::new(self.sealed.clone());
        opener().restore_to(source, self.path("db")).map(|_| ())
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
