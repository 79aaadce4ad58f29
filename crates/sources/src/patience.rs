//! How often a read is made again that a signal has interrupted.
//! Knows nothing of what is read.

use std::io;

/// Makes a call again as long as signals interrupt it, but not for ever: signals that come faster than the call gets on
/// would never let it end, and nobody could cancel it.
pub(crate) fn retried<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 0..INTERRUPTIONS_MAX {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
    Err(io::ErrorKind::Interrupted.into())
}

/// A profiler's signals come a thousand times a second: a second without any progress is enough.
const INTERRUPTIONS_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_is_always_interrupted_ends_and_one_that_is_interrupted_for_a_while_succeeds() {
        let interrupted = |until: usize| {
            let mut calls = 0;
            let outcome = retried(|| {
                calls += 1;
                if calls < until { Err(io::ErrorKind::Interrupted.into()) } else { Ok(calls) }
            });
            (outcome.map_err(|error| error.kind()), calls)
        };
        assert_eq!(interrupted(usize::MAX), (Err(io::ErrorKind::Interrupted), 1_000));
        assert_eq!(interrupted(1_000), (Ok(1_000), 1_000));
    }
}
