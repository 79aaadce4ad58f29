//! The threads that frames are worked on in.
//! It knows no frame: it runs what it is given.

use std::num::NonZeroUsize;
use std::sync::{Arc, OnceLock};
use std::{fmt, thread};

/// A rayon pool of our own, never the global one. Clones share the threads; the last one to go ends them.
#[derive(Clone, Debug)]
pub struct Pool(Arc<rayon::ThreadPool>);

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
        Ok(Pool(Arc::new(pool)))
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
        self.0.current_num_threads()
    }

    /// Runs `job` on some thread, in the order of spawning as far as threads are free. `job` must not panic, and
    /// must not wait for another job.
    pub fn spawn(&self, job: impl FnOnce() + Send + 'static) {
        self.0.spawn_fifo(job);
    }

    /// Whether the caller is one of its threads.
    pub fn is_current(&self) -> bool {
        self.0.current_thread_index().is_some()
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
