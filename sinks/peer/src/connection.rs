//! The sender's end of one connection: requests go out, answers come back to whoever waits for them.
//! Knows no stream: what an answer means is the sink's to say.
//!
//! Two threads may ask at once: the one that writes the stream, and the one that makes commits durable. Each has its lane. No
//! thread reads on its own account: of those that wait for an answer one reads, and puts what is not its own where the other
//! finds it. So there are two locks, and neither is held while the other is taken: `outgoing` during one record, `inbox` for
//! a moment. Nobody waits for a lane but by waiting for the socket, which has a limit, or for the one who reads it.

use std::io;

use parking_lot::{Condvar, Mutex};

use super::{
    Address, PeerError, Security, Timing,
    address::Socket,
    channel::{self, Incoming, Outgoing},
    message::{DurabilityStep, Epoch, Reply, Request, RestoreId, Standing},
};

/// One connection that has been greeted.
pub(super) struct Connection {
    pub(super) epoch: Epoch,
    outgoing: Mutex<Outgoing>,
    inbox: Mutex<Inbox>,
    changed: Condvar,
}

/// What the receiver said at the greeting.
pub(super) struct Welcome {
    pub(super) durability: DurabilityStep,
    pub(super) standing: Standing,
}

/// Whose answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ReplyKind {
    Stream,
    Durability,
}

struct Inbox {
    /// Gone while somebody reads.
    incoming: Option<Incoming>,
    stream: Option<Reply>,
    durability: Option<Reply>,
    over: Option<PeerError>,
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
            Reply::Welcome { epoch, durability, standing } => {
                let inbox = Inbox { incoming: Some(incoming), stream: None, durability: None, over: None };
                let connection = Connection {
                    epoch,
                    outgoing: Mutex::new(outgoing),
                    inbox: Mutex::new(inbox),
                    changed: Condvar::new(),
                };
                Ok((connection, Welcome { durability, standing }))
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

    /// Waits for the next answer of a lane.
    pub(super) fn answer(&self, reply_kind: ReplyKind) -> Result<Reply, PeerError> {
        let mut inbox = self.inbox.lock();
        loop {
            if let Some(reply) = inbox.slot(reply_kind).take() {
                return Ok(reply);
            }
            if let Some(error) = &inbox.over {
                return Err(error.clone());
            }
            let Some(mut incoming) = inbox.incoming.take() else {
                self.changed.wait(&mut inbox);
                continue;
            };
            drop(inbox);
            let came = incoming.reply();
            inbox = self.inbox.lock();
            inbox.incoming = Some(incoming);
            inbox.put(came);
            self.changed.notify_all();
        }
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

impl Inbox {
    fn slot(&mut self, reply_kind: ReplyKind) -> &mut Option<Reply> {
        match reply_kind {
            ReplyKind::Stream => &mut self.stream,
            ReplyKind::Durability => &mut self.durability,
        }
    }

    /// Puts an answer where its lane looks. An answer that nobody has taken yet is not pushed out by another: of what is asked
    /// one at a time, two answers are one too many.
    fn put(&mut self, came: Result<Reply, PeerError>) {
        let reply = match came {
            Ok(Reply::Refused(error)) | Err(error) => {
                self.over = Some(error);
                return;
            }
            Ok(reply) => reply,
        };
        let reply_kind =
            if matches!(reply, Reply::Durable { .. }) { ReplyKind::Durability } else { ReplyKind::Stream };
        match self.slot(reply_kind) {
            free @ None => *free = Some(reply),
            Some(_) => self.over = Some(PeerError::Protocol("an answer that nobody asked for")),
        }
    }
}

/// What a sink says of a connection that is over.
pub(super) fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the peer sink failed earlier, or is closed")
}

/// Answers that may stand before a refusal.
const LAST_WORDS_MAX: usize = 4;
