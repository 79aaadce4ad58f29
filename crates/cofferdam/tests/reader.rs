//! Owns reads of a stream's plaintext at any place: they are what was sealed there, and cost what their frames cost.
//! Refuses to know damage; `reader_hostile.rs` does.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod streams;

use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::sync::mpsc;
use std::thread;

use cofferdam::{
    Budget, BytesSource, CompressionLevel, ErrorKind, Opener, Pool, ReadAt, Reader, Remedy, Sealer,
};

use streams::map::{Kind, ranges, segments};
use streams::noted::NotedReads;
use streams::{
    DIGESTS, FRAME, KEY, SEGMENT, SUITES, Shared, counted, in_order, opener, recipients_of, seal,
    small_sealer, threads,
};

fn reader(sealed: &[u8]) -> Reader {
    opener().reader(BytesSource::new(sealed.to_vec())).unwrap()
}

/// What the reader has at `offset`, up to `len` bytes.
fn at(reader: &Reader, offset: usize, len: usize) -> Vec<u8> {
    let mut bytes = vec![0xEE; len];
    let count = reader.read_at(offset as u64, &mut bytes).unwrap();
    bytes.truncate(count);
    bytes
}

#[track_caller]
fn assert_reads(reader: &Reader, plaintext: &[u8], offset: usize, len: usize) {
    let end = plaintext.len().min(offset.saturating_add(len));
    let due = plaintext.get(offset..end).unwrap_or_default();
    assert!(at(reader, offset, len) == due, "{len} bytes at {offset} of {}", plaintext.len());
}

/// Where frames and segments meet, and a byte around.
fn borders(len: usize) -> Vec<usize> {
    let units = (0..=len).step_by(FRAME).chain([SEGMENT, len]);
    let mut all: Vec<usize> =
        units.flat_map(|at| [at.saturating_sub(1), at, at + 1]).filter(|at| *at <= len + 1).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The least memory that a reader of `sealed` works with on `count` threads.
fn least_memory(sealed: &Shared, count: usize) -> usize {
    let opener = opener().threads(threads(count)).memory(1000);
    match opener.reader(BytesSource::new(sealed.clone())).unwrap_err().remedy() {
        Some(Remedy::RaiseMemory { needed }) => needed as usize,
        other => panic!("{other:?}"),
    }
}

fn sealers() -> [Sealer; 2] {
    [small_sealer(), small_sealer().compression(CompressionLevel::default())]
}

#[test]
fn from_every_border_to_every_other_the_bytes_are_those_that_were_sealed() {
    for len in [0, 1, FRAME - 1, FRAME, FRAME + 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT + FRAME + 3] {
        let plaintext = counted(len);
        for sealer in sealers() {
            let reader = reader(&seal(&sealer, plaintext.clone()));
            assert_eq!((reader.len(), reader.is_empty()), (len as u64, len == 0));
            for from in borders(len) {
                for to in borders(len).into_iter().filter(|to| *to >= from) {
                    assert_reads(&reader, &plaintext, from, to - from);
                }
            }
        }
    }
}

#[test]
fn streams_of_every_suite_and_digest_are_read() {
    let plaintext = counted(2 * SEGMENT + 5);
    for (suite, digest) in SUITES.into_iter().flat_map(|suite| DIGESTS.map(|digest| (suite, digest))) {
        for sealer in sealers() {
            let sealed = seal(&sealer.suite(suite).digest(digest).metadata("host", "db1"), plaintext.clone());
            let reader = reader(&sealed);
            assert_reads(&reader, &plaintext, FRAME + 1, SEGMENT);
            assert_eq!(reader.metadata()[..], [(b"host".to_vec(), b"db1".to_vec())]);
            assert_eq!(reader.stream_id().0[..], sealed[32..48], "as the preamble has it");
            assert_eq!(reader.segments(), 3);
        }
    }
}

#[test]
fn beyond_the_end_there_is_nothing() {
    let plaintext = counted(FRAME + 7);
    let mut reader = reader(&seal(&small_sealer(), plaintext.clone()));
    for offset in [FRAME + 7, FRAME + 8, usize::MAX] {
        assert_eq!(at(&reader, offset, 10), [0u8; 0]);
    }
    assert_eq!(at(&reader, FRAME + 6, 10), plaintext[FRAME + 6..]);
    assert_eq!(at(&reader, 3, 0), [0u8; 0]);
    assert_eq!(reader.seek(SeekFrom::End(100)).unwrap(), FRAME as u64 + 107);
    assert_eq!(reader.read(&mut [0; 10]).unwrap(), 0);
    let before = reader.seek(SeekFrom::Current(-(FRAME as i64) - 108)).unwrap_err();
    assert_eq!(before.kind(), io::ErrorKind::InvalidInput);
    assert_eq!(reader.stream_position().unwrap(), FRAME as u64 + 107, "a refused seek changes nothing");
    let beyond = reader.read_exact_at(FRAME as u64, &mut [0; 8]).unwrap_err();
    assert_eq!(beyond.kind(), io::ErrorKind::UnexpectedEof);
    let mut last = [0; 7];
    reader.read_exact_at(FRAME as u64, &mut last).unwrap();
    assert_eq!(last, plaintext[FRAME..]);
}

/// Any mixture of reads and seeks, by streams, memory and threads of any kind, beside the plaintext.
#[test]
fn random_reads_and_seeks_give_what_a_cursor_over_the_plaintext_gives() {
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let plaintext = counted(random.usize(0..6 * SEGMENT));
        let sealer = random.choice(sealers()).unwrap();
        let sealed = seal(&sealer.segment_len((FRAME * random.usize(1..6)) as u64), plaintext.clone());
        let (sealed, count) = (Shared::new(sealed), random.usize(1..4));
        let memory = least_memory(&sealed, count) * random.choice([1, 2, 4, 50]).unwrap();
        let opener = opener().memory(memory).threads(threads(count));
        let mut reader = opener.reader(BytesSource::new(sealed)).unwrap();
        let mut cursor = io::Cursor::new(&plaintext);
        for _ in 0..200 {
            let offset = random.usize(0..=plaintext.len() + 10);
            let len = random.choice([0, 1, 100, FRAME, 3 * FRAME, 3 * SEGMENT]).unwrap();
            match random.u8(0..4) {
                0 => assert_reads(&reader, &plaintext, offset, len),
                1 => {
                    let to = SeekFrom::Start(offset as u64);
                    assert_eq!(reader.seek(to).unwrap(), cursor.seek(to).unwrap(), "seed {seed}");
                }
                _ => {
                    let (mut ours, mut due) = (Vec::new(), Vec::new());
                    (&mut reader).take(len as u64).read_to_end(&mut ours).unwrap();
                    (&mut cursor).take(len as u64).read_to_end(&mut due).unwrap();
                    assert!(ours == due, "seed {seed}: {len} bytes");
                }
            }
        }
    }
}

#[test]
fn whoever_reads_on_gets_all_of_it_with_any_threads_memory_and_buffer() {
    let plaintext = Shared::new(counted(40 * SEGMENT + 3));
    for sealer in sealers() {
        let sealed = Shared::new(seal(&sealer, plaintext.as_ref().to_vec()));
        for count in [1, 2, 3] {
            for memory in [1, 2, 4, 50].map(|times| times * least_memory(&sealed, count)) {
                for len in [1000, FRAME, SEGMENT, 5 * SEGMENT] {
                    let opener = opener().threads(threads(count)).memory(memory);
                    let mut reader = opener.reader(BytesSource::new(sealed.clone())).unwrap();
                    let mut buffer = vec![0; len];
                    let mut read = Vec::new();
                    loop {
                        let count = reader.read(&mut buffer).unwrap();
                        if count == 0 {
                            break;
                        }
                        read.extend_from_slice(&buffer[..count]);
                    }
                    assert!(read == plaintext.as_ref(), "{count} threads, {memory} bytes, reads of {len}");
                }
            }
        }
    }
}

/// Its only thread is busy with the caller, so that nobody else does what is queued.
#[test]
fn a_caller_on_the_only_thread_of_its_pool_reads_on() {
    let plaintext = Shared::new(counted(20 * SEGMENT + 3));
    let sealed = seal(&small_sealer(), plaintext.as_ref().to_vec());
    let pool = Pool::new(threads(1)).unwrap();
    let opener = opener().pool(pool.clone()).memory(1 << 20);
    let (done, outcome) = mpsc::channel();
    pool.spawn(move || {
        let mut read = Vec::new();
        let mut reader = opener.reader(BytesSource::new(sealed)).unwrap();
        let outcome = reader.read_to_end(&mut read).map(|_| read);
        done.send(outcome).unwrap();
    });
    assert!(outcome.recv().unwrap().unwrap() == plaintext.as_ref());
}

#[test]
fn any_number_of_threads_read_at_once_and_a_frame_is_opened_once() {
    let plaintext = counted(9 * SEGMENT + 1);
    for sealer in sealers() {
        let sealed = seal(&sealer, plaintext.clone());
        let noted = NotedReads::of(sealed);
        let reader = opener().reader(noted.source()).unwrap();
        noted.take();
        thread::scope(|scope| {
            for lane in 0..8 {
                let (reader, plaintext) = (reader.clone(), &plaintext);
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(lane);
                    for _ in 0..300 {
                        assert_reads(&reader, plaintext, random.usize(0..plaintext.len()), 5000);
                    }
                });
            }
        });
        let mut reads = noted.take();
        reads.sort_by_key(|read| read.start);
        assert!(reads.windows(2).all(|pair| pair[0].end <= pair[1].start), "nothing twice: {reads:?}");
    }
}

#[test]
fn a_little_memory_serves_many_threads_in_turn() {
    let plaintext = counted(9 * SEGMENT + 1);
    for sealer in sealers() {
        let sealed = Shared::new(seal(&sealer, plaintext.clone()));
        let with =
            |bytes| opener().threads(threads(1)).memory(bytes).reader(BytesSource::new(sealed.clone()));
        let needed = least_memory(&sealed, 1);
        assert_eq!(with(needed - 1).unwrap_err().kind(), ErrorKind::Limit);
        let reader = with(needed).unwrap();
        thread::scope(|scope| {
            for lane in 0..6 {
                let (reader, plaintext) = (&reader, &plaintext);
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(lane);
                    for _ in 0..100 {
                        assert_reads(reader, plaintext, random.usize(0..plaintext.len()), 20_000);
                    }
                });
            }
        });
    }
}

#[test]
fn beside_a_reader_there_is_room_for_a_restore_on_the_same_budget() {
    let plaintext = counted(9 * SEGMENT + 1);
    let sealed = Shared::new(seal(&small_sealer(), plaintext.clone()));
    let opener = opener().budget(Budget::new(8 << 20));
    let readers: Vec<Reader> =
        (0..3).map(|_| opener.reader(BytesSource::new(sealed.clone())).unwrap()).collect();
    assert_reads(&readers[0], &plaintext, 5, 9 * SEGMENT);
    let (_, restored) = streams::open(&opener, streams::Reading::Seekable, sealed).unwrap();
    assert!(restored == plaintext);
    assert_reads(&readers[2], &plaintext, 5, 9 * SEGMENT);
}

/// Frames of 64 KiB, of which 4 KiB are wanted, mostly of one frame.
#[test]
fn random_reads_cost_their_frames_and_little_more() {
    let (frame, segment) = (64 << 10, 8 * (64 << 10));
    let plaintext = counted(8 * segment);
    let sealed = seal(&Sealer::new(recipients_of(KEY)).segment_len(segment as u64), plaintext.clone());
    let noted = NotedReads::of(sealed);
    let reader = opener().reader(noted.source()).unwrap();
    noted.take();
    let mut random = fastrand::Rng::with_seed(1);
    let mut frames = std::collections::BTreeSet::new();
    for _ in 0..40 {
        let offset = random.usize(0..plaintext.len() - 4096);
        assert_reads(&reader, &plaintext, offset, 4096);
        frames.extend([offset / frame, (offset + 4095) / frame]);
    }
    let read: usize = noted.take().iter().map(|read| read.len()).sum();
    let needed = frames.len() * (frame + 32);
    assert!(read * 10 <= needed * 11, "{read} bytes read of {needed} needed");
    for number in frames {
        assert_reads(&reader, &plaintext, number * frame, frame);
    }
    assert_eq!(noted.take(), Vec::<Range<usize>>::new(), "what was opened is kept");
}

/// Far more frames than are kept, and all headers.
#[test]
fn frames_do_not_push_out_what_every_read_looks_at() {
    let plaintext = counted(80 * SEGMENT);
    let sealed = seal(&small_sealer(), plaintext.clone());
    let headers: Vec<_> = ranges(&sealed, Kind::SegmentHeader);
    let noted = NotedReads::of(sealed);
    let reader = opener().threads(threads(1)).memory(2 << 20).reader(noted.source()).unwrap();
    for _ in 0..3 {
        for offset in (0..plaintext.len()).step_by(FRAME) {
            assert_reads(&reader, &plaintext, offset, 1);
        }
    }
    let reads = noted.take();
    for header in headers {
        assert_eq!(reads.iter().filter(|read| **read == header).count(), 1);
    }
    assert!(reads.len() > 2 * 320, "frames were read again and again");
}

#[test]
fn adjacent_frames_are_read_at_once_and_only_those_that_are_missing() {
    let sealed = seal(&small_sealer(), counted(2 * SEGMENT));
    let segments = segments(&sealed);
    let noted = NotedReads::of(sealed);
    let reader = opener().reader(noted.source()).unwrap();
    at(&reader, FRAME, 1);
    noted.take();
    at(&reader, FRAME + 1, 3 * FRAME - 1);
    let second_frame_end = segments[0].start + 48 + 2 * (FRAME + 32);
    let [both]: [_; 1] = noted.take().try_into().unwrap();
    assert_eq!(both, second_frame_end..second_frame_end + 2 * (FRAME + 32));
    at(&reader, SEGMENT - 1, 2);
    let [header, frame]: [_; 2] = noted.take().try_into().unwrap();
    assert_eq!(header, segments[1].start..segments[1].start + 48);
    assert_eq!(frame, segments[1].start + 48..segments[1].start + 48 + FRAME + 32);
}

/// Its place follows from the segment's end (FORMAT F8.11): before DIGEST and TERMINATOR, 32 bytes and 4 for each frame.
#[test]
fn the_table_of_a_compressed_segment_is_read_once() {
    let sealed = seal(&sealers()[1], counted(SEGMENT - FRAME));
    let noted = NotedReads::of(sealed);
    let reader = opener().reader(noted.source()).unwrap();
    noted.take();
    let table_len = 32 + 4 * 3;
    for frame in [2, 0, 1] {
        at(&reader, frame * FRAME + 5, 10);
    }
    let tables = noted.take().into_iter().filter(|read| read.len() == table_len).count();
    assert_eq!(tables, 1);
}

/// Pages hold 4096 segments.
#[test]
fn segments_of_any_page_are_found_and_each_page_is_read_when_it_is_needed_first() {
    let plaintext = counted(3 * 4096 * FRAME - 1);
    let sealed = seal(&small_sealer().segment_len(FRAME as u64), plaintext.clone());
    let pages = ranges(&sealed, Kind::Page);
    assert_eq!(pages.len(), 3);
    let noted = NotedReads::of(sealed);
    let reader = opener().reader(noted.source()).unwrap();
    assert!(!noted.take().iter().any(|read| pages.contains(read)));
    let page_len = 4096 * FRAME;
    for (offset, page) in
        [(2 * page_len + 1, 2), (page_len - 1, 0), (page_len, 1), (2 * page_len - 1, 1), (0, 0)]
    {
        assert_reads(&reader, &plaintext, offset, 1);
        let read: Vec<_> = noted.take().into_iter().filter(|read| pages.contains(read)).collect();
        let first_time = [2 * page_len + 1, page_len - 1, page_len].contains(&offset);
        let due = if first_time { vec![pages[page].clone()] } else { vec![] };
        assert_eq!(read, due, "{offset}");
    }
    for border in [page_len, 2 * page_len, plaintext.len()] {
        assert_reads(&reader, &plaintext, border - FRAME - 1, 2 * FRAME + 2);
    }
}

#[test]
fn what_cannot_be_read_at_any_place_is_refused() {
    let sealed = seal(&small_sealer(), counted(SEGMENT));
    let piped = opener().reader(in_order(sealed.clone())).unwrap_err();
    assert_eq!(piped.kind(), ErrorKind::Usage);
    let keyless = Opener::keyless().reader(BytesSource::new(sealed.clone())).unwrap_err();
    assert_eq!(keyless.kind(), ErrorKind::Usage);
    let others = Opener::new(streams::identities_of(streams::OTHER_KEY));
    assert_eq!(others.reader(BytesSource::new(sealed)).unwrap_err().kind(), ErrorKind::NoKey);
}
