//! The marks again, with one fault each.
//! The names of the faults say which; in everything else they are as they should be.

use std::time::Duration;

use crate::prim::{Condvar, Mutex};

/// Wakes the sync thread, and then leaves the mark.
pub(crate) type NotifiesFirst = Marks<NOTIFIES_FIRST>;
/// Does not wake the orchestrator when a sync has ended.
pub(crate) type SettlesInSilence = Marks<SETTLES_IN_SILENCE>;
/// Reports what had been posted when the sync ended, not when it began.
pub(crate) type PromisesTheNewest = Marks<PROMISES_THE_NEWEST>;
/// Lets the orchestrator go on, however far behind the syncs are.
pub(crate) type NeverWaits = Marks<NEVER_WAITS>;
/// Gives out marks after a sync has failed.
pub(crate) type GoesOn = Marks<GOES_ON>;
/// Does not wake the sync thread at the end.
pub(crate) type EndsInSilence = Marks<ENDS_IN_SILENCE>;
/// Does not look whether there is anyone to wait for.
pub(crate) type WaitsForever = Marks<WAITS_FOREVER>;

const NOTIFIES_FIRST: u8 = 0;
const SETTLES_IN_SILENCE: u8 = 1;
const PROMISES_THE_NEWEST: u8 = 2;
const NEVER_WAITS: u8 = 3;
const GOES_ON: u8 = 4;
const ENDS_IN_SILENCE: u8 = 5;
const WAITS_FOREVER: u8 = 6;

/// Marks with the fault `FAULT`.
pub(crate) struct Marks<const FAULT: u8> {
    group: u64,
    state: Mutex<State>,
    posted: Condvar,
    settled: Condvar,
}

struct State {
    newest: Option<(u64, u64)>,
    posted: u64,
    taken: u64,
    running: bool,
    durable: u64,
    failure: Option<&'static str>,
    over: bool,
}

impl<const FAULT: u8> Marks<FAULT> {
    pub(crate) fn new(group: u64, durable: u64) -> Self {
        let state = State {
            newest: None,
            posted: durable,
            taken: durable,
            running: false,
            durable,
            failure: None,
            over: false,
        };
        Self { group, state: Mutex::new(state), posted: Condvar::new(), settled: Condvar::new() }
    }

    pub(crate) fn post(&self, bytes: u64, mark: u64) -> Result<u64, &'static str> {
        if FAULT == NOTIFIES_FIRST {
            self.posted.notify_one();
        }
        let mut state = self.state.lock();
        state.newest = Some((bytes, mark));
        state.posted = bytes;
        if FAULT != NOTIFIES_FIRST {
            self.posted.notify_one();
        }
        loop {
            if let Some(failure) = state.failure.take() {
                return Err(failure);
            }
            let behind = state.running || state.newest.is_some();
            let far = bytes - state.durable >= self.group.saturating_mul(2);
            let over = state.over && FAULT != WAITS_FOREVER;
            if over || !(behind && far) || FAULT == NEVER_WAITS {
                return Ok(state.durable);
            }
            self.settled.wait(&mut state);
        }
    }

    pub(crate) fn look(&self) -> Result<u64, &'static str> {
        let mut state = self.state.lock();
        state.failure.take().map_or(Ok(state.durable), Err)
    }

    pub(crate) fn take(&self, left: impl Fn() -> Duration) -> Option<u64> {
        let mut state = self.state.lock();
        while !state.over {
            let mut patience = Duration::MAX;
            if let Some((bytes, _)) = &state.newest {
                let full = bytes - state.taken >= self.group;
                patience = if full { Duration::ZERO } else { left() };
            }
            if patience.is_zero() {
                let (bytes, mark) = state.newest.take()?;
                (state.taken, state.running) = (bytes, true);
                return Some(mark);
            }
            self.posted.wait_for(&mut state, patience);
        }
        None
    }

    pub(crate) fn settle(&self, result: Result<(), &'static str>) {
        let mut state = self.state.lock();
        state.running = false;
        match result {
            Ok(()) => state.durable = if FAULT == PROMISES_THE_NEWEST { state.posted } else { state.taken },
            Err(failure) => (state.failure, state.over) = (Some(failure), FAULT != GOES_ON),
        }
        if FAULT != SETTLES_IN_SILENCE {
            self.settled.notify_one();
        }
    }

    pub(crate) fn stop(&self) {
        self.state.lock().over = true;
        if FAULT != ENDS_IN_SILENCE {
            self.posted.notify_one();
        }
        self.settled.notify_one();
    }
}
