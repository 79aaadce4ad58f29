//! Bytes compared with the digests of a receipt, on several threads.
//! It knows no target; where bytes come from, and where they go meanwhile, whoever asks has.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use ::parts::{FileState, Piece, PieceHasher};

use super::file_state::state_of;
use super::part_files::PartFiles;
use crate::{CancelToken, Error, ErrorKind};

/// How pieces of a plan are compared.
pub(super) struct Comparison<'a> {
    pub(super) hasher: PieceHasher,
    pub(super) threads: NonZeroUsize,
    pub(super) cancel: &'a CancelToken,
    pub(super) reads: Reads,
}

/// What a commit reads of what attempts have written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reads {
    /// What the file system does not vouch for: see [`FileState`](::parts::FileState).
    Unvouched,
    /// All of it, where it is.
    All,
}

/// Whether a file has what its receipt says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found {
    Right,
    Wrong,
}

impl Comparison<'_> {
    /// Whether the file system says of `file` what its receipt says that it has said.
    pub(super) fn is_vouched_for(&self, file: impl AsFd, told: Option<FileState>) -> bool {
        self.reads == Reads::Unvouched && told.is_some() && state_of(file) == told
    }

    /// Looks at the files of an attempt, and takes nothing.
    pub(super) fn check_alone(&self, files: &PartFiles<'_>) -> Result<Found, Error> {
        if self.are_vouched_for(files)? {
            return Ok(Found::Right);
        }
        match self.check(files, &places_of(files.receipt().pieces())) {
            Ok(found) => Ok(found),
            Err(Stopped::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Found::Wrong),
            Err(Stopped::Io(error)) => Err(files.unreadable(error)),
            Err(Stopped::Cancelled) => Err(interrupted()),
        }
    }

    fn are_vouched_for(&self, files: &PartFiles<'_>) -> Result<bool, Error> {
        if !files.own().file().is_some_and(|own| self.is_vouched_for(own, files.own_state())) {
            return Ok(false);
        }
        for number in 0..files.receipt().layout().members().len() {
            let file = files.member(number)?;
            if !file.is_some_and(|file| self.is_vouched_for(file, files.member_state(number))) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a piece that begins at `start` has its digest.
    #[cfg(feature = "tree")]
    pub(super) fn is_right(&self, bytes: &dyn PartBytes, start: u64, piece: &Piece) -> io::Result<bool> {
        let digest = self.digest(bytes, start, piece.len, &mut vec![0; COPY_LEN])?;
        Ok(digest == piece.digest)
    }

    /// # Errors
    /// [`Stopped::Cancelled`].
    pub(super) fn check_cancelled(&self) -> Result<(), Stopped> {
        if self.cancel.is_cancelled() { Err(Stopped::Cancelled) } else { Ok(()) }
    }

    /// Compares the bytes with the digests of pieces, each at its place, on as many threads as are allowed.
    pub(super) fn check(&self, bytes: &dyn PartBytes, places: &[(u64, &Piece)]) -> Result<Found, Stopped> {
        // Relaxed, both: threads that are joined have been seen; until then each only says what need not be done any more.
        let (next, is_wrong) = (AtomicUsize::new(0), AtomicBool::new(false));
        let work = || -> Result<(), Stopped> {
            let mut buffer = vec![0; COPY_LEN];
            while let Some((start, piece)) = places.get(next.fetch_add(1, Ordering::Relaxed)) {
                if is_wrong.load(Ordering::Relaxed) {
                    break;
                }
                self.check_cancelled()?;
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
pub(super) trait PartBytes: Sync {
    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

/// Pieces, and where in the part each begins.
pub(super) fn places_of(pieces: &[Piece]) -> Vec<(u64, &Piece)> {
    let mut end = 0;
    let places = pieces.iter().map(|piece| {
        let start = end;
        end += piece.len;
        (start, piece)
    });
    places.collect()
}

/// Why no answer came.
pub(super) enum Stopped {
    Io(io::Error),
    Cancelled,
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Stopped {
        Stopped::Io(error)
    }
}

pub(super) fn interrupted() -> Error {
    Error::new(ErrorKind::Cancelled, "interrupted")
}

/// Bytes that are copied or read back at once.
pub(super) const COPY_LEN: usize = 1 << 20;
