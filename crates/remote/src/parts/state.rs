//! What was asked for, what of it is on its way or there, and whether memory allows more.
//! Makes no request: it says which parts to begin and which to end.

use std::{
    ops::Range,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use cofferdam_io::FetchError;
use parking_lot::RwLock;
use tokio::task::AbortHandle;

use super::{
    body::{Body, Stock},
    pace::{Arrived, CONNECTION_LEN, PART_LEN_MIN, Pace, Plan},
    queue::Queue,
    ranges::Ranges,
};

/// What is known of parts, under one lock.
pub(super) struct State {
    granted: usize,
    /// Bytes of the longest step that memory was asked for.
    step_len: usize,
    /// Asked for and not released.
    asked: Ranges,
    /// Of those, what no part has been made for.
    queue: Queue,
    parts: Vec<Part>,
    /// Bodies of parts that were released, which their requests may hold for a moment more; and how long they may become.
    leaving: Vec<(Weak<RwLock<Body>>, usize)>,
    stock: Arc<Stock>,
    made: u64,
    /// Parts on their way, and connections that may be open: as many as there were at once.
    on_way: usize,
    connections: usize,
    waiters: Vec<Range<u64>>,
    failed: Option<FetchError>,
    pace: Pace,
    /// When something last came, was begun or was released.
    moved: Instant,
}

/// Bytes that are fetched with one request, those that arrive with it in a gap included.
struct Part {
    id: PartId,
    range: Range<u64>,
    body: Arc<RwLock<Body>>,
    /// Bytes that can be read.
    arrived: u64,
    /// The request, while it runs.
    task: Option<Task>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct PartId(u64);

/// A request that was, or is about to be, begun.
enum Task {
    Beginning,
    Running(AbortHandle),
}

/// A part to be begun.
pub(super) struct Begin {
    pub(super) id: PartId,
    pub(super) range: Range<u64>,
    pub(super) body: Arc<RwLock<Body>>,
}

/// Bytes of a part that a read takes.
pub(super) struct Slice {
    pub(super) body: Arc<RwLock<Body>>,
    pub(super) offset: usize,
    pub(super) len: usize,
}

/// Parts that are no longer needed. Dropped, they end their requests and free their memory, which is not done under the lock.
pub(super) struct Freed(Vec<Part>);

impl Drop for Freed {
    fn drop(&mut self) {
        for part in &self.0 {
            if let Some(Task::Running(task)) = &part.task {
                task.abort();
            }
        }
    }
}

impl State {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            granted: 0,
            step_len: 0,
            asked: Ranges::default(),
            queue: Queue::default(),
            parts: Vec::new(),
            leaving: Vec::new(),
            stock: Arc::default(),
            made: 0,
            on_way: 0,
            connections: 0,
            waiters: Vec::new(),
            failed: None,
            pace: Pace::new(now),
            moved: now,
        }
    }

    pub(super) fn grant(&mut self, bytes: usize) {
        // Connections that are not needed close by themselves.
        self.connections = self.on_way;
        self.granted = bytes;
        self.limit_stock();
    }

    /// What is kept for later parts must leave room for the connections.
    fn limit_stock(&self) {
        self.stock.set_limit(self.granted.saturating_sub(self.connections * CONNECTION_LEN));
    }

    pub(super) fn note_step(&mut self, step_len: usize) {
        self.step_len = self.step_len.max(step_len);
    }

    /// Bytes of memory that are taken.
    pub(super) fn held(&self) -> usize {
        self.parts_len().max(self.stock.len()) + self.connections * CONNECTION_LEN
    }

    pub(super) fn ask(&mut self, range: Range<u64>) -> bool {
        let plan = self.plan();
        if self.queue.len() >= (plan.part_len * QUEUED_PARTS) as u64 {
            return false;
        }
        self.asked.insert(range.clone());
        // It may have come along in a gap.
        if !self.parts.iter().any(|part| part.range.start <= range.start && range.end <= part.range.end) {
            self.queue.push(range);
        }
        true
    }

    pub(super) fn release(&mut self, range: &Range<u64>, now: Instant) -> Freed {
        self.moved = now;
        self.asked.remove(range.clone());
        self.queue.remove(range);
        if self.asked.is_empty() {
            // Whoever asks again may find the place better.
            self.failed = None;
        }
        let asked = &self.asked;
        let freed: Vec<Part> = self.parts.extract_if(.., |part| !asked.intersects(&part.range)).collect();
        self.on_way -= freed.iter().filter(|part| part.task.is_some()).count();
        self.leaving.extend(freed.iter().map(|part| (Arc::downgrade(&part.body), part.len())));
        Freed(freed)
    }

    /// Everything, once nobody reads any more.
    pub(super) fn close(&mut self) -> Freed {
        self.release(&(0..u64::MAX), Instant::now())
    }

    /// The next part to be begun, if there is one, and room for it.
    pub(super) fn begin(&mut self, throttled: u64, now: Instant) -> Option<Begin> {
        self.pace.throttled(throttled, now);
        if self.failed.is_some() || self.queue.next_start().is_none() {
            return None;
        }
        self.leaving.retain(|(body, _)| body.strong_count() > 0);
        let leaving: usize = self.leaving.iter().map(|(_, len)| len).sum();
        let plan = self.plan();
        let connections = self.connections.max(self.on_way + 1);
        let fits = self.parts_len() + leaving + plan.part_len + connections * CONNECTION_LEN <= self.granted;
        let part_len = if fits && self.on_way < plan.lanes {
            plan.part_len
        } else if self.is_stuck(now) {
            PART_LEN_MIN
        } else {
            return None;
        };
        self.moved = now;
        let range = self.queue.cut(part_len as u64)?;
        self.on_way += 1;
        if self.connections < self.on_way {
            self.connections = self.on_way;
            self.limit_stock();
        }
        let id = PartId(self.made);
        self.made += 1;
        let body = Arc::new(RwLock::new(Body::new(self.stock.clone(), (range.end - range.start) as usize)));
        self.parts.push(Part {
            id,
            range: range.clone(),
            body: body.clone(),
            arrived: 0,
            task: Some(Task::Beginning),
        });
        Some(Begin { id, range, body })
    }

    /// Whether the next part must be begun although there is no room: somebody waits for it, nothing is on its way, and what is
    /// held is either waited for as well or has not been released, or has not gone, for long. That is so after less memory was granted.
    fn is_stuck(&self, now: Instant) -> bool {
        let Some(next) = self.queue.next_start() else { return false };
        let Some(waiter) = self.waiters.iter().find(|range| range.contains(&next)) else { return false };
        let others = !self.leaving.is_empty()
            || self.parts.iter().any(|part| self.asked.intersects_beyond(&part.range, waiter));
        self.on_way == 0 && (!others || now.saturating_duration_since(self.moved) >= STUCK_AFTER)
    }

    /// Says by what a part can be ended. False if it is not needed any more.
    pub(super) fn begun(&mut self, id: PartId, task: AbortHandle) -> bool {
        match self.part(id) {
            Some(part) if part.task.is_some() => {
                part.task = Some(Task::Running(task));
                true
            }
            // It has arrived meanwhile.
            Some(_) => true,
            None => false,
        }
    }

    /// `len` more bytes of a part have come. Returns whether somebody waits for what is now there.
    pub(super) fn grew(&mut self, id: PartId, len: usize, now: Instant) -> bool {
        self.moved = now;
        let Some(part) = self.part(id) else { return false };
        part.arrived += len as u64;
        self.waiters.iter().any(|range| self.is_there(range))
    }

    /// All of a part has come.
    pub(super) fn arrived(&mut self, id: PartId, how: &Arrived, now: Instant) {
        if self.end(id) {
            self.pace.arrived(how, now);
        }
    }

    /// It will not come, and so nothing more does.
    pub(super) fn fail(&mut self, id: PartId, error: FetchError) {
        if self.end(id) {
            self.failed.get_or_insert(error);
        }
    }

    fn end(&mut self, id: PartId) -> bool {
        let was_on_way = self.part(id).is_some_and(|part| part.task.take().is_some());
        self.on_way -= usize::from(was_on_way);
        was_on_way
    }

    /// Whether `range` can be read; nothing if it is still to come.
    pub(super) fn check(&self, range: &Range<u64>) -> Option<Result<(), FetchError>> {
        if self.is_there(range) || !self.asked.covers(range) {
            // What was not asked for is a request of its own.
            return Some(Ok(()));
        }
        self.failed.clone().map(Err)
    }

    pub(super) fn begin_waiting(&mut self, range: &Range<u64>) {
        self.pace.awaited();
        self.waiters.push(range.clone());
    }

    pub(super) fn end_waiting(&mut self, range: &Range<u64>) {
        if let Some(at) = self.waiters.iter().position(|waiter| waiter == range) {
            self.waiters.swap_remove(at);
        }
    }

    /// Where the bytes of `range` are, if all have arrived.
    pub(super) fn slices(&self, range: &Range<u64>) -> Option<Vec<Slice>> {
        let mut slices = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let (part, end) = self.furthest(at)?;
            let end = end.min(range.end);
            slices.push(Slice {
                body: part.body.clone(),
                offset: (at - part.range.start) as usize,
                len: (end - at) as usize,
            });
            at = end;
        }
        Some(slices)
    }

    fn is_there(&self, range: &Range<u64>) -> bool {
        let mut at = range.start;
        while at < range.end {
            let Some((_, end)) = self.furthest(at) else { return false };
            at = end;
        }
        true
    }

    /// The part that has arrived furthest from `at` on, and how far that is.
    fn furthest(&self, at: u64) -> Option<(&Part, u64)> {
        self.parts
            .iter()
            .map(|part| (part, part.range.start + part.arrived))
            .filter(|(part, end)| part.range.start <= at && at < *end)
            .max_by_key(|(_, end)| *end)
    }

    fn part(&mut self, id: PartId) -> Option<&mut Part> {
        self.parts.iter_mut().find(|part| part.id == id)
    }

    fn plan(&self) -> Plan {
        self.pace.plan(self.granted, self.step_len)
    }

    fn parts_len(&self) -> usize {
        self.parts.iter().map(Part::len).sum()
    }
}

impl Part {
    fn len(&self) -> usize {
        (self.range.end - self.range.start) as usize
    }
}

/// How many parts wait at most to be begun, before nothing more is taken on.
const QUEUED_PARTS: usize = 2;
/// How long nothing may move before memory is not looked at: a job takes milliseconds, and has failed if it takes this long.
const STUCK_AFTER: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_ended_request_still_holds_is_room_that_is_taken() {
        let now = Instant::now();
        let part_len = PART_LEN_MIN as u64;
        let mut state = State::new(now);
        state.grant(PART_LEN_MIN + CONNECTION_LEN);
        assert!(state.ask(0..part_len));
        let begun = state.begin(0, now).expect("there is room for one part");
        drop(state.release(&(0..part_len), now));
        assert!(state.ask(part_len..2 * part_len));
        let waited_for = part_len..2 * part_len;
        state.begin_waiting(&waited_for);
        // Its request has been told to end, and has its body yet.
        assert!(state.begin(0, now).is_none());
        drop(begun);
        assert!(state.begin(0, now).is_some_and(|next| next.range == waited_for));
    }
}
