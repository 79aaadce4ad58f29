//! What is fetched ahead: ranges are asked for, arrive in parts, are read and released.
//! Knows not what is read, nor how a request is made again.

mod body;
mod pace;
mod queue;
mod ranges;
mod state;

use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use cofferdam_io::{FetchError, FetchFault};
use parking_lot::{Condvar, Mutex};
use tokio::runtime::Handle;

use crate::{
    identity::Identity,
    request::{Beginning, RangeBody, Requester},
    runtime::{self, CANCEL_POLL, PATIENCE_MAX},
};
pub(crate) use pace::fewer_lanes;
use pace::{Arrived, CONNECTION_LEN, PART_LEN_MIN};
use state::{Begin, PartId, State};

/// What is fetched ahead of one place. Dropped, it ends its requests.
pub(crate) struct Parts {
    shared: Arc<Shared>,
}

struct Shared {
    requester: Arc<Requester>,
    identity: Arc<Identity>,
    runtime: Handle,
    state: Mutex<State>,
    /// Something that somebody waits for has come, or will not.
    news: Condvar,
}

impl Parts {
    pub(crate) fn new(requester: Arc<Requester>, identity: Arc<Identity>, runtime: Handle) -> Self {
        let state = Mutex::new(State::new(Instant::now()));
        Self { shared: Arc::new(Shared { requester, identity, runtime, state, news: Condvar::new() }) }
    }

    pub(crate) fn grant(&self, bytes: usize) {
        self.shared.state.lock().grant(bytes);
        self.shared.begin();
    }

    pub(crate) fn held(&self) -> usize {
        self.shared.state.lock().held()
    }

    pub(crate) fn min_memory(&self, step_len: usize) -> usize {
        self.shared.state.lock().note_step(step_len);
        // A step touches one part more than it is long; one more is on its way, or holds what was asked for before it.
        step_len.div_ceil(PART_LEN_MIN).saturating_add(2).saturating_mul(PART_LEN_MIN) + CONNECTION_LEN
    }

    pub(crate) fn ask(&self, range: Range<u64>) -> bool {
        let len = self.shared.identity.len();
        let taken = self.shared.state.lock().ask(range.start.min(len)..range.end.min(len));
        self.shared.begin();
        taken
    }

    pub(crate) fn wait(&self, range: Range<u64>, patience: Duration) -> Result<bool, FetchError> {
        let deadline = Instant::now() + patience.min(PATIENCE_MAX);
        let mut state = self.shared.state.lock();
        if let Some(checked) = state.check(&range) {
            return checked.map(|()| true);
        }
        state.begin_waiting(&range);
        let waited = loop {
            // What is waited for may be begun even where there is no room.
            drop(state);
            self.shared.begin();
            state = self.shared.state.lock();
            if let Some(checked) = state.check(&range) {
                break checked.map(|()| true);
            }
            let context = &self.shared.requester.context;
            if (context.options.cancelled)() {
                break Err(context.cancelled());
            }
            let poll = Instant::now() + CANCEL_POLL;
            if self.shared.news.wait_until(&mut state, deadline.min(poll)).timed_out() && poll >= deadline {
                break Ok(false);
            }
        };
        state.end_waiting(&range);
        waited
    }

    pub(crate) fn release(&self, range: Range<u64>) {
        let freed = self.shared.state.lock().release(&range, Instant::now());
        drop(freed);
        self.shared.begin();
    }

    /// Fills `buffer` if all of its bytes have arrived.
    pub(crate) fn read(&self, offset: u64, buffer: &mut [u8]) -> bool {
        let Some(slices) = self.shared.state.lock().slices(&(offset..offset + buffer.len() as u64)) else {
            return false;
        };
        let mut filled = 0;
        for slice in slices {
            slice.body.read().copy_to(slice.offset, &mut buffer[filled..filled + slice.len]);
            filled += slice.len;
        }
        true
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        let freed = self.shared.state.lock().close();
        drop(freed);
    }
}

impl Shared {
    /// Begins what can be begun.
    fn begin(self: &Arc<Self>) {
        loop {
            let throttled = self.requester.context.counters.tally().throttled;
            let Some(begin) = self.state.lock().begin(throttled, Instant::now()) else { return };
            self.spawn(begin);
        }
    }

    fn spawn(self: &Arc<Self>, begin: Begin) {
        let id = begin.id;
        if let Err(error) = runtime::handle() {
            self.fail(id, FetchError::new(FetchFault::Refused, error.to_string()));
            return;
        }
        let task = self.runtime.spawn(fetch(OnWay { shared: self.clone(), id }, begin));
        if !self.state.lock().begun(id, task.abort_handle()) {
            task.abort();
        }
    }

    fn fail(&self, id: PartId, error: FetchError) {
        self.state.lock().fail(id, error);
        self.news.notify_all();
    }
}

/// Fetches one part. Whatever becomes of it, the state hears of it.
async fn fetch(on_way: OnWay, begin: Begin) {
    let OnWay { shared, id } = &on_way;
    let Begin { range, body, .. } = begin;
    let len = (range.end - range.start) as usize;
    let mut bytes =
        RangeBody::new(shared.requester.clone(), shared.identity.clone(), range, Beginning::Anywhere);
    let begun = Instant::now();
    loop {
        match bytes.next().await {
            Ok(Some(piece)) => {
                body.write().push(&piece);
                if shared.state.lock().grew(*id, piece.len(), Instant::now()) {
                    shared.news.notify_all();
                }
            }
            Ok(None) => break,
            Err(error) => return shared.fail(*id, error),
        }
    }
    // Whoever hears of it may release it at once, and have the next one begun in its place.
    drop(body);
    let latency = bytes.latency().unwrap_or_default();
    let how = Arrived { len, latency, transfer: begun.elapsed().saturating_sub(latency) };
    shared.state.lock().arrived(*id, &how, Instant::now());
    shared.begin();
}

/// A part on its way. Dropped before it has arrived or failed, by a panic, it fails; if it was ended, nobody asks for it.
struct OnWay {
    shared: Arc<Shared>,
    id: PartId,
}

impl Drop for OnWay {
    fn drop(&mut self) {
        let place = &self.shared.requester.context.place;
        self.shared
            .fail(self.id, FetchError::new(FetchFault::Refused, format!("{place}: a request panicked")));
        // What the request held is free now.
        self.shared.begin();
    }
}
