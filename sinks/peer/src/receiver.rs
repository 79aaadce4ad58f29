//! The receiver: it listens, lets the newest sender in, and keeps its stream in a sink of its own.
//! Knows nothing of that sink but the trait.

use std::{error, fmt, io, thread, time::Duration};

use contract::{CommitError, StreamingSink};
use rustix::event::Timespec;

use super::{
    Address, EpochFile, PeerError, Security, Timing,
    address::{Listener, Socket},
    admission::{Admission, Newcomer, Over, Ticket},
    channel::{self, Arrived, Quiet},
    message::{Reply, Request},
    receiver_sink::{Published, ReceiverSink},
    session::{End, serve},
};

/// Takes one stream from a [`PeerSink`](super::PeerSink), through as many connections as it takes, and publishes it.
#[derive(Debug)]
pub struct Receiver {
    listener: Listener,
    security: Security,
    timing: Timing,
    epochs: EpochFile,
}

/// What happens at a receiver, for whoever watches it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The sink is open, and senders can connect here.
    Listening(Address),
    /// Somebody was not let in.
    TurnedAway(PeerError),
    /// A sender was let in, under this epoch.
    Joined(u64),
    /// The sender left, or was made to.
    Left(Option<PeerError>),
    /// The target is in place: the last that happens.
    Published(Published),
}

/// How a receiver ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// The target is in place.
    Published,
    /// It was asked to stop. What was committed is durable, and the next receiver resumes from there.
    Stopped,
}

/// Why a receiver ended without a target.
#[derive(Debug)]
pub enum ReceiveError {
    /// Nobody can connect any more.
    Network(io::Error),
    /// The system gave no thread to listen in.
    NoThread(io::Error),
    /// The epoch cannot be kept.
    Epoch(io::Error),
    /// The receiver's sink failed. The target is as it was.
    Sink(io::Error),
    /// The publish, or a commit, may have happened or not.
    OutcomeUnknown(io::Error),
}

impl fmt::Display for ReceiveError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReceiveError::Network(error) => write!(out, "the receiver cannot listen: {error}"),
            ReceiveError::NoThread(error) => write!(out, "the operating system gave no thread: {error}"),
            ReceiveError::Epoch(error) => write!(out, "the receiver's epoch could not be kept: {error}"),
            ReceiveError::Sink(error) => write!(out, "the receiver could not write: {error}"),
            ReceiveError::OutcomeUnknown(error) => {
                write!(out, "it is unknown whether the receiver's target was written: {error}")
            }
        }
    }
}

impl error::Error for ReceiveError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Network(error)
            | Self::NoThread(error)
            | Self::Epoch(error)
            | Self::Sink(error)
            | Self::OutcomeUnknown(error) => Some(error),
        }
    }
}

impl From<CommitError> for ReceiveError {
    fn from(error: CommitError) -> ReceiveError {
        match error {
            CommitError::NotCommitted(error) => ReceiveError::Sink(error),
            CommitError::Unknown(error) => ReceiveError::OutcomeUnknown(error),
        }
    }
}

impl Receiver {
    /// Listens at `address`. Port 0 is any free one.
    ///
    /// # Errors
    /// [`PeerError::PlaintextRefused`] where the address can be reached from elsewhere and there is no key; the system's own.
    pub fn bind(address: &Address, security: Security, epochs: EpochFile) -> io::Result<Receiver> {
        let listener = Listener::bind(address)?;
        security.allow(listener.reach())?;
        Ok(Receiver { listener, security, timing: Timing::default(), epochs })
    }

    /// With other limits.
    #[must_use]
    pub fn timing(mut self, timing: Timing) -> Receiver {
        self.timing = timing;
        self
    }

    /// Where it listens: port 0 has become a port.
    ///
    /// # Errors
    /// The system's own.
    pub fn address(&self) -> io::Result<Address> {
        self.listener.address()
    }

    /// Receives one stream and publishes it. `open` opens the sink: at once, and again for each new sender after the first,
    /// over what the one before left. `stop` is looked at every 50 ms; `observe` hears what happens, from several threads.
    ///
    /// # Errors
    /// See [`ReceiveError`]. A connection that fails is none.
    pub fn run<S: StreamingSink>(
        self,
        open: impl FnMut() -> io::Result<S>,
        stop: &(dyn Fn() -> bool + Sync),
        observe: &(dyn Fn(Event) + Sync),
    ) -> Result<Ending, ReceiveError> {
        let Receiver { listener, security, timing, epochs } = self;
        let address = listener.address().map_err(ReceiveError::Network)?;
        let admission = Admission::new(epochs);
        let door = Door {
            listener: &listener,
            security: &security,
            timing: &timing,
            admission: &admission,
            stop,
            observe,
        };
        let ended = thread::scope(|scope| {
            let keep = || door.keep(scope);
            thread::Builder::new()
                .name("peer-door".to_owned())
                .spawn_scoped(scope, keep)
                .map_err(ReceiveError::NoThread)?;
            let room = Room { open, admission: &admission, linger: timing.linger, observe };
            let ended = room.receive(address);
            admission.end(Over::Stopped);
            ended
        });
        let (over, epochs) = admission.into_parts();
        match (ended?, over) {
            (Some(ending), _) => {
                // The stream is published: an epoch that stays behind is one more for the next receiver, and no error.
                let _ = epochs.remove();
                Ok(ending)
            }
            (None, Some(Over::Network(error))) => Err(ReceiveError::Network(error)),
            (None, Some(Over::Epoch(error))) => Err(ReceiveError::Epoch(error)),
            (None, Some(Over::Stopped) | None) => Ok(Ending::Stopped),
        }
    }
}

/// Greets whoever connects, each in a thread of its own, and hands the senders to admission.
struct Door<'a> {
    listener: &'a Listener,
    security: &'a Security,
    timing: &'a Timing,
    admission: &'a Admission,
    stop: &'a (dyn Fn() -> bool + Sync),
    observe: &'a (dyn Fn(Event) + Sync),
}

impl Door<'_> {
    fn keep<'scope>(&'scope self, greetings: &'scope thread::Scope<'scope, '_>) {
        while !self.admission.is_over() {
            if (self.stop)() {
                return self.admission.end(Over::Stopped);
            }
            match self.listener.accept(POLL) {
                Ok(None) => {}
                Ok(Some(socket)) => {
                    let hold = socket.try_clone().ok();
                    if let Some(ticket) = hold.and_then(|hold| self.admission.greet(hold)) {
                        let turn_to = move || self.turn_to(socket, ticket);
                        if let Err(error) = thread::Builder::new().spawn_scoped(greetings, turn_to) {
                            self.admission.greeted(ticket);
                            let why = ReceiveError::NoThread(error).to_string();
                            (self.observe)(Event::TurnedAway(PeerError::NotDone(why)));
                        }
                    }
                }
                Err(error) => return self.admission.end(Over::Network(error)),
            }
        }
    }

    fn turn_to(&self, socket: Socket, ticket: Ticket) {
        let greeted = self.greet(socket, ticket);
        self.admission.greeted(ticket);
        if let Err(why) = greeted {
            (self.observe)(Event::TurnedAway(why));
        }
    }

    fn greet(&self, socket: Socket, ticket: Ticket) -> Result<(), PeerError> {
        self.security.allow(socket.reach())?;
        let key = self.security.key();
        let (mut outgoing, mut incoming) = channel::be_greeted(socket, key, self.timing.greeting)?;
        let (restore, held) = match incoming.request(Quiet::Fails) {
            Ok(Arrived::Message(Request::Hello { restore, held })) => (restore, held),
            Ok(Arrived::Message(_)) => return Err(PeerError::Protocol("a request before the greeting")),
            Ok(Arrived::End) => return Err(PeerError::Lost(io::ErrorKind::UnexpectedEof)),
            Err(error) => return Err(error),
        };
        self.admission.understood(ticket);
        incoming.set_limit(self.timing.silence)?;
        match self.admission.admit(restore, held) {
            Ok(epoch) => {
                self.admission.enter(Newcomer { restore, epoch, incoming, outgoing });
                Ok(())
            }
            Err(why) => {
                // Whether it hears that or not, it is not let in.
                let _ = outgoing.reply(&Reply::Refused(why.clone()));
                outgoing.finish();
                Err(why)
            }
        }
    }
}

/// Serves one sender after another.
struct Room<'a, F> {
    open: F,
    admission: &'a Admission,
    linger: Duration,
    observe: &'a (dyn Fn(Event) + Sync),
}

impl<S: StreamingSink, F: FnMut() -> io::Result<S>> Room<'_, F> {
    /// `None`: admission was closed, or its thread has a reason.
    fn receive(mut self, address: Address) -> Result<Option<Ending>, ReceiveError> {
        let mut held = self.reopen()?;
        (self.observe)(Event::Listening(address));
        loop {
            let limit = held.is_published().then_some(self.linger);
            let Some(newcomer) = self.admission.next(limit) else {
                return Ok(self.published(&held));
            };
            (self.observe)(Event::Joined(newcomer.epoch.0));
            // What another sender left is what is durable: an opened sink finds exactly that.
            if held.is_spent() || held.owner.is_some_and(|owner| owner != newcomer.restore) {
                drop(held);
                held = self.reopen()?;
            }
            held.owner = Some(newcomer.restore);
            let end = serve(newcomer, &mut held, self.admission);
            self.admission.leave();
            match end {
                End::Left(why) => (self.observe)(Event::Left(why)),
                End::Heard => return Ok(self.published(&held)),
                End::Sink(error) => return Err(error.into()),
                End::Discarded => {
                    drop(held);
                    held = self.reopen()?;
                    (self.observe)(Event::Left(None));
                }
            }
        }
    }

    /// Tells what has been published, if something has.
    fn published(&self, held: &ReceiverSink<S>) -> Option<Ending> {
        (self.observe)(Event::Published(held.published()?));
        Some(Ending::Published)
    }

    fn reopen(&mut self) -> Result<ReceiverSink<S>, ReceiveError> {
        (self.open)().and_then(ReceiverSink::new).map_err(ReceiveError::Sink)
    }
}

/// How long an idle receiver takes to see that it should stop.
const POLL: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
