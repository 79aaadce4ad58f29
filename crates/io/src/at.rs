//! The two traits: what can be read at offsets, and what can be written at offsets.
//! Knows nothing of what the bytes are for.

use std::io;

use crate::Fetch;

/// Bytes that lie still and can be read at offsets, from any number of threads at once: a file, memory, what an earlier attempt
/// left in a sink.
#[allow(clippy::len_without_is_empty, reason = "the length is an offset bound, not a collection's size")]
pub trait ReadAt: Send + Sync {
    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] where the range goes beyond the end, or the medium's own.
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// The same, unless the read is given up: whoever waits for the medium asks `is_given_up` several times a second, and ends with any error
    /// once it says so. A medium that answers by itself need not ask.
    ///
    /// # Errors
    /// As of [`ReadAt::read_exact_at`].
    fn read_exact_at_unless(
        &self,
        offset: u64,
        buffer: &mut [u8],
        _is_given_up: &(dyn Fn() -> bool + Sync),
    ) -> io::Result<()> {
        self.read_exact_at(offset, buffer)
    }

    /// Fills the beginning of `buffer` with as many of the bytes from `offset` on as can be had without waiting: those that the reader keeps
    /// in memory. Returns how many; none where nothing is kept, or the range goes beyond the end.
    fn read_cached_at(&self, _offset: u64, _buffer: &mut [u8]) -> usize {
        0
    }

    /// Bytes in all, as they were when the medium was opened. Offsets are computed from it, so it never changes and cannot
    /// fail: whoever opens a medium asks for its length there, where an error has somebody to go to.
    fn len(&self) -> u64;

    /// Whether the bytes are known to be others than when the medium was opened.
    ///
    /// # Errors
    /// The medium cannot be examined.
    fn changed(&self) -> io::Result<bool> {
        Ok(false)
    }

    /// How to have bytes fetched before they are read, where they come from afar.
    fn fetch(&self) -> Option<&dyn Fetch> {
        None
    }
}

/// Takes bytes at offsets, from any number of threads at once, over disjoint ranges.
pub trait WriteAt: Send + Sync {
    /// Takes `data`, all of it, as the bytes from `offset` on.
    ///
    /// # Errors
    /// The medium's own.
    fn write_all_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Has `fill` make the `len` bytes from `offset` on where they are to lie, which then count as taken. Only a medium that is
    /// memory can lend it; any other calls nothing, and is written to. `fill` finds anything there, and makes every byte.
    ///
    /// # Errors
    /// The medium's own; that of `fill`, passed on. The bytes are then not taken, whatever `fill` has left there.
    fn fill_at(
        &self,
        _offset: u64,
        _len: usize,
        _fill: &mut dyn FnMut(&mut [u8]) -> io::Result<()>,
    ) -> io::Result<Lending> {
        Ok(Lending::NotLent)
    }
}

/// What came of asking for memory to fill.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lending {
    /// It was lent, and is filled.
    Filled,
    /// The medium has none to lend.
    NotLent,
}
