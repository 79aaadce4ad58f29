//! A small file that a command writes again and again while it runs, each time as a whole.
//! It knows no content.

use std::fmt;
use std::path::{Path, PathBuf};

use cofferdam::{ErrorKind, IfExists, StageOptions, StagedFile, TargetError};

use crate::failure::Failure;
use crate::printable::Name;
use crate::whole_file::{self, Fault};

/// A file under a name that this command has taken.
pub(crate) struct RecordFile {
    path: PathBuf,
    /// Until it has been written: from then on it is this command's.
    if_exists: IfExists,
}

impl RecordFile {
    /// Looks whether `path` can be written, and may. What is there stays until the first write.
    pub(crate) fn new(path: &Path, if_exists: IfExists) -> Result<RecordFile, Failure> {
        let file = RecordFile { path: path.to_owned(), if_exists };
        let staged = StagedFile::create(path, &StageOptions::default().if_exists(if_exists));
        staged.map(|_| ()).map_err(|error| file.refused(&error))?;
        Ok(file)
    }

    /// Puts `content` in its place, durably.
    pub(crate) fn write(&mut self, content: &[u8]) -> Result<(), Failure> {
        whole_file::write(&self.path, content, self.if_exists, PRIVATE).map_err(|fault| match fault {
            Fault::Refused(error) => self.refused(&error),
            Fault::NotWritten(error) | Fault::Unknown(error) => self.cannot("written", &error),
        })?;
        self.if_exists = IfExists::Replace;
        Ok(())
    }

    fn refused(&self, error: &TargetError) -> Failure {
        match error {
            TargetError::Exists { .. } | TargetError::Symlink { .. } => {
                Failure::new(ErrorKind::TargetExists, format!("{} exists", Name::from(&*self.path)))
                    .advise("Give another name, or replace it with `--force`.")
            }
            error => self.cannot("made", error),
        }
    }

    fn cannot(&self, what: &str, error: &dyn fmt::Display) -> Failure {
        Failure::new(ErrorKind::Io, format!("{} could not be {what}: {error}", Name::from(&*self.path)))
    }
}

/// It says what somebody reads.
const PRIVATE: u32 = 0o600;
