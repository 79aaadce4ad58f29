//! Why a tree cannot be restored to a place.

use std::{error, fmt};

use storage::TargetError;
use tree::TreeError;

/// Why no sink could be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum TreeSinkError {
    /// The target cannot be one.
    Target(TargetError),
    /// The plaintext is no tree that can be restored.
    Tree(TreeError),
    /// The plaintext is not a tree but a plain file: its archive left the strict profile.
    PlainFile,
}

impl fmt::Display for TreeSinkError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TreeSinkError::Target(error) => error.fmt(out),
            TreeSinkError::Tree(error) => error.fmt(out),
            TreeSinkError::PlainFile => out.write_str(
                "this tree has no catalog: it can be restored as an archive, and extracted by tar",
            ),
        }
    }
}

impl error::Error for TreeSinkError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            TreeSinkError::Target(error) => Some(error),
            TreeSinkError::Tree(error) => Some(error),
            TreeSinkError::PlainFile => None,
        }
    }
}

impl From<TargetError> for TreeSinkError {
    fn from(error: TargetError) -> TreeSinkError {
        TreeSinkError::Target(error)
    }
}

impl From<TreeError> for TreeSinkError {
    fn from(error: TreeError) -> TreeSinkError {
        TreeSinkError::Tree(error)
    }
}
