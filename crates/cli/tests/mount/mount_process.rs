//! The program while something is mounted, and how it ends.
//! Knows no test.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// `cofferdam mount --json`. Dropped, it is killed.
pub(crate) struct MountProcess {
    child: Option<Child>,
    /// What it said first.
    pub(crate) mounted: Value,
    errors: PathBuf,
}

/// What it did.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    /// What it said last, of all that went to stdout.
    pub(crate) last: Value,
    pub(crate) errors: String,
}

impl MountProcess {
    /// Starts a command that is `mount --json`, and waits until it has mounted. What goes wrong is written to `errors`.
    pub(crate) fn spawn(mut command: Command, errors: PathBuf) -> MountProcess {
        command.stdout(Stdio::piped()).stderr(File::create(&errors).unwrap());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        lines.read_line(&mut line).unwrap();
        child.stdout = Some(lines.into_inner());
        assert!(!line.is_empty(), "{}", fs::read_to_string(&errors).unwrap_or_default());
        let mounted: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(mounted["event"], "mounted");
        MountProcess { child: Some(child), mounted, errors }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// What it has said of what went wrong.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.errors).unwrap()
    }

    /// Sends `signal`, and waits for the end.
    pub(crate) fn end(self, signal: Signal) -> Ended {
        kill_process(Pid::from_child(self.child.as_ref().unwrap()), signal).unwrap();
        self.wait()
    }

    /// The same, once nobody has anything of it open. What this process had, another test's child has until it has become its program.
    pub(crate) fn end_unused(self, signal: Signal) -> Ended {
        let directory = PathBuf::from(self.mounted["directory"].as_str().unwrap());
        let own = self.id().to_string();
        wait_until("an end of its use", || !is_used(&directory, &own));
        self.end(signal)
    }

    /// Waits for the end, which comes by itself.
    pub(crate) fn wait(mut self) -> Ended {
        let mut child = self.child.take().unwrap();
        let mut output = String::new();
        wait_until("the end of the program", || child.try_wait().unwrap().is_some());
        child.stdout.take().unwrap().read_to_string(&mut output).unwrap();
        let last = output.lines().last().map_or(Value::Null, |line| serde_json::from_str(line).unwrap());
        Ended { code: child.wait().unwrap().code(), last, errors: self.said() }
    }
}

impl Drop for MountProcess {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Ended {
    /// It ended well, and said how the mount ended.
    pub(crate) fn assert_done(&self, how: &str) {
        assert_eq!(self.code, Some(0), "{self:?}");
        assert_eq!((&self.last["event"], &self.last["how"]), (&"unmounted".into(), &how.into()), "{self:?}");
    }
}

/// Whether a process other than this one has something open in a directory.
fn is_used(directory: &Path, except: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let others = processes.filter(|process| process.file_name() != except);
    let open = others.filter_map(|process| fs::read_dir(process.path().join("fd")).ok()).flatten().flatten();
    open.filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
        .any(|path| path.starts_with(directory))
}

/// What is mounted on a directory, as the kernel says: options and type, of each mount there.
pub(crate) fn mounts_at(path: &Path) -> Vec<(String, String)> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    fields
        .filter(|fields| fields[4] == path.to_str().unwrap())
        .map(|fields| {
            let kind = fields.iter().skip_while(|field| **field != "-").nth(1).unwrap();
            (fields[5].to_owned(), (*kind).to_owned())
        })
        .collect()
}

/// Fails if it does not come.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(600), "{what} has not come");
        thread::sleep(Duration::from_millis(5));
    }
}
