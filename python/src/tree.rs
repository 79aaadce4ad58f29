//! The members of a sealed tree, for `Reader.tree`: listed, found, and read one by one.
//! The library's catalog finds them; nothing here does.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use cofferdam::tree::{Catalog, Entry as TreeEntry, EntryKind, LocatedEntry, TreeError, TreePath};
use cofferdam::{Error, ErrorKind, tree_error};
use pyo3::prelude::*;

use crate::buffer;
use crate::reader::Reader;
use crate::report::path;

/// What a sealed tree says of one member. A path-like object, of its path.
#[pyclass(frozen, module = "cofferdam")]
pub(crate) struct Entry(TreeEntry);

#[pymethods]
impl Entry {
    /// Its path from the tree's directory on, which is itself ``"."``. Bytes that are no text are in it as ``os.fsdecode`` has them.
    #[getter]
    fn path(&self) -> OsString {
        path(&self.0.path)
    }

    /// ``"file"``, ``"directory"``, ``"symlink"``, ``"hard link"``, ``"character device"``, ``"block device"`` or ``"fifo"``.
    #[getter]
    fn r#type(&self) -> &'static str {
        match self.0.kind {
            EntryKind::File => "file",
            EntryKind::HardLink => "hard link",
            EntryKind::Symlink => "symlink",
            EntryKind::CharDevice => "character device",
            EntryKind::BlockDevice => "block device",
            EntryKind::Directory => "directory",
            EntryKind::Fifo => "fifo",
        }
    }

    /// Bytes of a file; 0 of all others, hard links among them.
    #[getter]
    fn size(&self) -> u64 {
        self.0.size
    }

    /// Permission bits, with set-id and sticky bits.
    #[getter]
    fn mode(&self) -> u32 {
        self.0.mode
    }

    /// The owner's number.
    #[getter]
    fn uid(&self) -> u32 {
        self.0.uid
    }

    /// The group's number.
    #[getter]
    fn gid(&self) -> u32 {
        self.0.gid
    }

    /// When its contents last changed, in nanoseconds since 1970: ``st_mtime_ns``.
    #[getter]
    fn mtime_ns(&self) -> i128 {
        i128::from(self.0.modified.seconds) * 1_000_000_000 + i128::from(self.0.modified.nanos)
    }

    /// Of a symbolic link its target, of a hard link the path of the file that it is a name of; ``None`` of others.
    #[getter]
    fn link(&self) -> Option<OsString> {
        self.0.kind.is_link().then(|| OsStr::from_bytes(&self.0.link).to_owned())
    }

    /// Whether the file changed while it was sealed: its bytes may be of several moments.
    #[getter]
    fn changed(&self) -> bool {
        self.0.changed
    }

    /// Whether the file was gone when it was read: zeros stand for it, or for the rest of it. Then it has changed as well.
    #[getter]
    fn gone(&self) -> bool {
        self.0.gone
    }

    fn __fspath__(&self) -> OsString {
        self.path()
    }

    fn __repr__(&self) -> String {
        // As Rust escapes it: whatever its bytes are, that is text.
        format!("<cofferdam.Entry {} {:?}>", self.r#type(), self.0.path.as_path())
    }
}

/// The members of a tree whose stream a reader reads.
#[pyclass(frozen, module = "cofferdam._native")]
pub(crate) struct Tree {
    reader: Py<Reader>,
    entries: u64,
}

#[pymethods]
impl Tree {
    fn __len__(&self) -> usize {
        usize::try_from(self.entries).unwrap_or(usize::MAX)
    }

    /// What is at `path`, if something is.
    fn find(&self, py: Python<'_>, path: PathBuf) -> PyResult<Option<Entry>> {
        let found = self
            .reader
            .get()
            .using(py, move |open| open.catalog()?.find(&parsed(&path)?).map_err(tree_error))?;
        Ok(found.map(|found| Entry(found.entry)))
    }

    /// At most `count` of what is at `path` and below it, in the order of paths, from `place` on, or from the first; and the place behind that. None
    /// where no more follow.
    fn batch(
        &self,
        py: Python<'_>,
        path: PathBuf,
        place: Option<u64>,
        count: u64,
    ) -> PyResult<(Vec<Entry>, u64)> {
        self.reader.get().using(py, move |open| {
            let (catalog, path) = (open.catalog()?, parsed(&path)?);
            let first = place.map_or_else(|| catalog.place_of(&path), Ok).map_err(tree_error)?;
            let entries = below(catalog, &path, first, count).map_err(tree_error)?;
            if entries.is_empty() && place.is_none() {
                return Err(not_there(&path));
            }
            let behind = first + entries.len() as u64;
            Ok((entries, behind))
        })
    }

    /// The file at `path`, or that the hard link there is a name of.
    fn member(&self, py: Python<'_>, path: PathBuf) -> PyResult<Member> {
        let (entry, at, size) = self.reader.get().using(py, move |open| {
            let (catalog, path) = (open.catalog()?, parsed(&path)?);
            let found = catalog.find(&path).map_err(tree_error)?.ok_or_else(|| not_there(&path))?;
            let file = resolved(catalog, &found)?;
            open.check_header(&file)?;
            let (at, size) = (file.data_at(), file.entry.size);
            Ok((Entry(found.entry), at, size))
        })?;
        Ok(Member { reader: self.reader.clone_ref(py), entry: Py::new(py, entry)?, at, size })
    }
}

impl Tree {
    pub(crate) fn new(reader: Py<Reader>, entries: u64) -> Tree {
        Tree { reader, entries }
    }
}

/// The bytes of a member. Closing the reader ends it.
#[pyclass(frozen, module = "cofferdam._native")]
pub(crate) struct Member {
    reader: Py<Reader>,
    /// What the tree says of it.
    #[pyo3(get)]
    entry: Py<Entry>,
    /// Where in the plaintext it begins.
    at: u64,
    /// Its length in bytes.
    #[pyo3(get)]
    size: u64,
}

#[pymethods]
impl Member {
    /// Fills `buffer` from byte `offset` on, and returns how many bytes that are: fewer than it has at the end alone.
    fn read_into(&self, py: Python<'_>, offset: u64, buffer: &Bound<'_, PyAny>) -> PyResult<usize> {
        let mut buffer = buffer::lend_mut(buffer)?;
        let (at, left) = (self.at.saturating_add(offset), self.size.saturating_sub(offset));
        self.reader.get().using(py, move |open| {
            let buffer = buffer.bytes_mut();
            let len = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
            match len {
                0 => Ok(0),
                _ => open.read_at(at, &mut buffer[..len]),
            }
        })
    }

    /// It holds nothing of its own.
    fn close(&self) {}
}

/// The entries at `path` and below it from this place on: `count`, or fewer where no more follow, or their names are long.
fn below(catalog: &Catalog, path: &TreePath, first: u64, count: u64) -> Result<Vec<Entry>, TreeError> {
    let (mut entries, mut len) = (Vec::new(), 0);
    for located in catalog.in_order(first..first.saturating_add(count)) {
        let entry = located?.entry;
        if !(path.is_root() || entry.path == *path || entry.path.is_below(path)) {
            break;
        }
        len += entry.path.as_bytes().len() + entry.link.len();
        entries.push(Entry(entry));
        if len > BATCH_NAMES_LEN {
            break;
        }
    }
    Ok(entries)
}

/// The file that `found` is, or is a hard link to.
fn resolved(catalog: &Catalog, found: &LocatedEntry) -> Result<LocatedEntry, Error> {
    let (path, link) = (&found.entry.path, &found.entry.link);
    let refused = |what: String| Err(Error::new(ErrorKind::Usage, what));
    match found.entry.kind {
        EntryKind::File => return Ok(found.clone()),
        EntryKind::HardLink => {}
        EntryKind::Symlink => {
            let target = Path::new(OsStr::from_bytes(link));
            return refused(format!("{path} is a symbolic link to {target:?}, which is not followed"));
        }
        EntryKind::Directory => return refused(format!("{path} is a directory")),
        _ => return refused(format!("{path} is no file")),
    }
    let target = TreePath::parse(link).ok();
    let led = target.map(|target| catalog.find(&target)).transpose().map_err(tree_error)?.flatten();
    let may_lead = |led: &LocatedEntry| {
        led.number < found.number && !matches!(led.entry.kind, EntryKind::Directory | EntryKind::HardLink)
    };
    match led.filter(may_lead) {
        Some(led) if led.entry.kind == EntryKind::File => Ok(led),
        Some(_) => refused(format!("{path} is no file")),
        None => {
            let what = format!("{path} is a hard link to what none can lead to");
            Err(Error::new(ErrorKind::Damaged, what))
        }
    }
}

/// A path as people give it: with `./` or `/` before it or not, and with `/` behind it or not. An empty one is the tree's own directory.
fn parsed(path: &Path) -> Result<TreePath, Error> {
    let bytes = path.as_os_str().as_bytes();
    let stripped = bytes.strip_prefix(b"./").unwrap_or(bytes);
    let stripped = stripped.strip_prefix(b"/").unwrap_or(stripped);
    let stripped = stripped.strip_suffix(b"/").unwrap_or(stripped);
    match stripped.is_empty() {
        true => Ok(TreePath::root()),
        false => TreePath::parse(stripped)
            .map_err(|fault| Error::new(ErrorKind::Usage, format!("no tree has a path {path:?}: {fault}"))),
    }
}

fn not_there(path: &TreePath) -> Error {
    Error::io(format!("the tree has nothing at {path}"), io::ErrorKind::NotFound.into())
}

/// Bytes of the names that are told at once, about: what an iterator holds.
const BATCH_NAMES_LEN: usize = 4 << 20;
