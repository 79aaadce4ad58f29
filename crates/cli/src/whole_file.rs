//! A small file that is made, or replaced, as a whole and durably.
//! It knows no content; that two programs write it at once is the staged file's to find out.

use std::fs::{self, File};
use std::io::{self, ErrorKind as IoErrorKind, Read as _};
use std::path::Path;

use cofferdam::{
    Checkpoint, CommitError, ErrorKind, IfExists, StageOptions, StagedFile, StreamingSink as _, TargetError,
};

use crate::failure::Failure;
use crate::printable::Name;

/// Why it was not written.
pub(crate) enum Fault {
    /// The file cannot be made there.
    Refused(TargetError),
    NotWritten(io::Error),
    /// It is in place, and may not survive a power cut.
    Unknown(io::Error),
}

/// What stands in the file at `path`, of which at most `len_max` bytes are read; nothing where there is none. It is about to be replaced, and
/// refused unless it `is_own`: `kind` says what of.
pub(crate) fn read_own(
    path: &Path,
    kind: &str,
    len_max: u64,
    is_own: impl FnOnce(&[u8]) -> bool,
) -> Result<Vec<u8>, Failure> {
    let name = Name::from(path);
    let failed = |error| Failure::io(format!("{name} could not be read"), error);
    match fs::metadata(path) {
        Err(error) if error.kind() == IoErrorKind::NotFound => return Ok(Vec::new()),
        Ok(metadata) if metadata.is_file() => {}
        examined => {
            examined.map_err(failed)?;
            return Err(Failure::usage(format!("{name} is no file, and could not become {kind}")));
        }
    }
    let mut content = Vec::new();
    File::open(path).and_then(|file| file.take(len_max).read_to_end(&mut content)).map_err(failed)?;
    match is_own(&content) {
        true => Ok(content),
        false => Err(Failure::new(ErrorKind::TargetExists, format!("{name} exists, and is no {kind}"))
            .advise("It would be replaced. Give another name.")),
    }
}

/// Refuses a place where no file can be made: better known before the work than after.
pub(crate) fn refuse_unwritable(path: &Path) -> Result<(), Failure> {
    let staged = StagedFile::create(path, &StageOptions::default().if_exists(IfExists::Replace));
    staged.map(drop).map_err(|error| {
        Failure::new(ErrorKind::Io, format!("{} could not be made: {error}", Name::from(path)))
    })
}

/// Puts a file with `content` at `path`. A new one gets `mode`; one that is replaced keeps its own.
pub(crate) fn write(path: &Path, content: &[u8], if_exists: IfExists, mode: u32) -> Result<(), Fault> {
    let options = StageOptions::default().if_exists(if_exists);
    let mut staged = StagedFile::create(path, &options).map_err(Fault::Refused)?;
    staged.set_mode(mode);
    let written = staged.begin_segment(0, 0).and_then(|()| staged.write_tentative(0, content));
    written.map_err(Fault::NotWritten)?;
    let committed = staged.commit_segment(&Checkpoint::from_bytes([0; Checkpoint::LEN]));
    committed.and_then(|()| staged.publish(content.len() as u64)).map_err(|error| match error {
        CommitError::NotCommitted(error) => Fault::NotWritten(error),
        CommitError::Unknown(error) => Fault::Unknown(error),
    })
}
