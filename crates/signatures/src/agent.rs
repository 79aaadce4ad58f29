//! An SSH agent on a socket: which keys it has, and signatures by them.
//! It speaks two requests of the agent's protocol (draft-miller-ssh-agent) and no others, and knows no environment.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use ssh_key::public::KeyData;
use zeroize::Zeroizing;

use crate::armor::{self, put};
use crate::{Message, PublicKey, Signature, SigningError};

/// How long an agent is waited for.
#[derive(Clone)]
#[non_exhaustive]
pub struct AgentOptions {
    /// For a signature: somebody may have to touch a device, or to agree. Default: two minutes.
    pub sign_timeout: Duration,
    /// For anything else. Default: ten seconds.
    pub timeout: Duration,
    /// Whether its caller waits no more; asked ten times a second.
    pub is_cancelled: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Default for AgentOptions {
    fn default() -> AgentOptions {
        AgentOptions {
            sign_timeout: Duration::from_secs(120),
            timeout: Duration::from_secs(10),
            is_cancelled: Arc::new(|| false),
        }
    }
}

/// A connection to an agent.
pub struct Agent {
    stream: UnixStream,
    options: AgentOptions,
}

impl Agent {
    /// Connects to the agent that listens on `socket`.
    ///
    /// # Errors
    /// Nobody listens there, or not in time.
    pub fn connect(socket: &Path, options: AgentOptions) -> Result<Agent, SigningError> {
        let failed = |source| SigningError::Agent { what: "cannot be reached", source };
        let (send, connected) = mpsc::channel();
        let path = socket.to_owned();
        // Connecting waits where too many others do, and cannot be given up: the thread ends with the call, whenever that is.
        let spawned = thread::Builder::new().name("ssh-agent".to_owned()).spawn(move || {
            // Nobody may be waiting any more.
            let _ = send.send(UnixStream::connect(path));
        });
        spawned.map_err(failed)?;
        let deadline = Instant::now() + options.timeout;
        let stream = loop {
            match connected.recv_timeout(POLL) {
                Ok(stream) => break stream.map_err(failed)?,
                Err(RecvTimeoutError::Timeout) => {
                    check_waiting(&options, deadline).map_err(failed_or_cancelled("cannot be reached"))?
                }
                Err(RecvTimeoutError::Disconnected) => return Err(failed(io::ErrorKind::BrokenPipe.into())),
            }
        };
        let timed = stream.set_read_timeout(Some(POLL)).and_then(|()| stream.set_write_timeout(Some(POLL)));
        timed.map_err(failed)?;
        Ok(Agent { stream, options })
    }

    /// The keys that it has and that can sign; certificates and keys of other kinds are left out.
    ///
    /// # Errors
    /// It refuses, or does not answer as an agent does.
    pub fn keys(&mut self) -> Result<Vec<PublicKey>, SigningError> {
        let answer = self.ask(&[REQUEST_IDENTITIES], self.options.timeout, "list its keys")?;
        let mut rest = Fields(answer.get(1..).unwrap_or_default());
        if answer.first() != Some(&IDENTITIES_ANSWER) {
            return Err(SigningError::Refused { what: "list its keys" });
        }
        let count = rest.number().ok_or_else(misspoken)?;
        let mut keys = Vec::new();
        for _ in 0..count {
            let blob = rest.bytes().ok_or_else(misspoken)?;
            let comment = rest.bytes().ok_or_else(misspoken)?;
            let Ok(mut key) = ssh_key::PublicKey::from_bytes(blob) else { continue };
            key.set_comment(String::from_utf8_lossy(comment));
            keys.extend(PublicKey::suitable(key));
        }
        Ok(keys)
    }

    /// Has it sign `message` with `key`. The signature has been verified, by the rules by which others will.
    ///
    /// # Errors
    /// It refuses, or does not answer in time. [`SigningError::Unverified`] with
    /// [`SignatureError::NotTouched`](crate::SignatureError::NotTouched), if the key is made to sign without being touched.
    pub fn sign(&mut self, key: &PublicKey, message: &Message) -> Result<Signature, SigningError> {
        let unsuitable = |error: ssh_key::Error| SigningError::Unsuitable { why: error.to_string() };
        let blob = key.0.to_bytes().map_err(unsuitable)?;
        let hash = ssh_key::HashAlg::Sha512;
        let signed =
            ssh_key::SshSig::signed_data(message.namespace(), hash, message.bytes()).map_err(unsuitable)?;
        let flags = if matches!(key.0.key_data(), KeyData::Rsa(_)) { RSA_SHA2_512 } else { 0 };
        let mut request = vec![SIGN_REQUEST];
        put(&mut request, &blob);
        put(&mut request, &signed);
        request.extend(flags.to_be_bytes());
        let answer = self.ask(&request, self.options.sign_timeout, "sign")?;
        let mut rest = Fields(answer.get(1..).unwrap_or_default());
        if answer.first() != Some(&SIGN_RESPONSE) {
            return Err(SigningError::Refused { what: "sign" });
        }
        let made = rest.bytes().ok_or_else(misspoken)?;
        let text =
            armor::sshsig([&blob, message.namespace().as_bytes(), b"", hash.as_str().as_bytes(), made]);
        let signature = Signature::parse(text.as_bytes()).map_err(SigningError::Unverified)?;
        signature.verify(key, message).map_err(SigningError::Unverified)?;
        Ok(signature)
    }

    /// Sends a request, and waits for the answer to it.
    fn ask(
        &mut self,
        request: &[u8],
        timeout: Duration,
        what: &'static str,
    ) -> Result<Zeroizing<Vec<u8>>, SigningError> {
        let deadline = Instant::now() + timeout;
        let mut framed = Vec::with_capacity(request.len() + 4);
        put(&mut framed, request);
        let failed = failed_or_cancelled("does not answer");
        self.send(&framed, deadline).map_err(&failed)?;
        let mut len = [0; 4];
        self.receive(&mut len, deadline).map_err(&failed)?;
        let len = u32::from_be_bytes(len) as usize;
        if len == 0 || len > ANSWER_LEN_MAX {
            return Err(misspoken());
        }
        let mut answer = Zeroizing::new(vec![0; len]);
        self.receive(&mut answer, deadline).map_err(&failed)?;
        match answer[0] {
            FAILURE | EXTENSION_FAILURE => Err(SigningError::Refused { what }),
            _ => Ok(answer),
        }
    }

    fn send(&mut self, mut bytes: &[u8], deadline: Instant) -> Result<(), Waiting> {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(0) => return Err(Waiting::Failed(io::ErrorKind::WriteZero.into())),
                Ok(len) => bytes = &bytes[len..],
                Err(error) => self.wait_on(error, deadline)?,
            }
        }
        Ok(())
    }

    fn receive(&mut self, mut buffer: &mut [u8], deadline: Instant) -> Result<(), Waiting> {
        while !buffer.is_empty() {
            match self.stream.read(buffer) {
                Ok(0) => return Err(Waiting::Failed(io::ErrorKind::UnexpectedEof.into())),
                Ok(len) => buffer = &mut buffer[len..],
                Err(error) => self.wait_on(error, deadline)?,
            }
        }
        Ok(())
    }

    /// Whether to try again after `error`.
    fn wait_on(&self, error: io::Error, deadline: Instant) -> Result<(), Waiting> {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted => {
                check_waiting(&self.options, deadline)
            }
            _ => Err(Waiting::Failed(error)),
        }
    }
}

/// Why it is waited for no more.
enum Waiting {
    Cancelled,
    Failed(io::Error),
}

fn check_waiting(options: &AgentOptions, deadline: Instant) -> Result<(), Waiting> {
    if (options.is_cancelled)() {
        return Err(Waiting::Cancelled);
    }
    match Instant::now() < deadline {
        true => Ok(()),
        false => Err(Waiting::Failed(io::ErrorKind::TimedOut.into())),
    }
}

fn failed_or_cancelled(what: &'static str) -> impl Fn(Waiting) -> SigningError {
    move |waiting| match waiting {
        Waiting::Cancelled => SigningError::Cancelled,
        Waiting::Failed(source) => SigningError::Agent { what, source },
    }
}

fn misspoken() -> SigningError {
    let source = io::Error::new(io::ErrorKind::InvalidData, "its answer is none of an agent's");
    SigningError::Agent { what: "does not answer as one", source }
}

/// What is left of an answer.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn number(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*number))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.number()? as usize;
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }
}

const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
const EXTENSION_FAILURE: u8 = 28;
/// The flag that asks for an RSA signature with SHA-512: without one it would be with SHA-1.
const RSA_SHA2_512: u32 = 4;
/// Bytes of an answer; as many as OpenSSH takes.
const ANSWER_LEN_MAX: usize = 256 * 1024;
/// How often a caller that waits is asked whether it still does.
const POLL: Duration = Duration::from_millis(100);
