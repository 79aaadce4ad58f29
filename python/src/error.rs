//! The library's errors as Python's exceptions, which `cofferdam/_errors.py` defines: one class a kind.
//! It words nothing.

use std::error::Error as StdError;
use std::io;

use cofferdam::Error;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The exception that stands for `error`, with its words, causes and advice. What an object of Python's has raised is its `__cause__`.
pub(crate) fn raise(py: Python<'_>, error: &Error) -> PyErr {
    let made = || -> PyResult<PyErr> {
        let fields = PyDict::new(py);
        fields.set_item("segment", error.segment())?;
        fields.set_item("frame", error.frame())?;
        fields.set_item("position", error.position())?;
        fields.set_item("resumable_bytes", error.resumable_bytes())?;
        fields.set_item("advice", error.advice())?;
        fields.set_item("remedy", error.remedy().map(|remedy| format!("{remedy:?}")))?;
        // With what caused it and what to do, as a program shows it that ends with it.
        let arguments = (format!("{:?}", error.kind()), format!("{error:?}"), system_code(error), fields);
        let raised = py.import("cofferdam._errors")?.getattr("_made")?.call1(arguments)?;
        let raised = PyErr::from_value(raised);
        if let Some(cause) = causes(error).find_map(of_python) {
            raised.set_cause(py, Some(cause.clone_ref(py)));
        }
        Ok(raised)
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

/// A plan cannot be committed: these parts have no receipt whose file is right.
pub(crate) fn parts_missing(py: Python<'_>, parts: Vec<u64>) -> PyErr {
    let made = || -> PyResult<PyErr> {
        let class = py.import("cofferdam._errors")?.getattr("PartsMissingError")?;
        Ok(PyErr::from_value(class.call1((parts,))?))
    };
    made().unwrap_or_else(|why| why)
}

/// A failure of the system's own, met before the library was called.
pub(crate) fn io(py: Python<'_>, what: &str, error: io::Error) -> PyErr {
    raise(py, &Error::io(what, error))
}

fn causes<'a>(error: &'a Error) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(error.source(), |cause| (*cause).source())
}

fn of_python<'a>(cause: &'a (dyn StdError + 'static)) -> Option<&'a PyErr> {
    let inside = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    cause.downcast_ref().or_else(|| inside?.downcast_ref())
}

/// The `errno` of what caused it: the system's, or the one that stands for what a store has answered.
fn system_code(error: &Error) -> Option<i32> {
    let found: Vec<&io::Error> = causes(error).filter_map(|cause| cause.downcast_ref()).collect();
    let code = found.iter().rev().find_map(|error| error.raw_os_error());
    code.or_else(|| {
        found.iter().find_map(|error| match error.kind() {
            io::ErrorKind::NotFound => Some(ENOENT),
            io::ErrorKind::PermissionDenied => Some(EACCES),
            _ => None,
        })
    })
}

/// Of Linux, on every architecture.
const ENOENT: i32 = 2;
const EACCES: i32 = 13;
