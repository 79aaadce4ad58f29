//! The marks of one stream on their way to its sync thread, and the news of what is durable on its way back.
//! It knows no disk and no clock: how long a mark may still wait it is told.

use std::time::Duration;

use super::prim::{Condvar, Mutex};

/// The newest mark that has committed, between the one orchestrator and the one sync thread of a stream.
///
/// The thread takes a mark before it syncs, so that nothing newer is promised. A failure is final: after it, or once it
/// is stopped, no mark is taken.
pub(crate) struct Marks<M, F> {
    group: u64,
    state: Mutex<State<M, F>>,
    posted: Condvar,
    settled: Condvar,
}

struct State<M, F> {
    /// The newest mark, with the bytes committed by then, until it is taken.
    newest: Option<(u64, M)>,
    /// Bytes of the last mark taken.
    taken: u64,
    /// Whether that one is being made durable.
    running: bool,
    durable: u64,
    failure: Option<F>,
    over: bool,
}

impl<M, F> Marks<M, F> {
    /// For groups of `group` bytes, `durable` bytes being durable already. Groups of none are single segments.
    pub(crate) fn new(group: u64, durable: u64) -> Marks<M, F> {
        let state =
            State { newest: None, taken: durable, running: false, durable, failure: None, over: false };
        Marks { group, state: Mutex::new(state), posted: Condvar::new(), settled: Condvar::new() }
    }

    /// The orchestrator has committed `bytes` in all. Waits while two groups are not durable, or anything where a group
    /// is a segment. Gives the bytes that are durable, or the failure, once.
    pub(crate) fn post(&self, bytes: u64, mark: M) -> Result<u64, F> {
        let mut state = self.state.lock();
        state.newest = Some((bytes, mark));
        // Only the sync thread waits here.
        self.posted.notify_one();
        loop {
            if let Some(failure) = state.failure.take() {
                return Err(failure);
            }
            let behind = state.running || state.newest.is_some();
            let far = bytes - state.durable >= self.group.saturating_mul(GROUPS_BEHIND_MAX);
            if state.over || !(behind && far) {
                return Ok(state.durable);
            }
            // Who is two groups behind has a full one posted or taken: the sync thread will settle it, or stop.
            self.settled.wait(&mut state);
        }
    }

    /// The bytes that are durable, or the failure, once.
    pub(crate) fn look(&self) -> Result<u64, F> {
        let mut state = self.state.lock();
        state.failure.take().map_or(Ok(state.durable), Err)
    }

    /// The sync thread waits for a mark that makes a group full, or for any mark with no time `left`. `None` when there
    /// will be no more.
    pub(crate) fn take(&self, left: impl Fn() -> Duration) -> Option<M> {
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

    /// The sync thread has made durable what it took, or has failed to.
    pub(crate) fn settle(&self, result: Result<(), F>) {
        let mut state = self.state.lock();
        state.running = false;
        match result {
            Ok(()) => state.durable = state.taken,
            Err(failure) => (state.failure, state.over) = (Some(failure), true),
        }
        // Only the orchestrator waits here.
        self.settled.notify_one();
    }

    /// No mark is taken from now on, and nobody waits for one. Either side may say so.
    pub(crate) fn stop(&self) {
        self.state.lock().over = true;
        self.posted.notify_one();
        self.settled.notify_one();
    }
}

/// How many groups may be committed but not durable: one that is being synced, and one that fills meanwhile.
const GROUPS_BEHIND_MAX: u64 = 2;
