//! The caller's memory, as a source of bytes and as what a stream is opened into, in place.
//! Knows nothing of who else uses it: the gate keeps the engine's threads away after the call.
#![allow(unsafe_code, reason = "the memory is the caller's, and what C hands over is pointers")]

use std::ffi::c_void;
use std::io;
use std::slice;

use cofferdam::{CommitError, Error, ReadAt};

use crate::arguments::check_range;
use crate::gate::Gate;
use crate::tentative::{Access, Medium};

/// Bytes of the caller's that nobody writes until it is dropped.
pub(crate) struct LentBytes {
    start: *const u8,
    len: usize,
}

// SAFETY: it only leads to bytes that nobody writes, which any thread may read.
unsafe impl Send for LentBytes {}
// SAFETY: the same.
unsafe impl Sync for LentBytes {}

impl LentBytes {
    /// # Safety
    /// `bytes` is NULL or leads to `len` bytes, which nobody writes or frees as long as this lives.
    pub(crate) unsafe fn new(bytes: *const c_void, len: usize) -> Result<LentBytes, Error> {
        check_range(bytes, len, "the memory to read from")?;
        Ok(LentBytes { start: bytes.cast(), len })
    }

    fn bytes(&self) -> &[u8] {
        match self.len {
            0 => &[],
            // SAFETY: `new` has asked for these bytes, for as long as this lives.
            len => unsafe { slice::from_raw_parts(self.start, len) },
        }
    }
}

/// What the engine reads, which may outlive the call.
impl ReadAt for BehindGate {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.gate.enter(|lent| {
            let start = usize::try_from(offset).unwrap_or(usize::MAX);
            let found = start.checked_add(buffer.len()).and_then(|end| lent.bytes().get(start..end));
            buffer.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn len(&self) -> u64 {
        self.len
    }
}

/// Lent bytes as a source that lies still.
pub(crate) struct BehindGate {
    gate: std::sync::Arc<Gate<LentBytes>>,
    len: u64,
}

impl BehindGate {
    pub(crate) fn new(gate: std::sync::Arc<Gate<LentBytes>>) -> io::Result<BehindGate> {
        let len = gate.enter(|lent| Ok(lent.len as u64))?;
        Ok(BehindGate { gate, len })
    }
}

/// Memory of the caller's that is the stream's alone until it is dropped.
pub(crate) struct LentMemory {
    start: *mut u8,
    capacity: usize,
}

// SAFETY: it only leads to bytes; who uses which of them is said where they are lent.
unsafe impl Send for LentMemory {}
// SAFETY: the same.
unsafe impl Sync for LentMemory {}

impl LentMemory {
    /// # Safety
    /// `memory` is NULL or leads to `capacity` bytes, which nobody else uses as long as this lives.
    pub(crate) unsafe fn new(memory: *mut c_void, capacity: usize) -> Result<LentMemory, Error> {
        check_range(memory, capacity, "the memory to write to")?;
        Ok(LentMemory { start: memory.cast(), capacity })
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.capacity as u64
    }
}

impl Medium for LentMemory {
    fn access(&self) -> Access {
        Access::Parallel
    }

    fn len_max(&self) -> u64 {
        self.capacity()
    }

    fn write(&self, at: u64, data: &[u8]) -> io::Result<()> {
        self.fill(at, data.len(), &mut |bytes| {
            bytes.copy_from_slice(data);
            Ok(())
        })
    }

    fn fill(&self, at: u64, len: usize, fill: &mut dyn FnMut(&mut [u8]) -> io::Result<()>) -> io::Result<()> {
        let start = usize::try_from(at).ok().filter(|start| self.capacity.checked_sub(*start) >= Some(len));
        let Some(start) = start else { return Err(io::ErrorKind::FileTooLarge.into()) };
        if len == 0 {
            return fill(&mut []);
        }
        // SAFETY: the range lies within the memory, which `new` has asked for. It is nobody else's: `TentativeSink` claims each range before it
        // is lent, and none twice. Each byte is one of the caller's, of which Rust knows nothing, so it has a value; `fill` reads none of them.
        fill(unsafe { slice::from_raw_parts_mut(self.start.add(start), len) })
    }

    fn is_memory(&self) -> bool {
        true
    }

    fn commit(&self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn publish(&self, _: u64) -> Result<(), CommitError> {
        Ok(())
    }
}
