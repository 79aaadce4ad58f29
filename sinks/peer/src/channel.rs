//! Records between two ends: with a key encrypted and authenticated, by the Noise protocol; without one as they are.
//! Knows no message, only how long one may be.
//!
//! The sender opens with ten bytes: magic `CFDPEER` and a zero byte, version (2), mode (0 plaintext, 1 Noise). The receiver
//! answers with its own ten; they differ where the two were set up differently, and both ends then stop. Records follow: two
//! bytes of length, little-endian, and so many bytes.
//!
//! With a key the first record of each end is its half of the handshake `Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s`, whose
//! prologue is the sender's ten bytes; every record after that is one Noise transport message. The nonces count the records of
//! each direction, so that a record that is changed, lost, repeated or moved does not open.

use std::{
    io::{self, BufReader, Read, Write},
    net::Shutdown,
    sync::Arc,
    time::{Duration, Instant},
};

use snow::{Builder, HandshakeState, StatelessTransportState};

use super::{
    PeerError, PresharedKey,
    address::Socket,
    message::{MESSAGE_LEN_MAX, Reply, Request},
};

/// The half that sends.
pub(super) struct Outgoing {
    socket: Socket,
    cipher: Option<Cipher>,
    message: Vec<u8>,
    record: Vec<u8>,
}

/// The half that receives.
pub(super) struct Incoming {
    socket: BufReader<Socket>,
    cipher: Option<Cipher>,
    record: Vec<u8>,
    message: Vec<u8>,
    limit: Duration,
    /// During the greeting: all of it has to be here by then, whatever part of it has come.
    deadline: Option<Instant>,
}

/// One direction of a Noise session.
struct Cipher {
    session: Arc<StatelessTransportState>,
    nonce: u64,
}

/// What to do while not even the first byte of a record has come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Quiet {
    /// Wait on: nothing is due.
    Allowed,
    /// Give up after the limit: an answer is due.
    Fails,
}

/// What came from the other end.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Arrived<T> {
    Message(T),
    /// The other end closed its side, between two records.
    End,
}

/// Greets the receiver behind `socket`, within `limit` in all.
pub(super) fn greet(
    socket: Socket,
    key: Option<&PresharedKey>,
    limit: Duration,
) -> Result<(Outgoing, Incoming), PeerError> {
    let (mut outgoing, mut incoming) = halves(socket, limit)?;
    let opening = opening(key);
    outgoing.socket.write_all(&opening).map_err(|error| outgoing.failed(&error))?;
    let mut answer = [0; OPENING_LEN];
    incoming.fill_all(&mut answer)?;
    if answer != opening {
        return Err(not_alike(&answer));
    }
    if let Some(key) = key {
        let mut handshake = builder(key, &opening)?.build_initiator().map_err(noise)?;
        outgoing.shake(&mut handshake)?;
        incoming.shake(&mut handshake)?;
        encrypt(&mut outgoing, &mut incoming, handshake)?;
    }
    Ok((outgoing, incoming))
}

/// Is greeted by the sender behind `socket`, within `limit` in all: the first request counts, until
/// [`Incoming::set_limit`] says how long the others may take. That it holds the key is certain once its first record has been read: the
/// handshake alone might be an earlier one said again.
pub(super) fn be_greeted(
    socket: Socket,
    key: Option<&PresharedKey>,
    limit: Duration,
) -> Result<(Outgoing, Incoming), PeerError> {
    let (mut outgoing, mut incoming) = halves(socket, limit)?;
    let mut theirs = [0; OPENING_LEN];
    incoming.fill_all(&mut theirs)?;
    let ours = opening(key);
    if !theirs.starts_with(MAGIC) {
        return Err(not_alike(&theirs));
    }
    outgoing.socket.write_all(&ours).map_err(|error| outgoing.failed(&error))?;
    if theirs != ours {
        return Err(not_alike(&theirs));
    }
    if let Some(key) = key {
        let mut handshake = builder(key, &theirs)?.build_responder().map_err(noise)?;
        incoming.shake(&mut handshake)?;
        outgoing.shake(&mut handshake)?;
        encrypt(&mut outgoing, &mut incoming, handshake)?;
    }
    Ok((outgoing, incoming))
}

impl Outgoing {
    pub(super) fn request(&mut self, request: &Request<'_>) -> Result<(), PeerError> {
        request.write_to(&mut self.message);
        self.send()
    }

    pub(super) fn reply(&mut self, reply: &Reply) -> Result<(), PeerError> {
        reply.write_to(&mut self.message);
        self.send()
    }

    /// Sends the message as one record.
    fn send(&mut self) -> Result<(), PeerError> {
        assert!(self.message.len() <= MESSAGE_LEN_MAX, "a message fits a record");
        let len = match &mut self.cipher {
            None => {
                self.record[HEAD_LEN..HEAD_LEN + self.message.len()].copy_from_slice(&self.message);
                self.message.len()
            }
            Some(Cipher { session, nonce }) => {
                let sealed = session.write_message(*nonce, &self.message, &mut self.record[HEAD_LEN..]);
                *nonce += 1;
                sealed.map_err(noise)?
            }
        };
        self.write_record(len)
    }

    fn shake(&mut self, handshake: &mut HandshakeState) -> Result<(), PeerError> {
        let len = handshake.write_message(&[], &mut self.record[HEAD_LEN..]).map_err(noise)?;
        self.write_record(len)
    }

    fn write_record(&mut self, len: usize) -> Result<(), PeerError> {
        let head = u16::try_from(len).map_err(|_| PeerError::Protocol("a record too long to send"))?;
        self.record[..HEAD_LEN].copy_from_slice(&head.to_le_bytes());
        let written = self.socket.write_all(&self.record[..HEAD_LEN + len]);
        written.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &io::Error) -> PeerError {
        lost(error, self.limit())
    }

    /// Only for what an error says.
    fn limit(&self) -> Duration {
        let limit = match &self.socket {
            Socket::Tcp(stream) => stream.write_timeout(),
            Socket::Unix(stream) => stream.write_timeout(),
        };
        limit.ok().flatten().unwrap_or_default()
    }

    /// A second hold on the socket, to shut it from another thread.
    pub(super) fn socket(&self) -> io::Result<Socket> {
        self.socket.try_clone()
    }

    /// Nothing more will be sent: the other end reads what was, and then the end.
    pub(super) fn finish(&self) {
        self.socket.shut(Shutdown::Write);
    }
}

impl Incoming {
    /// How long a record may take from its first byte, and an answer from its request.
    pub(super) fn set_limit(&mut self, limit: Duration) -> io::Result<()> {
        self.limit = limit;
        self.deadline = None;
        self.socket.get_ref().set_limit(limit)
    }

    pub(super) fn request(&mut self, quiet: Quiet) -> Result<Arrived<Request<'_>>, PeerError> {
        match self.receive(quiet)? {
            Arrived::Message(len) => Request::parse(&self.message[..len]).map(Arrived::Message),
            Arrived::End => Ok(Arrived::End),
        }
    }

    /// An answer is due: nothing, or the end, is an error.
    pub(super) fn reply(&mut self) -> Result<Reply, PeerError> {
        match self.receive(Quiet::Fails)? {
            Arrived::Message(len) => Reply::parse(&self.message[..len]),
            Arrived::End => Err(PeerError::Lost(io::ErrorKind::UnexpectedEof)),
        }
    }

    /// Leaves the next message in its buffer and gives its length.
    fn receive(&mut self, quiet: Quiet) -> Result<Arrived<usize>, PeerError> {
        let Arrived::Message(len) = self.read_record(quiet)? else { return Ok(Arrived::End) };
        match &mut self.cipher {
            None if len > MESSAGE_LEN_MAX => Err(PeerError::Protocol("a message longer than any may be")),
            None => {
                self.message[..len].copy_from_slice(&self.record[..len]);
                Ok(Arrived::Message(len))
            }
            Some(Cipher { session, nonce }) => {
                let opened = session.read_message(*nonce, &self.record[..len], &mut self.message);
                *nonce += 1;
                let opened =
                    opened.map_err(|_| PeerError::Protocol("a record that was changed on its way"))?;
                Ok(Arrived::Message(opened))
            }
        }
    }

    fn shake(&mut self, handshake: &mut HandshakeState) -> Result<(), PeerError> {
        // An end that refuses the key closes the connection without a word.
        let len = match self.read_record(Quiet::Fails) {
            Ok(Arrived::Message(len)) => len,
            Ok(Arrived::End) | Err(PeerError::Lost(_)) => return Err(PeerError::KeyRefused),
            Err(error) => return Err(error),
        };
        let read = handshake.read_message(&self.record[..len], &mut self.message);
        read.map(drop).map_err(|_| PeerError::KeyRefused)
    }

    fn read_record(&mut self, quiet: Quiet) -> Result<Arrived<usize>, PeerError> {
        let mut head = [0; HEAD_LEN];
        if self.fill(&mut head, quiet)? == Arrived::End {
            return Ok(Arrived::End);
        }
        // At most 65,535, which the buffer holds.
        let len = usize::from(u16::from_le_bytes(head));
        let mut record = std::mem::take(&mut self.record);
        let filled = self.fill_all(&mut record[..len]);
        self.record = record;
        filled.map(|()| Arrived::Message(len))
    }

    fn fill_all(&mut self, buffer: &mut [u8]) -> Result<(), PeerError> {
        match self.fill(buffer, Quiet::Fails)? {
            Arrived::Message(()) => Ok(()),
            Arrived::End => Err(PeerError::Lost(io::ErrorKind::UnexpectedEof)),
        }
    }

    /// Fills the buffer. A read that times out is tried again while nothing has come and quiet is allowed; from the first
    /// byte on there is one deadline for all of it.
    fn fill(&mut self, buffer: &mut [u8], quiet: Quiet) -> Result<Arrived<()>, PeerError> {
        let mut filled = 0;
        let mut since = Instant::now();
        while filled < buffer.len() {
            self.wait_no_longer_than_the_deadline()?;
            match self.socket.read(&mut buffer[filled..]) {
                Ok(0) if filled == 0 => return Ok(Arrived::End),
                Ok(0) => return Err(PeerError::Lost(io::ErrorKind::UnexpectedEof)),
                Ok(count) => {
                    since = if filled == 0 { Instant::now() } else { since };
                    filled += count;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_silence(&error) && filled == 0 && quiet == Quiet::Allowed => continue,
                Err(error) => return Err(lost(&error, self.limit)),
            }
            if filled < buffer.len() && since.elapsed() > self.limit {
                return Err(PeerError::Silent(self.limit));
            }
        }
        Ok(Arrived::Message(()))
    }

    /// The next read ends when the greeting's time does.
    fn wait_no_longer_than_the_deadline(&self) -> Result<(), PeerError> {
        let Some(deadline) = self.deadline else { return Ok(()) };
        let left = deadline.saturating_duration_since(Instant::now());
        // A socket takes no limit of zero.
        if left.is_zero() {
            return Err(PeerError::Silent(self.limit));
        }
        Ok(self.socket.get_ref().set_limit(left)?)
    }
}

fn halves(socket: Socket, limit: Duration) -> Result<(Outgoing, Incoming), PeerError> {
    socket.set_limit(limit)?;
    let incoming = Incoming {
        socket: BufReader::with_capacity(READ_AHEAD_LEN, socket.try_clone()?),
        cipher: None,
        record: zeroed(RECORD_LEN_MAX)?,
        message: zeroed(RECORD_LEN_MAX)?,
        limit,
        deadline: Some(Instant::now() + limit),
    };
    let message = Vec::with_capacity(MESSAGE_LEN_MAX);
    let record = zeroed(HEAD_LEN + RECORD_LEN_MAX)?;
    Ok((Outgoing { socket, cipher: None, message, record }, incoming))
}

/// Who connects must not end a process that is short of memory.
fn zeroed(len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len)?;
    bytes.resize(len, 0);
    Ok(bytes)
}

fn encrypt(
    outgoing: &mut Outgoing,
    incoming: &mut Incoming,
    handshake: HandshakeState,
) -> Result<(), PeerError> {
    let session = Arc::new(handshake.into_stateless_transport_mode().map_err(noise)?);
    outgoing.cipher = Some(Cipher { session: session.clone(), nonce: 0 });
    incoming.cipher = Some(Cipher { session, nonce: 0 });
    Ok(())
}

fn builder<'a>(key: &'a PresharedKey, prologue: &'a [u8]) -> Result<Builder<'a>, PeerError> {
    let pattern = PATTERN.parse().map_err(noise)?;
    Builder::new(pattern).psk(0, key.expose()).and_then(|builder| builder.prologue(prologue)).map_err(noise)
}

fn opening(key: Option<&PresharedKey>) -> [u8; OPENING_LEN] {
    let mut opening = [0; OPENING_LEN];
    opening[..MAGIC.len()].copy_from_slice(MAGIC);
    opening[8] = VERSION;
    opening[9] = u8::from(key.is_some());
    opening
}

/// What is wrong with the other end's opening, which is not what it should be.
fn not_alike(opening: &[u8; OPENING_LEN]) -> PeerError {
    match opening {
        [head @ .., _, _] if head != MAGIC => PeerError::Protocol("it does not speak this protocol"),
        [.., version, _] if *version != VERSION => PeerError::Protocol("it speaks another version"),
        _ => PeerError::KeyOnOneSide,
    }
}

fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn lost(error: &io::Error, limit: Duration) -> PeerError {
    if is_silence(error) { PeerError::Silent(limit) } else { PeerError::Lost(error.kind()) }
}

/// What the library refuses of what this file gives it: lengths and order are right by construction.
fn noise(_: snow::Error) -> PeerError {
    PeerError::Protocol("the greeting could not be made")
}

const PATTERN: &str = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s";
const MAGIC: &[u8; 8] = b"CFDPEER\0";
const VERSION: u8 = 2;
const OPENING_LEN: usize = 10;
/// Bytes of a record's length.
const HEAD_LEN: usize = 2;
/// Bytes of a record: what a Noise message, and two bytes of length, can be.
const RECORD_LEN_MAX: usize = u16::MAX as usize;
const TAG_LEN: usize = 16;
const READ_AHEAD_LEN: usize = 64 * 1024;
/// Memory of both halves.
pub(super) const MEMORY_LEN: usize = READ_AHEAD_LEN + 3 * RECORD_LEN_MAX + HEAD_LEN + MESSAGE_LEN_MAX;
const _: () = assert!(MESSAGE_LEN_MAX + TAG_LEN <= RECORD_LEN_MAX);
