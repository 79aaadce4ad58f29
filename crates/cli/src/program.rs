//! A program of the operator's that keys come from or go through: run without a shell, in a session of its own, with an end.
//! It knows no key, and what is asked.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fmt;
use std::io::{self, PipeReader, Read, Write as _};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use cofferdam::{CancelToken, Zeroizing};
use process_wrap::std::{ChildWrapper, CommandWrap, ProcessSession};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::duration_text;
use crate::printable::line;

/// A program and its arguments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Program {
    /// The first one is the program: a path, or a name that is looked for in `PATH`.
    words: Vec<String>,
}

/// How programs are run.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) timeout: Duration,
    /// Variables of the environment that they get, beside those that all get.
    pub(crate) variables: Vec<String>,
}

/// One run of a program.
pub(crate) struct Call<'a> {
    pub(crate) program: &'a Program,
    /// What it finds in standard input: at most [`INPUT_LEN_MAX`] bytes.
    pub(crate) input: &'a [u8],
    /// Variables that say what is asked.
    pub(crate) variables: &'a [(&'a str, &'a str)],
    /// The most that it may print.
    pub(crate) output_len_max: usize,
    pub(crate) limits: &'a Limits,
    pub(crate) cancel: &'a CancelToken,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Problem {
    /// Whoever called was told to stop.
    Interrupted,
    /// What happened, with the program's name and what it said.
    Failed(String),
    /// The same, for want of an answer in time.
    TimedOut(String),
}

impl Program {
    /// Words with spaces between them. There is no quoting: whoever writes a quotation mark means some.
    pub(crate) fn parse(text: &str) -> Result<Program, String> {
        if text.contains(['"', '\'', '\\', '`', '$']) {
            return Err("no shell reads it, and there is no quoting: words are what is between spaces. Put what needs \
                        more into a script"
                .to_owned());
        }
        let words: Vec<String> = text.split_ascii_whitespace().map(str::to_owned).collect();
        match words.is_empty() {
            true => Err("it names no program".to_owned()),
            false => Ok(Program { words }),
        }
    }

    fn command(&self, call: &Call<'_>) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).env_clear();
        let is_passed = |name: &OsStr| {
            let name = name.to_string_lossy();
            let asked_for = || call.limits.variables.iter().any(|other| *other == *name);
            INHERITED.contains(&&*name) || name.starts_with("LC_") || asked_for()
        };
        command.envs(env::vars_os().filter(|(name, _)| is_passed(name)));
        command.envs(call.variables.iter().copied());
        command
    }
}

impl fmt::Display for Program {
    /// The program alone: an argument may be what nobody else should read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&line(&self.words[0]))
    }
}

impl Call<'_> {
    /// Runs the program to its end, and gives what it has printed. If it fails, takes too long, prints too much, or the caller is
    /// told to stop, it is ended with all of its process group, and gives nothing.
    pub(crate) fn run(&self) -> Result<Zeroizing<Vec<u8>>, Problem> {
        let failed = |what: fmt::Arguments<'_>| Problem::Failed(format!("{} {what}", self.program));
        let mut running = Running::start(self).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                failed(format_args!("is not there, or is a script whose interpreter is not"))
            }
            _ => failed(format_args!("could not be started: {error}")),
        })?;
        let waited = running.wait(self);
        let status = running.end(matches!(waited, Ok(Waited::Ended)));
        let said = running.said.text();
        let output = running.output;
        let status = status.map_err(|error| failed(format_args!("could not be waited for: {error}")))?;
        match waited {
            Ok(Waited::Ended) if self.cancel.is_cancelled() => Err(Problem::Interrupted),
            Ok(Waited::Ended) if status.success() => Ok(output.bytes()),
            Ok(Waited::Ended) => Err(failed(format_args!("ended with {}{said}", how(status)))),
            Ok(Waited::Cancelled) => Err(Problem::Interrupted),
            Ok(Waited::TimedOut) => {
                let timeout = duration_text::words(self.limits.timeout);
                Err(Problem::TimedOut(format!("{} gave no answer in {timeout}{said}", self.program)))
            }
            Ok(Waited::TooLong) => Err(failed(format_args!(
                "printed more than the {} bytes that are taken",
                self.output_len_max
            ))),
            Err(error) => Err(failed(format_args!("could not be heard: {error}"))),
        }
    }
}

/// What has ended the wait.
enum Waited {
    Ended,
    Cancelled,
    TimedOut,
    TooLong,
}

/// A program that has not been waited for.
struct Running {
    child: Box<dyn ChildWrapper>,
    /// Of its session and process group, too.
    leader: Pid,
    output: Output,
    said: Said,
}

impl Running {
    fn start(call: &Call<'_>) -> io::Result<Running> {
        let (input, mut feed) = io::pipe()?;
        let (output, output_writer) = io::pipe()?;
        let (said, said_writer) = io::pipe()?;
        for reader in [&output, &said] {
            fcntl_setfl(reader, OFlags::NONBLOCK)?;
        }
        // A pipe holds this much, so it is all there before anybody reads; one that does not is an error, and no wait.
        assert!(call.input.len() <= INPUT_LEN_MAX, "callers keep to the limit");
        fcntl_setfl(&feed, OFlags::NONBLOCK)?;
        feed.write_all(call.input)?;
        drop(feed);
        let mut command = call.program.command(call);
        command.stdin(Stdio::from(input)).stdout(output_writer).stderr(said_writer);
        let mut command = CommandWrap::from(command);
        command.wrap(ProcessSession);
        // What this process was started with is not for the program: a key that a shell has opened (`3<key`).
        close_fds::set_fds_cloexec_threadsafe(FIRST_INHERITED, &[]);
        // The command has the other ends of the pipes, too, and is gone after this.
        let child = command.spawn()?.into_inner();
        let leader = Pid::from_raw(child.id().cast_signed()).expect("no child has the number 0");
        let output = Output::new(output, call.output_len_max);
        Ok(Running { child, leader, output, said: Said::new(said) })
    }

    fn wait(&mut self, call: &Call<'_>) -> io::Result<Waited> {
        let deadline = Instant::now().checked_add(call.limits.timeout);
        loop {
            // First, so that what it has printed by then is read after it has ended.
            let has_ended = self.has_ended()?;
            self.said.read()?;
            if !self.output.read()? {
                return Ok(Waited::TooLong);
            }
            if has_ended {
                return Ok(Waited::Ended);
            }
            if call.cancel.is_cancelled() {
                return Ok(Waited::Cancelled);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(Waited::TimedOut);
            }
            self.wait_for_more()?;
        }
    }

    /// Until something comes, a pipe is closed, or it is time to look again.
    fn wait_for_more(&self) -> io::Result<()> {
        let open = [self.output.reader.as_ref(), self.said.reader.as_ref()];
        let mut fds: Vec<PollFd<'_>> = open
            .into_iter()
            .flatten()
            .map(|reader| PollFd::from_borrowed_fd(reader.as_fd(), PollFlags::IN))
            .collect();
        if fds.is_empty() {
            thread::sleep(SHORT);
            return Ok(());
        }
        let timeout = Timespec { tv_sec: 0, tv_nsec: PATIENCE.subsec_nanos().into() };
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends the group; politely at first where the program has not ended by itself.
    fn end(&mut self, has_ended: bool) -> io::Result<ExitStatus> {
        // It is not waited for before its group has ended, so nobody else can have its number.
        if !has_ended {
            let _ = kill_process_group(self.leader, Signal::TERM);
            let deadline = Instant::now() + GRACE;
            while Instant::now() < deadline && !self.has_ended().unwrap_or(true) {
                thread::sleep(SHORT);
            }
        }
        let _ = kill_process_group(self.leader, Signal::KILL);
        self.child.wait()
    }

    fn has_ended(&self) -> io::Result<bool> {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Ok(waitid(WaitId::Pid(self.leader), look)?.is_some())
    }
}

/// What it prints, which may be secret: in one place, zeroed when dropped.
struct Output {
    /// None once there is nothing more.
    reader: Option<PipeReader>,
    /// One byte more than may come.
    buffer: Zeroizing<Vec<u8>>,
    filled: usize,
}

impl Output {
    fn new(reader: PipeReader, len_max: usize) -> Output {
        Output { reader: Some(reader), buffer: Zeroizing::new(vec![0; len_max + 1]), filled: 0 }
    }

    /// Reads what is there; `false` if it is more than may be.
    fn read(&mut self) -> io::Result<bool> {
        while self.filled < self.buffer.len() {
            match read_some(&mut self.reader, &mut self.buffer[self.filled..])? {
                0 => return Ok(true),
                count => self.filled += count,
            }
        }
        Ok(false)
    }

    fn bytes(mut self) -> Zeroizing<Vec<u8>> {
        self.buffer.truncate(self.filled);
        self.buffer
    }
}

/// What it says to whoever runs it, of which the end is kept.
struct Said {
    reader: Option<PipeReader>,
    tail: VecDeque<u8>,
}

impl Said {
    fn new(reader: PipeReader) -> Said {
        Said { reader: Some(reader), tail: VecDeque::new() }
    }

    /// Reads what is there now: whoever still has the other end, and writes, is not waited for.
    fn read(&mut self) -> io::Result<()> {
        let mut buffer = [0; BUFFER_LEN];
        for _ in 0..READS_MAX {
            match read_some(&mut self.reader, &mut buffer)? {
                0 => break,
                count => self.tail.extend(&buffer[..count]),
            }
            self.tail.drain(..self.tail.len().saturating_sub(SAID_LEN));
        }
        Ok(())
    }

    /// On one line, behind a colon; nothing where nothing was said.
    fn text(&mut self) -> String {
        let text = String::from_utf8_lossy(self.tail.make_contiguous()).into_owned();
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        match lines.is_empty() {
            true => String::new(),
            false => format!(": {}", line(&lines.join(" / "))),
        }
    }
}

/// What is there, at most as much as fits; 0 for nothing, now or ever.
fn read_some(from: &mut Option<PipeReader>, buffer: &mut [u8]) -> io::Result<usize> {
    let Some(reader) = from else { return Ok(0) };
    match reader.read(buffer) {
        Ok(0) => {
            *from = None;
            Ok(0)
        }
        Ok(count) => Ok(count),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(0),
        Err(error) => Err(error),
    }
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, signal) => format!("signal {}", signal.unwrap_or_default()),
    }
}

/// The most that a program is given: what the smallest pipe holds.
pub(crate) const INPUT_LEN_MAX: usize = 4096;
/// How long a program has, unless the operator says otherwise.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);
/// Variables that every program gets, if they are set; `LC_…` as well. They name places and the person, and hold no secret.
const INHERITED: [&str; 12] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "TZ",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
    "GNUPGHOME",
    "GPG_TTY",
    "CREDENTIALS_DIRECTORY",
];
/// After the three standard streams.
const FIRST_INHERITED: i32 = 3;
/// How often it is looked whether the program has ended, or the caller is told to stop.
const PATIENCE: Duration = Duration::from_millis(50);
const SHORT: Duration = Duration::from_millis(5);
/// How long what is stopped has to end by itself. Less than a command has that is interrupted with nothing at stake.
const GRACE: Duration = Duration::from_millis(200);
const BUFFER_LEN: usize = 1024;
/// Bytes of what it says that are kept.
const SAID_LEN: usize = 1024;
/// Reads of that at a time.
const READS_MAX: usize = 256;

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails by panicking.
mod tests {
    use super::*;

    #[test]
    fn a_program_is_words_and_nothing_of_a_shell() {
        let words = |text: &str| Program::parse(text).map(|program| program.words);
        assert_eq!(words("kms"), Ok(vec!["kms".to_owned()]));
        assert_eq!(
            words(" /opt/kms  wrap\tkey-1 "),
            Ok(["/opt/kms", "wrap", "key-1"].map(str::to_owned).into())
        );
        assert_eq!(words("a=b;c|d&e>f*"), Ok(vec!["a=b;c|d&e>f*".to_owned()]), "a name as any other");
        for text in ["", "  ", "'a b'", "\"a\"", "a\\ b", "a $HOME", "`a`"] {
            assert!(words(text).is_err(), "{text}");
        }
    }
}
