//! The sender's end of one connection: requests go out, answers come back to whoever waits for them.
//! Knows no stream: what an answer means is the sink's to say.
//!
//! Two threads may ask at once: the one that writes the stream, and the one that makes commits durable. An answer goes to
//! its asker through a channel of its [`ReplyKind`]. No thread reads on its own account: the receiving half lies in a
//! channel, too, and whoever waits for an answer takes what comes first, the answer or the receiving half. With that it reads
//! one message, puts it where it belongs, and lays the receiving half back. So nobody waits but for the socket, which has a
//! limit, or for the one who reads it.
//!
//! No channel holds more than one message ([`INBOX_LEN`] bytes in all): a receiver that answers what was not asked breaks the
//! protocol. The one lock, `outgoing`, is held during one record.

use std::io;

use crossbeam_channel::{Receiver, Sender, bounded, select_biased};
use parking_lot::Mutex;

use super::{
    Address, PeerError, Security, Timing,
    address::Socket,
    channel::{self, Incoming, Outgoing},
    message::{DurabilityStep, Epoch, ReceiverState, Reply, Request, RestoreId},
};

/// One connection that has been greeted.
pub(super) struct Connection {
    pub(super) epoch: Epoch,
    outgoing: Mutex<Outgoing>,
    /// Holds the receiving half, but while somebody reads.
    reading: Slot<Reading>,
    stream: Slot<Reply>,
    durability: Slot<Reply>,
}

/// The receiving half, and what ended it.
struct Reading {
    incoming: Incoming,
    over: Option<PeerError>,
}

/// A channel for one message. Both of its ends live as long as the connection, so that it is never cut.
struct Slot<T> {
    put: Sender<T>,
    take: Receiver<T>,
}

/// What the receiver said at the greeting.
pub(super) struct Welcome {
    pub(super) durability: DurabilityStep,
    pub(super) state: ReceiverState,
}

/// Whose answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ReplyKind {
    Stream,
    Durability,
}

impl Connection {
    /// Connects, and greets as the sender `restore`, which held the receiver under `held` before.
    pub(super) fn open(
        address: &Address,
        security: &Security,
        timing: &Timing,
        restore: RestoreId,
        held: Option<Epoch>,
    ) -> Result<(Connection, Welcome), PeerError> {
        let unreachable =
            |error: io::Error| PeerError::Unreachable { kind: error.kind(), said: error.to_string() };
        let socket = Socket::connect(address, timing.greeting).map_err(unreachable)?;
        security.allow(socket.reach())?;
        let (mut outgoing, mut incoming) = channel::greet(socket, security.key(), timing.greeting)?;
        outgoing.request(&Request::Hello { restore, held })?;
        // Before it answers, the receiver ends what an earlier sender began: that may take a sync.
        incoming.set_limit(timing.silence)?;
        match incoming.reply()? {
            Reply::Welcome { epoch, durability, state } => {
                let connection = Connection {
                    epoch,
                    outgoing: Mutex::new(outgoing),
                    reading: Slot::empty(),
                    stream: Slot::empty(),
                    durability: Slot::empty(),
                };
                connection.reading.lay(Reading { incoming, over: None });
                Ok((connection, Welcome { durability, state }))
            }
            Reply::Refused(why) => Err(why),
            _ => Err(PeerError::Protocol("an answer where a welcome was due")),
        }
    }

    /// Sends what has no answer.
    pub(super) fn tell(&self, request: &Request<'_>) -> Result<(), PeerError> {
        let sent = self.outgoing.lock().request(request);
        match sent {
            // A receiver that refuses closes: what it said is still to be read.
            Err(PeerError::Lost(kind)) => Err(self.last_words().unwrap_or(PeerError::Lost(kind))),
            sent => sent,
        }
    }

    /// Sends a request and waits for its answer.
    pub(super) fn ask(&self, request: &Request<'_>, reply_kind: ReplyKind) -> Result<Reply, PeerError> {
        self.tell(request)?;
        self.answer(reply_kind)
    }

    /// Waits for the next answer of that kind.
    pub(super) fn answer(&self, reply_kind: ReplyKind) -> Result<Reply, PeerError> {
        let answers = &self.slot(reply_kind).take;
        loop {
            let mut reading = select_biased! {
                recv(answers) -> reply => return Ok(reply.expect(NEVER_CUT)),
                recv(self.reading.take) -> reading => reading.expect(NEVER_CUT),
            };
            // Whoever read last may have laid the answer down just before the receiving half.
            let answer = answers.try_recv().map_err(|_| reading.over.clone());
            if answer == Err(None) {
                let came = reading.incoming.reply();
                reading.over = self.deliver(came).err();
            }
            self.reading.lay(reading);
            match answer {
                Ok(reply) => return Ok(reply),
                Err(Some(over)) => return Err(over),
                Err(None) => {}
            }
        }
    }

    fn slot(&self, reply_kind: ReplyKind) -> &Slot<Reply> {
        match reply_kind {
            ReplyKind::Stream => &self.stream,
            ReplyKind::Durability => &self.durability,
        }
    }

    /// Puts an answer where its asker looks. An error ends the connection. One answer of a kind is asked for at a time, so
    /// two are one too many; the first is not pushed out.
    fn deliver(&self, came: Result<Reply, PeerError>) -> Result<(), PeerError> {
        let (reply_kind, reply) = match came? {
            Reply::Refused(error) => return Err(error),
            reply @ Reply::Durable { .. } => (ReplyKind::Durability, reply),
            reply => (ReplyKind::Stream, reply),
        };
        let laid = self.slot(reply_kind).put.try_send(reply);
        laid.map_err(|_| PeerError::Protocol("an answer that nobody asked for"))
    }

    /// Why the receiver closed, if it said so.
    fn last_words(&self) -> Option<PeerError> {
        for _ in 0..LAST_WORDS_MAX {
            match self.answer(ReplyKind::Stream) {
                Err(error) if error.is_answer() => return Some(error),
                Err(_) => return None,
                Ok(_) => {}
            }
        }
        None
    }
}

impl<T> Slot<T> {
    fn empty() -> Slot<T> {
        let (put, take) = bounded(1);
        Slot { put, take }
    }

    /// Only for the one that took what was in it.
    fn lay(&self, what: T) {
        assert!(self.put.try_send(what).is_ok(), "a slot was empty, and never cut");
    }
}

/// What a sink says of a connection that is over.
pub(super) fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the peer sink failed earlier, or is closed")
}

/// Answers that may stand before a refusal.
const LAST_WORDS_MAX: usize = 4;
const NEVER_CUT: &str = "a connection has both ends of its channels";
/// Bytes of the answers that wait for who asked: one of either kind. A refusal, whose sentence is not counted here, is not
/// among them.
const INBOX_LEN: usize = 2 * size_of::<Reply>();
const _: () = assert!(INBOX_LEN <= channel::MEMORY_LEN / 64, "beside the buffers the answers are nothing");
