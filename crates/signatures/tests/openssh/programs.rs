//! OpenSSH's programs, and a directory that they keep their files in.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use signatures::Message;
use tempfile::TempDir;

/// Whether `program` is on the search path. Where it is not, the test that asks returns, and this has said so on the terminal.
pub(crate) fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    if !found {
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        // Not captured, as what `eprintln!` prints would be.
        let _ = writeln!(io::stderr(), "skipped {test}: no {program} here; `cargo xtask setup` installs it");
    }
    found
}

pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// Makes a key, and gives the line of its public half.
    pub(crate) fn keygen(&self, name: &str, kind: &str, bits: &str, passphrase: &str) -> String {
        let options = ["-q", "-t", kind, "-b", bits, "-N", passphrase, "-C", "a comment", "-f", name];
        self.ssh_keygen(&options, b"");
        fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap()
    }

    /// Writes a private key anew, in the format of OpenSSL.
    pub(crate) fn convert_to_pem(&self, name: &str) {
        self.ssh_keygen(&["-q", "-p", "-m", "PEM", "-P", "", "-N", "", "-f", name], b"");
    }

    /// The text of OpenSSH's own signature.
    pub(crate) fn sign(&self, key: &str, message: &Message, hash: &str) -> String {
        self.sign_in(message.namespace(), key, message.bytes(), hash)
    }

    pub(crate) fn sign_in(&self, namespace: &str, key: &str, bytes: &[u8], hash: &str) -> String {
        let hash = format!("hashalg={hash}");
        let signed = self.ssh_keygen(&["-Y", "sign", "-q", "-n", namespace, "-O", &hash, "-f", key], bytes);
        String::from_utf8(signed.stdout).unwrap()
    }

    /// Whether OpenSSH accepts a signature.
    pub(crate) fn verifies(&self, public: &str, message: &Message, signature: &str) -> bool {
        fs::write(self.path("allowed"), format!("me {public}")).unwrap();
        fs::write(self.path("sig"), signature).unwrap();
        let options = ["-Y", "verify", "-f", "allowed", "-I", "me", "-n", message.namespace(), "-s", "sig"];
        self.command("ssh-keygen", &options, message.bytes()).status.success()
    }

    fn ssh_keygen(&self, options: &[&str], input: &[u8]) -> Output {
        let output = self.command("ssh-keygen", options, input);
        assert!(output.status.success(), "{options:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    fn command(&self, program: &str, options: &[&str], input: &[u8]) -> Output {
        let mut command = Command::new(program);
        command.args(options).current_dir(self.0.path()).env_remove("SSH_AUTH_SOCK");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // Less than a pipe holds; the program may have ended without reading it.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    }
}

/// OpenSSH's agent, which ends with this.
pub(crate) struct Agent {
    pub(crate) socket: PathBuf,
    process: Child,
}

impl Agent {
    pub(crate) fn start(place: &Place) -> Agent {
        let socket = place.path("agent");
        let mut command = Command::new("ssh-agent");
        command.arg("-D").arg("-a").arg(&socket).stdout(Stdio::null());
        let agent = Agent { process: command.spawn().unwrap(), socket };
        let deadline = Instant::now() + Duration::from_secs(600);
        // The socket is there a moment before anybody listens.
        while UnixStream::connect(&agent.socket).is_err() {
            assert!(Instant::now() < deadline, "the agent has not come");
            std::thread::sleep(Duration::from_millis(1));
        }
        agent
    }

    pub(crate) fn add(&self, place: &Place, key: &str) {
        self.ssh_add(&["-q", place.path(key).to_str().unwrap()]);
    }

    pub(crate) fn remove_all(&self) {
        self.ssh_add(&["-q", "-D"]);
    }

    fn ssh_add(&self, options: &[&str]) {
        let mut command = Command::new("ssh-add");
        let output = command.args(options).env("SSH_AUTH_SOCK", &self.socket).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// A signature's text, of which what is in the armor is changed.
pub(crate) fn edited(text: &str, edit: impl FnOnce(&mut [u8])) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let [first, base64 @ .., last] = &lines[..] else { panic!("no signature: {text}") };
    let mut bytes = BASE64_STANDARD.decode(base64.concat()).unwrap();
    edit(&mut bytes);
    format!("{first}\n{}\n{last}\n", BASE64_STANDARD.encode(bytes))
}
