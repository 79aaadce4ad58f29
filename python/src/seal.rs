//! `seal`, and `discard`.
//! The library seals; nothing here does.

use std::path::PathBuf;

use cofferdam::{CompressionLevel, IfExists, SealedAs, Sealer};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::call::{self, Control, Failed};
use crate::number::{Number, count, seconds};
use crate::report::Sealed;
use crate::source::{Given, Opened, check_there};
use crate::target::{self, Target};
use crate::{error, keys};

/// Seals ``source`` into ``target``, all or nothing, for ``recipients`` and whoever has the ``passphrase``.
///
/// ``metadata`` are pairs of text or bytes, encrypted with the stream; ``sequence`` is a number by which ``min_sequence`` tells an older stream from
/// a newer one; ``zstd`` compresses, with a level from 1 to 19; ``format`` is ``"cofferdam"``, or ``"age"`` for a file that age reads. With ``force`` a
/// target that exists is replaced, atomically; without it is refused. ``threads`` and ``memory`` (bytes) bound what the call uses; ``timeout`` is how
/// many seconds a store may take and bring nothing, 300 by default. ``progress`` is called with a :class:`Progress` on this thread, a few times a
/// second; what it raises cancels the call.
///
/// What is sealed of memory is what was there while the call ran: do not write to it meanwhile.
///
/// Raises :exc:`TargetExistsError`, :exc:`StorageError`, :exc:`SourceChangedError`, :exc:`UsageError` and other kinds of :exc:`Error`. The target is as
/// it was then, unless it is a :exc:`DurabilityUnknownError`. Of a file object what was written stays written.
#[pyfunction]
#[pyo3(signature = (
    source, target, recipients = None, *, passphrase = None, metadata = None, sequence = None, zstd = None, format = "cofferdam", force = false,
    threads = None, memory = None, timeout = None, progress = None,
))]
#[allow(clippy::too_many_arguments, reason = "they are a Python call's keywords")]
pub(crate) fn seal(
    py: Python<'_>,
    source: &Bound<'_, PyAny>,
    target: &Bound<'_, PyAny>,
    recipients: Option<&Bound<'_, PyAny>>,
    passphrase: Option<String>,
    metadata: Option<&Bound<'_, PyDict>>,
    sequence: Option<Number<u64>>,
    zstd: Option<Number<i32>>,
    format: &str,
    force: bool,
    threads: Option<Number<usize>>,
    memory: Option<Number<usize>>,
    timeout: Option<f64>,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<Sealed> {
    let mut sealer = Sealer::new(keys::recipients(py, recipients, passphrase)?).if_exists(if_exists(force));
    sealer = match format {
        "cofferdam" => sealer,
        "age" => sealer.sealed_as(SealedAs::Age),
        _ => return Err(error::usage(py, "the format is \"cofferdam\" or \"age\"")),
    };
    if let Some(Number(level)) = zstd {
        let level = CompressionLevel::new(level)
            .ok_or_else(|| error::usage(py, "the level of zstd is a number from 1 to 19"))?;
        sealer = sealer.compression(level);
    }
    if let Some(metadata) = metadata {
        for (key, value) in metadata {
            sealer = sealer.metadata(bytes_of(&key)?, bytes_of(&value)?);
        }
    }
    if let Some(Number(sequence)) = sequence {
        sealer = sealer.sequence(sequence);
    }
    if let Some(threads) = count(py, threads, "threads")? {
        sealer = sealer.threads(threads);
    }
    if let Some(memory) = count(py, memory, "memory")? {
        sealer = sealer.memory(memory.get());
    }
    let timeout = seconds(py, timeout)?;
    let (source, target) = (Given::new(source, timeout)?, Target::new(target)?);
    let sealed = call::run(py, progress, move |Control { cancel, observer }| {
        let sealer = sealer.cancel(cancel.clone()).observer(observer);
        if let Given::Path(input) = &source {
            check_there(input)?;
        }
        let (source, target) = match (source, target) {
            (Given::Path(input), Target::Path(output)) => return Ok(sealer.seal_file(input, output)?),
            (Given::Path(input), Target::Place(place)) => {
                return Ok(sealer.seal_file_to_object(input, &target::object(place, timeout))?);
            }
            ends => ends,
        };
        let Opened { source, lease: _lease } = source.open(&cancel)?;
        Ok::<_, Failed>(match target {
            Target::Path(output) => sealer.seal_to(source, output)?,
            Target::Place(place) => sealer.seal_to_object(source, &target::object(place, timeout))?,
            Target::File(object) => sealer.seal(source, target::ordered(object))?,
        })
    })?;
    Ok(sealed.into())
}

/// Removes what an interrupted call has left beside ``target``, if there is something.
///
/// Raises :exc:`TargetLockedError` while another process is writing that target, and :exc:`StorageError`.
#[pyfunction]
pub(crate) fn discard(py: Python<'_>, target: PathBuf) -> PyResult<()> {
    py.detach(|| cofferdam::discard(&target, None)).map(drop).map_err(|why| error::raise(py, &why))
}

pub(crate) fn if_exists(force: bool) -> IfExists {
    if force { IfExists::Replace } else { IfExists::Refuse }
}

/// Text in UTF-8, or bytes as they are.
fn bytes_of(given: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    match given.extract::<String>() {
        Ok(text) => Ok(text.into_bytes()),
        Err(_) => given.extract(),
    }
}
