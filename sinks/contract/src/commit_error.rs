//! Why a commit or a publish failed, and what is known of it after that.
//! Knows nothing of which sink failed.

use std::{error, fmt, io};

/// The outcome of a commit or publish that did not return `Ok`.
///
/// The difference decides what the caller may claim: after [`NotCommitted`](Self::NotCommitted) the old state is in
/// effect; after [`Unknown`](Self::Unknown) either state may be, and only looking again tells which.
#[derive(Debug)]
pub enum CommitError {
    /// It did not happen and will not happen: the state is as before the call.
    NotCommitted(io::Error),
    /// It may have happened, or may yet be lost: the reply or the last sync is missing.
    Unknown(io::Error),
}

impl CommitError {
    /// The failure underneath.
    pub fn io(&self) -> &io::Error {
        match self {
            Self::NotCommitted(error) | Self::Unknown(error) => error,
        }
    }
}

/// A bare `?` gives the careful answer.
impl From<io::Error> for CommitError {
    fn from(error: io::Error) -> Self {
        Self::Unknown(error)
    }
}

impl fmt::Display for CommitError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotCommitted(error) => write!(out, "not committed: {error}"),
            Self::Unknown(error) => write!(out, "it is unknown whether it was committed: {error}"),
        }
    }
}

impl error::Error for CommitError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(self.io())
    }
}
