//! What calls return, as objects with attributes.
//! It computes nothing.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// How far a call is.
#[pyclass(frozen, get_all, module = "cofferdam")]
pub(crate) struct Progress {
    /// Plaintext bytes committed.
    committed: u64,
    /// Plaintext bytes in all, where that is known.
    total: Option<u64>,
    /// Segments committed.
    segments: u64,
    /// Plaintext bytes per second of late.
    throughput: Option<f64>,
    /// Estimated seconds left, if the total is known.
    eta: Option<f64>,
}

#[pymethods]
impl Progress {
    fn __repr__(&self) -> String {
        match self.total {
            Some(total) => format!("<cofferdam.Progress {} of {total} bytes>", self.committed),
            None => format!("<cofferdam.Progress {} bytes>", self.committed),
        }
    }
}

impl From<cofferdam::Progress> for Progress {
    fn from(progress: cofferdam::Progress) -> Progress {
        Progress {
            committed: progress.committed,
            total: progress.total,
            segments: progress.segments,
            throughput: progress.throughput,
            eta: progress.eta.map(|eta| eta.as_secs_f64()),
        }
    }
}

/// What was sealed.
#[pyclass(frozen, get_all, module = "cofferdam")]
pub(crate) struct Sealed {
    /// Names the stream: hexadecimal digits.
    stream_id: String,
    /// Segments that it has.
    segments: u64,
    /// Length of the plaintext in bytes.
    plaintext_len: u64,
    /// Length of the sealed stream in bytes.
    wire_len: u64,
    /// A pin of the stream for later, hexadecimal digits: `expect_digest` of those that open it.
    stream_digest: String,
    /// The number that tells it from older streams, where it has one.
    sequence: Option<u64>,
    /// Plaintext bytes that an interrupted call had sealed, and that were kept.
    resumed_bytes: u64,
}

#[pymethods]
impl Sealed {
    fn __repr__(&self) -> String {
        format!("<cofferdam.Sealed {} bytes, digest {}>", self.plaintext_len, self.stream_digest)
    }
}

impl From<cofferdam::Sealed> for Sealed {
    fn from(sealed: cofferdam::Sealed) -> Sealed {
        Sealed {
            stream_id: sealed.stream_id.to_string(),
            segments: sealed.segments,
            plaintext_len: sealed.plaintext_len,
            wire_len: sealed.wire_len,
            stream_digest: sealed.stream_digest.to_string(),
            sequence: sealed.sequence,
            resumed_bytes: sealed.resumed_bytes,
        }
    }
}

/// What was restored, or verified to its end.
#[pyclass(frozen, get_all, module = "cofferdam")]
pub(crate) struct Restored {
    /// Names the stream: hexadecimal digits.
    stream_id: String,
    /// Segments that it has.
    segments: u64,
    /// Length of the plaintext in bytes.
    plaintext_len: u64,
    /// Fixes every byte of preamble, metadata and segments: hexadecimal digits. None of an age file, which has no digest.
    stream_digest: Option<String>,
    /// The number that tells it from older streams, where it has one and a key was given.
    sequence: Option<u64>,
    /// Plaintext bytes that an interrupted call had left, and that proved right.
    resumed_bytes: u64,
    /// The pairs that it was sealed with, keys and values in bytes. Empty where no key was given.
    metadata: Py<PyAny>,
    /// What was wrong and did no harm, in words.
    warnings: Vec<String>,
}

#[pymethods]
impl Restored {
    fn __repr__(&self) -> String {
        format!("<cofferdam.Restored {} bytes>", self.plaintext_len)
    }
}

impl Restored {
    pub(crate) fn new(py: Python<'_>, restored: cofferdam::Restored) -> PyResult<Restored> {
        Ok(Restored {
            stream_id: restored.stream_id.to_string(),
            segments: restored.segments,
            plaintext_len: restored.plaintext_len,
            stream_digest: restored.foreign.is_none().then(|| restored.stream_digest.to_string()),
            sequence: restored.sequence(),
            resumed_bytes: restored.resumed_bytes,
            metadata: pairs(py, &restored.metadata)?,
            warnings: restored.warnings.iter().map(ToString::to_string).collect(),
        })
    }
}

/// Pairs as a `dict` of bytes.
pub(crate) fn pairs(py: Python<'_>, metadata: &cofferdam::Metadata) -> PyResult<Py<PyAny>> {
    let dict = pyo3::types::PyDict::new(py);
    for (key, value) in metadata {
        dict.set_item(PyBytes::new(py, key), PyBytes::new(py, value))?;
    }
    Ok(dict.into_any().unbind())
}
