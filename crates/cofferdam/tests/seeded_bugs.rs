//! Mistakes planted in the engine and the library, one after another: a check of each kind finds them.
//! Refuses to know where no mistake is planted. One test, since a planted mistake is planted for the whole process.
#![cfg(all(feature = "seeded-bugs", debug_assertions))]
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod streams;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use cofferdam::{CancelToken, Durability, ErrorKind, Observer, Progress};
use contract::Checkpoint;
use contract::seeded::{Bug, plant};
use frame_worker::{
    ChainValue, Closing, ClosingFields, DigestKind, Fragment, FrameIndex, OpenedFrame, SegmentDigest,
    SegmentIndex,
};
use segment_worker::{OpenedRun, SegmentFault, Sequencer};

use streams::forge::Forger;
use streams::{FRAME, Reading, SEGMENT, Shared, counted, in_order, opener, scratch, seal, small_sealer};

type Check = fn() -> Result<(), String>;

#[test]
fn each_planted_mistake_is_found_and_nothing_is_where_none_is_planted() {
    let table: [(Bug, Check); 8] = [
        (Bug::DigestUnchecked, a_segment_with_another_digest_is_refused),
        (Bug::DigestUnchecked, || {
            a_stream_with_another_digest_in_a_segment_is_not_published(Reading::Seekable)
        }),
        (Bug::DigestUnchecked, || {
            a_stream_with_another_digest_in_a_segment_is_not_published(Reading::Sequential)
        }),
        (Bug::CommitBeforeProof, a_segment_with_a_frame_too_few_is_refused),
        (Bug::CommitBeforeProof, || {
            a_stream_with_a_segment_of_another_chain_is_not_published(Reading::Seekable)
        }),
        (Bug::CommitBeforeProof, || {
            a_stream_with_a_segment_of_another_chain_is_not_published(Reading::Sequential)
        }),
        (Bug::CheckpointUnkeyed, a_checkpoint_with_another_mac_is_refused),
        (Bug::KeptUnproved, a_byte_that_changed_in_between_is_not_published),
    ];
    for (_, check) in table {
        check().expect("nothing is planted");
    }
    let mut missed = Vec::new();
    for (bug, check) in table {
        let planted = plant(bug);
        match check() {
            Ok(()) => missed.push(bug),
            Err(what) => println!("seeded {bug:?}: found: {what}"),
        }
        drop(planted);
    }
    println!(
        "seeded bugs of the engine and the library: {} planted, {} found",
        table.len(),
        table.len() - missed.len()
    );
    assert!(missed.is_empty(), "not found: {missed:?}");
}

fn a_segment_with_another_digest_is_refused() -> Result<(), String> {
    let mut closing = closing_of(2);
    closing.fields.digest[7] ^= 1;
    refused(&closing, SegmentFault::Digest)
}

fn a_segment_with_a_frame_too_few_is_refused() -> Result<(), String> {
    refused(&closing_of(3), SegmentFault::Count)
}

const CHAIN: ChainValue = ChainValue([0xC0; 32]);

fn digest() -> SegmentDigest {
    SegmentDigest::new(DigestKind::Blake3, &[1; 112], &[2; 48])
}

fn frame(index: u32) -> OpenedFrame {
    let fragment = Fragment::from_bytes([index as u8; 32]);
    OpenedFrame { index: FrameIndex(index), plaintext_len: FRAME as u32, fragment }
}

/// What closing frames say of so many frames.
fn closing_of(frame_count: u32) -> Closing {
    let mut digest = digest();
    for index in 0..frame_count {
        digest.absorb(&frame(index).fragment);
    }
    let fields = ClosingFields {
        frame_count,
        plaintext_len: u64::from(frame_count) * FRAME as u64,
        digest: digest.finish(frame_count),
        last: false,
        chain_before: CHAIN,
    };
    Closing { fields, chain_after: ChainValue([0xC1; 32]) }
}

/// Two frames have come: do these closing frames make a proof of them?
fn refused(closing: &Closing, due: SegmentFault) -> Result<(), String> {
    let mut sequencer = Sequencer::new(SegmentIndex(0), digest(), FRAME as u32);
    let run = OpenedRun { first: FrameIndex(0), frames: vec![frame(0), frame(1)], output: () };
    sequencer.accept(run).unwrap();
    while sequencer.pop().unwrap().is_some() {}
    match sequencer.finish(closing, CHAIN, || Checkpoint::from_bytes([0; Checkpoint::LEN])) {
        Ok(_) => Err(format!("a segment was proved that is not whole: {due}")),
        Err(fault) => {
            assert_eq!(fault, due);
            Ok(())
        }
    }
}

/// All frames are authentic, and every other record agrees with what DIGEST says: only what it is of is not that.
fn a_stream_with_another_digest_in_a_segment_is_not_published(reading: Reading) -> Result<(), String> {
    not_published(reading, |fields| fields.digest[7] ^= 1)
}

/// Each segment is whole and authentic, and they do not belong together.
fn a_stream_with_a_segment_of_another_chain_is_not_published(reading: Reading) -> Result<(), String> {
    not_published(reading, |fields| fields.chain_before.0[7] ^= 1)
}

/// Restores a stream whose second segment is closed as `edit` has it, with all that follows and the index to match.
fn not_published(reading: Reading, edit: fn(&mut ClosingFields)) -> Result<(), String> {
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
    match restored.map_err(|error| (error.kind(), error.segment())) {
        Err((ErrorKind::Damaged, Some(1))) if !target.exists() => Ok(()),
        other => Err(format!("a stream was published, or refused for another reason: {other:?}")),
    }
}

fn a_checkpoint_with_another_mac_is_refused() -> Result<(), String> {
    let fixture = Interrupted::new();
    let path = fixture.path(".db.cofferdam-journal");
    let mut journal = fs::read(&path).unwrap();
    let mut marks = 0;
    // A slot: generation u64, checkpoint 192 with the MAC at its end, zeros, CRC-32 in the last four of 512 bytes.
    for at in [4096, 8192] {
        let Some(slot) = journal.get_mut(at..at + 512) else { continue };
        if slot[..8] != [0; 8] {
            slot[8 + 191] ^= 1;
            let crc = crc32fast::hash(&slot[..508]);
            slot[508..].copy_from_slice(&crc.to_le_bytes());
            marks += 1;
        }
    }
    assert!(marks > 0, "the interrupted restore has kept a mark");
    fs::write(&path, &journal).unwrap();
    match fixture.restore().map_err(|error| error.kind()) {
        Err(ErrorKind::JournalMismatch) => Ok(()),
        other => Err(format!("a checkpoint with a wrong MAC was believed: {other:?}")),
    }
}

fn a_byte_that_changed_in_between_is_not_published() -> Result<(), String> {
    let fixture = Interrupted::new();
    let path = fixture.path(".db.cofferdam-staging");
    let mut staging = fs::read(&path).unwrap();
    staging[SEGMENT + 5] ^= 1;
    fs::write(&path, &staging).unwrap();
    fixture.restore().map_err(|error| format!("{error:?}"))?;
    match fs::read(fixture.path("db")).unwrap() == fixture.plaintext {
        true => Ok(()),
        false => Err("a byte that was changed in the staging file was published".into()),
    }
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
