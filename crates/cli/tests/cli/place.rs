//! A directory with a key in it, and the program run there.

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Once};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use tempfile::TempDir;

/// A directory of a test's own. `key.txt` is an identity, `recipient` its public half.
pub(crate) struct Place {
    pub(crate) directory: TempDir,
    /// Where states of sealings are kept, in `cofferdam`.
    pub(crate) states: TempDir,
    pub(crate) recipient: String,
}

/// What the program did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Place {
    pub(crate) fn new() -> Place {
        let [directory, states] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let mut place = Place { directory, states, recipient: String::new() };
        let made = place.run(["keygen", "-o", "key.txt"]);
        assert_eq!(made.code, 0, "{}", made.stderr);
        place.recipient = made.text().trim().to_owned();
        place
    }

    /// With `plain`, some segments of known bytes, and `sealed.cfd`, sealed from it.
    pub(crate) fn with_sealed(segments: usize) -> Place {
        let place = Place::new();
        fs::write(place.path("plain"), plaintext(segments * SEGMENT_LEN - 5)).unwrap();
        let sealed = place.seal("plain", "sealed.cfd");
        assert_eq!(sealed.code, 0, "{}", sealed.stderr);
        place
    }

    pub(crate) fn seal(&self, input: &str, output: &str) -> Ran {
        let recipient = self.recipient.clone();
        self.run(["seal", "-r", &recipient, "-o", output, input].into_iter().chain(SMALL))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// The names in the directory, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The states of sealings that are kept.
    pub(crate) fn state_names(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.states.path().join("cofferdam")) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    pub(crate) fn command(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        heed_signals();
        let mut command = Command::new(env!("CARGO_BIN_EXE_cofferdam"));
        command.args(arguments).current_dir(self.directory.path()).stdin(Stdio::null());
        command.env("XDG_STATE_HOME", self.states.path());
        command
    }

    pub(crate) fn run(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Ran {
        Ran::of(self.command(arguments).output().unwrap())
    }

    /// As `run`, with `input` on standard input.
    pub(crate) fn run_fed(
        &self,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        input: Vec<u8>,
    ) -> Ran {
        fed(&mut self.command(arguments), input)
    }

    /// Runs a line of shell, in which the program is `cofferdam`: for redirections, and what a shell does to signals.
    pub(crate) fn shell(&self, line: &str) -> Ran {
        Ran::of(self.shell_command(line).output().unwrap())
    }

    pub(crate) fn shell_command(&self, line: &str) -> Command {
        let mut command = Command::new("sh");
        let line = format!("cofferdam() {{ \"$0\" \"$@\"; }}; {line}");
        command.args(["-c", &line, env!("CARGO_BIN_EXE_cofferdam")]);
        command.current_dir(self.directory.path()).env("R", &self.recipient).stdin(Stdio::null());
        command
    }

    /// Runs lines of shell on a terminal of their own, as `script` makes one. `$COFFERDAM` is the program.
    pub(crate) fn on_terminal(&self, lines: &str) -> String {
        fs::write(self.path("on-terminal.sh"), lines).unwrap();
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--command", "sh on-terminal.sh", "/dev/null"]);
        command.env("COFFERDAM", env!("CARGO_BIN_EXE_cofferdam")).env("R", &self.recipient);
        // Until it has ended nothing comes, and no end: an end of file would answer whoever reads from the terminal.
        command.current_dir(self.directory.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut script = command.spawn().unwrap();
        let input = script.stdin.take();
        let shown = script.wait_with_output().unwrap();
        drop(input);
        fs::remove_file(self.path("on-terminal.sh")).unwrap();
        String::from_utf8(shown.stdout).unwrap()
    }

    /// Makes a program of a script. A process of its own writes it: a child that another test starts meanwhile would have the file open
    /// to write until it has become its program, and nobody could run it.
    pub(crate) fn write_program(&self, name: impl AsRef<OsStr>, script: &str) {
        let mut shell = Command::new("sh");
        shell.args(["-c", "printf %s \"$2\" >\"$1\" && chmod 700 \"$1\"", "sh"]).arg(name).arg(script);
        assert!(shell.current_dir(self.directory.path()).status().unwrap().success());
    }

    /// Starts it with every standard stream a pipe.
    pub(crate) fn spawn(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Child {
        spawned(&mut self.command(arguments))
    }

    /// Position and length of a segment in `sealed.cfd`, from the program's own listing.
    pub(crate) fn segment(&self, index: u64) -> (usize, usize) {
        let listed = self.run(["inspect", "--json", "--segments", "sealed.cfd"]);
        let records = json_lines(&listed.stdout);
        let record = records.iter().find(|record| record["index"] == index).unwrap();
        let number = |field: &str| usize::try_from(record[field].as_u64().unwrap()).unwrap();
        (number("position"), number("wire_len"))
    }

    /// Flips a bit in the middle of a segment of `sealed.cfd`.
    pub(crate) fn damage_segment(&self, index: u64) {
        let (position, len) = self.segment(index);
        let mut sealed = self.read("sealed.cfd");
        sealed[position + len / 2] ^= 1;
        fs::write(self.path("sealed.cfd"), sealed).unwrap();
    }

    /// Cuts `sealed.cfd` in the middle of a segment.
    pub(crate) fn cut_segment(&self, index: u64) {
        let (position, len) = self.segment(index);
        let sealed = self.read("sealed.cfd");
        fs::write(self.path("sealed.cfd"), &sealed[..position + len / 2]).unwrap();
    }
}

impl Ran {
    pub(crate) fn of(output: Output) -> Ran {
        let stderr = String::from_utf8(output.stderr).unwrap();
        Ran { code: code(output.status, &stderr), stdout: output.stdout, stderr }
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// The exit code and the words of the error.
    pub(crate) fn assert_failed(&self, code: i32, words: &str) {
        assert_eq!(self.code, code, "{}", self.stderr);
        assert!(self.stderr.contains(words), "{words:?} is not in {:?}", self.stderr);
    }

    pub(crate) fn assert_done(&self) {
        assert_eq!(self.code, 0, "{}", self.stderr);
    }
}

/// What `nohup` and a shell's background jobs ignore, children would ignore as well, and go on so, as they should. A signal
/// that has a handler here they find as it is by default (execve(2)).
fn heed_signals() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or("0");
        let ignored = u64::from_str_radix(mask.trim(), 16).unwrap();
        for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
            if ignored >> (signal - 1) & 1 == 1 {
                signal_hook::flag::register(signal, Arc::default()).unwrap();
            }
        }
    });
}

/// Starts it, with pipes at all three ends.
pub(crate) fn spawned(command: &mut Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Runs it with `input` on standard input.
pub(crate) fn fed(command: &mut Command, input: Vec<u8>) -> Ran {
    let mut child = spawned(command);
    let mut stdin = child.stdin.take().unwrap();
    // The program may refuse without reading all: then this write fails, and that is no matter.
    let feeder = thread::spawn(move || drop(stdin.write_all(&input)));
    let ran = Ran::of(child.wait_with_output().unwrap());
    feeder.join().unwrap();
    ran
}

/// Every line as JSON.
pub(crate) fn json_lines(text: &[u8]) -> Vec<serde_json::Value> {
    let text = std::str::from_utf8(text).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect()
}

/// Bytes that do not repeat within a segment, nor alike from one to the next.
pub(crate) fn plaintext(len: usize) -> Vec<u8> {
    (0..len as u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

/// Looks again and again until `is_so`, for as long as a slow machine may take.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} has not come");
        // Who spins takes a processor from who is waited for.
        thread::sleep(Duration::from_millis(1));
    }
}

/// Waits for a child to end, and not for ever.
pub(crate) fn end_of(mut child: Child) -> Ran {
    wait_until("the end of the program", || child.try_wait().unwrap().is_some());
    Ran::of(child.wait_with_output().unwrap())
}

fn code(status: ExitStatus, stderr: &str) -> i32 {
    status.code().unwrap_or_else(|| panic!("killed: {status}, {stderr}"))
}

/// Plaintext bytes of a segment in these tests.
pub(crate) const SEGMENT_LEN: usize = 16 * 1024;
/// Options that make small frames and segments.
pub(crate) const SMALL: [&str; 4] = ["--frame-size", "4KiB", "--segment-size", "16KiB"];
const PATIENCE: Duration = Duration::from_secs(600);
