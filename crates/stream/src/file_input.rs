//! What is to be sealed so that the sealing can resume, and what is noted of it beside its bytes.
//! It knows no stream.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sources::Source;

use crate::sealing_state::InputMark;
use crate::{Error, Metadata, file_attributes};

/// A file to seal, with what goes into its stream's metadata; or a tree, by its plan.
pub struct FileInput {
    /// Its bytes.
    pub source: Box<dyn Source>,
    /// Pairs for the stream's metadata.
    pub metadata: Metadata,
    /// By what it is known again; none of what comes once.
    pub(crate) known_by: Option<KnownBy>,
}

/// By what an input is known again, and whether it still is what it was.
pub(crate) enum KnownBy {
    /// What the system said of the regular file at this path.
    File(InputMark, PathBuf),
    /// The plan of a tree, which nobody else writes.
    Plan(InputMark, PlanAge),
}

/// Whose plan it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PlanAge {
    /// This sealing's.
    New,
    /// An interrupted one's, which has to have sealed something by it: nothing is begun by an old plan.
    Kept,
}

impl FileInput {
    /// Opens what `path` names. What is noted of it is of the file that was opened.
    pub fn open(path: &Path) -> Result<FileInput, Error> {
        // As whoever opens it says.
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let examine = || fs::metadata(path).map_err(|error| unopened(named(error)));
        let before = examine()?;
        let source = sources::open_path(path).map_err(unopened)?;
        if !before.is_file() || source.positioned().is_none() {
            return Ok(FileInput { source, known_by: None, metadata: Metadata::new() });
        }
        let mark = InputMark::of(&before);
        if InputMark::of(&examine()?) != mark || source.len() != Some(before.len()) {
            return Err(Error::input_changed());
        }
        let metadata = vec![file_attributes::pair(&before)];
        Ok(FileInput { source, known_by: Some(KnownBy::File(mark, path.to_owned())), metadata })
    }

    /// A tree: `source` reads what the plan in the file at `plan` says, of which nothing else is noted.
    pub fn of_plan(source: Box<dyn Source>, plan: &Path, age: PlanAge) -> Result<FileInput, Error> {
        let found = fs::metadata(plan).map_err(|error| Error::io("the plan could not be examined", error))?;
        let mark = source.len().map(|len| InputMark::of_plan(&found, len));
        Ok(FileInput {
            source,
            known_by: mark.map(|mark| KnownBy::Plan(mark, age)),
            metadata: Metadata::new(),
        })
    }
}

impl KnownBy {
    pub(crate) fn mark(&self) -> InputMark {
        match self {
            KnownBy::File(mark, _) | KnownBy::Plan(mark, _) => *mark,
        }
    }

    pub(crate) fn is_kept_plan(&self) -> bool {
        matches!(self, KnownBy::Plan(_, PlanAge::Kept))
    }

    /// Whether what is sealed of it can still be of use.
    pub(crate) fn is_same(&self) -> bool {
        match self {
            KnownBy::File(mark, path) => fs::metadata(path).is_ok_and(|found| InputMark::of(&found) == *mark),
            KnownBy::Plan(..) => true,
        }
    }
}

fn unopened(error: io::Error) -> Error {
    Error::io("the input could not be opened", error)
}
