//! Owns streams whose bytes come from afar: fetched ahead, each byte once, in memory that the budget pays for.
//! Refuses to know a network; the place is memory that takes its time.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod streams;

use std::fs;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use cofferdam::{
    Budget, CancelToken, CompressionLevel, Error, ErrorKind, FetchFault, MemorySink, Opener, Pool, Progress,
    Remedy, Restored, Sealer, SystemMemory,
};

use streams::far::{FarPlace, FarSource, PART, Tally};
use streams::map::{self, Kind};
use streams::{FRAME, SEGMENT, Shared, counted, opener, scratch, seal, small_sealer, threads};

const SOON: Duration = Duration::from_micros(100);
/// No test waits longer for what has to come.
const LONG: Duration = Duration::from_secs(600);

fn compressing() -> Sealer {
    small_sealer().compression(CompressionLevel::default())
}

/// Opens what is at `place` into memory.
fn open_from(place: &FarPlace, opener: &Opener) -> Result<(Restored, Vec<u8>), Error> {
    let (sink, contents) = MemorySink::new();
    let opened = opener.open(FarSource(place.clone()), sink)?;
    Ok((opened, contents.take().unwrap()))
}

/// No request that blocked was for bytes of a segment or an index page, where jobs or the orchestrator would have waited for it.
fn assert_fetched_ahead(sealed: &[u8], tally: &Tally) {
    let around = map::ranges(sealed, Kind::SegmentHeader)[0].start as u64;
    let directory = map::ranges(sealed, Kind::Directory)[0].start as u64;
    for range in &tally.blocking {
        assert!(range.end <= around || range.start >= directory, "{range:?} of {around}..{directory}");
    }
    let twice = (around..directory).find(|at| tally.fetched[*at as usize] > 1);
    assert_eq!(twice, None, "a byte is fetched once");
}

/// Bytes that compress a little, each frame to another length.
fn half_counted(len: usize) -> Vec<u8> {
    let mut bytes = counted(len);
    let mut random = fastrand::Rng::with_seed(7);
    bytes.iter_mut().enumerate().filter(|(at, _)| at % 3 == 0).for_each(|(_, byte)| *byte = random.u8(..));
    bytes
}

#[test]
fn what_comes_from_afar_is_opened_and_verified_from_bytes_that_have_arrived() {
    for (sealer, len) in [
        (small_sealer(), 0),
        (small_sealer(), 1),
        (small_sealer(), FRAME),
        (small_sealer(), 5 * SEGMENT + 3),
        (small_sealer().segment_len(FRAME as u64), 9 * FRAME),
        (small_sealer().segment_len(32 * FRAME as u64), 70 * FRAME + 1),
        (compressing(), 5 * SEGMENT + 3),
        (compressing().segment_len(32 * FRAME as u64), 70 * FRAME + 1),
    ] {
        let plaintext = half_counted(len);
        let sealed = Shared::new(seal(&sealer, plaintext.clone()));
        for memory in [512 << 10, 32 << 20] {
            let opener = opener().memory(memory).threads(threads(2));
            let place = FarPlace::new(sealed.clone(), SOON);
            assert_eq!(open_from(&place, &opener).unwrap().1, plaintext);
            let tally = place.end();
            assert_fetched_ahead(sealed.as_ref(), &tally);
            assert!(tally.held_max <= tally.granted_max && tally.granted_max <= memory);
            for opener in [opener, Opener::keyless().memory(memory)] {
                let place = FarPlace::new(sealed.clone(), SOON);
                assert_eq!(opener.verify(FarSource(place.clone())).unwrap().plaintext_len, len as u64);
                assert_fetched_ahead(sealed.as_ref(), &place.end());
            }
        }
    }
}

#[test]
fn index_pages_are_fetched_ahead_like_segments_and_each_once() {
    let sealer = small_sealer().segment_len(FRAME as u64);
    let plaintext = counted(4100 * FRAME);
    let sealed = Shared::new(seal(&sealer, plaintext.clone()));
    assert_eq!(map::ranges(sealed.as_ref(), Kind::Page).len(), 2);
    let place = FarPlace::new(sealed.clone(), Duration::ZERO);
    assert!(open_from(&place, &opener()).unwrap().1 == plaintext);
    assert_fetched_ahead(sealed.as_ref(), &place.end());
}

#[test]
fn the_least_that_fetching_takes_is_part_of_what_a_stream_needs() {
    for sealer in [small_sealer(), compressing()] {
        let plaintext = half_counted(4 * SEGMENT);
        let sealed = Shared::new(seal(&sealer, plaintext.clone()));
        let with = |memory| {
            let place = FarPlace::new(sealed.clone(), SOON);
            let opened = open_from(&place, &opener().memory(memory).threads(threads(2)));
            (opened, place.end())
        };
        let needed_with = |memory| {
            let (refused, tally) = with(memory);
            let refused = refused.err().unwrap();
            assert_eq!(refused.kind(), ErrorKind::Limit);
            let segments = map::segments(sealed.as_ref());
            let around = segments[0].start..segments.last().unwrap().end;
            assert!(around.into_iter().all(|at| tally.fetched[at] == 0), "no segment is fetched in vain");
            match refused.remedy() {
                Some(Remedy::RaiseMemory { needed }) => needed as usize,
                other => panic!("{other:?}"),
            }
        };
        let needed = needed_with(1);
        assert!(needed > 3 * PART, "with what a step touches, and one more");
        assert_eq!(needed_with(needed - 1), needed);
        let (opened, tally) = with(needed);
        assert_eq!(opened.unwrap().1, plaintext);
        assert_fetched_ahead(sealed.as_ref(), &tally);
    }
}

#[test]
fn a_hundred_streams_under_one_budget_end_and_leave_nothing() {
    let plaintext = half_counted(6 * SEGMENT + 11);
    let sealed = [small_sealer(), compressing()].map(|sealer| Shared::new(seal(&sealer, plaintext.clone())));
    let (pool, budget) = (Pool::new(threads(2)).unwrap(), Budget::new(512 << 10));
    let (done, ends) = mpsc::channel();
    for number in 0..100 {
        let (pool, budget, done) = (pool.clone(), budget.clone(), done.clone());
        let (sealed, plaintext) = (sealed[number % 2].clone(), plaintext.clone());
        thread::spawn(move || {
            let place = FarPlace::new(sealed, Duration::from_millis(1));
            let opened = open_from(&place, &opener().pool(pool).budget(budget)).map(|(_, opened)| opened);
            place.end();
            done.send(opened.is_ok_and(|opened| opened == plaintext)).unwrap();
        });
    }
    for _ in 0..100 {
        assert!(ends.recv_timeout(LONG).expect("no stream waits for ever"));
    }
    assert_eq!(budget.used(), 0, "all of it has come back");
}

/// What a stream of `sealed` needs of a budget, as it says itself.
fn needed(sealed: &Shared) -> usize {
    let place = FarPlace::new(sealed.clone(), SOON);
    match open_from(&place, &opener().memory(1).threads(threads(1))).err().unwrap().remedy() {
        Some(Remedy::RaiseMemory { needed }) => needed as usize,
        other => panic!("{other:?}"),
    }
}

/// A place that brings nothing holds no more than the least of a budget that others wait for, though parts behind have arrived.
#[test]
fn a_stream_whose_place_has_stalled_gives_back_what_another_waits_for() {
    let plaintext = half_counted(40 * SEGMENT);
    let sealed = Shared::new(seal(&small_sealer(), plaintext.clone()));
    let large = half_counted(1 << 20);
    let of_large_frames =
        Shared::new(seal(&small_sealer().frame_len(64 << 10).segment_len(1 << 20), large.clone()));
    // Beside the first stream's least, another one fits if that has borrowed nothing.
    let budget = Budget::new(needed(&of_large_frames) + (70 << 10));
    let stalled = FarPlace::new(sealed.clone(), SOON);
    stalled.stall_at(map::segments(sealed.as_ref())[20].start as u64);
    let first = thread::spawn({
        let (stalled, budget) = (stalled.clone(), budget.clone());
        move || open_from(&stalled, &opener().threads(threads(1)).budget(budget)).unwrap().1
    });
    stalled.wait_for_stall();
    stalled.wait_in_vain(5);
    assert!(budget.try_lease(needed(&of_large_frames)).is_none(), "it has borrowed some");
    let (done, ends) = mpsc::channel();
    for _ in 0..3 {
        let (sealed, budget, done) = (of_large_frames.clone(), budget.clone(), done.clone());
        thread::spawn(move || {
            let place = FarPlace::new(sealed, SOON);
            let opened = open_from(&place, &opener().threads(threads(1)).budget(budget)).unwrap().1;
            place.end();
            done.send(opened).unwrap();
        });
    }
    for _ in 0..3 {
        assert!(ends.recv_timeout(LONG).expect("the others go on") == large);
    }
    stalled.go_on();
    assert!(first.join().unwrap() == plaintext);
    stalled.end();
    assert_eq!(budget.used(), 0);
}

/// However long it takes: the orchestrator waits for bytes, and no job does.
#[test]
fn a_run_that_has_not_arrived_is_handed_to_no_job() {
    for sealer in [small_sealer(), compressing(), compressing().segment_len(32 * FRAME as u64)] {
        let plaintext = half_counted(70 * FRAME);
        let sealed = Shared::new(seal(&sealer, plaintext.clone()));
        let second = map::segments(sealed.as_ref())[1].clone();
        let page = map::ranges(sealed.as_ref(), Kind::Page)[0].clone();
        for at in [page.start, second.start, second.start + 99, second.end - 300] {
            let place = FarPlace::new(sealed.clone(), SOON);
            place.stall_at(at as u64);
            let stream = thread::spawn({
                let place = place.clone();
                move || open_from(&place, &opener().memory(512 << 10).threads(threads(2))).unwrap().1
            });
            place.wait_for_stall();
            place.wait_in_vain(3);
            place.go_on();
            assert!(stream.join().unwrap() == plaintext);
            assert_fetched_ahead(sealed.as_ref(), &place.end());
        }
    }
}

#[test]
fn a_stream_that_waits_for_its_place_is_cancelled_and_everything_is_released() {
    for sealer in [small_sealer(), compressing().segment_len(32 * FRAME as u64)] {
        let sealed = Shared::new(seal(&sealer, half_counted(70 * FRAME)));
        let segments = map::segments(sealed.as_ref());
        let table = map::ranges(sealed.as_ref(), Kind::Table).get(1).cloned();
        let page = map::ranges(sealed.as_ref(), Kind::Page)[0].clone();
        for at in [segments[0].start, segments[1].start + 99, page.start]
            .into_iter()
            .chain(table.map(|at| at.start))
        {
            let (place, cancel) = (FarPlace::new(sealed.clone(), SOON), CancelToken::new());
            place.stall_at(at as u64);
            let stream = thread::spawn({
                let (place, cancel) = (place.clone(), cancel.clone());
                move || {
                    open_from(&place, &opener().memory(512 << 10).threads(threads(2)).cancel(cancel))
                        .err()
                        .unwrap()
                        .kind()
                }
            });
            place.wait_for_stall();
            cancel.cancel();
            assert_eq!(stream.join().unwrap(), ErrorKind::Cancelled);
            place.end();
        }
    }
}

#[test]
fn a_fault_of_the_place_is_one_of_its_own_and_says_where() {
    let sealed = Shared::new(seal(&small_sealer(), half_counted(6 * SEGMENT)));
    let segments = map::segments(sealed.as_ref());
    for (fault, kind) in [
        (FetchFault::Changed, ErrorKind::SourceChanged),
        (FetchFault::NotFound, ErrorKind::Io),
        (FetchFault::Denied, ErrorKind::Denied),
        (FetchFault::NoProgress, ErrorKind::NoProgress),
        (FetchFault::Refused, ErrorKind::Io),
        (FetchFault::Cancelled, ErrorKind::Cancelled),
    ] {
        for at in [
            0,
            segments[3].start + 7,
            map::ranges(sealed.as_ref(), Kind::Page)[0].start,
            sealed.as_ref().len() - 1,
        ] {
            let place = FarPlace::new(sealed.clone(), SOON);
            place.fail_at(at as u64, fault);
            let error = open_from(&place, &opener()).err().unwrap();
            assert_eq!(error.kind(), kind, "{error:?}");
            assert!(
                kind == ErrorKind::Cancelled
                    || format!("{error:?}").contains(&format!("failed at byte {at}")),
                "{error:?}"
            );
            place.end();
        }
    }
}

/// Of two faults the first on the wire is told, though the place's is known before.
#[test]
fn damage_before_a_fault_of_the_place_is_what_is_told() {
    let mut bytes = seal(&small_sealer(), half_counted(6 * SEGMENT));
    let segments = map::segments(&bytes);
    bytes[segments[1].start + 100] ^= 1;
    let place = FarPlace::new(Shared::new(bytes), SOON);
    place.fail_at(segments[2].start as u64 + 7, FetchFault::NoProgress);
    let error = open_from(&place, &opener()).err().unwrap();
    assert_eq!((error.kind(), error.segment()), (ErrorKind::Damaged, Some(1)));
    place.end();
}

/// Restores into a file from a place, and cancels after so many segments.
fn restore(place: &FarPlace, opener: Opener, target: &Path, segments: u64) -> Result<Restored, Error> {
    let cancel = CancelToken::new();
    let token = cancel.clone();
    let stop = move |progress: &Progress| {
        if progress.segments >= segments {
            token.cancel();
        }
    };
    opener.cancel(cancel).on_progress(stop).restore_to(FarSource(place.clone()), target)
}

#[test]
fn what_is_kept_or_in_a_seed_is_not_fetched() {
    let plaintext = half_counted(20 * SEGMENT);
    for sealer in [small_sealer(), compressing()] {
        let sealed = Shared::new(seal(&sealer, plaintext.clone()));
        let segment_len = map::segments(sealed.as_ref())[0].len() as u64;
        let directory = scratch();
        let [target, seed] = ["db", "seed"].map(|name| directory.path().join(name));
        let place = FarPlace::new(sealed.clone(), SOON);
        let stopped = restore(&place, opener().threads(threads(1)), &target, 10);
        assert_eq!(stopped.err().unwrap().kind(), ErrorKind::Cancelled);
        place.end();
        let place = FarPlace::new(sealed.clone(), SOON);
        let restored = restore(&place, opener(), &target, u64::MAX).unwrap();
        assert!(restored.resumed_bytes >= 10 * SEGMENT as u64);
        assert_eq!(fs::read(&target).unwrap(), plaintext);
        let tally = place.end();
        let left = 20 - restored.resumed_bytes / SEGMENT as u64;
        assert!(tally.bytes() <= (left + 2) * (segment_len + 300) + 12_000, "{} bytes", tally.bytes());
        let changed = [3, 11];
        let mut old = plaintext.clone();
        changed.iter().for_each(|segment| old[segment * SEGMENT + 5] ^= 1);
        fs::write(&seed, &old).unwrap();
        let place = FarPlace::new(sealed.clone(), SOON);
        let fresh = directory.path().join("fresh");
        let restored = restore(&place, opener().seed(&seed), &fresh, u64::MAX).unwrap();
        assert_eq!(
            restored.seeded_bytes,
            17 * SEGMENT as u64,
            "all but two, and the last, which is always read"
        );
        assert_eq!(fs::read(&fresh).unwrap(), plaintext);
        let tally = place.end();
        for (number, segment) in map::segments(sealed.as_ref()).into_iter().enumerate() {
            let is_read = changed.contains(&number) || number == 19;
            assert!(segment.clone().all(|at| tally.fetched[at] == u8::from(is_read)), "segment {number}");
        }
    }
}

#[test]
fn a_part_of_a_stream_fetches_that_part_alone() {
    let plaintext = half_counted(12 * SEGMENT);
    let sealed = Shared::new(seal(&small_sealer(), plaintext.clone()));
    let place = FarPlace::new(sealed.clone(), SOON);
    let (sink, contents) = MemorySink::new();
    opener().open_segments(3..6, FarSource(place.clone()), sink).unwrap();
    assert!(contents.take().unwrap() == plaintext[3 * SEGMENT..6 * SEGMENT]);
    let tally = place.end();
    for (number, segment) in map::segments(sealed.as_ref()).into_iter().enumerate() {
        let times = u8::from((3..6).contains(&number));
        assert!(segment.clone().all(|at| tally.fetched[at] == times), "segment {number}");
    }
}

#[test]
fn who_reads_on_reads_what_has_been_fetched_but_for_the_beginning() {
    for sealer in [small_sealer(), compressing(), compressing().segment_len(32 * FRAME as u64)] {
        let plaintext = half_counted(150 * FRAME + 9);
        let sealed = Shared::new(seal(&sealer, plaintext.clone()));
        let first = map::segments(sealed.as_ref())[0].clone();
        let place = FarPlace::new(sealed.clone(), SOON);
        let mut reader =
            opener().memory(32 << 20).threads(threads(2)).reader(FarSource(place.clone())).unwrap();
        let (mut read, mut buffer) = (Vec::new(), [0; 3000]);
        loop {
            match reader.read(&mut buffer).unwrap() {
                0 => break,
                count => read.extend_from_slice(&buffer[..count]),
            }
        }
        assert!(read == plaintext);
        drop(reader);
        let tally = place.end();
        let directory = map::ranges(sealed.as_ref(), Kind::Directory)[0].clone();
        let pages = map::ranges(sealed.as_ref(), Kind::Page);
        let is_page = |at: usize| pages.iter().any(|page| page.contains(&at));
        for range in tally.blocking.iter().map(|range| range.start as usize..range.end as usize) {
            let around = range.end <= first.end || range.start >= directory.start || is_page(range.start);
            assert!(around, "{range:?} was waited for, after {first:?}");
        }
        let twice = (first.start..directory.start).find(|at| tally.fetched[*at] > 1);
        assert_eq!(twice, None, "a byte is fetched once");
        assert!(tally.held_max <= tally.granted_max && tally.granted_max <= (32 << 20) / 8);
    }
}

/// 4 GiB are left, so that a stream from afar may use 256 MiB, an eighth of it for what is fetched.
#[test]
fn a_reader_from_afar_has_more_memory_too_where_nobody_says_how_much() {
    let root = scratch();
    fs::create_dir(root.path().join("proc")).unwrap();
    let text = "MemTotal: 8388608 kB\nMemAvailable: 4194304 kB\n";
    fs::write(root.path().join("proc/meminfo"), text).unwrap();
    let place = FarPlace::new(Shared::new(seal(&small_sealer(), counted(SEGMENT))), Duration::ZERO);
    let opener = opener().threads(threads(2)).system_memory(SystemMemory::at(root.path()));
    drop(opener.reader(FarSource(place.clone())).unwrap());
    assert_eq!(place.end().granted_max, 32 << 20);
}

#[test]
fn who_reads_little_fetches_little_more() {
    let sealer = small_sealer().segment_len(1024 * FRAME as u64);
    let plaintext = half_counted(2048 * FRAME);
    let sealed = Shared::new(seal(&sealer, plaintext.clone()));
    let place = FarPlace::new(sealed, Duration::ZERO);
    // Runs of one frame.
    let opener = opener().memory(160 << 10).threads(threads(1));
    let mut reader = opener.reader(FarSource(place.clone())).unwrap();
    let mut read = vec![0; 40 * FRAME];
    reader.seek(SeekFrom::Start(FRAME as u64)).unwrap();
    read.chunks_mut(FRAME).for_each(|chunk| reader.read_exact(chunk).unwrap());
    assert!(read == plaintext[FRAME..41 * FRAME]);
    drop(reader);
    let bytes = place.end().bytes();
    assert!(bytes <= 100 * (FRAME as u64 + 32) + 30_000, "{bytes} bytes for {}", read.len());
}

#[test]
fn positions_that_read_on_and_jump_read_what_is_there_and_leave_nothing() {
    for sealer in [small_sealer(), compressing()] {
        let plaintext = half_counted(20 * SEGMENT);
        let sealed = Shared::new(seal(&sealer, plaintext.clone()));
        let place = FarPlace::new(sealed, Duration::ZERO);
        let reader = opener().threads(threads(2)).reader(FarSource(place.clone())).unwrap();
        thread::scope(|scope| {
            for number in 0..4 {
                let (mut reader, plaintext) = (reader.clone(), &plaintext);
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(number);
                    for _ in 0..60 {
                        let mut at = random.usize(..plaintext.len());
                        reader.seek(SeekFrom::Start(at as u64)).unwrap();
                        for _ in 0..random.usize(1..9) {
                            let mut buffer = vec![0; random.usize(1..3 * FRAME)];
                            let count = reader.read(&mut buffer).unwrap();
                            assert!(buffer[..count] == plaintext[at..at + count], "{at}");
                            at += count;
                        }
                    }
                });
            }
        });
        drop(reader);
        place.end();
    }
}

#[test]
fn a_read_that_waits_for_its_place_ends_with_its_fault_or_when_it_is_cancelled() {
    let sealed = Shared::new(seal(&small_sealer(), half_counted(20 * SEGMENT)));
    let at = map::segments(sealed.as_ref())[9].start as u64;
    for at in [at, at + 99] {
        let (place, cancel) = (FarPlace::new(sealed.clone(), SOON), CancelToken::new());
        let mut reader = opener().cancel(cancel.clone()).reader(FarSource(place.clone())).unwrap();
        place.stall_at(at);
        let reading = thread::spawn(move || io::copy(&mut reader, &mut io::sink()).unwrap_err());
        place.wait_for_stall();
        cancel.cancel();
        let error: Error = reading.join().unwrap().downcast().unwrap();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        place.end();
        let place = FarPlace::new(sealed.clone(), SOON);
        let mut reader = opener().reader(FarSource(place.clone())).unwrap();
        place.fail_at(at, FetchFault::NoProgress);
        let error: Error = io::copy(&mut reader, &mut io::sink()).unwrap_err().downcast().unwrap();
        assert_eq!(error.kind(), ErrorKind::NoProgress);
        assert_eq!(reader.read_at(0, &mut [0; 10]).unwrap(), 10, "what is elsewhere can be read");
        drop(reader);
        place.end();
    }
}

#[test]
fn what_does_not_come_is_not_said_to_be_lost() {
    let mut bytes = seal(&small_sealer(), half_counted(8 * SEGMENT));
    let (segments, len) = (map::segments(&bytes), bytes.len());
    // With and without an index that is whole.
    for damaged in [segments[1].start + 77, len - 1] {
        bytes[damaged] ^= 1;
        let sealed = Shared::new(bytes.clone());
        let survey = |place: &FarPlace| {
            let mut lost = 0;
            let surveyed = opener().survey(FarSource(place.clone()), |_| lost += 1);
            (surveyed, lost)
        };
        let place = FarPlace::new(sealed.clone(), Duration::ZERO);
        let (surveyed, lost) = survey(&place);
        assert_eq!((surveyed.unwrap().segments, lost), (7, 1));
        for fault in [FetchFault::NoProgress, FetchFault::NotFound, FetchFault::Denied] {
            for at in [segments[3].start as u64, segments[5].start as u64 + 99] {
                let place = FarPlace::new(sealed.clone(), Duration::ZERO);
                place.fail_at(at, fault);
                let refused = survey(&place).0.err().unwrap();
                assert!(refused.kind() != ErrorKind::Damaged, "{refused:?}");
            }
        }
    }
}

#[test]
fn what_stands_before_the_segments_is_one_request() {
    let sealed = Shared::new(seal(&small_sealer().metadata("note", "x".repeat(900)), counted(9)));
    let place = FarPlace::new(sealed.clone(), Duration::ZERO);
    let metadata = opener().metadata(FarSource(place.clone())).unwrap();
    assert_eq!(metadata[0].1.len(), 900);
    let tally = place.end();
    assert_eq!((tally.beginnings, tally.blocking.len()), (1, 0));
    let place = FarPlace::new(sealed, Duration::ZERO);
    let inspected = cofferdam::inspect_source(FarSource(place.clone())).unwrap();
    assert_eq!(inspected.trailer.unwrap().segments, 1);
    assert!(place.end().blocking.len() <= 3, "key copies, footer, directory");
}

/// Whichever way segments are found, and whatever is lost: what is looked for, opened and verified was fetched before, and once.
#[test]
fn what_is_surveyed_and_salvaged_from_afar_has_been_fetched() {
    let mut sealers = vec![small_sealer(), small_sealer().segment_len(32 * FRAME as u64)];
    sealers.extend([compressing(), compressing().segment_len(32 * FRAME as u64)]);
    for (number, sealer) in sealers.into_iter().enumerate() {
        let plaintext = half_counted(200 * FRAME + 7);
        let whole = seal(&sealer, plaintext.clone());
        let segments = map::segments(&whole);
        let (middle, last) = (segments[2].start + 99, whole.len() - 1);
        for damaged in [vec![], vec![middle], vec![last], vec![middle, last]] {
            let mut bytes = whole.clone();
            damaged.iter().for_each(|at| bytes[*at] ^= 1);
            let sealed = Shared::new(bytes);
            let lost_segments = usize::from(damaged.contains(&middle));
            let near = tempfile::tempdir().unwrap();
            // Less than a segment at once: then it is read all the same.
            let place = FarPlace::new(sealed.clone(), Duration::ZERO);
            let surveyed = opener().memory(400 << 10).survey(FarSource(place.clone()), |_| ()).unwrap();
            assert_eq!(surveyed.segments, (segments.len() - lost_segments) as u64, "{number} {damaged:?}");
            place.end();
            for (opener, keyed) in [(opener(), true), (Opener::keyless(), false)] {
                let opener = opener.memory(2 << 20).threads(threads(2));
                let place = FarPlace::new(sealed.clone(), SOON);
                let surveyed = opener.survey(FarSource(place.clone()), |_| ()).unwrap();
                assert_eq!(
                    surveyed.segments,
                    (segments.len() - lost_segments) as u64,
                    "{number} {damaged:?}"
                );
                assert_fetched_ahead_but_for_pages(
                    sealed.as_ref(),
                    &place.end(),
                    &format!("{number} {damaged:?}"),
                );
                if keyed {
                    let place = FarPlace::new(sealed.clone(), SOON);
                    let saved = near.path().join("saved");
                    opener.salvage(FarSource(place.clone()), &saved, |_| ()).unwrap();
                    let mut expected = plaintext.clone();
                    if lost_segments > 0 {
                        let len = if number % 2 == 0 { SEGMENT } else { 32 * FRAME };
                        expected[2 * len..3 * len].fill(0);
                    }
                    assert!(fs::read(&saved).unwrap() == expected, "{number} {damaged:?}");
                    assert_fetched_ahead_but_for_pages(
                        sealed.as_ref(),
                        &place.end(),
                        &format!("{number} {damaged:?}"),
                    );
                }
            }
        }
    }
}

/// As [`assert_fetched_ahead`], where index pages are read by themselves.
fn assert_fetched_ahead_but_for_pages(sealed: &[u8], tally: &Tally, of: &str) {
    let segments = map::segments(sealed);
    for range in &tally.blocking {
        let hit = segments
            .iter()
            .position(|segment| (segment.start as u64) < range.end && range.start < segment.end as u64);
        assert_eq!(hit, None, "{of}: {range:?} of {segments:?}");
    }
    let twice = segments.into_iter().flatten().find(|at| tally.fetched[*at] > 1);
    assert_eq!(twice, None, "{of}: a byte is fetched once");
}

/// Each on its own, and on several threads: one of them is fetched ahead, and none is read wrong.
#[test]
fn segments_by_themselves_are_fetched_ahead_of_their_runs() {
    for sealer in
        [small_sealer().segment_len(32 * FRAME as u64), compressing().segment_len(32 * FRAME as u64)]
    {
        let plaintext = half_counted(200 * FRAME + 7);
        let sealed = Shared::new(seal(&sealer, plaintext.clone()));
        let identities = streams::identities_of(streams::KEY);
        let resources = stream::Resources { budget: Some(Budget::new(512 << 10)), ..Default::default() };
        let (release, durability) = (cofferdam::ReleasePolicy::AtOnce, cofferdam::Durability::default());
        let options = stream::OpenOptions {
            identities: Some(&identities),
            release,
            durability,
            expected: None,
            pin_checks: &[],
            min_sequence: None,
            foreign: stream::Foreign::Refuse,
            resources: &resources,
        };
        let place = FarPlace::new(sealed.clone(), SOON);
        let reader = options.segment_reader(FarSource(place.clone())).unwrap();
        let open = |index: u64| {
            let range = reader.range(index).unwrap();
            let mut opened = Vec::new();
            reader
                .open_each(index, |_, bytes| {
                    opened.extend_from_slice(bytes);
                    Ok(())
                })
                .unwrap();
            assert!(opened == plaintext[range.start as usize..range.end as usize], "segment {index}");
        };
        (0..reader.segments()).rev().for_each(open);
        drop(reader);
        assert_fetched_ahead_but_for_pages(sealed.as_ref(), &place.end(), "one by one");
        let place = FarPlace::new(sealed.clone(), SOON);
        let reader = options.segment_reader(FarSource(place.clone())).unwrap();
        thread::scope(|scope| {
            for number in 0..4 {
                let reader = &reader;
                scope.spawn(move || {
                    (number..reader.segments()).step_by(4).for_each(|index| {
                        reader.verify(index).unwrap();
                    })
                });
            }
        });
        drop(reader);
        place.end();
    }
}

#[test]
fn the_index_that_a_pin_is_compared_with_is_fetched_ahead_too() {
    let sealer = small_sealer().segment_len(FRAME as u64);
    let plaintext = counted(4100 * FRAME);
    let bytes = seal(&sealer, plaintext.clone());
    let digest = opener().verify(cofferdam::BytesSource::new(bytes.clone())).unwrap().stream_digest;
    let sealed = Shared::new(bytes);
    let place = FarPlace::new(sealed.clone(), SOON);
    let opened = opener().expect_digest(digest).memory(32 << 20).verify(FarSource(place.clone())).unwrap();
    assert_eq!(opened.plaintext_len, plaintext.len() as u64);
    let tally = place.end();
    let pages = map::ranges(sealed.as_ref(), Kind::Page);
    assert_eq!(pages.len(), 2);
    for range in &tally.blocking {
        assert!(!pages.iter().any(|page| page.contains(&(range.start as usize))), "{range:?} of {pages:?}");
    }
}
