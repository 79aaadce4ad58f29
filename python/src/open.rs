//! `restore`, `restore_into`, `verify` and `metadata`: the calls that open a whole stream, or its head.
//! The library opens; nothing here does.

use cofferdam::{Error, ErrorKind, Foreign, Identities, Opener, StreamDigest};
use pyo3::prelude::*;

use crate::buffer::{Buffer, BufferSink};
use crate::call::{self, Control, Failed};
use crate::report::{Restored, pairs};
use crate::seal::{count, if_exists};
use crate::source::Given;
use crate::target::{self, Target};
use crate::{error, keys};

/// What every call that opens may be told.
pub(crate) struct Asked<'a> {
    pub(crate) expect_digest: Option<&'a str>,
    pub(crate) min_sequence: Option<u64>,
    pub(crate) threads: Option<usize>,
    pub(crate) memory: Option<usize>,
}

/// An opener of streams, of those of age too. Without `identities` one that can only verify.
pub(crate) fn opener(py: Python<'_>, identities: Option<Identities>, asked: &Asked<'_>) -> PyResult<Opener> {
    let mut opener = identities.map_or_else(Opener::keyless, Opener::new).foreign(Foreign::Open);
    if let Some(digest) = asked.expect_digest {
        let digest: StreamDigest = digest
            .parse()
            .map_err(|why| error::usage(py, &format!("`expect_digest` is 64 hexadecimal digits: {why}")))?;
        opener = opener.expect_digest(digest);
    }
    if let Some(sequence) = asked.min_sequence {
        opener = opener.min_sequence(sequence);
    }
    if let Some(threads) = count(py, asked.threads, "threads")? {
        opener = opener.threads(threads);
    }
    if let Some(memory) = count(py, asked.memory, "memory")? {
        opener = opener.memory(memory.get());
    }
    Ok(opener)
}

/// Restores `source` into `target`, all or nothing.
#[pyfunction]
#[pyo3(signature = (
    source, target, identities = None, *, passphrase = None, force = false, expect_digest = None, min_sequence = None, threads = None,
    memory = None, progress = None,
))]
#[allow(clippy::too_many_arguments, reason = "they are a Python call's keywords")]
pub(crate) fn restore(
    py: Python<'_>,
    source: &Bound<'_, PyAny>,
    target: &Bound<'_, PyAny>,
    identities: Option<&Bound<'_, PyAny>>,
    passphrase: Option<String>,
    force: bool,
    expect_digest: Option<&str>,
    min_sequence: Option<u64>,
    threads: Option<usize>,
    memory: Option<usize>,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<Restored> {
    let asked = Asked { expect_digest, min_sequence, threads, memory };
    let opener =
        opener(py, keys::identities(py, identities, passphrase)?, &asked)?.if_exists(if_exists(force));
    let (source, target) = (Given::new(source)?, Target::new(target)?);
    let restored = call::run(py, progress, move |Control { cancel, observer }| {
        let opener = opener.cancel(cancel.clone()).observer(observer);
        Ok::<_, Failed>(match (source, target) {
            (Given::Path(sealed), Target::Path(target)) => opener.restore_file(sealed, target)?,
            (source, Target::Path(target)) => opener.restore_to(source.open(&cancel)?, target)?,
            (source, Target::Place(place)) => {
                opener.restore_to_object(source.open(&cancel)?, &target::object(place))?
            }
            (source, Target::File(object)) => opener.open(source.open(&cancel)?, target::ordered(object))?,
        })
    })?;
    Restored::new(py, restored)
}

/// Restores `source` into the beginning of `buffer`, in place. Until this returns, and if it raises, the buffer holds anything.
#[pyfunction]
#[pyo3(signature = (
    source, buffer, identities = None, *, passphrase = None, expect_digest = None, min_sequence = None, threads = None, memory = None,
    progress = None,
))]
#[allow(clippy::too_many_arguments, reason = "they are a Python call's keywords")]
pub(crate) fn restore_into(
    py: Python<'_>,
    source: &Bound<'_, PyAny>,
    buffer: &Bound<'_, PyAny>,
    identities: Option<&Bound<'_, PyAny>>,
    passphrase: Option<String>,
    expect_digest: Option<&str>,
    min_sequence: Option<u64>,
    threads: Option<usize>,
    memory: Option<usize>,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<Restored> {
    let asked = Asked { expect_digest, min_sequence, threads, memory };
    let opener = opener(py, keys::identities(py, identities, passphrase)?, &asked)?;
    let buffer = Buffer::new(buffer)?;
    let source = Given::new(source)?;
    let restored = call::run(py, progress, move |Control { cancel, observer }| {
        let room = buffer.len() as u64;
        let sink = BufferSink::over(buffer);
        let opener = opener.cancel(cancel.clone()).observer(observer);
        let mut needed = None;
        let opened = opener.open_sized(source.open(&cancel)?, |len| {
            needed = len;
            Ok(sink)
        });
        match (opened, needed) {
            (Err(_), Some(needed)) if needed > room => {
                let what = format!("the stream has {needed} bytes, and the buffer {room}");
                Err(Failed::from(Error::new(ErrorKind::Limit, what)))
            }
            (opened, _) => Ok(opened?),
        }
    })?;
    Restored::new(py, restored)
}

/// Checks all of `source`, and writes nothing.
#[pyfunction]
#[pyo3(signature = (
    source, identities = None, *, passphrase = None, expect_digest = None, min_sequence = None, threads = None, memory = None, progress = None,
))]
#[allow(clippy::too_many_arguments, reason = "they are a Python call's keywords")]
pub(crate) fn verify(
    py: Python<'_>,
    source: &Bound<'_, PyAny>,
    identities: Option<&Bound<'_, PyAny>>,
    passphrase: Option<String>,
    expect_digest: Option<&str>,
    min_sequence: Option<u64>,
    threads: Option<usize>,
    memory: Option<usize>,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<Restored> {
    let asked = Asked { expect_digest, min_sequence, threads, memory };
    let opener = opener(py, keys::identities(py, identities, passphrase)?, &asked)?;
    let source = Given::new(source)?;
    let verified = call::run(py, progress, move |Control { cancel, observer }| {
        let opener = opener.cancel(cancel.clone()).observer(observer);
        Ok::<_, Failed>(opener.verify(source.open(&cancel)?)?)
    })?;
    Restored::new(py, verified)
}

/// The pairs that a stream was sealed with; none of its segments is read.
#[pyfunction]
#[pyo3(signature = (source, identities = None, *, passphrase = None))]
pub(crate) fn metadata(
    py: Python<'_>,
    source: &Bound<'_, PyAny>,
    identities: Option<&Bound<'_, PyAny>>,
    passphrase: Option<String>,
) -> PyResult<Py<PyAny>> {
    let asked = Asked { expect_digest: None, min_sequence: None, threads: None, memory: None };
    let opener = opener(py, keys::identities(py, identities, passphrase)?, &asked)?;
    let source = Given::new(source)?;
    let read = call::run(py, None, move |Control { cancel, .. }| {
        Ok::<_, Failed>(opener.cancel(cancel.clone()).metadata(source.open(&cancel)?)?)
    })?;
    pairs(py, &read)
}
