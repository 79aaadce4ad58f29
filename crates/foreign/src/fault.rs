//! What is wrong with a stream of another format, and where.
//! It knows no exit code and no option: whoever reports it has words for those.

use std::fmt;

/// A stream that is not opened, or not further.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// What kind of fault.
    pub kind: FaultKind,
    /// What is wrong, as a sentence without its place.
    pub what: String,
    /// In which chunk, from 0.
    pub chunk: Option<u64>,
    /// Where in the stream, in bytes, as far as whoever found it can tell.
    pub at: Option<u64>,
}

/// What kind of fault it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum FaultKind {
    /// The bytes are damaged, or were tampered with.
    Damaged,
    /// They end too early.
    Truncated,
    /// None of the keys given opens it.
    NoKey,
    /// It is opened with a key that its user holds as it is, and none was given, or another.
    NoForeignKey,
    /// Something is beyond a limit.
    Limit,
    /// It is of a version, or has something, that is not known here.
    Unsupported,
    /// There is no memory for what opening it takes.
    Memory,
    /// The caller has cancelled.
    Cancelled,
}

impl Fault {
    /// A fault without a place.
    pub fn new(kind: FaultKind, what: impl Into<String>) -> Fault {
        Fault { kind, what: what.into(), chunk: None, at: None }
    }

    /// Damage.
    pub fn damaged(what: impl Into<String>) -> Fault {
        Fault::new(FaultKind::Damaged, what)
    }

    /// An early end.
    pub fn truncated(what: impl Into<String>) -> Fault {
        Fault::new(FaultKind::Truncated, what)
    }

    /// The same, in chunk `chunk`.
    #[must_use]
    pub fn in_chunk(self, chunk: u64) -> Fault {
        Fault { chunk: Some(chunk), ..self }
    }

    /// The same, at byte `at` of the stream.
    #[must_use]
    pub fn at(self, at: u64) -> Fault {
        Fault { at: Some(at), ..self }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match (self.chunk, self.at) {
            (Some(chunk), Some(at)) => write!(f, " (chunk {chunk}, byte {at})"),
            (Some(chunk), None) => write!(f, " (chunk {chunk})"),
            (None, Some(at)) => write!(f, " (byte {at})"),
            (None, None) => Ok(()),
        }
    }
}

impl std::error::Error for Fault {}
