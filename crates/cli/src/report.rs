//! What the program says: results, warnings, failures, for people or as JSON lines.
//! It knows no command; they hand it records and sentences.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use cofferdam::{CancelToken, ErrorKind, MemoryPressure};
use rustix::io::{retry_on_intr, write};
use serde::Serialize;

use crate::clock;
use crate::failure::Failure;
use crate::json;
use crate::line_queue::LineQueue;
use crate::printable;
use crate::secrets;
use crate::size::Size;
use crate::standard::Standard;
use crate::text::count;

/// How this run speaks.
#[derive(Clone, Copy)]
pub(crate) struct Report {
    pub(crate) form: Form,
    pub(crate) volume: Volume,
}

/// For whom.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Human,
    Json,
}

/// How much.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Volume {
    Normal,
    Quiet,
}

/// Where results go: stdout, unless the payload goes there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    Stdout,
    Stderr,
}

impl Report {
    pub(crate) fn new(json: bool, quiet: bool) -> Report {
        Report {
            form: if json { Form::Json } else { Form::Human },
            volume: if quiet { Volume::Quiet } else { Volume::Normal },
        }
    }

    pub(crate) fn json() -> Report {
        Report { form: Form::Json, volume: Volume::Normal }
    }

    /// A command's summary: dropped when quiet, unless as JSON, which was asked for. Whoever has closed stdout wants none.
    pub(crate) fn summary(
        self,
        channel: Channel,
        record: &impl Serialize,
        human: impl fmt::Display,
    ) -> Result<(), Failure> {
        match (self.form, self.volume) {
            (Form::Human, Volume::Quiet) => Ok(()),
            (Form::Human, _) if channel == Channel::Stdout && !Standard::Output.is_usable() => Ok(()),
            _ => self.answer(channel, record, human),
        }
    }

    /// What was asked for itself: printed in any case.
    pub(crate) fn answer(
        self,
        channel: Channel,
        record: &impl Serialize,
        human: impl fmt::Display,
    ) -> Result<(), Failure> {
        let said = self.result(record, human);
        match channel {
            Channel::Stdout => print(format!("{said}\n").as_bytes()),
            Channel::Stderr => {
                self.complain_last(said);
                Ok(())
            }
        }
    }

    /// The summary of a command whose work is done, which `done` says in a clause. Where stdout does not take it, it goes
    /// to stderr, and the failure says that nothing but the report is missing.
    pub(crate) fn done(
        self,
        channel: Channel,
        record: &impl Serialize,
        human: impl fmt::Display,
        done: impl fmt::Display,
    ) -> Result<(), Failure> {
        let human = human.to_string();
        self.summary(channel, record, &human).map_err(|failure| self.unsaid(record, human, done, failure))
    }

    /// The result of a command that is run for what it says: dropped when quiet, as a [`Report::summary`] is, and otherwise missed if stdout is
    /// closed.
    pub(crate) fn finding(self, record: &impl Serialize, human: impl fmt::Display) -> Result<(), Failure> {
        match (self.form, self.volume) {
            (Form::Human, Volume::Quiet) => Ok(()),
            _ => self.answer(Channel::Stdout, record, human),
        }
    }

    /// As [`Report::done`], of such a command: it has found what `done` says in a clause.
    pub(crate) fn found(
        self,
        record: &impl Serialize,
        human: impl fmt::Display,
        done: impl fmt::Display,
    ) -> Result<(), Failure> {
        let human = human.to_string();
        self.finding(record, &human).map_err(|failure| self.unsaid(record, human, done, failure))
    }

    /// Says on stderr what stdout did not take.
    fn unsaid(
        self,
        record: &impl Serialize,
        human: String,
        done: impl fmt::Display,
        failure: Failure,
    ) -> Failure {
        self.complain_last(self.result(record, human));
        failure.of_report(done)
    }

    /// As [`Report::done`], on stdout, of a command that may be told to end by then: after that nobody who does not read is waited for.
    pub(crate) fn done_unless(
        self,
        cancel: &CancelToken,
        record: &impl Serialize,
        human: impl fmt::Display,
        done: impl fmt::Display,
    ) -> Result<(), Failure> {
        let is_wanted =
            self.form == Form::Json || self.volume == Volume::Normal && Standard::Output.is_usable();
        if !is_wanted {
            return Ok(());
        }
        let said = self.result(record, human);
        Printing::begin(format!("{said}\n")).wait_unless(cancel).map_err(|failure| {
            self.complain_last(said);
            failure.of_report(done)
        })
    }

    /// Prints what was asked for, and does not wait for whoever reads it.
    #[cfg(any(feature = "mount", feature = "serve"))]
    pub(crate) fn begin_answer(self, record: &impl Serialize, human: impl fmt::Display) -> Printing {
        Printing::begin(format!("{}\n", self.result(record, human)))
    }

    /// The summary of a command that was told to end, and has ended: that nobody reads this any more is no failure, and not waited for.
    #[cfg(any(feature = "mount", feature = "serve"))]
    pub(crate) fn say_last(self, record: impl Serialize + Send + 'static, human: String, patience: Duration) {
        let (done, said) = sync_channel(1);
        thread::spawn(move || {
            if self.summary(Channel::Stdout, &record, &human).is_err() {
                let _ = self.summary(Channel::Stderr, &record, &human);
            }
            done.send(())
        });
        let _ = said.recv_timeout(patience);
    }

    fn result(self, record: &impl Serialize, human: impl fmt::Display) -> String {
        match self.form {
            Form::Human => printable::lines(&human.to_string()).into_owned(),
            Form::Json => encode(&Stamped { record, time: clock::now(), version: Some(VERSION) }),
        }
    }

    /// Something is amiss, and the command goes on.
    pub(crate) fn warning(self, message: impl fmt::Display) {
        let message = message.to_string();
        let message = secrets::hide(&message);
        match (self.volume, self.form) {
            (Volume::Quiet, _) => {}
            (_, Form::Human) => {
                self.complain(format!("cofferdam: warning: {}", printable::line(&message)));
            }
            (_, Form::Json) => {
                let message = printable::line(&message).into_owned();
                self.progress(&WarningRecord { event: "warning", message });
            }
        }
    }

    /// A request to a store or server has failed, and is made again after a while.
    #[cfg(feature = "remote")]
    pub(crate) fn retrying(self, what: &str, cause: &str, attempt: u32, wait: Duration) {
        match (self.volume, self.form) {
            (Volume::Quiet, _) => {}
            (_, Form::Human) => {
                let said = format!("{what}: {cause}; trying again in {:.1} s", wait.as_secs_f64());
                self.complain(format!("cofferdam: {}", printable::line(&said)));
            }
            (_, Form::Json) => {
                let [what, cause] = [what, cause].map(printable::line);
                let wait_seconds = wait.as_secs_f64();
                self.progress(&RetryRecord { event: "retry", what, cause, attempt, wait_seconds });
            }
        }
    }

    /// The stream goes on behind an earlier attempt.
    pub(crate) fn resumed(self, kept: u64, segments: u64) {
        match (self.volume, self.form) {
            (Volume::Quiet, _) => {}
            (_, Form::Human) => self.complain(format!(
                "cofferdam: going on with {} ({}) that an earlier attempt left and that proved right",
                Size(kept),
                count(segments, "segment"),
            )),
            (_, Form::Json) => self.progress(&ResumedRecord { event: "resumed", kept, segments }),
        }
    }

    /// So much of a seed has proved right.
    pub(crate) fn seeded(self, seeded: u64, segments: u64) {
        match (self.volume, self.form) {
            (Volume::Quiet, _) => {}
            (_, Form::Human) => self.complain(format!(
                "cofferdam: {} ({}) of the seed proved right",
                Size(seeded),
                count(segments, "segment"),
            )),
            (_, Form::Json) => self.progress(&SeededRecord { event: "seeded", seeded, segments }),
        }
    }

    /// Memory is short, or no longer. Nothing is wrong with the stream; people hear of what they may notice.
    pub(crate) fn memory_pressure(self, pressure: MemoryPressure) {
        let name = match pressure {
            MemoryPressure::None => "none",
            MemoryPressure::Some => "some",
            _ => "high",
        };
        match (self.volume, self.form) {
            (Volume::Quiet, _) => {}
            (_, Form::Human) if pressure < MemoryPressure::High => {}
            (_, Form::Human) => {
                self.complain("cofferdam: memory is short: no more of it is used than is needed".to_owned());
            }
            (_, Form::Json) => self.progress(&MemoryRecord { event: "memory", pressure: name }),
        }
    }

    /// The last word of a command that failed.
    pub(crate) fn failure(self, failure: &Failure) {
        let message = secrets::hide(&failure.message);
        let advice = failure.advice.as_deref().map(secrets::hide);
        match self.form {
            Form::Human => {
                self.complain_last(format!("cofferdam: {}", printable::line(&message)));
                if let Some(advice) = &advice {
                    self.complain_last(printable::line(advice).into_owned());
                }
            }
            Form::Json => self.complain_last(news(&FailureRecord {
                event: "error",
                kind: failure.kind_name(),
                message: &printable::lines(&message),
                advice: advice.as_deref().map(printable::lines),
                segment: failure.segment,
                frame: failure.frame,
                position: failure.position,
                kept: failure.kept,
                missing: failure.parts().map(|parts| &*parts.missing),
                wrong: failure.parts().map(|parts| &*parts.wrong),
                exit_code: failure.exit_code(),
            })),
        }
    }

    /// News that is no result, as JSON.
    pub(crate) fn progress(self, record: &impl Serialize) {
        self.complain(news(record));
    }

    /// News for stderr: whoever says it does not wait until it is read.
    fn complain(self, line: String) {
        STDERR.say(line, |count| self.left_out(count));
    }

    /// What a command ends with, for stderr: it waits to be read, but not for ever. See [`flush`].
    fn complain_last(self, line: String) {
        STDERR.say_last(line, |count| self.left_out(count));
    }

    fn left_out(self, lines: u64) -> String {
        match self.form {
            Form::Human => format!("cofferdam: {} left out: nobody read them in time", count(lines, "line")),
            Form::Json => news(&LeftOutRecord { event: "left_out", lines }),
        }
    }
}

/// Waits until stderr has taken what was said, for as long as somebody seems to read it. Called before a prompt, before results, and
/// before the end.
pub(crate) fn flush() {
    STDERR.flush();
}

/// Writes to stdout and makes sure that it went: a closed pipe is a failure, never a panic. A closed descriptor is one too,
/// which the library's handle takes for success.
pub(crate) fn print(bytes: &[u8]) -> Result<(), Failure> {
    Standard::Output.refuse_unusable()?;
    // They may be one terminal.
    flush();
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::io("standard output could not be written", error))
}

/// What is being printed, by a thread of its own: a pipe that nobody reads takes no more than fits.
pub(crate) struct Printing(Receiver<Result<(), Failure>>);

impl Printing {
    fn begin(text: String) -> Printing {
        let (sender, printed) = sync_channel(1);
        let print = move || drop(sender.send(print(text.as_bytes())));
        // Without a thread nothing is printed, and the channel is closed.
        drop(thread::Builder::new().name("results".to_owned()).spawn(print));
        Printing(printed)
    }

    /// What has come of it, once that is known; it is waited for `within` that time.
    #[cfg(any(feature = "mount", feature = "serve"))]
    pub(crate) fn ended(&self, within: Duration) -> Option<Result<(), Failure>> {
        self.0.recv_timeout(within).ok()
    }

    fn wait_unless(self, cancel: &CancelToken) -> Result<(), Failure> {
        let mut cancelled_since = None;
        loop {
            match self.0.recv_timeout(POLL) {
                Ok(printed) => return printed,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Failure::new(ErrorKind::Exhausted, "there was no thread to print it"));
                }
                Err(RecvTimeoutError::Timeout) if !cancel.is_cancelled() => {}
                Err(RecvTimeoutError::Timeout) => {
                    let since = *cancelled_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= UNREAD_PATIENCE {
                        let what = "interrupted, and nobody reads standard output";
                        return Err(Failure::new(ErrorKind::Cancelled, what));
                    }
                }
            }
        }
    }
}

/// Writes to stderr, without the library's lock: a panic has its say while this waits. If it cannot be written, there is nobody
/// left to tell.
fn write_to_stderr(mut line: &[u8]) {
    let stderr = io::stderr();
    while let Ok(count @ 1..) = retry_on_intr(|| write(stderr.as_fd(), line)) {
        line = &line[count..];
    }
}

/// A record that is no result, with its time.
fn news(record: &impl Serialize) -> String {
    encode(&Stamped { record, time: clock::now(), version: None })
}

fn encode(record: &impl Serialize) -> String {
    // Records hold strings, numbers and lists of them: there is nothing that JSON could refuse.
    json::to_string(record)
}

/// A record with what every one of them has.
#[derive(Serialize)]
struct Stamped<'a, R> {
    #[serde(flatten)]
    record: &'a R,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'static str>,
}

#[derive(Serialize)]
struct WarningRecord {
    event: &'static str,
    message: String,
}

#[cfg(feature = "remote")]
#[derive(Serialize)]
struct RetryRecord<'a> {
    event: &'static str,
    what: Cow<'a, str>,
    cause: Cow<'a, str>,
    attempt: u32,
    wait_seconds: f64,
}

#[derive(Serialize)]
struct LeftOutRecord {
    event: &'static str,
    lines: u64,
}

#[derive(Serialize)]
struct ResumedRecord {
    event: &'static str,
    kept: u64,
    segments: u64,
}

#[derive(Serialize)]
struct SeededRecord {
    event: &'static str,
    seeded: u64,
    segments: u64,
}

#[derive(Serialize)]
struct MemoryRecord {
    event: &'static str,
    pressure: &'static str,
}

#[derive(Serialize)]
struct FailureRecord<'a> {
    event: &'static str,
    kind: &'static str,
    message: &'a str,
    advice: Option<Cow<'a, str>>,
    segment: Option<u64>,
    frame: Option<u32>,
    position: Option<u64>,
    kept: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<&'a [u64]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wrong: Option<&'a [u64]>,
    exit_code: u8,
}

/// How soon it is seen that a command is to end.
const POLL: Duration = Duration::from_millis(50);
/// How long its last word is waited for then.
const UNREAD_PATIENCE: Duration = Duration::from_millis(500);

static STDERR: LineQueue = LineQueue::new(write_to_stderr);

/// Of this program, in every result.
const VERSION: &str = env!("CARGO_PKG_VERSION");
