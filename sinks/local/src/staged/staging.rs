//! The staging file as it is written, from any thread, and read back.
//! Knows neither its name nor what becomes of it.

use std::{
    io,
    ops::Range,
    sync::{Arc, OnceLock},
};

use cofferdam_io::{ReadAt, WriteAt};
use contract::written::WrittenRanges;
use parking_lot::Mutex;
use storage::{Seed, Sparse, StorageFile};

use super::holes::Holes;

/// What writers on other threads share with the sink.
pub(super) struct Staging {
    pub(super) file: Arc<dyn StorageFile>,
    pub(super) written: Mutex<WrittenRanges>,
    holes: Holes,
    start: OnceLock<Start>,
}

/// How the stream goes on over what was found in the file.
#[derive(Clone, Copy)]
enum Start {
    /// Behind the bytes that it keeps.
    SkipCommitted,
    /// From the first byte, over `found_len` that may be right already.
    Over { found_len: u64 },
}

impl Staging {
    pub(super) fn new(file: Arc<dyn StorageFile>, holes: Holes) -> Self {
        Self { file, written: Mutex::new(WrittenRanges::new(LEN_MAX)), holes, start: OnceLock::new() }
    }

    /// What becomes of runs of zeros.
    pub(super) fn sparse(&self) -> Sparse {
        self.holes.sparse()
    }

    /// Goes on at byte `at` of a file of `found_len` bytes. From the first byte on, nothing is claimed, and what is right
    /// already is not written again: whoever has to read the source from its start spares the medium at least.
    pub(super) fn resume_at(&self, at: u64, found_len: u64) -> io::Result<()> {
        if at > found_len {
            let message = format!("cannot go on at byte {at}: the staging file has {found_len} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        self.written.lock().keep(at)?;
        let start = if at == 0 { Start::Over { found_len } } else { Start::SkipCommitted };
        let twice = |_| io::Error::new(io::ErrorKind::InvalidInput, "the sink was resumed twice");
        self.start.set(start).map_err(twice)
    }

    /// Counts `len` bytes at `at` as written, which are among the `found_len` that were found, and have been proved.
    pub(super) fn confirm(&self, at: u64, len: u64, found_len: u64) -> io::Result<()> {
        let kept = at.checked_add(len).is_some_and(|end| end <= found_len) && self.start.get().is_some();
        match usize::try_from(len) {
            Ok(len) if kept => self.written.lock().claim(at, len),
            _ => {
                let message = format!("{len} bytes at {at} are not among the {found_len} that are kept");
                Err(io::Error::new(io::ErrorKind::InvalidInput, message))
            }
        }
    }

    /// Refuses if anything is built upon the bytes that are there, or the sink takes nothing more.
    pub(super) fn check_unbegun(&self) -> io::Result<()> {
        let written = self.written.lock();
        written.check_live()?;
        match self.start.get().is_some() || written.check_complete(0).is_err() {
            true => {
                let message = "bytes are taken over before the sink resumes, and before the first write";
                Err(io::Error::new(io::ErrorKind::InvalidInput, message))
            }
            false => Ok(()),
        }
    }

    /// Puts bytes in the place of what was found there, for the time being.
    pub(super) fn copy_in(&self, at: u64, data: &[u8]) -> io::Result<()> {
        self.check_unbegun()?;
        self.holes.write(at, data).inspect_err(|error| self.written.lock().fail_for(error))?;
        self.holes.find(at + data.len() as u64);
        Ok(())
    }

    /// Has the file share the bytes of `range` with `seed`, of whose holes nothing is taken. False: not all of them are, and
    /// the file may hold anything there.
    pub(super) fn share(&self, seed: &Seed, range: Range<u64>) -> bool {
        if let Err(error) = self.holes.reach(range.end) {
            self.written.lock().fail_for(&error);
            return false;
        }
        self.holes.find(range.end);
        let mut at = range.start;
        while let Some(data) = seed.data_in(at..range.end) {
            at = data.start;
            while at < data.end {
                match self.file.clone_range(seed, at, at, (data.end - at).min(Seed::CLONE_LEN_MAX)) {
                    Ok(count) if count > 0 => at += count,
                    // Whatever kept it from that, a read and a write say what it is.
                    Ok(_) | Err(_) => return false,
                }
            }
        }
        true
    }

    /// The file system has put `len` bytes there. Once they are rolled back, zeros in their place are not there by themselves.
    pub(super) fn claim_shared(&self, at: u64, len: usize) -> io::Result<()> {
        self.holes.pass(at + len as u64);
        self.written.lock().claim(at, len)
    }

    /// Writes over some of the `found_len` bytes that were found, as long as nothing is built upon them.
    pub(super) fn mend(&self, at: u64, data: &[u8], found_len: u64) -> io::Result<()> {
        self.written.lock().check_live()?;
        let within = at.checked_add(data.len() as u64).is_some_and(|end| end <= found_len);
        if !within || self.start.get().is_some() {
            let message =
                format!("{} bytes at {at} are not among the {found_len} that can be mended", data.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        self.file.write_all_at(data, at).inspect_err(|error| self.written.lock().fail_for(error))
    }

    /// Forgets every byte from `at` on: others are written there.
    pub(super) fn roll_back(&self, at: u64) {
        self.written.lock().cut(at);
        self.holes.forget();
    }

    fn write(&self, at: u64, data: &[u8]) -> io::Result<()> {
        match self.start.get() {
            Some(Start::Over { found_len }) if at < *found_len => self.write_over(at, data, *found_len),
            Some(Start::Over { .. } | Start::SkipCommitted) | None => self.holes.write(at, data),
        }
    }

    /// Writes only the pieces that differ from what was found.
    fn write_over(&self, at: u64, data: &[u8], found_len: u64) -> io::Result<()> {
        let below = usize::try_from(found_len - at).map_or(data.len(), |below| below.min(data.len()));
        let (over, beyond) = data.split_at(below);
        let mut found = vec![0; over.len().min(PIECE_LEN)];
        let mut next = at;
        for piece in over.chunks(PIECE_LEN) {
            let found = &mut found[..piece.len()];
            self.file.read_exact_at(found, next)?;
            if found != piece {
                self.file.write_all_at(piece, next)?;
            }
            next += piece.len() as u64;
        }
        self.holes.write(next, beyond)
    }
}

impl WriteAt for Staging {
    fn write_all_at(&self, at: u64, data: &[u8]) -> io::Result<()> {
        self.written.lock().claim(at, data.len())?;
        self.write(at, data).inspect_err(|error| self.written.lock().fail_for(error))
    }
}

/// What was found in the file.
pub(super) struct Kept {
    pub(super) file: Arc<dyn StorageFile>,
    /// How long it was then.
    pub(super) len: u64,
}

impl ReadAt for Kept {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn len(&self) -> u64 {
        self.len
    }
}

/// What has been written to the file, whatever its length is by now.
pub(super) struct Written {
    pub(super) file: Arc<dyn StorageFile>,
}

impl ReadAt for Written {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let there = self.file.len()?.saturating_sub(offset);
        let there = usize::try_from(there).map_or(buffer.len(), |there| there.min(buffer.len()));
        let (there, beyond) = buffer.split_at_mut(there);
        beyond.fill(0);
        self.file.read_exact_at(there, offset)
    }

    fn len(&self) -> u64 {
        LEN_MAX
    }
}

/// Offsets in files are signed.
const LEN_MAX: u64 = i64::MAX as u64;
/// What is compared, and written if it differs, at a time.
const PIECE_LEN: usize = 64 << 10;
