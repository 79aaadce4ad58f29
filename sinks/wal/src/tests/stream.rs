//! A small stream that the tests write, and what they look at afterwards.
//! Knows the log by its public face alone.

use std::{ffi::OsStr, io, ops::Range};

use contract::{AttemptId, Checkpoint, CommitError, StreamingSink};

use super::{
    super::{AtPublish, FileTarget, Opened, Reader, WalSink},
    recorded_disk::RecordedDisk,
};

pub(super) const LOG: &str = "log";
pub(super) const TARGET: &str = "target";

/// Bytes in segments, each written in pieces.
pub(super) struct Stream {
    pub(super) bytes: Vec<u8>,
    pub(super) segments: Vec<Range<usize>>,
}

impl Stream {
    /// Four segments of 12, 8, 0 and 17 bytes.
    pub(super) fn new() -> Stream {
        Stream::of(b"a stream of ", &[12, 8, 0, 17])
    }

    /// Of these segments, filled with this text.
    pub(super) fn of(text: &[u8], lengths: &[usize]) -> Stream {
        let mut end = 0;
        let segments: Vec<_> = lengths
            .iter()
            .map(|len| {
                end += len;
                end - len..end
            })
            .collect();
        Stream { bytes: text.iter().copied().cycle().take(end).collect(), segments }
    }

    /// Writes the segments `from..to` and commits each under the checkpoint of its number.
    pub(super) fn write(&self, sink: &mut WalSink, from: usize, to: usize) -> Result<(), CommitError> {
        for index in from..to {
            self.write_marked(sink, index, index as u8)?;
        }
        Ok(())
    }

    pub(super) fn write_marked(
        &self,
        sink: &mut WalSink,
        index: usize,
        number: u8,
    ) -> Result<(), CommitError> {
        let segment = self.segments[index].clone();
        sink.begin_segment(index as u64, segment.start as u64)?;
        let mut at = segment.start;
        for piece in self.bytes[segment].chunks(PIECE_LEN) {
            sink.write_tentative(at as u64, piece)?;
            at += piece.len();
        }
        sink.commit_segment(&checkpoint(number))
    }

    /// Writes what is missing behind the sink's last commit, and publishes.
    pub(super) fn complete(&self, sink: &mut WalSink) -> Result<(), CommitError> {
        let from = match sink.last_commit()? {
            None => 0,
            Some(checkpoint) => {
                let next = usize::from(checkpoint.to_bytes()[0]) + 1;
                sink.resume_at(next as u64, self.segments[next - 1].end as u64)?;
                next
            }
        };
        self.write(sink, from, self.segments.len())?;
        sink.publish(self.bytes.len() as u64)
    }
}

pub(super) fn checkpoint(number: u8) -> Checkpoint {
    Checkpoint::from_bytes([number; Checkpoint::LEN])
}

pub(super) fn attempt_id(text: &[u8]) -> AttemptId {
    AttemptId::new(text).unwrap()
}

/// A log that keeps its records at publish.
pub(super) fn ready(disk: &RecordedDisk, text: &[u8]) -> WalSink {
    match WalSink::open(disk.storage(), OsStr::new(LOG), &attempt_id(text), AtPublish::Keep).unwrap() {
        Opened::Ready(sink) => sink,
        Opened::Finished(_) => panic!("the log is finished"),
    }
}

/// A log that is replayed into [`TARGET`] at publish.
pub(super) fn open(disk: &RecordedDisk) -> WalSink {
    match try_open(disk).unwrap() {
        Opened::Ready(sink) => sink,
        Opened::Finished(_) => panic!("the log is finished"),
    }
}

pub(super) fn try_open(disk: &RecordedDisk) -> Result<Opened, super::super::WalError> {
    if disk.bytes(TARGET).is_none() {
        disk.put(TARGET, b"what was there before");
    }
    let target = FileTarget::new(disk.storage(), OsStr::new(TARGET));
    WalSink::open(disk.storage(), OsStr::new(LOG), &attempt_id(b"label"), AtPublish::Replay(Box::new(target)))
}

/// Replays a finished log into [`TARGET`], and gives what stands there.
pub(super) fn finish(disk: &RecordedDisk) -> Vec<u8> {
    match try_open(disk).unwrap() {
        Opened::Finished(finished) => finished.replay().unwrap(),
        Opened::Ready(_) => panic!("the log is not finished"),
    }
    assert_eq!(disk.bytes(LOG), None);
    disk.bytes(TARGET).unwrap()
}

/// How far a log has got, as a reader sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reached {
    NoLog,
    Nothing,
    /// The number in the last checkpoint.
    Commit(u8),
    Finish(u64),
}

impl Reached {
    pub(super) fn of(disk: &RecordedDisk) -> Reached {
        let Some(reader) = Reader::open(&*disk.storage(), OsStr::new(LOG)).unwrap() else {
            return Reached::NoLog;
        };
        match (reader.finished(), reader.last_commit()) {
            (Some(len), _) => Reached::Finish(len),
            (None, Some(last)) => Reached::Commit(last.checkpoint.to_bytes()[0]),
            (None, None) => Reached::Nothing,
        }
    }
}

/// The committed bytes of a log.
pub(super) fn committed(disk: &RecordedDisk) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let reader = Reader::open(&*disk.storage(), OsStr::new(LOG))?.ok_or(io::ErrorKind::NotFound)?;
    reader.replay_with(|at, piece| {
        assert_eq!(at, bytes.len() as u64, "records follow one another");
        bytes.extend_from_slice(piece);
        Ok(())
    })?;
    Ok(bytes)
}

const PIECE_LEN: usize = 5;
