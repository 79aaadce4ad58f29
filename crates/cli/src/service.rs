//! What systemd is told of a command that runs as a service: see sd_notify(3) and systemd.service(5).
//! It knows no stream. Where nobody listens, nothing is said.

use std::env;
use std::sync::Mutex;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// The service is up: it can be asked, or listens.
pub(crate) fn is_ready() {
    say(&[NotifyState::Ready]);
}

/// How a command gets on, for `systemctl status`, and that it does: for the watchdog, if the unit has one.
pub(crate) struct Status {
    is_heard: bool,
    is_watched: bool,
    said: Mutex<Option<Instant>>,
}

impl Status {
    pub(crate) fn new() -> Status {
        let is_heard = env::var_os("NOTIFY_SOCKET").is_some();
        let is_watched = is_heard && sd_notify::watchdog_enabled().is_some();
        Status { is_heard, is_watched, said: Mutex::default() }
    }

    /// Something has been done; `status` says what, in one line. No more is said than is read.
    pub(crate) fn progressed(&self, status: impl FnOnce() -> String) {
        if !self.is_heard {
            return;
        }
        let Ok(mut said) = self.said.lock() else { return };
        let now = Instant::now();
        if said.is_some_and(|said| now.duration_since(said) < INTERVAL) {
            return;
        }
        *said = Some(now);
        let status = status();
        let status = NotifyState::Status(&status);
        match self.is_watched {
            true => say(&[status, NotifyState::Watchdog]),
            false => say(&[status]),
        }
    }
}

/// That it does not get there is no reason to stop.
fn say(state: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(state);
}

/// Says, once per second and until it is dropped, that a command is there, and what of others it waits for.
pub(crate) struct Waiting {
    /// Its end is seen at the other end. None where nobody listens.
    _ended: Option<Sender<()>>,
}

impl Waiting {
    /// Has `status` say what is waited for, in one line.
    #[must_use]
    pub(crate) fn begin(status: impl Fn() -> String + Send + 'static) -> Waiting {
        let told = Status::new();
        if !told.is_heard {
            return Waiting { _ended: None };
        }
        let (ended, end) = mpsc::channel();
        thread::spawn(move || {
            told.progressed(&status);
            while end.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                told.progressed(&status);
            }
        });
        Waiting { _ended: Some(ended) }
    }
}

const INTERVAL: Duration = Duration::from_secs(1);
