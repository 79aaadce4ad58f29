//! Owns the program under trace: its system calls that change files, numbered over all its threads, and its end at one.

use std::collections::HashMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// Where the program is killed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Moment {
    /// On entry to the call of that number, from 1: it is not made.
    Before(usize),
    /// When it has been made.
    After(usize),
    /// Not at all.
    Never,
}

/// How a traced program ended.
#[derive(Debug)]
pub(crate) struct Traced {
    /// The calls that changed files, in order.
    pub(crate) calls: Vec<&'static str>,
    /// How often a journal was synced to its end: so many checkpoints are durable.
    pub(crate) checkpoints: usize,
    /// Its exit code; none where it was killed.
    pub(crate) code: Option<i32>,
}

/// Runs `program`, and kills it at `moment`. A call changes files where it makes, renames or removes a name, or changes
/// a file in `folder`.
///
/// # Errors
/// The program cannot be started or traced.
pub(crate) fn run(
    program: &Path,
    arguments: &[String],
    folder: &Path,
    moment: Moment,
) -> Result<Traced, String> {
    let main = start_stopped(program, arguments)?;
    let cannot = |error| format!("cannot trace {}: {error}", program.display());
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_EXITKILL;
    ptrace::seize(main, options).map_err(cannot)?;
    kill(main, Signal::SIGCONT).map_err(cannot)?;
    let mut trace = Trace { main, folder, moment, calls: Vec::new(), checkpoints: 0, inside: HashMap::new() };
    let code = trace.follow().map_err(cannot)?;
    Ok(Traced { calls: trace.calls, checkpoints: trace.checkpoints, code })
}

/// Starts the program through a shell that stops itself first, so that nothing of the program goes unseen.
fn start_stopped(program: &Path, arguments: &[String]) -> Result<Pid, String> {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "kill -STOP $$; exec \"$@\"", "sh"]).arg(program).args(arguments);
    shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let child = shell.spawn().map_err(|error| format!("cannot start /bin/sh: {error}"))?;
    let main = Pid::from_raw(child.id().cast_signed());
    match waitpid(main, Some(WaitPidFlag::WUNTRACED)) {
        Ok(WaitStatus::Stopped(..)) => Ok(main),
        other => Err(format!("the shell did not stop: {other:?}")),
    }
}

struct Trace<'a> {
    main: Pid,
    folder: &'a Path,
    moment: Moment,
    calls: Vec<&'static str>,
    checkpoints: usize,
    /// The call that a thread is in, where it is one that changes files.
    inside: HashMap<Pid, Inside>,
}

impl Trace<'_> {
    /// Lets all threads run from stop to stop until the program is gone.
    fn follow(&mut self) -> nix::Result<Option<i32>> {
        // Children and tracees of this thread alone: other threads trace programs of their own.
        let flags = Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD);
        loop {
            let (stopped, signal) = match waitpid(None, flags)? {
                WaitStatus::Exited(pid, code) if pid == self.main => return Ok(Some(code)),
                WaitStatus::Signaled(pid, ..) if pid == self.main => return Ok(None),
                WaitStatus::PtraceSyscall(pid) => {
                    self.at_call(pid)?;
                    (pid, None)
                }
                WaitStatus::PtraceEvent(pid, ..) => (pid, None),
                WaitStatus::Stopped(pid, signal) => (pid, Some(signal)),
                _ => continue,
            };
            match ptrace::syscall(stopped, signal) {
                // Killed meanwhile; its end is still to be waited for.
                Ok(()) | Err(nix::Error::ESRCH) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn at_call(&mut self, thread: Pid) -> nix::Result<()> {
        let moment = match ptrace::syscall_info(thread) {
            Ok(info) if info.op == libc::PTRACE_SYSCALL_INFO_ENTRY => {
                let Some((name, of)) = self.changing(thread) else { return Ok(()) };
                self.calls.push(name);
                self.inside.insert(thread, Inside { number: self.calls.len(), of });
                Moment::Before(self.calls.len())
            }
            Ok(_) => match self.inside.remove(&thread) {
                Some(Inside { number, of }) => {
                    self.checkpoints += usize::from(of == Of::JournalSync);
                    Moment::After(number)
                }
                None => return Ok(()),
            },
            Err(nix::Error::ESRCH) => return Ok(()),
            Err(error) => return Err(error),
        };
        if moment == self.moment {
            kill(self.main, Signal::SIGKILL)?;
        }
        Ok(())
    }

    /// The name of the call that `thread` is about to make, if it changes files.
    fn changing(&self, thread: Pid) -> Option<(&'static str, Of)> {
        let [number, first, second, third] = call_of(thread)?;
        let (number, name, subject) = CHANGING.iter().find(|(known, ..)| *known == number)?;
        let changes = match subject {
            Subject::Name => true,
            Subject::File => self.is_ours(thread, first),
            Subject::Opened => third & MAKING != 0 && self.is_under_folder(thread, first, second),
            Subject::OpenedHow => self.is_ours(thread, first) && flags_at(thread, third) & MAKING != 0,
        };
        let syncs_journal = *number == libc::SYS_fdatasync
            && self
                .link(thread, first)
                .is_some_and(|path| path.as_os_str().as_bytes().ends_with(JOURNAL_SUFFIX));
        let of = if syncs_journal { Of::JournalSync } else { Of::Anything };
        changes.then_some((*name, of))
    }

    /// Whether the descriptor is of a file in the folder, of one that had a name there, or of the folder.
    fn is_ours(&self, thread: Pid, descriptor: i64) -> bool {
        self.link(thread, descriptor).is_some_and(|path| path.starts_with(self.folder))
    }

    /// An open by descriptor and name: the descriptor is the folder's. An open by path says so in its first argument.
    fn is_under_folder(&self, thread: Pid, descriptor: i64, _name: i64) -> bool {
        descriptor as i32 == libc::AT_FDCWD || self.is_ours(thread, descriptor)
    }

    fn link(&self, thread: Pid, descriptor: i64) -> Option<PathBuf> {
        fs::read_link(format!("/proc/{thread}/fd/{}", descriptor as i32)).ok()
    }
}

/// A call that has begun and not ended.
struct Inside {
    number: usize,
    of: Of,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    JournalSync,
    Anything,
}

/// What a call is about, and with it, whether it changes a file of ours.
enum Subject {
    /// Names: there are few such calls, and all are about the target's directory.
    Name,
    /// The descriptor in its first argument.
    File,
    /// openat(2): it changes something where it may make a file.
    Opened,
    /// openat2(2): the same, with the flags where its third argument points to.
    OpenedHow,
}

const JOURNAL_SUFFIX: &[u8] = b".cofferdam-journal";

/// Flags with which openat(2) makes or cuts a file.
const MAKING: i64 = (libc::O_CREAT | libc::O_TRUNC | (libc::O_TMPFILE & !libc::O_DIRECTORY)) as i64;

/// The calls that change files, on every architecture that we trace.
const CHANGING: &[(i64, &str, Subject)] = &[
    (libc::SYS_openat, "openat", Subject::Opened),
    (libc::SYS_openat2, "openat2", Subject::OpenedHow),
    (libc::SYS_write, "write", Subject::File),
    (libc::SYS_writev, "writev", Subject::File),
    (libc::SYS_pwrite64, "pwrite64", Subject::File),
    (libc::SYS_pwritev, "pwritev", Subject::File),
    (libc::SYS_ftruncate, "ftruncate", Subject::File),
    (libc::SYS_fallocate, "fallocate", Subject::File),
    (libc::SYS_fsync, "fsync", Subject::File),
    (libc::SYS_fdatasync, "fdatasync", Subject::File),
    (libc::SYS_sync_file_range, "sync_file_range", Subject::File),
    (libc::SYS_fchmod, "fchmod", Subject::File),
    (libc::SYS_fchown, "fchown", Subject::File),
    (libc::SYS_syncfs, "syncfs", Subject::File),
    (libc::SYS_fchmodat, "fchmodat", Subject::File),
    (SYS_FCHMODAT2, "fchmodat2", Subject::File),
    (libc::SYS_fchownat, "fchownat", Subject::File),
    (libc::SYS_utimensat, "utimensat", Subject::File),
    (libc::SYS_mknodat, "mknodat", Subject::File),
    (libc::SYS_fsetxattr, "fsetxattr", Subject::File),
    (libc::SYS_fremovexattr, "fremovexattr", Subject::File),
    (libc::SYS_copy_file_range, "copy_file_range", Subject::Name),
    (libc::SYS_renameat2, "renameat2", Subject::Name),
    (libc::SYS_linkat, "linkat", Subject::Name),
    (libc::SYS_unlinkat, "unlinkat", Subject::Name),
    (libc::SYS_mkdirat, "mkdirat", Subject::Name),
    (libc::SYS_symlinkat, "symlinkat", Subject::Name),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_renameat, "renameat", Subject::Name),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_rename, "rename", Subject::Name),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_link, "link", Subject::Name),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_unlink, "unlink", Subject::Name),
];

/// The same number on all architectures, as all calls since 2019.
const SYS_FCHMODAT2: i64 = 452;

/// The first field of what openat2(2) is told, `open_how`: its flags.
fn flags_at(thread: Pid, address: i64) -> i64 {
    ptrace::read(thread, address as ptrace::AddressType).unwrap_or(0)
}

/// The number of the call and its first three arguments.
#[cfg(target_arch = "x86_64")]
fn call_of(thread: Pid) -> Option<[i64; 4]> {
    let registers = ptrace::getregs(thread).ok()?;
    Some([registers.orig_rax, registers.rdi, registers.rsi, registers.rdx].map(u64::cast_signed))
}

#[cfg(target_arch = "aarch64")]
fn call_of(thread: Pid) -> Option<[i64; 4]> {
    let registers = ptrace::getregset::<ptrace::regset::NT_PRSTATUS>(thread).ok()?.regs;
    Some([registers[8], registers[0], registers[1], registers[2]].map(u64::cast_signed))
}
