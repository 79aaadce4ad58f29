//! Owns how far and how wide the way through a proxy is, and the gate that the bytes of one message pass.
//! Knows nothing of what they say.

use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The way from a client through the proxy. It can be changed while requests go through, and the change is felt at once.
///
/// Each value stands alone: nothing else is read for having seen it, so that no order among them is needed.
#[derive(Debug, Default)]
pub struct Link {
    latency_micros: AtomicU64,
    bytes_per_second: AtomicU64,
}

impl Link {
    /// Adds `latency` to each answer, and once more to the first of a connection, which has to be made.
    pub fn set_latency(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.latency_micros.store(micros, Ordering::Relaxed);
    }

    /// Lets each connection carry so many bytes per second in each direction. 0 is no limit.
    pub fn set_bandwidth(&self, bytes_per_second: u64) {
        self.bytes_per_second.store(bytes_per_second, Ordering::Relaxed);
    }

    pub(super) fn latency(&self) -> Duration {
        Duration::from_micros(self.latency_micros.load(Ordering::Relaxed))
    }
}

/// When the next byte may go.
#[derive(Debug)]
pub(super) struct Pace(Instant);

impl Pace {
    pub(super) fn new() -> Pace {
        Pace(Instant::now())
    }

    /// Waits as long as `len` bytes take at this rate.
    fn pass(&mut self, len: usize, bytes_per_second: u64) {
        let now = Instant::now();
        let takes = Duration::from_secs_f64(len as f64 / bytes_per_second as f64);
        self.0 = self.0.max(now) + takes;
        thread::sleep(self.0 - now);
    }
}

/// What one message passes on its way to one end.
pub(super) struct Gate<'a> {
    pub(super) to: &'a TcpStream,
    pub(super) link: &'a Link,
    pub(super) pace: &'a mut Pace,
    pub(super) sent: &'a AtomicU64,
    /// How fast this message alone may be.
    pub(super) bytes_per_second_max: Option<u64>,
    pub(super) end: Option<End>,
    pub(super) passed: u64,
}

/// Where a message stops.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Cut { after: u64 },
    Stall { after: u64, at_most: Duration },
}

impl Gate<'_> {
    /// Passes `bytes` on, in steps of the pace.
    ///
    /// # Errors
    /// The way ends here: whoever reads was cut off, or is gone.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.stop_where_it_ends()?;
            let own = self.bytes_per_second_max.unwrap_or(u64::MAX);
            let rate = match self.link.bytes_per_second.load(Ordering::Relaxed) {
                0 => own,
                shared => own.min(shared),
            };
            let step = usize::try_from(rate / STEPS_PER_SECOND).unwrap_or(usize::MAX).max(1);
            let (now, later) = bytes.split_at(bytes.len().min(step).min(self.left()));
            let mut to = self.to;
            // Counted first: who has read the bytes finds them in the total.
            self.sent.fetch_add(now.len() as u64, Ordering::SeqCst);
            to.write_all(now)?;
            self.passed += now.len() as u64;
            if rate < u64::MAX {
                self.pace.pass(now.len(), rate);
            }
            bytes = later;
        }
        Ok(())
    }

    /// Ends a message that was to end after its last byte.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        match self.end {
            Some(End::Cut { .. }) => Err(cut()),
            _ => Ok(()),
        }
    }

    /// How many bytes may pass before the message stops.
    fn left(&self) -> usize {
        match self.end {
            Some(End::Cut { after } | End::Stall { after, .. }) => {
                usize::try_from(after - self.passed).unwrap_or(usize::MAX)
            }
            None => usize::MAX,
        }
    }

    fn stop_where_it_ends(&mut self) -> io::Result<()> {
        match self.end {
            Some(End::Cut { after }) if self.passed == after => Err(cut()),
            Some(End::Stall { after, at_most }) if self.passed == after => {
                self.end = None;
                self.stall(at_most)
            }
            _ => Ok(()),
        }
    }

    /// Waits for the reader to leave.
    fn stall(&self, at_most: Duration) -> io::Result<()> {
        let begun = Instant::now();
        self.to.set_read_timeout(Some(POLL))?;
        let left = loop {
            match self.to.peek(&mut [0]) {
                Ok(0) => break true,
                Err(error) if !is_timeout(&error) => break true,
                _ if begun.elapsed() > at_most => break false,
                // A client that sends more before its answer has come.
                Ok(_) => thread::sleep(POLL),
                Err(_) => {}
            }
        };
        self.to.set_read_timeout(None)?;
        if left { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "cut here")
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// How often a connection with a limit sends.
const STEPS_PER_SECOND: u64 = 100;

const POLL: Duration = Duration::from_millis(50);
