//! Owns a server's process and its folder: both end with the value, or with the process that started it, however that ends.
//! Knows nothing of what it serves.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a server may take until it answers. Machines that build something else beside it are slow.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// How long the watchdog may take to end a server.
const GONE_WITHIN: Duration = Duration::from_secs(60);

const POLL: Duration = Duration::from_millis(20);

const LOG: &str = "log";

/// How much of its log an error shows.
const LOG_LINES: usize = 12;

/// `$1` is what to do at the end, the rest is the server's command. A watchdog, in a session of its own, reads the pipe that this
/// process holds the other end of: it ends with this process, whose children do not inherit it. Then the watchdog ends the
/// server's process group, SIGTERM being ignored by some, and takes away what it has left.
const SCRIPT: &str = r#"
exec 3<&0 </dev/null
setsid sh -c "cat >/dev/null; kill -s KILL -- -$$; $1" <&3 3<&- >/dev/null 2>&1 &
shift
exec "$@" 3<&-
"#;

/// Where a server keeps its data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// The temporary folder of the machine.
    #[default]
    Temporary,
    /// Memory: `/dev/shm`.
    Memory,
}

impl Place {
    /// A new folder there.
    pub(crate) fn folder(self) -> io::Result<TempDir> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("cofferdam-server-");
        match self {
            Place::Temporary => builder.tempdir(),
            Place::Memory => builder.tempdir_in("/dev/shm"),
        }
    }
}

/// How to start a server.
pub(crate) struct Launch {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(&'static str, String)>,
    folder: TempDir,
    left_elsewhere: Vec<PathBuf>,
}

impl Launch {
    /// Runs `program` in `folder`, which is also its home and where it puts what is temporary.
    pub(crate) fn new(program: PathBuf, folder: TempDir) -> Launch {
        Launch { program, arguments: Vec::new(), environment: Vec::new(), folder, left_elsewhere: Vec::new() }
    }

    pub(crate) fn argument(mut self, argument: impl Into<OsString>) -> Launch {
        self.arguments.push(argument.into());
        self
    }

    pub(crate) fn environment(mut self, name: &'static str, value: impl Into<String>) -> Launch {
        self.environment.push((name, value.into()));
        self
    }

    /// Names a file that the server puts outside its folder, for it to be taken away too.
    pub(crate) fn leaves(mut self, file: PathBuf) -> Launch {
        self.left_elsewhere.push(file);
        self
    }

    /// Starts the server and waits until it is `ready`.
    ///
    /// # Errors
    /// It does not start, ends by itself, or is not ready in time: with the last lines of its log.
    pub(crate) fn start(self, mut ready: impl FnMut() -> bool) -> io::Result<Process> {
        let log = File::create(self.folder.path().join(LOG))?;
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "sh"]).arg(self.cleanup()).arg(&self.program).args(&self.arguments);
        command.current_dir(self.folder.path()).process_group(0);
        command.env("HOME", self.folder.path()).env("TMPDIR", self.folder.path());
        command.envs(self.environment);
        command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        let mut process = Process { child: command.spawn()?, folder: self.folder };
        let begun = Instant::now();
        while !ready() {
            if let Some(status) = process.child.try_wait()? {
                return Err(process.failed(&format!("ended with {status}")));
            }
            if begun.elapsed() > READY_WITHIN {
                return Err(process.failed("does not answer"));
            }
            thread::sleep(POLL);
        }
        Ok(process)
    }

    /// The command that takes away what the server leaves.
    fn cleanup(&self) -> OsString {
        let mut command = OsString::from("rm -rf --");
        for path in self.left_elsewhere.iter().map(PathBuf::as_path).chain([self.folder.path()]) {
            command.push(" '");
            command.push(path.to_string_lossy().replace('\'', r"'\''"));
            command.push("'");
        }
        command
    }
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// Dropped after the process has ended.
    folder: TempDir,
}

impl Process {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    fn failed(&self, what: &str) -> io::Error {
        let log = fs::read_to_string(self.folder.path().join(LOG)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = &lines[lines.len().saturating_sub(LOG_LINES)..];
        io::Error::other(format!("the server {what}; its log ends with:\n{}", last.join("\n")))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The watchdog ends the whole group before this process takes the leader's status, while its number is not given anew.
        drop(self.child.stdin.take());
        let begun = Instant::now();
        while let Ok(None) = self.child.try_wait() {
            if begun.elapsed() > GONE_WITHIN {
                let _ = self.child.kill();
            }
            thread::sleep(POLL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::path::Path;

    use super::*;

    fn is_running(id: u32) -> bool {
        // A process that has ended and whose status nobody took has no command line.
        fs::read(format!("/proc/{id}/cmdline")).is_ok_and(|line| !line.is_empty())
    }

    fn waits_until(mut what: impl FnMut() -> bool) -> bool {
        let begun = Instant::now();
        while !what() && begun.elapsed() < GONE_WITHIN {
            thread::sleep(POLL);
        }
        what()
    }

    #[test]
    fn a_server_that_ignores_signals_ends_with_its_children_and_its_folder() {
        let folder = Place::Temporary.folder().unwrap();
        let kept = folder.path().to_owned();
        let script = "trap '' TERM INT HUP; sleep 1000 & echo $! > child; wait";
        let launch = Launch::new("sh".into(), folder).argument("-c").argument(script);
        let child = kept.join("child");
        let number = || fs::read_to_string(&child).unwrap_or_default().trim().parse::<u32>().ok();
        let process = launch.start(|| number().is_some()).unwrap();
        let (server, child) = (process.id(), number().unwrap());
        assert!(is_running(server) && is_running(child));
        drop(process);
        assert!(!is_running(server));
        assert!(waits_until(|| !is_running(child)));
        assert!(waits_until(|| !kept.exists()));
    }

    const STARTER_VARIABLE: &str = "COFFERDAM_TEST_STARTER";

    /// Starts a server in a process that the test kills.
    fn start_and_wait_to_be_killed() {
        let folder = Place::Temporary.folder().unwrap();
        let left = folder.path().with_extension("it's left");
        fs::write(&left, "").unwrap();
        let launch = Launch::new("sleep".into(), folder).argument("1000").leaves(left.clone());
        let process = launch.start(|| true).unwrap();
        let folder = process.folder.path().display();
        println!("\nserver {}\nfolder {folder}\nleft {}", process.id(), left.display());
        thread::sleep(Duration::from_secs(1000));
    }

    #[test]
    fn a_server_ends_when_what_started_it_is_killed() {
        if std::env::var_os(STARTER_VARIABLE).is_some() {
            return start_and_wait_to_be_killed();
        }
        let mut starter = Command::new(std::env::current_exe().unwrap())
            .args(["--nocapture", "a_server_ends_when_what_started_it_is_killed"])
            .env(STARTER_VARIABLE, "")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(starter.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut value =
            |name| lines.find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned())).unwrap();
        let (server, folder, left) = (value("server"), value("folder"), value("left"));
        let server = server.parse().unwrap();
        // While it is becoming the server's program, a process has no command line.
        assert!(
            waits_until(|| is_running(server)) && Path::new(&folder).exists() && Path::new(&left).exists()
        );
        starter.kill().unwrap();
        starter.wait().unwrap();
        assert!(waits_until(|| !is_running(server)));
        assert!(waits_until(|| !Path::new(&folder).exists() && !Path::new(&left).exists()));
    }

    #[test]
    fn a_server_that_ends_at_once_says_why() {
        let folder = Place::Temporary.folder().unwrap();
        let launch =
            Launch::new("sh".into(), folder).argument("-c").argument("echo no such bucket >&2; exit 3");
        let said = launch.start(|| false).unwrap_err().to_string();
        assert!(said.contains("exit status: 3") && said.contains("no such bucket"), "{said}");
    }
}
