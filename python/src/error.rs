//! The library's errors as Python's exceptions, which `cofferdam/_errors.py` defines: one class a kind.
//! It words nothing.

use cofferdam::{Error, ErrorKind};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The exception that stands for `error`, with its words, causes and advice.
pub(crate) fn raise(py: Python<'_>, error: &Error) -> PyErr {
    let made = || -> PyResult<PyErr> {
        let class = py.import("cofferdam._errors")?.getattr(class_of(error.kind()))?;
        let places = PyDict::new(py);
        places.set_item("segment", error.segment())?;
        places.set_item("frame", error.frame())?;
        places.set_item("position", error.position())?;
        places.set_item("resumable_bytes", error.resumable_bytes())?;
        places.set_item("advice", error.advice())?;
        places.set_item("remedy", error.remedy().map(|remedy| format!("{remedy:?}")))?;
        // With what caused it and what to do, as a program shows it that ends with it.
        Ok(PyErr::from_value(class.call((format!("{error:?}"),), Some(&places))?))
    };
    made().unwrap_or_else(|why| why)
}

/// What the caller has asked for is not possible, and `what` says why.
pub(crate) fn usage(py: Python<'_>, what: &str) -> PyErr {
    let made = || -> PyResult<PyErr> {
        let class = py.import("cofferdam._errors")?.getattr("UsageError")?;
        Ok(PyErr::from_value(class.call1((what,))?))
    };
    made().unwrap_or_else(|why| why)
}

/// A failure of the system's own, met before the library was called.
pub(crate) fn io(py: Python<'_>, what: &str, error: std::io::Error) -> PyErr {
    raise(py, &Error::io(what, error))
}

fn class_of(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Io => "StorageError",
        ErrorKind::Usage => "UsageError",
        ErrorKind::Damaged => "DamagedError",
        ErrorKind::DigestMismatch => "DigestMismatchError",
        ErrorKind::NotSigned => "NotSignedError",
        ErrorKind::NoKey => "NoKeyError",
        ErrorKind::Truncated => "TruncatedError",
        ErrorKind::TargetExists => "TargetExistsError",
        ErrorKind::Limit => "LimitError",
        ErrorKind::Unsupported => "UnsupportedError",
        ErrorKind::JournalMismatch => "JournalMismatchError",
        ErrorKind::TargetLocked => "TargetLockedError",
        ErrorKind::DurabilityUnknown => "DurabilityUnknownError",
        ErrorKind::NotAStream => "NotAStreamError",
        ErrorKind::Unproven => "UnprovenError",
        ErrorKind::Stale => "StaleError",
        ErrorKind::SourceChanged => "SourceChangedError",
        ErrorKind::Denied => "DeniedError",
        ErrorKind::NoProgress => "NoProgressError",
        ErrorKind::Exhausted => "ExhaustedError",
        ErrorKind::Cancelled => "CancelledError",
        // A kind that this module does not know yet.
        _ => "Error",
    }
}
