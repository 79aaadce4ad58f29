//! The threads that frames are worked on in.
//! It knows no frame: it runs what it is given.

use std::collections::VecDeque;
use std::error::Error;
use std::num::NonZeroUsize;
use std::sync::{Arc, OnceLock};
use std::{fmt, io, thread};

use parking_lot::Mutex;

/// The threads that streams work on: a rayon pool of its own, never the global one. Clones share the threads, which end with the last clone.
#[derive(Clone)]
pub struct Pool {
    threads: Arc<rayon::ThreadPool>,
    queue: Arc<Mutex<Queue>>,
}

/// What has no thread yet, in the order in which it came. How much there may be is up to those who bring it.
#[derive(Default)]
struct Queue {
    /// What waits for nothing, so that anybody may do it.
    jobs: VecDeque<Job>,
    /// What was spawned: it may wait, so that only threads of the pool do it.
    spawned: VecDeque<Job>,
    /// Threads that take from here until nothing is left, and those that were told to and have not begun. A thread that does
    /// what was spawned is none meanwhile.
    takers: usize,
}

type Job = Box<dyn FnOnce() + Send>;

/// Why there is no pool.
#[derive(Debug)]
#[non_exhaustive]
pub enum PoolError {
    /// More than [`THREADS_MAX`] threads were asked for.
    TooMany {
        /// How many.
        threads: NonZeroUsize,
    },
    /// The operating system gave fewer threads than were asked for; those it gave have been ended.
    NoThread(io::Error),
}

impl Pool {
    /// A pool of `threads` threads.
    ///
    /// # Errors
    /// `threads` is more than [`THREADS_MAX`], or the operating system does not give them.
    pub fn new(threads: NonZeroUsize) -> Result<Pool, PoolError> {
        check_threads(threads)?;
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.get())
            .thread_name(|index| format!("cofferdam-{index}"))
            .build()
            .map_err(|error| PoolError::NoThread(io::Error::other(error)))?;
        Ok(Pool { threads: Arc::new(pool), queue: Arc::default() })
    }

    /// As many threads as the machine runs at once, or as its administrator lets this process have; [`THREADS_MAX`] at
    /// most. Looked up once: it takes a dozen system calls, more than a whole stream of a few bytes. A change of the
    /// process's processors after that is not seen; give `threads` or a pool.
    pub fn threads_of_the_machine() -> NonZeroUsize {
        static THREADS: OnceLock<NonZeroUsize> = OnceLock::new();
        *THREADS.get_or_init(|| thread::available_parallelism().unwrap_or(NonZeroUsize::MIN).min(THREADS_MAX))
    }

    /// How many threads it has.
    pub fn threads(&self) -> usize {
        self.threads.current_num_threads()
    }

    /// Runs `job` on some thread, in the order of spawning as far as threads are free. `job` must not panic, and
    /// must not wait for another job.
    pub fn spawn(&self, job: impl FnOnce() + Send + 'static) {
        self.bring(|queue| queue.spawned.push_back(Box::new(job)));
    }

    /// Runs `job` on the thread that is free next, or on that of whoever calls [`Pool::try_run_one`] before. `job` must not
    /// panic, and must wait for nothing.
    ///
    /// A job lies in one queue, and threads come for it: one is called where fewer are at work than the pool has.
    pub fn queue(&self, job: impl FnOnce() + Send + 'static) {
        self.bring(|queue| queue.jobs.push_back(Box::new(job)));
    }

    fn bring(&self, bring: impl FnOnce(&mut Queue)) {
        let mut queue = self.queue.lock();
        bring(&mut queue);
        if queue.takers < self.threads() {
            queue.takers += 1;
            drop(queue);
            let (queue, threads) = (self.queue.clone(), self.threads());
            self.threads.spawn_fifo(move || take(&queue, threads));
        }
    }

    /// Does the oldest job that was queued and that no thread has begun, if there is one, and says whether it did.
    pub fn try_run_one(&self) -> bool {
        // The lock is let go before the job is done.
        let job = self.queue.lock().jobs.pop_front();
        job.map(|job| job()).is_some()
    }

    /// Whether the caller is one of its threads.
    pub fn is_current(&self) -> bool {
        self.threads.current_thread_index().is_some()
    }
}

/// Refuses more threads than a pool may have.
///
/// # Errors
/// [`PoolError::TooMany`].
pub fn check_threads(threads: NonZeroUsize) -> Result<(), PoolError> {
    if threads > THREADS_MAX { Err(PoolError::TooMany { threads }) } else { Ok(()) }
}

/// Does what lies in `queue` until nothing does. Whoever brings something later calls a thread again: both look at the count
/// under the lock. What was spawned has its turn when no job is there, and after every few jobs.
fn take(queue: &Arc<Mutex<Queue>>, threads: usize) {
    let mut jobs_done = 0;
    loop {
        let mut held = queue.lock();
        let turn = jobs_done >= JOBS_AT_A_STRETCH || held.jobs.is_empty();
        if let Some(task) = if turn { held.spawned.pop_front() } else { None } {
            // It may take long: meanwhile another thread does what is left.
            let others = !held.jobs.is_empty() || !held.spawned.is_empty();
            held.takers -= usize::from(!others);
            drop(held);
            if others {
                let queue = queue.clone();
                rayon::spawn_fifo(move || take(&queue, threads));
            }
            task();
            let mut held = queue.lock();
            if held.takers == threads {
                return;
            }
            held.takers += 1;
            jobs_done = 0;
            continue;
        }
        let Some(job) = held.jobs.pop_front() else {
            held.takers -= 1;
            return;
        };
        drop(held);
        job();
        jobs_done += 1;
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.threads.fmt(f)
    }
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PoolError::TooMany { threads } => {
                write!(f, "{threads} threads are too many: at most {THREADS_MAX} work on a stream")
            }
            PoolError::NoThread(error) => write!(f, "the operating system gave no thread: {error}"),
        }
    }
}

impl Error for PoolError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            PoolError::TooMany { .. } => None,
            PoolError::NoThread(error) => Some(error),
        }
    }
}

/// Jobs that a thread does before something that was spawned has its turn.
const JOBS_AT_A_STRETCH: usize = 32;
/// Threads of a pool. Beyond the processors of any machine more of them only take memory, and while they start, a signal
/// is not heard.
pub const THREADS_MAX: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_of_more_threads_than_the_limit_is_refused_before_one_is_made() {
        for threads in [1025, 100_000, usize::MAX] {
            let refused = Pool::new(NonZeroUsize::new(threads).unwrap());
            assert!(matches!(refused, Err(PoolError::TooMany { threads: of }) if of.get() == threads));
        }
        for threads in [1, 2, 1023, 1024] {
            assert!(check_threads(NonZeroUsize::new(threads).unwrap()).is_ok(), "{threads}");
        }
    }

    #[test]
    fn the_machine_is_never_taken_for_more_threads_than_a_pool_may_have() {
        assert!(check_threads(Pool::threads_of_the_machine()).is_ok());
    }
}
