//! A sink over anything that takes bytes once, in order: standard output, a FIFO, a socket.
//! Knows of a descriptor only how large its pipe is, and can take nothing back.

use std::{
    io::{self, Write},
    os::fd::AsFd,
    sync::Arc,
};

use contract::{
    Checkpoint, CommitError, SinkCapabilities, StreamingSink, SyncTo, Visibility, WriteAt,
    cursor::{Committed, Cursor},
};
#[cfg(target_os = "linux")]
use rustix::pipe::{fcntl_getpipe_size, fcntl_setpipe_size};

/// Writes each segment to `W` once it is verified, and cannot take it back.
///
/// Its class is *incremental*: what has committed is out and stays out, also when a later segment fails; whoever
/// reads the other end must wait for the end of the stream, and for this program's success, before it relies on
/// the whole. Its bytes are [`Visibility::Visible`] at once, so the engine holds each segment until its digest is
/// verified and only then begins and writes it here: no unverified byte goes out.
///
/// Once bytes of a segment have been written it cannot be rolled back: that is an error. Nothing can be resumed after
/// a crash. Publish flushes and drops the writer, which closes it where dropping does (a [`File`], a socket; not
/// [`Stdout`]). A reader that went away is [`io::ErrorKind::BrokenPipe`] from the write or commit that met it.
///
/// [`File`]: std::fs::File
/// [`Stdout`]: std::io::Stdout
#[derive(Debug)]
pub struct PipeSink<W> {
    /// Gone after publish, discard, or the first error.
    writer: Option<W>,
    cursor: Cursor,
}

impl<W: Write + Send> PipeSink<W> {
    /// A sink that writes one stream to `writer`.
    pub fn new(writer: W) -> Self {
        Self { writer: Some(writer), cursor: Cursor::default() }
    }

    /// A sink that writes one stream to a descriptor. If that is a pipe, Linux gives it a buffer of 1 MiB first, where it lets
    /// this user have one: with the usual 64 KiB, writer and reader wait for each other most of the time.
    pub fn to_descriptor(writer: W) -> Self
    where
        W: AsFd,
    {
        #[cfg(target_os = "linux")]
        widen(&writer);
        Self::new(writer)
    }

    /// Runs one call on the writer, which is kept only if the call succeeds.
    fn with_writer(&mut self, call: impl FnOnce(&mut W) -> io::Result<()>) -> io::Result<()> {
        let Some(mut writer) = self.writer.take() else {
            return Err(closed());
        };
        call(&mut writer)?;
        self.writer = Some(writer);
        Ok(())
    }
}

impl<W: Write + Send> StreamingSink for PipeSink<W> {
    fn capabilities(&self) -> SinkCapabilities {
        SinkCapabilities::new(Visibility::Visible)
    }

    fn last_commit(&mut self) -> io::Result<Option<Checkpoint>> {
        Ok(None)
    }

    fn begin_segment(&mut self, index: u64, at: u64) -> io::Result<()> {
        self.cursor.begin(index, at)
    }

    fn write_tentative(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        self.cursor.write(at, data.len())?;
        self.with_writer(|writer| writer.write_all(data))
    }

    fn rollback_segment(&mut self) -> io::Result<()> {
        if self.cursor.open_len().is_some_and(|len| len > 0) {
            self.writer = None;
            return Err(io::Error::other(
                "bytes of this segment have gone into the pipe and cannot be taken back",
            ));
        }
        self.cursor.roll_back()?;
        Ok(())
    }

    fn commit_segment(&mut self, _mark: &Checkpoint) -> Result<(), CommitError> {
        if self.writer.is_none() {
            return Err(CommitError::NotCommitted(closed()));
        }
        if self.cursor.commit() == Committed::NothingOpen {
            let message = "a pipe is written in order, and no segment is open";
            return Err(CommitError::NotCommitted(io::Error::new(io::ErrorKind::InvalidInput, message)));
        }
        // A flush that fails says nothing of how much the reader already has.
        self.with_writer(W::flush).map_err(CommitError::Unknown)
    }

    fn publish(&mut self, plain_len: u64) -> Result<(), CommitError> {
        if self.writer.is_none() {
            return Err(CommitError::NotCommitted(closed()));
        }
        self.cursor.check_closed().map_err(CommitError::NotCommitted)?;
        let written = self.cursor.committed_end();
        if written != plain_len {
            let message = format!("publishing {plain_len} bytes where {written} went into the pipe");
            return Err(CommitError::NotCommitted(io::Error::new(io::ErrorKind::InvalidInput, message)));
        }
        // Every segment was flushed when it committed; what fails here publishes nothing that is not out.
        self.with_writer(W::flush).map_err(CommitError::NotCommitted)?;
        self.writer = None;
        Ok(())
    }

    fn discard(&mut self) -> io::Result<()> {
        self.writer = None;
        Ok(())
    }

    fn positioned(&self) -> Option<Arc<dyn WriteAt>> {
        None
    }

    fn durability(&self) -> Option<Arc<dyn SyncTo>> {
        None
    }
}

/// Enlarges the buffer of a pipe. What is none, or may not be larger, stays as it is.
#[cfg(target_os = "linux")]
fn widen(pipe: impl AsFd) {
    if fcntl_getpipe_size(&pipe).is_ok_and(|len| len < PIPE_LEN) {
        // A slow pipe is a pipe, too.
        let _ = fcntl_setpipe_size(&pipe, PIPE_LEN);
    }
}

/// Bytes that a pipe buffers: what Linux lets every user ask for, `/proc/sys/fs/pipe-max-size`, if it was not changed.
#[cfg(target_os = "linux")]
const PIPE_LEN: usize = 1 << 20;

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the pipe is closed, or failed earlier")
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Read, thread};

    #[cfg(target_os = "linux")]
    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    fn checkpoint() -> Checkpoint {
        Checkpoint::from_bytes([3; Checkpoint::LEN])
    }

    fn pipe() -> (File, File) {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        (File::from(read), File::from(write))
    }

    #[test]
    fn a_reader_gets_the_segments_in_order_and_then_the_end() {
        let (mut reader, writer) = pipe();
        let expected: Vec<u8> = (0..300_000_u32).map(|i| (i % 241) as u8).collect();
        let received = thread::spawn(move || {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).unwrap();
            bytes
        });
        let mut sink = PipeSink::new(writer);
        for (index, segment) in expected.chunks(100_000).enumerate() {
            let start = index as u64 * 100_000;
            sink.begin_segment(index as u64, start).unwrap();
            for (part, bytes) in segment.chunks(30_000).enumerate() {
                sink.write_tentative(start + part as u64 * 30_000, bytes).unwrap();
            }
            sink.commit_segment(&checkpoint()).unwrap();
        }
        sink.publish(300_000).unwrap();
        // The end of the pipe comes from publish, not from dropping the sink.
        assert!(received.join().unwrap() == expected);
        drop(sink);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_pipe_gets_a_larger_buffer_and_keeps_one_that_is_larger_still() {
        for (before, after) in [(4096, PIPE_LEN), (65_536, PIPE_LEN), (PIPE_LEN, PIPE_LEN)] {
            let (_reader, writer) = pipe();
            fcntl_setpipe_size(&writer, before).unwrap();
            let sink = PipeSink::to_descriptor(writer);
            assert_eq!(fcntl_getpipe_size(sink.writer.as_ref().unwrap()).unwrap(), after);
        }
        // Only a privileged user gets one that is larger, and keeps it.
        let (_reader, writer) = pipe();
        if fcntl_setpipe_size(&writer, 2 * PIPE_LEN).is_ok() {
            let sink = PipeSink::to_descriptor(writer);
            assert_eq!(fcntl_getpipe_size(sink.writer.as_ref().unwrap()).unwrap(), 2 * PIPE_LEN);
        }
    }

    #[test]
    fn a_descriptor_that_is_no_pipe_is_written_to_all_the_same() {
        let file = tempfile::tempfile().unwrap();
        let mut sink = PipeSink::to_descriptor(file.try_clone().unwrap());
        sink.begin_segment(0, 0).unwrap();
        sink.write_tentative(0, b"as it is").unwrap();
        sink.commit_segment(&checkpoint()).unwrap();
        sink.publish(8).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 8);
    }

    #[test]
    fn a_segment_is_out_when_it_has_committed() {
        let (mut reader, writer) = pipe();
        let mut sink = PipeSink::new(io::BufWriter::new(writer));
        for (index, segment) in [&b"the first"[..], b", the second"].into_iter().enumerate() {
            let at = sink.cursor.committed_end();
            sink.begin_segment(index as u64, at).unwrap();
            sink.write_tentative(at, segment).unwrap();
            sink.commit_segment(&checkpoint()).unwrap();
            // The pipe stays open: a byte that was held back would be waited for.
            let mut received = vec![0; segment.len()];
            reader.read_exact(&mut received).unwrap();
            assert_eq!(received, segment);
        }
    }

    #[test]
    fn a_reader_that_went_away_is_a_broken_pipe_and_the_end_of_the_sink() {
        let (reader, writer) = pipe();
        drop(reader);
        let mut sink = PipeSink::new(writer);
        sink.begin_segment(0, 0).unwrap();
        let error = sink.write_tentative(0, b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert!(sink.write_tentative(1, b"y").is_err());
        assert!(matches!(sink.commit_segment(&checkpoint()), Err(CommitError::NotCommitted(_))));
        assert!(matches!(sink.publish(0), Err(CommitError::NotCommitted(_))));
    }

    #[test]
    fn a_flush_that_fails_leaves_the_commit_unknown() {
        let (reader, writer) = pipe();
        drop(reader);
        let mut sink = PipeSink::new(io::BufWriter::new(writer));
        sink.begin_segment(0, 0).unwrap();
        sink.write_tentative(0, b"buffered").unwrap();
        assert!(matches!(sink.commit_segment(&checkpoint()), Err(CommitError::Unknown(_))));
    }

    #[test]
    fn a_segment_with_bytes_out_cannot_be_rolled_back_and_an_empty_one_can() {
        let mut sink = PipeSink::new(Vec::new());
        sink.begin_segment(0, 0).unwrap();
        sink.rollback_segment().unwrap();
        sink.begin_segment(0, 0).unwrap();
        sink.write_tentative(0, b"x").unwrap();
        assert!(sink.rollback_segment().is_err());
        assert!(matches!(sink.publish(0), Err(CommitError::NotCommitted(_))));
    }

    #[test]
    fn a_length_that_was_not_written_is_not_published() {
        let mut sink = PipeSink::new(Vec::new());
        sink.begin_segment(0, 0).unwrap();
        sink.write_tentative(0, b"four").unwrap();
        sink.commit_segment(&checkpoint()).unwrap();
        assert!(matches!(sink.publish(5), Err(CommitError::NotCommitted(_))));
    }
}
