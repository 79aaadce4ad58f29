//! Sealing what is written: a thread of its own seals, and the caller pushes bytes.
//! It knows no format; what is written becomes the source of an ordinary sealing.

use std::fmt;
use std::io::{self, Write};
use std::mem;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use cofferdam_io::ReadAt;
use contract::StreamingSink;
use frame_worker::Pool;
use sources::{Arrival, Source};

use crate::{Error, ErrorKind, Sealed, Sealer};

/// Seals what is written to it. [`SealWriter::finish`] publishes; a writer that is dropped without leaves the target as it was.
///
/// At most 384 KiB wait between the writer and the sealing: a write blocks while the sealing is behind. [`Write::flush`] hands
/// over what has been gathered, and commits nothing.
///
/// ```
/// use std::io::Write;
/// use cofferdam::{MemorySink, Recipients, Sealer, WrappingKey};
///
/// let sealer = Sealer::new(Recipients::new().wrapping_key(WrappingKey::generate()?));
/// let (sink, contents) = MemorySink::new();
/// let mut writer = sealer.writer(sink)?;
/// for row in 0..1000 {
///     writeln!(writer, "row {row}")?;
/// }
/// let sealed = writer.finish()?;
/// assert_eq!(sealed.plaintext_len, 7890);
/// assert_eq!(contents.take().map(|bytes| bytes.len() as u64), Some(sealed.wire_len));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SealWriter {
    /// What has not been handed over yet: less than a chunk.
    gathered: Vec<u8>,
    state: State,
}

enum State {
    Sealing(SyncSender<Message>, JoinHandle<Result<Sealed, Error>>),
    /// The sealing has ended with an error, which has been given out.
    Failed(ErrorKind, String),
}

/// What goes from the writer to the sealing. A channel that closes without `End` is a writer that was dropped.
enum Message {
    Bytes(Vec<u8>),
    End,
}

impl Sealer {
    /// Seals what is written into `sink`. It runs on a thread of its own, on the pool and the budget of this sealer; the
    /// thread that writes must not be one of that pool, nor hold what the sink waits for.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] on a thread of the pool, [`ErrorKind::Exhausted`] where there is no thread. What the sealing itself
    /// refuses is the error of a write or of [`SealWriter::finish`].
    pub fn writer(&self, sink: impl StreamingSink + 'static) -> Result<SealWriter, Error> {
        self.clone().sealing(move |sealer, source| sealer.seal(source, sink))
    }

    /// As [`Sealer::writer`], into a file at `output`, all or nothing.
    ///
    /// # Errors
    /// As [`Sealer::writer`]. An output that exists is the error of one of the first writes, unless replacing was asked for.
    pub fn writer_to(&self, output: impl AsRef<Path>) -> Result<SealWriter, Error> {
        let output = output.as_ref().to_owned();
        self.clone().sealing(move |sealer, source| sealer.seal_to(source, output))
    }

    fn sealing(
        self,
        seal: impl FnOnce(Sealer, WrittenSource) -> Result<Sealed, Error> + Send + 'static,
    ) -> Result<SealWriter, Error> {
        if self.resources.pool.as_ref().is_some_and(Pool::is_current) {
            let what = "a thread of the pool cannot write what that pool seals";
            return Err(Error::new(ErrorKind::Usage, what).advise("Write from a thread of your own."));
        }
        let (sender, receiver) = sync_channel(CHUNKS_WAITING_MAX);
        let source = WrittenSource { receiver, chunk: Vec::new(), taken: 0, ended: false };
        let thread = thread::Builder::new().name("cofferdam-seal".to_owned());
        let sealing = thread.spawn(move || seal(self, source)).map_err(Error::no_thread)?;
        Ok(SealWriter { gathered: Vec::new(), state: State::Sealing(sender, sealing) })
    }
}

impl SealWriter {
    /// Seals what is left, and publishes.
    ///
    /// # Errors
    /// As [`Sealer::seal`]. After a write that failed, the same again, without its causes.
    pub fn finish(mut self) -> Result<Sealed, Error> {
        self.hand_over()?;
        self.send(Message::End)?;
        let ended = State::Failed(ErrorKind::Usage, String::new());
        match mem::replace(&mut self.state, ended) {
            State::Sealing(_, sealing) => joined(sealing),
            State::Failed(kind, what) => Err(Error::new(kind, what)),
        }
    }

    /// What has failed stays failed, also where nothing is to be handed over.
    fn check(&self) -> Result<(), Error> {
        match &self.state {
            State::Failed(kind, what) => Err(Error::new(*kind, what.as_str())),
            State::Sealing(..) => Ok(()),
        }
    }

    fn hand_over(&mut self) -> Result<(), Error> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let chunk = mem::take(&mut self.gathered);
        self.send(Message::Bytes(chunk))
    }

    fn send(&mut self, message: Message) -> Result<(), Error> {
        match &self.state {
            State::Failed(kind, what) => return Err(Error::new(*kind, what.as_str())),
            State::Sealing(sender, _) if sender.send(message).is_ok() => return Ok(()),
            State::Sealing(..) => {}
        }
        // Nobody takes any more: the sealing has ended before the bytes did.
        let error = self.end().unwrap_or_else(|| Error::new(ErrorKind::Io, "the sealing ended too early"));
        self.state = State::Failed(error.kind(), error.to_string());
        Err(error)
    }

    /// Closes the channel and waits for the sealing, which has failed if it was not finished.
    fn end(&mut self) -> Option<Error> {
        let ended = State::Failed(ErrorKind::Cancelled, "the writer has ended".to_owned());
        match mem::replace(&mut self.state, ended) {
            State::Sealing(sender, sealing) => {
                drop(sender);
                joined(sealing).err()
            }
            State::Failed(..) => None,
        }
    }
}

impl Write for SealWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check().map_err(io::Error::other)?;
        if self.gathered.capacity() == 0 {
            self.gathered.reserve_exact(CHUNK_LEN);
        }
        let count = bytes.len().min(CHUNK_LEN - self.gathered.len());
        self.gathered.extend_from_slice(&bytes[..count]);
        if self.gathered.len() == CHUNK_LEN {
            self.hand_over().map_err(io::Error::other)?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.check().map_err(io::Error::other)?;
        self.hand_over().map_err(io::Error::other)
    }
}

/// Waits until the sealing has been rolled back.
impl Drop for SealWriter {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for SealWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = match &self.state {
            State::Sealing(..) => None,
            State::Failed(kind, _) => Some(kind),
        };
        f.debug_struct("SealWriter").field("gathered", &self.gathered.len()).field("failed", &failed).finish()
    }
}

fn joined(sealing: JoinHandle<Result<Sealed, Error>>) -> Result<Sealed, Error> {
    sealing.join().unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::Io, "the sealing panicked: this is a fault of the program or of its sink"))
    })
}

/// What has been written, as the sealing reads it.
struct WrittenSource {
    receiver: Receiver<Message>,
    chunk: Vec<u8>,
    /// Bytes of `chunk` that have been read.
    taken: usize,
    ended: bool,
}

impl Source for WrittenSource {
    fn len(&self) -> Option<u64> {
        None
    }

    fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
        None
    }

    fn read_within(&mut self, buffer: &mut [u8], patience: Duration) -> io::Result<Arrival> {
        if self.taken == self.chunk.len() {
            if self.ended {
                return Ok(Arrival::End);
            }
            match self.receiver.recv_timeout(patience) {
                Ok(Message::Bytes(chunk)) => (self.chunk, self.taken) = (chunk, 0),
                Ok(Message::End) => {
                    self.ended = true;
                    return Ok(Arrival::End);
                }
                Err(RecvTimeoutError::Timeout) => return Ok(Arrival::NothingYet),
                // It never becomes an end of the stream: that would publish half of it.
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(io::Error::other("the writer was dropped before it was finished"));
                }
            }
        }
        let rest = &self.chunk[self.taken..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.taken += count;
        Ok(Arrival::Bytes(count))
    }
}

/// Bytes that are gathered before they are handed over.
const CHUNK_LEN: usize = 64 * 1024;
/// Chunks between the writer and the sealing. One more is being filled, and one is being read.
const CHUNKS_WAITING_MAX: usize = 4;

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails by panicking.
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;

    use keys::{Recipients, WrappingKey};

    use super::*;

    /// However long nobody reads, no more is taken than the bound says.
    #[test]
    fn a_writer_is_ahead_of_what_is_read_by_a_bounded_number_of_chunks() {
        const CHUNKS: usize = 64;
        static WRITTEN: AtomicUsize = AtomicUsize::new(0);
        let key = WrappingKey::from_bytes([7; 32]);
        let sealer = Sealer::new(Recipients::new().wrapping_key(key));
        let read_slowly = |sealer: Sealer, mut source: WrittenSource| {
            // Relaxed, all of them: a count that is late is one too low, and still rises.
            while WRITTEN.load(Ordering::Relaxed) < CHUNKS_WAITING_MAX {
                thread::yield_now();
            }
            let since = Instant::now();
            while since.elapsed() < Duration::from_millis(10) {
                thread::yield_now();
            }
            assert!(WRITTEN.load(Ordering::Relaxed) <= CHUNKS_WAITING_MAX);
            let mut buffer = vec![0; CHUNK_LEN];
            for read in 1..=CHUNKS {
                while source.read_within(&mut buffer, Duration::from_secs(1)).unwrap() == Arrival::NothingYet
                {
                }
                assert!(WRITTEN.load(Ordering::Relaxed) <= read + CHUNKS_WAITING_MAX);
            }
            sealer.seal(source, local::NullSink::new())
        };
        let mut writer = sealer.sealing(read_slowly).unwrap();
        for _ in 0..CHUNKS {
            writer.write_all(&[0; CHUNK_LEN]).unwrap();
            WRITTEN.fetch_add(1, Ordering::Relaxed);
        }
        assert_eq!(writer.finish().unwrap().plaintext_len, 0);
    }
}
