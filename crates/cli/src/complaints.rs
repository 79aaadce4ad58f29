//! What goes wrong while something is served, said to the operator: not more often than can be read.
//! It knows no client and no protocol.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use cofferdam::CancelToken;
use serve::{GRACE, Notice};

use crate::failure::with_causes;
use crate::report::Report;
use crate::size::Size;

/// Warnings of a server, at most one per second: a client that asks again and again does not fill the log. A thread of its own
/// writes them, so nobody is served later because nobody reads them.
pub(crate) struct Complaints {
    reading: CancelToken,
    state: Mutex<State>,
}

struct State {
    last: Option<Instant>,
    unsaid: u64,
    /// Until the end.
    to_say: Option<SyncSender<String>>,
    /// Closed when all has been said.
    said: Receiver<()>,
}

impl Complaints {
    /// After `reading` has been cancelled, nothing more is said: what the end cuts off is no news.
    pub(crate) fn new(report: Report, reading: CancelToken) -> Complaints {
        let (to_say, received) = sync_channel::<String>(UNREAD_MAX);
        let (done, said) = sync_channel(0);
        thread::spawn(move || {
            received.into_iter().for_each(|what| report.warning(what));
            drop(done);
        });
        let state = State { last: None, unsaid: 0, to_say: Some(to_say), said };
        Complaints { reading, state: Mutex::new(state) }
    }

    pub(crate) fn tell(&self, notice: &Notice<'_>) {
        let mut state = self.lock();
        if self.reading.is_cancelled() {
            return;
        }
        if state.last.is_some_and(|last| last.elapsed() < EVERY) {
            state.unsaid += 1;
            return;
        }
        let what = match notice {
            Notice::ReadFailed { offset, len, error } => {
                format!("{} at byte {offset} could not be read: {}", Size(*len as u64), with_causes(*error))
            }
            Notice::StrangerRefused { user } => {
                format!("a process of user {user} came to the socket, and was sent away")
            }
            _ => return,
        };
        let what = match state.unsaid {
            0 => what,
            unsaid => format!("{what} ({unsaid} more before it)"),
        };
        let is_taken = state.to_say.as_ref().is_some_and(|to_say| to_say.try_send(what).is_ok());
        state.unsaid = if is_taken { 0 } else { state.unsaid + 1 };
        state.last = Some(Instant::now());
    }

    /// Waits until all has been said, for as long as may be.
    pub(crate) fn finish(&self) {
        let mut state = self.lock();
        state.to_say = None;
        let _ = state.said.recv_timeout(GRACE);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What it guards is whole at every step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const EVERY: Duration = Duration::from_secs(1);
/// Warnings that wait for somebody to read them. What comes then is counted.
const UNREAD_MAX: usize = 16;
