//! Owns single segments of a stream that lies still: each opens alone to its part of the plaintext, and nothing else does.
//! Refuses to know streams as a whole.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod streams;

use std::thread;

use cofferdam::{
    Budget, BytesSource, CancelToken, DigestKind, Durability, Error, ErrorKind, Identities, ReleasePolicy,
    Remedy, Sealer, Source, StreamDigest,
};
use stream::{OpenOptions, OpenedSegment, Resources, SegmentReader};

use streams::forge::Forger;
use streams::map::{Kind, records, segments};
use streams::noted::NotedReads;
use streams::{
    DIGESTS, FRAME, KEY, OTHER_KEY, SEGMENT, SUITES, counted, identities_of, in_order, recipients_of, seal,
    small_sealer,
};

fn reader_with(
    identities: Option<&Identities>,
    expected: Option<StreamDigest>,
    resources: &Resources,
    source: impl Source,
) -> Result<SegmentReader, Error> {
    let (release, durability) = (ReleasePolicy::AtOnce, Durability::default());
    OpenOptions {
        identities,
        release,
        durability,
        expected,
        pin_checks: &[],
        min_sequence: None,
        foreign: stream::Foreign::Refuse,
        resources,
    }
    .segment_reader(source)
}

fn reader(sealed: &[u8]) -> Result<SegmentReader, Error> {
    let identities = identities_of(KEY);
    reader_with(Some(&identities), None, &Resources::default(), BytesSource::new(sealed.to_vec()))
}

fn keyless(sealed: &[u8]) -> Result<SegmentReader, Error> {
    reader_with(None, None, &Resources::default(), BytesSource::new(sealed.to_vec()))
}

/// Opens a segment in both ways, which have to agree.
fn open(reader: &SegmentReader, index: u64) -> Result<(OpenedSegment, Vec<u8>), Error> {
    let range = reader.range(index)?;
    let mut plaintext = vec![0xEE; (range.end - range.start) as usize];
    let opened = reader.open_into(index, &mut plaintext);
    let mut by_runs = Vec::new();
    let each = reader.open_each(index, |offset, bytes| {
        assert_eq!(offset, range.start + by_runs.len() as u64, "runs come in order");
        by_runs.extend_from_slice(bytes);
        Ok(())
    });
    let verified = reader.verify(index);
    assert_eq!(opened.as_ref().map_err(Error::to_string), each.as_ref().map_err(Error::to_string));
    assert_eq!(opened.as_ref().map_err(Error::to_string), verified.as_ref().map_err(Error::to_string));
    let opened = opened?;
    assert_eq!(by_runs, plaintext);
    assert_eq!((opened.plaintext_offset, opened.plaintext_len), (range.start, plaintext.len() as u64));
    Ok((opened, plaintext))
}

/// Three segments and a short one.
fn four_segments() -> Vec<u8> {
    seal(&small_sealer(), counted(3 * SEGMENT + FRAME + 5))
}

#[test]
fn each_segment_alone_is_its_part_of_the_plaintext_and_their_chain_values_meet() {
    for len in [0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT, 2 * SEGMENT + FRAME + 3] {
        for (suite, digest) in SUITES.into_iter().zip([DigestKind::Blake3, DigestKind::Tags]) {
            let plaintext = counted(len);
            let sealed = seal(&small_sealer().suite(suite).digest(digest), plaintext.clone());
            let reader = reader(&sealed).unwrap();
            let count = len.div_ceil(SEGMENT).max(1) as u64;
            assert_eq!((reader.segments(), reader.plaintext_len()), (count, len as u64));
            // From the last to the first: none needs the one before it to have been opened.
            let mut after: Option<OpenedSegment> = None;
            for index in (0..count).rev() {
                let (opened, bytes) = open(&reader, index).unwrap();
                let begin = index as usize * SEGMENT;
                assert!(
                    bytes == plaintext[begin..len.min(begin + SEGMENT)],
                    "segment {index} of {len} bytes"
                );
                assert_eq!(opened.index, index);
                assert!(after.is_none_or(|after| after.chain_before == opened.chain_after));
                after = Some(opened);
            }
        }
    }
}

#[test]
fn a_segment_of_several_runs_is_read_with_as_many_reads_and_opens_as_one_of_one_does() {
    let (frame, segment) = (64 << 10, 20 * (64 << 10));
    let plaintext = counted(segment + 3 * frame + 7);
    let sealed = seal(&Sealer::new(recipients_of(KEY)).segment_len(segment as u64), plaintext.clone());
    let counting = NotedReads::of(sealed.clone());
    let identities = identities_of(KEY);
    let resources = Resources::default();
    let reader = reader_with(Some(&identities), None, &resources, counting.source()).unwrap();
    reader.range(0).unwrap();
    let segments = segments(&sealed);
    for (index, runs) in [(0, 3), (1, 1)] {
        counting.take();
        let range = reader.range(index).unwrap();
        let range = range.start as usize..range.end as usize;
        let mut out = vec![0; range.len()];
        reader.open_into(index, &mut out).unwrap();
        assert!(out == plaintext[range]);
        let reads = counting.take();
        assert_eq!(reads.len(), runs, "eight frames a run");
        let whole = reads[0].start..reads[runs - 1].end;
        assert_eq!(whole, segments[index as usize]);
        assert!(reads.windows(2).all(|pair| pair[0].end == pair[1].start), "without a gap: {reads:?}");
    }
}

/// Pages hold 4096 segments: the chain before those of the second page comes from the first.
#[test]
fn segments_of_a_later_page_open_though_none_before_has_been() {
    const SEGMENTS: usize = 4096 + 3;
    let plaintext = counted(SEGMENTS * FRAME - 1);
    let sealed = seal(&small_sealer().segment_len(FRAME as u64), plaintext.clone());
    let reader = reader(&sealed).unwrap();
    let mut chain = None;
    for index in [4098, 4097, 4096, 4095, 4094, 0, 4096] {
        let (opened, bytes) = open(&reader, index).unwrap();
        let begin = index as usize * FRAME;
        assert!(bytes == plaintext[begin..plaintext.len().min(begin + FRAME)], "{index}");
        if let Some((next, before)) = chain {
            assert!(next != index + 1 || before == opened.chain_after, "{index}");
        }
        chain = Some((index, opened.chain_before));
    }
    let keyless = keyless(&sealed).unwrap();
    assert_eq!(keyless.verify(4097).unwrap().chain_after, keyless.verify(4098).unwrap().chain_before);
}

#[test]
fn any_number_of_threads_open_segments_at_once() {
    fn shared<T: Send + Sync>(value: T) -> T {
        value
    }
    let plaintext = counted(9 * SEGMENT + 1);
    let sealed = seal(&small_sealer(), plaintext.clone());
    let reader = shared(reader(&sealed).unwrap());
    thread::scope(|scope| {
        for lane in 0..4 {
            let (reader, plaintext) = (&reader, &plaintext);
            scope.spawn(move || {
                for index in (0..10).map(|at| (at * 3 + lane) % 10) {
                    let begin = index as usize * SEGMENT;
                    let (_, bytes) = open(reader, index).unwrap();
                    assert!(bytes == plaintext[begin..plaintext.len().min(begin + SEGMENT)]);
                }
            });
        }
    });
}

#[test]
fn damage_anywhere_in_a_segment_is_refused_where_it_is_and_no_other_segment_minds() {
    let sealed = four_segments();
    for record in records(&sealed) {
        let frame_of = |position: usize| {
            let within = segments(&sealed)[record.segment].start + 48;
            ((position - within) / (FRAME + 32)) as u32
        };
        let kinds = [Kind::SegmentHeader, Kind::Data, Kind::Digest, Kind::Terminator];
        if !kinds.contains(&record.kind) {
            continue;
        }
        let len = record.range.len();
        for at in [0, 4, 8, 12, 15, 16, 20, 24, 40, len / 2, len - 17, len - 1] {
            let position = (record.range.start + at).min(record.range.end - 1);
            let mut damaged = sealed.clone();
            damaged[position] ^= 0x10;
            let reader = reader(&damaged).unwrap();
            for index in 0..reader.segments() {
                let opened = open(&reader, index);
                if index != record.segment as u64 {
                    opened.unwrap();
                    continue;
                }
                let refused = opened.unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::Damaged, "{record:?} {at}: {refused}");
                assert_eq!(refused.segment(), Some(index), "{record:?} {at}: {refused}");
                assert!(refused.position().is_some(), "{record:?} {at}: {refused}");
                if record.kind == Kind::Data && at >= 16 {
                    assert_eq!(refused.frame(), Some(frame_of(position)), "{record:?} {at}: {refused}");
                }
            }
        }
    }
}

/// Bytes of a stream's segments swapped: their lengths are the same, and so every record stays where it was.
#[test]
fn a_segment_in_another_s_place_is_refused_by_its_header() {
    let sealed = four_segments();
    let places = segments(&sealed);
    for (from, to) in [(0, 1), (1, 0), (2, 0), (1, 2)] {
        let mut moved = sealed.clone();
        moved.copy_within(places[from].clone(), places[to].start);
        for reader in [reader(&moved).unwrap(), keyless(&moved).unwrap()] {
            let refused = reader.verify(to as u64).unwrap_err();
            assert!(
                refused.to_string().starts_with("the segment header is not what the index says"),
                "{refused}"
            );
            let place = (refused.kind(), refused.segment(), refused.position());
            assert_eq!(place, (ErrorKind::Damaged, Some(to as u64), Some(places[to].start as u64)));
            reader.verify(from as u64).unwrap();
        }
    }
}

/// The index names this segment, its header and closing frames are right, and its TERMINATOR continues another chain.
#[test]
fn a_segment_sealed_after_another_one_than_the_index_names_breaks_the_chain() {
    let sealed = four_segments();
    let mut forger = Forger::of(&sealed);
    let other_chain = forger.chain_start();
    forger.put(2, &counted(SEGMENT), other_chain, |_| {});
    let reader = reader(&forger.finish_with(|_| {})).unwrap();
    let refused = reader.verify(2).unwrap_err();
    let due = "the segment is not as it was sealed: it does not follow the segment before it";
    assert!(refused.to_string().starts_with(due), "{refused}");
    assert_eq!(refused.segment(), Some(2));
    reader.verify(0).unwrap();
    reader.verify(1).unwrap();
}

#[test]
fn with_a_pin_the_whole_chain_is_compared_before_any_segment_is_opened() {
    let sealed = four_segments();
    let identities = identities_of(KEY);
    let open = |digest: StreamDigest, sealed: &[u8]| {
        let source = BytesSource::new(sealed.to_vec());
        reader_with(Some(&identities), Some(digest), &Resources::default(), source)
    };
    let mut digest = [0; 32];
    digest.copy_from_slice(&open_last(&sealed).chain_after.0);
    assert!(open(StreamDigest(digest), &sealed).is_ok());
    digest[0] ^= 1;
    assert_eq!(open(StreamDigest(digest), &sealed).unwrap_err().kind(), ErrorKind::DigestMismatch);
}

/// Without a key there is no chain over the entries, and single segments cannot be bound to a pin (FORMAT F13.15, F13.17).
#[test]
fn without_a_key_a_pin_is_refused_and_not_forgotten() {
    let sealed = four_segments();
    let source = BytesSource::new(sealed.clone());
    let pin = StreamDigest(open_last(&sealed).chain_after.0);
    let refused = reader_with(None, Some(pin), &Resources::default(), source);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Usage);
}

/// FORMAT F13.8a, F13.8d: the index ends where the footer says.
#[test]
fn an_index_that_ends_elsewhere_than_the_footer_says_is_damaged_where_its_end_is_read() {
    let last = |sealed: Vec<u8>| {
        let reader = reader(&sealed)?;
        reader.verify(reader.segments() - 1)
    };
    assert!(last(four_segments()).is_ok());
    let forged = Forger::of(&four_segments()).finish_with(|claims| claims.footer.plaintext_len += 1);
    assert_eq!(last(forged).unwrap_err().kind(), ErrorKind::Damaged);
}

#[test]
fn threads_that_take_turns_on_two_index_pages_read_each_once() {
    const SEGMENTS: usize = 4096 + 2;
    let sealed = seal(&small_sealer().segment_len(FRAME as u64), counted(SEGMENTS * FRAME));
    let noted = NotedReads::of(sealed);
    let identities = identities_of(KEY);
    let reader = reader_with(Some(&identities), None, &Resources::default(), noted.source()).unwrap();
    reader.range(4096).unwrap();
    noted.take();
    for _ in 0..10 {
        reader.range(4095).unwrap();
        reader.range(4096).unwrap();
    }
    assert!(noted.take().is_empty());
}

/// The wire bytes of a run and its plaintext, the page of four entries and the directory's one.
#[test]
fn what_is_read_at_once_is_of_the_budget_and_too_little_of_it_is_refused() {
    let sealed = four_segments();
    let identities = identities_of(KEY);
    let with = |bytes| {
        let resources = Resources { budget: Some(Budget::new(bytes)), ..Resources::default() };
        reader_with(Some(&identities), None, &resources, BytesSource::new(sealed.clone()))
    };
    let refused = with(4096).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Limit, "{refused}");
    let Some(Remedy::RaiseMemory { needed }) = refused.remedy() else { panic!("{refused}") };
    assert_eq!(with(needed as usize - 1).unwrap_err().kind(), ErrorKind::Limit);
    let reader = with(needed as usize).unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..4).for_each(|index| drop(open(&reader, index).unwrap())));
        }
    });
}

fn open_last(sealed: &[u8]) -> OpenedSegment {
    let reader = reader(sealed).unwrap();
    reader.verify(reader.segments() - 1).unwrap()
}

#[test]
fn without_a_key_segments_are_verified_and_not_opened() {
    for digest in DIGESTS {
        let sealed = seal(&small_sealer().digest(digest), counted(2 * SEGMENT + 1));
        if digest == DigestKind::Tags {
            assert_eq!(keyless(&sealed).unwrap_err().kind(), ErrorKind::Unsupported);
            continue;
        }
        let (keyless, keyed) = (keyless(&sealed).unwrap(), reader(&sealed).unwrap());
        for index in 0..3 {
            assert_eq!(keyless.verify(index).unwrap(), keyed.verify(index).unwrap());
            let mut plaintext = vec![0; SEGMENT];
            assert_eq!(keyless.open_into(index, &mut plaintext).unwrap_err().kind(), ErrorKind::NoKey);
            let opened = keyless.open_each(index, |_, _| panic!("nothing comes out"));
            assert_eq!(opened.unwrap_err().kind(), ErrorKind::NoKey);
        }
    }
}

#[test]
fn what_cannot_be_asked_for_is_refused() {
    let sealed = four_segments();
    let reader = reader(&sealed).unwrap();
    for index in [4, 5, u64::MAX] {
        assert_eq!(reader.range(index).unwrap_err().kind(), ErrorKind::Usage);
        assert_eq!(reader.verify(index).unwrap_err().kind(), ErrorKind::Usage);
    }
    for len in [0, SEGMENT - 1, SEGMENT + 1] {
        let refused = reader.open_into(0, &mut vec![0; len]).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Usage);
    }
    let identities = identities_of(KEY);
    let piped = reader_with(Some(&identities), None, &Resources::default(), in_order(sealed.clone()));
    assert_eq!(piped.unwrap_err().kind(), ErrorKind::Usage);
    let others = identities_of(OTHER_KEY);
    let source = BytesSource::new(sealed.clone());
    let locked = reader_with(Some(&others), None, &Resources::default(), source);
    assert_eq!(locked.unwrap_err().kind(), ErrorKind::NoKey);
    let cut = self::reader(&sealed[..sealed.len() - 1]).unwrap_err();
    assert_eq!(cut.kind(), ErrorKind::Damaged, "{cut}");
}

#[test]
fn an_error_of_the_caller_s_own_ends_a_segment_and_so_does_a_cancellation() {
    let sealed = four_segments();
    let reader = reader(&sealed).unwrap();
    let mut given = 0;
    let ended = reader.open_each(0, |_, _| {
        given += 1;
        reader.range(99).map(drop)
    });
    assert_eq!((ended.unwrap_err().kind(), given), (ErrorKind::Usage, 1));

    let cancel = CancelToken::new();
    let resources = Resources { cancel: cancel.clone(), ..Resources::default() };
    let identities = identities_of(KEY);
    let reader = reader_with(Some(&identities), None, &resources, BytesSource::new(sealed)).unwrap();
    reader.verify(1).unwrap();
    cancel.cancel();
    assert_eq!(reader.verify(1).unwrap_err().kind(), ErrorKind::Cancelled);
}
