//! The target's file, put together from the files of attempts: shared where the file system can, copied elsewhere, and read back.
//! It knows no plan; a part is a file, a place, and the digests of its pieces.

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use ::parts::{Piece, PieceHasher};
use cofferdam_io::{ReadAt, WriteAt};
use contract::{Checkpoint, StreamingSink as _};
use local::StagedFile;
use storage::Seed;

use crate::{CancelToken, Error, ErrorKind};

/// A staged file that parts go into, in order.
pub(super) struct Assembly<'a> {
    pub(super) sink: StagedFile,
    pub(super) hasher: PieceHasher,
    pub(super) threads: NonZeroUsize,
    pub(super) cancel: &'a CancelToken,
}

/// Whether a file has what its receipt says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found {
    Right,
    Wrong,
}

impl Assembly<'_> {
    /// Takes all of `file` as the part `number`, which begins at `at`. What counts is what is read back from the staged file, which
    /// nobody else has open: whatever happens to `file` meanwhile or later.
    pub(super) fn take(
        &mut self,
        number: u64,
        at: u64,
        file: File,
        pieces: &[Piece],
    ) -> Result<Found, Error> {
        let len: u64 = pieces.iter().map(|piece| piece.len).sum();
        let unread = |error| Error::io(format!("the file of part {number} could not be read"), error);
        if file.metadata().map_err(unread)?.len() != len {
            return Ok(Found::Wrong);
        }
        let failed = |error| Error::io(format!("part {number} could not be put in its place"), error);
        let found = match self.take_checked(&Seed::from(file), at, len, pieces) {
            Ok(found) => found,
            // It became shorter.
            Err(Stopped::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Found::Wrong,
            Err(Stopped::Io(error)) => return Err(failed(error)),
            Err(Stopped::Cancelled) => return Err(interrupted()),
        };
        match found {
            Found::Right => {
                let committed = self.sink.commit_segment(&Checkpoint::from_bytes([0; Checkpoint::LEN]));
                committed.map_err(Error::publish)?;
            }
            Found::Wrong => self.sink.roll_back_to(at).map_err(failed)?,
        }
        Ok(found)
    }

    /// Looks at the file of an attempt, and takes nothing.
    pub(super) fn check_alone(&self, number: u64, file: File, pieces: &[Piece]) -> Result<Found, Error> {
        let unread = |error| Error::io(format!("the file of part {number} could not be read"), error);
        let len: u64 = pieces.iter().map(|piece| piece.len).sum();
        if file.metadata().map_err(unread)?.len() != len {
            return Ok(Found::Wrong);
        }
        match self.check(&PartFile(Seed::from(file)), pieces) {
            Ok(found) => Ok(found),
            Err(Stopped::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Found::Wrong),
            Err(Stopped::Io(error)) => Err(unread(error)),
            Err(Stopped::Cancelled) => Err(interrupted()),
        }
    }

    fn take_checked(&mut self, seed: &Seed, at: u64, len: u64, pieces: &[Piece]) -> Result<Found, Stopped> {
        let writer = self.sink.positioned().expect("a staged file takes positioned writes");
        let shared = self.share(&*writer, seed, at, len)?;
        let taken = Taken { seed, writer: &*writer, written: &*self.sink.tentative(), at, shared };
        self.check(&taken, pieces)
    }

    /// Has the staged file share the bytes of `seed`, as many from its first on as the file system shares.
    fn share(&self, writer: &dyn WriteAt, seed: &Seed, at: u64, len: u64) -> Result<u64, Stopped> {
        let mut done = 0;
        while done < len {
            if self.cancel.is_cancelled() {
                return Err(Stopped::Cancelled);
            }
            let data = seed.data_in(done..len).unwrap_or(len..len);
            if data.start > done {
                // A hole: zeros, which the staged file leaves out again.
                let count = (data.start - done).min(COPY_LEN as u64);
                writer.write_all_at(at + done, &vec![0; count as usize])?;
                done += count;
                continue;
            }
            match self.sink.share_at(seed, done, at + done, data.end - done) {
                Ok(taken) if taken > 0 => done += taken,
                // The file system has no means of its own between these two.
                _ => break,
            }
        }
        Ok(done)
    }

    /// Compares the bytes with the digests of `pieces`, on as many threads as are allowed.
    fn check(&self, bytes: &dyn PartBytes, pieces: &[Piece]) -> Result<Found, Stopped> {
        let mut end = 0;
        let places: Vec<(u64, &Piece)> = pieces
            .iter()
            .map(|piece| {
                let start = end;
                end += piece.len;
                (start, piece)
            })
            .collect();
        // Relaxed, both: threads that are joined have been seen; until then each only says what need not be done any more.
        let (next, is_wrong) = (AtomicUsize::new(0), AtomicBool::new(false));
        let work = || -> Result<(), Stopped> {
            let mut buffer = vec![0; COPY_LEN];
            while let Some((start, piece)) = places.get(next.fetch_add(1, Ordering::Relaxed)) {
                if is_wrong.load(Ordering::Relaxed) {
                    break;
                }
                if self.cancel.is_cancelled() {
                    return Err(Stopped::Cancelled);
                }
                if self.digest(bytes, *start, piece.len, &mut buffer)? != piece.digest {
                    is_wrong.store(true, Ordering::Relaxed);
                }
            }
            Ok(())
        };
        let threads = self.threads.get().min(places.len().max(1));
        thread::scope(|scope| {
            // A thread that the system does not give is done without.
            let others: Vec<_> =
                (1..threads).map_while(|_| thread::Builder::new().spawn_scoped(scope, work).ok()).collect();
            let ours = work();
            others
                .into_iter()
                .map(|other| other.join().expect("a check does not panic"))
                .fold(ours, Result::and)
        })?;
        Ok(if is_wrong.into_inner() { Found::Wrong } else { Found::Right })
    }

    fn digest(
        &self,
        bytes: &dyn PartBytes,
        start: u64,
        len: u64,
        buffer: &mut [u8],
    ) -> io::Result<::parts::PieceDigest> {
        self.hasher.digest(|feed| {
            let mut done = 0;
            while done < len {
                let count = (len - done).min(buffer.len() as u64) as usize;
                bytes.read(start + done, &mut buffer[..count])?;
                feed(&buffer[..count]);
                done += count as u64;
            }
            Ok(())
        })
    }
}

/// The bytes of a part, counted from its first.
trait PartBytes: Sync {
    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

/// The file of an attempt.
struct PartFile(Seed);

impl PartBytes for PartFile {
    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
}

/// A part in the staged file. Each byte is read once: one that is not shared is copied first, by the thread that reads it back, so that
/// copying takes as many threads, and what is read is in the processor's cache.
struct Taken<'a> {
    seed: &'a Seed,
    writer: &'a dyn WriteAt,
    written: &'a dyn ReadAt,
    /// Where it begins.
    at: u64,
    /// So many of its bytes are there.
    shared: u64,
}

impl PartBytes for Taken<'_> {
    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let there = self.shared.saturating_sub(offset).min(buffer.len() as u64);
        let due = &mut buffer[there as usize..];
        if !due.is_empty() {
            self.seed.read_exact_at(due, offset + there)?;
            self.writer.write_all_at(self.at + offset + there, due)?;
        }
        self.written.read_exact_at(self.at + offset, buffer)
    }
}

/// Why no answer came.
enum Stopped {
    Io(io::Error),
    Cancelled,
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Stopped {
        Stopped::Io(error)
    }
}

fn interrupted() -> Error {
    Error::new(ErrorKind::Cancelled, "interrupted")
}

/// Bytes that are copied or read back at once.
const COPY_LEN: usize = 1 << 20;
