//! The two traits: what can be read at offsets, and what can be written at offsets.
//! Knows nothing of what the bytes are for.

use std::{io, ops::Range, time::Duration};

/// Bytes that lie still and can be read at offsets, from any number of threads at once: a file, memory, what an earlier attempt
/// left in a sink.
#[allow(clippy::len_without_is_empty, reason = "the length is an offset bound, not a collection's size")]
pub trait ReadAt: Send + Sync {
    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] where the range goes beyond the end, or the medium's own.
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

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

/// Bytes that come from afar: they are asked for ahead of their use, and arrive in memory that their reader grants.
///
/// Whoever reads asks for ranges in the order in which they will be read, waits for one, has it read, and releases it. A read of
/// bytes that have arrived costs a copy; any other is a request of its own, and blocks.
pub trait Fetch: Send + Sync {
    /// The memory in which it holds bytes that have arrived or are on their way, with what its connections buffer: at least what
    /// [`min_memory`](Fetch::min_memory) says. May be called again, with more or less; what is held already stays.
    fn grant(&self, bytes: usize);

    /// The least memory that fetching takes, for steps that read `step_len` bytes at once: the parts that such a step can touch, and
    /// one more.
    fn min_memory(&self, step_len: usize) -> usize;

    /// Says that `range` will be read after all that was asked for before it and not released since. Returns whether it was taken on;
    /// if not, there is no use for it yet, and it is to be asked for again later. Fetches and waits for nothing.
    fn ask(&self, range: Range<u64>) -> bool;

    /// Waits at most about `patience` for all of `range`, which was asked for. Returns whether it can be read without waiting.
    ///
    /// # Errors
    /// It will not come: the place's own error, final after whatever was tried.
    fn wait(&self, range: Range<u64>, patience: Duration) -> io::Result<bool>;

    /// Says that `range`, which was asked for, has been read, or will not be.
    fn release(&self, range: Range<u64>);
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
