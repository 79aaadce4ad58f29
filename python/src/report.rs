//! What calls return, as objects with attributes.
//! It computes nothing.

use std::collections::BTreeMap;
use std::ffi::OsString;

use cofferdam::tree::{EntryCounts, TreePath};
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
    /// What is in it, where a directory or an archive was sealed as a tree.
    tree: Option<Py<SealedTree>>,
}

#[pymethods]
impl Sealed {
    fn __repr__(&self) -> String {
        format!("<cofferdam.Sealed {} bytes, digest {}>", self.plaintext_len, self.stream_digest)
    }
}

impl Sealed {
    pub(crate) fn new(
        py: Python<'_>,
        sealed: cofferdam::Sealed,
        tree: Option<SealedTree>,
    ) -> PyResult<Sealed> {
        Ok(Sealed {
            stream_id: sealed.stream_id.to_string(),
            segments: sealed.segments,
            plaintext_len: sealed.plaintext_len,
            wire_len: sealed.wire_len,
            stream_digest: sealed.stream_digest.to_string(),
            sequence: sealed.sequence,
            resumed_bytes: sealed.resumed_bytes,
            tree: tree.map(|tree| Py::new(py, tree)).transpose()?,
        })
    }
}

/// What was sealed of a directory, or of an archive.
#[derive(Default)]
#[pyclass(frozen, get_all, module = "cofferdam")]
pub(crate) struct SealedTree {
    /// Regular files. 0, as the four below, of an archive that has no catalog.
    files: u64,
    /// Directories, that which was sealed among them.
    directories: u64,
    /// Symbolic links.
    symlinks: u64,
    /// Further names of files.
    hard_links: u64,
    /// Devices and FIFOs.
    others: u64,
    /// Files that changed while they were read: their bytes may be of several moments. They are flagged in the stream.
    changed: u64,
    /// The first 1,000 of them, without those that were gone.
    changed_paths: Vec<OsString>,
    /// Of those that changed, the ones that were gone: zeros stand for what was not read of them.
    gone: u64,
    /// The first 1,000 of those that were gone.
    gone_paths: Vec<OsString>,
    /// How much was left out, by what: `by_globs`, `mounts`, `sockets`, `gone`, `own_directories`, and `owner_names`: files that
    /// have the numbers of their owners alone, for the name services failed. None of an archive.
    left_out: Option<BTreeMap<&'static str, u64>>,
    /// Why an archive has no catalog, by which its files are found; `None` where it has one.
    no_catalog: Option<String>,
}

impl From<EntryCounts> for SealedTree {
    fn from(counts: EntryCounts) -> SealedTree {
        let EntryCounts { files, directories, symlinks, hard_links, others, changed, .. } = counts;
        SealedTree { files, directories, symlinks, hard_links, others, changed, ..SealedTree::default() }
    }
}

impl From<&cofferdam::SealedTree> for SealedTree {
    fn from(sealed: &cofferdam::SealedTree) -> SealedTree {
        let left_out = sealed.left_out.map(|left_out| {
            BTreeMap::from([
                ("by_globs", left_out.by_globs),
                ("mounts", left_out.mounts),
                ("sockets", left_out.sockets),
                ("gone", left_out.gone),
                ("own_directories", left_out.own_directories),
                ("owner_names", left_out.owner_names),
            ])
        });
        SealedTree {
            changed: sealed.changed.count,
            changed_paths: sealed.changed.first.iter().map(path).collect(),
            gone: sealed.changed.gone,
            gone_paths: sealed.changed.first_gone.iter().map(path).collect(),
            left_out,
            ..SealedTree::from(sealed.counts)
        }
    }
}

impl SealedTree {
    /// Of an archive that is one file from now on, and why.
    pub(crate) fn without_catalog(why: String) -> SealedTree {
        SealedTree { no_catalog: Some(why), ..SealedTree::default() }
    }
}

#[pymethods]
impl SealedTree {
    fn __repr__(&self) -> String {
        match &self.no_catalog {
            Some(why) => format!("<cofferdam.SealedTree without a catalog: {why}>"),
            None => format!("<cofferdam.SealedTree {} files, {} directories>", self.files, self.directories),
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
    /// What became of a tree that was restored as a directory.
    tree: Option<Py<RestoredTree>>,
}

#[pymethods]
impl Restored {
    fn __repr__(&self) -> String {
        format!("<cofferdam.Restored {} bytes>", self.plaintext_len)
    }
}

impl Restored {
    pub(crate) fn new(
        py: Python<'_>,
        restored: cofferdam::Restored,
        tree: Option<RestoredTree>,
    ) -> PyResult<Restored> {
        Ok(Restored {
            stream_id: restored.stream_id.to_string(),
            segments: restored.segments,
            plaintext_len: restored.plaintext_len,
            stream_digest: restored.foreign.is_none().then(|| restored.stream_digest.to_string()),
            sequence: restored.sequence(),
            resumed_bytes: restored.resumed_bytes,
            metadata: pairs(py, &restored.metadata)?,
            warnings: restored.warnings.iter().map(ToString::to_string).collect(),
            tree: tree.map(|tree| Py::new(py, tree)).transpose()?,
        })
    }
}

/// A tree that was restored as a directory, and what that lacks.
#[pyclass(frozen, get_all, module = "cofferdam")]
pub(crate) struct RestoredTree {
    /// Regular files.
    files: u64,
    /// Directories.
    directories: u64,
    /// Symbolic links.
    symlinks: u64,
    /// Further names of files.
    hard_links: u64,
    /// Devices and FIFOs.
    others: u64,
    /// Files that had changed while they were sealed: their bytes may be of several moments.
    changed: u64,
    /// How many files lack what: `owners`, `xattrs`, `set_id_bits`, `devices`, `times`, `group_rights`.
    left_out: BTreeMap<&'static str, u64>,
    /// Where the directory is that was replaced, if it is still there.
    old_tree: Option<OsString>,
    /// Why it could not be removed, where it was to be.
    old_tree_not_removed: Option<String>,
}

#[pymethods]
impl RestoredTree {
    fn __repr__(&self) -> String {
        format!("<cofferdam.RestoredTree {} files, {} directories>", self.files, self.directories)
    }
}

impl From<cofferdam::tree_sink::Restored> for RestoredTree {
    fn from(restored: cofferdam::tree_sink::Restored) -> RestoredTree {
        let EntryCounts { files, directories, symlinks, hard_links, others, changed, .. } = restored.counts;
        let left_out = restored.left_out;
        RestoredTree {
            files,
            directories,
            symlinks,
            hard_links,
            others,
            changed,
            left_out: BTreeMap::from([
                ("owners", left_out.owners),
                ("xattrs", left_out.xattrs),
                ("set_id_bits", left_out.set_id_bits),
                ("devices", left_out.devices),
                ("times", left_out.times),
                ("group_rights", left_out.group_rights),
            ]),
            old_tree: restored.old_tree.map(OsString::from),
            old_tree_not_removed: restored.not_removed,
        }
    }
}

/// A path of a tree as Python names files.
pub(crate) fn path(path: &TreePath) -> OsString {
    path.as_path().as_os_str().to_owned()
}

/// Pairs as a `dict` of bytes.
pub(crate) fn pairs(py: Python<'_>, metadata: &cofferdam::Metadata) -> PyResult<Py<PyAny>> {
    let dict = pyo3::types::PyDict::new(py);
    for (key, value) in metadata {
        dict.set_item(PyBytes::new(py, key), PyBytes::new(py, value))?;
    }
    Ok(dict.into_any().unbind())
}
