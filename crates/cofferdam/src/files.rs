//! Paths on the way in and out: what a path names, as a source or a target.
//! It knows no format.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::thread;

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use segment_worker::CancelToken;
use sinks::{Existing, Opened, PipeSink, Seen, StageOptions, StagedFile, TargetError, TargetKind, classify};
use sources::Source;

use crate::feed::PATIENCE;
use crate::{Error, ErrorKind};

/// Opens what `path` names to read from.
pub(crate) fn open_source(path: &Path) -> Result<Box<dyn Source>, Error> {
    sources::open_path(path).map_err(|error| Error::io("the input could not be opened", error))
}

/// Refuses to replace a file by what is made from it: it may be the only copy.
pub(crate) fn refuse_same_file(input: &Path, output: &Path) -> Result<(), Error> {
    let (Ok(input), Ok(output)) = (fs::metadata(input), fs::metadata(output)) else { return Ok(()) };
    if output.is_file() && (input.dev(), input.ino()) == (output.dev(), output.ino()) {
        return Err(Error::new(ErrorKind::Usage, "the input and the output are the same file")
            .advise("Give the output another name. The input is then yours to remove."));
    }
    Ok(())
}

/// A path to write to, looked at before anything is read.
pub(crate) enum Target<'a> {
    /// A file, to be staged beside it.
    Staged { path: &'a Path, existing: Existing },
    /// A FIFO: what has committed is out.
    Fifo(PipeSink<File>),
}

impl<'a> Target<'a> {
    /// Refuses what can be seen at once: a target that exists and is not to be replaced.
    pub(crate) fn resolve(
        path: &'a Path,
        existing: Existing,
        cancel: &CancelToken,
    ) -> Result<Target<'a>, Error> {
        match classify(path).map_err(Error::target)? {
            TargetKind::Fifo => {
                let opened = fs::symlink_metadata(path).and_then(|seen| open_fifo(path, &seen, cancel));
                let fifo = opened.map_err(|error| match cancel.is_cancelled() {
                    true => Error::new(ErrorKind::Cancelled, "interrupted"),
                    false => Error::io(format!("{} could not be opened", path.display()), error),
                })?;
                Ok(Target::Fifo(PipeSink::to_descriptor(fifo)))
            }
            // What an earlier attempt has published is no obstacle to the same attempt run again.
            TargetKind::RegularFile if existing == Existing::Refuse && !was_published(path) => {
                Err(Error::target(TargetError::Exists { path: path.to_owned() }))
            }
            TargetKind::Symlink if existing == Existing::Refuse => {
                Err(Error::target(TargetError::Symlink { path: path.to_owned() }))
            }
            _ => Ok(Target::Staged { path, existing }),
        }
    }
}

/// Whether the target is the work of an attempt that was cut off before it had removed its journal.
fn was_published(path: &Path) -> bool {
    matches!(StagedFile::look(path, Existing::Refuse), Ok(Seen::Published { .. }))
}

/// Opens the FIFO that stands at `path`, and nothing else: what has taken its name since it was looked at, a symbolic
/// link to a file for instance, would be written over in place. Waits for a reader, unless cancelled.
fn open_fifo(path: &Path, looked_at: &Metadata, cancel: &CancelToken) -> io::Result<File> {
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let fifo = loop {
        match OpenOptions::new().write(true).custom_flags(nonblocking).open(path) {
            // Nobody reads yet, and nothing announces a reader (fifo(7)).
            Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => {
                if cancel.is_cancelled() {
                    return Err(error);
                }
                thread::sleep(PATIENCE);
            }
            opened => break opened?,
        }
    };
    let opened = fifo.metadata()?;
    let same = (opened.dev(), opened.ino()) == (looked_at.dev(), looked_at.ino());
    if !same || !opened.file_type().is_fifo() {
        return Err(io::Error::other("something else has taken the FIFO's place"));
    }
    fcntl_setfl(&fifo, OFlags::empty())?;
    Ok(fifo)
}

/// Stages a file for `path`, to be removed by whatever goes wrong.
pub(crate) fn stage(path: &Path, existing: Existing, expected_len: Option<u64>) -> Result<StagedFile, Error> {
    refuse_unfinished(path, existing)?;
    let options = StageOptions { existing, expected_len, ..StageOptions::default() };
    StagedFile::create(path, &options).map_err(Error::target)
}

/// What an interrupted attempt left is not thrown away by an attempt that does not know of it.
fn refuse_unfinished(path: &Path, existing: Existing) -> Result<(), Error> {
    let label = match StagedFile::look(path, existing) {
        Ok(Seen::Unfinished { label, .. }) => label,
        Err(problem @ TargetError::Journal { .. }) => return Err(Error::target(problem).advise(GIVE_UP)),
        Ok(Seen::Nothing | Seen::Published { .. }) | Err(_) => return Ok(()),
    };
    let options = StageOptions { existing, ..StageOptions::default() };
    // It may be at work: then it is locked.
    match StagedFile::open(path, &options, &label).map_err(Error::target)? {
        Opened::Resumable { .. } => {
            let what = "what an interrupted attempt left beside the output would be lost";
            Err(Error::new(ErrorKind::OtherJournal, what)
                .advise("Go on with it by `--resume`, or give it up with `--resume --restart`."))
        }
        Opened::Fresh(_) | Opened::Published(_) => Ok(()),
    }
}

const GIVE_UP: &str = "Move it away if it is yours, or give it up with `--resume --restart`.";

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails by panicking.
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn a_fifo_that_nobody_reads_is_not_waited_for_once_cancelled() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let cancel = CancelToken::new();
        cancel.cancel();
        let refused = Target::resolve(&fifo, Existing::Refuse, &cancel).err();
        assert_eq!(refused.map(|error| error.kind()), Some(ErrorKind::Cancelled));
    }

    #[test]
    fn what_has_taken_the_place_of_a_fifo_is_not_written() {
        let directory = tempfile::tempdir().unwrap();
        let [fifo, file] = ["fifo", "file"].map(|name| directory.path().join(name));
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        fs::write(&file, b"someone's").unwrap();
        let looked_at = fs::symlink_metadata(&fifo).unwrap();
        fs::rename(&fifo, directory.path().join("elsewhere")).unwrap();
        symlink(&file, &fifo).unwrap();
        assert!(open_fifo(&fifo, &looked_at, &CancelToken::new()).is_err());
        fs::remove_file(&fifo).unwrap();
        fs::hard_link(&file, &fifo).unwrap();
        assert!(open_fifo(&fifo, &looked_at, &CancelToken::new()).is_err());
        assert_eq!(fs::read(&file).unwrap(), b"someone's");
    }
}
