//! What goes wrong while something is served, said to the operator: not more often than can be read.
//! It knows no client and no protocol.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serve::Notice;

use crate::report::Report;
use crate::size::Size;

/// The operator's ear. A client that asks again and again does not fill the log.
pub(crate) struct Complaints {
    report: Report,
    said: Mutex<Said>,
}

#[derive(Default)]
struct Said {
    last: Option<Instant>,
    unsaid: u64,
}

impl Complaints {
    pub(crate) fn new(report: Report) -> Complaints {
        Complaints { report, said: Mutex::default() }
    }

    pub(crate) fn tell(&self, notice: &Notice<'_>) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.last.is_some_and(|last| last.elapsed() < EVERY) {
            said.unsaid += 1;
            return;
        }
        let what = match notice {
            Notice::ReadFailed { offset, len, error } => {
                format!("{} at byte {offset} could not be read: {error}", Size(*len as u64))
            }
            Notice::StrangerRefused { user } => {
                format!("a process of user {user} came to the socket, and was sent away")
            }
            _ => return,
        };
        match std::mem::take(&mut said.unsaid) {
            0 => self.report.warning(what),
            unsaid => self.report.warning(format!("{what} ({unsaid} more before it)")),
        }
        said.last = Some(Instant::now());
    }
}

const EVERY: Duration = Duration::from_secs(1);
