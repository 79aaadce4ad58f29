//! How often a call is made again that a signal has interrupted.
//! Knows nothing of what the calls do.

use std::io;

use rustix::io::Errno;

/// Makes a call again as long as signals interrupt it, but not for ever: signals that come faster than the call gets on
/// would never let it end.
pub(crate) fn retried<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    for _ in 0..INTERRUPTIONS_MAX {
        match call() {
            Err(Errno::INTR) => {}
            done => return done,
        }
    }
    Err(Errno::INTR)
}

/// The same for a loop that gets on by pieces: it counts interruptions with nothing done between them.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    interruptions: usize,
}

impl Patience {
    /// Something was done.
    pub(crate) fn renew(&mut self) {
        self.interruptions = 0;
    }

    /// Whether to call again after this error.
    ///
    /// # Errors
    /// It is no interruption, or there were too many.
    pub(crate) fn endure(&mut self, error: io::Error) -> io::Result<()> {
        self.interruptions += 1;
        match error.kind() {
            io::ErrorKind::Interrupted if self.interruptions < INTERRUPTIONS_MAX => Ok(()),
            _ => Err(error),
        }
    }
}

/// A profiler's signals come a thousand times a second: a second without any progress is enough.
const INTERRUPTIONS_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_is_always_interrupted_ends_and_one_that_is_interrupted_for_a_while_succeeds() {
        let mut calls = 0;
        let endless = retried(|| {
            calls += 1;
            Err::<(), _>(Errno::INTR)
        });
        assert_eq!((endless, calls), (Err(Errno::INTR), 1_000));
        let mut calls = 0;
        let ends = retried(|| {
            calls += 1;
            if calls < 999 { Err(Errno::INTR) } else { Ok(calls) }
        });
        assert_eq!(ends, Ok(999));
        assert_eq!(retried(|| Err::<(), _>(Errno::IO)), Err(Errno::IO));
    }

    #[test]
    fn what_is_done_between_interruptions_renews_patience() {
        let interrupted = || io::Error::from(io::ErrorKind::Interrupted);
        let mut patience = Patience::default();
        for _ in 0..5 {
            assert!((0..999).all(|_| patience.endure(interrupted()).is_ok()));
            patience.renew();
        }
        assert!((0..999).all(|_| patience.endure(interrupted()).is_ok()));
        assert!(patience.endure(interrupted()).is_err());
        assert!(Patience::default().endure(io::ErrorKind::StorageFull.into()).is_err());
    }
}
