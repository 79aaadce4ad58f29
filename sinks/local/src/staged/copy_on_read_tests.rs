//! Tests of seeds that are copied by being read: what a read gives is what is in the staging file, whatever the seed does.
//! Know the bytes of both, and no proof.

use std::{
    ffi::OsStr,
    ops::Range,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use storage::{Sparse, StageOptions};

use super::{
    attempts::{attempt_id, checkpoint, fresh, resumable},
    faulty::FaultyDisk,
    *,
};

const BLOCK: usize = 4096;
const PIECE: usize = 3 * BLOCK;
const PIECES: usize = 8;

/// A seed that has other bytes whenever it is read: data, zeros, and both.
struct Restless(AtomicUsize);

impl ReadAt for Restless {
    fn read_exact_at(&self, _offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let number = self.0.fetch_add(1, Ordering::SeqCst);
        buffer.fill(number as u8 % 3);
        if number % 4 == 3 {
            buffer.iter_mut().take(BLOCK).for_each(|byte| *byte = 0);
        }
        Ok(())
    }

    fn len(&self) -> u64 {
        (PIECE * PIECES) as u64
    }
}

/// A seed of which a part cannot be read, and that ends before it was said to.
struct Broken {
    bytes: Vec<u8>,
    bad: Range<u64>,
    ends: u64,
}

impl ReadAt for Broken {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let range = offset..offset + buffer.len() as u64;
        if range.end > self.ends {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if range.start < self.bad.end && self.bad.start < range.end {
            return Err(io::Error::other("bad sector"));
        }
        buffer.copy_from_slice(&self.bytes[range.start as usize..range.end as usize]);
        Ok(())
    }

    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }
}

fn disks(directory: &Path) -> [FaultyDisk; 2] {
    [FaultyDisk::over(directory), FaultyDisk::sharing(directory)]
}

fn open(disk: &FaultyDisk, sparse: Sparse) -> Opened {
    let options = StageOptions::default().sparse(sparse);
    StagedFile::open_in(disk.storage(), OsStr::new("target"), &options, &attempt_id()).unwrap()
}

fn read(place: &dyn ReadAt, piece: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0xEE; PIECE];
    place.read_exact_at((piece * PIECE) as u64, &mut bytes).map(|()| bytes)
}

fn announce(copy: &CopyOnRead, piece: usize) {
    copy.announce((piece * PIECE) as u64..((piece + 1) * PIECE) as u64);
}

fn restless() -> Arc<Seed> {
    Arc::new(Seed::of_bytes(Arc::new(Restless(AtomicUsize::new(0)))))
}

#[test]
fn what_a_read_gives_is_in_the_staging_file_though_the_seed_changes_with_each() {
    for (sparse, shares) in [Sparse::Auto, Sparse::Never].into_iter().flat_map(|s| [(s, 0), (s, 1)]) {
        let directory = tempfile::tempdir().unwrap();
        let mut sink = fresh(open(&disks(directory.path())[shares], sparse));
        // A second time over what the first one left: the file is not all zeros any more.
        for _ in 0..2 {
            let copy = sink.copy_on_read(restless());
            (0..PIECES).for_each(|piece| announce(&copy, piece));
            let given: Vec<Vec<u8>> = thread::scope(|scope| {
                let copy = &copy;
                let reads: Vec<_> =
                    (0..PIECES).map(|piece| scope.spawn(move || read(copy, piece).unwrap())).collect();
                reads.into_iter().map(|read| read.join().unwrap()).collect()
            });
            assert_eq!(copy.copied(), (PIECES * PIECE) as u64);
            sink.keep_copied().unwrap();
            let kept = sink.resumable().unwrap();
            for (piece, given) in given.iter().enumerate() {
                assert!(read(&*kept, piece).unwrap() == *given, "piece {piece}, {sparse:?}, {shares}");
            }
        }
    }
}

#[test]
fn zeros_of_the_stream_are_written_over_what_was_copied_and_not_confirmed() {
    for (sparse, shares) in [Sparse::Auto, Sparse::Never].into_iter().flat_map(|s| [(s, 0), (s, 1)]) {
        let directory = tempfile::tempdir().unwrap();
        let mut sink = fresh(open(&disks(directory.path())[shares], sparse));
        let copy = sink.copy_on_read(Arc::new(Seed::of_bytes(Arc::new(Broken {
            bytes: vec![0xEE; PIECES * PIECE],
            bad: 0..0,
            ends: u64::MAX,
        }))));
        for piece in 0..PIECES {
            announce(&copy, piece);
            read(&copy, piece).unwrap();
        }
        sink.keep_copied().unwrap();
        sink.resume_at(0, 0).unwrap();
        sink.confirm_segment(0, 0, PIECE as u64).unwrap();
        sink.commit_segment(&checkpoint(0)).unwrap();
        let rest = vec![0; (PIECES - 1) * PIECE];
        sink.positioned().unwrap().write_all_at(PIECE as u64, &rest).unwrap();
        sink.commit_segment(&checkpoint(1)).unwrap();
        sink.publish((PIECES * PIECE) as u64).unwrap();
        let wanted = [vec![0xEE; PIECE], rest].concat();
        assert!(std::fs::read(directory.path().join("target")).unwrap() == wanted, "{sparse:?}, {shares}");
    }
}

#[test]
fn what_cannot_be_read_is_told_and_a_seed_that_has_become_shorter_is_not() {
    let (bad, ends) = (2 * PIECE as u64 + 1..2 * PIECE as u64 + 2, 6 * PIECE as u64);
    for (shares, bad, told) in
        [(0, 0..0, None), (1, 0..0, None), (0, bad.clone(), Some(2)), (1, bad, Some(2))]
    {
        let directory = tempfile::tempdir().unwrap();
        let sink = fresh(open(&disks(directory.path())[shares], Sparse::Auto));
        let bytes = (0..PIECES * PIECE).map(|at| (at / 7) as u8).collect();
        let copy = sink.copy_on_read(Arc::new(Seed::of_bytes(Arc::new(Broken { bytes, bad, ends }))));
        for piece in 0..PIECES {
            announce(&copy, piece);
            assert_eq!(read(&copy, piece).is_ok(), piece < 6 && told != Some(piece), "piece {piece}");
        }
        assert_eq!(copy.unreadable(), told.map(|piece| (piece * PIECE) as u64));
        let copied = 6 - usize::from(told.is_some());
        assert_eq!((copy.copied(), copy.has_failed()), ((copied * PIECE) as u64, false));
    }
}

#[test]
fn a_failed_write_is_final_and_what_was_copied_is_not_believed_after_it() {
    for shares in 0..2 {
        let directory = tempfile::tempdir().unwrap();
        let disk = &disks(directory.path())[shares];
        let mut sink = fresh(open(disk, Sparse::Auto));
        let copy = sink.copy_on_read(restless());
        disk.fail_calls(disk.calls()..usize::MAX);
        announce(&copy, 0);
        assert!(read(&copy, 0).is_err() && copy.has_failed());
        disk.fail_calls(0..0);
        assert!(read(&copy, 1).is_err());
        assert!(sink.keep_copied().is_err());
    }
}

#[test]
fn nothing_is_copied_once_the_sink_has_begun() {
    for begin in [
        |sink: &mut StagedFile| sink.resume_at(0, 0).unwrap(),
        |sink: &mut StagedFile| sink.positioned().unwrap().write_all_at(0, b"first").unwrap(),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::over(directory.path());
        let mut sink = fresh(open(&disk, Sparse::Auto));
        let copy = sink.copy_on_read(restless());
        read(&copy, 0).unwrap();
        sink.keep_copied().unwrap();
        begin(&mut sink);
        let before = read(&*sink.resumable().unwrap(), 0).unwrap();
        assert!(read(&copy, 0).is_err() && sink.keep_copied().is_err());
        assert!(read(&*sink.resumable().unwrap(), 0).unwrap() == before);
    }
}

#[test]
fn what_was_copied_is_kept_by_a_drop_and_nothing_is_where_nothing_was() {
    let directory = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::over(directory.path());
    let mut sink = fresh(open(&disk, Sparse::Auto));
    sink.copy_on_read(restless());
    sink.keep_copied().unwrap();
    assert!(sink.resumable().is_none());
    drop(sink);
    let mut sink = fresh(open(&disk, Sparse::Auto));
    let copy = sink.copy_on_read(restless());
    read(&copy, 0).unwrap();
    let given = read(&copy, 1).unwrap();
    sink.keep_copied().unwrap();
    drop((copy, sink));
    let sink = resumable(open(&disk, Sparse::Auto));
    assert!(read(&*sink.resumable().unwrap(), 1).unwrap() == given);
}
