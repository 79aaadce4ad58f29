//! Memory that is lent, as bytes to read and as what a stream is opened into, in place.
//! Knows nothing of who else uses it: the gate keeps the engine's threads away after the call.
#![allow(unsafe_code, reason = "what is lent is a pointer and a length")]

use std::any::Any;
use std::error::Error;
use std::sync::Arc;
use std::{io, ptr, slice};

use cofferdam_io::ReadAt;
use contract::CommitError;

use crate::gate::Gate;
use crate::tentative::{Access, Medium};

/// Whatever keeps the memory where it is. Dropped last.
type Owner = Box<dyn Any + Send + Sync>;

/// Bytes that are lent to be read.
pub struct LentBytes {
    start: *const u8,
    len: usize,
    _owner: Owner,
}

// SAFETY: it only leads to bytes that any thread may read, and its owner may be dropped by any.
unsafe impl Send for LentBytes {}
// SAFETY: the same.
unsafe impl Sync for LentBytes {}

impl LentBytes {
    /// The `len` bytes from `start` on, which may be NULL where there are none.
    ///
    /// # Safety
    /// They are there, and any thread may read them, as long as this lives, which holds `owner`. Whoever writes to them meanwhile has what is
    /// read be anything.
    pub unsafe fn new(start: *const u8, len: usize, owner: impl Any + Send + Sync) -> LentBytes {
        LentBytes { start, len, _owner: Box::new(owner) }
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).ok();
        let start =
            start.filter(|start| self.len.checked_sub(*start).is_some_and(|left| left >= buffer.len()));
        let Some(start) = start else { return Err(io::ErrorKind::UnexpectedEof.into()) };
        if !buffer.is_empty() {
            // SAFETY: the range lies within the bytes, which `new` has asked for. No reference to them is made: they are copied, once.
            unsafe { ptr::copy_nonoverlapping(self.start.add(start), buffer.as_mut_ptr(), buffer.len()) };
        }
        Ok(())
    }
}

/// Lent bytes as a place that lies still, for the engine's threads, some of which may outlive the call.
pub struct ReadBehindGate {
    gate: Arc<Gate<LentBytes>>,
    len: u64,
}

impl ReadBehindGate {
    /// What is behind `gate`.
    ///
    /// # Errors
    /// The call has ended.
    pub fn new(gate: Arc<Gate<LentBytes>>) -> io::Result<ReadBehindGate> {
        let len = gate.enter(|lent| Ok(lent.len as u64))?;
        Ok(ReadBehindGate { gate, len })
    }
}

impl ReadAt for ReadBehindGate {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.gate.enter(|lent| lent.read(offset, buffer))
    }

    fn len(&self) -> u64 {
        self.len
    }
}

/// Memory that is lent to be written.
pub struct LentMemory {
    start: *mut u8,
    capacity: usize,
    _owner: Owner,
}

// SAFETY: it only leads to bytes; who uses which of them is said where they are lent. Its owner may be dropped by any thread.
unsafe impl Send for LentMemory {}
// SAFETY: the same.
unsafe impl Sync for LentMemory {}

impl LentMemory {
    /// The `capacity` bytes from `start` on, which may be NULL where there are none.
    ///
    /// # Safety
    /// They are there, and have values, as long as this lives, which holds `owner`. Nobody else uses them: to whoever does they are anything.
    pub unsafe fn new(start: *mut u8, capacity: usize, owner: impl Any + Send + Sync) -> LentMemory {
        LentMemory { start, capacity, _owner: Box::new(owner) }
    }

    /// How many bytes it has.
    pub fn capacity(&self) -> u64 {
        self.capacity as u64
    }

    /// Whether some of them are among `bytes`, which are then not read while this is written.
    pub fn overlaps(&self, bytes: &LentBytes) -> bool {
        let [ours, theirs] = [(self.start.addr(), self.capacity), (bytes.start.addr(), bytes.len)];
        ours.0 < theirs.0 + theirs.1 && theirs.0 < ours.0 + ours.1
    }

    /// All of them, for one writer.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        match self.capacity {
            0 => &mut [],
            // SAFETY: `new` has asked for these bytes, and `&mut self` keeps every other writer of ours away.
            len => unsafe { slice::from_raw_parts_mut(self.start, len) },
        }
    }
}

impl Medium for LentMemory {
    fn access(&self) -> Access {
        Access::Parallel
    }

    fn len_max(&self) -> u64 {
        self.capacity()
    }

    unsafe fn write(&self, at: u64, data: &[u8]) -> io::Result<()> {
        // SAFETY: the same is asked for here.
        unsafe {
            self.fill(at, data.len(), &mut |bytes| {
                bytes.copy_from_slice(data);
                Ok(())
            })
        }
    }

    unsafe fn fill(
        &self,
        at: u64,
        len: usize,
        fill: &mut dyn FnMut(&mut [u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let start = usize::try_from(at).ok().filter(|start| self.capacity.checked_sub(*start) >= Some(len));
        let Some(start) = start else { return Err(io::ErrorKind::FileTooLarge.into()) };
        if len == 0 {
            return fill(&mut []);
        }
        // SAFETY: the range lies within the memory, which `new` has asked for. It is nobody else's, which is asked for here.
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

/// Whether a stream has failed because it did not fit into the memory that was lent. `error` is what its sink said, or what that has caused.
pub fn is_full(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(found) = cause {
        // The sink's own, and not the system's, which has a number.
        let io = found.downcast_ref::<io::Error>().filter(|io| io.raw_os_error().is_none());
        if io.is_some_and(|io| io.kind() == io::ErrorKind::FileTooLarge) {
            return true;
        }
        cause = found.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Lease;

    #[test]
    fn lent_bytes_are_read_within_their_bounds_until_the_call_ends() {
        let (bytes, owner) = ((0..100).collect::<Vec<u8>>(), Arc::new(()));
        // SAFETY: the vector outlives the lease, and nobody writes to it.
        let lease = Lease::new(unsafe { LentBytes::new(bytes.as_ptr(), bytes.len(), Arc::clone(&owner)) });
        let place = ReadBehindGate::new(lease.gate()).unwrap();
        assert_eq!(place.len(), 100);
        for (at, len) in [(0, 0), (0, 100), (99, 1), (100, 0), (40, 7)] {
            let mut read = vec![0xEE; len];
            place.read_exact_at(at, &mut read).unwrap();
            assert_eq!(read, bytes[at as usize..at as usize + len]);
        }
        for (at, len) in [(0, 101), (100, 1), (101, 0), (u64::MAX, 1)] {
            let refused = place.read_exact_at(at, &mut vec![0; len]).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::UnexpectedEof, "{len} at {at}");
        }
        drop(lease);
        assert_eq!(Arc::strong_count(&owner), 1);
        assert!(place.read_exact_at(0, &mut [0]).is_err() && ReadBehindGate::new(place.gate).is_err());
    }

    #[test]
    fn memory_that_is_read_and_written_at_once_is_noticed() {
        let mut bytes = vec![0_u8; 100];
        let start = bytes.as_mut_ptr();
        for ((at, len), (read_at, read_len), expected) in [
            ((0, 50), (50, 50), false),
            ((0, 51), (50, 50), true),
            ((50, 50), (0, 50), false),
            ((50, 50), (0, 51), true),
            ((10, 1), (0, 100), true),
            ((10, 0), (20, 0), false),
        ] {
            // SAFETY: both are within the vector, which outlives them, and neither is used.
            let (written, read) = unsafe {
                (
                    LentMemory::new(start.add(at), len, ()),
                    LentBytes::new(start.add(read_at).cast_const(), read_len, ()),
                )
            };
            assert_eq!(written.overlaps(&read), expected, "{at}+{len}, {read_at}+{read_len}");
        }
    }

    #[test]
    fn no_memory_at_all_is_none() {
        // SAFETY: there are no bytes.
        let (read, mut written) =
            unsafe { (LentBytes::new(ptr::null(), 0, ()), LentMemory::new(ptr::null_mut(), 0, ())) };
        read.read(0, &mut []).unwrap();
        assert!(read.read(0, &mut [0]).is_err());
        assert_eq!((written.capacity(), written.bytes_mut().len()), (0, 0));
    }
}
