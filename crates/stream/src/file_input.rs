//! A file to be sealed, and what is noted of it beside its bytes.
//! It knows no stream.

use std::fs::{self, Metadata as FileMetadata};
use std::io;
use std::path::Path;

use sources::Source;

use crate::sealing_state::InputMark;
use crate::{Error, Metadata, file_attributes};

/// A file to seal, with what goes into its stream's metadata.
pub struct FileInput {
    /// Its bytes.
    pub source: Box<dyn Source>,
    /// What the system said of it, where it is a regular file.
    pub found: Option<FileMetadata>,
    /// Pairs for the stream's metadata.
    pub metadata: Metadata,
}

impl FileInput {
    /// Opens what `path` names. What is noted of it is of the file that was opened.
    pub fn open(path: &Path) -> Result<FileInput, Error> {
        let examine = || fs::metadata(path).map_err(unopened);
        let before = examine()?;
        let source = sources::open_path(path).map_err(unopened)?;
        if !before.is_file() || source.positioned().is_none() {
            return Ok(FileInput { source, found: None, metadata: Metadata::new() });
        }
        if InputMark::of(&examine()?) != InputMark::of(&before) || source.len() != Some(before.len()) {
            return Err(Error::input_changed());
        }
        let metadata = vec![file_attributes::pair(&before)];
        Ok(FileInput { source, found: Some(before), metadata })
    }
}

fn unopened(error: io::Error) -> Error {
    Error::io("the input could not be opened", error)
}
