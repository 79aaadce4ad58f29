//! A sink that is given the first bytes of a stream alone: of a tree without a catalog, what is before its tail.
//! It knows no tree.

use std::io;
use std::sync::Arc;

use contract::{Checkpoint, CommitError, ReadAt, SinkCapabilities, StreamingSink, SyncTo, WriteAt};

/// Passes the first `len` bytes on to another sink, and takes the rest for written.
#[derive(Debug)]
pub struct CutSink<S> {
    sink: S,
    len: u64,
}

impl<S: StreamingSink> CutSink<S> {
    /// Gives `sink` the first `len` bytes of a stream.
    pub fn new(sink: S, len: u64) -> CutSink<S> {
        CutSink { sink, len }
    }
}

/// What of `data` at `at` is before `len`.
fn before(len: u64, at: u64, data: &[u8]) -> &[u8] {
    let left = usize::try_from(len.saturating_sub(at)).unwrap_or(usize::MAX);
    &data[..data.len().min(left)]
}

struct CutWriter {
    writer: Arc<dyn WriteAt>,
    len: u64,
}

impl WriteAt for CutWriter {
    fn write_all_at(&self, at: u64, data: &[u8]) -> io::Result<()> {
        match before(self.len, at, data) {
            [] => Ok(()),
            data => self.writer.write_all_at(at, data),
        }
    }
}

impl<S: StreamingSink> StreamingSink for CutSink<S> {
    fn capabilities(&self) -> SinkCapabilities {
        self.sink.capabilities()
    }

    fn last_commit(&mut self) -> io::Result<Option<Checkpoint>> {
        self.sink.last_commit()
    }

    fn resumable(&self) -> Option<Arc<dyn ReadAt>> {
        self.sink.resumable()
    }

    fn resume_at(&mut self, index: u64, at: u64) -> io::Result<()> {
        self.sink.resume_at(index, at.min(self.len))
    }

    fn confirm_segment(&mut self, index: u64, at: u64, len: u64) -> io::Result<()> {
        let at = at.min(self.len);
        self.sink.confirm_segment(index, at, len.min(self.len - at))
    }

    fn begin_segment(&mut self, index: u64, at: u64) -> io::Result<()> {
        self.sink.begin_segment(index, at.min(self.len))
    }

    fn write_tentative(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        match before(self.len, at, data) {
            [] => Ok(()),
            data => self.sink.write_tentative(at, data),
        }
    }

    fn rollback_segment(&mut self) -> io::Result<()> {
        self.sink.rollback_segment()
    }

    fn commit_segment(&mut self, checkpoint: &Checkpoint) -> Result<(), CommitError> {
        self.sink.commit_segment(checkpoint)
    }

    fn publish(&mut self, plain_len: u64) -> Result<(), CommitError> {
        self.sink.publish(plain_len.min(self.len))
    }

    fn discard(&mut self) -> io::Result<()> {
        self.sink.discard()
    }

    fn positioned(&self) -> Option<Arc<dyn WriteAt>> {
        let writer = self.sink.positioned()?;
        Some(Arc::new(CutWriter { writer, len: self.len }))
    }

    fn durability(&self) -> Option<Arc<dyn SyncTo>> {
        self.sink.durability()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails by panicking.
mod tests {
    use local::MemorySink;

    use super::*;

    /// Whatever the boundaries of segments and writes, and in order or not.
    #[test]
    fn what_is_behind_the_cut_is_nowhere() {
        let plain: Vec<u8> = (0..30).collect();
        let checkpoint = Checkpoint::from_bytes([0; Checkpoint::LEN]);
        for len in 0..=31 {
            for segment_len in [1, 7, 30] {
                let (sink, contents) = MemorySink::new();
                let mut sink = CutSink::new(sink, len);
                for (index, segment) in (0..).zip(plain.chunks(segment_len)) {
                    let at = index * segment_len as u64;
                    sink.begin_segment(index, at).unwrap();
                    for (piece_at, piece) in (at..).step_by(3).zip(segment.chunks(3)) {
                        sink.write_tentative(piece_at, piece).unwrap();
                    }
                    sink.commit_segment(&checkpoint).unwrap();
                }
                sink.publish(30).unwrap();
                let kept = plain.len().min(len as usize);
                assert_eq!(contents.take().unwrap(), plain[..kept], "{len} bytes, segments of {segment_len}");
            }
        }
    }
}
