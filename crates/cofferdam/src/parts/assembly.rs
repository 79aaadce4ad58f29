//! The target's file, put together from the files of attempts: shared where the file system can, copied elsewhere, and read back.
//! It knows no plan; a part is a file, a place, and the digests of its pieces.

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use ::parts::{Piece, PieceHasher};
use cofferdam_io::ReadAt;
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
        self.sink.begin_segment(number, at).map_err(failed)?;
        match self.copy(&Seed::from(file), at, len) {
            Ok(()) => {}
            // It became shorter.
            Err(Stopped::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.sink.rollback_segment().map_err(failed)?;
                return Ok(Found::Wrong);
            }
            Err(Stopped::Io(error)) => return Err(failed(error)),
            Err(Stopped::Cancelled) => return Err(interrupted()),
        }
        let found = self.check(&*self.sink.tentative(), at, pieces).map_err(|stopped| match stopped {
            Stopped::Io(error) => Error::io(format!("part {number} could not be read back"), error),
            Stopped::Cancelled => interrupted(),
        })?;
        match found {
            Found::Right => {
                let committed = self.sink.commit_segment(&Checkpoint::from_bytes([0; Checkpoint::LEN]));
                committed.map_err(Error::publish)?;
            }
            Found::Wrong => self.sink.rollback_segment().map_err(failed)?,
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
        match self.check(&PartFile { seed: Seed::from(file), len }, 0, pieces) {
            Ok(found) => Ok(found),
            Err(Stopped::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Found::Wrong),
            Err(Stopped::Io(error)) => Err(unread(error)),
            Err(Stopped::Cancelled) => Err(interrupted()),
        }
    }

    fn copy(&mut self, seed: &Seed, at: u64, len: u64) -> Result<(), Stopped> {
        let mut done = 0;
        let mut buffer = Vec::new();
        while done < len {
            if self.cancel.is_cancelled() {
                return Err(Stopped::Cancelled);
            }
            let data = seed.data_in(done..len).unwrap_or(len..len);
            if data.start > done {
                // A hole: zeros, which the staged file leaves out again.
                let count = (data.start - done).min(COPY_LEN as u64);
                buffer.clear();
                buffer.resize(count as usize, 0);
                self.sink.write_tentative(at + done, &buffer)?;
                done += count;
                continue;
            }
            let taken = self.sink.clone_tentative(seed, done, at + done, data.end - done);
            done += match taken {
                Ok(taken) if taken > 0 => taken,
                // The file system has no means of its own between these two.
                _ => {
                    let count = (data.end - done).min(COPY_LEN as u64);
                    buffer.resize(count as usize, 0);
                    seed.read_exact_at(&mut buffer, done)?;
                    self.sink.write_tentative(at + done, &buffer)?;
                    count
                }
            };
        }
        Ok(())
    }

    /// Compares the bytes from `at` on with the digests of `pieces`, on as many threads as are allowed.
    fn check(&self, bytes: &dyn ReadAt, at: u64, pieces: &[Piece]) -> Result<Found, Stopped> {
        let mut end = at;
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
        bytes: &dyn ReadAt,
        start: u64,
        len: u64,
        buffer: &mut [u8],
    ) -> io::Result<::parts::PieceDigest> {
        self.hasher.digest(|feed| {
            let mut done = 0;
            while done < len {
                let count = (len - done).min(buffer.len() as u64) as usize;
                bytes.read_exact_at(start + done, &mut buffer[..count])?;
                feed(&buffer[..count]);
                done += count as u64;
            }
            Ok(())
        })
    }
}

/// The file of an attempt, as long as its receipt says.
struct PartFile {
    seed: Seed,
    len: u64,
}

impl ReadAt for PartFile {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.seed.read_exact_at(buffer, offset)
    }

    fn len(&self) -> u64 {
        self.len
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
