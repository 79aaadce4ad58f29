//! What a log that is to be replayed gives back to be proved, and a finished log that is compared with a stream.
//! Expects of each byte where the stream has it, whatever stands in the log before and behind.

use std::{ffi::OsStr, os::unix::fs::PermissionsExt, sync::Arc};

use contract::{CommitError, StreamingSink};
use testing::simulation::SimulatedDisk;

use super::{
    super::{
        AtPublish, DeviceTarget, Finished, LogDiffers, Opened, Reader, ReplayTarget, WalError, WalSink,
        remove, remove_path,
    },
    recorded_disk::{RecordedDisk, Step},
    stream::{LOG, Stream, TARGET, attempt_id, checkpoint, finish, open, try_open},
};

/// Segments that are empty, at the start, in between and at the end, too.
const LENGTHS: [usize; 7] = [0, 12, 8, 0, 17, 1, 0];

/// A log with some segments, the second of which was rolled back twice before it came.
fn leave_some(disk: &RecordedDisk, stream: &Stream, segments: usize) {
    let mut sink = open(disk);
    for index in 0..segments {
        if index == 1 {
            for bytes in [b"not to be".as_slice(), b"nor this, which is much longer than what comes"] {
                let start = stream.segments[1].start as u64;
                sink.begin_segment(1, start).unwrap();
                sink.write_tentative(start, bytes).unwrap();
                sink.rollback_segment().unwrap();
            }
        }
        stream.write(&mut sink, index, index + 1).unwrap();
    }
    drop(sink);
    disk.start_again();
}

fn leave_finished(disk: &RecordedDisk, stream: &Stream) -> Finished {
    leave_some(disk, stream, stream.segments.len());
    let mut sink = open(disk);
    // Room for FINISH and nothing behind it.
    disk.stop_after(1);
    assert!(sink.publish(stream.bytes.len() as u64).is_err());
    drop(sink);
    disk.start_again();
    match try_open(disk).unwrap() {
        Opened::Finished(finished) => finished,
        Opened::Ready(_) => panic!("FINISH was written"),
    }
}

#[test]
fn every_range_of_what_has_committed_is_read_by_its_place_in_the_stream() {
    let stream = Stream::of(b"a stream of ", &LENGTHS);
    for segments in 1..=LENGTHS.len() {
        let disk = RecordedDisk::new();
        leave_some(&disk, &stream, segments);
        let kept = open(&disk).resumable().unwrap();
        let bytes = &stream.bytes[..stream.segments[segments - 1].end];
        assert_eq!(kept.len(), bytes.len() as u64);
        for start in 0..=bytes.len() {
            for end in start..=bytes.len() {
                let mut found = vec![0xAA; end - start];
                kept.read_exact_at(start as u64, &mut found).unwrap();
                assert_eq!(found, bytes[start..end], "{start}..{end} of {segments} segments");
            }
            let beyond = &mut vec![0; bytes.len() - start + 1];
            assert!(kept.read_exact_at(start as u64, beyond).is_err(), "{start}, one too many");
        }
    }
}

/// More than are walked from one known place: a place is noted for each MiB.
#[test]
fn a_long_log_is_read_in_any_order_and_cut_at_any_segment() {
    const SEGMENT: usize = 300_000;
    const SEGMENTS: usize = 15;
    let stream = Stream::of(b"a long stream, ", &[SEGMENT; SEGMENTS]);
    let write = |sink: &mut WalSink, index: usize| {
        let range = stream.segments[index].clone();
        sink.begin_segment(index as u64, range.start as u64).unwrap();
        for start in range.clone().step_by(70_001) {
            sink.write_tentative(start as u64, &stream.bytes[start..(start + 70_001).min(range.end)])
                .unwrap();
        }
        sink.commit_segment(&checkpoint(index as u8)).unwrap();
    };
    let disk = RecordedDisk::new();
    let mut sink = open(&disk);
    (0..SEGMENTS).for_each(|index| write(&mut sink, index));
    drop(sink);
    disk.start_again();
    let kept = open(&disk).resumable().unwrap();
    // 7 and 15 have no factor in common: every segment comes once, forwards and backwards.
    for index in
        (0..SEGMENTS).map(|number| number * 7 % SEGMENTS).chain((0..SEGMENTS).rev()).chain(0..SEGMENTS)
    {
        for (start, len) in [(0, 1), (SEGMENT - 1, 1), (123, 200_000), (SEGMENT - 5, 11), (0, 2 * SEGMENT)] {
            let start = index * SEGMENT + start;
            let len = len.min(stream.bytes.len() - start);
            let mut found = vec![0; len];
            kept.read_exact_at(start as u64, &mut found).unwrap();
            assert!(found == stream.bytes[start..start + len], "{len} bytes at {start}");
        }
    }
    for index in (0..SEGMENTS).rev() {
        disk.start_again();
        let mut sink = open(&disk);
        sink.resume_at(index as u64, (index * SEGMENT) as u64).unwrap();
        assert_eq!(sink.last_commit().unwrap(), index.checked_sub(1).map(|before| checkpoint(before as u8)));
    }
    disk.start_again();
    let mut sink = open(&disk);
    (0..SEGMENTS).for_each(|index| write(&mut sink, index));
    sink.publish(stream.bytes.len() as u64).unwrap();
    assert!(disk.bytes(TARGET).unwrap() == stream.bytes);
}

#[test]
fn a_log_whose_records_others_apply_gives_nothing_back() {
    let disk = RecordedDisk::new();
    leave_some(&disk, &Stream::new(), 2);
    assert!(open(&disk).resumable().is_some());
    disk.start_again();
    assert!(super::stream::ready(&disk, b"").resumable().is_none());
    let fresh = RecordedDisk::new();
    assert!(open(&fresh).resumable().is_none());
}

#[test]
fn a_log_that_is_replayed_goes_on_behind_any_of_its_segments_and_nowhere_else() {
    let stream = Stream::of(b"a stream of ", &LENGTHS);
    for kept in 1..=LENGTHS.len() {
        for index in 0..=LENGTHS.len() + 1 {
            for at in [0, 11, 12, 13, 20, 37, 38, 39] {
                let disk = RecordedDisk::new();
                leave_some(&disk, &stream, kept);
                let mut sink = open(&disk);
                let due = index <= kept
                    && at == index.checked_sub(1).map_or(0, |before| stream.segments[before].end);
                assert_eq!(sink.resume_at(index as u64, at as u64).is_ok(), due, "{index}, {at} of {kept}");
                if !due {
                    continue;
                }
                // What was cut stays cut, with another process in between, and without.
                if kept % 2 == 0 {
                    let before = index.checked_sub(1).map(|before| checkpoint(before as u8));
                    drop(sink);
                    disk.start_again();
                    sink = open(&disk);
                    assert_eq!(sink.last_commit().unwrap(), before, "{index} of {kept}");
                }
                stream.write(&mut sink, index, LENGTHS.len()).unwrap();
                sink.publish(stream.bytes.len() as u64).unwrap();
                assert_eq!(disk.bytes(TARGET).unwrap(), stream.bytes, "{index} of {kept}");
            }
        }
    }
}

#[test]
fn a_finished_log_is_replayed_only_if_it_is_the_stream() {
    let stream = Stream::of(b"a stream of ", &LENGTHS);
    let len = stream.bytes.len();
    let changed = |at: usize| {
        let mut bytes = stream.bytes.clone();
        bytes[at] ^= 1;
        bytes
    };
    let cases = (0..len).map(|at| (changed(at), false)).chain([
        (stream.bytes.clone(), true),
        (stream.bytes[..len - 1].to_vec(), false),
        ([&stream.bytes[..], b"!"].concat(), false),
        (Vec::new(), false),
    ]);
    for (bytes, is_same) in cases {
        let disk = RecordedDisk::new();
        let mut finished = leave_finished(&disk, &stream);
        let old = disk.bytes(TARGET).unwrap();
        finished.resume_at(0, 0).unwrap();
        finished.begin_segment(0, 0).unwrap();
        let compared =
            finished.write_tentative(0, &bytes).map_err(CommitError::NotCommitted).and_then(|()| {
                finished.commit_segment(&checkpoint(0))?;
                finished.publish(bytes.len() as u64)
            });
        match compared {
            Ok(()) => {
                assert!(is_same);
                assert_eq!((disk.bytes(TARGET), disk.bytes(LOG)), (Some(stream.bytes.clone()), None));
            }
            Err(CommitError::NotCommitted(error)) => {
                assert!(!is_same, "{error}");
                assert!(error.get_ref().is_some_and(|inner| inner.is::<LogDiffers>()), "{error}");
                drop(finished);
                assert_eq!(disk.bytes(TARGET), Some(old));
                // It is still there, for whoever has the right stream.
                disk.start_again();
                assert_eq!(finish(&disk), stream.bytes);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_device_is_written_in_order_in_aligned_pieces_and_never_cut() {
    const WRITE: u64 = DeviceTarget::WRITE_LEN as u64;
    let disk = RecordedDisk::new();
    let device_len = 3 * WRITE + 777;
    disk.put(TARGET, &vec![b'.'; device_len as usize]);
    let stream = Stream::of(b"for a device", &[5, WRITE as usize, 0, WRITE as usize + 4096, 9]);
    let device = disk.storage().open(OsStr::new(TARGET)).unwrap().unwrap();
    let target = DeviceTarget::over(device, device_len);
    let at_publish = AtPublish::Replay(Box::new(target));
    let opened = WalSink::open(disk.storage(), OsStr::new(LOG), &attempt_id(b""), at_publish).unwrap();
    let Opened::Ready(mut sink) = opened else { panic!("a fresh log is finished") };
    for (index, range) in stream.segments.iter().cloned().enumerate() {
        sink.begin_segment(index as u64, range.start as u64).unwrap();
        sink.write_tentative(range.start as u64, &stream.bytes[range]).unwrap();
        sink.commit_segment(&checkpoint(index as u8)).unwrap();
    }
    disk.take_steps();
    sink.publish(stream.bytes.len() as u64).unwrap();
    let of_device: Vec<Step> = disk
        .take_steps()
        .into_iter()
        .filter(|step| match step {
            Step::Write { inode, .. } | Step::SetLen { inode, .. } | Step::Sync { inode } => *inode == 1,
            _ => false,
        })
        .collect();
    let len = DeviceTarget::WRITE_LEN;
    let expected = [
        Step::Write { inode: 1, at: 0, len },
        Step::Write { inode: 1, at: WRITE, len },
        Step::Write { inode: 1, at: 2 * WRITE, len: 4110 },
        Step::Sync { inode: 1 },
    ];
    assert_eq!(of_device, expected);
    let found = disk.bytes(TARGET).unwrap();
    assert!(found[..stream.bytes.len()] == stream.bytes);
    assert!(found[stream.bytes.len()..].iter().all(|byte| *byte == b'.'));
    assert_eq!(found.len() as u64, device_len);
}

#[test]
fn what_a_device_has_no_room_for_is_refused_as_it_comes() {
    for (lengths, refused) in
        [(&[20, 30, 14][..], false), (&[20, 30, 15], true), (&[65], true), (&[64], false)]
    {
        let disk = SimulatedDisk::new();
        disk.put(TARGET, &[b'.'; 64]);
        let storage: Arc<dyn storage::Storage> = Arc::new(disk.clone());
        let device = storage.open(OsStr::new(TARGET)).unwrap().unwrap();
        let target = DeviceTarget::over(device, 64);
        assert_eq!((target.check(64).is_ok(), target.check(65).is_ok()), (true, false));
        let at_publish = AtPublish::Replay(Box::new(target));
        let opened = WalSink::open(storage, OsStr::new(LOG), &attempt_id(b""), at_publish).unwrap();
        let Opened::Ready(mut sink) = opened else { panic!("a fresh log is finished") };
        let stream = Stream::of(b"for a device", lengths);
        let written = stream.write(&mut sink, 0, lengths.len());
        assert_eq!(written.is_err(), refused, "{lengths:?}");
        if refused {
            assert_eq!(disk.contents(TARGET).unwrap(), [b'.'; 64]);
        } else {
            sink.publish(64).unwrap();
            assert_eq!(disk.contents(TARGET).unwrap(), stream.bytes);
        }
    }
}

#[test]
fn what_does_not_begin_as_a_log_does_is_not_removed() {
    let foreign = [b"somebody's database".to_vec(), vec![0; 4 << 20], b"\x89CFDWAX".to_vec()];
    for bytes in foreign {
        let disk = RecordedDisk::new();
        disk.put(LOG, &bytes);
        assert!(matches!(remove(disk.storage(), OsStr::new(LOG)), Err(WalError::NotALog)));
        assert_eq!(disk.bytes(LOG), Some(bytes));
    }
    let damaged = [&b"\x89CFDWAL\n and then nothing that can be read"[..], &[0; 300]].concat();
    for bytes in [damaged, Vec::new(), vec![0; 512]] {
        let disk = RecordedDisk::new();
        disk.put(LOG, &bytes);
        remove(disk.storage(), OsStr::new(LOG)).unwrap();
        assert_eq!(disk.bytes(LOG), None);
    }
}

#[test]
fn a_log_that_others_may_read_or_write_is_not_believed() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    for (mode, is_ours) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o620, false)] {
        let opened = WalSink::open_path(&log, &attempt_id(b""), AtPublish::Keep).unwrap();
        let Opened::Ready(mut sink) = opened else { panic!("a fresh log is finished") };
        Stream::new().write(&mut sink, 0, 1).unwrap();
        drop(sink);
        std::fs::set_permissions(&log, PermissionsExt::from_mode(mode)).unwrap();
        if is_ours && mode == 0o400 && !rustix::process::geteuid().is_root() {
            continue;
        }
        let reopened = WalSink::open_path(&log, &attempt_id(b""), AtPublish::Keep);
        assert_eq!(!matches!(reopened, Err(WalError::OpenToOthers)), is_ours, "{mode:o}");
        drop(reopened);
        assert_eq!(!matches!(Reader::open_path(&log), Err(WalError::OpenToOthers)), is_ours, "{mode:o}");
        let removed = remove_path(&log);
        assert_eq!(removed.is_ok(), is_ours, "{mode:o}");
        if !is_ours {
            std::fs::remove_file(&log).unwrap();
        }
    }
}
