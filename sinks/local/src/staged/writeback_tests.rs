//! Tests of what a staged file puts on its way to the medium before it is synced, and of what it leaves in memory.
//! Know no medium: which bytes were asked for is all they see.

use std::{ffi::OsStr, fs};

use storage::StageOptions;

use super::{
    attempts::{SEGMENT_LEN, attempt_id, checkpoint, fresh, interrupted, resumable},
    faulty::FaultyDisk,
    *,
};

const PIECE: u64 = Writeback::PIECE_LEN;

fn piece() -> Vec<u8> {
    (0..PIECE).map(|i| (i % 251) as u8).collect()
}

fn write_and_commit(sink: &mut StagedFile, at: u64) {
    sink.positioned().unwrap().write_all_at(at, &piece()).unwrap();
    sink.commit_segment(&checkpoint(0)).unwrap();
}

fn open(faulty: &FaultyDisk) -> Opened {
    StagedFile::open_in(faulty.storage(), OsStr::new("target"), &StageOptions::default(), &attempt_id())
        .unwrap()
}

#[test]
fn a_stream_is_put_on_its_way_a_piece_behind_its_whole_part_and_arrives_whole() {
    let directory = tempfile::tempdir().unwrap();
    let faulty = FaultyDisk::over(directory.path());
    let options = StageOptions::default();
    let mut sink = StagedFile::create_in(faulty.storage(), OsStr::new("target"), &options).unwrap();
    for number in [0, 1, 3, 2] {
        write_and_commit(&mut sink, number * PIECE);
    }
    sink.publish(4 * PIECE).unwrap();
    assert_eq!(faulty.sent(), [(0, PIECE), (PIECE, 2 * PIECE)]);
    assert!(fs::read(directory.path().join("target")).unwrap() == piece().repeat(4));
}

#[test]
fn an_attempt_that_goes_on_puts_on_its_way_what_is_new_and_not_what_a_sync_has_covered() {
    let directory = tempfile::tempdir().unwrap();
    interrupted(directory.path(), 1);
    let faulty = FaultyDisk::over(directory.path());
    let mut sink = resumable(open(&faulty));
    let start = SEGMENT_LEN as u64;
    sink.resume_at(1, start).unwrap();
    write_and_commit(&mut sink, start);
    write_and_commit(&mut sink, start + PIECE);
    assert_eq!(faulty.sent(), [(start, PIECE)]);
    sink.durability().unwrap().make_durable(&checkpoint(0)).unwrap();
    write_and_commit(&mut sink, start + 2 * PIECE);
    write_and_commit(&mut sink, start + 3 * PIECE);
    assert_eq!(faulty.sent(), [(start, PIECE), (start + 2 * PIECE, PIECE)]);
}

#[test]
fn where_each_segment_is_synced_all_of_them_stay_in_memory() {
    let directory = tempfile::tempdir().unwrap();
    let faulty = FaultyDisk::over(directory.path());
    let mut sink = fresh(open(&faulty));
    for number in 0..4 {
        write_and_commit(&mut sink, number * PIECE);
        sink.durability().unwrap().make_durable(&checkpoint(0)).unwrap();
    }
    assert_eq!(faulty.sent(), []);
}
