//! Errors of streams of other formats.
//! It knows no format; its faults say what is wrong.

use foreign::{Fault, FaultKind};

use crate::{Error, ErrorKind, Remedy};

impl Error {
    /// Of a stream that has no segments of its own: what the engine counts as such says nothing to anybody.
    pub(crate) fn without_segment(mut self) -> Error {
        (self.0.segment, self.0.frame) = (None, None);
        self
    }

    /// What is wrong with a stream of another format.
    pub(crate) fn foreign(fault: Fault) -> Error {
        let error = |kind| Error::new(kind, fault.to_string());
        match fault.kind {
            FaultKind::Damaged => error(ErrorKind::Damaged).remedied(Remedy::FetchAgain),
            FaultKind::Truncated => error(ErrorKind::Truncated).remedied(Remedy::FetchRest),
            FaultKind::NoKey => error(ErrorKind::NoKey).remedied(Remedy::UseOtherKey),
            FaultKind::Limit => {
                error(ErrorKind::Limit).advise("This may be damage, or a stream made to exhaust a reader.")
            }
            FaultKind::Unsupported => error(ErrorKind::Unsupported).advise("A newer release may know it."),
            FaultKind::Memory => error(ErrorKind::Exhausted)
                .advise("Free memory, or raise the limit on this process's memory (`ulimit -v`)."),
            FaultKind::Cancelled => Error::new(ErrorKind::Cancelled, "interrupted"),
            _ => error(ErrorKind::Damaged),
        }
    }
}
