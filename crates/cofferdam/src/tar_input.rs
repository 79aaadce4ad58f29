//! An archive that another program writes, to be sealed as a tree: it passes as it is, and its catalog follows.
//! It joins the parts and does none of their work.

use std::path::{Path, PathBuf};

use sources::Source;
use stream::PlanDir;
use tree::TarSource;

use crate::Error;
use crate::tree_input::input_error;

/// An archive as the input of a [`Sealer`](crate::Sealer) that seals a [`tree`](crate::Sealer::tree). Its catalog is kept in a private directory of
/// the state directory, in files without a name, until it follows the archive: it has to live as long as the source is read.
///
/// What is no archive, or is cut off, is an error of the source, [`ErrorKind::Io`](crate::ErrorKind::Io) when sealing: nothing is published. One that
/// leaves the strict profile (TREE §1) is sealed whole, without a catalog.
///
/// ```
/// use cofferdam::tree::{EntryKind, Member, TreePath};
/// use cofferdam::{BytesSource, MemorySink, Recipients, Sealer, TarInput, WrappingKey};
///
/// # let state_dir = tempfile::tempdir()?;
/// let member = Member::new(TreePath::parse(b"empty")?, EntryKind::File, 0o644);
/// let archive = [member.to_header()?, vec![0; 1024]].concat();
/// let input = TarInput::new(state_dir.path())?;
/// let source = input.source(BytesSource::new(archive))?;
/// let outcome = source.outcome();
/// let (sink, _) = MemorySink::new();
/// let recipients = Recipients::new().wrapping_key(WrappingKey::from_bytes([7; 32]));
/// Sealer::new(recipients).tree().seal(source, sink)?;
/// assert_eq!(outcome.get().and_then(|counts| counts.as_ref().ok()).map(|counts| counts.files), Some(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TarInput {
    directory: Directory,
}

/// Where the catalog is kept.
#[derive(Debug)]
enum Directory {
    Private(PlanDir),
    Anybodys(PathBuf),
}

impl TarInput {
    /// Keeps the catalog in `state_dir`, which is made where it is missing; nobody else may write it.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) if others can write it; no directory can be made in it.
    pub fn new(state_dir: impl AsRef<Path>) -> Result<TarInput, Error> {
        Ok(TarInput { directory: Directory::Private(PlanDir::unnamed(state_dir.as_ref())?) })
    }

    /// Keeps the catalog in `directory`, whoever else may write there: nothing of it has a name.
    pub fn unnamed_in(directory: impl Into<PathBuf>) -> TarInput {
        TarInput { directory: Directory::Anybodys(directory.into()) }
    }

    /// The plaintext of the tree whose archive `archive` gives, in order.
    ///
    /// # Errors
    /// No file can be made.
    pub fn source<S: Source>(&self, archive: S) -> Result<TarSource<S>, Error> {
        let directory = match &self.directory {
            Directory::Private(directory) => directory.path(),
            Directory::Anybodys(directory) => directory,
        };
        TarSource::new(archive, directory).map_err(input_error)
    }
}
