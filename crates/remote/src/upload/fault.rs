//! Why an upload failed: what kind it is, in words that name the place and nothing secret.
//! Knows no request.

use std::{error, fmt, io};

use super::persist::Cause;
use crate::Place;

/// Why an upload failed, within an [`io::Error`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UploadFault {
    kind: UploadFaultKind,
    what: String,
}

/// What kind of failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum UploadFaultKind {
    /// An object is there, and is not to be replaced.
    Exists,
    /// An object is there that could be replaced, but not on the condition that it is still the same: the store gives no version of it.
    Unversioned,
    /// The object that was to be replaced is another by now, or gone.
    Replaced,
    /// Somebody else was putting an object there at the same time.
    Conflict,
    /// The store has lost the parts.
    UploadGone,
    /// The store says that it has no such bucket.
    NoBucket,
    /// The store has other parts than those that were to be put together.
    PartsChanged,
    /// The store does not let this user do it.
    Denied,
    /// Nothing got on for too long.
    NoProgress,
    /// The caller wants no more.
    Cancelled,
    /// Whether the object is in place is not known.
    Unknown,
    /// Anything else.
    Other,
}

impl UploadFault {
    /// What kind of failure.
    pub fn kind(&self) -> UploadFaultKind {
        self.kind
    }

    /// The fault within `error`, if it is one.
    pub fn within(error: &io::Error) -> Option<&UploadFault> {
        error.get_ref().and_then(|inner| inner.downcast_ref())
    }
}

impl fmt::Display for UploadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl error::Error for UploadFault {}

impl From<UploadFault> for io::Error {
    fn from(fault: UploadFault) -> io::Error {
        let kind = match fault.kind {
            UploadFaultKind::Exists | UploadFaultKind::Unversioned => io::ErrorKind::AlreadyExists,
            UploadFaultKind::Denied => io::ErrorKind::PermissionDenied,
            UploadFaultKind::NoProgress => io::ErrorKind::TimedOut,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, fault)
    }
}

/// Why an object was not put in place, or may not have been.
#[derive(Debug)]
pub enum PublishError {
    /// It was not, and will not be.
    NotDone(io::Error),
    /// It may have been, or may yet be.
    Unknown(io::Error),
}

/// Names `shown`; what is secret in `place` is left out of somebody else's words.
pub(super) fn failed(place: &Place, shown: &str, what: &str, cause: &Cause) -> io::Error {
    let kind = match cause {
        Cause::Cancelled => return fault(shown, UploadFaultKind::Cancelled, "interrupted"),
        Cause::Status { status, .. } if matches!(status.as_u16(), 401 | 403) => UploadFaultKind::Denied,
        Cause::Credentials(_) => UploadFaultKind::Denied,
        cause if cause.may_pass() => UploadFaultKind::NoProgress,
        cause if cause.code() == Some("NoSuchUpload") => UploadFaultKind::UploadGone,
        cause if matches!(cause.code(), Some("NoSuchBucket" | "ContainerNotFound")) => {
            UploadFaultKind::NoBucket
        }
        cause if cause.code() == Some("InvalidPart") => UploadFaultKind::PartsChanged,
        _ => UploadFaultKind::Other,
    };
    fault(shown, kind, &place.redact(&format!("{what}: {cause}")))
}

pub(super) fn fault(place: &str, kind: UploadFaultKind, what: &str) -> io::Error {
    UploadFault { kind, what: format!("{place}: {what}") }.into()
}
