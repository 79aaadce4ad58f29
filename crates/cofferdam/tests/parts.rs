//! Owns parts of a stream: whole segments in a sink of their own, and receipts that meet where the parts do.
//! Refuses to know how parts are joined again.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod streams;

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use cofferdam::{
    BytesSource, CompressionLevel, Error, ErrorKind, IfExists, MemorySink, Opener, PipeSink, Progress,
    Receipt, Sealer, StageOptions, StagedFile, StreamDigest, staging::Opened,
};

use streams::forge::{Forger, wholly_forged, with_forged_prefix};
use streams::map::{Kind, ranges};
use streams::{
    DIGESTS, FRAME, SEGMENT, SUITES, counted, in_order, names_in, opener, scratch, seal, small_sealer,
    threads,
};

/// Three segments and a short one.
const LEN: usize = 3 * SEGMENT + FRAME + 5;

fn part(opener: &Opener, sealed: &[u8], segments: Range<u64>) -> Result<(Receipt, Vec<u8>), Error> {
    let (sink, contents) = MemorySink::new();
    let receipt = opener.open_segments(segments, BytesSource::new(sealed.to_vec()), sink);
    let bytes = contents.take();
    assert_eq!(bytes.is_some(), receipt.is_ok(), "what is refused is not published");
    Ok((receipt?, bytes.unwrap()))
}

fn kinds() -> Vec<Sealer> {
    let suites = SUITES.into_iter().flat_map(|suite| DIGESTS.map(|digest| (suite, digest)));
    suites
        .flat_map(|(suite, digest)| {
            let sealer = small_sealer().suite(suite).digest(digest);
            [sealer.clone(), sealer.compression(CompressionLevel::default())]
        })
        .collect()
}

#[test]
fn every_range_of_segments_is_its_part_of_the_plaintext() {
    let plaintext = counted(LEN);
    for sealer in kinds() {
        let sealed = seal(&sealer, plaintext.clone());
        let digest = opener().verify(BytesSource::new(sealed.clone())).unwrap().stream_digest;
        for (start, end) in (0..4).flat_map(|start| (start + 1..=4).map(move |end| (start, end))) {
            let opener = opener().threads(threads(1 + end as usize % 3));
            let (receipt, bytes) = part(&opener, &sealed, start..end).unwrap();
            let range = start as usize * SEGMENT..LEN.min(end as usize * SEGMENT);
            assert!(bytes == plaintext[range.clone()], "{start}..{end}");
            assert_eq!(receipt.segments, start..end);
            assert_eq!(receipt.plaintext, range.start as u64..range.end as u64);
            assert_eq!((receipt.reaches_end, receipt.stream_digest), (end == 4, digest));
            assert_eq!(receipt.stream_id.0[..], sealed[32..48]);
            assert_eq!(end == 4, receipt.chain_after == digest.0);
        }
    }
}

#[test]
fn receipts_meet_where_their_parts_do_and_nowhere_else() {
    let sealed = seal(&small_sealer(), counted(LEN));
    let ranges = (0..4).flat_map(|start| (start + 1..=4).map(move |end| start..end));
    let receipts: Vec<Receipt> = ranges.map(|range| part(&opener(), &sealed, range).unwrap().0).collect();
    for one in &receipts {
        for other in &receipts {
            assert_eq!(one.meets(other), one.segments.end == other.segments.start);
        }
    }
    let others = seal(&small_sealer(), counted(LEN));
    let first = part(&opener(), &others, 0..2).unwrap().0;
    assert!(!receipts.iter().any(|receipt| first.meets(receipt) || receipt.meets(&first)));
    let forged = part(&opener(), &wholly_forged(&sealed), 0..2).unwrap().0;
    assert!(!receipts.iter().any(|receipt| forged.meets(receipt)), "the same id, another digest");
}

#[test]
fn an_empty_stream_and_one_of_a_byte_have_one_part() {
    for len in [0, 1] {
        let sealed = seal(&small_sealer(), counted(len));
        let (receipt, bytes) = part(&opener(), &sealed, 0..1).unwrap();
        assert_eq!((bytes.len(), receipt.plaintext.clone()), (len, 0..len as u64));
        assert!(receipt.reaches_end);
    }
}

/// A pipe shows what it has got: it gets whole segments, from its own offset 0.
#[test]
fn a_part_goes_into_a_sink_that_takes_bytes_in_order() {
    #[derive(Clone, Default)]
    struct Noted(Arc<Mutex<Vec<u8>>>);
    impl io::Write for Noted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let plaintext = counted(LEN);
    let sealed = seal(&small_sealer(), plaintext.clone());
    let noted = Noted::default();
    opener().open_segments(1..3, BytesSource::new(sealed.clone()), PipeSink::new(noted.clone())).unwrap();
    assert!(*noted.0.lock().unwrap() == plaintext[SEGMENT..3 * SEGMENT]);

    let mut damaged = sealed.clone();
    damaged[ranges(&sealed, Kind::Data)[11].start + 30] ^= 1;
    let noted = Noted::default();
    let refused = opener().open_segments(1..4, BytesSource::new(damaged), PipeSink::new(noted.clone()));
    assert_eq!(refused.unwrap_err().segment(), Some(2));
    assert!(*noted.0.lock().unwrap() == plaintext[SEGMENT..2 * SEGMENT], "whole segments alone");
}

#[test]
fn what_a_target_kept_is_given_up_and_the_part_is_published() {
    let plaintext = counted(LEN);
    let sealed = seal(&small_sealer(), plaintext.clone());
    let folder = scratch();
    let target = folder.path().join("part");
    let id = cofferdam::AttemptId::new(b"a part").unwrap();
    let options = StageOptions::default().if_exists(IfExists::Refuse);
    let sink = || match StagedFile::open(&target, &options, &id).unwrap() {
        Opened::Fresh(sink) | Opened::Resumable { sink, .. } => sink,
        Opened::Published(_) => panic!("nothing was published"),
    };
    let mut damaged = sealed.clone();
    damaged[ranges(&sealed, Kind::Data)[10].start + 30] ^= 1;
    // Each segment is synced: the attempt leaves a checkpoint and bytes.
    let each = opener().durability(cofferdam::Durability::Each);
    assert!(each.open_segments(0..3, BytesSource::new(damaged), sink()).is_err());
    assert!(!target.exists() && !names_in(folder.path()).is_empty());
    opener().open_segments(1..3, BytesSource::new(sealed), sink()).unwrap();
    assert!(std::fs::read(&target).unwrap() == plaintext[SEGMENT..3 * SEGMENT]);
    assert_eq!(names_in(folder.path()).len(), 1);
}

#[test]
fn damage_in_the_part_is_refused_and_damage_elsewhere_is_not_its_business() {
    let sealed = seal(&small_sealer(), counted(LEN));
    for kind in [Kind::SegmentHeader, Kind::Data, Kind::Digest, Kind::Terminator] {
        for record in streams::map::records(&sealed).into_iter().filter(|record| record.kind == kind) {
            for at in [record.range.start, record.range.start + 9, record.range.end - 1] {
                let mut damaged = sealed.clone();
                damaged[at] ^= 4;
                let opened = part(&opener(), &damaged, 1..3);
                match (1..3).contains(&record.segment) {
                    true => {
                        let refused = opened.unwrap_err();
                        let place = (refused.kind(), refused.segment());
                        assert_eq!(place, (ErrorKind::Damaged, Some(record.segment as u64)), "{refused}");
                    }
                    false => drop(opened.unwrap()),
                }
            }
        }
    }
}

/// The chain around a part comes from entries that are not read: all of them have to make the stream digest.
#[test]
fn an_index_that_does_not_make_the_stream_digest_is_refused_wherever_the_part_is() {
    let sealed = seal(&small_sealer(), counted(LEN));
    for range in [0..1, 1..3, 3..4] {
        let refused = part(&opener(), &with_forged_prefix(&sealed, 1), range).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Damaged, "{refused}");
    }
    let digest = StreamDigest(Forger::of(&sealed).chain_over_entries().0);
    let pinned = opener().expect_digest(digest);
    assert_eq!(part(&pinned, &sealed, 1..3).unwrap().0.stream_digest, digest);
    let refused = part(&pinned, &wholly_forged(&sealed), 1..3).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::DigestMismatch);
}

/// The index names it, its records are authentic, and it does not follow the segment before it.
#[test]
fn a_segment_of_another_chain_is_refused() {
    let sealed = seal(&small_sealer(), counted(LEN));
    let mut forger = Forger::of(&sealed);
    let other = forger.chain_start();
    forger.put(2, &counted(SEGMENT), other, |_| {});
    // The entries make the digest that the footer then says; what stands in the segment has another chain.
    let chain = forger.chain_over_entries();
    forger.say_digest(chain);
    let forged = forger.finish();
    for range in [0..3, 1..3, 2..3, 2..4] {
        let refused = part(&opener(), &forged, range).unwrap_err();
        assert_eq!((refused.kind(), refused.segment()), (ErrorKind::Damaged, Some(2)), "{refused}");
    }
    assert!(part(&opener(), &forged, 0..2).is_ok());
}

#[test]
fn what_is_no_part_of_the_stream_is_refused() {
    let sealed = seal(&small_sealer(), counted(LEN));
    #[allow(clippy::reversed_empty_ranges, reason = "that is what is refused")]
    for range in [0..0, 2..2, 3..1, 4..5, 0..5, 0..u64::MAX, u64::MAX - 1..u64::MAX] {
        assert_eq!(part(&opener(), &sealed, range).unwrap_err().kind(), ErrorKind::Usage);
    }
    let (sink, _) = MemorySink::new();
    let piped = opener().open_segments(0..1, in_order(sealed.clone()), sink).unwrap_err();
    assert_eq!(piped.kind(), ErrorKind::Usage);
    assert_eq!(part(&Opener::keyless(), &sealed, 0..1).unwrap_err().kind(), ErrorKind::Usage);
    let others = Opener::new(streams::identities_of(streams::OTHER_KEY));
    assert_eq!(part(&others, &sealed, 0..1).unwrap_err().kind(), ErrorKind::NoKey);
}

#[test]
fn several_parts_of_one_opening_are_what_each_would_be_alone() {
    let plaintext = counted(LEN);
    let sealed = seal(&small_sealer(), plaintext.clone());
    let open = |ranges: &[Range<u64>], sealed: &[u8]| {
        let (sinks, contents): (Vec<_>, Vec<_>) = ranges.iter().map(|_| MemorySink::new()).unzip();
        let parts = ranges.iter().cloned().zip(sinks).collect();
        let receipts = opener().open_parts(parts, BytesSource::new(sealed.to_vec()));
        let published: Vec<Option<Vec<u8>>> = contents.iter().map(|contents| contents.take()).collect();
        (receipts, published)
    };
    for ranges in [vec![], vec![0..3, 3..4], vec![0..1, 1..2, 3..4], vec![1..3, 3..4], vec![0..2, 2..3]] {
        let (receipts, published) = open(&ranges, &sealed);
        let alone: Vec<Receipt> =
            ranges.iter().map(|range| part(&opener(), &sealed, range.clone()).unwrap().0).collect();
        assert_eq!(receipts.unwrap(), alone);
        for (range, bytes) in ranges.iter().zip(published) {
            let expected = range.start as usize * SEGMENT..LEN.min(range.end as usize * SEGMENT);
            assert!(bytes.unwrap() == plaintext[expected], "{range:?} of {ranges:?}");
        }
    }
    for ranges in [[1..2, 0..1], [0..2, 1..3], [1..2, 1..2], [0..1, 4..5], [0..1, 2..2]] {
        let (receipts, published) = open(&ranges, &sealed);
        assert_eq!(receipts.unwrap_err().kind(), ErrorKind::Usage, "{ranges:?}");
        assert_eq!(published, [None, None]);
    }
    let mut damaged = sealed.clone();
    damaged[ranges(&sealed, Kind::Data)[11].start + 30] ^= 1;
    let (receipts, published) = open(&[0..1, 2..3, 3..4], &damaged);
    assert_eq!(receipts.unwrap_err().segment(), Some(2));
    assert!(published[0].is_some() && published[1].is_none() && published[2].is_none());
}

#[test]
fn progress_is_told_of_the_part() {
    let sealed = seal(&small_sealer(), counted(LEN));
    let told = Arc::new(Mutex::new(Vec::new()));
    let noted = told.clone();
    let opener = opener().on_progress(move |progress: &Progress| {
        noted.lock().unwrap().push((progress.committed, progress.segments, progress.total));
    });
    part(&opener, &sealed, 1..3).unwrap();
    let (one, two) = (SEGMENT as u64, 2 * SEGMENT as u64);
    assert_eq!(*told.lock().unwrap(), [(one, 1, Some(two)), (two, 2, Some(two))]);
}
