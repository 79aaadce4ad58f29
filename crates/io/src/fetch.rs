//! Bytes that come from afar: how they are asked for ahead of their use, and why they do not come.
//! Knows no place, no request and no retry.

use std::error::Error;
use std::ops::Range;
use std::time::Duration;
use std::{fmt, io};

/// Bytes that come from afar: they are asked for ahead of their use, and arrive in memory that their reader grants.
///
/// Whoever reads asks for ranges in the order in which they will be read, waits for one, has it read, and releases it. A read of
/// bytes that have arrived costs a copy; any other is a request of its own, and blocks. One reader at a time asks. No byte is asked
/// for twice unless it was released in between. What is waited for, read and released may be a part of a range that was asked for, or
/// several neighbours.
///
/// Bytes are fetched in the order in which they were asked for. So whoever holds nothing but the ranges of one step, and has at
/// least [`min_memory`](Fetch::min_memory) of it granted, gets the next one.
pub trait Fetch: Send + Sync {
    /// The memory in which it holds bytes that have arrived or are on their way, with what its connections buffer: at least what
    /// [`min_memory`](Fetch::min_memory) says, or 0 once nothing is asked for any more. May be called again, with more or less; what
    /// is [held](Fetch::held) already stays until it is released.
    fn grant(&self, bytes: usize);

    /// Bytes of memory that it holds now: what has arrived and was not released, what is on its way, and its connections' buffers.
    fn held(&self) -> usize;

    /// The least memory that fetching takes, for steps that read `step_len` bytes at once: the parts that such a step can touch, and
    /// one more.
    fn min_memory(&self, step_len: usize) -> usize;

    /// Says that `range` will be read after all that was asked for before it and not released since. Returns whether it was taken on;
    /// if not, there is no use for it yet, and it is to be asked for again later. It is taken on, however long it is, where all that was
    /// asked for before it has arrived or was released. Fetches and waits for nothing.
    fn ask(&self, range: Range<u64>) -> bool;

    /// Waits at most about `patience` for all of `range`, which was asked for. Returns whether it can be read without waiting.
    ///
    /// # Errors
    /// It will not come: the place's own error, a [`FetchError`] inside, final after whatever was tried.
    fn wait(&self, range: Range<u64>, patience: Duration) -> io::Result<bool>;

    /// Says that `range`, which was asked for, has been read, or will not be. Called by any thread.
    fn release(&self, range: Range<u64>);
}

/// Why bytes do not come from afar: what an [`io::Error`] of such a place has inside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FetchError {
    fault: FetchFault,
    message: String,
}

/// What kind of failure it was.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum FetchFault {
    /// The bytes are others than when the place was opened.
    Changed,
    /// There is nothing at the place.
    NotFound,
    /// The place does not let this caller read, or does not know who it is.
    Denied,
    /// Nothing has come for as long as was allowed, whatever was tried.
    NoProgress,
    /// The caller has asked to stop.
    Cancelled,
    /// The place refuses for good, for another reason, or answers what makes no sense.
    Refused,
}

impl FetchError {
    /// Of this kind, in words that name the place and nothing secret.
    pub fn new(fault: FetchFault, message: impl Into<String>) -> FetchError {
        FetchError { fault, message: message.into() }
    }

    /// What kind of failure.
    pub fn fault(&self) -> FetchFault {
        self.fault
    }

    /// The one inside `error`, if that comes from afar.
    pub fn of(error: &io::Error) -> Option<&FetchError> {
        error.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for FetchError {}

impl From<FetchError> for io::Error {
    fn from(error: FetchError) -> io::Error {
        let kind = match error.fault {
            FetchFault::NotFound => io::ErrorKind::NotFound,
            FetchFault::Denied => io::ErrorKind::PermissionDenied,
            FetchFault::NoProgress => io::ErrorKind::TimedOut,
            FetchFault::Changed | FetchFault::Cancelled | FetchFault::Refused => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}
