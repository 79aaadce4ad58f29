//! Errors of streams of other formats.
//! It knows no format; its faults say what is wrong.

use foreign::{Fault, FaultKind};

use crate::{Asserted, Error, ErrorKind, Remedy};

impl Error {
    /// What has been published without a proof that it is whole.
    pub(crate) fn asserted(asserted: Asserted) -> Error {
        let what = format!("nothing proves that it is whole: {}", asserted.missing);
        let mut error = Error::new(ErrorKind::Unproven, what);
        error.0.asserted = Some(asserted);
        error
    }

    /// What has been published, of an error of the kind [`ErrorKind::Unproven`].
    pub fn as_asserted(&self) -> Option<&Asserted> {
        self.0.asserted.as_ref()
    }

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
            FaultKind::NoForeignKey => error(ErrorKind::NoKey).remedied(Remedy::GiveForeignKey),
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
