//! The sink at the sender: a stream goes to a receiver, which keeps it in a sink of its own.
//! Knows nothing of that sink but what the receiver says.

use std::{io, sync::Arc, thread};

use contract::{
    Checkpoint, CommitError, SinkCapabilities, StreamingSink, SyncTo, Visibility, WriteAt,
    cursor::{Committed, Cursor},
};
use parking_lot::Mutex;

use super::{
    Address, PeerError, Security, Timing, channel,
    connection::{Connection, ReplyKind, Welcome, closed},
    message::{DATA_LEN_MAX, DurabilityStep, Epoch, ReceiverState, Reply, Request, RestoreId},
};

/// Sends a stream to a [`Receiver`](super::Receiver).
///
/// Its publish class is that of the receiver's sink. Its bytes are [`Visibility::Visible`]: another process has them, so the engine
/// holds each segment until its digest is verified.
///
/// - **Commit** is an ordered request to the receiver, with the epoch, the segment, and the BLAKE3 hash of its plaintext, made at
///   both ends. If they differ, nothing commits.
/// - **Durability** is the receiver's own: if its sink has such a step, this one has, too.
/// - **After a crash** at either end `last_commit` gives the last checkpoint that the receiver made durable.
/// - **A lost answer** to a commit or a publish is requested again over a new connection ([`Timing::attempts_max`]).
///   If the receiver answers, the call returns that answer, and the stream continues; otherwise the outcome is
///   unknown. Any other call that loses the connection fails.
/// - **Fencing**: the newest greeting holds the receiver. From then on every call of an older sender fails
///   with [`PeerError::Fenced`].
pub struct PeerSink {
    address: Address,
    security: Security,
    timing: Timing,
    restore: RestoreId,
    link: Arc<Link>,
    durability: DurabilityStep,
    /// What the receiver has from an earlier sender.
    found: Option<Checkpoint>,
    cursor: Cursor,
    next_segment: u64,
    hasher: blake3::Hasher,
}

/// The connection there is, for both threads.
struct Link {
    /// None after the end of the stream, or an error.
    connection: Mutex<Option<Arc<Connection>>>,
}

impl PeerSink {
    /// Greets the receiver at `address`.
    ///
    /// # Errors
    /// A [`PeerError`] in an [`io::Error`].
    pub fn connect(address: &Address, security: Security) -> io::Result<PeerSink> {
        PeerSink::connect_with(address, security, Timing::default())
    }

    /// As [`PeerSink::connect`], with other limits.
    ///
    /// # Errors
    /// As [`PeerSink::connect`].
    pub fn connect_with(address: &Address, security: Security, timing: Timing) -> io::Result<PeerSink> {
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|error| {
            io::Error::other(format!("the operating system gave no random numbers: {error}"))
        })?;
        let restore = RestoreId(id);
        let (connection, welcome) = Connection::open(address, &security, &timing, restore, None)?;
        let found = match welcome.state {
            ReceiverState::Nothing => None,
            ReceiverState::ToResume(checkpoint) => Some(checkpoint),
            ReceiverState::AsLeft { .. } | ReceiverState::Published { .. } => {
                return Err(PeerError::Protocol("a new sender was taken for an old one").into());
            }
        };
        Ok(PeerSink {
            address: address.clone(),
            security,
            timing,
            restore,
            link: Arc::new(Link { connection: Mutex::new(Some(Arc::new(connection))) }),
            durability: welcome.durability,
            found,
            cursor: Cursor::default(),
            next_segment: 0,
            hasher: blake3::Hasher::new(),
        })
    }

    /// Runs one call on the connection, which is kept only if the call succeeds.
    fn with<T>(&self, call: impl FnOnce(&Connection) -> Result<T, PeerError>) -> io::Result<T> {
        let connection = self.link.get()?;
        call(&connection).map_err(|error| {
            self.link.close();
            error.into()
        })
    }

    fn expect(&self, request: &Request<'_>, expected: &Reply) -> io::Result<()> {
        self.with(|connection| match connection.ask(request, ReplyKind::Stream)? {
            reply if reply == *expected => Ok(()),
            _ => Err(PeerError::Protocol("an answer to another question")),
        })
    }

    /// Asks for what must happen once, and learns over a new connection what became of it if this one is lost.
    fn settle(&mut self, what: &Once<'_>) -> Result<(), CommitError> {
        let connection = self.link.get().map_err(CommitError::NotCommitted)?;
        let error = match what.ask(&connection) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        self.link.close();
        match error {
            PeerError::Lost(_) | PeerError::Silent(_) => {
                drop(connection);
                self.ask_again(what)
            }
            // What came first was another sender's greeting; this request had no effect after it.
            PeerError::Fenced { .. } | PeerError::AlreadyPublished | PeerError::NotDone(_) => {
                Err(CommitError::NotCommitted(error.into()))
            }
            _ => Err(CommitError::Unknown(error.into())),
        }
    }

    fn ask_again(&mut self, what: &Once<'_>) -> Result<(), CommitError> {
        let mut failure = PeerError::Lost(io::ErrorKind::NotConnected);
        for attempt in 0..self.timing.attempts_max {
            if attempt > 0 {
                thread::sleep(self.timing.pause);
            }
            let held = Some(what.epoch());
            match Connection::open(&self.address, &self.security, &self.timing, self.restore, held) {
                Ok((connection, welcome)) => return self.judge(what, connection, welcome),
                Err(error) if error.is_answer() => return Err(CommitError::Unknown(error.into())),
                Err(error) => failure = error,
            }
        }
        Err(CommitError::Unknown(failure.into()))
    }

    /// Compares what the receiver has with what was asked for.
    fn judge(
        &mut self,
        what: &Once<'_>,
        connection: Connection,
        welcome: Welcome,
    ) -> Result<(), CommitError> {
        match (what, welcome.state) {
            (Once::Publish { len, .. }, ReceiverState::Published { len: published }) if *len == published => {
                self.link.replace(connection);
                Ok(())
            }
            (Once::Commit { segment, .. }, ReceiverState::AsLeft { segments }) if segments == segment + 1 => {
                self.link.replace(connection);
                Ok(())
            }
            (Once::Commit { checkpoint, segment, end, .. }, ReceiverState::ToResume(found))
                if found == **checkpoint =>
            {
                // It is durable already. A receiver that started again has to be told where the next segment is.
                let resume = Request::Resume { segment: segment + 1, at: *end };
                self.link.replace(connection);
                self.expect(&resume, &Reply::Resumed).map_err(CommitError::Unknown)
            }
            (Once::Commit { segment: 0, .. }, ReceiverState::Nothing) => {
                Err(CommitError::NotCommitted(not_received()))
            }
            // A receiver that began anew does not know what the one before it has published.
            (Once::Publish { .. }, ReceiverState::Nothing) => {
                Err(CommitError::Unknown(PeerError::CommitsLost.into()))
            }
            (Once::Commit { .. }, ReceiverState::Nothing | ReceiverState::ToResume(_))
            | (Once::Publish { .. }, ReceiverState::ToResume(_)) => {
                Err(CommitError::NotCommitted(PeerError::CommitsLost.into()))
            }
            (Once::Commit { segment, .. }, ReceiverState::AsLeft { segments }) if segments == *segment => {
                Err(CommitError::NotCommitted(not_received()))
            }
            (Once::Publish { .. }, ReceiverState::AsLeft { .. }) => {
                Err(CommitError::NotCommitted(not_received()))
            }
            (
                Once::Commit { .. } | Once::Publish { .. },
                ReceiverState::AsLeft { .. } | ReceiverState::Published { .. },
            ) => Err(CommitError::Unknown(PeerError::Protocol("it has what was never sent").into())),
        }
    }
}

fn not_received() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the connection was lost before the receiver was asked")
}

/// A request that must have its effect once, and whose answer may be lost.
enum Once<'a> {
    Commit { epoch: Epoch, segment: u64, end: u64, hash: [u8; 32], checkpoint: &'a Checkpoint },
    Publish { epoch: Epoch, len: u64 },
}

impl Once<'_> {
    fn epoch(&self) -> Epoch {
        match self {
            Once::Commit { epoch, .. } | Once::Publish { epoch, .. } => *epoch,
        }
    }

    fn ask(&self, connection: &Connection) -> Result<(), PeerError> {
        match self {
            Once::Commit { epoch, segment, hash, checkpoint, .. } => {
                let (epoch, segment) = (*epoch, *segment);
                connection.tell(&Request::Commit {
                    epoch,
                    segment,
                    hash: *hash,
                    checkpoint: (*checkpoint).clone(),
                })?;
                wait_for(connection, &Reply::Committed { epoch, segment })
            }
            Once::Publish { epoch, len } => {
                connection.tell(&Request::Finish { epoch: *epoch, len: *len })?;
                wait_for(connection, &Reply::Finished { epoch: *epoch, len: *len })
            }
        }
    }
}

/// Waits for one answer. Answers to earlier commits, said again on the way, are let pass; any other is an error.
fn wait_for(connection: &Connection, expected: &Reply) -> Result<(), PeerError> {
    for _ in 0..STALE_MAX {
        let reply = connection.answer(ReplyKind::Stream)?;
        if reply == *expected {
            return Ok(());
        }
        if !is_stale(&reply, expected, connection.epoch) {
            return Err(PeerError::Protocol("an answer to what was not asked"));
        }
    }
    Err(PeerError::Protocol("too many answers to what was answered before"))
}

fn is_stale(reply: &Reply, expected: &Reply, held: Epoch) -> bool {
    match (reply, expected) {
        (Reply::Committed { epoch, .. }, _) if *epoch < held => true,
        (Reply::Committed { epoch, segment }, Reply::Committed { segment: due, .. }) => {
            *epoch == held && segment < due
        }
        (Reply::Committed { epoch, .. }, Reply::Finished { .. }) => *epoch == held,
        _ => false,
    }
}

impl Link {
    fn get(&self) -> io::Result<Arc<Connection>> {
        self.connection.lock().clone().ok_or_else(closed)
    }

    fn replace(&self, connection: Connection) {
        *self.connection.lock() = Some(Arc::new(connection));
    }

    fn close(&self) {
        *self.connection.lock() = None;
    }
}

impl SyncTo for Link {
    fn make_durable(&self, checkpoint: &Checkpoint) -> io::Result<()> {
        let connection = self.get()?;
        match connection.ask(&Request::SyncTo { checkpoint: checkpoint.clone() }, ReplyKind::Durability)? {
            Reply::Durable { checkpoint: durable } if durable == *checkpoint => Ok(()),
            _ => Err(PeerError::Protocol("another checkpoint was made durable").into()),
        }
    }
}

impl StreamingSink for PeerSink {
    fn capabilities(&self) -> SinkCapabilities {
        // A receiver has no word for what is not proved: it would report the target as whole.
        SinkCapabilities::new(Visibility::Visible).reserve_bytes(channel::MEMORY_LEN).proved_only()
    }

    fn last_commit(&mut self) -> io::Result<Option<Checkpoint>> {
        Ok(self.found.clone())
    }

    fn resume_at(&mut self, index: u64, at: u64) -> io::Result<()> {
        self.expect(&Request::Resume { segment: index, at }, &Reply::Resumed)?;
        self.cursor = Cursor::resuming_at(index, at);
        self.next_segment = index;
        Ok(())
    }

    fn begin_segment(&mut self, index: u64, at: u64) -> io::Result<()> {
        self.cursor.begin(index, at)?;
        self.hasher.reset();
        self.with(|connection| connection.tell(&Request::Begin { segment: index, at }))
    }

    fn write_tentative(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        self.cursor.write(at, data.len())?;
        self.hasher.update(data);
        self.with(|connection| {
            let mut at = at;
            for bytes in data.chunks(DATA_LEN_MAX) {
                connection.tell(&Request::Data { at, bytes })?;
                at += bytes.len() as u64;
            }
            Ok(())
        })
    }

    fn rollback_segment(&mut self) -> io::Result<()> {
        self.cursor.roll_back()?;
        self.expect(&Request::RollBack, &Reply::RolledBack)
    }

    fn commit_segment(&mut self, checkpoint: &Checkpoint) -> Result<(), CommitError> {
        let epoch = self.link.get().map_err(CommitError::NotCommitted)?.epoch;
        if self.cursor.commit() == Committed::NothingOpen {
            let message = "a peer is written in order, and no segment is open";
            return Err(CommitError::NotCommitted(io::Error::new(io::ErrorKind::InvalidInput, message)));
        }
        self.settle(&Once::Commit {
            epoch,
            segment: self.next_segment,
            end: self.cursor.committed_end(),
            hash: *self.hasher.finalize().as_bytes(),
            checkpoint,
        })?;
        self.next_segment += 1;
        Ok(())
    }

    fn publish(&mut self, plain_len: u64) -> Result<(), CommitError> {
        self.cursor.check_closed().map_err(CommitError::NotCommitted)?;
        let epoch = self.link.get().map_err(CommitError::NotCommitted)?.epoch;
        self.settle(&Once::Publish { epoch, len: plain_len })?;
        // So that the receiver need not wait for a question. It does no harm if this is lost.
        let _ = self.with(|connection| connection.tell(&Request::Bye));
        self.link.close();
        Ok(())
    }

    fn discard(&mut self) -> io::Result<()> {
        self.expect(&Request::Discard, &Reply::Discarded)?;
        self.link.close();
        Ok(())
    }

    fn positioned(&self) -> Option<Arc<dyn WriteAt>> {
        None
    }

    fn durability(&self) -> Option<Arc<dyn SyncTo>> {
        match self.durability {
            DurabilityStep::Own => Some(self.link.clone()),
            DurabilityStep::WithCommit => None,
        }
    }
}

/// A handle that stays behind must not hold the connection, by which the receiver sees that the sender is gone.
impl Drop for PeerSink {
    fn drop(&mut self) {
        self.link.close();
    }
}

/// Answers to earlier requests that may come before the one that is due.
const STALE_MAX: usize = 16;
