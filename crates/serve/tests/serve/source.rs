//! A source that is made to fail and to wait, and a server of it.
//! Knows no protocol.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use cofferdam_io::ReadAt;
use serve::{Export, Limits, Notice, Server};

/// Bytes in memory.
pub(crate) struct Source {
    pub(crate) bytes: Vec<u8>,
    state: Mutex<State>,
    news: Condvar,
    pub(crate) reads: AtomicUsize,
}

#[derive(Default)]
struct State {
    broken: Range<u64>,
    kept: Range<u64>,
    /// Reads of it wait.
    closed: Range<u64>,
    running: usize,
    most: usize,
}

impl Source {
    /// Bytes of which no two stretches are alike.
    pub(crate) fn new(len: usize) -> Arc<Source> {
        let bytes = (0..len as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
        Arc::new(Source { bytes, state: Mutex::default(), news: Condvar::new(), reads: AtomicUsize::new(0) })
    }

    /// Reads that touch `range` fail from now on.
    pub(crate) fn break_range(&self, range: Range<u64>) {
        self.state.lock().unwrap().broken = range;
    }

    /// What lies in `range` is had without waiting.
    pub(crate) fn keep(&self, range: Range<u64>) {
        self.state.lock().unwrap().kept = range;
    }

    /// Reads wait until it is opened.
    pub(crate) fn close(&self) {
        self.close_range(0..u64::MAX);
    }

    /// Reads that touch `range` do.
    pub(crate) fn close_range(&self, range: Range<u64>) {
        self.state.lock().unwrap().closed = range;
    }

    pub(crate) fn open(&self) {
        self.state.lock().unwrap().closed = 0..0;
        self.news.notify_all();
    }

    /// How many reads are under way, and how many were at most.
    pub(crate) fn running(&self) -> (usize, usize) {
        let state = self.state.lock().unwrap();
        (state.running, state.most)
    }
}

impl ReadAt for Source {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read_exact_at_unless(offset, buffer, &|| false)
    }

    fn read_exact_at_unless(
        &self,
        offset: u64,
        buffer: &mut [u8],
        is_given_up: &(dyn Fn() -> bool + Sync),
    ) -> io::Result<()> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let range = offset..offset + buffer.len() as u64;
        let touches = |other: &Range<u64>| other.start < range.end && range.start < other.end;
        let mut state = self.state.lock().unwrap();
        state.running += 1;
        state.most = state.most.max(state.running);
        while touches(&state.closed) && !is_given_up() {
            state = self.news.wait_timeout(state, Duration::from_millis(20)).unwrap().0;
        }
        state.running -= 1;
        if is_given_up() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if touches(&state.broken) {
            return Err(io::Error::other("the medium is broken\nin two lines"));
        }
        drop(state);
        let bytes = self.bytes.get(range.start as usize..range.end as usize);
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn read_cached_at(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let kept = self.state.lock().unwrap().kept.clone();
        let end = kept.end.min(offset + buffer.len() as u64);
        let count = if kept.contains(&offset) { (end - offset) as usize } else { 0 };
        buffer[..count].copy_from_slice(&self.bytes[offset as usize..][..count]);
        count
    }

    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }
}

/// A server of `source` as `disk.img`, and what it notices.
pub(crate) fn server(source: &Arc<Source>) -> (Server, Arc<Mutex<Vec<String>>>) {
    let notices = Arc::new(Mutex::new(Vec::new()));
    let notify = {
        let notices = notices.clone();
        Arc::new(move |notice: Notice<'_>| notices.lock().unwrap().push(format!("{notice:?}")))
    };
    let export = Export::new(source.clone(), "disk.img", "0123abcd").preferred_len(65_536);
    (Server::new(export, notify).unwrap(), notices)
}

/// One connection at once, which is left soon: the next one tells that it was.
pub(crate) fn one_that_is_left_soon() -> Limits {
    let mut limits = Limits::default();
    limits.connections = 1;
    limits.asked_within = Duration::from_secs(2);
    limits.taken_within = Duration::from_secs(2);
    limits
}

/// A client that takes nothing is not left while a test runs.
pub(crate) fn patient() -> Limits {
    let mut limits = Limits::default();
    limits.taken_within = Duration::from_secs(3600);
    limits
}

/// Looks again and again until `is_so`, for as long as a slow machine may take.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(600);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} has not come");
        std::thread::sleep(Duration::from_millis(1));
    }
}
