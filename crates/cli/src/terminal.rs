//! The terminal as a place to ask: passphrases without echo, and what age plugins want to know.
//! Asking happens before anything is written.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use cofferdam::{Callbacks, SecretString, Zeroizing};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::{printable, report};

/// Asks without echo.
///
/// # Errors
/// There is no terminal, or the answer was broken off.
pub(crate) fn ask_hidden(prompt: &str) -> io::Result<Zeroizing<String>> {
    let _asking = Asking::begin()?;
    let answer = rpassword::prompt_password(prompt).map(Zeroizing::new);
    if answer.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) {
        // Ctrl-C came as a key and has been raised as a signal: whoever takes signals ends the process.
        thread::sleep(SIGNAL_DUE);
    }
    answer
}

/// Whether there is somebody to ask.
///
/// # Errors
/// There is no terminal.
pub(crate) fn check() -> io::Result<()> {
    open_terminal().map(drop)
}

/// If a prompt is open, puts the terminal back as it was; says whether one is.
pub(crate) fn leave_prompt() -> bool {
    let mut open = PROMPT.lock().unwrap_or_else(PoisonError::into_inner);
    let Some((terminal, before)) = open.take() else { return false };
    let _ = tcsetattr(&terminal, OptionalActions::Now, &before);
    let _ = writeln!(&terminal);
    true
}

/// A prompt is open as long as this lives.
struct Asking;

impl Asking {
    fn begin() -> io::Result<Asking> {
        report::flush();
        let terminal = open_terminal()?;
        let before = tcgetattr(&terminal)?;
        *PROMPT.lock().unwrap_or_else(PoisonError::into_inner) = Some((terminal, before));
        Ok(Asking)
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        PROMPT.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Lets age plugins and encrypted SSH keys speak to whoever sits at the terminal.
#[derive(Clone, Copy)]
pub(crate) struct Terminal;

impl Callbacks for Terminal {
    fn display_message(&self, message: &str) {
        let _ = writeln!(io::stderr().lock(), "{}", printable::lines(message));
    }

    fn confirm(&self, message: &str, yes: &str, no: Option<&str>) -> Option<bool> {
        let no_said = no.map(|no| format!(", n: {no}")).unwrap_or_default();
        let prompt = printable::line(&format!("{message} [y: {yes}{no_said}] ")).into_owned();
        for _ in 0..CONFIRM_ATTEMPTS {
            match ask_line(&prompt)?.trim().to_ascii_lowercase().as_str() {
                "y" | "yes" => return Some(true),
                "n" | "no" | "" => return Some(false),
                _ => {}
            }
        }
        None
    }

    fn request_public_string(&self, description: &str) -> Option<String> {
        ask_line(&format!("{}: ", printable::line(description)))
    }

    fn request_passphrase(&self, description: &str) -> Option<SecretString> {
        let answer = ask_hidden(&format!("{}: ", printable::line(description))).ok()?;
        Some(SecretString::from(answer.as_str().to_owned()))
    }
}

fn ask_line(prompt: &str) -> Option<String> {
    let _asking = Asking::begin().ok()?;
    let mut terminal = open_terminal().ok()?;
    terminal.write_all(prompt.as_bytes()).ok()?;
    let mut answer = String::new();
    let read = BufReader::new(terminal).read_line(&mut answer).ok()?;
    (read > 0).then(|| answer.trim_end().to_owned())
}

fn open_terminal() -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open("/dev/tty")
}

/// Within this time a raised signal has been taken.
const SIGNAL_DUE: Duration = Duration::from_secs(1);
/// Answers that are neither yes nor no.
const CONFIRM_ATTEMPTS: usize = 3;

/// The terminal and how it was before the prompt that is open.
static PROMPT: Mutex<Option<(File, Termios)>> = Mutex::new(None);
