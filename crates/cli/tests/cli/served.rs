//! The program while it serves, and clients of it: real ones, and requests made by hand.
//! Knows no test.

use std::fs::File;
use std::io::{BufRead as _, BufReader, PipeReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::place::{Place, Ran, end_of, json_lines};

/// The program, which serves until it is told to end. Dropped, it is killed.
pub(crate) struct ServeProcess {
    child: Option<Child>,
    /// What it said first.
    pub(crate) serving: Value,
    errors: std::path::PathBuf,
}

impl ServeProcess {
    /// Starts `serve --json -i key.txt` with `arguments`, and waits until it says where.
    pub(crate) fn start(place: &Place, arguments: &[&str]) -> ServeProcess {
        ServeProcess::start_with(place, arguments, &[])
    }

    /// The same, in an environment.
    pub(crate) fn start_with(
        place: &Place,
        arguments: &[&str],
        variables: &[(&str, String)],
    ) -> ServeProcess {
        let errors = File::create(errors_of(place)).unwrap();
        let mut command = serve(place, arguments);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        command.stderr(errors);
        ServeProcess::spawn(place, command)
    }

    /// The same, with another place for what goes wrong.
    pub(crate) fn start_saying(place: &Place, arguments: &[&str], errors: Stdio) -> ServeProcess {
        let mut command = serve(place, arguments);
        command.stderr(errors);
        ServeProcess::spawn(place, command)
    }

    fn spawn(place: &Place, mut command: Command) -> ServeProcess {
        let errors = errors_of(place);
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        lines.read_line(&mut line).unwrap();
        child.stdout = Some(lines.into_inner());
        assert!(!line.is_empty(), "{}", std::fs::read_to_string(&errors).unwrap_or_default());
        let serving = json_lines(line.as_bytes()).remove(0);
        assert_eq!(serving["event"], "serving");
        ServeProcess { child: Some(child), serving, errors }
    }

    pub(crate) fn url(&self) -> &str {
        self.serving["url"].as_str().unwrap()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// What it has said of what went wrong, and of what it does.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.errors).unwrap()
    }

    /// Waits for `event` among that.
    pub(crate) fn wait_for(&self, event: &str) {
        let event = format!("\"event\":\"{event}\"");
        crate::place::wait_until(&event, || self.said().contains(&event));
    }

    /// Nobody reads any more what it says.
    pub(crate) fn close_output(&mut self) {
        self.child.as_mut().unwrap().stdout = None;
    }

    /// Sends `signal`, and waits for the end.
    pub(crate) fn end(self, signal: Signal) -> Ran {
        let errors = self.errors.clone();
        let mut ran = self.end_silently(signal);
        ran.stderr = std::fs::read_to_string(errors).unwrap();
        ran
    }

    /// The same, where what it has said went elsewhere.
    pub(crate) fn end_silently(mut self, signal: Signal) -> Ran {
        let child = self.child.take().unwrap();
        kill_process(Pid::from_child(&child), signal).unwrap();
        end_of(child)
    }
}

/// A pipe in which there is no room: its end that nobody reads, and the one for a program.
pub(crate) fn full_pipe() -> (PipeReader, Stdio) {
    let (unread, mut errors) = std::io::pipe().unwrap();
    let flags = fcntl_getfl(&errors).unwrap();
    fcntl_setfl(&errors, flags | OFlags::NONBLOCK).unwrap();
    while errors.write(&[b'x'; 512]).is_ok() {}
    fcntl_setfl(&errors, flags).unwrap();
    (unread, errors.into())
}

fn serve(place: &Place, arguments: &[&str]) -> Command {
    let mut command = place.command(["serve", "--json", "-i", "key.txt"].iter().chain(arguments));
    command.stdout(Stdio::piped());
    command
}

fn errors_of(place: &Place) -> std::path::PathBuf {
    place.states.path().join("serve-errors")
}

impl Drop for ServeProcess {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Runs another program.
pub(crate) fn run(place: &Place, program: &str, arguments: &[&str]) -> Ran {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(place.directory.path()).stdin(Stdio::null());
    Ran::of(command.output().unwrap())
}

/// The status of an answer, and as much of its body as came.
pub(crate) fn get(url: &str, range: Option<(u64, u64)>) -> (u16, Vec<u8>) {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(600))).unwrap();
    let range = range.map_or(String::new(), |(first, last)| format!("Range: bytes={first}-{last}\r\n"));
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\n{range}Connection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let head_len = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
    let body = answer.split_off(head_len);
    (std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap(), body)
}

/// A client that has asked for `len` bytes, and whose answer has not been read.
pub(crate) fn ask(url: &str, first: u64, len: u64) -> TcpStream {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let last = first + len - 1;
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nRange: bytes={first}-{last}\r\n\r\n").unwrap();
    stream
}

/// A client of NBD that has asked for the export, and reads.
pub(crate) struct Disk(UnixStream);

impl Disk {
    pub(crate) fn open(socket: &Path) -> Disk {
        let mut stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(600))).unwrap();
        // NBD_OPT_EXPORT_NAME of the default export, without zeroes.
        stream.write_all(b"\0\0\0\x03IHAVEOPT\0\0\0\x01\0\0\0\0").unwrap();
        stream.read_exact(&mut [0; 18 + 10]).unwrap();
        Disk(stream)
    }

    /// Asks for bytes, and waits for nothing.
    pub(crate) fn ask(&mut self, offset: u64, len: u32) {
        let (offset, wanted) = (offset.to_be_bytes(), len.to_be_bytes());
        let request = [&b"\x25\x60\x95\x13\0\0\0\0\0\0\0\0\0\0\0\0"[..], &offset, &wanted].concat();
        self.0.write_all(&request).unwrap();
    }

    /// The bytes, or the number of the error.
    pub(crate) fn read(&mut self, offset: u64, len: u32) -> Result<Vec<u8>, u32> {
        self.ask(offset, len);
        let mut head = [0; 16];
        self.0.read_exact(&mut head).unwrap();
        match u32::from_be_bytes(head[4..8].try_into().unwrap()) {
            0 => {
                let mut bytes = vec![0; len as usize];
                self.0.read_exact(&mut bytes).unwrap();
                Ok(bytes)
            }
            error => Err(error),
        }
    }
}
