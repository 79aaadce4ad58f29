//! A source over a descriptor that is read once: a pipe, a FIFO, a socket, a terminal, standard input.
//! It never waits longer than it was told.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::OwnedFd,
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use cofferdam_io::ReadAt;

use crate::{Arrival, Source};

/// Reads a descriptor to its end, waiting with poll(2), so that an idle writer does not hold the reader.
///
/// The descriptor may block or not: it is read only once poll says that there is something, or the end. If another
/// process reads the same pipe, a read may still block; a pipe has one reader.
#[derive(Debug)]
pub struct PipeSource {
    file: File,
}

impl PipeSource {
    /// The longest patience there is; a longer one is cut to it.
    pub const PATIENCE_MAX: Duration = Duration::from_secs(3600);

    /// A source that owns `fd` and reads it from where it stands.
    pub fn new(fd: OwnedFd) -> Self {
        Self { file: File::from(fd) }
    }

    /// The process's standard input, through a descriptor of its own.
    ///
    /// # Errors
    /// Standard input is closed, or no descriptor is left.
    pub fn stdin() -> io::Result<Self> {
        let fd = rustix::stdio::stdin().try_clone_to_owned()?;
        Ok(Self::new(fd))
    }

    /// Waits until a read would not block, or until `deadline`.
    fn wait(&self, deadline: Instant) -> io::Result<Readiness> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
            let mut fds = [PollFd::new(&self.file, PollFlags::IN)];
            match poll(&mut fds, Some(&timeout)) {
                Ok(0) => return Ok(Readiness::Idle),
                Ok(_) => return Ok(Readiness::Ready),
                Err(Errno::INTR) if left.is_zero() => return Ok(Readiness::Idle),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl From<OwnedFd> for PipeSource {
    fn from(fd: OwnedFd) -> Self {
        Self::new(fd)
    }
}

impl Source for PipeSource {
    fn len(&self) -> Option<u64> {
        None
    }

    fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
        None
    }

    fn read_within(&mut self, buffer: &mut [u8], patience: Duration) -> io::Result<Arrival> {
        if buffer.is_empty() {
            return Ok(Arrival::Bytes(0));
        }
        let deadline = Instant::now() + patience.min(Self::PATIENCE_MAX);
        loop {
            if self.wait(deadline)? == Readiness::Idle {
                return Ok(Arrival::NothingYet);
            }
            match self.file.read(buffer) {
                Ok(0) => return Ok(Arrival::End),
                Ok(count) => return Ok(Arrival::Bytes(count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    if Instant::now() >= deadline {
                        return Ok(Arrival::NothingYet);
                    }
                }
                // Another reader was faster, on a descriptor that does not block.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[derive(PartialEq, Eq)]
enum Readiness {
    Ready,
    Idle,
}

#[cfg(test)]
mod tests {
    use std::{io::Write, thread};

    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    const SHORT: Duration = Duration::from_millis(5);
    const LONG: Duration = Duration::from_secs(30);

    fn pipe(flags: PipeFlags) -> (PipeSource, File) {
        let (read, write) = pipe_with(flags | PipeFlags::CLOEXEC).unwrap();
        (PipeSource::new(read), File::from(write))
    }

    #[test]
    fn an_idle_pipe_gives_nothing_yet_after_the_patience_and_bytes_later() {
        for flags in [PipeFlags::empty(), PipeFlags::NONBLOCK] {
            let (mut source, mut writer) = pipe(flags);
            let mut buffer = [0; 16];
            let before = Instant::now();
            assert_eq!(source.read_within(&mut buffer, SHORT).unwrap(), Arrival::NothingYet);
            assert!(before.elapsed() >= SHORT);
            assert_eq!(source.read_within(&mut buffer, Duration::ZERO).unwrap(), Arrival::NothingYet);
            writer.write_all(b"late").unwrap();
            assert_eq!(source.read_within(&mut buffer, LONG).unwrap(), Arrival::Bytes(4));
            assert_eq!(&buffer[..4], b"late");
        }
    }

    #[test]
    fn the_end_comes_after_the_last_byte_and_stays() {
        let (mut source, mut writer) = pipe(PipeFlags::empty());
        writer.write_all(b"last").unwrap();
        drop(writer);
        let mut buffer = [0; 3];
        assert_eq!(source.read_within(&mut buffer, LONG).unwrap(), Arrival::Bytes(3));
        assert_eq!(source.read_within(&mut buffer, LONG).unwrap(), Arrival::Bytes(1));
        assert_eq!(source.read_within(&mut buffer, LONG).unwrap(), Arrival::End);
        assert_eq!(source.read_within(&mut buffer, LONG).unwrap(), Arrival::End);
    }

    #[test]
    fn more_bytes_than_a_pipe_holds_arrive_whole_and_in_order() {
        let (mut source, mut writer) = pipe(PipeFlags::empty());
        let sent: Vec<u8> = (0..1_000_003_u32).map(|i| (i % 251) as u8).collect();
        let expected = sent.clone();
        let sender = thread::spawn(move || writer.write_all(&sent).unwrap());
        let mut received = Vec::new();
        let mut buffer = vec![0; 70_001];
        loop {
            match source.read_within(&mut buffer, LONG).unwrap() {
                Arrival::Bytes(count) => received.extend_from_slice(&buffer[..count]),
                Arrival::End => break,
                Arrival::NothingYet => {}
            }
        }
        sender.join().unwrap();
        assert!(received == expected);
    }

    #[test]
    fn a_read_into_no_room_takes_nothing_and_does_not_say_end() {
        let (mut source, mut writer) = pipe(PipeFlags::empty());
        writer.write_all(b"x").unwrap();
        assert_eq!(source.read_within(&mut [], LONG).unwrap(), Arrival::Bytes(0));
        assert_eq!(source.read_within(&mut [0; 1], LONG).unwrap(), Arrival::Bytes(1));
    }

    #[test]
    fn the_longest_patience_does_not_overflow() {
        let (mut source, writer) = pipe(PipeFlags::empty());
        drop(writer);
        assert_eq!(source.read_within(&mut [0; 1], Duration::MAX).unwrap(), Arrival::End);
    }

    #[test]
    fn a_pipe_has_neither_length_nor_offsets() {
        let (source, _writer) = pipe(PipeFlags::empty());
        assert_eq!(Source::len(&source), None);
        assert!(source.positioned().is_none());
    }
}
