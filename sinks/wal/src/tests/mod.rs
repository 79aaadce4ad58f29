//! The log from outside: what is in it, what is found after a crash or damage, and what a replay makes of it.
//! Where something stands in a log is computed here from the byte tables, not asked of the code.

mod crash;
mod damage;
mod kept;
mod power;
mod recorded_disk;
mod strange;
mod stream;
mod tables;
mod targets;

use std::{
    ffi::OsStr,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use testing::conformance::{SinkUnderTest, check_all};

use self::{
    recorded_disk::{RecordedDisk, Step},
    stream::{LOG, Reached, Stream, TARGET, attempt_id, checkpoint, open, ready, try_open},
};
use super::*;

#[test]
fn the_log_keeps_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    let count = AtomicUsize::new(0);
    let violations = check_all(&mut || {
        // Unique names, and one test thread makes them: the order with other accesses does not matter.
        let path = directory.path().join(count.fetch_add(1, Ordering::Relaxed).to_string());
        std::fs::write(&path, b"the old contents").unwrap();
        let (log, seen) = (path.with_extension("log"), path.clone());
        let reopen = move || match WalSink::open_path(&log, &attempt_id(b""), replay_into(&path))? {
            Opened::Ready(sink) => Ok::<_, WalError>(sink),
            Opened::Finished(_) => panic!("a publish left its log"),
        };
        SinkUnderTest::new(reopen().unwrap(), move || std::fs::read(&seen).ok()).reopening(reopen)
    });
    assert!(violations.is_empty(), "{violations:#?}");
}

fn replay_into(path: &Path) -> AtPublish {
    AtPublish::Replay(Box::new(FileTarget::open_path(path).unwrap()))
}

/// The bytes below were put together by hand from the module's tables, and their checksums by zlib.
#[test]
fn a_log_has_the_bytes_that_its_documentation_tells() {
    let disk = RecordedDisk::new();
    let mut sink = ready(&disk, b"label");
    sink.begin_segment(0, 0).unwrap();
    sink.write_tentative(0, b"abc").unwrap();
    sink.commit_segment(&checkpoint(7)).unwrap();
    sink.durability().unwrap().make_durable(&checkpoint(7)).unwrap();
    sink.publish(3).unwrap();
    let log = disk.bytes(LOG).unwrap();
    assert_eq!(log[..21], *b"\x89CFDWAL\n\x01\0\0\0\x05\0\0\0label");
    assert_eq!(log[508..512], HEADER_CRC);
    assert_eq!(log[8192..8216], hex(SLOT_B));
    assert_eq!(log[8192 + 508..8192 + 512], SLOT_B_CRC);
    assert_eq!(log[12_288..12_331], hex(DATA_RECORD));
    assert_eq!(log[12_331..12_331 + 56], hex(COMMIT_RECORD_START));
    assert!(log[12_331 + 56..12_579].iter().all(|byte| *byte == 7));
    assert_eq!(log[12_579..], hex(FINISH_RECORD));
}

/// A segment of eight pieces of 1 MiB: eight heads of 40 bytes, and a COMMIT record of 248 behind them.
#[test]
fn log_and_target_are_put_on_their_way_a_piece_behind_and_not_what_a_sync_has_covered() {
    const PIECE: u64 = 8 << 20;
    const SEGMENT: u64 = PIECE + 8 * 40 + 248;
    const START: u64 = 12_288;
    let disk = RecordedDisk::new();
    let stream = Stream::of(b"any text", &[PIECE as usize; 6]);
    let mut sink = open(&disk);
    let commit = |sink: &mut WalSink, index: usize| {
        let segment = stream.segments[index].clone();
        sink.begin_segment(index as u64, segment.start as u64).unwrap();
        sink.write_tentative(segment.start as u64, &stream.bytes[segment]).unwrap();
        sink.commit_segment(&checkpoint(index as u8)).unwrap();
    };
    (0..3).for_each(|index| commit(&mut sink, index));
    let sent = [(START, 2 * SEGMENT - PIECE), (START + 2 * SEGMENT - PIECE, SEGMENT)];
    assert_eq!(disk.sent(LOG), sent);
    sink.durability().unwrap().make_durable(&checkpoint(2)).unwrap();
    commit(&mut sink, 3);
    assert_eq!(disk.sent(LOG), sent, "a sync has covered it");
    commit(&mut sink, 4);
    assert_eq!(disk.sent(LOG)[2..], [(START + 3 * SEGMENT, 2 * SEGMENT - PIECE)]);
    commit(&mut sink, 5);
    sink.publish(6 * PIECE).unwrap();
    assert_eq!(disk.sent(TARGET), [0, 1, 2, 3, 4].map(|number| (number * PIECE, PIECE)));
}

#[test]
fn what_was_rolled_back_stays_in_the_log_and_is_not_read() {
    let disk = RecordedDisk::new();
    let mut sink = ready(&disk, b"");
    for (attempt, bytes) in [b"first".as_slice(), b"second!".as_slice(), b""].into_iter().enumerate() {
        sink.begin_segment(0, 0).unwrap();
        sink.write_tentative(0, bytes).unwrap();
        if attempt < 2 {
            sink.rollback_segment().unwrap();
        }
    }
    sink.commit_segment(&checkpoint(0)).unwrap();
    sink.begin_segment(1, 0).unwrap();
    sink.write_tentative(0, b"kept").unwrap();
    sink.write_tentative(4, b"+").unwrap();
    sink.commit_segment(&checkpoint(1)).unwrap();
    sink.publish(5).unwrap();
    let reader = Reader::open(&*disk.storage(), OsStr::new(LOG)).unwrap().unwrap();
    let records: Vec<_> = reader.records().map(|record| record.unwrap()).collect();
    let found: Vec<_> = records.iter().map(|record| (record.at, &record.bytes[..])).collect();
    assert_eq!(found, [(0, b"kept".as_slice()), (4, b"+")]);
    // From wherever a reader had got to, the rest comes and no more.
    for (index, record) in records.iter().enumerate() {
        let rest: Vec<_> = reader.records_from(record.next).map(|record| record.unwrap()).collect();
        assert_eq!(rest, records[index + 1..]);
    }
    let between = Lsn::from_u64(records[0].lsn.to_u64() + 1);
    let mut lost = reader.records_from(between);
    assert!(matches!(lost.next(), Some(Err(WalError::NoRecordAt { lsn })) if lsn == between));
    assert!(lost.next().is_none());
}

#[test]
fn a_write_longer_than_a_record_becomes_several() {
    let disk = RecordedDisk::new();
    let mut sink = ready(&disk, b"");
    let bytes: Vec<u8> = (0..=250).cycle().take(2 * DATA_LEN_MAX + 1).collect();
    sink.begin_segment(0, 0).unwrap();
    sink.write_tentative(0, &bytes).unwrap();
    sink.commit_segment(&checkpoint(0)).unwrap();
    sink.publish(bytes.len() as u64).unwrap();
    let reader = Reader::open(&*disk.storage(), OsStr::new(LOG)).unwrap().unwrap();
    let records: Vec<_> = reader.records().map(|record| record.unwrap()).collect();
    let lengths: Vec<_> = records.iter().map(|record| record.bytes.len()).collect();
    assert_eq!(lengths, [DATA_LEN_MAX, DATA_LEN_MAX, 1]);
    assert!(records.iter().flat_map(|record| &record.bytes).eq(&bytes));
}

#[test]
fn one_writer_at_a_time_and_readers_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let Opened::Ready(mut sink) = WalSink::open_path(&log, &attempt_id(b""), AtPublish::Keep).unwrap() else {
        panic!()
    };
    assert!(matches!(WalSink::open_path(&log, &attempt_id(b""), AtPublish::Keep), Err(WalError::Held)));
    sink.begin_segment(0, 0).unwrap();
    sink.write_tentative(0, b"seen").unwrap();
    assert!(Reader::open_path(&log).unwrap().unwrap().last_commit().is_none());
    sink.commit_segment(&checkpoint(1)).unwrap();
    let reader = Reader::open_path(&log).unwrap().unwrap();
    assert_eq!(reader.last_commit().unwrap().checkpoint, checkpoint(1));
    assert_eq!((reader.finished(), reader.durable_lsn()), (None, Lsn::FIRST));
    drop(sink);
    assert!(WalSink::open_path(&log, &attempt_id(b""), AtPublish::Keep).is_ok());
}

#[test]
fn a_log_keeps_its_first_attempt_id() {
    let disk = RecordedDisk::new();
    let longest = vec![1; AttemptId::LEN_MAX];
    let mut sink = ready(&disk, &longest);
    assert_eq!(sink.attempt_id().as_bytes(), longest);
    sink.begin_segment(0, 0).unwrap();
    sink.commit_segment(&checkpoint(0)).unwrap();
    drop(sink);
    disk.start_again();
    assert_eq!(ready(&disk, b"another").attempt_id().as_bytes(), longest);
}

#[test]
fn a_drop_keeps_a_log_with_a_commit_and_removes_one_without() {
    let disk = RecordedDisk::new();
    let mut sink = ready(&disk, b"");
    sink.begin_segment(0, 0).unwrap();
    sink.write_tentative(0, b"tentative").unwrap();
    drop(sink);
    assert_eq!(disk.bytes(LOG), None);
    let mut sink = ready(&disk, b"");
    sink.begin_segment(0, 0).unwrap();
    sink.commit_segment(&checkpoint(0)).unwrap();
    remove(disk.storage(), OsStr::new(LOG)).unwrap_err(); // it is locked
    drop(sink);
    assert!(disk.bytes(LOG).is_some());
    remove(disk.storage(), OsStr::new(LOG)).unwrap();
    remove(disk.storage(), OsStr::new(LOG)).unwrap();
    assert_eq!(disk.bytes(LOG), None);
}

#[test]
fn a_log_goes_on_at_its_checkpoint_or_starts_over_and_at_nothing_else() {
    let stream = Stream::new();
    for (at, accepted) in
        [((2, 20), true), ((0, 0), true), ((1, 12), false), ((2, 21), false), ((3, 20), false)]
    {
        let disk = RecordedDisk::new();
        let mut sink = ready(&disk, b"");
        stream.write(&mut sink, 0, 2).unwrap();
        drop(sink);
        disk.start_again();
        let mut sink = ready(&disk, b"");
        assert_eq!(sink.last_commit().unwrap(), Some(checkpoint(1)));
        assert_eq!(sink.resume_at(at.0, at.1).is_ok(), accepted, "{at:?}");
        if accepted {
            stream.write(&mut sink, at.0 as usize, stream.segments.len()).unwrap();
            sink.publish(stream.bytes.len() as u64).unwrap();
            drop(sink);
            disk.start_again();
            assert_eq!(stream::finish(&disk), stream.bytes);
        }
    }
}

#[test]
fn a_failed_sync_ends_the_log_and_is_never_tried_again() {
    let stream = Stream::new();
    let disk = RecordedDisk::new();
    let mut sink = ready(&disk, b"");
    let durability = sink.durability().unwrap();
    stream.write(&mut sink, 0, 1).unwrap();
    disk.fail_sync_after(0);
    assert!(durability.make_durable(&checkpoint(0)).is_err());
    disk.take_steps();
    assert!(durability.make_durable(&checkpoint(0)).is_err());
    assert!(sink.begin_segment(1, 12).is_err());
    assert!(matches!(sink.commit_segment(&checkpoint(1)), Err(CommitError::NotCommitted(_))));
    assert!(matches!(sink.publish(12), Err(CommitError::NotCommitted(_))));
    drop(sink);
    assert_eq!(disk.take_steps(), []);
}

#[test]
fn a_slot_whose_sync_failed_is_durable_before_the_log_is_replayed() {
    let stream = Stream::new();
    let disk = RecordedDisk::new();
    let mut sink = open(&disk);
    stream.write(&mut sink, 0, stream.segments.len()).unwrap();
    // That of FINISH succeeds, that of its slot does not.
    disk.fail_sync_after(1);
    assert!(matches!(sink.publish(stream.bytes.len() as u64), Err(CommitError::Unknown(_))));
    drop(sink);
    disk.start_again();
    disk.take_steps();
    let Ok(Opened::Finished(finished)) = try_open(&disk) else { panic!("the log is not finished") };
    finished.replay().unwrap();
    let (target, log) = (1, 2);
    let steps = disk.take_steps();
    let first = steps.iter().position(|step| matches!(step, Step::Write { inode, .. } if *inode == target));
    let before = &steps[..first.unwrap()];
    let is_slot =
        |step: &Step| matches!(step, Step::Write { inode, at: 4096 | 8192, len: 512 } if *inode == log);
    let slot = before.iter().position(is_slot).expect("a slot is written before the target is");
    assert!(before[slot..].contains(&Step::Sync { inode: log }), "{before:?}");
}

#[test]
fn a_failed_write_ends_the_log() {
    let stream = Stream::new();
    let disk = RecordedDisk::new();
    let mut sink = ready(&disk, b"");
    stream.write(&mut sink, 0, 1).unwrap();
    sink.begin_segment(1, 12).unwrap();
    disk.stop_after(0);
    assert!(sink.write_tentative(12, b"x").is_err());
    disk.stop_after(usize::MAX);
    assert!(sink.write_tentative(12, b"x").is_err());
    assert!(sink.rollback_segment().is_err());
    assert!(matches!(sink.commit_segment(&checkpoint(1)), Err(CommitError::NotCommitted(_))));
    assert!(sink.durability().unwrap().make_durable(&checkpoint(0)).is_err());
    assert!(matches!(sink.publish(12), Err(CommitError::NotCommitted(_))));
}

/// Between the FINISH record and its sync, a process may be killed, or see that sync fail.
#[test]
fn a_log_that_is_found_finished_is_made_durable_before_the_target_is_touched() {
    let stream = Stream::new();
    let disk = RecordedDisk::new();
    let mut sink = open(&disk);
    stream.write(&mut sink, 0, 4).unwrap();
    disk.stop_after(1);
    assert!(matches!(sink.publish(37), Err(CommitError::Unknown(_))));
    drop(sink);
    disk.start_again();
    let end = disk.bytes(LOG).unwrap().len();
    let Ok(Opened::Finished(finished)) = try_open(&disk) else { panic!("FINISH was written") };
    disk.take_steps();
    finished.replay().unwrap();
    let steps = disk.take_steps();
    let (target, log) = (1, 2);
    // The opening had written both slots, so the older of them is the first.
    let expected = [
        Step::Write { inode: log, at: 12_288, len: end - 12_288 },
        Step::Sync { inode: log },
        Step::Write { inode: log, at: 4096, len: 512 },
        Step::Sync { inode: log },
        Step::Write { inode: target, at: 0, len: 5 },
    ];
    assert_eq!(steps[..5], expected);
}

/// The sync that failed in an earlier process may have left clean pages that are not on the medium.
#[test]
fn what_is_not_known_to_be_durable_is_written_again_before_it_is_synced() {
    let stream = Stream::new();
    let disk = RecordedDisk::new();
    let mut sink = ready(&disk, b"");
    stream.write(&mut sink, 0, 1).unwrap();
    sink.durability().unwrap().make_durable(&checkpoint(0)).unwrap();
    let durable = disk.bytes(LOG).unwrap().len() as u64;
    stream.write(&mut sink, 1, 3).unwrap();
    let end = disk.bytes(LOG).unwrap().len() as u64;
    drop(sink);
    disk.start_again();
    disk.take_steps();
    ready(&disk, b"");
    let steps = disk.take_steps();
    let header = Step::Write { inode: 1, at: 0, len: 512 };
    let records = Step::Write { inode: 1, at: durable, len: (end - durable) as usize };
    assert_eq!(steps[..3], [header, records, Step::Sync { inode: 1 }]);
}

#[test]
fn every_step_of_a_publish_stands_before_the_one_that_relies_on_it() {
    let stream = Stream::new();
    let disk = RecordedDisk::new();
    disk.put(TARGET, b"old, and longer than the new contents are going to be when they come");
    let mut sink = open(&disk);
    stream.write(&mut sink, 0, stream.segments.len()).unwrap();
    disk.take_steps();
    sink.publish(stream.bytes.len() as u64).unwrap();
    let steps = disk.take_steps();
    let (target, log) = (1, 2);
    let is_write =
        |inode: u64| move |step: &Step| matches!(step, Step::Write { inode: i, .. } if *i == inode);
    let first = steps.iter().position(is_write(target)).unwrap();
    let expected_start: Vec<_> = steps[..first].iter().map(|step| is_write(log)(step)).collect();
    // FINISH, its sync, the slot, its sync.
    assert_eq!(expected_start, [true, false, true, false]);
    assert_eq!(steps[1], Step::Sync { inode: log });
    assert_eq!(steps[3], Step::Sync { inode: log });
    let len = stream.bytes.len() as u64;
    let expected_end = [
        Step::SetLen { inode: target, len },
        Step::Sync { inode: target },
        Step::SyncNames,
        Step::Remove(LOG.into()),
        Step::SyncNames,
    ];
    assert_eq!(steps[steps.len() - expected_end.len()..], expected_end);
    assert_eq!(disk.bytes(TARGET), Some(stream.bytes.clone()));
    assert_eq!(Reached::of(&disk), Reached::NoLog);
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

const HEADER_CRC: [u8; 4] = [0x14, 0xe1, 0x3e, 0xe7];
const SLOT_B: &str = "0600000000000000 0100000000000000 4b31000000000000";
const SLOT_B_CRC: [u8; 4] = [0x34, 0xe9, 0x85, 0x49];
const DATA_RECORD: &str =
    "59fde577 01000000 0100000000000000 0030000000000000 0000000000000000 03000000 00000000 616263";
const COMMIT_RECORD_START: &str = "5debdba3 02000000 0100000000000000 2b30000000000000 0300000000000000 d0000000 00000000 00000000000000000030000000000000";
const FINISH_RECORD: &str =
    "214f68e8 03000000 0100000000000000 2331000000000000 0300000000000000 00000000 00000000";
