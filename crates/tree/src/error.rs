//! What can be wrong with a tree: its archive, its catalog, its names, or the medium.

use std::{borrow::Cow, error, fmt, io};

use crate::{NameFault, path::Escaped};

/// Why a tree, or a part of one, cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum TreeError {
    /// The archive leaves the strict profile (TREE §1).
    OutsideProfile {
        /// Where in the archive the header begins that does.
        at: u64,
        /// What is outside.
        what: Cow<'static, str>,
    },
    /// These bytes are no archive of any tar program (T1.4).
    NotAnArchive {
        /// What is missing.
        what: Cow<'static, str>,
    },
    /// The archive does not end as one does: whoever wrote it did not finish, or wrote something behind its end (T1.4).
    CutOff {
        /// Bytes that came.
        at: u64,
    },
    /// The catalog is not what TREE §3 to §5 say, or lies.
    Catalog {
        /// Where in the plaintext the part begins that does.
        at: u64,
        /// What is wrong with it.
        what: Cow<'static, str>,
    },
    /// A path is unsafe, or two paths cannot be in one tree (TREE §2).
    Name {
        /// The path, escaped where it is no text.
        path: String,
        /// What is wrong with it.
        fault: NameFault,
    },
    /// A file of the tree, or one of this program's own, cannot be read or written.
    Io {
        /// What was being done, and to which file.
        what: String,
        /// What the system says.
        source: io::Error,
    },
}

impl TreeError {
    pub(crate) fn profile(at: u64, what: impl Into<Cow<'static, str>>) -> TreeError {
        TreeError::OutsideProfile { at, what: what.into() }
    }

    pub(crate) fn catalog(at: u64, what: impl Into<Cow<'static, str>>) -> TreeError {
        TreeError::Catalog { at, what: what.into() }
    }

    pub(crate) fn name(path: &[u8], fault: NameFault) -> TreeError {
        TreeError::Name { path: Escaped(path).to_string(), fault }
    }

    pub(crate) fn io(what: impl Into<String>, source: impl Into<io::Error>) -> TreeError {
        TreeError::Io { what: what.into(), source: source.into() }
    }
}

impl fmt::Display for TreeError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TreeError::OutsideProfile { at, what } => {
                write!(out, "the archive is outside of the strict profile at byte {at}: {what}")
            }
            TreeError::NotAnArchive { what } => write!(out, "this is no tar archive: {what}"),
            TreeError::CutOff { at } => {
                write!(
                    out,
                    "the archive is cut off, or has something behind its end: it ends at byte {at}, and not with two blocks of zeros"
                )
            }
            TreeError::Catalog { at, what } => {
                write!(out, "the tree's catalog is wrong at byte {at}: {what}")
            }
            TreeError::Name { path, fault } => write!(out, "the tree's path {path} {fault}"),
            TreeError::Io { what, source } => write!(out, "cannot {what}: {source}"),
        }
    }
}

impl error::Error for TreeError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            TreeError::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<TreeError> for io::Error {
    fn from(error: TreeError) -> io::Error {
        match error {
            TreeError::Io { what, source } => {
                io::Error::new(source.kind(), format!("cannot {what}: {source}"))
            }
            other => io::Error::new(io::ErrorKind::InvalidData, other),
        }
    }
}
