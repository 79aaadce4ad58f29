//! The operator's check of what was restored: a program in a session of its own, with an end.
//! It judges nothing but how the program ends, and knows no stream.

use std::collections::{HashSet, VecDeque};
use std::ffi::OsString;
use std::io::{self, PipeReader, Read as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use cofferdam::CancelToken;
use process_wrap::std::{ChildWrapper, CommandWrap, ProcessSession};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, getpid, kill_process, kill_process_group, waitid,
    waitpid,
};

use super::file::CheckCommand;
use super::program::Program;
use crate::service::Waiting;

/// How it ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ended {
    Code(i32),
    Signal(i32),
    TimedOut,
    Interrupted,
}

/// What came of a check.
pub(super) struct Checked {
    pub(super) ended: Ended,
    pub(super) took: Duration,
    /// The end of what it printed, to either stream: [`TAIL_LEN`] bytes, and as many as [`CONTEXT_LEN`] before them.
    pub(super) tail: Vec<u8>,
    /// Bytes that it printed in all, as far as they were read.
    pub(super) output_len: u64,
    /// Processes that it has started, and that could not be ended.
    pub(super) left: Vec<Pid>,
}

/// Runs `check` on `file`, in `directory`, until it ends, its time is over, or `cancel` is cancelled. Then all of it is ended:
/// its process group and, where the system can tell, what it has sent out of that. What cannot be is in [`Checked::left`].
pub(super) fn run(
    check: &CheckCommand,
    program: &Program,
    directory: &Path,
    file: &Path,
    cancel: &CancelToken,
) -> io::Result<Checked> {
    let strangers = children();
    adopt_orphans();
    let begun = Instant::now();
    let mut running = Running::start(command(check, program, directory, file))?;
    let begun_at = start_time(running.leader);
    // None where no clock comes to it.
    let waiting = Waiting::begin(|| "checking what was restored".to_owned());
    let ended = running.wait(begun.checked_add(check.timeout), cancel);
    let status = running.finish();
    drop(waiting);
    // Whatever has failed: first, nothing goes on.
    let is_of_check = |process: &Pid| {
        !strangers.contains(process) && start_time(*process).is_none_or(|at| Some(at) >= begun_at)
    };
    let left = end_all(|| children().into_iter().filter(is_of_check).collect(), GRACE);
    let Output { tail, len, .. } = running.output;
    let (ended, status) = (ended?, status?);
    let ended = match ended.unwrap_or_else(|| Ended::of(status)) {
        // Whoever stops the drill may send the signal to its check, too.
        Ended::Signal(signal) if STOPPING.contains(&signal) && is_cancelled_soon(cancel) => {
            Ended::Interrupted
        }
        ended => ended,
    };
    Ok(Checked { ended, took: begun.elapsed(), tail: tail.into(), output_len: len, left })
}

fn command(check: &CheckCommand, program: &Program, directory: &Path, file: &Path) -> Command {
    let mut command = program.command();
    let with_file = |argument: &String| {
        let pieces: Vec<&[u8]> = argument.split(FILE).map(str::as_bytes).collect();
        OsString::from_vec(pieces.join(file.as_os_str().as_bytes()))
    };
    command.args(check.argv[1..].iter().map(with_file)).current_dir(directory);
    // Credentials of stores, names of key files: none of them is the check's.
    command.env_clear().env("TMPDIR", directory);
    command.envs(env::vars_os().filter(|(name, _)| {
        let name = name.to_string_lossy();
        INHERITED.contains(&&*name) || name.starts_with("LC_")
    }));
    command
}

/// A check that has not been waited for.
struct Running {
    child: Box<dyn ChildWrapper>,
    /// Of its session and process group, too.
    leader: Pid,
    output: Output,
}

impl Running {
    /// In a session of its own, without input.
    fn start(mut command: Command) -> io::Result<Running> {
        let (reader, writer) = io::pipe()?;
        fcntl_setfl(&reader, OFlags::NONBLOCK)?;
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
        let mut command = CommandWrap::from(command);
        command.wrap(ProcessSession);
        // What this process was started with is not for the check: a key that a shell has opened (`3<key`). What it has opened
        // itself is closed there anyway.
        close_fds::set_fds_cloexec_threadsafe(FIRST_INHERITED, &[]);
        // The command has the other end of the pipe, too, and is gone after this.
        let child = command.spawn()?.into_inner();
        let leader = Pid::from_raw(child.id().cast_signed()).expect("no child has the number 0");
        Ok(Running { child, leader, output: Output::new(reader) })
    }

    /// Waits for its end; none where it came by itself.
    fn wait(&mut self, deadline: Option<Instant>, cancel: &CancelToken) -> io::Result<Option<Ended>> {
        while !self.has_ended()? {
            if cancel.is_cancelled() {
                return Ok(Some(Ended::Interrupted));
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(Some(Ended::TimedOut));
            }
            self.output.read_within(PATIENCE)?;
        }
        Ok(None)
    }

    /// Ends the group, politely at first, and takes what it has printed.
    fn finish(&mut self) -> io::Result<ExitStatus> {
        // It is not waited for before its group has ended, so nobody else can have its number.
        let _ = kill_process_group(self.leader, Signal::TERM);
        let heard = self.wait(Instant::now().checked_add(GRACE), &CancelToken::new());
        let _ = kill_process_group(self.leader, Signal::KILL);
        let status = self.child.wait()?;
        heard?;
        self.output.drain()?;
        Ok(status)
    }

    fn has_ended(&self) -> io::Result<bool> {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Ok(waitid(WaitId::Pid(self.leader), look)?.is_some())
    }
}

impl Ended {
    fn of(status: ExitStatus) -> Ended {
        match (status.code(), status.signal()) {
            (Some(code), _) => Ended::Code(code),
            (None, signal) => Ended::Signal(signal.unwrap_or_default()),
        }
    }
}

/// What a check prints, of which the end is kept.
struct Output {
    /// None once there is nothing more.
    reader: Option<PipeReader>,
    tail: VecDeque<u8>,
    len: u64,
}

impl Output {
    fn new(reader: PipeReader) -> Output {
        Output { reader: Some(reader), tail: VecDeque::new(), len: 0 }
    }

    /// Reads what has come, waiting at most about `patience` for it.
    fn read_within(&mut self, patience: Duration) -> io::Result<()> {
        let Some(reader) = &self.reader else {
            thread::sleep(patience);
            return Ok(());
        };
        let timeout = Timespec { tv_sec: 0, tv_nsec: patience.subsec_nanos().into() };
        let mut fds = [PollFd::new(reader, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => Ok(()),
            Ok(_) => self.read().map(drop),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads what is there now: whoever still has the other end is not waited for.
    fn drain(&mut self) -> io::Result<()> {
        for _ in 0..DRAINED_MAX {
            if !self.read()? {
                break;
            }
        }
        Ok(())
    }

    /// Whether something came.
    fn read(&mut self) -> io::Result<bool> {
        let Some(reader) = &mut self.reader else { return Ok(false) };
        let mut buffer = [0; BUFFER_LEN];
        match reader.read(&mut buffer) {
            Ok(0) => {
                self.reader = None;
                Ok(false)
            }
            Ok(count) => {
                self.len += count as u64;
                self.tail.extend(&buffer[..count]);
                self.tail.drain(..self.tail.len().saturating_sub(TAIL_LEN + CONTEXT_LEN));
                Ok(true)
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether the signal that has ended the check comes to the drill, too.
fn is_cancelled_soon(cancel: &CancelToken) -> bool {
    let deadline = Instant::now() + GRACE;
    while !cancel.is_cancelled() && Instant::now() < deadline {
        thread::sleep(SHORT);
    }
    cancel.is_cancelled()
}

/// What loses its parent becomes a child of this process, and not init's (prctl(2)).
fn adopt_orphans() {
    #[cfg(target_os = "linux")]
    // Where the system refuses, the process group is what can be ended.
    let _ = rustix::process::set_child_subreaper(Some(getpid()));
}

/// The children that this process has now, where the system lists them.
fn children() -> HashSet<Pid> {
    let threads = fs::read_dir(format!("/proc/{}/task", getpid())).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| numbers(&list)).collect()
}

/// When a process began, in ticks since the machine did (proc_pid_stat(5)). None where the system does not say.
fn start_time(process: Pid) -> Option<u64> {
    let stat = fs::read(format!("/proc/{process}/stat")).ok()?;
    // Its name, in parentheses, may have anything in it.
    let text = String::from_utf8_lossy(&stat);
    let (_, fields) = text.rsplit_once(") ")?;
    fields.split(' ').nth(START_TIME)?.parse().ok()
}

fn numbers(list: &str) -> Vec<Pid> {
    list.split_whitespace().filter_map(|number| Pid::from_raw(number.parse().ok()?)).collect()
}

/// Ends processes until there are none: their own children come up as they end. Those that are left after `grace` are not ours to
/// signal, or wait for a device.
fn end_all(left: impl Fn() -> Vec<Pid>, grace: Duration) -> Vec<Pid> {
    let deadline = Instant::now() + grace;
    loop {
        let processes = left();
        if processes.is_empty() || Instant::now() >= deadline {
            return processes;
        }
        for process in processes {
            let _ = kill_process(process, Signal::KILL);
            let _ = waitpid(Some(process), WaitOptions::NOHANG);
        }
        thread::sleep(SHORT);
    }
}

/// What stands for the restored file.
const FILE: &str = "{}";
/// Variables that a check gets, if they are set; `LC_…` as well.
const INHERITED: [&str; 6] = ["PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ"];
/// After the three standard streams.
const FIRST_INHERITED: i32 = 3;
/// Which field it is, after the name.
const START_TIME: usize = 19;
/// How often it is looked whether the check has ended.
const PATIENCE: Duration = Duration::from_millis(50);
/// What stops a drill.
const STOPPING: [i32; 3] = [Signal::TERM.as_raw(), Signal::INT.as_raw(), Signal::HUP.as_raw()];
const SHORT: Duration = Duration::from_millis(5);
/// How long what is stopped has to end by itself, and what cannot be ended is waited for.
const GRACE: Duration = Duration::from_secs(2);
const BUFFER_LEN: usize = 16 << 10;
/// Bytes of output that are kept.
pub(super) const TAIL_LEN: usize = 4096;
/// Bytes before those, by which it is seen what they are the rest of.
pub(super) const CONTEXT_LEN: usize = 4096;
/// Reads of what was printed before the end: a pipe holds less, unless somebody still writes.
const DRAINED_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_ended_is_told_and_what_ends_is_not() {
        // No system has so many processes that one has this number.
        let endless = Pid::from_raw(i32::MAX);
        let grace = Duration::from_millis(1);
        assert_eq!(end_all(|| endless.into_iter().collect(), grace), Vec::from_iter(endless));
        assert_eq!(end_all(Vec::new, grace), []);
    }
}
