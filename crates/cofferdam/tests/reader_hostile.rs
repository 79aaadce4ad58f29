//! Owns reads of a stream that is damaged, forged, cut or exchanged: each is an error or the right bytes, never others.
//! Refuses to know what reads cost.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod streams;

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use cofferdam::{
    Arrival, BytesSource, CancelToken, CompressionLevel, Error, ErrorKind, FileSource, ReadAt, Reader,
    Sealer, Source, StreamDigest,
};

use streams::forge::{Forger, wholly_forged, with_forged_prefix};
use streams::map::{Kind, ranges, records, segments};
use streams::{FRAME, SEGMENT, Shared, counted, opener, scratch, seal, small_sealer, threads};

fn reader(sealed: &[u8]) -> Result<Reader, Error> {
    opener().threads(threads(1)).reader(BytesSource::new(sealed.to_vec()))
}

fn at(reader: &Reader, offset: usize, len: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0xEE; len];
    let count = reader.read_at(offset as u64, &mut bytes)?;
    bytes.truncate(count);
    Ok(bytes)
}

fn compressed() -> Sealer {
    small_sealer().compression(CompressionLevel::default())
}

/// Three segments and a short one.
fn four_segments() -> (Vec<u8>, Vec<u8>) {
    let plaintext = counted(3 * SEGMENT + FRAME + 5);
    (seal(&small_sealer(), plaintext.clone()), plaintext)
}

/// Whether every read of `damaged`, in pieces and as a whole, is an error or gives what was sealed; and how many are errors.
fn refusals(damaged: &[u8], plaintext: &[u8]) -> usize {
    let Ok(mut reader) = reader(damaged) else { return 1 };
    let mut refused = 0;
    for from in (0..plaintext.len()).step_by(FRAME) {
        let to = plaintext.len().min(from + FRAME);
        match at(&reader, from, to - from) {
            Ok(read) => assert!(read == plaintext[from..to], "{from}..{to}"),
            Err(_) => refused += 1,
        }
    }
    let mut read = Vec::new();
    let whole = reader.read_to_end(&mut read);
    assert!(plaintext.starts_with(&read));
    assert_eq!(whole.is_ok(), read.len() == plaintext.len());
    refused + usize::from(whole.is_err())
}

/// Every bit behind the key area: what is before it, the tests of that have.
#[test]
fn with_any_bit_flipped_a_read_is_an_error_or_right() {
    // Two segments, one full frame and a short one, some of which compresses.
    let plaintext = counted(FRAME + 40);
    // The closing frames are what a reader of single frames does not look at.
    for (sealer, closing_len) in [(small_sealer(), 64 + 80), (compressed(), 96 + 80)] {
        let sealed = Shared::new(seal(&sealer.segment_len(FRAME as u64), plaintext.clone()));
        let origin = 4096 + 2 * u32::from_le_bytes(sealed.as_ref()[112..116].try_into().unwrap()) as usize;
        let lanes: Vec<usize> = thread::scope(|scope| {
            let lane = |lane: usize| {
                let (sealed, plaintext) = (sealed.as_ref(), &plaintext);
                scope.spawn(move || {
                    let mut damaged = sealed.to_vec();
                    let mut silent = 0;
                    for bit in (8 * origin..8 * sealed.len()).skip(lane).step_by(2) {
                        damaged[bit / 8] ^= 1 << (bit % 8);
                        silent += usize::from(refusals(&damaged, plaintext) == 0);
                        damaged[bit / 8] ^= 1 << (bit % 8);
                    }
                    silent
                })
            };
            [lane(0), lane(1)].map(|lane| lane.join().unwrap()).into()
        });
        assert_eq!(lanes.iter().sum::<usize>(), 2 * 8 * closing_len);
    }
}

#[test]
fn a_damaged_frame_fails_the_reads_that_need_it_and_no_others_each_time() {
    let (sealed, plaintext) = four_segments();
    let frames = ranges(&sealed, Kind::Data);
    for bad in [0, 3, 4, 6, 12, 13] {
        let mut damaged = sealed.clone();
        damaged[frames[bad].start + 20] ^= 1;
        let reader = reader(&damaged).unwrap();
        for round in 0..2 {
            for frame in 0..frames.len() {
                let (from, to) = (frame * FRAME, plaintext.len().min((frame + 1) * FRAME));
                match at(&reader, from, to - from) {
                    Ok(read) => assert!(frame != bad && read == plaintext[from..to], "{frame} {round}"),
                    Err(error) => {
                        assert_eq!(frame, bad, "{error}");
                        let place = (error.segment(), error.frame(), error.position());
                        let (segment, frame_of) = (bad as u64 / 4, bad as u32 % 4);
                        let position = frames[bad].start as u64;
                        assert_eq!(place, (Some(segment), Some(frame_of), Some(position)));
                        assert_eq!(error.kind(), ErrorKind::Damaged);
                    }
                }
            }
        }
        assert!(at(&reader, 0, plaintext.len()).is_err());
    }
}

#[test]
fn whoever_reads_on_gets_what_comes_before_a_damaged_frame_and_then_the_error_again_and_again() {
    let plaintext = counted(20 * SEGMENT);
    let sealed = seal(&small_sealer(), plaintext.clone());
    let frames = ranges(&sealed, Kind::Data);
    for count in [1, 2] {
        for bad in [0, 41, 79] {
            let mut damaged = sealed.clone();
            damaged[frames[bad].end - 1] ^= 1;
            let opener = opener().threads(threads(count));
            let mut reader = opener.reader(BytesSource::new(damaged)).unwrap();
            let mut read = Vec::new();
            for _ in 0..3 {
                let error = reader.read_to_end(&mut read).unwrap_err();
                let inner = error.get_ref().unwrap().downcast_ref::<Error>().unwrap();
                assert_eq!((inner.kind(), inner.segment()), (ErrorKind::Damaged, Some(bad as u64 / 4)));
                assert!(read == plaintext[..bad * FRAME], "{bad}");
                assert_eq!(reader.stream_position().unwrap(), (bad * FRAME) as u64);
            }
            reader.seek(SeekFrom::Start(((bad + 1) * FRAME) as u64)).unwrap();
            read.clear();
            reader.read_to_end(&mut read).unwrap();
            assert!(read == plaintext[(bad + 1) * FRAME..]);
        }
    }
}

/// All lengths are the same, so that only its header and its tag tell where a frame belongs.
#[test]
fn a_frame_or_a_segment_in_another_s_place_is_refused() {
    let (sealed, plaintext) = four_segments();
    let frames = ranges(&sealed, Kind::Data);
    for (from, to) in [(0, 1), (1, 0), (1, 5), (5, 1), (4, 8)] {
        let mut moved = sealed.clone();
        moved.copy_within(frames[from].clone(), frames[to].start);
        let reader = reader(&moved).unwrap();
        assert_eq!(at(&reader, to * FRAME, 1).unwrap_err().kind(), ErrorKind::Damaged);
        assert_eq!(at(&reader, from * FRAME, FRAME).unwrap(), plaintext[from * FRAME..][..FRAME]);
    }
    let places = segments(&sealed);
    for (from, to) in [(0, 1), (1, 0), (2, 1)] {
        let mut moved = sealed.clone();
        moved.copy_within(places[from].clone(), places[to].start);
        let refused = at(&reader(&moved).unwrap(), to * SEGMENT, 1).unwrap_err();
        assert!(refused.to_string().starts_with("the segment header is not what the index says"));
        assert_eq!((refused.segment(), refused.position()), (Some(to as u64), Some(places[to].start as u64)));
    }
}

/// FORMAT F13.17: the chain over the entries is compared before anything of the index is used.
#[test]
fn with_a_pin_a_forged_index_is_refused_before_it_is_read_from() {
    let (sealed, plaintext) = four_segments();
    let pin = |chain: [u8; 32]| opener().expect_digest(StreamDigest(chain));
    let digest = Forger::of(&sealed).chain_over_entries().0;
    let with_pin = |sealed: Vec<u8>| pin(digest).reader(BytesSource::new(sealed));
    assert_eq!(at(&with_pin(sealed.clone()).unwrap(), 5, 100).unwrap(), plaintext[5..105]);
    let refused = with_pin(with_forged_prefix(&sealed, 1)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Damaged, "the entries do not make the footer's digest: {refused}");
    let refused = with_pin(wholly_forged(&sealed)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::DigestMismatch);
    let other = pin([0; 32]).reader(BytesSource::new(sealed.clone())).unwrap_err();
    assert_eq!(other.kind(), ErrorKind::DigestMismatch);
    // Without a pin a reader takes what whoever has the key has put there, and says no more of it.
    let forged = reader(&with_forged_prefix(&sealed, 1)).unwrap();
    assert_eq!(at(&forged, 0, 3).unwrap(), [0xF0; 3]);
}

/// FORMAT F13.8c and d: contiguous in the plaintext, and no further than the footer says.
#[test]
fn an_index_that_contradicts_itself_is_damaged_where_it_is_read() {
    let (sealed, _) = four_segments();
    type Edit = fn(&mut streams::forge::Claims);
    let edits: [Edit; 6] = [
        |claims| claims.page.entries[1].plaintext_offset += 1,
        |claims| claims.page.entries[0].plaintext_offset = 1,
        |claims| claims.page.entries[2].plaintext_len -= 1,
        |claims| claims.page.entries[1].wire_offset += 1,
        |claims| claims.footer.plaintext_len += 1,
        |claims| claims.footer.plaintext_len -= 1,
    ];
    for (number, edit) in edits.into_iter().enumerate() {
        let forged = Forger::of(&sealed).finish_with(edit);
        let refused = reader(&forged).and_then(|reader| at(&reader, 2 * SEGMENT, 10)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Damaged, "{number}: {refused}");
    }
}

#[test]
fn a_stream_that_was_cut_is_refused_when_it_is_opened() {
    let (sealed, _) = four_segments();
    for record in records(&sealed) {
        for cut in [record.range.start, record.range.end - 1] {
            let refused = reader(&sealed[..cut]).unwrap_err();
            let kinds = [ErrorKind::Damaged, ErrorKind::Truncated, ErrorKind::NotAStream];
            assert!(kinds.contains(&refused.kind()), "{cut}: {refused}");
        }
    }
}

#[test]
fn a_file_that_is_cut_or_written_over_while_it_is_read_is_a_source_that_changed() {
    let (sealed, plaintext) = four_segments();
    let other = seal(&small_sealer(), vec![9; plaintext.len()]);
    let folder = scratch();
    let path = folder.path().join("sealed");
    for exchange in [true, false] {
        fs::write(&path, &sealed).unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let reader = opener().reader(FileSource::open(&path).unwrap()).unwrap();
        assert_eq!(at(&reader, 0, 10).unwrap(), plaintext[..10]);
        match exchange {
            // In place: whoever replaces the file by a rename leaves the open one as it is.
            true => fs::write(&path, &other).unwrap(),
            false => File::options().write(true).open(&path).unwrap().set_len(20_000).unwrap(),
        }
        let refused = at(&reader, 3 * SEGMENT, 10).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::SourceChanged, "{refused}");
        assert_eq!(at(&reader, 0, 10).unwrap(), plaintext[..10], "what was opened is right");
    }
}

/// Bytes that cannot be read while `failing` says so.
struct Failing {
    bytes: Vec<u8>,
    failing: AtomicUsize,
}

impl ReadAt for Failing {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if self.failing.load(Ordering::SeqCst) > 0 {
            return Err(io::Error::other("the disk is away"));
        }
        buffer.copy_from_slice(&self.bytes[offset as usize..][..buffer.len()]);
        Ok(())
    }

    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }
}

struct FailingSource(Arc<Failing>);

impl Source for FailingSource {
    fn len(&self) -> Option<u64> {
        None
    }

    fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
        Some(self.0.clone())
    }

    fn read_within(&mut self, _: &mut [u8], _: Duration) -> io::Result<Arrival> {
        unreachable!("it has offsets")
    }
}

#[test]
fn a_source_that_fails_for_a_while_is_asked_again() {
    let (sealed, plaintext) = four_segments();
    let bytes = Arc::new(Failing { bytes: sealed, failing: AtomicUsize::new(0) });
    let reader = opener().reader(FailingSource(bytes.clone())).unwrap();
    bytes.failing.store(1, Ordering::SeqCst);
    for _ in 0..2 {
        let refused = at(&reader, SEGMENT, 10).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Io, "{refused}");
    }
    bytes.failing.store(0, Ordering::SeqCst);
    assert_eq!(at(&reader, SEGMENT, 10).unwrap(), plaintext[SEGMENT..SEGMENT + 10]);
}

#[test]
fn after_a_cancellation_nothing_is_read() {
    let (sealed, _) = four_segments();
    let cancel = CancelToken::new();
    let mut reader = opener().cancel(cancel.clone()).reader(BytesSource::new(sealed)).unwrap();
    at(&reader, 0, 10).unwrap();
    cancel.cancel();
    assert_eq!(at(&reader, 0, 10).unwrap_err().kind(), ErrorKind::Cancelled);
    let error = reader.read(&mut [0; 10]).unwrap_err();
    assert_ne!(error.kind(), io::ErrorKind::Interrupted, "that would be tried again for ever");
}
