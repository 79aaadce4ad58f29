//! The reader of a sealed stream's plaintext at offsets, for `cofferdam.open`.
//! The library opens frames and keeps them; nothing here does.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::process;
use std::sync::{Arc, OnceLock};

use cofferdam::tree::{Catalog, Content, LocatedEntry};
use cofferdam::{Error, ErrorKind, ForeignReader, is_foreign, tree_content, tree_error};
use lent::Held;
use parking_lot::{Mutex, RwLock};
use pyo3::prelude::*;

use crate::call::{self, Control, Failed};
use crate::number::{Number, seconds};
use crate::open::{Asked, opener};
use crate::report::pairs;
use crate::signed::signed_by;
use crate::source::{Given, Opened};
use crate::tree::Tree;
use crate::{buffer, error, interpreter, keys};

/// Any byte of a stream's plaintext, from any thread.
#[pyclass(frozen, module = "cofferdam._native")]
pub(crate) struct Reader {
    /// Until it is closed.
    open: Arc<RwLock<Option<Open>>>,
    /// Length of the plaintext in bytes.
    #[pyo3(get)]
    size: u64,
    /// The pairs that the stream was sealed with.
    #[pyo3(get)]
    metadata: Py<PyAny>,
    is_far: bool,
    /// Its threads are this process's, and no child has them.
    process: u32,
}

/// The source's memory is given back once nobody reads it: the lease is dropped last.
pub(crate) struct Open {
    /// Of a tree that has been asked for.
    catalog: OnceLock<Catalog>,
    kind: Kind,
    _lease: Option<Box<dyn Held>>,
}

enum Kind {
    Own(Arc<cofferdam::Reader>),
    /// One read at a time.
    Foreign(Box<Mutex<ForeignReader>>),
}

impl Open {
    /// The catalog of the tree that the stream is.
    pub(crate) fn catalog(&self) -> Result<&Catalog, Error> {
        if let Some(catalog) = self.catalog.get() {
            return Ok(catalog);
        }
        let content = match &self.kind {
            Kind::Own(reader) => Some((tree_content(reader)?, reader.len())),
            Kind::Foreign(_) => None,
        };
        match content {
            Some((Content::Tree(catalog), _)) => Ok(self.catalog.get_or_init(|| catalog)),
            Some((Content::PlainFile { tar_len }, len)) if tar_len < len => {
                Err(Error::new(ErrorKind::Usage, "the tree has no catalog, so nothing in it can be found")
                    .advise("What the reader reads is its tar archive."))
            }
            _ => Err(Error::new(ErrorKind::Usage, "the stream is no tree")
                .advise("A tree is what is sealed of a directory, or of a tar archive.")),
        }
    }

    /// Headers decide (TREE T6.3): nothing is given out of a file whose own says something else than the catalog.
    pub(crate) fn check_header(&self, file: &LocatedEntry) -> Result<(), Error> {
        match &self.kind {
            Kind::Own(reader) => file.read_member(&**reader).map(drop).map_err(tree_error),
            Kind::Foreign(_) => Ok(()),
        }
    }

    pub(crate) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        self.kind.read_at(offset, buffer)
    }
}

impl Kind {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        let reader = match self {
            Kind::Own(reader) => return reader.read_at(offset, buffer),
            Kind::Foreign(reader) => reader,
        };
        let mut reader = reader.lock();
        let mut filled = 0;
        let read = reader.seek(SeekFrom::Start(offset)).and_then(|_| {
            while filled < buffer.len() {
                match reader.read(&mut buffer[filled..])? {
                    0 => break,
                    count => filled += count,
                }
            }
            Ok(())
        });
        match read.map_err(|why| why.downcast::<Error>()) {
            Ok(()) => Ok(filled),
            Err(Ok(error)) => Err(error),
            Err(Err(why)) => Err(Error::io("the stream could not be read", why)),
        }
    }
}

#[pymethods]
impl Reader {
    /// Fills `buffer` from byte `offset` on, and returns how many bytes that are: fewer than it has at the end alone.
    fn read_into(&self, py: Python<'_>, offset: u64, buffer: &Bound<'_, PyAny>) -> PyResult<usize> {
        let mut buffer = buffer::lend_mut(buffer)?;
        self.using(py, move |open| open.read_at(offset, buffer.bytes_mut()))
    }

    /// The tree that the stream is.
    fn tree(slf: Bound<'_, Self>) -> PyResult<Tree> {
        let entries = slf.get().using(slf.py(), |open| Ok(open.catalog()?.entries()))?;
        Ok(Tree::new(slf.unbind(), entries))
    }

    /// Ends it, with what it keeps in memory. Reads that are under way end first.
    fn close(&self, py: Python<'_>) {
        if self.process == process::id() {
            py.detach(|| drop(self.open.write().take()));
        }
    }
}

impl Reader {
    /// Has `work` use what is open, with the interpreter free for others.
    pub(crate) fn using<T: Send + 'static>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&Open) -> Result<T, Error> + Send + 'static,
    ) -> PyResult<T> {
        self.check_process(py)?;
        let begun = interpreter::Use::begin();
        let Some(_used) = begun else { return Err(interpreter::ended(py)) };
        let open = self.open.clone();
        let work = move || {
            let open = open.read();
            work(open.as_ref().ok_or_else(|| Error::new(ErrorKind::Usage, "the reader is closed"))?)
        };
        match self.is_far {
            // A signal ends the wait for a network, and not the request.
            true => call::run(py, None, move |_| Ok::<_, Failed>(work()?)),
            false => py.detach(work).map_err(|why| error::raise(py, &why)),
        }
    }

    fn check_process(&self, py: Python<'_>) -> PyResult<()> {
        match self.process == process::id() {
            true => Ok(()),
            false => Err(error::usage(
                py,
                "this reader was opened before the process forked, and its threads are not here: open it again in the child",
            )),
        }
    }
}

impl Drop for Reader {
    #[expect(clippy::disallowed_methods, reason = "what a forked child has of it cannot be ended")]
    fn drop(&mut self) {
        if self.process != process::id() {
            // Its threads, which would be waited for, are the parent's.
            std::mem::forget(self.open.clone());
        }
    }
}

/// Opens `source` to be read at offsets.
#[pyfunction]
#[pyo3(signature = (
    source, identities = None, *, passphrase = None, expect_digest = None, min_sequence = None, signed_by = None, signature = None,
    threads = None, memory = None, timeout = None,
))]
#[allow(clippy::too_many_arguments, reason = "they are a Python call's keywords")]
pub(crate) fn open_reader(
    py: Python<'_>,
    source: &Bound<'_, PyAny>,
    identities: Option<&Bound<'_, PyAny>>,
    passphrase: Option<String>,
    expect_digest: Option<&str>,
    min_sequence: Option<Number<u64>>,
    signed_by: Option<&Bound<'_, PyAny>>,
    signature: Option<&Bound<'_, PyAny>>,
    threads: Option<Number<usize>>,
    memory: Option<Number<usize>>,
    timeout: Option<f64>,
) -> PyResult<Reader> {
    let signed = self::signed_by(source, signed_by, signature)?;
    let asked = Asked { expect_digest, min_sequence, signed, threads, memory };
    let opener = opener(py, keys::identities(py, identities, passphrase)?, asked)?;
    let source = Given::new(source, seconds(py, timeout)?)?;
    let is_far = source.is_far();
    let open = call::run(py, None, move |Control { cancel, .. }| {
        let Opened { source, lease } = source.open(&cancel)?;
        // The token lives as long as the reader, and nobody uses it after this call.
        let opener = opener.cancel(cancel);
        let kind = match is_foreign(&source)? {
            true => Kind::Foreign(Box::new(Mutex::new(opener.foreign_reader(source)?))),
            false => Kind::Own(Arc::new(opener.reader(source)?)),
        };
        Ok::<_, Failed>(Open { catalog: OnceLock::new(), kind, _lease: lease })
    })?;
    let (size, metadata) = match &open.kind {
        Kind::Own(reader) => (reader.len(), pairs(py, reader.metadata())?),
        Kind::Foreign(reader) => (reader.lock().len(), pairs(py, &Vec::new())?),
    };
    Ok(Reader { open: Arc::new(RwLock::new(Some(open))), size, metadata, is_far, process: process::id() })
}
