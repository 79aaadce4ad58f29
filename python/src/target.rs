//! Where bytes go: a path, a URL of a store, or a file object.
//! It opens nothing; the library makes the sinks of the first two.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use cofferdam::remote::Place;
use cofferdam::{ObjectTarget, PipeSink, Sealed, Sealer, Source};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::call::Failed;
use crate::{error, interpreter, source};

/// Where bytes go.
pub(crate) enum Target {
    Path(PathBuf),
    Place(Place),
    File(Py<PyAny>),
}

impl Target {
    pub(crate) fn new(given: &Bound<'_, PyAny>) -> PyResult<Target> {
        if let Some(place) = source::place(given)? {
            return Ok(Target::Place(place));
        }
        if let Ok(path) = given.extract::<PathBuf>() {
            return Ok(Target::Path(path));
        }
        match given.hasattr("write")? {
            true => Ok(Target::File(given.clone().unbind())),
            false => Err(error::usage(given.py(), NO_TARGET)),
        }
    }
}

/// `timeout` is how long the store may answer nothing.
pub(crate) fn object(place: Place, timeout: Option<Duration>) -> ObjectTarget {
    ObjectTarget::new(place).retries(source::policy(timeout))
}

/// Seals `source` into `target`.
pub(crate) fn seal(
    sealer: &Sealer,
    source: impl Source + 'static,
    target: Target,
    timeout: Option<Duration>,
) -> Result<Sealed, Failed> {
    Ok(match target {
        Target::Path(output) => sealer.seal_to(source, output)?,
        Target::Place(place) => sealer.seal_to_object(source, &object(place, timeout))?,
        Target::File(object) => sealer.seal(source, ordered(object))?,
    })
}

/// A sink over a file object: each segment is written to it once it is proved, or sealed.
pub(crate) fn ordered(object: Py<PyAny>) -> PipeSink<impl Write + Send> {
    PipeSink::new(FileObject(object))
}

struct FileObject(Py<PyAny>);

impl Write for FileObject {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        interpreter::attach(|py| {
            let written = self.0.bind(py).call_method1("write", (PyBytes::new(py, bytes),));
            let written = written.map_err(io::Error::other)?;
            // A raw file says how many it has taken, and None for none; others take all.
            match written.extract::<Option<usize>>() {
                Ok(Some(count)) if count <= bytes.len() => Ok(count),
                Ok(None) => Err(io::ErrorKind::WouldBlock.into()),
                _ => Err(io::Error::other("the object's `write` has not said how many bytes it has taken")),
            }
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        interpreter::attach(|py| match self.0.bind(py).hasattr("flush") {
            Ok(true) => self.0.bind(py).call_method0("flush").map(drop).map_err(io::Error::other),
            _ => Ok(()),
        })
    }
}

const NO_TARGET: &str =
    "a target is a path, the URL of an object in a store, or an object with a method `write`";
