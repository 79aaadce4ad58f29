//! A caller's writable buffer: filled in place by all threads at once, or by one read.
//! The one module here with `unsafe`: memory that Python has lent has no safe form that threads could share.
#![allow(unsafe_code, reason = "memory that Python lends is a pointer and a length")]

use std::slice;
use std::sync::Arc;
use std::{fmt, io};

use cofferdam::{Checkpoint, CommitError, Lending, SinkCapabilities, StreamingSink, Visibility, WriteAt};
use contract::SyncTo;
use contract::cursor::Cursor;
use contract::written::WrittenRanges;
use parking_lot::Mutex;
use pyo3::buffer::PyUntypedBuffer;
use pyo3::prelude::*;

use crate::error;

/// Memory that Python has lent: as long as this lives, its owner can neither free nor resize it.
///
/// Whatever else writes to it or reads it meanwhile, in Python, finds anything there.
pub(crate) struct Buffer {
    _export: PyUntypedBuffer,
    start: *mut u8,
    len: usize,
}

// SAFETY: the memory does not move or go while the export is held, whichever thread holds it; the export's own release
// takes the interpreter's lock by itself.
unsafe impl Send for Buffer {}
// SAFETY: through a shared reference it is only written by `Region`, whose ledger gives each byte to one writer.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// Of any object with the buffer protocol that can be written and lies in one piece.
    pub(crate) fn new(object: &Bound<'_, PyAny>) -> PyResult<Buffer> {
        let py = object.py();
        let export = PyUntypedBuffer::get(object)?;
        if export.readonly() {
            return Err(error::usage(py, "the buffer cannot be written; a bytearray or an array can"));
        }
        if !export.is_c_contiguous() {
            return Err(error::usage(py, "the buffer does not lie in one piece"));
        }
        let (start, len) = (export.buf_ptr().cast::<u8>(), export.len_bytes());
        Ok(Buffer { _export: export, start, len })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// All of it, for one writer.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        if self.len == 0 {
            return &mut [];
        }
        // SAFETY: `start` and `len` are those of the export, which is writable, contiguous and held; `&mut self` keeps
        // every other writer of ours away. Each bit pattern is a byte.
        unsafe { slice::from_raw_parts_mut(self.start, self.len) }
    }
}

/// A sink over a buffer: plaintext is opened in it, in place, and published by saying so.
pub(crate) struct BufferSink {
    region: Arc<Region>,
    cursor: Cursor,
}

impl BufferSink {
    /// Over the first bytes of `buffer`, as many as the stream has.
    pub(crate) fn over(buffer: Buffer) -> BufferSink {
        let written = Mutex::new(WrittenRanges::new(buffer.len() as u64));
        BufferSink { region: Arc::new(Region { buffer, written }), cursor: Cursor::default() }
    }
}

struct Region {
    buffer: Buffer,
    /// Which bytes have a writer, or had one: each has one at most.
    written: Mutex<WrittenRanges>,
}

impl WriteAt for Region {
    fn write_all_at(&self, at: u64, data: &[u8]) -> io::Result<()> {
        self.fill(at, data.len(), &mut |bytes| {
            bytes.copy_from_slice(data);
            Ok(())
        })
    }

    fn fill_at(
        &self,
        at: u64,
        len: usize,
        fill: &mut dyn FnMut(&mut [u8]) -> io::Result<()>,
    ) -> io::Result<Lending> {
        self.fill(at, len, fill).map(|()| Lending::Filled)
    }
}

impl Region {
    fn fill(&self, at: u64, len: usize, fill: &mut dyn FnMut(&mut [u8]) -> io::Result<()>) -> io::Result<()> {
        // It refuses what goes beyond the buffer, and what was claimed before.
        self.written.lock().claim(at, len)?;
        let filled = match len {
            0 => fill(&mut []),
            _ => {
                // SAFETY: the claim has shown that `at + len` is within the buffer, so it fits into a usize and the pointer stays
                // inside; and that no other writer has any of these bytes: the ledger forgets ranges only in `rollback_segment`, of
                // ordered mode, whose one writer calls it through `&mut`. The buffer is held by `self`.
                let bytes = unsafe { slice::from_raw_parts_mut(self.buffer.start.add(at as usize), len) };
                fill(bytes)
            }
        };
        filled.inspect_err(|error| self.written.lock().fail_for(error))
    }
}

impl StreamingSink for BufferSink {
    fn capabilities(&self) -> SinkCapabilities {
        SinkCapabilities::new(Visibility::Private)
    }

    fn last_commit(&mut self) -> io::Result<Option<Checkpoint>> {
        Ok(None)
    }

    fn begin_segment(&mut self, index: u64, at: u64) -> io::Result<()> {
        self.cursor.begin(index, at)
    }

    fn write_tentative(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        self.cursor.write(at, data.len())?;
        self.region.write_all_at(at, data)
    }

    fn rollback_segment(&mut self) -> io::Result<()> {
        let start = self.cursor.roll_back()?;
        self.region.written.lock().cut(start);
        Ok(())
    }

    fn commit_segment(&mut self, _mark: &Checkpoint) -> Result<(), CommitError> {
        self.region.written.lock().check_live().map_err(CommitError::NotCommitted)?;
        self.cursor.commit();
        Ok(())
    }

    fn publish(&mut self, plain_len: u64) -> Result<(), CommitError> {
        self.cursor.check_closed().map_err(CommitError::NotCommitted)?;
        let mut written = self.region.written.lock();
        written.check_complete(plain_len).map_err(CommitError::NotCommitted)?;
        written.close();
        Ok(())
    }

    fn discard(&mut self) -> io::Result<()> {
        self.region.written.lock().close();
        Ok(())
    }

    fn positioned(&self) -> Option<Arc<dyn WriteAt>> {
        Some(self.region.clone())
    }

    fn durability(&self) -> Option<Arc<dyn SyncTo>> {
        None
    }
}

impl fmt::Debug for BufferSink {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("BufferSink").field("cursor", &self.cursor).finish_non_exhaustive()
    }
}
