//! The credit gate: so many bytes, shared by streams; never more given than there are.
//! It knows no stream: whoever takes credit brings back exactly as much.

use std::collections::VecDeque;
use std::time::Duration;

use super::prim::{Arc, Condvar, Mutex};

/// Credit in bytes. Who waits is served first come, first served; who only tries never overtakes one who waits.
pub(crate) struct Gate {
    total: usize,
    state: Mutex<State>,
}

struct State {
    free: usize,
    waiting: VecDeque<Waiting>,
    next_ticket: u64,
}

/// Somebody in the queue. Each is woken by itself: of a thousand who wait, one at most can be served next.
struct Waiting {
    ticket: u64,
    bytes: usize,
    turn: Arc<Condvar>,
}

impl Gate {
    pub(crate) fn new(total: usize) -> Gate {
        let state = State { free: total, waiting: VecDeque::new(), next_ticket: 0 };
        Gate { total, state: Mutex::new(state) }
    }

    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// Takes `bytes` if they are there and nobody waits.
    pub(crate) fn try_take(&self, bytes: usize) -> bool {
        let mut state = self.state.lock();
        if !state.waiting.is_empty() || state.free < bytes {
            return false;
        }
        state.free -= bytes;
        true
    }

    /// Waits its turn and takes `bytes`, or gives up once `stop` says so. The caller holds no credit of this gate.
    ///
    /// `bytes` is at most the total: more would wait for ever.
    pub(crate) fn take(&self, bytes: usize, stop: impl Fn() -> bool) -> bool {
        assert!(bytes <= self.total, "a reservation above the total is refused before");
        let turn = Arc::new(Condvar::new());
        let mut state = self.state.lock();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.waiting.push_back(Waiting { ticket, bytes, turn: turn.clone() });
        let mut taken = false;
        loop {
            if stop() {
                break;
            }
            if state.waiting.front().is_some_and(|first| first.ticket == ticket) && state.free >= bytes {
                state.free -= bytes;
                taken = true;
                break;
            }
            // The time-out is for `stop` alone, which nobody announces here.
            turn.wait_for(&mut state, STOP_POLL);
        }
        state.waiting.retain(|waiting| waiting.ticket != ticket);
        // The next in line may be served too, or is now the first.
        state.wake_first();
        taken
    }

    /// Brings `bytes` back.
    pub(crate) fn give(&self, bytes: usize) {
        let mut state = self.state.lock();
        state.free += bytes;
        assert!(state.free <= self.total, "no more credit comes back than was taken");
        state.wake_first();
    }
}

impl State {
    /// Wakes the first in the queue if it can be served: nobody behind it can be, and it wakes the next.
    fn wake_first(&self) {
        if let Some(first) = self.waiting.front().filter(|first| first.bytes <= self.free) {
            first.turn.notify_one();
        }
    }
}

const STOP_POLL: Duration = Duration::from_millis(50);
