//! Plain work on files, as the pipeline and `cp` do it: read, write, sync, copy.
//! It knows no cipher and no stream.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cofferdam::CancelToken;
use cofferdam::{StageOptions, StagedFile, StreamingSink as _};
use harness::bytes;
use rustix::fs::{Advice, fadvise};
use tempfile::TempDir;

use crate::Error;
use crate::samples::{Sample, Variant, on_threads};
use crate::volume::{Medium, Volume};
use crate::{FILE_LEN_DEFAULT, FILE_LEN_MIN, Step};

/// A directory of our own, and the plaintext in it as a file.
pub(crate) struct Files {
    directory: TempDir,
    pub(crate) len: u64,
    medium: Medium,
    /// What the file repeats.
    pattern: Vec<u8>,
    cancel: CancelToken,
}

impl Files {
    /// Makes the directory, if there is room, and in it the plaintext, a file of `len` bytes. By default it has
    /// [`FILE_LEN_DEFAULT`] bytes, or what can be written in a second.
    pub(crate) fn make(volume: &Volume, len: Option<u64>, cancel: &CancelToken) -> Result<Files, Error> {
        let full_len = len.unwrap_or(FILE_LEN_DEFAULT);
        volume.check_room(full_len.saturating_mul(FILES_MAX).saturating_add(HEADROOM))?;
        let made = tempfile::Builder::new().prefix(PREFIX).tempdir_in(&volume.directory);
        let failed = |error| Error::io(format!("{} cannot be written", volume.directory.display()), error);
        let directory = made.map_err(failed)?;
        let pattern = bytes(full_len.min(PATTERN_LEN) as usize);
        let (medium, cancel) = (volume.medium(), cancel.clone());
        let mut files = Files { directory, len: full_len, medium, pattern, cancel };
        let plain = File::create_new(files.plain()).map_err(|error| files.unwritten(error))?;
        let written = Sample::of(full_len, || {
            files.over_blocks(NonZeroUsize::MIN, |at, len| plain.write_all_at(files.block(at, len), at))?;
            // What is not written yet would be, at a time that is measured.
            plain.sync_all().map_err(|error| files.unwritten(error))
        })?;
        if len.is_none() {
            files.len = short_len(full_len, written.took);
            plain.set_len(files.len).map_err(|error| files.unwritten(error))?;
        }
        Ok(files)
    }

    /// The plaintext.
    pub(crate) fn plain(&self) -> PathBuf {
        self.path("plain")
    }

    /// A name in the directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Removes a file. That takes time, but nobody's who waits for a restore.
    pub(crate) fn remove(&self, path: &Path) -> Result<(), Error> {
        fs::remove_file(path).map_err(|error| self.unwritten(error))
    }

    /// Removes all.
    pub(crate) fn end(self) -> Result<(), Error> {
        let path = self.directory.path().to_owned();
        self.directory
            .close()
            .map_err(|error| Error::io(format!("{} could not be removed", path.display()), error))
    }

    /// Reading on all threads, writing on one and on all, and a copy.
    pub(crate) fn variants(&self, threads: NonZeroUsize) -> Vec<Variant<'_>> {
        let one = NonZeroUsize::MIN;
        let mut variants = vec![
            Variant { steps: vec![Step::ReadFile], threads, run: Box::new(move || self.read(threads)) },
            Variant {
                steps: vec![Step::CopyFile, Step::SyncCopy],
                threads: one,
                run: Box::new(|| self.copy()),
            },
        ];
        for count in BTreeSet::from([one, threads]) {
            let steps = vec![Step::WriteFile, Step::PublishFile];
            variants.push(Variant { steps, threads: count, run: Box::new(move || self.write(count)) });
        }
        if self.medium == Medium::Device {
            let run = Box::new(move || self.read_from_device(threads));
            variants.insert(0, Variant { steps: vec![Step::ReadDevice], threads, run });
        }
        variants
    }

    fn read(&self, threads: NonZeroUsize) -> Result<Vec<Sample>, Error> {
        let lap = Sample::of(self.len, || {
            let plain = File::open(self.plain()).map_err(|error| self.unread(error))?;
            self.over_buffers(threads, BLOCK_LEN, |at, len, buffer| {
                plain.read_exact_at(&mut buffer[..len], at).map_err(|error| self.unread(error))
            })
        })?;
        Ok(vec![lap])
    }

    fn read_from_device(&self, threads: NonZeroUsize) -> Result<Vec<Sample>, Error> {
        let plain = File::open(self.plain()).map_err(|error| self.unread(error))?;
        fadvise(&plain, 0, None, Advice::DontNeed).map_err(|error| self.unread(error.into()))?;
        self.read(threads)
    }

    /// Through the sink that a restore uses, so that files grow, and names change, as they do there.
    fn write(&self, threads: NonZeroUsize) -> Result<Vec<Sample>, Error> {
        let path = self.path("written");
        let options = StageOptions::default().expected_len(Some(self.len));
        let mut staged = None;
        let written = Sample::of(self.len, || {
            let sink = StagedFile::create(&path, &options)
                .map_err(|error| self.unwritten(io::Error::other(error)))?;
            let writer = sink.positioned().expect("a staged file is written at offsets");
            staged = Some(sink);
            self.over_blocks(threads, |at, len| writer.write_all_at(at, self.block(at, len)))
        })?;
        let published = Sample::of(self.len, || match &mut staged {
            Some(sink) => sink.publish(self.len).map_err(|error| self.unwritten(io::Error::other(error))),
            None => Ok(()),
        })?;
        drop(staged);
        self.remove(&path)?;
        Ok(vec![written, published])
    }

    fn copy(&self) -> Result<Vec<Sample>, Error> {
        let path = self.path("copy");
        let mut to = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|error| self.unwritten(error))?;
        let copied = Sample::of(self.len, || {
            let mut from = File::open(self.plain()).map_err(|error| self.unread(error))?;
            let mut buffer = vec![0; COPY_LEN];
            loop {
                if self.cancel.is_cancelled() {
                    return Err(Error::Cancelled);
                }
                match from.read(&mut buffer).map_err(|error| self.unread(error))? {
                    0 => return Ok(()),
                    len => to.write_all(&buffer[..len]).map_err(|error| self.unwritten(error))?,
                }
            }
        })?;
        let synced = Sample::of(self.len, || to.sync_all().map_err(|error| self.unwritten(error)))?;
        self.remove(&path)?;
        Ok(vec![copied, synced])
    }

    /// Gives every block of a file, its offset and length, to `work`, on `threads` threads.
    fn over_blocks(
        &self,
        threads: NonZeroUsize,
        work: impl Fn(u64, usize) -> io::Result<()> + Sync,
    ) -> Result<(), Error> {
        self.over_buffers(threads, 0, |at, len, _| work(at, len).map_err(|error| self.unwritten(error)))
    }

    /// As that, with a buffer of `buffer_len` bytes for each thread.
    fn over_buffers(
        &self,
        threads: NonZeroUsize,
        buffer_len: usize,
        work: impl Fn(u64, usize, &mut [u8]) -> Result<(), Error> + Sync,
    ) -> Result<(), Error> {
        let next = AtomicU64::new(0);
        let one_thread = || {
            let mut buffer = vec![0; buffer_len];
            loop {
                // Partner: the same line on the other threads. The number alone is shared, no memory with it.
                let at = next.fetch_add(BLOCK_LEN as u64, Ordering::Relaxed);
                if at >= self.len {
                    return Ok(());
                }
                if self.cancel.is_cancelled() {
                    return Err(Error::Cancelled);
                }
                work(at, (self.len - at).min(BLOCK_LEN as u64) as usize, &mut buffer)?;
            }
        };
        on_threads((0..threads.get()).map(|_| one_thread), || {}).map(drop)
    }

    /// The `len` bytes that stand at `at` of a file. No block reaches over the end of the pattern, which is whole blocks
    /// long where the file is longer.
    fn block(&self, at: u64, len: usize) -> &[u8] {
        let start = (at % self.pattern.len() as u64) as usize;
        &self.pattern[start..start + len]
    }

    fn unread(&self, error: io::Error) -> Error {
        Error::io(format!("{} could not be read", self.plain().display()), error)
    }

    fn unwritten(&self, error: io::Error) -> Error {
        Error::io(format!("{} could not be written in", self.directory.path().display()), error)
    }
}

/// Whole segments of what is written in a second; at least four.
fn short_len(full_len: u64, took: Duration) -> u64 {
    let in_a_second = (full_len as f64 / took.as_secs_f64().max(1.0)) as u64;
    (in_a_second / FILE_LEN_MIN).max(SEGMENTS_MIN) * FILE_LEN_MIN
}

const PREFIX: &str = ".cofferdam-bench-";
/// At once there are the plaintext, the sealed file and the restored one.
const FILES_MAX: u64 = 3;
/// For headers, indexes, and a file system that rounds up.
const HEADROOM: u64 = 16 << 20;
/// Files are not made shorter than this many segments of the default length.
const SEGMENTS_MIN: u64 = 4;
/// As a run of the pipeline.
const BLOCK_LEN: usize = 512 << 10;
/// As `cp` does.
const COPY_LEN: usize = 256 << 10;
/// Enough that no file system makes the file shorter than it looks.
const PATTERN_LEN: u64 = 64 << 20;
const _: () = assert!(PATTERN_LEN.is_multiple_of(BLOCK_LEN as u64));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_take_about_a_second_and_are_neither_longer_nor_very_short() {
        let len = |millis| short_len(FILE_LEN_DEFAULT, Duration::from_millis(millis)) >> 20;
        assert_eq!([0, 100, 1000].map(len), [256, 256, 256]);
        assert_eq!([1001, 2000, 2600, 100_000].map(len), [248, 128, 96, 32]);
    }
}
