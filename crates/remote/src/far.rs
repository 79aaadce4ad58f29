//! The bytes of a place, read at offsets: out of what was fetched ahead, of what is kept, or with a request of exactly the range.
//! Knows not when bytes are fetched ahead.

use std::{
    io,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use cofferdam_io::{Fetch, FetchError, FetchFault, ReadAt};
use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::{
    identity::Identity,
    inflow::Inflow,
    parts::Parts,
    request::{Beginning, RangeBody, Requester},
    runtime,
};

/// Whether nobody wants a read any more.
type GivenUp<'a> = dyn Fn() -> bool + Sync + 'a;

/// The bytes of a place at offsets. Dropped, it ends its requests.
pub(crate) struct FarBytes {
    requester: Arc<Requester>,
    identity: Arc<Identity>,
    runtime: Handle,
    head: Bytes,
    tail: Mutex<Bytes>,
    parts: Parts,
    /// An answer has said so, and to no request made since has the object answered that was opened. Alone it says something, so its
    /// accesses need no order.
    changed: AtomicBool,
}

impl FarBytes {
    /// # Errors
    /// There is no runtime.
    pub(crate) fn new(requester: &Arc<Requester>, identity: &Arc<Identity>, head: Bytes) -> io::Result<Self> {
        let runtime = runtime::handle()?;
        let parts = Parts::new(requester.clone(), identity.clone(), runtime.clone());
        Ok(Self {
            requester: requester.clone(),
            identity: identity.clone(),
            runtime,
            head,
            tail: Mutex::new(Bytes::new()),
            parts,
            changed: AtomicBool::new(false),
        })
    }

    /// Whether `range` is kept anyway, as part of the head or the tail: then it need not be fetched.
    fn is_kept(&self, range: &Range<u64>) -> bool {
        let tail_start = self.identity.len().saturating_sub(TAIL_LEN);
        let in_tail = || range.start >= tail_start && !self.tail.lock().is_empty();
        range.end <= self.head.len() as u64 || in_tail()
    }

    fn read(&self, offset: u64, buffer: &mut [u8], is_given_up: &GivenUp<'_>) -> Result<(), FetchError> {
        let end = offset + buffer.len() as u64;
        if self.parts.read(offset, buffer) || copy_from(&self.head, 0, offset, buffer) {
            return Ok(());
        }
        let len = self.identity.len();
        let tail_start = len.saturating_sub(TAIL_LEN);
        if offset < tail_start {
            return self.request(offset..end, buffer, is_given_up);
        }
        let tail = self.tail.lock().clone();
        if copy_from(&tail, tail_start, offset, buffer) {
            return Ok(());
        }
        let mut whole = vec![0; (len - tail_start) as usize];
        self.request(tail_start..len, &mut whole, is_given_up)?;
        let whole = Bytes::from(whole);
        copy_from(&whole, tail_start, offset, buffer);
        *self.tail.lock() = whole;
        Ok(())
    }

    /// A request of exactly `range`, which ends when the read is given up.
    fn request(
        &self,
        range: Range<u64>,
        buffer: &mut [u8],
        is_given_up: &GivenUp<'_>,
    ) -> Result<(), FetchError> {
        let context = &self.requester.context;
        let had_changed = self.changed.load(Ordering::Relaxed);
        // A process that was forked has the handle, and not the threads.
        runtime::handle().map_err(|error| FetchError::new(FetchFault::Refused, error.to_string()))?;
        let body = RangeBody::new(self.requester.clone(), self.identity.clone(), range, Beginning::Anywhere);
        let inflow = Inflow::start(&self.runtime, body);
        let mut filled = 0;
        let is_cancelled = || (context.options.cancelled)() || is_given_up();
        while let Some(bytes) = inflow.next_unless(&is_cancelled, || context.cancelled())? {
            buffer[filled..filled + bytes.len()].copy_from_slice(&bytes);
            filled += bytes.len();
        }
        if filled < buffer.len() {
            return Err(FetchError::new(
                FetchFault::Refused,
                format!("{}: a request panicked", context.place),
            ));
        }
        if had_changed {
            // It is back: what fails from now on has another reason.
            self.changed.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    fn noted<T>(&self, done: Result<T, FetchError>) -> io::Result<T> {
        done.map_err(|error| {
            if error.fault() == FetchFault::Changed {
                self.changed.store(true, Ordering::Relaxed);
            }
            error.into()
        })
    }
}

impl ReadAt for FarBytes {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read_exact_at_unless(offset, buffer, &|| false)
    }

    fn read_exact_at_unless(
        &self,
        offset: u64,
        buffer: &mut [u8],
        is_given_up: &GivenUp<'_>,
    ) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.identity.len()) {
            let message = format!(
                "{}: {} bytes at {offset} go beyond its {}",
                self.requester.context.place,
                buffer.len(),
                self.identity.len()
            );
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        if buffer.is_empty() {
            return Ok(());
        }
        self.noted(self.read(offset, buffer, is_given_up))
    }

    fn len(&self) -> u64 {
        self.identity.len()
    }

    /// Whether the last answers have said so. No request is made for it: each answer is compared, so what was read is of the object that was
    /// opened, whatever has become of that since.
    fn changed(&self) -> io::Result<bool> {
        Ok(self.changed.load(Ordering::Relaxed))
    }

    fn fetch(&self) -> Option<&dyn Fetch> {
        Some(self)
    }
}

impl Fetch for FarBytes {
    fn grant(&self, bytes: usize) {
        self.parts.grant(bytes);
    }

    fn held(&self) -> usize {
        self.parts.held()
    }

    fn min_memory(&self, step_len: usize) -> usize {
        self.parts.min_memory(step_len)
    }

    fn ask(&self, range: Range<u64>) -> bool {
        self.is_kept(&range) || self.parts.ask(range)
    }

    fn wait(&self, range: Range<u64>, patience: Duration) -> io::Result<bool> {
        if self.is_kept(&range) {
            return Ok(true);
        }
        self.noted(self.parts.wait(range, patience))
    }

    fn release(&self, range: Range<u64>) {
        self.parts.release(range);
    }
}

/// Fills `buffer` if all of it is in `held`, which begins at `start`.
fn copy_from(held: &[u8], start: u64, offset: u64, buffer: &mut [u8]) -> bool {
    let found = offset
        .checked_sub(start)
        .and_then(|begin| usize::try_from(begin).ok())
        .and_then(|begin| held.get(begin..begin.checked_add(buffer.len())?));
    if let Some(found) = found {
        buffer.copy_from_slice(found);
    }
    found.is_some()
}

/// What is asked for at once where the end is read, and kept, in bytes: footer and directory, and all of the index of most streams.
const TAIL_LEN: u64 = 64 * 1024;
