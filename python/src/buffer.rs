//! Objects with the buffer protocol, lent to the engine for one call: to be read, or to be filled in place.
//! The one module here with `unsafe`: what Python lends is a pointer and a length.
#![allow(unsafe_code, reason = "memory that Python lends is a pointer and a length")]

use lent::{LentBytes, LentMemory};
use pyo3::buffer::PyUntypedBuffer;
use pyo3::prelude::*;

use crate::error;

/// The bytes of an object, as they lie in memory, whatever they stand for there. `None` of one that has no buffer.
///
/// As long as they are lent, their owner can neither free nor resize them. It can still write to them: what is read is then anything.
pub(crate) fn lend(object: &Bound<'_, PyAny>) -> PyResult<Option<LentBytes>> {
    let Ok(export) = PyUntypedBuffer::get(object) else { return Ok(None) };
    check_contiguous(object.py(), &export)?;
    let (start, len) = (export.buf_ptr().cast_const().cast(), export.len_bytes());
    // SAFETY: `start` and `len` are those of the export, which is contiguous and held. The memory does not move or go meanwhile, whichever
    // thread holds the export; that takes the interpreter's lock by itself when it is dropped.
    Ok(Some(unsafe { LentBytes::new(start, len, export) }))
}

/// The memory of an object that can be written. As [`lend`]; whatever else reads it meanwhile, in Python, finds anything there.
pub(crate) fn lend_mut(object: &Bound<'_, PyAny>) -> PyResult<LentMemory> {
    let export = PyUntypedBuffer::get(object)?;
    if export.readonly() {
        return Err(error::usage(object.py(), "the buffer cannot be written; a bytearray or an array can"));
    }
    check_contiguous(object.py(), &export)?;
    let (start, len) = (export.buf_ptr().cast(), export.len_bytes());
    // SAFETY: as in `lend`; it can be written, and each bit pattern is a byte.
    Ok(unsafe { LentMemory::new(start, len, export) })
}

fn check_contiguous(py: Python<'_>, export: &PyUntypedBuffer) -> PyResult<()> {
    match export.is_c_contiguous() {
        true => Ok(()),
        false => Err(error::usage(py, "the buffer does not lie in one piece")),
    }
}
