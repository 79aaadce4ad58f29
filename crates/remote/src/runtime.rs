//! The threads on which requests run: one small runtime for the process, made on first use.
//! Knows no request. Nobody waits within somebody else's runtime: results cross over by a channel.

use std::{
    future::Future,
    io,
    sync::{
        OnceLock,
        mpsc::{self, RecvTimeoutError},
    },
    time::Duration,
};

use tokio::runtime::{Builder, Handle, Runtime};

/// Runs `task` to its end on the runtime of this crate, and waits for it; from any thread, also one of another runtime.
///
/// # Errors
/// As [`handle`], or the task panicked.
pub(crate) fn run<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> io::Result<T> {
    run_unless(task, &|| false).map(|done| done.expect("nobody cancels it"))
}

/// The same, until `cancelled` says so: then the task is dropped, and nothing is returned. It is asked every 50 ms.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_unless<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
    cancelled: &(dyn Fn() -> bool + Send + Sync),
) -> io::Result<Option<T>> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let running = handle()?.spawn(async move {
        // Whoever waited may have been cancelled.
        let _ = sender.send(task.await);
    });
    loop {
        match receiver.recv_timeout(CANCEL_POLL) {
            Ok(done) => return Ok(Some(done)),
            Err(RecvTimeoutError::Timeout) if cancelled() => {
                running.abort();
                return Ok(None);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(io::Error::other("a request panicked")),
        }
    }
}

/// A handle to the runtime of this process.
///
/// # Errors
/// Its threads cannot be started, or they are in the process that this one was forked from.
pub(crate) fn handle() -> io::Result<Handle> {
    in_process(&OWN, std::process::id())
}

fn in_process(own: &OnceLock<Own>, process: u32) -> io::Result<Handle> {
    if let Some(own) = own.get() {
        if own.process != process {
            let message = "this process was forked from one that had begun to make requests, and has not its threads: \
                           start a new process instead";
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        }
        return Ok(own.runtime.handle().clone());
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("cofferdam-net")
        .enable_all()
        .build()?;
    if let Err(second) = own.set(Own { process, runtime }) {
        // Another thread was faster. To wait for its threads would panic within somebody's runtime.
        second.runtime.shutdown_background();
    }
    in_process(own, process)
}

struct Own {
    process: u32,
    runtime: Runtime,
}

static OWN: OnceLock<Own> = OnceLock::new();

/// One thread receives at the speed of a fast link; a second one keeps timers and new requests from waiting for it.
const THREADS: usize = 2;
/// How soon a cancellation is seen by whoever waits.
pub(crate) const CANCEL_POLL: Duration = Duration::from_millis(50);
/// The longest wait that can be asked for: a deadline must not overflow.
pub(crate) const PATIENCE_MAX: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    };

    use super::*;

    #[test]
    fn a_task_runs_on_threads_of_its_own_also_for_a_caller_within_a_runtime() {
        let name = || async { std::thread::current().name().map(str::to_owned) };
        assert_eq!(run(name()).unwrap().as_deref(), Some("cofferdam-net"));
        let foreign = Builder::new_current_thread().build().unwrap();
        assert_eq!(foreign.block_on(async { run(name()).unwrap() }).as_deref(), Some("cofferdam-net"));
    }

    #[test]
    fn a_forked_process_is_told_so() {
        let own = OnceLock::new();
        in_process(&own, 1).unwrap();
        assert!(in_process(&own, 1).is_ok());
        assert_eq!(in_process(&own, 2).unwrap_err().kind(), io::ErrorKind::Unsupported);
    }

    #[test]
    fn a_cancelled_task_is_dropped_and_a_panic_is_an_error() {
        struct Dropped(Arc<AtomicBool>);
        impl Drop for Dropped {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Release);
            }
        }
        let flag = Arc::new(AtomicBool::new(false));
        let held = Dropped(flag.clone());
        let task = async move {
            let _held = held;
            std::future::pending::<()>().await;
        };
        assert_eq!(run_unless(task, &|| true).unwrap(), None);
        while !flag.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        assert!(run(async { panic!("as a test") }).is_err());
    }
}
