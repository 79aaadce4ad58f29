//! Why a text is not the record that it should be.
//! It repeats nothing of what the text says.

use std::error::Error;
use std::fmt;

/// Why a text is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RecordError {
    /// It does not begin as this kind of record does: it is another kind, or empty.
    OtherKind,
    /// It is this kind of record, of a version that is not known here.
    OtherVersion,
    /// A line is not what it has to be.
    Malformed {
        /// Its number, from 1.
        line: usize,
    },
    /// It is longer than such a record can be.
    TooLong,
    /// Its MAC is wrong: it was made with another key, or changed since.
    Forged,
    /// It is of another plan.
    OtherPlan,
    /// What it says is not what its plan says, or does not meet.
    Contradictory,
}

impl fmt::Display for RecordError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordError::OtherKind => out.write_str("it is another kind of record"),
            RecordError::OtherVersion => out.write_str("it is of a version that is not known here"),
            RecordError::Malformed { line } => write!(out, "line {line} is malformed"),
            RecordError::TooLong => out.write_str("it is longer than such a record can be"),
            RecordError::Forged => {
                out.write_str("its MAC is wrong: it was made with another key, or changed since")
            }
            RecordError::OtherPlan => out.write_str("it is of another plan"),
            RecordError::Contradictory => out.write_str("what it says does not fit together"),
        }
    }
}

impl Error for RecordError {}
