//! Paths on the way in and out: what a path names, as a source or a target.
//! It knows no format.

use std::fs::{File, OpenOptions};
use std::path::Path;

use sinks::{Existing, PipeSink, StageOptions, StagedFile, TargetError, TargetKind, classify};
use sources::Source;

use crate::Error;

/// Opens what `path` names to read from.
pub(crate) fn open_source(path: &Path) -> Result<Box<dyn Source>, Error> {
    sources::open_path(path).map_err(|error| Error::io("the input could not be opened", error))
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
    pub(crate) fn resolve(path: &'a Path, existing: Existing) -> Result<Target<'a>, Error> {
        match classify(path).map_err(Error::target)? {
            TargetKind::Fifo => {
                let fifo = OpenOptions::new().write(true).open(path);
                let fifo = fifo
                    .map_err(|error| Error::io(format!("{} could not be opened", path.display()), error))?;
                Ok(Target::Fifo(PipeSink::new(fifo)))
            }
            TargetKind::RegularFile if existing == Existing::Refuse => {
                Err(Error::target(TargetError::Exists { path: path.to_owned() }))
            }
            TargetKind::Symlink if existing == Existing::Refuse => {
                Err(Error::target(TargetError::Symlink { path: path.to_owned() }))
            }
            _ => Ok(Target::Staged { path, existing }),
        }
    }
}

/// Stages a file for `path`.
pub(crate) fn stage(path: &Path, existing: Existing, expected_len: Option<u64>) -> Result<StagedFile, Error> {
    StagedFile::create(path, &StageOptions { existing, expected_len }).map_err(Error::target)
}
