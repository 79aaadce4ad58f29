//! The threads that frames are worked on in.
//! It knows no frame: it runs what it is given.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Arc, OnceLock};
use std::{fmt, thread};

use parking_lot::Mutex;

/// A rayon pool of our own, never the global one. Clones share the threads; the last one to go ends them.
#[derive(Clone)]
pub struct Pool {
    threads: Arc<rayon::ThreadPool>,
    /// What was left and has no thread yet. How many may lie here is up to those who leave them.
    jobs: Arc<Mutex<VecDeque<Job>>>,
}

type Job = Box<dyn FnOnce() + Send>;

/// The operating system gave no threads.
#[derive(Debug)]
pub struct PoolError(rayon::ThreadPoolBuildError);

impl Pool {
    /// A pool of `threads` threads.
    pub fn new(threads: NonZeroUsize) -> Result<Pool, PoolError> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.get())
            .thread_name(|index| format!("cofferdam-{index}"))
            .build()
            .map_err(PoolError)?;
        Ok(Pool { threads: Arc::new(pool), jobs: Arc::default() })
    }

    /// As many threads as the machine runs at once, or as its administrator lets this process have. Looked up once: it
    /// takes a dozen system calls, more than a whole stream of a few bytes. A change of the process's processors after that
    /// is not seen; give `threads` or a pool.
    pub fn threads_of_the_machine() -> NonZeroUsize {
        static THREADS: OnceLock<NonZeroUsize> = OnceLock::new();
        *THREADS.get_or_init(|| thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }

    /// How many threads it has.
    pub fn threads(&self) -> usize {
        self.threads.current_num_threads()
    }

    /// Runs `job` on some thread, in the order of spawning as far as threads are free. `job` must not panic, and
    /// must not wait for another job.
    pub fn spawn(&self, job: impl FnOnce() + Send + 'static) {
        self.threads.spawn_fifo(job);
    }

    /// Runs `job` on the thread that is free next, or on that of whoever calls [`Pool::do_one`] before. `job` must not
    /// panic, and must wait for nothing.
    pub fn leave(&self, job: impl FnOnce() + Send + 'static) {
        self.jobs.lock().push_back(Box::new(job));
        let jobs = self.jobs.clone();
        self.spawn(move || _ = take_and_do(&jobs));
    }

    /// Does the oldest job that was left and that no thread has begun, if there is one, and says whether it did.
    pub fn do_one(&self) -> bool {
        take_and_do(&self.jobs)
    }

    /// Whether the caller is one of its threads.
    pub fn is_current(&self) -> bool {
        self.threads.current_thread_index().is_some()
    }
}

/// The lock is let go before the job is done.
fn take_and_do(jobs: &Mutex<VecDeque<Job>>) -> bool {
    let job = jobs.lock().pop_front();
    job.map(|job| job()).is_some()
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.threads.fmt(f)
    }
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no threads could be started: {}", self.0)
    }
}

impl std::error::Error for PoolError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}
