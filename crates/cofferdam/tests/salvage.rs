//! Owns damaged streams as far as they can be saved: what is told lost is what is lost, and what is saved is what was sealed.
//! Refuses to know how segments are found.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod streams;

use std::fs;
use std::io;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cofferdam::{
    Arrival, BytesSource, CancelToken, CompressionLevel, DigestKind, Durability, Error, ErrorKind, LostRange,
    MemorySink, Opener, ReadAt, ReleasePolicy, Sealer, Source, Surveyed,
};
use stream::{OpenOptions, Resources};

use streams::counting::CountedSource;
use streams::map::{Kind, ranges, segments};
use streams::{
    DIGESTS, FRAME, KEY, OTHER_KEY, SEGMENT, SUITES, Shared, counted, identities_of, in_order, names_in,
    opener, seal, small_sealer,
};

/// What a salvage said and wrote.
struct Saved {
    surveyed: Surveyed,
    lost: Vec<LostRange>,
    plaintext: Vec<u8>,
}

fn salvage_from(source: impl Source) -> Result<Saved, Error> {
    let (release, durability) = (ReleasePolicy::AtOnce, Durability::default());
    let (identities, resources) = (identities_of(KEY), Resources::default());
    let options = OpenOptions {
        identities: Some(&identities),
        release,
        durability,
        expected: None,
        min_sequence: None,
        pin_checks: &[],
        resources: &resources,
    };
    let (sink, contents) = MemorySink::new();
    let mut lost = Vec::new();
    let surveyed = options.salvage(source, |_| Ok(sink), &mut |range| lost.push(range.clone()));
    let plaintext = contents.take();
    assert_eq!(plaintext.is_some(), surveyed.is_ok(), "something is written where something is whole");
    Ok(Saved { surveyed: surveyed?, lost, plaintext: plaintext.unwrap_or_default() })
}

fn salvage(sealed: &[u8]) -> Result<Saved, Error> {
    salvage_from(BytesSource::new(sealed.to_vec()))
}

fn survey(opener: &Opener, sealed: &[u8]) -> Result<(Surveyed, Vec<LostRange>), Error> {
    let mut lost = Vec::new();
    let surveyed = opener.survey(BytesSource::new(sealed.to_vec()), |range| lost.push(range.clone()));
    surveyed.map(|surveyed| (surveyed, lost))
}

/// Ranges of the plaintext, from the ranges of segments that are lost, of a stream of `len` bytes.
fn bytes_of(lost: &[(u64, u64)], len: usize) -> Vec<(u64, u64)> {
    let byte = |segment: u64| (segment * SEGMENT as u64).min(len as u64);
    lost.iter().map(|(begin, end)| (byte(*begin), byte(*end))).collect()
}

fn ranges_of(lost: &[LostRange]) -> Vec<(u64, u64)> {
    let end = |range: &LostRange| range.plaintext_offset + range.plaintext_len.unwrap();
    lost.iter().map(|range| (range.plaintext_offset, end(range))).collect()
}

/// What a salvage has to write: the plaintext, with zeros where it is lost.
fn with_zeros(plaintext: &[u8], lost: &[(u64, u64)]) -> Vec<u8> {
    let mut expected = plaintext.to_vec();
    lost.iter().for_each(|(begin, end)| expected[*begin as usize..*end as usize].fill(0));
    expected
}

/// Consecutive segments of a bit mask.
fn runs(mask: u32, count: u64) -> Vec<(u64, u64)> {
    let mut lost: Vec<(u64, u64)> = Vec::new();
    for segment in (0..count).filter(|segment| mask >> segment & 1 == 1) {
        match lost.last_mut() {
            Some((_, end)) if *end == segment => *end += 1,
            _ => lost.push((segment, segment + 1)),
        }
    }
    lost
}

/// Three segments and a short one, no two frames alike.
const LEN: usize = 3 * SEGMENT + FRAME + 5;

fn sealers() -> Vec<Sealer> {
    let plain =
        SUITES.into_iter().zip(DIGESTS).map(|(suite, digest)| small_sealer().suite(suite).digest(digest));
    let compressed = small_sealer().compression(CompressionLevel::default());
    plain.chain([small_sealer().digest(DigestKind::Tags), compressed]).collect()
}

#[test]
fn whichever_segments_are_damaged_those_are_lost_and_no_others() {
    for sealer in sealers() {
        let plaintext = counted(LEN);
        let sealed = seal(&sealer, plaintext.clone());
        let places = segments(&sealed);
        for mask in 0..16 {
            let mut damaged = sealed.clone();
            for (segment, place) in places.iter().enumerate().filter(|(segment, _)| mask >> segment & 1 == 1)
            {
                damaged[place.start + place.len() * (segment + 1) / 6] ^= 4;
            }
            let lost = runs(mask, 4);
            let expected = bytes_of(&lost, LEN);
            let whole = 4 - u64::from(mask.count_ones());
            if whole == 0 {
                assert_eq!(salvage(&damaged).err().map(|error| error.kind()), Some(ErrorKind::Damaged));
            } else {
                let saved = salvage(&damaged).unwrap();
                assert_eq!(ranges_of(&saved.lost), expected, "{mask:b}");
                assert!(saved.plaintext == with_zeros(&plaintext, &expected), "{mask:b}");
                assert_eq!((saved.surveyed.segments, saved.surveyed.end_is_known), (whole, true));
            }
            let (surveyed, told) = survey(&opener(), &damaged).unwrap();
            assert_eq!(ranges_of(&told), expected);
            let numbers: Vec<_> = told
                .iter()
                .map(|range| (range.first_segment, range.first_segment + range.segments.unwrap()))
                .collect();
            assert_eq!((numbers, surveyed.lost_ranges), (lost.clone(), lost.len() as u64));
        }
    }
}

#[test]
fn without_a_key_the_same_segments_are_told_lost_and_nothing_is_written() {
    for sealer in [small_sealer(), small_sealer().compression(CompressionLevel::default())] {
        let sealed = seal(&sealer, counted(LEN));
        for (segment, place) in segments(&sealed).into_iter().enumerate() {
            let mut damaged = sealed.clone();
            damaged[place.start + 200] ^= 1;
            let (_, lost) = survey(&Opener::keyless(), &damaged).unwrap();
            let segment = segment as u64;
            assert_eq!(ranges_of(&lost), bytes_of(&[(segment, segment + 1)], LEN));
        }
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("x.salvaged");
        let refused = Opener::keyless().salvage(BytesSource::new(sealed), &target, |_| {}).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Usage);
        assert!(names_in(directory.path()).is_empty());
    }
}

#[test]
fn of_a_stream_cut_anywhere_every_whole_segment_before_the_cut_is_saved() {
    for sealer in sealers() {
        let plaintext = counted(LEN);
        let sealed = seal(&sealer, plaintext.clone());
        let places = segments(&sealed);
        let ends = places.iter().flat_map(|place| [place.start, place.end]);
        let cuts = ends.flat_map(|end| [end - 1, end, end + 1, end + 100]).filter(|cut| *cut < sealed.len());
        for cut in cuts.chain([sealed.len() - 1]) {
            let whole = places.iter().filter(|place| place.end <= cut).count();
            let saved = salvage(&sealed[..cut]);
            if whole == 0 {
                let kind = saved.err().map(|error| error.kind());
                assert!(matches!(kind, Some(ErrorKind::Truncated | ErrorKind::Damaged)), "{cut}: {kind:?}");
                continue;
            }
            let saved = saved.unwrap();
            assert!(saved.plaintext == plaintext[..(whole * SEGMENT).min(LEN)], "cut at {cut}");
            assert_eq!(saved.surveyed.segments, whole as u64);
            // The last segment says that it is the last, whatever is missing behind it.
            assert_eq!(saved.surveyed.end_is_known, whole == places.len());
            match &saved.lost[..] {
                [] => assert_eq!(whole, places.len()),
                [lost] => {
                    assert_eq!((lost.plaintext_offset, lost.plaintext_len), ((whole * SEGMENT) as u64, None));
                    assert_eq!((lost.first_segment, lost.segments), (whole as u64, None));
                }
                more => panic!("one range is lost, not {more:?}"),
            }
        }
    }
}

#[test]
fn what_no_segment_needs_may_be_damaged_and_nothing_is_lost() {
    for sealer in sealers() {
        let plaintext = counted(LEN);
        let sealed = seal(&sealer, plaintext.clone());
        for kind in [Kind::Metadata, Kind::Page, Kind::Directory, Kind::Footer] {
            for range in ranges(&sealed, kind) {
                for at in [range.start, (range.start + range.end) / 2, range.end - 1] {
                    let mut damaged = sealed.clone();
                    damaged[at] ^= 0x20;
                    let saved = salvage(&damaged).unwrap();
                    assert!(saved.plaintext == plaintext, "{kind:?} at {at}");
                    assert_eq!(saved.lost, [], "{kind:?} at {at}");
                }
            }
        }
    }
}

#[test]
fn with_the_trailer_gone_a_damaged_segment_costs_itself_alone() {
    for sealer in sealers() {
        let plaintext = counted(LEN);
        let sealed = seal(&sealer, plaintext.clone());
        let places = segments(&sealed);
        let end = places.last().unwrap().end;
        for (segment, place) in places.iter().enumerate().take(3) {
            for at in [
                0,
                8,
                16,
                25,
                40,
                48,
                49,
                52,
                56,
                60,
                64,
                100,
                place.len() - 1,
                place.len() - 81,
                place.len() - 60,
            ] {
                let mut damaged = sealed[..end].to_vec();
                damaged[place.start + at] ^= 0x81;
                let saved = salvage(&damaged).unwrap();
                let expected = bytes_of(&[(segment as u64, segment as u64 + 1)], LEN);
                assert_eq!(ranges_of(&saved.lost), expected, "byte {at} of segment {segment}");
                assert!(saved.plaintext == with_zeros(&plaintext, &expected));
            }
        }
    }
}

#[test]
fn a_part_that_is_missing_in_the_middle_costs_the_segments_that_it_touches() {
    let plaintext = counted(LEN);
    for sealer in sealers() {
        let sealed = seal(&sealer, plaintext.clone());
        let places = segments(&sealed);
        let (from, to) = (places[1].start + 1000, places[2].start + 500);
        let joined = [&sealed[..from], &sealed[to..]].concat();
        let saved = salvage(&joined).unwrap();
        let expected = bytes_of(&[(1, 3)], LEN);
        assert_eq!(ranges_of(&saved.lost), expected);
        assert!(saved.plaintext == with_zeros(&plaintext, &expected));
    }
}

/// A whole segment is taken for what its header says under this stream's key, or not at all.
#[test]
fn segments_that_were_moved_doubled_or_come_from_another_stream_are_nobody_else_s() {
    let plaintext = counted(LEN);
    let sealed = seal(&small_sealer(), plaintext.clone());
    let other = seal(&small_sealer(), counted(LEN).into_iter().rev().collect());
    let [a, b, c, d] = segments(&sealed).try_into().unwrap();
    let of = |range: &Range<usize>| &sealed[range.clone()];
    let head = &sealed[..a.start];
    // Without a trailer, with all kinds of segments in between.
    type Case<'a> = (Vec<&'a [u8]>, Vec<(u64, u64)>);
    let cases: [Case<'_>; 5] = [
        (vec![head, of(&a), of(&a), of(&b), of(&c), of(&d)], vec![]),
        (vec![head, of(&a), of(&c), of(&b), of(&d)], vec![(1, 2)]),
        (vec![head, of(&a), &other[b.clone()], of(&c), of(&d)], vec![(1, 2)]),
        (vec![head, &other[a.clone()], of(&b), of(&c), of(&d)], vec![(0, 1)]),
        (vec![head, of(&a), &other[b.clone()], of(&b), of(&c), of(&d)], vec![(1, 2)]),
    ];
    for (number, (parts, lost)) in cases.into_iter().enumerate() {
        let saved = salvage(&parts.concat()).unwrap();
        let told = ranges_of(&saved.lost);
        // The last case leaves it open whether the planted one costs the true one behind it.
        assert!(told == bytes_of(&lost, LEN) || number == 4 && told.is_empty(), "case {number}: {told:?}");
        assert!(saved.plaintext == with_zeros(&plaintext, &told), "case {number}");
    }
}

/// Every byte of a small stream, and every truncation: what is written is what was sealed, or told lost.
#[test]
fn whatever_byte_is_changed_nothing_is_saved_that_was_not_sealed() {
    for sealer in [small_sealer(), small_sealer().compression(CompressionLevel::default())] {
        let plaintext = counted(SEGMENT + FRAME + 3);
        let sealed = seal(&sealer, plaintext.clone());
        // The rest of preamble and key area is padding, or decides alone whether the stream opens.
        let begin = segments(&sealed)[0].start;
        for at in (begin..sealed.len()).step_by(7) {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1 << (at % 8);
            if let Ok(saved) = salvage(&damaged) {
                let told: Vec<(u64, u64)> = saved
                    .lost
                    .iter()
                    .map(|lost| {
                        let begin = lost.plaintext_offset;
                        (begin, lost.plaintext_len.map_or(saved.plaintext.len() as u64, |len| begin + len))
                    })
                    .collect();
                let len = saved.plaintext.len();
                assert!(saved.plaintext == with_zeros(&plaintext[..len], &told), "byte {at}");
            }
        }
    }
}

#[test]
fn a_stream_of_more_than_a_page_is_saved_around_a_damaged_page_and_damaged_segments() {
    let sealer = small_sealer().segment_len(FRAME as u64);
    let plaintext = counted(4100 * FRAME + 1);
    let sealed = seal(&sealer, plaintext.clone());
    let places = segments(&sealed);
    let mut damaged = sealed.clone();
    for segment in [3, 4095, 4096, 4100] {
        damaged[places[segment].start + 100] ^= 1;
    }
    let in_bytes = |ranges: &[(u64, u64)]| -> Vec<(u64, u64)> {
        let byte = |segment: u64| (segment * FRAME as u64).min(plaintext.len() as u64);
        ranges.iter().map(|(begin, end)| (byte(*begin), byte(*end))).collect()
    };
    let expected = in_bytes(&[(3, 4), (4095, 4097), (4100, 4101)]);
    let page = ranges(&sealed, Kind::Page)[0].clone();
    for page_too in [false, true] {
        if page_too {
            damaged[page.start + 500] ^= 1;
        }
        let saved = salvage(&damaged).unwrap();
        assert_eq!(ranges_of(&saved.lost), expected, "with the page: {page_too}");
        assert!(saved.plaintext == with_zeros(&plaintext, &expected));
    }
}

/// Whoever can write to the file fills it with beginnings of segments, each of which leads through the same frames to nothing.
#[test]
fn a_file_that_is_full_of_beginnings_of_segments_is_given_up_after_a_number_of_bytes_that_grows_with_it() {
    const BEGINNINGS: u32 = 60;
    const FRAMES: u32 = 4000;
    let sealer = small_sealer().segment_len(1 << 30).compression(CompressionLevel::default());
    let sealed = seal(&sealer, counted(FRAME));
    let begin = segments(&sealed)[0].start;
    let header = sealed[begin..begin + 48].to_vec();
    let frame = |index: u32, body_len: u32| {
        [1 | 1 << 8, index, FRAME as u32, body_len].map(u32::to_le_bytes).concat()
    };
    let mut bytes = sealed[..begin].to_vec();
    for number in 0..BEGINNINGS {
        bytes.extend(&header);
        // Its body reaches over all beginnings behind it.
        bytes.extend(frame(0, 64 * (BEGINNINGS - 1 - number) + 17));
    }
    bytes.extend([0; 17]);
    for index in 1..FRAMES {
        bytes.extend(frame(index, 17));
        bytes.extend([0; 17]);
    }
    let (len, read) = (bytes.len() as u64, Arc::new(AtomicU64::new(0)));
    let source = CountedSource::of(Shared::new(bytes), read.clone());
    let mut lost = Vec::new();
    let surveyed = opener().survey(source, |range| lost.push(range.clone())).unwrap();
    assert_eq!((surveyed.segments, surveyed.end_is_known), (0, false));
    let read = read.load(Ordering::Relaxed);
    // Each walk to the end takes sixteen bytes of 33: sixty would take thirty times the file.
    assert!(read <= 12 * len, "{read} bytes were read of {len}");
}

/// Numbers that no stream has, in headers that nobody can authenticate, hide no other segment.
#[test]
fn a_header_with_a_number_out_of_this_world_costs_its_own_segment_with_a_key_and_without() {
    for sealer in [small_sealer(), small_sealer().compression(CompressionLevel::default())] {
        let sealed = seal(&sealer, counted(LEN));
        let places = segments(&sealed);
        for field in [8, 16] {
            for number in [u64::MAX, u64::MAX - 1, 1 << 62, 1 << 33, 3] {
                let mut damaged = sealed[..places[3].end].to_vec();
                let at = places[1].start + field;
                damaged[at..at + 8].copy_from_slice(&number.to_le_bytes());
                for opener in [opener(), Opener::keyless()] {
                    let (surveyed, lost) = survey(&opener, &damaged).unwrap();
                    assert_eq!(ranges_of(&lost), bytes_of(&[(1, 2)], LEN), "{number} at {field}");
                    assert_eq!((surveyed.segments, surveyed.has_whole_index), (3, false));
                }
            }
        }
    }
}

#[test]
fn what_cannot_be_read_is_lost_and_the_rest_is_not() {
    let plaintext = counted(LEN);
    let sealed = seal(&small_sealer(), plaintext.clone());
    let places = segments(&sealed);
    let bad = places[1].start + 300..places[1].start + 301;
    for end in [sealed.len(), places.last().unwrap().end] {
        let medium = Arc::new(Medium { bytes: sealed[..end].to_vec(), bad: bad.clone() });
        let saved = salvage_from(AtOffsets(medium)).unwrap();
        let expected = bytes_of(&[(1, 2)], LEN);
        assert_eq!(ranges_of(&saved.lost), expected);
        assert!(saved.plaintext == with_zeros(&plaintext, &expected));
        assert!(
            saved.lost[0].reason.contains("bad sector") || saved.lost[0].reason.contains("could not be read")
        );
    }
}

#[test]
fn what_cannot_be_read_of_the_key_area_or_of_the_metadata_costs_no_segment() {
    let plaintext = counted(LEN);
    let sealed = seal(&small_sealer(), plaintext.clone());
    let copies = ranges(&sealed, Kind::KeyCopy);
    let metadata = ranges(&sealed, Kind::Metadata);
    for bad in copies.iter().chain(&metadata) {
        let medium = Arc::new(Medium { bytes: sealed.clone(), bad: bad.start + 40..bad.start + 41 });
        let saved = salvage_from(AtOffsets(medium.clone())).unwrap();
        assert!(saved.plaintext == plaintext, "{bad:?}");
        assert_eq!(saved.lost, []);
        // With one key copy a stream is restored, too.
        let (sink, contents) = MemorySink::new();
        let restored = opener().open(AtOffsets(medium), sink);
        match copies.contains(bad) {
            true => assert!(restored.is_ok() && contents.take().unwrap() == plaintext, "{bad:?}"),
            false => assert_eq!(restored.unwrap_err().kind(), ErrorKind::Io),
        }
    }
    let both = copies[0].start + 20..copies[1].start + 21;
    let neither = salvage_from(AtOffsets(Arc::new(Medium { bytes: sealed, bad: both })));
    assert_eq!(neither.err().map(|error| error.kind()), Some(ErrorKind::Io));
}

/// As a file does that somebody cuts while it is read.
#[test]
fn of_a_source_that_changed_nothing_is_called_lost() {
    let sealed = seal(&small_sealer(), counted(LEN));
    let mut damaged = sealed.clone();
    damaged[segments(&sealed)[1].start + 300] ^= 1;
    for (bytes, kind) in [(sealed, None), (damaged, Some(ErrorKind::SourceChanged))] {
        let surveyed = opener().survey(AtOffsets(Arc::new(Changed(bytes))), |_| {});
        assert_eq!(surveyed.err().map(|error| error.kind()), kind);
    }
}

#[test]
fn the_page_between_segments_may_have_grown_shrunk_or_gone() {
    let sealer = small_sealer().segment_len(FRAME as u64);
    let plaintext = counted(4100 * FRAME + 1);
    let sealed = seal(&sealer, plaintext.clone());
    let page = ranges(&sealed, Kind::Page)[0].clone();
    let end = segments(&sealed).last().unwrap().end;
    for instead in
        [&b""[..], &sealed[page.start + 1..page.end], &[&sealed[page.clone()], &b"more"[..]].concat()]
    {
        let joined = [&sealed[..page.start], instead, &sealed[page.end..end]].concat();
        let saved = salvage(&joined).unwrap();
        assert_eq!(saved.lost, [], "{} bytes in place of the page", instead.len());
        assert!(saved.plaintext == plaintext);
    }
}

#[test]
fn an_intact_stream_is_told_whole_and_an_empty_one_too() {
    for len in [0, 1, SEGMENT, LEN] {
        let plaintext = counted(len);
        let saved = salvage(&seal(&small_sealer(), plaintext.clone())).unwrap();
        assert!(saved.plaintext == plaintext);
        let Surveyed { lost_ranges, lost_len, end_is_known, plaintext_len, .. } = saved.surveyed;
        assert_eq!((lost_ranges, lost_len, end_is_known, plaintext_len), (0, 0, true, len as u64));
    }
}

#[test]
fn a_salvaged_file_takes_no_file_s_place_and_a_failed_one_leaves_nothing() {
    let sealed = seal(&small_sealer(), counted(LEN));
    let mut damaged = sealed.clone();
    damaged[segments(&sealed)[1].start + 300] ^= 1;
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("x.salvaged");
    let salvage = |opener: &Opener, bytes: &[u8]| {
        opener.salvage(BytesSource::new(bytes.to_vec()), &target, |_| {}).map_err(|error| error.kind())
    };
    let nothing_is_there = || names_in(directory.path()).is_empty();
    let stranger = Opener::new(identities_of(OTHER_KEY));
    assert_eq!(salvage(&stranger, &damaged), Err(ErrorKind::NoKey));
    let cancel = CancelToken::new();
    cancel.cancel();
    assert_eq!(salvage(&opener().cancel(cancel), &damaged), Err(ErrorKind::Cancelled));
    assert_eq!(salvage(&opener().memory(SEGMENT), &damaged), Err(ErrorKind::Limit));
    let mut hopeless = sealed.clone();
    segments(&sealed).iter().for_each(|place| hopeless[place.start + 60] ^= 1);
    assert_eq!(salvage(&opener(), &hopeless), Err(ErrorKind::Damaged));
    assert!(nothing_is_there());

    assert_eq!(salvage(&opener(), &damaged).map(|surveyed| surveyed.lost_ranges), Ok(1));
    let mode_of_new = fs::metadata(&target).unwrap().permissions().mode();
    fs::write(&target, "someone's").unwrap();
    assert_eq!(salvage(&opener(), &damaged), Err(ErrorKind::TargetExists));
    assert_eq!(fs::read(&target).unwrap(), b"someone's");
    assert_eq!(names_in(directory.path()).len(), 1);
    assert_eq!(mode_of_new & 0o777, 0o600, "a new one is its owner's alone");
}

#[test]
fn an_older_stream_than_asked_for_is_not_salvaged_whichever_way_its_segments_are_found() {
    let sealed = seal(&small_sealer().sequence(4), counted(LEN));
    let end = segments(&sealed).last().unwrap().end;
    let metadata = ranges(&sealed, Kind::Metadata)[0].clone();
    let mut without_metadata = sealed.clone();
    without_metadata[metadata.end - 1] ^= 1;
    for bytes in [&sealed[..], &sealed[..end]] {
        let of = |least| survey(&opener().min_sequence(least), bytes).map(|(surveyed, _)| surveyed.segments);
        assert_eq!(of(4).ok(), Some(4));
        assert_eq!(of(5).map_err(|error| error.kind()), Err(ErrorKind::Stale));
    }
    // Whatever number it had is lost.
    let refused = survey(&opener().min_sequence(4), &without_metadata).map(drop);
    assert_eq!(refused.map_err(|error| error.kind()), Err(ErrorKind::Damaged));
}

#[test]
fn a_pipe_is_refused_and_a_pin_is_compared_where_the_index_is_whole() {
    let sealed = seal(&small_sealer(), counted(LEN));
    let refused = opener().survey(in_order(sealed.clone()), |_| {}).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Usage);
    let digest = opener().verify(BytesSource::new(sealed.clone())).unwrap().stream_digest;
    let mut damaged = sealed.clone();
    damaged[segments(&sealed)[1].start + 300] ^= 1;
    let other = seal(&small_sealer(), counted(LEN));
    let other = opener().verify(BytesSource::new(other)).unwrap().stream_digest;
    let pinned = |digest| survey(&opener().expect_digest(digest), &damaged).map_err(|error| error.kind());
    assert_eq!(pinned(digest).map(|(surveyed, _)| surveyed.segments), Ok(3));
    assert_eq!(pinned(other).map(drop), Err(ErrorKind::DigestMismatch));
    let end = segments(&sealed).last().unwrap().end;
    let without_index = survey(&opener().expect_digest(digest), &sealed[..end]);
    assert_eq!(without_index.map(drop).map_err(|error| error.kind()), Err(ErrorKind::Damaged));
    assert!(survey(&Opener::new(identities_of(KEY)), &sealed[..end]).is_ok());
}

/// Bytes that are said to have changed.
struct Changed(Vec<u8>);

impl ReadAt for Changed {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let range = offset as usize..offset as usize + buffer.len();
        buffer.copy_from_slice(self.0.get(range).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn changed(&self) -> io::Result<bool> {
        Ok(true)
    }
}

/// Bytes of which some cannot be read.
struct Medium {
    bytes: Vec<u8>,
    bad: Range<usize>,
}

impl ReadAt for Medium {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let range = offset as usize..offset as usize + buffer.len();
        if range.start < self.bad.end && self.bad.start < range.end {
            return Err(io::Error::other("bad sector"));
        }
        buffer.copy_from_slice(self.bytes.get(range).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }
}

/// A source of them.
struct AtOffsets(Arc<dyn ReadAt>);

impl Source for AtOffsets {
    fn len(&self) -> Option<u64> {
        None
    }

    fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
        Some(self.0.clone())
    }

    fn read_within(&mut self, _: &mut [u8], _: Duration) -> io::Result<Arrival> {
        panic!("whoever can read at offsets does not read in order")
    }
}
