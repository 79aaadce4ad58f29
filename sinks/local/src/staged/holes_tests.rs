//! Tests of holes: where zeros are left out, and where they are written because something else may be there.
//! Know real files by their blocks, and the seam by what is written through it.

use std::{ffi::OsStr, fs, os::unix::fs::MetadataExt, path::Path, thread};

use parking_lot::Mutex;
use storage::{Disk, OnPartial, Seed, Sparse, StageOptions};

use super::{
    attempts::{attempt_id, checkpoint, fresh, resumable},
    faulty::FaultyDisk,
    *,
};

const BLOCK: usize = 4096;
const LEN: usize = 64 * BLOCK + 100;

fn options(sparse: Sparse) -> StageOptions {
    StageOptions::default().sparse(sparse)
}

fn create(faulty: &FaultyDisk, options: &StageOptions) -> StagedFile {
    StagedFile::create_in(faulty.storage(), OsStr::new("target"), options).unwrap()
}

fn open(faulty: &FaultyDisk) -> Opened {
    StagedFile::open_in(faulty.storage(), OsStr::new("target"), &options(Sparse::Auto), &attempt_id())
        .unwrap()
}

/// Zeros but for the bytes from one place to another.
fn stream(data: &[(usize, usize)]) -> Vec<u8> {
    let mut bytes = vec![0; LEN];
    data.iter().for_each(|(from, to)| bytes[*from..*to].fill(0xA5));
    bytes
}

/// Streams with zeros at the beginning, in the middle and at the end, and with none and nothing else.
fn streams() -> Vec<Vec<u8>> {
    vec![
        stream(&[]),
        stream(&[(0, LEN)]),
        stream(&[(0, 1)]),
        stream(&[(LEN - 1, LEN)]),
        stream(&[(BLOCK, 2 * BLOCK)]),
        stream(&[(BLOCK - 1, BLOCK + 1), (40 * BLOCK + 7, 41 * BLOCK - 7)]),
        stream(&[(3 * BLOCK, 3 * BLOCK + 1), (60 * BLOCK, 61 * BLOCK)]),
    ]
}

/// Bytes of the blocks of a stream that are not all zero.
fn data_len(stream: &[u8]) -> usize {
    stream.chunks(BLOCK).filter(|block| block.iter().any(|byte| *byte != 0)).map(<[u8]>::len).sum()
}

fn write(sink: &StagedFile, stream: &[u8], piece_len: usize) {
    let writer = sink.positioned().unwrap();
    // From the back: the file has its length before its beginning is written.
    for at in (0..stream.len()).step_by(piece_len).collect::<Vec<_>>().into_iter().rev() {
        writer.write_all_at(at as u64, &stream[at..stream.len().min(at + piece_len)]).unwrap();
    }
}

fn target(directory: &Path) -> Vec<u8> {
    fs::read(directory.join("target")).unwrap()
}

#[test]
fn blocks_of_zeros_are_not_written_and_the_target_has_its_length_and_its_bytes() {
    for stream in streams() {
        for piece_len in [BLOCK, 3 * BLOCK, LEN] {
            for expected_len in [None, Some(LEN as u64), Some(1), Some(1 << 30)] {
                let directory = tempfile::tempdir().unwrap();
                let faulty = FaultyDisk::over(directory.path());
                let mut sink = create(&faulty, &options(Sparse::Auto).expected_len(expected_len));
                write(&sink, &stream, piece_len);
                sink.publish(LEN as u64).unwrap();
                assert_eq!(faulty.written(), data_len(&stream), "pieces of {piece_len}, {expected_len:?}");
                assert!(target(directory.path()) == stream);
            }
        }
    }
}

#[test]
fn where_none_are_wanted_all_zeros_are_written() {
    for stream in streams() {
        let directory = tempfile::tempdir().unwrap();
        let faulty = FaultyDisk::over(directory.path());
        let mut sink = create(&faulty, &options(Sparse::Never).expected_len(LEN as u64));
        write(&sink, &stream, 3 * BLOCK);
        sink.publish(LEN as u64).unwrap();
        assert_eq!(faulty.written(), LEN);
        assert!(target(directory.path()) == stream);
    }
}

#[test]
fn holes_take_no_blocks() {
    const LONG: usize = 8 << 20;
    for (sparse, expected_len) in
        [(Sparse::Auto, None), (Sparse::Auto, Some(LONG as u64)), (Sparse::Never, Some(LONG as u64))]
    {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("target");
        let mut sink = StagedFile::create(&path, &options(sparse).expected_len(expected_len)).unwrap();
        let mut bytes = vec![0; LONG];
        bytes[LONG / 2] = 1;
        sink.positioned().unwrap().write_all_at(0, &bytes).unwrap();
        sink.publish(LONG as u64).unwrap();
        let taken = fs::metadata(&path).unwrap().blocks() * 512;
        match sparse {
            Sparse::Never => assert!(taken >= LONG as u64, "{taken}"),
            _ => assert!(taken <= 64 << 10, "{taken} of {LONG}, {expected_len:?}"),
        }
        assert!(fs::read(&path).unwrap() == bytes);
    }
}

#[test]
fn a_segment_that_is_rolled_back_does_not_show_through_the_zeros_that_follow_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("target");
    let mut sink = StagedFile::create(&path, &options(Sparse::Auto)).unwrap();
    sink.begin_segment(0, 0).unwrap();
    sink.write_tentative(0, &[0xEE; 4 * BLOCK]).unwrap();
    sink.rollback_segment().unwrap();
    sink.begin_segment(0, 0).unwrap();
    sink.write_tentative(0, &[0; 8 * BLOCK]).unwrap();
    sink.commit_segment(&checkpoint(0)).unwrap();
    sink.publish(8 * BLOCK as u64).unwrap();
    assert!(target(directory.path()) == [0; 8 * BLOCK]);
}

/// Leaves a staging file that holds other bytes everywhere, of which the first block is to be kept.
fn left_behind(directory: &Path, len: usize) {
    let faulty = FaultyDisk::over(directory);
    let mut sink = fresh(open(&faulty));
    let writer = sink.positioned().unwrap();
    writer.write_all_at(0, &vec![0xEE; len]).unwrap();
    sink.commit_segment(&checkpoint(0)).unwrap();
}

#[test]
fn zeros_are_written_over_what_an_earlier_attempt_left_wherever_it_is_gone_on_from() {
    for found_len in [BLOCK, BLOCK + 1, 9 * BLOCK, LEN, 2 * LEN] {
        for at in [0, BLOCK] {
            for stream in streams() {
                let directory = tempfile::tempdir().unwrap();
                left_behind(directory.path(), found_len);
                let mut due = stream.clone();
                due[..at].fill(0xEE);
                let faulty = FaultyDisk::over(directory.path());
                let mut sink = resumable(open(&faulty));
                sink.resume_at(at as u64, at as u64).unwrap();
                let writer = sink.positioned().unwrap();
                for start in (at..LEN).step_by(5 * BLOCK) {
                    let end = LEN.min(start + 5 * BLOCK);
                    writer.write_all_at(start as u64, &due[start..end]).unwrap();
                }
                sink.publish(LEN as u64).unwrap();
                assert!(target(directory.path()) == due, "{found_len} bytes found, on from {at}");
            }
        }
    }
}

#[test]
fn an_attempt_that_goes_on_leaves_the_holes_of_the_one_before() {
    let directory = tempfile::tempdir().unwrap();
    let due = stream(&[(0, BLOCK), (60 * BLOCK, 61 * BLOCK)]);
    let mut sink = fresh(open(&FaultyDisk::over(directory.path())));
    sink.positioned().unwrap().write_all_at(0, &due[..50 * BLOCK]).unwrap();
    sink.commit_segment(&checkpoint(0)).unwrap();
    sink.durability().unwrap().make_durable(&checkpoint(0)).unwrap();
    drop(sink);
    for at in [50 * BLOCK, 2 * BLOCK] {
        let faulty = FaultyDisk::over(directory.path());
        let mut sink = resumable(open(&faulty));
        let mut found = vec![0xEE; 50 * BLOCK];
        sink.resumable().unwrap().read_exact_at(0, &mut found).unwrap();
        assert!(found == due[..50 * BLOCK], "what is left out is there, and its length is");
        sink.resume_at(1, at as u64).unwrap();
        sink.positioned().unwrap().write_all_at(at as u64, &due[at..]).unwrap();
        if at == 2 * BLOCK {
            sink.publish(LEN as u64).unwrap();
        } else {
            sink.commit_segment(&checkpoint(1)).unwrap();
        }
        assert!(faulty.written() < 4 * BLOCK, "{}", faulty.written());
    }
    assert!(target(directory.path()) == due);
}

#[test]
fn a_length_that_grows_by_holes_cuts_nothing_that_others_write() {
    const PIECES: usize = 512;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("target");
    let mut sink = StagedFile::create(&path, &options(Sparse::Auto)).unwrap();
    let piece = |number: usize| vec![if number.is_multiple_of(3) { 0xA5 } else { 0 }; BLOCK];
    let writer = sink.positioned().unwrap();
    thread::scope(|scope| {
        for first in 0..4 {
            let writer = writer.clone();
            scope.spawn(move || {
                for number in (first..PIECES).step_by(4) {
                    writer.write_all_at((number * BLOCK) as u64, &piece(number)).unwrap();
                }
            });
        }
    });
    sink.publish((PIECES * BLOCK) as u64).unwrap();
    assert!(target(directory.path()) == (0..PIECES).flat_map(piece).collect::<Vec<_>>());
}

#[test]
fn a_length_that_does_not_fit_is_reported_where_holes_may_save_it_and_refused_where_they_may_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("target");
    let whole = rustix::fs::statvfs(directory.path()).unwrap();
    let needed = whole.f_blocks * whole.f_frsize + 1;
    let refused = StagedFile::create(&path, &options(Sparse::Never).expected_len(needed)).unwrap_err();
    assert!(matches!(refused, TargetError::NoRoom { free: Some(_), .. }), "{refused}");
    let options = options(Sparse::Auto).expected_len(needed).on_partial(OnPartial::Discard);
    let mut sink = StagedFile::create(&path, &options).unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let hears = told.clone();
    sink.on_notice(move |notice| hears.lock().push(notice));
    assert!(
        matches!(told.lock()[..], [TargetNotice::MayNotFit { needed: told, free }] if told == needed && free < needed),
        "{told:?}"
    );
    // Longer than anything that is written, and cut in the end.
    sink.positioned().unwrap().write_all_at(0, &[0; 3 * BLOCK]).unwrap();
    sink.publish(3 * BLOCK as u64).unwrap();
    assert!(target(directory.path()) == [0; 3 * BLOCK]);
}

/// What a file system has put there itself is as little a hole as what was written.
#[test]
fn zeros_over_bytes_that_were_shared_and_rolled_back_are_written() {
    let directory = tempfile::tempdir().unwrap();
    let seed = directory.path().join("seed");
    fs::write(&seed, [0xA5; 4 * BLOCK]).unwrap();
    let seed = Seed::from(File::open(seed).unwrap());
    let disk = Arc::new(Disk::open(directory.path()).unwrap());
    let mut sink = StagedFile::create_in(disk, OsStr::new("target"), &options(Sparse::Auto)).unwrap();
    sink.begin_segment(0, 0).unwrap();
    if !matches!(sink.clone_tentative(&seed, 0, 0, 4 * BLOCK as u64), Ok(taken) if taken == 4 * BLOCK as u64)
    {
        println!("skipped: this file system takes nothing over itself");
        return;
    }
    sink.rollback_segment().unwrap();
    sink.begin_segment(0, 0).unwrap();
    sink.write_tentative(0, &[0; 4 * BLOCK]).unwrap();
    sink.commit_segment(&checkpoint(0)).unwrap();
    sink.publish(4 * BLOCK as u64).unwrap();
    assert!(target(directory.path()) == [0; 4 * BLOCK]);
}
