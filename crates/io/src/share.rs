//! Work that some threads share.
//! Knows nothing of what it is.

use std::{
    panic::resume_unwind,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

/// Has `threads` threads, this one among them, do `work` for each number below `count`, which is within [`i64::MAX`]: each number is taken once, in no order. A thread begins with
/// what `begin` gives; what has become of it is given back, in no order. A thread that the system does not give is done without.
///
/// # Errors
/// The first that fails, in the order of threads. Once one has failed, no number is taken any more.
pub fn share<S: Send, E: Send>(
    count: u64,
    threads: usize,
    begin: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, u64) -> Result<(), E> + Sync,
) -> Result<Vec<S>, E> {
    let next = AtomicU64::new(0);
    let run = || {
        let mut state = begin();
        loop {
            // Relaxed: the numbers alone are shared. What threads have done is theirs until they are joined.
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(state);
            }
            work(&mut state, number).inspect_err(|_| next.store(count, Ordering::Relaxed))?;
        }
    };
    thread::scope(|scope| {
        let others: Vec<_> =
            (1..threads).map_while(|_| thread::Builder::new().spawn_scoped(scope, run).ok()).collect();
        let ours = run();
        let theirs =
            others.into_iter().map(|other| other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        // All of them are waited for.
        std::iter::once(ours).chain(theirs.collect::<Vec<_>>()).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_taken_once_by_any_number_of_threads() {
        for (count, threads) in [(0, 1), (0, 4), (1, 4), (4, 4), (10_000, 1), (10_000, 4)] {
            let taken = share(count, threads, Vec::new, |mine, number| {
                mine.push(number);
                Ok::<(), ()>(())
            });
            let taken = taken.unwrap();
            assert_eq!(taken.len(), threads);
            let mut taken = taken.concat();
            taken.sort_unstable();
            assert!(taken.into_iter().eq(0..count), "{count} numbers, {threads} threads");
        }
    }

    /// Nobody would live to see all of these numbers taken.
    #[test]
    fn the_one_that_fails_ends_the_others() {
        for threads in [1, 4] {
            let failed = share(
                i64::MAX as u64,
                threads,
                || (),
                |(), number| if number == 1_000 { Err(number) } else { Ok(()) },
            );
            assert_eq!(failed.unwrap_err(), 1_000);
        }
    }
}
