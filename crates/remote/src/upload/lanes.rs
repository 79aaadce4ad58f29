//! How many parts are sent at once: fewer once a store asks for that, and more again where it takes what comes.
//! Knows no request, and no part.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::parts::fewer_lanes;

/// What all parts of an upload share.
#[derive(Debug)]
pub(super) struct Lanes {
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug)]
struct State {
    used: usize,
    allowed: usize,
    /// How often lanes were taken away.
    epoch: u64,
    /// Parts that the store took since.
    taken: usize,
}

/// A part's right to be sent, until it is dropped.
#[derive(Debug)]
pub(super) struct SendPermit {
    lanes: Arc<Lanes>,
    epoch: u64,
}

impl Lanes {
    /// As many as there are parts, at first: their number is limited by whoever holds them.
    pub(super) fn new() -> Arc<Lanes> {
        let state = State { used: 0, allowed: usize::MAX, epoch: 0, taken: 0 };
        Arc::new(Lanes { state: Mutex::new(state), freed: Notify::new() })
    }

    /// Waits until a part may be sent.
    pub(super) async fn enter(self: Arc<Self>) -> SendPermit {
        loop {
            let freed = self.freed.notified();
            if let Some(epoch) = self.try_enter() {
                return SendPermit { lanes: self.clone(), epoch };
            }
            freed.await;
        }
    }

    fn try_enter(&self) -> Option<u64> {
        let mut state = self.state.lock();
        (state.used < state.allowed).then(|| {
            state.used += 1;
            state.epoch
        })
    }
}

impl SendPermit {
    /// The store has asked for fewer requests. What was sent before lanes were last taken away says nothing of those that are left.
    pub(super) fn throttled(&self) {
        let mut state = self.lanes.state.lock();
        if self.epoch == state.epoch {
            state.allowed = fewer_lanes(state.used.min(state.allowed));
            state.epoch += 1;
            state.taken = 0;
        }
    }

    /// The store has taken the part.
    pub(super) fn taken(&self) {
        let mut state = self.lanes.state.lock();
        state.taken += 1;
        if state.taken >= state.allowed.max(TAKEN_MIN) {
            state.allowed = state.allowed.saturating_add(1);
            state.taken = 0;
            self.lanes.freed.notify_waiters();
        }
    }
}

impl Drop for SendPermit {
    fn drop(&mut self) {
        self.lanes.state.lock().used -= 1;
        self.lanes.freed.notify_waiters();
    }
}

/// A lane is added after as many parts as there are lanes, and no fewer than this.
const TAKEN_MIN: usize = 4;

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn enter(lanes: &Arc<Lanes>) -> Option<SendPermit> {
        lanes.clone().enter().now_or_never()
    }

    fn enter_all(lanes: &Arc<Lanes>, at_most: usize) -> Vec<SendPermit> {
        (0..at_most).map_while(|_| enter(lanes)).collect()
    }

    /// Of sixteen that are on their way, all may hear of it: that is one word.
    #[test]
    fn throttling_takes_a_quarter_away_once_however_many_hear_of_it() {
        let lanes = Lanes::new();
        for expected in [12, 9, 7, 6, 5, 4, 3, 2, 1, 1] {
            let all = enter_all(&lanes, 16);
            all.iter().for_each(SendPermit::throttled);
            drop(all);
            assert_eq!(enter_all(&lanes, 16).len(), expected);
        }
    }

    #[test]
    fn lanes_come_back_as_parts_are_taken() {
        let lanes = Lanes::new();
        enter_all(&lanes, 3).iter().for_each(SendPermit::throttled);
        assert_eq!(enter_all(&lanes, 16).len(), 2);
        for expected in 3..=16 {
            let before = expected - 1;
            for _ in 0..before.max(TAKEN_MIN) {
                assert_eq!(enter_all(&lanes, 20).len(), before);
                enter(&lanes).unwrap().taken();
            }
            assert_eq!(enter_all(&lanes, 20).len(), expected);
        }
    }

    #[test]
    fn whoever_waits_goes_on_once_a_lane_is_free() {
        let lanes = Lanes::new();
        let first = enter(&lanes).unwrap();
        first.throttled();
        let mut second = Box::pin(lanes.clone().enter());
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        assert!(second.now_or_never().is_some());
    }
}
