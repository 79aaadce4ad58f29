//! Owns what is fetched before it is read: in what order, each byte once, within the reader's memory; and where frames lie.
//! Refuses to know a network; the place is memory that takes its time.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod streams;

use std::collections::BTreeSet;
use std::ops::Range;
use std::thread;
use std::time::Duration;

use cofferdam::{BytesSource, CancelToken, CompressionLevel, ErrorKind, FetchFault, Opener, Reader, Sealer};

use streams::far::{FarPlace, FarSource};
use streams::map::{self, Kind};
use streams::noted::NotedReads;
use streams::{FRAME, SEGMENT, Shared, counted, opener, seal, small_sealer, threads};

const SOON: Duration = Duration::from_micros(100);

fn sealers() -> [Sealer; 2] {
    [small_sealer(), small_sealer().compression(CompressionLevel::default())]
}

fn frames(numbers: Range<u64>) -> Range<u64> {
    numbers.start * FRAME as u64..numbers.end * FRAME as u64
}

/// A read of `ranges`, each as a whole.
fn assert_reads(reader: &Reader, plaintext: &[u8], ranges: &[Range<u64>]) {
    for range in ranges {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        assert_eq!(reader.read_at(range.start, &mut bytes).unwrap(), bytes.len());
        assert!(bytes == plaintext[range.start as usize..range.end as usize], "{range:?}");
    }
}

/// Where each frame of the plaintext lies in `sealed`, from a map that another parser made.
fn wire_of(sealed: &[u8]) -> Vec<Range<u64>> {
    let frames = map::ranges(sealed, Kind::Data);
    frames.into_iter().map(|frame| frame.start as u64..frame.end as u64).collect()
}

#[test]
fn what_was_fetched_is_read_without_another_request_and_nothing_comes_twice() {
    for sealer in sealers() {
        let plaintext = counted(40 * SEGMENT);
        let sealed = Shared::new(seal(&sealer, plaintext.clone()));
        let place = FarPlace::new(sealed.clone(), SOON);
        let reader = opener().threads(threads(2)).reader(FarSource(place.clone())).unwrap();
        // Across segments, backwards, within a frame, twice, and nothing.
        let ranges =
            [frames(50..59), frames(3..4), 10..20, frames(120..121), 0..0, frames(55..57), frames(158..160)];
        reader.prefetch(&ranges).unwrap();
        let before = place.tally();
        assert_reads(&reader, &plaintext, &ranges);
        let after = place.tally();
        assert_eq!(after.blocking.len(), before.blocking.len(), "all was there");
        drop(reader);
        let tally = place.end();
        let segments = map::segments(sealed.as_ref());
        let end = segments.last().unwrap().end;
        let twice = (segments[0].start..end).find(|at| tally.fetched[*at] > 1);
        assert_eq!(twice, None, "a byte is fetched once");
        let wire = wire_of(sealed.as_ref());
        let wanted: BTreeSet<usize> = (50..59).chain([0, 3, 120, 158, 159]).collect();
        for (number, wire) in wire.iter().enumerate() {
            let times = u8::from(wanted.contains(&number));
            assert!(
                tally.fetched[wire.start as usize..wire.end as usize].iter().all(|at| *at == times),
                "{number}"
            );
        }
    }
}

#[test]
fn frames_are_fetched_in_the_order_of_the_list_and_adjacent_ones_together() {
    let plaintext = counted(8 * SEGMENT);
    let sealed = seal(&small_sealer(), plaintext.clone());
    let wire = wire_of(&sealed);
    let noted = NotedReads::of(sealed);
    let reader = opener().reader(noted.source()).unwrap();
    noted.take();
    reader.prefetch(&[frames(20..22), frames(1..4), frames(6..7)]).unwrap();
    let is_frame = |read: &Range<usize>| wire.iter().any(|frame| frame.start == read.start as u64);
    let reads: Vec<_> = noted.take().into_iter().filter(is_frame).collect();
    let due = [20..22, 1..4, 6..7]
        .map(|run: Range<usize>| wire[run.start].start as usize..wire[run.end - 1].end as usize);
    assert_eq!(reads, due);
    assert_reads(&reader, &plaintext, &[frames(20..22), frames(1..4)]);
    assert_eq!(noted.take(), Vec::<Range<usize>>::new());
    // A second time there is nothing to do.
    reader.prefetch(&[frames(0..8)]).unwrap();
    noted.take();
    reader.prefetch(&[frames(0..8)]).unwrap();
    assert_eq!(noted.take(), Vec::<Range<usize>>::new());
}

#[test]
fn no_more_is_fetched_than_is_kept_and_that_is_the_beginning_of_the_list() {
    let plaintext = counted(600 * SEGMENT);
    let sealed = Shared::new(seal(&small_sealer(), plaintext.clone()));
    let wire = wire_of(sealed.as_ref());
    let place = FarPlace::new(sealed, Duration::ZERO);
    let opener: Opener = opener().threads(threads(1)).memory(4 << 20);
    let reader = opener.reader(FarSource(place.clone())).unwrap();
    let before = place.tally().bytes();
    reader.prefetch(&[frames(100..110), 0..reader.len()]).unwrap();
    let fetched = place.tally().bytes() - before;
    assert!(fetched > 500_000 && fetched < 4 << 20, "{fetched}");
    assert_reads(&reader, &plaintext, &[frames(100..110), frames(0..10)]);
    drop(reader);
    let tally = place.end();
    for number in (100..110).chain(0..10) {
        let frame = wire[number].start as usize..wire[number].end as usize;
        assert!(tally.fetched[frame].iter().all(|times| *times == 1), "frame {number} was kept");
    }
}

#[test]
fn a_read_waits_for_a_frame_that_is_on_its_way() {
    let plaintext = counted(20 * SEGMENT);
    let sealed = Shared::new(seal(&small_sealer(), plaintext.clone()));
    let wire = wire_of(sealed.as_ref());
    let place = FarPlace::new(sealed, SOON);
    let reader = opener().threads(threads(2)).reader(FarSource(place.clone())).unwrap();
    place.stall_at(wire[40].start);
    thread::scope(|scope| {
        let fetching = scope.spawn(|| reader.prefetch(&[frames(38..50)]));
        place.wait_for_stall();
        let reading = scope.spawn(|| assert_reads(&reader, &plaintext, &[frames(41..42)]));
        // Others are not kept from reading.
        assert_reads(&reader, &plaintext, &[frames(0..1)]);
        place.go_on();
        reading.join().unwrap();
        fetching.join().unwrap().unwrap();
    });
    drop(reader);
    let tally = place.end();
    assert!(tally.fetched[wire[41].start as usize..wire[41].end as usize].iter().all(|times| *times == 1));
}

#[test]
fn a_list_that_stalls_fails_or_is_cancelled_leaves_nothing_and_the_rest_can_be_read() {
    let plaintext = counted(20 * SEGMENT);
    let sealed = Shared::new(seal(&small_sealer(), plaintext.clone()));
    let segments = map::segments(sealed.as_ref());
    // At a header, and within frames.
    for at in [segments[9].start as u64, segments[9].start as u64 + 99] {
        let (place, cancel) = (FarPlace::new(sealed.clone(), SOON), CancelToken::new());
        let reader = opener().cancel(cancel.clone()).reader(FarSource(place.clone())).unwrap();
        place.stall_at(at);
        let fetching = thread::spawn(move || reader.prefetch(&[frames(30..60)]).unwrap_err());
        place.wait_for_stall();
        cancel.cancel();
        assert_eq!(fetching.join().unwrap().kind(), ErrorKind::Cancelled);
        place.end();
        let place = FarPlace::new(sealed.clone(), SOON);
        let reader = opener().reader(FarSource(place.clone())).unwrap();
        place.fail_at(at, FetchFault::NoProgress);
        let error = reader.prefetch(&[frames(30..60)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoProgress);
        assert_reads(&reader, &plaintext, &[frames(60..64), frames(0..4)]);
        drop(reader);
        place.end();
    }
}

#[test]
fn a_damaged_frame_is_the_callers_error_and_all_others_are_kept() {
    for sealer in sealers() {
        let plaintext = counted(8 * SEGMENT);
        let mut sealed = seal(&sealer, plaintext.clone());
        let wire = wire_of(&sealed);
        sealed[wire[9].end as usize - 1] ^= 1;
        // The header of the segment of frames 24 to 27.
        let header = map::segments(&sealed)[6].start;
        sealed[header + 8] ^= 1;
        let noted = NotedReads::of(sealed.clone());
        let near = opener().reader(noted.source()).unwrap();
        let place = FarPlace::new(Shared::new(sealed), SOON);
        let far = opener().threads(threads(2)).reader(FarSource(place.clone())).unwrap();
        let well = [frames(0..9), frames(10..24), frames(28..32)];
        for reader in [&near, &far] {
            let error = reader.prefetch(&[frames(0..32)]).unwrap_err();
            assert_eq!(
                (error.kind(), error.segment(), error.frame()),
                (ErrorKind::Damaged, Some(2), Some(1))
            );
        }
        noted.take();
        assert_reads(&near, &plaintext, &well);
        assert_eq!(noted.take(), Vec::<Range<usize>>::new(), "all was there");
        let before = place.tally().blocking.len();
        assert_reads(&far, &plaintext, &well);
        assert_eq!(place.tally().blocking.len(), before, "all was there");
        drop(far);
        place.end();
    }
}

#[test]
fn a_list_ends_where_too_much_of_it_is_damaged() {
    let plaintext = counted(16 * SEGMENT);
    let mut sealed = seal(&small_sealer(), plaintext);
    let wire = wire_of(&sealed);
    wire.iter().for_each(|frame| sealed[frame.end as usize - 1] ^= 1);
    let noted = NotedReads::of(sealed);
    let reader = opener().reader(noted.source()).unwrap();
    let ranges: Vec<_> = (0..32).map(|frame| frames(2 * frame..2 * frame + 1)).collect();
    noted.take();
    assert_eq!(reader.prefetch(&ranges).unwrap_err().frame(), Some(0));
    let is_frame = |read: &Range<usize>| wire.iter().any(|frame| frame.start == read.start as u64);
    assert_eq!(noted.take().into_iter().filter(is_frame).count(), 16);
}

#[test]
fn ranges_that_are_not_in_the_stream_are_refused() {
    let reader = opener().reader(BytesSource::new(seal(&small_sealer(), counted(100)))).unwrap();
    #[expect(clippy::reversed_empty_ranges, reason = "it is what is refused")]
    for range in [0..101, 100..101, u64::MAX..u64::MAX, 2..1] {
        assert_eq!(reader.prefetch(&[0..1, range.clone()]).unwrap_err().kind(), ErrorKind::Usage);
        assert_eq!(reader.ciphertext_range(range).unwrap_err().kind(), ErrorKind::Usage);
    }
    reader.prefetch(&[]).unwrap();
    reader.prefetch(&[0..100, 100..100]).unwrap();
}

#[test]
fn the_sealed_bytes_of_a_range_are_those_of_its_frames() {
    for sealer in sealers() {
        let plaintext = counted(5 * SEGMENT + 7);
        let sealed = seal(&sealer, plaintext.clone());
        let wire = wire_of(&sealed);
        let reader = opener().reader(BytesSource::new(sealed)).unwrap();
        let len = plaintext.len() as u64;
        assert_eq!(wire.len() as u64, len.div_ceil(FRAME as u64));
        let borders: Vec<u64> = (0..=len / FRAME as u64)
            .flat_map(|frame| {
                [frame * FRAME as u64, frame * FRAME as u64 + 1, (frame + 1) * FRAME as u64 - 1]
            })
            .chain([len - 1, len])
            .filter(|at| *at <= len)
            .collect();
        for start in &borders {
            for end in borders.iter().filter(|end| *end > start) {
                let first = (start / FRAME as u64) as usize;
                let last = ((end - 1) / FRAME as u64) as usize;
                let due = wire[first].start..wire[last].end;
                assert_eq!(reader.ciphertext_range(*start..*end).unwrap(), due, "{start}..{end}");
            }
            assert!(reader.ciphertext_range(*start..*start).unwrap().is_empty());
        }
    }
}
