//! How often a call is made again that a signal has interrupted.
//! Knows nothing of what the calls do.

use std::io;

/// Makes a call again as long as signals interrupt it, but at most 1,000 times in all: signals that come faster than the
/// call gets on would never let it end, and nobody could cancel it.
///
/// # Errors
/// The call's own; the last interruption where there were too many.
pub fn retried<T, E: MaybeInterrupted>(mut call: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    for _ in 1..INTERRUPTIONS_MAX {
        match call() {
            Err(error) if error.is_interruption() => {}
            done => return done,
        }
    }
    call()
}

/// An error that may mean no more than that a signal came.
pub trait MaybeInterrupted {
    /// Whether it does.
    fn is_interruption(&self) -> bool;
}

impl MaybeInterrupted for io::Error {
    fn is_interruption(&self) -> bool {
        self.kind() == io::ErrorKind::Interrupted
    }
}

#[cfg(feature = "rustix")]
impl MaybeInterrupted for rustix::io::Errno {
    fn is_interruption(&self) -> bool {
        *self == rustix::io::Errno::INTR
    }
}

/// The same for a loop that gets on by pieces: it counts interruptions with nothing done between them.
#[derive(Debug, Default)]
pub struct Patience {
    interruptions: usize,
}

impl Patience {
    /// Something was done.
    pub fn renew(&mut self) {
        self.interruptions = 0;
    }

    /// Whether to call again after this error.
    ///
    /// # Errors
    /// It is no interruption, or there were too many.
    pub fn endure(&mut self, error: io::Error) -> io::Result<()> {
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

    fn interrupted() -> io::Error {
        io::ErrorKind::Interrupted.into()
    }

    #[test]
    fn a_call_that_is_always_interrupted_ends_and_one_that_is_interrupted_for_a_while_succeeds() {
        let outcome_after = |interruptions: usize| {
            let mut calls = 0;
            let outcome = retried(|| {
                calls += 1;
                if calls <= interruptions { Err(interrupted()) } else { Ok(calls) }
            });
            (outcome.map_err(|error| error.kind()), calls)
        };
        assert_eq!(outcome_after(usize::MAX), (Err(io::ErrorKind::Interrupted), 1_000));
        assert_eq!(outcome_after(1_000), (Err(io::ErrorKind::Interrupted), 1_000));
        assert_eq!(outcome_after(999), (Ok(1_000), 1_000));
    }

    #[test]
    fn another_error_is_not_waited_out() {
        let mut calls = 0;
        let outcome = retried(|| {
            calls += 1;
            Err::<(), _>(io::Error::from(io::ErrorKind::StorageFull))
        });
        assert_eq!((outcome.unwrap_err().kind(), calls), (io::ErrorKind::StorageFull, 1));
    }

    #[cfg(feature = "rustix")]
    #[test]
    fn an_error_number_is_an_interruption_as_well() {
        use rustix::io::Errno;

        let mut calls = 0;
        let outcome = retried(|| {
            calls += 1;
            if calls < 999 { Err(Errno::INTR) } else { Ok(calls) }
        });
        assert_eq!(outcome, Ok(999));
        assert_eq!(retried(|| Err::<(), _>(Errno::INTR)), Err(Errno::INTR));
        assert_eq!(retried(|| Err::<(), _>(Errno::IO)), Err(Errno::IO));
    }

    #[test]
    fn what_is_done_between_interruptions_renews_patience() {
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
