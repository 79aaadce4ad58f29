//! A source each of whose reads ends in time, or at once when the mount ends.
//! Knows nothing of what is read.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cofferdam_io::ReadAt;

/// The kernel does not let a program be killed that waits for us: nothing may wait for ever.
pub(crate) struct BoundedSource {
    inner: Arc<dyn ReadAt>,
    patience: Duration,
    is_ended: AtomicBool,
}

impl BoundedSource {
    pub(crate) fn new(inner: Arc<dyn ReadAt>, patience: Duration) -> BoundedSource {
        BoundedSource { inner, patience, is_ended: AtomicBool::new(false) }
    }

    /// Gives up what is being read, and all that is read from now on from afar.
    pub(crate) fn end(&self) {
        // Relaxed: it says nothing of any other memory. Partner: the load in `read_exact_at`.
        self.is_ended.store(true, Ordering::Relaxed);
    }

    /// Whether it has been ended.
    pub(crate) fn is_ended(&self) -> bool {
        self.is_ended.load(Ordering::Relaxed)
    }
}

impl ReadAt for BoundedSource {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let begun = Instant::now();
        let is_late = || begun.elapsed() >= self.patience;
        let read = self.inner.read_exact_at_unless(offset, buffer, &|| self.is_ended() || is_late());
        read.map_err(|error| match is_late() && !self.is_ended() {
            true => late(self.patience, &error),
            false => error,
        })
    }

    fn read_cached_at(&self, offset: u64, buffer: &mut [u8]) -> usize {
        self.inner.read_cached_at(offset, buffer)
    }

    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn changed(&self) -> io::Result<bool> {
        self.inner.changed()
    }
}

fn late(patience: Duration, error: &io::Error) -> io::Error {
    let what = format!("it had not come after {} s, and was given up: {error}", patience.as_secs_f64());
    io::Error::new(io::ErrorKind::TimedOut, what)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails by panicking.
mod tests {
    use std::thread;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// Waits until it is given up.
    struct Stuck;

    impl ReadAt for Stuck {
        fn read_exact_at(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
            unreachable!("it would wait for ever")
        }

        fn read_exact_at_unless(
            &self,
            _: u64,
            _: &mut [u8],
            is_given_up: &(dyn Fn() -> bool + Sync),
        ) -> io::Result<()> {
            let begun = Instant::now();
            while !is_given_up() && begun.elapsed() < LONG {
                thread::yield_now();
            }
            Err(io::Error::other("given up"))
        }

        fn len(&self) -> u64 {
            9
        }
    }

    #[test]
    fn a_read_that_does_not_come_is_given_up_in_time() {
        let source = BoundedSource::new(Arc::new(Stuck), Duration::from_millis(30));
        let begun = Instant::now();
        let error = source.read_exact_at(0, &mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!((Duration::from_millis(30)..LONG).contains(&begun.elapsed()));
    }

    #[test]
    fn what_is_read_when_the_mount_ends_is_given_up() {
        let source = Arc::new(BoundedSource::new(Arc::new(Stuck), Duration::from_secs(3600)));
        let reading = source.clone();
        let reader = thread::spawn(move || reading.read_exact_at(0, &mut [0]).unwrap_err());
        let begun = Instant::now();
        source.end();
        assert_eq!(reader.join().unwrap().to_string(), "given up");
        assert!(begun.elapsed() < LONG);
    }
}
