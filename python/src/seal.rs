//! `seal`, and `discard`.
//! The library seals; nothing here does.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use cofferdam::{CompressionLevel, IfExists, SealedAs, Sealer};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::call::{self, Control, Failed};
use crate::report::Sealed;
use crate::source::Given;
use crate::target::{self, Target};
use crate::{error, keys};

/// Seals `source` into `target`, all or nothing.
#[pyfunction]
#[pyo3(signature = (
    source, target, recipients = None, *, passphrase = None, metadata = None, sequence = None, zstd = None, format = "cofferdam", force = false,
    threads = None, memory = None, progress = None,
))]
#[allow(clippy::too_many_arguments, reason = "they are a Python call's keywords")]
pub(crate) fn seal(
    py: Python<'_>,
    source: &Bound<'_, PyAny>,
    target: &Bound<'_, PyAny>,
    recipients: Option<&Bound<'_, PyAny>>,
    passphrase: Option<String>,
    metadata: Option<&Bound<'_, PyDict>>,
    sequence: Option<u64>,
    zstd: Option<i32>,
    format: &str,
    force: bool,
    threads: Option<usize>,
    memory: Option<usize>,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<Sealed> {
    let mut sealer = Sealer::new(keys::recipients(py, recipients, passphrase)?).if_exists(if_exists(force));
    sealer = match format {
        "cofferdam" => sealer,
        "age" => sealer.sealed_as(SealedAs::Age),
        _ => return Err(error::usage(py, "the format is \"cofferdam\" or \"age\"")),
    };
    if let Some(level) = zstd {
        let level = CompressionLevel::new(level)
            .ok_or_else(|| error::usage(py, "the level of zstd is a number from 1 to 19"))?;
        sealer = sealer.compression(level);
    }
    if let Some(metadata) = metadata {
        for (key, value) in metadata {
            sealer = sealer.metadata(bytes_of(&key)?, bytes_of(&value)?);
        }
    }
    if let Some(sequence) = sequence {
        sealer = sealer.sequence(sequence);
    }
    if let Some(threads) = count(py, threads, "threads")? {
        sealer = sealer.threads(threads);
    }
    if let Some(memory) = count(py, memory, "memory")? {
        sealer = sealer.memory(memory.get());
    }
    let (source, target) = (Given::new(source)?, Target::new(target)?);
    let sealed = call::run(py, progress, move |Control { cancel, observer }| {
        let sealer = sealer.cancel(cancel.clone()).observer(observer);
        Ok::<_, Failed>(match (source, target) {
            (Given::Path(input), Target::Path(output)) => sealer.seal_file(input, output)?,
            (Given::Path(input), Target::Place(place)) => {
                sealer.seal_file_to_object(input, &target::object(place))?
            }
            (source, Target::Path(output)) => sealer.seal_to(source.open(&cancel)?, output)?,
            (source, Target::Place(place)) => {
                sealer.seal_to_object(source.open(&cancel)?, &target::object(place))?
            }
            (source, Target::File(object)) => sealer.seal(source.open(&cancel)?, target::ordered(object))?,
        })
    })?;
    Ok(sealed.into())
}

/// Removes what an interrupted call has left beside `target`, if there is something.
#[pyfunction]
pub(crate) fn discard(py: Python<'_>, target: PathBuf) -> PyResult<()> {
    py.detach(|| cofferdam::discard(&target, None)).map(drop).map_err(|why| error::raise(py, &why))
}

pub(crate) fn if_exists(force: bool) -> IfExists {
    if force { IfExists::Replace } else { IfExists::Refuse }
}

/// A number that is at least one.
pub(crate) fn count(py: Python<'_>, given: Option<usize>, name: &str) -> PyResult<Option<NonZeroUsize>> {
    match given {
        Some(0) => Err(error::usage(py, &format!("`{name}` is at least 1"))),
        given => Ok(given.and_then(NonZeroUsize::new)),
    }
}

/// Text in UTF-8, or bytes as they are.
fn bytes_of(given: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    match given.extract::<String>() {
        Ok(text) => Ok(text.into_bytes()),
        Err(_) => given.extract(),
    }
}
