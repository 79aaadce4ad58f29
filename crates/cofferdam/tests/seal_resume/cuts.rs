//! Sealings cut off or changed at every place there is, and gone on with.
//! A map of the finished stream says where each of them has to go on.

use std::collections::HashSet;
use std::fs;
use std::ops::Range;
use std::sync::Arc;

use cofferdam::{CancelToken, Suite, Warning};

use crate::place::{Interruption, Left, Notes, Place, salt, sealed_whole};
use crate::streams::map::{Kind, ranges, records, segments};
use crate::streams::{self, FRAME, SEGMENT, counted, small_sealer, threads};

/// Goes on with what is left: the first `kept` segments are as they were, all others are new.
fn assert_goes_on(place: &Place, left: &Left, whole: &[u8], kept: usize, what: &str) -> Vec<u8> {
    place.put(left);
    let notes = Arc::new(Notes::default());
    place.seal(&small_sealer().observer(notes.clone())).unwrap_or_else(|error| panic!("{what}: {error:?}"));
    let sealed = place.take_sealed();
    let resumed = notes.resumed.lock().unwrap().map(|(_, segments)| segments as usize);
    let warned = notes.warnings.lock().unwrap().contains(&Warning::NothingToResume);
    assert_eq!((resumed, warned), ((kept > 0).then_some(kept), kept == 0), "{what}");
    let before = segments(whole);
    match kept.checked_sub(1) {
        Some(last) => {
            assert!(sealed[..before[last].end] == whole[..before[last].end], "{what}: what is kept changed");
        }
        None => assert_ne!(sealed[..128], whole[..128], "{what}: a new stream has a new beginning"),
    }
    let abandoned: HashSet<_> = before.iter().map(|segment| salt(whole, segment)).collect();
    for segment in &segments(&sealed)[kept..] {
        assert!(!abandoned.contains(salt(&sealed, segment)), "{what}: an abandoned salt came again");
    }
    sealed
}

#[test]
fn cut_anywhere_a_sealing_goes_on_behind_the_last_whole_segment() {
    let (place, left) = sealed_whole();
    let whole = left.staging.clone();
    let ends: Vec<usize> = segments(&whole).iter().map(|segment| segment.end).collect();
    let mut cuts = HashSet::from([0, 1, whole.len() - 1, whole.len()]);
    for record in records(&whole) {
        let Range { start, end } = record.range;
        cuts.extend([start, start + 1, (start + end) / 2, end - 1, end, end + 1]);
    }
    cuts.retain(|cut| *cut <= whole.len());
    assert!(cuts.len() > 180, "{} cuts", cuts.len());
    for cut in cuts {
        let left = Left { staging: whole[..cut].to_vec(), ..left.clone() };
        let kept = ends.iter().filter(|end| **end <= cut).count();
        let sealed = assert_goes_on(&place, &left, &whole, kept, &format!("cut at {cut}"));
        // Nothing behind LAST is random.
        assert_eq!(kept == 6, sealed == whole, "cut at {cut}");
    }
}

#[test]
fn changed_anywhere_a_sealing_goes_on_behind_the_last_segment_before_the_change() {
    let (place, left) = sealed_whole();
    let whole = left.staging.clone();
    let mut places = 0;
    for record in records(&whole) {
        let kept = match record.kind {
            // One key copy may be damaged: the other one serves.
            Kind::KeyCopy => continue,
            Kind::Preamble if record.range.start == 0 => 0,
            Kind::Preamble | Kind::Metadata => 0,
            Kind::SegmentHeader | Kind::Data | Kind::Table | Kind::Digest | Kind::Terminator => {
                record.segment
            }
            Kind::Page | Kind::Directory | Kind::Footer => 6,
        };
        let Range { start, end } = record.range;
        for at in [start, (start + end) / 2, end - 1] {
            let mut left = left.clone();
            left.staging[at] ^= 0x10;
            assert_goes_on(&place, &left, &whole, kept, &format!("byte {at} of a {:?}", record.kind));
            places += 1;
        }
    }
    assert!(places > 120, "{places} places");
}

#[test]
fn a_hole_of_zeros_is_not_taken_for_what_was_sealed() {
    // What a power cut leaves where the length of a file was durable before its bytes.
    let (place, left) = sealed_whole();
    let whole = left.staging.clone();
    for (index, segment) in segments(&whole).into_iter().enumerate() {
        let mut left = left.clone();
        left.staging[segment].fill(0);
        assert_goes_on(&place, &left, &whole, index, &format!("segment {index} is zeros"));
    }
    let mut left = left;
    left.staging[..4096].fill(0);
    assert_goes_on(&place, &left, &whole, 0, "the preamble is zeros");
}

#[test]
fn whatever_sectors_a_power_cut_takes_the_segments_before_the_first_loss_are_kept() {
    let (place, left) = sealed_whole();
    let whole = left.staging.clone();
    let metadata = ranges(&whole, Kind::Metadata)[0].clone();
    let mut rng = fastrand::Rng::with_seed(7);
    let mut below = |bound: usize| rng.usize(..bound);
    let mut seen = HashSet::new();
    for sample in 0..80 {
        let mut left = left.clone();
        // Some came to the disk as a whole; of the rest, one sector in eight did not, and the length may be older.
        let durable = below(whole.len());
        for sector in (metadata.start / 512)..(whole.len() / 512) {
            if sector * 512 > durable && below(8) == 0 {
                left.staging[sector * 512..][..512].fill(0);
            }
        }
        left.staging.truncate(whole.len() - below(3) * below(whole.len() - metadata.end) / 2);
        let is_lost = |range: &Range<usize>| left.staging.get(range.clone()) != Some(&whole[range.clone()]);
        let kept = match is_lost(&metadata) {
            true => 0,
            false => segments(&whole).iter().take_while(|segment| !is_lost(segment)).count(),
        };
        seen.insert(kept);
        assert_goes_on(&place, &left, &whole, kept, &format!("sample {sample}"));
    }
    assert!(seen.len() > 5, "{seen:?}");
}

#[test]
fn a_key_copy_that_was_damaged_is_written_again_and_both_are_as_they_were() {
    for copy in 0..2 {
        let (place, left) = sealed_whole();
        let mut damaged = left.clone();
        let range = ranges(&left.staging, Kind::KeyCopy)[copy].clone();
        damaged.staging[range.start + 40] ^= 1;
        place.put(&damaged);
        let notes = Arc::new(Notes::default());
        place.seal(&small_sealer().observer(notes.clone())).unwrap();
        assert_eq!(*notes.warnings.lock().unwrap(), []);
        assert!(fs::read(place.output()).unwrap() == left.staging, "copy {copy}");
    }
}

#[test]
fn with_both_key_copies_changed_it_is_another_stream() {
    // A copy that is whole, and has other slots: whoever knows the key could make one.
    let (place, left) = sealed_whole();
    let other = place.seal_to_another_output();
    let mut changed = left.clone();
    for range in ranges(&left.staging, Kind::KeyCopy) {
        changed.staging[range.clone()].copy_from_slice(&other[range]);
    }
    let whole = left.staging.clone();
    assert_goes_on(&place, &changed, &whole, 0, "other key copies");
}

#[test]
fn every_length_form_and_number_of_threads_goes_on_from_every_segment() {
    for len in [0, 1, FRAME, SEGMENT - 1, SEGMENT, SEGMENT + 1, 3 * SEGMENT, 3 * SEGMENT + FRAME] {
        let place = Place::new(counted(len));
        let total = len.div_ceil(SEGMENT).max(1);
        for after in 1..=total {
            let sealer = || small_sealer().threads(threads(1 + after % 4));
            // Of an empty input there is nothing to keep but the state.
            let token = CancelToken::new();
            let observer = Arc::new(Interruption { segments: after as u64, token: token.clone() });
            place.seal(&sealer().observer(observer).cancel(token)).unwrap_err();
            let report = place.seal(&sealer()).unwrap();
            assert_eq!((report.segments as usize, report.plaintext_len as usize), (total, len));
            assert!(report.resumed_bytes >= (after * SEGMENT).min(len) as u64);
            assert_eq!(place.take_sealed().len() as u64, report.wire_len);
        }
    }
    for suite in [Suite::Aes256Gcm, Suite::ChaCha20Poly1305] {
        for digest in streams::DIGESTS {
            let place = Place::new(counted(4 * SEGMENT));
            place.seal_until(small_sealer().suite(suite).digest(digest), 2);
            assert!(place.seal(&small_sealer()).unwrap().resumed_bytes >= 2 * SEGMENT as u64);
            place.take_sealed();
        }
    }
}

#[test]
fn index_pages_are_written_again_wherever_a_sealing_was_cut() {
    // One frame a segment: two full pages, and a bit.
    let total = 2 * 4096 + 3;
    let place = Place::new(counted(total * FRAME - 9));
    let sealer = || small_sealer().segment_len(FRAME as u64).threads(threads(2));
    let left = place.seal_until(sealer(), total as u64);
    let whole = left.staging.clone();
    let pages = ranges(&whole, Kind::Page);
    let ends: Vec<usize> = segments(&whole).iter().map(|segment| segment.end).collect();
    let resume = |left: &Left| {
        place.put(left);
        let report = place.seal(&sealer()).unwrap();
        (report.resumed_bytes.div_ceil(FRAME as u64) as usize, place.take_sealed())
    };
    for cut in [pages[0].start, pages[0].start + 70, pages[0].end, pages[1].start + 1, pages[1].end + 60] {
        let (kept, sealed) = resume(&Left { staging: whole[..cut].to_vec(), ..left.clone() });
        assert_eq!(kept, ends.iter().filter(|end| **end <= cut).count(), "cut at {cut}");
        assert!(sealed[..ends[kept - 1]] == whole[..ends[kept - 1]]);
    }
    // A page that is wrong with whole segments behind it: it is mended, and they stay.
    for at in [pages[0].start, pages[0].start + 5000, pages[1].end - 1, pages[2].start] {
        let mut left = left.clone();
        left.staging[at] ^= 1;
        let (kept, sealed) = resume(&left);
        assert_eq!(kept, total, "byte {at}");
        assert!(sealed == whole, "byte {at}");
    }
}
