//! `restore_paths`: some members of a tree, as a directory.
//! The library restores; nothing here does.

use cofferdam::RestoredPaths;
use cofferdam::tree::Globs;
use pyo3::prelude::*;

use crate::call::{self, Control, Failed};
use crate::number::{Number, seconds};
use crate::open::{Asked, opener};
use crate::report::RestoredTree;
use crate::seal::if_exists;
use crate::signed::signed_by;
use crate::source::{Given, Opened};
use crate::target::Target;
use crate::tree_input::strings;
use crate::{error, keys, tree_options};

/// Restores of the tree in ``source`` what ``paths`` match, with the directories that it is in, as a directory at ``target``: all of that or nothing.
///
/// ``paths`` is a glob, or a list of them, as the command's ``--path`` has them: ``/a/b`` is a path from the sealed directory on, ``b`` one at any
/// depth; what is below a directory that matches is restored too. Only these members are read, and **only these bytes are proved** to be as they were
/// sealed; that the rest of the stream is there and unchanged, :func:`verify` says. Nothing is kept of it if it is interrupted. The source needs offsets.
///
/// The keywords are those of :func:`restore`.
///
/// Raises :exc:`UsageError` where the stream is no tree, or nothing matches, and other kinds of :exc:`Error`.
#[pyfunction]
#[pyo3(signature = (
    source, target, paths, identities = None, *, passphrase = None, force = false, keep_old = false, into = false, numeric_owner = false,
    no_owner = false, set_id = false, devices = false, expect_digest = None, min_sequence = None, signed_by = None, signature = None, threads = None,
    memory = None, timeout = None,
))]
#[allow(clippy::too_many_arguments, reason = "they are a Python call's keywords")]
pub(crate) fn restore_paths(
    py: Python<'_>,
    source: &Bound<'_, PyAny>,
    target: &Bound<'_, PyAny>,
    paths: &Bound<'_, PyAny>,
    identities: Option<&Bound<'_, PyAny>>,
    passphrase: Option<String>,
    force: bool,
    keep_old: bool,
    into: bool,
    numeric_owner: bool,
    no_owner: bool,
    set_id: bool,
    devices: bool,
    expect_digest: Option<&str>,
    min_sequence: Option<Number<u64>>,
    signed_by: Option<&Bound<'_, PyAny>>,
    signature: Option<&Bound<'_, PyAny>>,
    threads: Option<Number<usize>>,
    memory: Option<Number<usize>>,
    timeout: Option<f64>,
) -> PyResult<RestoredTree> {
    let signed = self::signed_by(source, signed_by, signature)?;
    let asked = Asked { expect_digest, min_sequence, signed, threads, memory };
    let opener =
        opener(py, keys::identities(py, identities, passphrase)?, asked)?.if_exists(if_exists(force));
    let ends = (Given::new(source, seconds(py, timeout)?)?, Target::new(target)?);
    let tree = tree_options::Asked { force, keep_old, into, numeric_owner, no_owner, set_id, devices };
    tree.check(py, (&ends.0, &ends.1), tree_options::files(identities, [signed_by, signature])?)?;
    let (source, Target::Path(target)) = ends else {
        return Err(error::usage(py, "the target is a path: a directory is made there"));
    };
    let selection = Globs::new(strings(Some(paths), "paths")?.iter().map(String::as_str))
        .map_err(|problem| error::usage(py, &format!("`paths`: {problem}")))?;
    let options = tree.options();
    let restored = call::run(py, None, move |Control { cancel, observer }| {
        let opener = opener.cancel(cancel.clone()).observer(observer);
        let Opened { source, lease: _lease } = source.open(&cancel)?;
        Ok::<_, Failed>(opener.restore_paths(source, target, &selection, &options)?)
    })?;
    let RestoredPaths { tree, .. } = restored;
    Ok(tree.into())
}
