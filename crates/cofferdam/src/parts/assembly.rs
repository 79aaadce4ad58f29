//! The target's file, put together from the files of attempts: shared where the file system can, copied elsewhere, and compared where nobody vouches.
//! It knows no plan; a part is a file, a place, and a receipt.

use std::io;

use cofferdam_io::{ReadAt, WriteAt};
use contract::{Checkpoint, StreamingSink as _};
use local::StagedFile;
use storage::Seed;

use super::comparison::{COPY_LEN, Comparison, Found, PartBytes, Reads, Stopped, interrupted, places_of};
use super::part_files::PartFiles;
use crate::Error;

/// A staged file that parts go into, in order.
pub(super) struct Assembly<'a> {
    pub(super) sink: StagedFile,
    pub(super) comparison: Comparison<'a>,
}

impl Assembly<'_> {
    /// Takes all of a part, which begins at `at`. What counts is what is in the staged file, which
    /// nobody else has open: whatever happens to the attempt's file later. Bytes that it shares are those of the receipt if the file system says of the attempt's file what the receipt has,
    /// after they are shared; else they are read back. Those that are copied are compared in the memory that they are written from.
    pub(super) fn take(&mut self, at: u64, files: &PartFiles<'_>) -> Result<Found, Error> {
        let number = files.receipt().part();
        let failed = |error| Error::io(format!("part {number} could not be put in its place"), error);
        let found = match self.take_checked(files, at) {
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

    fn take_checked(&mut self, files: &PartFiles<'_>, at: u64) -> Result<Found, Stopped> {
        let writer = self.sink.positioned().expect("a staged file takes positioned writes");
        let (seed, len) = (files.own(), files.receipt().extent().len());
        let shared = self.share(&*writer, seed, at, len)?;
        // After the last byte was shared, and not before: a file that has not been changed since its receipt by now was not changed meanwhile.
        let is_vouched_for =
            seed.file().is_some_and(|file| self.comparison.is_vouched_for(file, files.own_state()));
        if shared == len && is_vouched_for {
            return Ok(Found::Right);
        }
        let reads = self.comparison.reads;
        let taken = Taken { seed, writer: &*writer, written: &*self.sink.tentative(), at, shared, reads };
        self.comparison.check(&taken, &places_of(files.receipt().pieces()))
    }

    /// Has the staged file share the bytes of `seed`, as many from its first on as the file system shares.
    fn share(&self, writer: &dyn WriteAt, seed: &Seed, at: u64, len: u64) -> Result<u64, Stopped> {
        let mut done = 0;
        while done < len {
            self.comparison.check_cancelled()?;
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
}

/// A part in the staged file. One that is not shared is copied first, by the thread that compares it, so that
/// copying takes as many threads, and what is compared is in the processor's cache.
struct Taken<'a> {
    seed: &'a Seed,
    writer: &'a dyn WriteAt,
    written: &'a dyn ReadAt,
    /// Where it begins.
    at: u64,
    /// So many of its bytes are there.
    shared: u64,
    reads: Reads,
}

impl PartBytes for Taken<'_> {
    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let there = self.shared.saturating_sub(offset).min(buffer.len() as u64);
        let due = &mut buffer[there as usize..];
        if !due.is_empty() {
            self.seed.read_exact_at(due, offset + there)?;
            self.writer.write_all_at(self.at + offset + there, due)?;
        }
        // What was written from here need not be read again to know what it is.
        let unknown = match self.reads {
            Reads::Unvouched => &mut buffer[..there as usize],
            Reads::All => buffer,
        };
        self.written.read_exact_at(self.at + offset, unknown)
    }
}
