//! A small file that is made, or replaced, as a whole and durably.
//! It knows no content; that two programs write it at once is the staged file's to find out.

use std::io;
use std::path::Path;

use cofferdam::{
    Checkpoint, CommitError, IfExists, StageOptions, StagedFile, StreamingSink as _, TargetError,
};

/// Why it was not written.
pub(crate) enum Fault {
    /// The file cannot be made there.
    Refused(TargetError),
    NotWritten(io::Error),
    /// It is in place, and may not survive a power cut.
    Unknown(io::Error),
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
