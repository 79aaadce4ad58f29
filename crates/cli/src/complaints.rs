//! What goes wrong while something is served or mounted, said to the operator: not more often than can be read.
//! It knows no client, no protocol and no file system.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cofferdam::CancelToken;

use crate::report::Report;

/// Warnings of a server or a mount, at most one per second: a client that asks again and again does not fill the log.
pub(crate) struct Complaints {
    report: Report,
    reading: CancelToken,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last: Option<Instant>,
    unsaid: u64,
}

impl Complaints {
    /// After `reading` has been cancelled, nothing more is said: what the end cuts off is no news.
    pub(crate) fn new(report: Report, reading: CancelToken) -> Complaints {
        Complaints { report, reading, state: Mutex::default() }
    }

    /// `what` is wrong, in a clause; none is not said.
    pub(crate) fn tell(&self, what: impl FnOnce() -> Option<String>) {
        let mut state = self.lock();
        if self.reading.is_cancelled() {
            return;
        }
        if state.last.is_some_and(|last| last.elapsed() < EVERY) {
            state.unsaid += 1;
            return;
        }
        let Some(what) = what() else { return };
        self.report.warning(match state.unsaid {
            0 => what,
            unsaid => format!("{what} ({unsaid} more before it)"),
        });
        *state = State { last: Some(Instant::now()), unsaid: 0 };
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What it guards is whole at every step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const EVERY: Duration = Duration::from_secs(1);
