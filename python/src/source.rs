//! Where bytes come from: a path, a URL, memory, a file object, or an object that reads ranges.
//! It opens what Python names; which of them is meant, their types say.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cofferdam::remote::{Place, RemoteOptions, RetryPolicy};
use cofferdam::{
    Arrival, CancelToken, Error, ErrorKind, ReadAt, ReaderSource, RemoteSource, Source, open_path,
};
use lent::{Held, Lease, LentBytes, ReadBehindGate};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::number::Number;
use crate::{buffer, error, interpreter};

/// Where bytes come from, before it is opened.
pub(crate) enum Given {
    Path(PathBuf),
    Place {
        place: Place,
        timeout: Option<Duration>,
    },
    /// Not copied: its owner cannot free or resize it until the call ends.
    Memory(LentBytes),
    /// A file object, read in order.
    File(Py<PyAny>),
    /// `size`, and `read_at(offset, length)`, which is called from any thread.
    Ranges {
        object: Py<PyAny>,
        size: u64,
    },
}

/// What a call reads, and what it has to hold until it ends.
pub(crate) struct Opened {
    pub(crate) source: Box<dyn Source>,
    pub(crate) lease: Option<Box<dyn Held>>,
}

impl Given {
    /// `timeout` is how long a store or server may bring nothing.
    pub(crate) fn new(given: &Bound<'_, PyAny>, timeout: Option<Duration>) -> PyResult<Given> {
        let py = given.py();
        if let Some(place) = place(given)? {
            return Ok(Given::Place { place, timeout });
        }
        if let Some(memory) = buffer::lend(given)? {
            return Ok(Given::Memory(memory));
        }
        if let Ok(path) = given.extract::<PathBuf>() {
            return Ok(Given::Path(path));
        }
        if given.hasattr("read_at")? {
            let Number(size) = given.getattr("size")?.extract()?;
            return Ok(Given::Ranges { object: given.clone().unbind(), size });
        }
        match given.hasattr("read")? {
            true => Ok(Given::File(given.clone().unbind())),
            false => Err(error::usage(py, NO_SOURCE)),
        }
    }

    /// Whether reads of it may take as long as a network does.
    pub(crate) fn is_far(&self) -> bool {
        matches!(self, Given::Place { .. } | Given::Ranges { .. })
    }

    pub(crate) fn open(self, cancel: &CancelToken) -> Result<Opened, Error> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::InvalidInput => Error::new(ErrorKind::Usage, error.to_string()),
            _ => Error::io("the source could not be opened", error),
        };
        let mut lease: Option<Box<dyn Held>> = None;
        let source: Box<dyn Source> = match self {
            Given::Path(path) => open_path(&path)
                .map_err(|error| Error::io(format!("{} could not be opened", path.display()), error))?,
            Given::Place { place, timeout } => {
                let cancel = cancel.clone();
                let options = RemoteOptions::new().retries(policy(timeout));
                let options = options.cancel_when(Arc::new(move || cancel.is_cancelled()));
                Box::new(RemoteSource::open(place, options).map_err(failed)?)
            }
            Given::Memory(memory) => {
                let lent = Lease::new(memory);
                let place = ReadBehindGate::new(lent.gate()).map_err(failed)?;
                lease = Some(Box::new(lent));
                Box::new(InOrder::new(Arc::new(place)))
            }
            Given::File(object) => Box::new(ReaderSource::new(FileObject(object))),
            Given::Ranges { object, size } => Box::new(InOrder::new(Arc::new(RangesAt { object, size }))),
        };
        Ok(Opened { source, lease })
    }
}

/// Says which file it is that is not there: where the library opens it, its words are for a caller who has named one.
pub(crate) fn check_there(path: &Path) -> Result<(), Error> {
    let found = path.metadata().map(drop);
    found.map_err(|error| Error::io(format!("{} could not be opened", path.display()), error))
}

/// How requests are made again.
pub(crate) fn policy(timeout: Option<Duration>) -> RetryPolicy {
    let mut policy = RetryPolicy::default();
    if let Some(timeout) = timeout {
        policy.no_progress = timeout;
        policy.read_timeout = policy.read_timeout.min(timeout);
    }
    policy
}

/// The place that a string names, if it is a URL. Its credentials and settings are in the environment as Python has it now.
pub(crate) fn place(given: &Bound<'_, PyAny>) -> PyResult<Option<Place>> {
    let py = given.py();
    let Ok(text) = given.cast::<PyString>() else { return Ok(None) };
    let text = text.to_str()?;
    if !Place::is_url(text) {
        return Ok(None);
    }
    let environment = py.import("os")?.getattr("environ")?.call_method0("copy")?;
    let pairs = environment.call_method0("items")?.try_iter()?;
    // What is no text is nothing that a store's settings are made of.
    let variables: Vec<(String, String)> = pairs
        .map(|pair| Ok(pair?.extract().ok()))
        .collect::<PyResult<Vec<_>>>()?
        .into_iter()
        .flatten()
        .collect();
    Place::parse(text, variables).map(Some).map_err(|why| error::usage(py, &why.to_string()))
}

struct FileObject(Py<PyAny>);

impl Read for FileObject {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        interpreter::attach(|py| {
            let read = self.0.bind(py).call_method1("read", (buffer.len(),)).map_err(io::Error::other)?;
            if read.is_none() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let bytes = read.cast::<PyBytes>().map_err(|_| io::Error::other(NOT_BYTES))?.as_bytes();
            let room = buffer.get_mut(..bytes.len()).ok_or_else(|| io::Error::other(TOO_MANY))?;
            room.copy_from_slice(bytes);
            Ok(bytes.len())
        })
    }
}

/// What lies still, in order.
pub(crate) struct InOrder {
    at: Arc<dyn ReadAt>,
    position: u64,
}

impl InOrder {
    pub(crate) fn new(at: Arc<dyn ReadAt>) -> InOrder {
        InOrder { at, position: 0 }
    }
}

struct RangesAt {
    object: Py<PyAny>,
    size: u64,
}

impl ReadAt for RangesAt {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if buffer.is_empty() {
            return Ok(());
        }
        if offset.checked_add(buffer.len() as u64).is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        interpreter::attach(|py| {
            let arguments = (offset, buffer.len());
            let read = self.object.bind(py).call_method1("read_at", arguments).map_err(io::Error::other)?;
            let bytes = read.cast::<PyBytes>().map_err(|_| io::Error::other(NOT_BYTES))?.as_bytes();
            match bytes.len() == buffer.len() {
                true => buffer.copy_from_slice(bytes),
                false => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
            Ok(())
        })
    }

    fn len(&self) -> u64 {
        self.size
    }
}

impl Source for InOrder {
    fn len(&self) -> Option<u64> {
        Some(self.at.len())
    }

    fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
        Some(self.at.clone())
    }

    fn read_within(&mut self, buffer: &mut [u8], _patience: Duration) -> io::Result<Arrival> {
        let left = usize::try_from(self.at.len() - self.position).unwrap_or(usize::MAX);
        let count = buffer.len().min(left);
        if left == 0 {
            return Ok(Arrival::End);
        }
        self.at.read_exact_at(self.position, &mut buffer[..count])?;
        self.position += count as u64;
        Ok(Arrival::Bytes(count))
    }
}

const NO_SOURCE: &str = "a source is a path, a URL, memory in one piece, or an object with a method `read`";
const NOT_BYTES: &str = "the object has not returned bytes; open a file in binary mode";
const TOO_MANY: &str = "the object has returned more bytes than were asked for";
