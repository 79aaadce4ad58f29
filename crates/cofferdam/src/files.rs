//! Paths on the way in and out: what a path names, as a source or a target.
//! It knows no format.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use contract::IfExists;
use local::{Opened, PipeSink, Seen, StagedFile};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use segment_worker::CancelToken;
use sources::{Source, descriptor_named};
use storage::{Sparse, StageOptions, TargetError, TargetKind, classify};
use stream::{PARTS_ID, PATIENCE, sealing_label, tell_notices};

use crate::{Error, ErrorKind, Kept, Observer, Remedy};

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
    Staged { path: &'a Path, if_exists: IfExists },
    /// A FIFO, or a pipe that is open already: what has committed is out.
    Fifo(PipeSink<File>),
}

impl<'a> Target<'a> {
    /// Refuses what can be seen at once: a target that exists and is not to be replaced.
    pub(crate) fn resolve(
        path: &'a Path,
        if_exists: IfExists,
        cancel: &CancelToken,
    ) -> Result<Target<'a>, Error> {
        match classify(path).map_err(Error::target)? {
            TargetKind::Fifo | TargetKind::Symlink if is_pipe(path) => {
                let opened = look_at_pipe(path).and_then(|seen| open_pipe(path, &seen, cancel));
                let fifo = opened.map_err(|error| match cancel.is_cancelled() {
                    true => Error::new(ErrorKind::Cancelled, "interrupted"),
                    false => Error::io(format!("{} could not be opened", path.display()), error),
                })?;
                Ok(Target::Fifo(PipeSink::to_descriptor(fifo)))
            }
            // What an earlier attempt has published is no obstacle to the same attempt run again.
            TargetKind::RegularFile if if_exists == IfExists::Refuse && !was_published(path) => {
                // What is of no use is in nobody's way, and is tried again the next time.
                let _ = StagedFile::tidy(path);
                Err(Error::target(TargetError::Exists { path: path.to_owned() }))
            }
            TargetKind::Symlink if if_exists == IfExists::Refuse => {
                Err(Error::target(TargetError::link(path)))
            }
            _ => Ok(Target::Staged { path, if_exists }),
        }
    }
}

/// Whether the target is the work of an attempt that was interrupted before it removed its journal.
pub(crate) fn was_published(path: &Path) -> bool {
    matches!(StagedFile::examine(path, IfExists::Refuse), Ok(Seen::Published { .. }))
}

/// Whether a target at `path` is written to in order, and nothing is staged beside it: it is a FIFO, or leads to a pipe or a
/// character device that is open as one of this process's descriptors (`/dev/fd/63`, which a shell makes of `>(cat)`). A
/// symbolic link to a FIFO of any other kind could have been put there by somebody, and is a link like all others.
pub fn is_pipe(path: impl AsRef<Path>) -> bool {
    let path = path.as_ref();
    let Ok(compare_sink) = fs::symlink_metadata(path).map(|metadata| metadata.file_type()) else {
        return false;
    };
    if !compare_sink.is_symlink() || descriptor_named(path).is_none() {
        return compare_sink.is_fifo();
    }
    fs::metadata(path)
        .is_ok_and(|metadata| metadata.file_type().is_fifo() || metadata.file_type().is_char_device())
}

/// What `path` names now; for the path of a descriptor, what that is open on.
fn look_at_pipe(path: &Path) -> io::Result<Metadata> {
    match descriptor_named(path) {
        Some(_) => fs::metadata(path),
        None => fs::symlink_metadata(path),
    }
}

/// Opens the pipe at `path`, and nothing else: whatever took its name since it was examined, a symbolic link to a
/// file for instance, would be overwritten in place. Waits for a reader, unless cancelled.
fn open_pipe(path: &Path, looked_at: &Metadata, cancel: &CancelToken) -> io::Result<File> {
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
    if !same || !(opened.file_type().is_fifo() || opened.file_type().is_char_device()) {
        return Err(io::Error::other("something else has taken the FIFO's place"));
    }
    fcntl_setfl(&fifo, OFlags::empty())?;
    Ok(fifo)
}

/// How a sealed stream is staged. Ciphertext has no runs of zeros, and its room is known.
pub(crate) fn of_ciphertext(if_exists: IfExists, expected_len: impl Into<Option<u64>>) -> StageOptions {
    StageOptions::default().if_exists(if_exists).expected_len(expected_len).sparse(Sparse::Never)
}

/// Stages a file for `path`, to be removed by whatever goes wrong.
pub(crate) fn stage(
    path: &Path,
    options: &StageOptions,
    observer: Option<Arc<dyn Observer>>,
) -> Result<StagedFile, Error> {
    refuse_unfinished(path, options.if_exists)?;
    let mut sink = StagedFile::create(path, options).map_err(Error::target)?;
    tell_notices(&mut sink, observer);
    Ok(sink)
}

/// What an interrupted attempt left is not thrown away by an attempt that does not know of it.
fn refuse_unfinished(path: &Path, if_exists: IfExists) -> Result<(), Error> {
    let attempt_id = match StagedFile::examine(path, if_exists) {
        Ok(Seen::Unfinished { attempt_id, .. }) => attempt_id,
        Err(
            problem @ (TargetError::Journal { .. }
            | TargetError::NotOurs { .. }
            | TargetError::OpenToOthers { .. }),
        ) => {
            return Err(Error::target(problem).remedied(Remedy::ResumeOrDiscard(Kept::NotOurs)));
        }
        Ok(Seen::Nothing | Seen::Published { .. }) | Err(_) => return Ok(()),
    };
    let options = StageOptions::default().if_exists(if_exists);
    // It may be at work: then it is locked.
    match StagedFile::open(path, &options, &attempt_id).map_err(Error::target)? {
        Opened::Resumable { .. } if attempt_id == sealing_label() => {
            let what = "what an interrupted sealing left beside the output would be lost";
            Err(Error::new(ErrorKind::JournalMismatch, what).remedied(Remedy::ResumeOrDiscard(Kept::Sealing)))
        }
        Opened::Resumable { .. } if attempt_id.as_bytes().starts_with(PARTS_ID) => {
            let what = "what the commit of a plan has left beside this name would be lost";
            Err(Error::new(ErrorKind::JournalMismatch, what)
                .remedied(Remedy::ResumeOrDiscard(Kept::PlanCommit)))
        }
        Opened::Resumable { .. } => {
            let what = "what an interrupted restore to this name left beside it would be lost";
            Err(Error::new(ErrorKind::JournalMismatch, what).remedied(Remedy::ResumeOrDiscard(Kept::Restore)))
        }
        Opened::Fresh(_) | Opened::Published(_) => Ok(()),
    }
}

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
        let refused = Target::resolve(&fifo, IfExists::Refuse, &cancel).err();
        assert_eq!(refused.map(|error| error.kind()), Some(ErrorKind::Cancelled));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_pipe_behind_a_descriptor_is_written_to_and_a_link_to_a_fifo_is_a_link() {
        use std::io::{Read as _, Write as _};
        use std::os::fd::AsRawFd as _;

        let directory = tempfile::tempdir().unwrap();
        let [fifo, link, file] = ["fifo", "link", "file"].map(|name| directory.path().join(name));
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        symlink(&fifo, &link).unwrap();
        fs::write(&file, b"").unwrap();
        assert!(is_pipe(&fifo));
        assert!(!is_pipe(&link) && !is_pipe(&file));
        let target = Target::resolve(&link, IfExists::Refuse, &CancelToken::new());
        assert_eq!(target.err().map(|error| error.kind()), Some(ErrorKind::TargetExists));
        // A regular file that is open is replaced by its name, or not at all.
        let open = File::open(&file).unwrap();
        assert!(!is_pipe(Path::new(&format!("/dev/fd/{}", open.as_raw_fd()))));

        let (mut reader, writer) = io::pipe().unwrap();
        let path = format!("/dev/fd/{}", writer.as_raw_fd());
        let looked_at = look_at_pipe(Path::new(&path)).unwrap();
        let mut opened = open_pipe(Path::new(&path), &looked_at, &CancelToken::new()).unwrap();
        opened.write_all(b"through").unwrap();
        let mut received = [0; 7];
        reader.read_exact(&mut received).unwrap();
        assert_eq!(&received, b"through");
        let target = Target::resolve(Path::new(&path), IfExists::Refuse, &CancelToken::new());
        assert!(matches!(target, Ok(Target::Fifo(_))));
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
        assert!(open_pipe(&fifo, &looked_at, &CancelToken::new()).is_err());
        fs::remove_file(&fifo).unwrap();
        fs::hard_link(&file, &fifo).unwrap();
        assert!(open_pipe(&fifo, &looked_at, &CancelToken::new()).is_err());
        assert_eq!(fs::read(&file).unwrap(), b"someone's");
    }
}
