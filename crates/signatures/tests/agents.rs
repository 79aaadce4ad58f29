//! Agents that answer what no agent should, or nothing: each ends in an error, in time.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

#[path = "openssh/device.rs"]
mod device;

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use device::{Device, NOT_TOUCHED, TOUCHED};
use signatures::{Agent, AgentOptions, Message, PublicKey, SignatureError, SigningError, StreamHash};
use tempfile::TempDir;

/// An agent that answers each request with what `answer` makes of it, and then closes; `None` is no answer.
struct FakeAgent {
    socket: PathBuf,
    _directory: TempDir,
}

impl FakeAgent {
    fn start(answer: impl Fn(Vec<u8>) -> Option<Vec<u8>> + Send + 'static) -> FakeAgent {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("agent");
        let listener = UnixListener::bind(&socket).unwrap();
        thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                while let Some(request) = read_request(&mut stream) {
                    match answer(request) {
                        Some(bytes) => drop(stream.write_all(&bytes)),
                        // Whoever asks gives up, and closes.
                        None => drop(read_request(&mut stream)),
                    }
                }
            }
        });
        FakeAgent { socket, _directory: directory }
    }

    fn connect(&self, options: AgentOptions) -> Agent {
        Agent::connect(&self.socket, options).unwrap()
    }
}

fn read_request(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let mut len = [0; 4];
    stream.read_exact(&mut len).ok()?;
    let mut request = vec![0; u32::from_be_bytes(len) as usize];
    stream.read_exact(&mut request).ok()?;
    Some(request)
}

/// A message of the protocol.
fn framed(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).unwrap().to_be_bytes(), body].concat()
}

fn message() -> Message {
    Message::stream(1, StreamHash::Blake3, &[1; 32])
}

/// The fields of a request to sign: the key, and what is to be signed.
fn fields(request: &[u8]) -> (Vec<u8>, Vec<u8>) {
    assert_eq!(request[0], 13);
    let field = |at: usize| {
        let len = u32::from_be_bytes(request[at..at + 4].try_into().unwrap()) as usize;
        (request[at + 4..at + 4 + len].to_vec(), at + 4 + len)
    };
    let (key, next) = field(1);
    (key, field(next).0)
}

#[test]
fn what_no_agent_answers_is_an_error() {
    let answers: [(&str, Vec<u8>); 9] = [
        ("nothing in it", framed(b"")),
        ("more than there may be", 0xffff_ffff_u32.to_be_bytes().to_vec()),
        ("one byte more than there may be", (256 * 1024 + 1_u32).to_be_bytes().to_vec()),
        ("another message", framed(&[6])),
        ("keys without a count", framed(&[12, 0, 0])),
        ("a key without its bytes", framed(&[12, 0, 0, 0, 1, 0, 0, 0, 9])),
        ("a key without a comment", framed(&[12, 0, 0, 0, 1, 0, 0, 0, 0])),
        ("more keys than are there", framed(&[12, 0xff, 0xff, 0xff, 0xff])),
        ("a refusal", framed(&[5])),
    ];
    for (what, answer) in answers {
        let agent = FakeAgent::start(move |_| Some(answer.clone()));
        // What is missing of an answer is waited for, and then no more.
        let mut options = AgentOptions::default();
        options.timeout = Duration::from_secs(30);
        let refused = agent.connect(options).keys();
        assert!(
            matches!(refused, Err(SigningError::Agent { .. } | SigningError::Refused { .. })),
            "{what}: {refused:?}"
        );
    }
}

#[test]
fn keys_of_unknown_kinds_are_left_out() {
    let blob = Device::both()[0].public_blob();
    let mut answer = vec![12, 0, 0, 0, 2];
    for field in [&b"no key"[..], b"?", &blob, b"a comment \xff"] {
        answer.extend(framed(field));
    }
    let agent = FakeAgent::start(move |_| Some(framed(&answer)));
    let keys = agent.connect(AgentOptions::default()).keys().unwrap();
    assert_eq!(keys.iter().map(PublicKey::comment).collect::<Vec<_>>(), ["a comment \u{fffd}"]);
}

/// OpenSSH judges what is written of it, in `openssh.rs`: the bytes are the same.
#[test]
fn what_a_security_key_has_signed_is_written_as_openssh_reads_it() {
    for kind in 0..2 {
        let device = move || Device::both().into_iter().nth(kind).unwrap();
        let key = PublicKey::parse(&device().public_line()).unwrap();
        for flags in [TOUCHED, NOT_TOUCHED] {
            let agent = FakeAgent::start(move |request| {
                let (_, data) = fields(&request);
                Some(framed(&[&[14][..], &framed(&device().sign(&data, flags))].concat()))
            });
            let signed = agent.connect(AgentOptions::default()).sign(&key, &message());
            match flags {
                TOUCHED => {
                    let expected = device().signature_text(&message(), TOUCHED);
                    assert_eq!(signed.unwrap().as_text().replace('\n', ""), expected.replace('\n', ""));
                }
                _ => assert!(
                    matches!(signed, Err(SigningError::Unverified(SignatureError::NotTouched))),
                    "{signed:?}"
                ),
            }
        }
    }
}

#[test]
fn a_signature_that_is_none_is_not_taken() {
    let key = PublicKey::parse(&Device::both()[0].public_line()).unwrap();
    let others = Message::stream(1, StreamHash::Blake3, &[2; 32]);
    let other = move |_: Vec<u8>| {
        let made = Device::both()[0].sign(others.bytes(), TOUCHED);
        Some(framed(&[&[14][..], &framed(&made)].concat()))
    };
    let refused = FakeAgent::start(other).connect(AgentOptions::default()).sign(&key, &message());
    assert!(matches!(refused, Err(SigningError::Unverified(SignatureError::Mismatch))), "{refused:?}");
    let empty = |_: Vec<u8>| Some(framed(&[14, 0, 0, 0, 0]));
    let refused = FakeAgent::start(empty).connect(AgentOptions::default()).sign(&key, &message());
    assert!(
        matches!(refused, Err(SigningError::Unverified(SignatureError::Malformed { .. }))),
        "{refused:?}"
    );
}

#[test]
fn an_agent_that_is_silent_is_given_up() {
    let agent = FakeAgent::start(|_| None);
    let key = PublicKey::parse(&Device::both()[0].public_line()).unwrap();
    let mut options = AgentOptions::default();
    (options.timeout, options.sign_timeout) = (Duration::from_millis(1), Duration::from_millis(1));
    // The connection may take longer than that, and is given up then.
    match Agent::connect(&agent.socket, options) {
        Ok(mut agent) => {
            assert!(matches!(agent.sign(&key, &message()), Err(SigningError::Agent { .. })));
        }
        Err(error) => assert!(matches!(error, SigningError::Agent { .. })),
    }
    let cancelled = Arc::new(AtomicBool::new(false));
    let mut options = AgentOptions::default();
    let asked = cancelled.clone();
    options.is_cancelled = Arc::new(move || asked.load(Ordering::Relaxed));
    let mut connected = agent.connect(options);
    cancelled.store(true, Ordering::Relaxed);
    assert!(matches!(connected.keys(), Err(SigningError::Cancelled)));
}
