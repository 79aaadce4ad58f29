//! Why something is not mounted.

use std::{error, fmt, io};

use tree::TreeError;

/// What keeps something from being mounted.
#[derive(Debug)]
#[non_exhaustive]
pub enum MountError {
    /// What is to be mounted cannot be read, or is not what it should be.
    Tree(TreeError),
    /// The tree has more hard links than [`HARD_LINKS_MAX`](crate::HARD_LINKS_MAX).
    TooManyHardLinks {
        /// How many it has.
        count: u64,
    },
    /// There is something in the directory.
    NotEmpty,
    /// A mount is there whose program has ended without unmounting it.
    DeadMount,
    /// The system does not let it be mounted there.
    System {
        /// What was being done.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

impl MountError {
    pub(crate) fn system(what: &'static str, source: impl Into<io::Error>) -> MountError {
        MountError::System { what, source: source.into() }
    }
}

impl fmt::Display for MountError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MountError::Tree(error) => error.fmt(out),
            MountError::TooManyHardLinks { count } => {
                write!(
                    out,
                    "the tree has {count} hard links, and at most {} can be mounted",
                    crate::HARD_LINKS_MAX
                )
            }
            MountError::NotEmpty => out.write_str("the directory is not empty"),
            MountError::DeadMount => out.write_str("a mount is there whose program has ended"),
            MountError::System { what, source } => write!(out, "cannot {what}: {source}"),
        }
    }
}

impl error::Error for MountError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            MountError::Tree(error) => Some(error),
            MountError::System { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<TreeError> for MountError {
    fn from(error: TreeError) -> MountError {
        MountError::Tree(error)
    }
}
