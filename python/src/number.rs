//! Numbers that Python gives: those that do not fit are wrong usage, and no overflow.
//! It knows no meaning of them.

use std::num::NonZeroUsize;
use std::time::Duration;

use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;

use crate::error;

/// A number that fits into a `T`.
pub(crate) struct Number<T>(pub(crate) T);

impl<'a, 'py, T: FromPyObject<'a, 'py, Error = PyErr>> FromPyObject<'a, 'py> for Number<T> {
    type Error = PyErr;

    fn extract(given: Borrowed<'a, 'py, PyAny>) -> PyResult<Number<T>> {
        let py = given.py();
        given.extract::<T>().map(Number).map_err(|why| match why.is_instance_of::<PyOverflowError>(py) {
            true => error::usage(py, &format!("{} is negative, or larger than there can be", *given)),
            false => why,
        })
    }
}

/// A number that is at least one; `name` is that of the argument.
pub(crate) fn count(
    py: Python<'_>,
    given: Option<Number<usize>>,
    name: &str,
) -> PyResult<Option<NonZeroUsize>> {
    match given {
        Some(Number(0)) => Err(error::usage(py, &format!("`{name}` is at least 1"))),
        given => Ok(given.and_then(|given| NonZeroUsize::new(given.0))),
    }
}

/// Seconds, of `timeout`.
pub(crate) fn seconds(py: Python<'_>, given: Option<f64>) -> PyResult<Option<Duration>> {
    let wrong = || error::usage(py, "`timeout` is a number of seconds above 0, at most a year");
    let Some(given) = given else { return Ok(None) };
    match given > 0.0 && given <= YEAR {
        true => Duration::try_from_secs_f64(given).map(Some).map_err(|_| wrong()),
        false => Err(wrong()),
    }
}

const YEAR: f64 = 365.0 * 86400.0;
