//! Faults of a place that bytes come from, as errors of a stream.
//! It knows no place: its own words are the cause.

use std::io;

use cofferdam_io::{FetchError, FetchFault};

use super::Error;
use crate::{ErrorKind, Remedy};

impl Error {
    /// `what` could not be done because of `source`, if that is a fault of a place from afar; else `what` again.
    pub(super) fn of_fetch(what: String, source: &io::Error) -> Result<Error, String> {
        let Some(error) = FetchError::of(source) else { return Err(what) };
        Ok(match error.fault() {
            FetchFault::Changed => {
                Error::new(ErrorKind::SourceChanged, "the sealed stream changed while it was read")
                    .remedied(Remedy::RunAgain)
            }
            FetchFault::Denied => Error::new(ErrorKind::Denied, what).remedied(Remedy::GiveAccess),
            FetchFault::NoProgress => Error::new(ErrorKind::NoProgress, what).remedied(Remedy::TryLater),
            FetchFault::Cancelled => Error::new(ErrorKind::Cancelled, "interrupted"),
            _ => Error::new(ErrorKind::Io, what),
        })
    }

    /// Whether it is a fault of a place from afar, of whatever kind.
    pub(crate) fn is_of_fetch(&self) -> bool {
        let source = self.0.source.as_deref().and_then(|source| source.downcast_ref::<io::Error>());
        source.is_some_and(|source| FetchError::of(source).is_some())
    }

    /// Whether it says nothing of the bytes: they could not be had.
    pub(crate) fn is_of_medium(&self) -> bool {
        use ErrorKind::{Cancelled, Denied, Io, NoProgress};
        matches!(self.kind(), Cancelled | Denied | Io | NoProgress)
    }
}
