//! Why nothing was measured.
//! It knows no command line; advice is in the words of a plan.

use std::error::Error as StdError;
use std::fmt;
use std::io;

/// Why nothing was measured. What was written is gone again, as far as the directory allows.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The plan asks for what cannot be measured.
    Plan {
        /// What it asks for.
        what: String,
        /// What can be asked for instead.
        advice: &'static str,
    },
    /// The directory has no room, is not there, or cannot be read or written.
    Directory {
        /// What failed there.
        what: String,
        /// What can be done about it.
        advice: Option<&'static str>,
        /// What the system said.
        source: Option<io::Error>,
    },
    /// The token was cancelled.
    Cancelled,
    /// A stream could not be sealed or opened.
    Stream(cofferdam::Error),
}

impl Error {
    pub(crate) fn io(what: impl Into<String>, source: io::Error) -> Error {
        Error::Directory { what: what.into(), advice: None, source: Some(source) }
    }

    pub(crate) fn refused(what: impl Into<String>, advice: &'static str) -> Error {
        Error::Directory { what: what.into(), advice: Some(advice), source: None }
    }

    /// What can be done about it, as a sentence.
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            Error::Plan { advice, .. } => Some(advice),
            Error::Directory { advice, .. } => *advice,
            Error::Cancelled | Error::Stream(_) => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Plan { what, .. } | Error::Directory { what, .. } => f.write_str(what),
            Error::Cancelled => f.write_str("interrupted"),
            Error::Stream(error) => error.fmt(f),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Error::Directory { source, .. } => source.as_ref().map(|error| error as _),
            Error::Stream(error) => error.source(),
            Error::Plan { .. } | Error::Cancelled => None,
        }
    }
}

impl From<cofferdam::Error> for Error {
    fn from(error: cofferdam::Error) -> Error {
        Error::Stream(error)
    }
}
