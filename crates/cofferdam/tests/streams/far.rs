//! Owns a source over memory whose bytes come from afar: asked for, on their way, there, and released.
//! Refuses what no caller may do: it panics, and the stream with it.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::thread;
use std::time::{Duration, Instant};

use cofferdam::{Arrival, Fetch, FetchError, FetchFault, ReadAt, Source};

use super::Shared;

/// Bytes of what is fetched at once.
pub(crate) const PART: usize = 4096;

/// Bytes that a connection buffers.
const BUFFER: usize = 1000;

/// What a byte is, between two looks at it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Byte {
    Idle,
    Asked,
    Coming,
    There,
}

/// What a place has seen.
#[derive(Clone, Default, Debug)]
pub(crate) struct Tally {
    /// Reads of the very beginning, which are not counted elsewhere.
    pub(crate) beginnings: usize,
    /// Other ranges that were read without having been fetched, each a request that blocked.
    pub(crate) blocking: Vec<Range<u64>>,
    /// How often each byte was fetched or read by such a request.
    pub(crate) fetched: Vec<u8>,
    pub(crate) granted_max: usize,
    pub(crate) held_max: usize,
    /// Waits that ended without what was waited for.
    pub(crate) in_vain: usize,
    /// Asks that were not taken on.
    pub(crate) refused: usize,
}

impl Tally {
    /// Bytes that came over the wire.
    pub(crate) fn bytes(&self) -> u64 {
        self.fetched.iter().map(|times| u64::from(*times)).sum()
    }
}

struct State {
    bytes: Vec<Byte>,
    /// What was asked for and has not been sent for.
    queue: Vec<Range<u64>>,
    granted: usize,
    held: usize,
    /// As much as ever came at once since it was last granted, for the buffers of connections.
    buffered: usize,
    tally: Tally,
    /// From here on nothing comes.
    stalls_at: Option<u64>,
    fails_at: Option<(u64, FetchFault)>,
}

struct Place {
    content: Shared,
    state: Mutex<State>,
    arrived: Condvar,
    /// Of each part.
    latency: Duration,
}

/// One place; clones are the same.
#[derive(Clone)]
pub(crate) struct FarPlace(Arc<Place>);

impl FarPlace {
    /// Of `content`, of which a part comes every `latency`.
    pub(crate) fn new(content: Shared, latency: Duration) -> FarPlace {
        let len = content.as_ref().len();
        let state = State {
            bytes: vec![Byte::Idle; len],
            queue: Vec::new(),
            granted: 0,
            held: 0,
            buffered: 0,
            tally: Tally { fetched: vec![0; len], ..Tally::default() },
            stalls_at: None,
            fails_at: None,
        };
        let place = Arc::new(Place { content, state: Mutex::new(state), arrived: Condvar::new(), latency });
        let weak = Arc::downgrade(&place);
        thread::spawn(move || serve(&weak, latency));
        FarPlace(place)
    }

    pub(crate) fn stall_at(&self, offset: u64) {
        self.state().stalls_at = Some(offset);
    }

    pub(crate) fn go_on(&self) {
        self.state().stalls_at = None;
    }

    pub(crate) fn fail_at(&self, offset: u64, fault: FetchFault) {
        self.state().fails_at = Some((offset, fault));
    }

    /// Waits until nothing more comes, for what stalls.
    pub(crate) fn wait_for_stall(&self) {
        let until = Instant::now() + Duration::from_secs(600);
        loop {
            let state = self.state();
            let at = state.stalls_at.expect("it stalls");
            if state.queue.first().is_some_and(|next| next.start == at) {
                return;
            }
            assert!(Instant::now() < until, "it never stalls");
            drop(state);
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until the stream has so many more times waited in vain.
    pub(crate) fn wait_in_vain(&self, times: usize) {
        let until = Instant::now() + Duration::from_secs(600);
        let first = self.state().tally.in_vain;
        while self.state().tally.in_vain < first + times {
            assert!(Instant::now() < until, "nobody waits");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// What was seen so far.
    pub(crate) fn tally(&self) -> Tally {
        self.state().tally.clone()
    }

    /// What was seen, once a stream is over: nothing may be left of it.
    pub(crate) fn end(&self) -> Tally {
        let state = self.state();
        assert!(state.bytes.iter().all(|byte| *byte == Byte::Idle), "all that was asked for was released");
        assert_eq!((state.granted, state.held, state.queue.len()), (0, 0, 0));
        state.tally.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state()
    }
}

impl Place {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn fault_in(state: &State, range: &Range<u64>) -> io::Result<()> {
        match state.fails_at {
            Some((at, fault)) if range.contains(&at) => {
                Err(FetchError::new(fault, format!("the place failed at byte {at}")).into())
            }
            _ => Ok(()),
        }
    }
}

/// Brings what was asked for, part by part, as far as there is memory for it.
fn serve(place: &Weak<Place>, latency: Duration) {
    while let Some(place) = place.upgrade() {
        let Some(part) = place.state().next_part() else {
            drop(place);
            thread::sleep(Duration::from_micros(200));
            continue;
        };
        thread::sleep(latency);
        let mut state = place.state();
        for at in part {
            if state.bytes[at as usize] == Byte::Coming {
                state.bytes[at as usize] = Byte::There;
            }
        }
        drop(state);
        place.arrived.notify_all();
    }
}

impl State {
    fn next_part(&mut self) -> Option<Range<u64>> {
        let next = self.queue.first()?;
        let mut end = next.end.min(next.start + PART as u64);
        if let Some(stall) = self.stalls_at {
            if next.start == stall {
                return None;
            }
            if next.contains(&stall) {
                end = end.min(stall);
            }
        }
        let part = next.start..end;
        let len = (part.end - part.start) as usize;
        if self.held + len + BUFFER > self.granted {
            return None;
        }
        self.held += len;
        self.buffered = BUFFER;
        self.tally.held_max = self.tally.held_max.max(self.held);
        for at in part.clone() {
            assert_eq!(self.bytes[at as usize], Byte::Asked, "byte {at}");
            self.bytes[at as usize] = Byte::Coming;
            self.tally.fetched[at as usize] += 1;
        }
        self.queue[0].start = end;
        self.queue.retain(|range| !range.is_empty());
        Some(part)
    }

    fn is_there(&self, range: &Range<u64>) -> bool {
        range.clone().all(|at| self.bytes[at as usize] == Byte::There)
    }
}

impl Fetch for Place {
    fn grant(&self, bytes: usize) {
        let mut state = self.state();
        state.granted = bytes;
        // Nothing is on its way that was not counted.
        let is_coming = state.bytes.contains(&Byte::Coming);
        state.buffered = if is_coming { BUFFER } else { 0 };
        state.tally.granted_max = state.tally.granted_max.max(bytes);
    }

    fn held(&self) -> usize {
        let state = self.state();
        state.held + state.buffered
    }

    fn min_memory(&self, step_len: usize) -> usize {
        (step_len.div_ceil(PART) + 2) * PART + BUFFER
    }

    fn ask(&self, range: Range<u64>) -> bool {
        let mut state = self.state();
        assert!(!range.is_empty() && range.end <= self.content.as_ref().len() as u64, "{range:?}");
        let waiting: u64 = state.queue.iter().map(|range| range.end - range.start).sum();
        if waiting > 0 && waiting >= state.granted as u64 {
            state.tally.refused += 1;
            return false;
        }
        for at in range.clone() {
            assert_eq!(state.bytes[at as usize], Byte::Idle, "byte {at} is asked for once");
            state.bytes[at as usize] = Byte::Asked;
        }
        state.queue.push(range);
        true
    }

    fn wait(&self, range: Range<u64>, patience: Duration) -> io::Result<bool> {
        let until = Instant::now() + patience;
        let mut state = self.state();
        for at in range.clone() {
            assert_ne!(state.bytes[at as usize], Byte::Idle, "byte {at} is waited for and was not asked for");
        }
        loop {
            Place::fault_in(&state, &range)?;
            if state.is_there(&range) {
                return Ok(true);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                state.tally.in_vain += usize::from(!patience.is_zero());
                return Ok(false);
            }
            state = self.arrived.wait_timeout(state, left).unwrap().0;
        }
    }

    fn release(&self, range: Range<u64>) {
        let mut state = self.state();
        for at in range.clone() {
            let byte = std::mem::replace(&mut state.bytes[at as usize], Byte::Idle);
            assert_ne!(byte, Byte::Idle, "byte {at} is released and was not asked for");
            if byte != Byte::Asked {
                state.held -= 1;
            }
        }
        let queue = std::mem::take(&mut state.queue);
        state.queue = queue.into_iter().flat_map(|asked| without(asked, &range)).collect();
    }
}

/// What is left of `asked` without `range`.
fn without(asked: Range<u64>, range: &Range<u64>) -> Vec<Range<u64>> {
    let before = asked.start..asked.end.min(range.start);
    let after = asked.start.max(range.end)..asked.end;
    [before, after].into_iter().filter(|range| !range.is_empty()).collect()
}

impl ReadAt for Place {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let range = offset..offset + buffer.len() as u64;
        let content = self.content.as_ref().get(offset as usize..range.end as usize);
        let content = content.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut state = self.state();
        Place::fault_in(&state, &range)?;
        if offset == 0 {
            state.tally.beginnings += 1;
        } else if !state.is_there(&range) {
            range.clone().for_each(|at| state.tally.fetched[at as usize] += 1);
            state.tally.blocking.push(range);
            drop(state);
            thread::sleep(self.latency);
        }
        buffer.copy_from_slice(content);
        Ok(())
    }

    fn len(&self) -> u64 {
        self.content.as_ref().len() as u64
    }

    fn fetch(&self) -> Option<&dyn Fetch> {
        Some(self)
    }
}

/// A source from a place.
pub(crate) struct FarSource(pub(crate) FarPlace);

impl Source for FarSource {
    fn len(&self) -> Option<u64> {
        Some(self.0.0.len())
    }

    fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
        Some(self.0.0.clone())
    }

    fn read_within(&mut self, _: &mut [u8], _: Duration) -> io::Result<Arrival> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
