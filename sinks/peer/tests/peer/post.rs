//! A receiver in a thread, with a store behind it, and a stream to send it.
//! It judges nothing but that the receiver ends.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use contract::{Checkpoint, CommitError, StreamingSink};
use parking_lot::Mutex;
use peer::{
    Address, Ending, EpochFile, Event, PeerError, PeerSink, PresharedKey, ReceiveError, Receiver, Security,
    Timing,
};
use tempfile::TempDir;

use crate::store::{MemStore, MemStoreSink};

/// A running receiver.
pub(crate) struct Post {
    pub(crate) address: Address,
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) store: Arc<Mutex<MemStore>>,
    directory: Arc<TempDir>,
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<Result<Ending, ReceiveError>>,
}

impl Post {
    /// On a loopback port, in plaintext, over an empty store.
    pub(crate) fn open() -> Post {
        Post::guarded(Security::PlaintextOnThisMachine)
    }

    pub(crate) fn guarded(security: Security) -> Post {
        Post::over(Arc::default(), Arc::new(tempfile::tempdir().unwrap()), &loopback(), security)
    }

    pub(crate) fn over(
        store: Arc<Mutex<MemStore>>,
        directory: Arc<TempDir>,
        address: &Address,
        security: Security,
    ) -> Post {
        let medium = store.clone();
        Post::with(store, directory, address, security, move || Ok(MemStoreSink::open(&medium)))
    }

    /// With any sink.
    pub(crate) fn with<S: StreamingSink + 'static>(
        store: Arc<Mutex<MemStore>>,
        directory: Arc<TempDir>,
        address: &Address,
        security: Security,
        open: impl FnMut() -> io::Result<S> + Send + 'static,
    ) -> Post {
        Post::timed(store, directory, address, security, timing(), open)
    }

    /// With limits that a test waits for.
    pub(crate) fn timed<S: StreamingSink + 'static>(
        store: Arc<Mutex<MemStore>>,
        directory: Arc<TempDir>,
        address: &Address,
        security: Security,
        timing: Timing,
        open: impl FnMut() -> io::Result<S> + Send + 'static,
    ) -> Post {
        let epochs = EpochFile::beside(directory.path().join("target")).unwrap();
        let receiver = Receiver::bind(address, security, epochs).unwrap().timing(timing);
        let address = receiver.address().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (told, events) = mpsc::channel();
        let told = Mutex::new(told);
        let stopped = stop.clone();
        let run = move || {
            // Relaxed: the flag says nothing but itself.
            let stop = || stopped.load(Ordering::Relaxed);
            // A test that is over listens no more.
            let observe = |event| drop(told.lock().send(event));
            receiver.run(open, &stop, &observe)
        };
        Post { address, events, store, directory, stop, thread: thread::spawn(run) }
    }

    pub(crate) fn connect(&self) -> PeerSink {
        connect(&self.address)
    }

    /// Waits for an event of a kind.
    pub(crate) fn wait_for(&self, what: &str, is_it: impl Fn(&Event) -> bool) -> Event {
        loop {
            let event = self.events.recv_timeout(PATIENCE);
            let event = event.unwrap_or_else(|_| panic!("{what} has not come"));
            if is_it(&event) {
                return event;
            }
        }
    }

    pub(crate) fn join(self) -> Result<Ending, ReceiveError> {
        self.thread.join().unwrap()
    }

    /// Stops it, as a signal would.
    pub(crate) fn stop(self) -> (Arc<Mutex<MemStore>>, Arc<TempDir>) {
        self.stop.store(true, Ordering::Relaxed);
        assert_eq!(self.thread.join().unwrap().unwrap(), Ending::Stopped);
        (self.store, self.directory)
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }
}

pub(crate) fn connect(address: &Address) -> PeerSink {
    try_connect(address, Security::PlaintextOnThisMachine).unwrap()
}

pub(crate) fn try_connect(address: &Address, security: Security) -> io::Result<PeerSink> {
    PeerSink::connect_with(address, security, timing())
}

/// Limits that no test waits for.
pub(crate) fn timing() -> Timing {
    Timing::default().silence(PATIENCE).greeting(PATIENCE).linger(PATIENCE).pause(Duration::ZERO)
}

/// Limits of a sender that waits for a silence. An answer that is slow for another reason is asked for again.
pub(crate) fn impatient() -> Timing {
    let limit = Duration::from_secs(2);
    Timing::default().silence(limit).greeting(limit).attempts_max(10).pause(Duration::ZERO).linger(limit)
}

/// A sender that waits for a silence, and greets again if the machine was too slow for it.
pub(crate) fn connect_by_force(address: &Address) -> PeerSink {
    let connect = || connect_impatiently(address, Security::PlaintextOnThisMachine).ok();
    std::iter::repeat_with(connect).take(10).flatten().next().unwrap()
}

/// A sender that waits for a silence.
pub(crate) fn connect_impatiently(address: &Address, security: Security) -> io::Result<PeerSink> {
    PeerSink::connect_with(address, security, impatient())
}

pub(crate) fn loopback() -> Address {
    "tcp://127.0.0.1:0".parse().unwrap()
}

pub(crate) fn key(byte: u8) -> Security {
    Security::Key(PresharedKey::from_bytes([byte; 32]))
}

/// The bytes of a segment: unlike any other's.
pub(crate) fn segment(index: u64) -> Vec<u8> {
    (0..SEGMENT_LEN as u64).map(|at| ((at * 7 + index * 31) % 251) as u8).collect()
}

/// The stream of so many segments.
pub(crate) fn stream(segments: u64) -> Vec<u8> {
    (0..segments).flat_map(segment).collect()
}

pub(crate) fn checkpoint(index: u64) -> Checkpoint {
    Checkpoint::from_bytes([u8::try_from(index).unwrap() + 1; Checkpoint::LEN])
}

pub(crate) fn write(sink: &mut impl StreamingSink, index: u64) -> io::Result<()> {
    let at = index * SEGMENT_LEN as u64;
    sink.begin_segment(index, at)?;
    sink.write_tentative(at, &segment(index))
}

pub(crate) fn commit(sink: &mut impl StreamingSink, index: u64) -> Result<(), CommitError> {
    write(sink, index)?;
    sink.commit_segment(&checkpoint(index))
}

/// Sends segments and publishes.
pub(crate) fn send(sink: &mut impl StreamingSink, segments: std::ops::Range<u64>) {
    for index in segments.clone() {
        commit(sink, index).unwrap();
    }
    sink.publish(segments.end * SEGMENT_LEN as u64).unwrap();
}

/// What a sink's error is about.
pub(crate) fn reason(error: &io::Error) -> &PeerError {
    error
        .get_ref()
        .and_then(|inner| inner.downcast_ref())
        .unwrap_or_else(|| panic!("{error:?} has no reason"))
}

/// More than one record, and no multiple of one.
pub(crate) const SEGMENT_LEN: usize = 150_000;
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);
