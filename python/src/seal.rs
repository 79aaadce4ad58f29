//! `seal`, and `discard`.
//! The library seals; nothing here does.

use std::path::PathBuf;
use std::time::Duration;

use cofferdam::{CancelToken, CompressionLevel, IfExists, SealedAs, Sealer};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::call::{self, Control, Failed};
use crate::number::{Number, count, seconds};
use crate::report::Sealed;
use crate::source::{Given, Opened, check_there};
use crate::target::{self, Target};
use crate::tree_input::{self, Input};
use crate::{error, keys};

/// Seals ``source`` into ``target``, all or nothing, for ``recipients`` and whoever has the ``passphrase``.
///
/// ``metadata`` are pairs of text or bytes, encrypted with the stream; ``sequence`` is a number by which ``min_sequence`` tells an older stream from
/// a newer one; ``zstd`` compresses, with a level from 1 to 19, and not with 0; ``format`` is ``"cofferdam"``, or ``"age"`` for a file that age reads.
/// With ``force`` a target that exists is replaced, atomically; without it is refused. ``threads`` and ``memory`` (bytes) bound what the call uses;
/// ``timeout`` is how many seconds a store may take and bring nothing, 300 by default. ``progress`` is called with a :class:`Progress` on this thread,
/// a few times a second; what it raises cancels the call.
///
/// A ``source`` that names a directory is sealed as a tree, with owners, modes, times, links and attributes, by zstd's level 3 unless ``zstd`` says
/// otherwise. ``exclude`` and ``include`` are globs, one or a list, as the command has them: ``"*.log"`` matches at any depth, ``"/tmp"`` in the
/// directory alone, ``"tmp/"`` directories. Other file systems that are mounted in it are left out, but with ``all_file_systems``. A file that changes
/// meanwhile is flagged, and counted in :attr:`SealedTree.changed`; with ``strict`` that is a :exc:`SourceChangedError`. With ``tar`` the source is a tar
/// archive, and is sealed as the tree that it is. Meanwhile a list of the files, in clear, is kept in ``state_dir``, which only this user may write; the
/// default is the command's.
///
/// What is sealed of memory is what was there while the call ran: do not write to it meanwhile.
///
/// Raises :exc:`TargetExistsError`, :exc:`StorageError`, :exc:`SourceChangedError`, :exc:`UsageError` and other kinds of :exc:`Error`. The target is as
/// it was then, unless it is a :exc:`DurabilityUnknownError`. Of a file object what was written stays written.
#[pyfunction]
#[pyo3(signature = (
    source, target, recipients = None, *, passphrase = None, metadata = None, sequence = None, zstd = None, format = "cofferdam", force = false,
    exclude = None, include = None, strict = false, all_file_systems = false, tar = false, state_dir = None, threads = None, memory = None,
    timeout = None, progress = None,
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
    exclude: Option<&Bound<'_, PyAny>>,
    include: Option<&Bound<'_, PyAny>>,
    strict: bool,
    all_file_systems: bool,
    tar: bool,
    state_dir: Option<PathBuf>,
    threads: Option<Number<usize>>,
    memory: Option<Number<usize>>,
    timeout: Option<f64>,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<Sealed> {
    let timeout = seconds(py, timeout)?;
    let asked = tree_input::Asked { exclude, include, strict, all_file_systems, tar, state_dir };
    let (source, target) = (Input::new(py, Given::new(source, timeout)?, asked)?, Target::new(target)?);
    let recipients = keys::recipients(py, recipients, passphrase)?;
    let mut sealer = in_format(py, Sealer::new(recipients), format)?.if_exists(if_exists(force));
    if let Some(level) = level(py, zstd, source.is_tree())? {
        sealer = sealer.compression(level);
    }
    for (key, value) in metadata.into_iter().flatten() {
        sealer = sealer.metadata(bytes_of(&key)?, bytes_of(&value)?);
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
    let (sealed, tree) = call::run(py, progress, move |Control { cancel, observer }| {
        let sealer = sealer.cancel(cancel.clone()).observer(observer);
        match source {
            Input::Plain(source) => Ok((seal_plain(&sealer, source, target, &cancel, timeout)?, None)),
            Input::Tree(tree) => {
                tree.seal(&sealer, target, &cancel, timeout).map(|(sealed, tree)| (sealed, Some(tree)))
            }
        }
    })?;
    Sealed::new(py, sealed, tree)
}

fn seal_plain(
    sealer: &Sealer,
    source: Given,
    target: Target,
    cancel: &CancelToken,
    timeout: Option<Duration>,
) -> Result<cofferdam::Sealed, Failed> {
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
    let Opened { source, lease: _lease } = source.open(cancel)?;
    target::seal(sealer, source, target, timeout)
}

fn in_format(py: Python<'_>, sealer: Sealer, format: &str) -> PyResult<Sealer> {
    match format {
        "cofferdam" => Ok(sealer),
        "age" => Ok(sealer.sealed_as(SealedAs::Age)),
        _ => Err(error::usage(py, "the format is \"cofferdam\" or \"age\"")),
    }
}

/// How hard it is compressed, if it is.
fn level(py: Python<'_>, given: Option<Number<i32>>, is_tree: bool) -> PyResult<Option<CompressionLevel>> {
    let level = match given {
        Some(Number(0)) => return Ok(None),
        Some(Number(level)) => level,
        None if is_tree => LEVEL_OF_TREES,
        None => return Ok(None),
    };
    let known = CompressionLevel::new(level);
    known.map(Some).ok_or_else(|| error::usage(py, "the level of zstd is a number from 1 to 19; 0 is none"))
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

/// As the command compresses them where nothing is said.
const LEVEL_OF_TREES: i32 = 3;
