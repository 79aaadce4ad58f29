//! Who may speak to a receiver: the sender that greeted last.
//! Knows no stream.
//!
//! One lock, which nobody holds while talking over a socket. An epoch is synced under it, so that a sender of an older one
//! cannot commit beside a newer greeting.

use std::{
    io,
    net::Shutdown,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use super::{
    PeerError,
    address::Socket,
    channel::{Incoming, Outgoing},
    epoch_file::EpochFile,
    message::{Epoch, RestoreId},
};

/// A sender that has greeted, and proved the key if there is one.
pub(super) struct Newcomer {
    pub(super) restore: RestoreId,
    pub(super) epoch: Epoch,
    pub(super) incoming: Incoming,
    pub(super) outgoing: Outgoing,
}

/// The place before the receiver, for one.
pub(super) struct Admission {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    epochs: EpochFile,
    /// The newest sender, until the receiver turns to it.
    waiting: Option<Newcomer>,
    /// The socket of the one that is being served.
    served: Option<Socket>,
    /// Those that are being greeted, the oldest first, each with a thread of its own.
    greetings: Vec<Greeting>,
    greetings_ever: u64,
    published: Published,
    over: Option<Over>,
}

/// One connection that has not been let in yet.
struct Greeting {
    ticket: Ticket,
    socket: Socket,
    stage: Stage,
}

/// Names a greeting.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket(u64);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It has yet to say all that a greeting needs.
    Speaking,
    /// It has said it, and waits for its epoch.
    Understood,
    /// It had to make room, and its thread is about to see that.
    Leaving,
}

#[derive(PartialEq, Eq)]
enum Published {
    No,
    Yes,
}

/// Why nobody is admitted any more.
pub(super) enum Over {
    Stopped,
    Network(io::Error),
    Epoch(io::Error),
}

impl Admission {
    pub(super) fn new(epochs: EpochFile) -> Admission {
        let state = State {
            epochs,
            waiting: None,
            served: None,
            greetings: Vec::with_capacity(GREETING_THREADS_MAX),
            greetings_ever: 0,
            published: Published::No,
            over: None,
        };
        Admission { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Notes a greeting, which ends when admission is closed. Where there are many, the oldest that has not said all makes
    /// room: whoever speaks slowly must not keep others out. `None`: they come faster than the oldest go.
    pub(super) fn greet(&self, socket: Socket) -> Option<Ticket> {
        let mut state = self.state.lock();
        if state.over.is_some() || state.greetings.len() == GREETING_THREADS_MAX {
            return None;
        }
        let staying = state.greetings.iter().filter(|greeting| greeting.stage != Stage::Leaving).count();
        if staying == GREETINGS_MAX {
            let oldest = state.greetings.iter_mut().find(|greeting| greeting.stage == Stage::Speaking)?;
            oldest.stage = Stage::Leaving;
            oldest.socket.shut(Shutdown::Both);
        }
        let ticket = Ticket(state.greetings_ever);
        state.greetings_ever += 1;
        state.greetings.push(Greeting { ticket, socket, stage: Stage::Speaking });
        Some(ticket)
    }

    /// The greeting has said all that it has to, and makes room for nobody any more.
    pub(super) fn understood(&self, ticket: Ticket) {
        let mut state = self.state.lock();
        if let Some(greeting) = state.greetings.iter_mut().find(|greeting| greeting.ticket == ticket) {
            greeting.stage = Stage::Understood;
        }
    }

    /// The greeting is over. One that failed closes its connection, which this hold on it would keep open.
    pub(super) fn greeted(&self, ticket: Ticket) {
        self.state.lock().greetings.retain(|greeting| greeting.ticket != ticket);
    }

    /// Gives a sender a new epoch, which ends the older one. One that lost its connection, and held the receiver under
    /// `held`, is let back only while nobody else has come. The newest epoch may still be another, and its own: that of
    /// a greeting whose answer it never got.
    pub(super) fn admit(&self, restore: RestoreId, held: Option<Epoch>) -> Result<Epoch, PeerError> {
        let mut state = self.state.lock();
        let known = state.epochs.holder();
        let is_holder = |held| known.is_some_and(|(newest, holder)| holder == restore && held <= newest);
        if held.is_some_and(|held| !is_holder(held)) {
            return Err(PeerError::Fenced { epoch: known.map_or(0, |(epoch, _)| epoch.0) });
        }
        if held.is_none() && state.published == Published::Yes {
            return Err(PeerError::AlreadyPublished);
        }
        state.epochs.advance(restore).map_err(|error| {
            self.close(&mut state, Over::Epoch(error));
            PeerError::NotDone("the receiver cannot keep its epoch".into())
        })
    }

    /// Shows the receiver a sender that was admitted, unless another one was meanwhile.
    pub(super) fn enter(&self, newcomer: Newcomer) {
        let mut state = self.state.lock();
        let is_newest = state.epochs.holder().is_some_and(|(epoch, _)| epoch == newcomer.epoch);
        if state.over.is_some() || !is_newest {
            return;
        }
        state.waiting = Some(newcomer);
        // What the one before has sent so far is still read, and refused.
        if let Some(socket) = &state.served {
            socket.shut(Shutdown::Read);
        }
        self.changed.notify_all();
    }

    /// Waits for the next sender, and turns to it. `None`: admission is closed, or nobody came within `limit`.
    pub(super) fn next(&self, limit: Option<Duration>) -> Option<Newcomer> {
        let deadline = limit.map(|limit| Instant::now() + limit);
        let mut state = self.state.lock();
        while state.over.is_none() {
            if let Some(newcomer) = state.waiting.take() {
                // Without a hold on its socket it could not be stopped when the next one comes: it is let go instead.
                if let Ok(socket) = newcomer.outgoing.socket() {
                    state.served = Some(socket);
                    return Some(newcomer);
                }
                continue;
            }
            match deadline {
                None => self.changed.wait(&mut state),
                Some(deadline) => {
                    if self.changed.wait_until(&mut state, deadline).timed_out() {
                        return None;
                    }
                }
            }
        }
        None
    }

    /// The one that was served is gone.
    pub(super) fn leave(&self) {
        self.state.lock().served = None;
    }

    /// Whether `epoch` is still the newest.
    pub(super) fn check(&self, epoch: Epoch) -> Result<(), PeerError> {
        match self.state.lock().epochs.holder() {
            Some((newest, _)) if newest != epoch => Err(PeerError::Fenced { epoch: newest.0 }),
            _ => Ok(()),
        }
    }

    /// From now on only a sender that lost its connection is let in.
    pub(super) fn set_published(&self) {
        self.state.lock().published = Published::Yes;
    }

    /// Ends what is being served, and lets nobody in any more.
    pub(super) fn end(&self, over: Over) {
        self.close(&mut self.state.lock(), over);
    }

    pub(super) fn is_over(&self) -> bool {
        self.state.lock().over.is_some()
    }

    fn close(&self, state: &mut State, over: Over) {
        state.over.get_or_insert(over);
        state.waiting = None;
        let greeted = state.greetings.iter().map(|greeting| &greeting.socket);
        greeted.chain(&state.served).for_each(|socket| socket.shut(Shutdown::Both));
        self.changed.notify_all();
    }

    /// Why it is over, and the epoch's file.
    pub(super) fn into_parts(self) -> (Option<Over>, EpochFile) {
        let state = self.state.into_inner();
        (state.over, state.epochs)
    }
}

/// Greetings under way at once.
const GREETINGS_MAX: usize = 8;
/// With the threads of those that have had to make room. Whoever connects beyond that is dropped, and may try again.
const GREETING_THREADS_MAX: usize = 2 * GREETINGS_MAX;
