//! What systemd is told of a command that runs as a service: see sd_notify(3) and systemd.service(5).
//! It knows no stream. Where nobody listens, nothing is said.

use std::env;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender, sync_channel};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// The service is up: it can be asked, or listens.
pub(crate) fn is_ready() {
    if env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let (said, is_said) = sync_channel(1);
    // Whoever waits for it has it before the command ends, unless nobody reads.
    if say(Message { text: READY.to_owned(), said: Some(said) }) {
        let _ = is_said.recv_timeout(PATIENCE);
    }
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
        let watchdog = self.is_watched.then_some(NotifyState::Watchdog);
        let text: String = [status].into_iter().chain(watchdog).map(|state| format!("{state}\n")).collect();
        say(Message { text, said: None });
    }
}

/// Lines of sd_notify(3).
struct Message {
    text: String,
    /// Told once it has been sent, or could not be.
    said: Option<SyncSender<()>>,
}

/// Has it sent by a thread of its own: the socket of somebody who does not read takes nothing, and that is no reason to wait. Nor is it one to
/// stop that it does not get there. Gives whether it is going to be sent.
fn say(message: Message) -> bool {
    static MESSAGES: OnceLock<SyncSender<Message>> = OnceLock::new();
    let messages = MESSAGES.get_or_init(|| {
        let (messages, unsent) = sync_channel(UNSENT_MAX);
        // Without a thread the channel is closed.
        drop(thread::Builder::new().name("service".to_owned()).spawn(move || send_all(&unsent)));
        messages
    });
    messages.try_send(message).is_ok()
}

/// Until the program ends.
fn send_all(unsent: &Receiver<Message>) {
    for Message { text, said } in unsent {
        let _ = sd_notify::notify(&[NotifyState::Custom(text.trim_end())]);
        // Nobody may wait for it any more.
        said.map(|said| said.send(()));
    }
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
const READY: &str = "READY=1";
/// Messages that wait to be sent; more are left out.
const UNSENT_MAX: usize = 4;
/// How long somebody who is to hear that it is ready may take to read.
const PATIENCE: Duration = Duration::from_secs(2);
