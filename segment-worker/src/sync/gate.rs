//! The credit gate: a number of bytes shared by streams; it never grants more than there are.
//! It knows no stream: whoever takes credit brings back exactly as much.

use std::collections::VecDeque;
use std::time::Duration;

use super::prim::{Arc, Condvar, Mutex};

/// Credit in bytes. Waiters are served first come, first served; a caller that only tries never overtakes a waiter, nor takes what
/// lies beyond the growth limit.
pub(crate) struct Gate {
    total: usize,
    state: Mutex<State>,
}

struct State {
    free: usize,
    /// Whoever only tries leaves this much of the total.
    reserve: usize,
    waiting: VecDeque<Waiting>,
    next_ticket: u64,
}

/// A waiter in the queue. Each is woken individually: of a thousand waiters, at most one can be served next.
struct Waiting {
    ticket: u64,
    bytes: usize,
    next_action: Arc<Condvar>,
}

impl Gate {
    pub(crate) fn new(total: usize) -> Gate {
        let state = State { free: total, reserve: 0, waiting: VecDeque::new(), next_ticket: 0 };
        Gate { total, state: Mutex::new(state) }
    }

    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// Bytes that are out.
    pub(crate) fn used(&self) -> usize {
        self.total - self.state.lock().free
    }

    /// From now on, whoever only tries gets nothing beyond `bytes` in use, by whomever. Who waits is served as before, and what is out
    /// stays out. Nobody is woken: who only tries does not sleep.
    pub(crate) fn limit_growth(&self, bytes: usize) {
        self.state.lock().reserve = self.total.saturating_sub(bytes);
    }

    /// What whoever only tries keeps to.
    pub(crate) fn growth_limit(&self) -> usize {
        self.total - self.state.lock().reserve
    }

    /// Takes `bytes` if they are there within the growth limit, and nobody waits.
    pub(crate) fn try_take(&self, bytes: usize) -> bool {
        let mut state = self.state.lock();
        if !state.waiting.is_empty() || state.free.saturating_sub(state.reserve) < bytes {
            return false;
        }
        state.free -= bytes;
        true
    }

    /// Whether anybody waits.
    pub(crate) fn is_waited_for(&self) -> bool {
        !self.state.lock().waiting.is_empty()
    }

    /// Waits its turn and takes `bytes`, or gives up once `stop` says so. The caller holds no credit of this gate.
    pub(crate) fn take(&self, bytes: usize, stop: impl Fn() -> bool) -> bool {
        let place = self.line_up(bytes);
        let mut state = self.state.lock();
        while !stop() {
            if state.serve(place.ticket) {
                return true;
            }
            // The time-out is for `stop` alone, which nobody announces here.
            place.next_action.wait_for(&mut state, STOP_POLL);
        }
        false
    }

    /// Takes a place in the queue for `bytes`, for a caller with something to do meanwhile. The caller holds no
    /// credit of this gate.
    ///
    /// `bytes` is at most the total: more would wait for ever.
    pub(crate) fn line_up(&self, bytes: usize) -> QueueTicket<'_> {
        assert!(bytes <= self.total, "a reservation above the total is refused before");
        let next_action = Arc::new(Condvar::new());
        let mut state = self.state.lock();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.waiting.push_back(Waiting { ticket, bytes, next_action: next_action.clone() });
        QueueTicket { gate: self, ticket, next_action }
    }

    /// Brings `bytes` back.
    pub(crate) fn give(&self, bytes: usize) {
        let mut state = self.state.lock();
        state.free += bytes;
        assert!(state.free <= self.total, "no more credit comes back than was taken");
        state.wake_first();
    }
}

/// A place in the queue. Dropped, it is left.
pub(crate) struct QueueTicket<'a> {
    gate: &'a Gate,
    ticket: u64,
    next_action: Arc<Condvar>,
}

impl QueueTicket<'_> {
    /// Takes the bytes that were lined up for, once, if it is their turn and they are there.
    pub(crate) fn try_take(&self) -> bool {
        self.gate.state.lock().serve(self.ticket)
    }
}

impl Drop for QueueTicket<'_> {
    fn drop(&mut self) {
        let mut state = self.gate.state.lock();
        state.waiting.retain(|waiting| waiting.ticket != self.ticket);
        // The next in line may be served too, or is now the first.
        state.wake_first();
    }
}

impl State {
    /// Takes the credit of the first in the queue, if it has this ticket and the credit is there.
    fn serve(&mut self, ticket: u64) -> bool {
        let first = self.waiting.front().filter(|first| first.ticket == ticket);
        let Some(first) = first.filter(|first| first.bytes <= self.free) else { return false };
        self.free -= first.bytes;
        self.waiting.pop_front();
        true
    }

    /// Wakes the first in the queue if it can be served. Those after it cannot be served before it, and it wakes the
    /// next.
    fn wake_first(&self) {
        if let Some(first) = self.waiting.front().filter(|first| first.bytes <= self.free) {
            first.next_action.notify_one();
        }
    }
}

const STOP_POLL: Duration = Duration::from_millis(50);
