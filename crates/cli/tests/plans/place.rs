//! A directory with a sealed stream, and the steps of its plan as commands.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A key of the stream: a file of 64 digits, so that no time goes into anything else.
const STREAM_KEY: &str = "5d1c3f0e9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f5a4b3c2d\n";

pub(crate) struct Place {
    directory: TempDir,
}

/// What a step did.
#[derive(Debug)]
pub(crate) struct Ran {
    /// `None`: a signal has ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    /// With `plain`, and `sealed.cfd`, sealed from it in segments of `segment` bytes.
    pub(crate) fn new(plain: &[u8], segment: &str, frame: &str) -> Place {
        Place::new_in(&std::env::temp_dir(), plain, segment, frame)
    }

    /// The same, somewhere in `parent`.
    pub(crate) fn new_in(parent: &Path, plain: &[u8], segment: &str, frame: &str) -> Place {
        let place = Place { directory: tempfile::tempdir_in(parent).unwrap() };
        fs::write(place.at("stream.key"), STREAM_KEY).unwrap();
        fs::write(place.at("plain"), plain).unwrap();
        let sizes = ["--frame-size", frame, "--segment-size", segment];
        let sealed = place
            .run([&["seal", "--key-file", "stream.key", "-o", "sealed.cfd", "plain"][..], &sizes].concat());
        assert_eq!(sealed.code, Some(0), "{}", sealed.stderr);
        place
    }

    /// Sixteen segments of 16 KiB and a bit.
    pub(crate) fn small() -> Place {
        Place::new(&plaintext(16 * 16 * 1024 + 77), "16KiB", "4KiB")
    }

    /// With the directory `plain`, which `make` fills, sealed into `sealed.cfd`.
    pub(crate) fn of_tree(make: impl Fn(&Path), segment: &str, frame: &str) -> Place {
        Place::of_tree_in(&std::env::temp_dir(), make, segment, frame)
    }

    /// The same, somewhere in `parent`.
    pub(crate) fn of_tree_in(parent: &Path, make: impl Fn(&Path), segment: &str, frame: &str) -> Place {
        let place = Place { directory: tempfile::tempdir_in(parent).unwrap() };
        fs::write(place.at("stream.key"), STREAM_KEY).unwrap();
        fs::create_dir(place.at("plain")).unwrap();
        make(&place.at("plain"));
        let sizes = ["--no-zstd", "--frame-size", frame, "--segment-size", segment];
        place
            .run([&["seal", "--key-file", "stream.key", "-o", "sealed.cfd", "plain"][..], &sizes].concat())
            .assert_done();
        place
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.at(name)).unwrap()
    }

    /// The names in the directory, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        names_in(self.directory.path())
    }

    pub(crate) fn command(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cofferdam"));
        command.args(arguments).current_dir(self.directory.path()).stdin(Stdio::null());
        command.env_remove("COFFERDAM_PLAN_KEY").env_remove("COFFERDAM_IDENTITY");
        command
    }

    pub(crate) fn run(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Ran {
        Ran::of(self.command(arguments).output().unwrap())
    }

    pub(crate) fn plan(&self, parts: u64, more: &[&str]) -> Ran {
        let parts = parts.to_string();
        let plan = ["restore", "--key-file", "stream.key", "--plan", "plan", "--parts", &parts];
        self.run([&plan[..], more, &["sealed.cfd", "target"]].concat())
    }

    pub(crate) fn part(&self, part: u64) -> Ran {
        Ran::of(self.part_command(part).output().unwrap())
    }

    pub(crate) fn part_command(&self, part: u64) -> Command {
        let part = part.to_string();
        self.command(["restore", "--key-file", "stream.key", "--plan", "plan", "--part", &part])
    }

    pub(crate) fn commit(&self) -> Ran {
        Ran::of(self.commit_command().output().unwrap())
    }

    pub(crate) fn commit_command(&self) -> Command {
        self.command(["restore", "--plan", "plan", "--commit"])
    }

    /// The directory of attempts, as long as it is there.
    pub(crate) fn attempts(&self) -> Option<PathBuf> {
        self.directory_beside("target")
    }

    /// The files there whose names begin so, sorted.
    pub(crate) fn attempt_files(&self, begins: &str) -> Vec<PathBuf> {
        self.files_beside("target", begins)
    }

    /// The directory of attempts that is beside `name`.
    pub(crate) fn directory_beside(&self, name: &str) -> Option<PathBuf> {
        let begins = format!(".{name}.cofferdam-parts-");
        let found = self.names().into_iter().find(|found| found.starts_with(&begins))?;
        Some(self.at(&found))
    }

    /// The files there whose names begin so, sorted.
    pub(crate) fn files_beside(&self, name: &str, begins: &str) -> Vec<PathBuf> {
        let Some(attempts) = self.directory_beside(name) else { return Vec::new() };
        let names = names_in(&attempts);
        names.iter().filter(|name| name.starts_with(begins)).map(|name| attempts.join(name)).collect()
    }

    /// What is left after a commit: nothing but what the operator knows of.
    pub(crate) fn assert_tidy(&self) {
        let expected = ["plain", "plan", "plan.committed", "plan.key", "sealed.cfd", "stream.key", "target"];
        assert_eq!(self.names(), expected);
    }
}

impl Ran {
    pub(crate) fn of(output: std::process::Output) -> Ran {
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    pub(crate) fn assert_done(&self) {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
    }

    #[track_caller]
    pub(crate) fn assert_failed(&self, code: i32, words: &str) {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        assert!(self.stderr.contains(words), "{words:?} is not in {:?}", self.stderr);
    }
}

/// Starts it; what it says is kept until it is asked for.
pub(crate) fn started(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Looks again and again until `is_so`.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(600);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} has not come");
        // Who spins takes a processor from who is waited for.
        thread::sleep(Duration::from_millis(1));
    }
}

/// Waits for it to end, and not for ever.
pub(crate) fn end_of(mut child: Child) -> Ran {
    wait_until("the end of a step", || child.try_wait().unwrap().is_some());
    Ran::of(child.wait_with_output().unwrap())
}

/// Bytes that do not repeat.
pub(crate) fn plaintext(len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

fn names_in(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .map(|entries| entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
        .unwrap_or_default();
    names.sort();
    names
}
