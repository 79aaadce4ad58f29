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

    /// Has `sending`, of part `index`, run in the background.
    ///
    /// # Errors
    /// Those of [`runtime::handle`].
    pub(super) fn add(
        &mut self,
        index: usize,
        sending: impl Future<Output = Sent> + Send + 'static,
    ) -> io::Result<()> {
        let on_way = OnWay { index, done: self.finished.0.clone(), is_over: false };
        self.tasks.retain(|task| !task.is_finished());
        self.tasks.push(runtime::handle()?.spawn(async move {
            let sent = sending.await;
            on_way.tell(sent);
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

/// A part on its way. Dropped before it has come to an end, by a panic, it has failed; if it was cut off, nobody waits for it.
struct OnWay {
    index: usize,
    done: Sender<Sent>,
    is_over: bool,
}

impl OnWay {
    fn tell(mut self, sent: Sent) {
        self.is_over = true;
        // Nobody waits for it any more where the upload is given up.
        let _ = self.done.send(sent);
    }
}

impl Drop for OnWay {
    fn drop(&mut self) {
        if !self.is_over {
            let sent = Sent { index: self.index, body: Body::empty(), tag: Err(Cause::Panicked) };
            let _ = self.done.send(sent);
        }
    }
}

/// How long parts may take to arrive whose upload is to be given up.
const PARTS_END_MAX: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_whose_task_panics_has_failed_and_the_others_are_heard() {
        let mut parts = InFlight::new();
        parts.add(0, async { panic!("as a test") }).unwrap();
        let whole = || Sent { index: 1, body: Body::empty(), tag: Ok("1".into()) };
        parts.add(1, async move { whole() }).unwrap();
        let mut heard: Vec<_> = (0..2)
            .map(|_| parts.wait(&|| false).unwrap().unwrap())
            .map(|sent| (sent.index, sent.tag))
            .collect();
        heard.sort_by_key(|(index, _)| *index);
        assert!(matches!(heard[0], (0, Err(Cause::Panicked))) && heard[1].1.is_ok());
        assert!(parts.wait(&|| false).unwrap().is_none());
    }
}
