//! The parts of an upload that are on their way, and what has come of each.
//! Knows no request: whoever sends a part brings it.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};
use std::{io, thread};

use tokio::task::JoinHandle;

use super::persist::{Cause, TICK};
use super::wire::Body;
use crate::runtime;

/// Parts on their way, each a task of the runtime.
pub(super) struct InFlight {
    tasks: Vec<JoinHandle<()>>,
    /// Those of which nobody has heard yet.
    count: usize,
    finished: (Sender<Sent>, Receiver<Sent>),
}

/// What has come of a part: what the store calls it, or why it has none.
pub(super) struct Sent {
    pub(super) index: usize,
    pub(super) body: Body,
    pub(super) tag: Result<String, Cause>,
}

impl InFlight {
    pub(super) fn new() -> InFlight {
        InFlight { tasks: Vec::new(), count: 0, finished: mpsc::channel() }
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Has `sending` run in the background.
    ///
    /// # Errors
    /// Those of [`runtime::handle`].
    pub(super) fn add(&mut self, sending: impl Future<Output = Sent> + Send + 'static) -> io::Result<()> {
        let done = self.finished.0.clone();
        self.tasks.retain(|task| !task.is_finished());
        self.tasks.push(runtime::handle()?.spawn(async move {
            // Nobody waits for it any more where the upload is given up.
            let _ = done.send(sending.await);
        }));
        self.count += 1;
        Ok(())
    }

    /// Waits for one of them; nothing if there is none.
    ///
    /// # Errors
    /// [`Cause::Cancelled`].
    pub(super) fn wait(&mut self, is_cancelled: &dyn Fn() -> bool) -> Result<Option<Sent>, Cause> {
        while self.count > 0 {
            match self.finished.1.recv_timeout(TICK) {
                Ok(sent) => {
                    self.count -= 1;
                    return Ok(Some(sent));
                }
                Err(RecvTimeoutError::Timeout) if is_cancelled() => return Err(Cause::Cancelled),
                Err(_) => {}
            }
        }
        Ok(None)
    }

    /// One that has ended, if one has.
    pub(super) fn try_wait(&mut self) -> Option<Sent> {
        let sent = self.finished.1.try_recv().ok()?;
        self.count -= 1;
        Some(sent)
    }

    /// Lets them end for a moment, at most `abort_max`, and cuts off the others: how many those were. What arrives after an upload was
    /// given up may stay.
    pub(super) fn end(&mut self, abort_max: Duration) -> usize {
        let until = Instant::now() + PARTS_END_MAX.min(abort_max);
        while self.tasks.iter().any(|task| !task.is_finished()) && Instant::now() < until {
            thread::sleep(Duration::from_millis(10));
        }
        let cut_off =
            self.tasks.drain(..).filter(|task| !task.is_finished()).inspect(JoinHandle::abort).count();
        self.count = 0;
        self.finished = mpsc::channel();
        cut_off
    }
}

/// How long parts may take to arrive whose upload is to be given up.
const PARTS_END_MAX: Duration = Duration::from_secs(2);
