//! Attempts for the tests of staged files: three segments into `target`, whole, interrupted, and resumed.
//! Knows what an attempt writes, and no crash.

use std::{ffi::OsStr, fs, path::Path};

use contract::AttemptId;
use storage::{StageOptions, TargetError};

use super::{faulty::FaultyDisk, *};

pub(super) const SEGMENT_LEN: usize = 100_000;
pub(super) const SEGMENTS: u8 = 3;
pub(super) const JOURNAL: &str = ".target.cofferdam-journal";
pub(super) const STAGING: &str = ".target.cofferdam-staging";

pub(super) fn attempt_id() -> AttemptId {
    AttemptId::new(b"restore of stream 7").unwrap()
}

pub(super) fn checkpoint(segment: u8) -> Checkpoint {
    Checkpoint::from_bytes([segment + 1; Checkpoint::LEN])
}

/// Segments that differ from each other and hold no zeros, as which everything reads that was never written.
pub(super) fn segment(number: u8) -> Vec<u8> {
    let mut segment = vec![number + 1; SEGMENT_LEN];
    segment[..8].copy_from_slice(b"segment:");
    segment
}

pub(super) fn stream() -> Vec<u8> {
    (0..SEGMENTS).flat_map(segment).collect()
}

pub(super) fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub(super) fn open(directory: &Path) -> Result<Opened, TargetError> {
    StagedFile::open(directory.join("target"), &StageOptions::default(), &attempt_id())
}

pub(super) fn fresh(opened: Opened) -> StagedFile {
    match opened {
        Opened::Fresh(sink) => sink,
        other => panic!("not fresh: {other:?}"),
    }
}

pub(super) fn resumable(opened: Opened) -> StagedFile {
    match opened {
        Opened::Resumable { sink, attempt_id: found } => {
            assert_eq!(found, attempt_id());
            sink
        }
        other => panic!("not resumable: {other:?}"),
    }
}

/// Writes, commits and makes durable the segments from `first` on, one by one.
pub(super) fn go_on(sink: &mut StagedFile, first: u8) -> Result<(), CommitError> {
    let writer = sink.positioned().unwrap();
    let durable = sink.durability().unwrap();
    for number in first..SEGMENTS {
        writer.write_all_at(u64::from(number) * SEGMENT_LEN as u64, &segment(number))?;
        sink.commit_segment(&checkpoint(number))?;
        durable.make_durable(&checkpoint(number))?;
    }
    sink.publish(stream().len() as u64)
}

/// Leaves a directory as a crash behind `segments` durable segments leaves it.
pub(super) fn interrupted(directory: &Path, segments: u8) {
    let mut sink = fresh(open(directory).unwrap());
    for number in 0..segments {
        let at = u64::from(number) * SEGMENT_LEN as u64;
        sink.positioned().unwrap().write_all_at(at, &segment(number)).unwrap();
        sink.commit_segment(&checkpoint(number)).unwrap();
        sink.durability().unwrap().make_durable(&checkpoint(number)).unwrap();
    }
}

/// How many whole segments of the stream are kept at the start, as an engine would prove them.
pub(super) fn proved(sink: &StagedFile) -> u8 {
    let kept = sink.resumable().unwrap();
    let mut found = vec![0; SEGMENT_LEN];
    let proved = (0..SEGMENTS).take_while(|number| {
        let read = kept.read_exact_at(u64::from(*number) * SEGMENT_LEN as u64, &mut found);
        read.is_ok() && found == segment(*number)
    });
    u8::try_from(proved.count()).unwrap()
}

/// Resumes as an engine would: proves what is kept, and goes on behind it.
pub(super) fn resume(mut sink: StagedFile) -> u8 {
    sink.last_commit().unwrap();
    let kept = proved(&sink);
    sink.resume_at(kept.into(), u64::from(kept) * SEGMENT_LEN as u64).unwrap();
    go_on(&mut sink, kept).unwrap();
    kept
}

/// The whole of an attempt, up to the crash.
pub(super) fn attempt(faulty: &FaultyDisk) -> Option<()> {
    attempt_to(faulty, IfExists::Refuse)
}

/// The same, over a target that may stand there.
pub(super) fn attempt_to(faulty: &FaultyDisk, if_exists: IfExists) -> Option<()> {
    let options = StageOptions::default().if_exists(if_exists);
    let opened = StagedFile::open_in(faulty.storage(), OsStr::new("target"), &options, &attempt_id()).ok()?;
    match opened {
        Opened::Fresh(mut sink) => go_on(&mut sink, 0).ok(),
        Opened::Resumable { mut sink, .. } => {
            let kept = proved(&sink);
            sink.resume_at(kept.into(), u64::from(kept) * SEGMENT_LEN as u64).ok()?;
            go_on(&mut sink, kept).ok()
        }
        Opened::Published(published) => published.finish().ok(),
    }
}
