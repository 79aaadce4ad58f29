//! The buffers that the streams of one budget share.
//! They hold plaintext and ciphertext in turn; what is charged for them is the lease's business.

use std::fmt;
use std::ops::{Deref, DerefMut};

use parking_lot::Mutex;

use crate::Budget;

/// Where a stream's jobs and feed take their buffers from, all of one length.
#[derive(Clone)]
pub struct Buffers {
    len: usize,
    budget: Budget,
}

impl Buffers {
    /// Buffers of `len` bytes, which leases on `budget` pay for.
    pub(crate) fn new(len: usize, budget: &Budget) -> Buffers {
        Buffers { len, budget: budget.clone() }
    }

    /// A buffer. What it holds is left over from before, and perhaps from another stream on the same budget.
    ///
    /// # Errors
    /// The machine has less memory than the budget allows.
    pub fn take(&self) -> Result<Buffer, NoMemory> {
        Ok(Buffer { bytes: self.budget.stock().take(self.len)?, budget: self.budget.clone() })
    }
}

/// The allocator gave no memory for a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoMemory {
    /// Bytes of the buffer.
    pub len: usize,
}

impl fmt::Display for NoMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no memory for a buffer of {} bytes", self.len)
    }
}

impl std::error::Error for NoMemory {}

/// Bytes of the budget's memory. They go back to its stock when this is dropped.
pub struct Buffer {
    bytes: Vec<u8>,
    budget: Budget,
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.budget.stock().give(std::mem::take(&mut self.bytes));
    }
}

/// The buffers of a budget that nobody uses at the moment, for as long as a stream is under way.
///
/// With what is in use they never take more than leases may grow to, or have reserved if that is more. Buffers in use are charged,
/// so they always fit; the stock shrinks to make room for them, least recently returned first. A feed may hold a run for a moment longer
/// than its stream.
pub(crate) struct Stock {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What leases may grow to, in bytes.
    growth_limit: usize,
    /// The minima of the streams, in bytes.
    reserved: usize,
    spare: Vec<Vec<u8>>,
    spare_len: usize,
    /// Bytes of the buffers in use, and of what sinks hold of their own.
    used: usize,
    streams: usize,
}

impl Stock {
    /// Within a budget of `total` bytes.
    pub(crate) fn new(total: usize) -> Stock {
        Stock { state: Mutex::new(State { growth_limit: total, ..State::default() }) }
    }

    /// From now on leases grow to `bytes` at most.
    pub(crate) fn limit_growth(&self, bytes: usize) {
        let mut state = self.state.lock();
        state.growth_limit = bytes;
        let beyond = state.beyond();
        drop(state);
        drop(beyond);
    }

    /// A stream begins that has reserved `minimum` bytes, and whose sink holds `own` of them.
    pub(crate) fn enter(&self, minimum: usize, own: usize) {
        let mut state = self.state.lock();
        state.streams += 1;
        state.reserved += minimum;
        state.used += own;
        let beyond = state.beyond();
        // Memory goes back to the system with no lock held, here and below.
        drop(state);
        drop(beyond);
    }

    /// The stream is over. The last one frees the stock.
    pub(crate) fn leave(&self, minimum: usize, own: usize) {
        let mut state = self.state.lock();
        state.streams -= 1;
        state.reserved -= minimum;
        state.used -= own;
        let unwanted = if state.streams == 0 { state.all() } else { state.beyond() };
        drop(state);
        drop(unwanted);
    }

    /// A stream holds `len` bytes more in something else than buffers.
    pub(crate) fn hold(&self, len: usize) {
        let mut state = self.state.lock();
        state.used += len;
        let beyond = state.beyond();
        drop(state);
        drop(beyond);
    }

    /// As many bytes are held no more.
    pub(crate) fn let_go(&self, len: usize) {
        self.state.lock().used -= len;
    }

    /// Streams under way.
    pub(crate) fn streams(&self) -> usize {
        self.state.lock().streams
    }

    /// The buffer of `len` bytes that came back last, since a core's cache may still have it; or a new one.
    fn take(&self, len: usize) -> Result<Vec<u8>, NoMemory> {
        let mut state = self.state.lock();
        state.used += len;
        if let Some(newest) = state.spare.iter().rposition(|buffer| buffer.len() == len) {
            state.spare_len -= len;
            return Ok(state.spare.remove(newest));
        }
        let beyond = state.beyond();
        drop(state);
        drop(beyond);
        zeroed(len).inspect_err(|_| self.state.lock().used -= len)
    }

    #[cfg(test)]
    pub(crate) fn spare_len(&self) -> usize {
        self.state.lock().spare_len
    }

    fn give(&self, buffer: Vec<u8>) {
        let mut state = self.state.lock();
        state.used -= buffer.len();
        if state.streams > 0 {
            state.spare_len += buffer.len();
            state.spare.push(buffer);
        }
        let beyond = state.beyond();
        drop(state);
        drop(beyond);
    }
}

impl State {
    /// The part of the stock that does not fit next to what is in use.
    fn beyond(&mut self) -> Vec<Vec<u8>> {
        let room = self.growth_limit.max(self.reserved).saturating_sub(self.used);
        let mut left = self.spare_len;
        let lying_longest = self.spare.iter().take_while(|buffer| {
            let fits = left <= room;
            left -= if fits { 0 } else { buffer.len() };
            !fits
        });
        let count = lying_longest.count();
        self.spare_len = left;
        self.spare.drain(..count).collect()
    }

    fn all(&mut self) -> Vec<Vec<u8>> {
        self.spare_len = 0;
        std::mem::take(&mut self.spare)
    }
}

fn zeroed(len: usize) -> Result<Vec<u8>, NoMemory> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|_| NoMemory { len })?;
    bytes.resize(len, 0);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lens(stock: &Stock) -> Vec<usize> {
        stock.state.lock().spare.iter().map(Vec::len).collect()
    }

    /// A stock that has buffers of these lengths, in this order, and nothing in use.
    fn stock_of(total: usize, lens: &[usize]) -> Stock {
        let stock = Stock::new(total);
        stock.enter(0, 0);
        let buffers: Vec<_> = lens.iter().map(|&len| stock.take(len).unwrap()).collect();
        buffers.into_iter().for_each(|buffer| stock.give(buffer));
        stock
    }

    #[test]
    fn the_buffer_that_came_back_last_is_taken_first() {
        let stock = stock_of(100, &[8, 8, 4]);
        let (mut first, mut second) = (stock.take(8).unwrap(), stock.take(8).unwrap());
        first.fill(1);
        second.fill(2);
        stock.give(first);
        stock.give(second);
        assert_eq!(stock.take(8).unwrap(), [2; 8]);
        assert_eq!(stock.take(8).unwrap(), [1; 8]);
        assert_eq!(lens(&stock), [4]);
    }

    #[test]
    fn a_new_buffer_takes_the_room_that_is_left_and_then_that_of_those_that_lie_longest() {
        for (len, left) in [
            (1, vec![6, 4, 5]),
            (3, vec![6, 4, 5]),
            (7, vec![4, 5]),
            (9, vec![4, 5]),
            (10, vec![5]),
            (18, vec![]),
        ] {
            let stock = stock_of(18, &[6, 4, 5]);
            assert_eq!(stock.take(len).unwrap(), vec![0; len]);
            assert_eq!(lens(&stock), left, "beside a new one of {len}");
        }
    }

    #[test]
    fn what_a_sink_holds_of_its_own_takes_room_as_well_until_its_stream_is_over() {
        let stock = stock_of(18, &[6, 4, 5]);
        stock.enter(13, 13);
        assert_eq!(lens(&stock), [5]);
        stock.take(1).unwrap();
        assert_eq!(lens(&stock), [0; 0], "19 bytes would be one too many");
        stock.leave(13, 13);
        stock.give(stock.take(17).unwrap());
        assert_eq!(lens(&stock), [17]);
    }

    #[test]
    fn what_is_in_use_and_in_stock_never_exceeds_the_budget() {
        const TOTAL: usize = 100;
        const LENS: [usize; 5] = [1, 7, 25, 26, 60];
        let stock = stock_of(TOTAL, &[]);
        let mut in_use: Vec<Vec<u8>> = Vec::new();
        let mut own: Vec<usize> = Vec::new();
        // Any order will do; the golden ratio brings many.
        for step in (0..20_000_u32).map(|step| step.wrapping_mul(0x9e37_79b9) as usize >> 8) {
            let used = in_use.iter().map(Vec::len).chain(own.clone()).sum::<usize>();
            let len = LENS[step % LENS.len()];
            if used + len > TOTAL && !in_use.is_empty() {
                stock.give(in_use.swap_remove(step % in_use.len()));
            } else if used + len > TOTAL {
                own.drain(..).for_each(|own| stock.leave(own, own));
            } else if step % 7 == 0 {
                stock.enter(len, len);
                own.push(len);
            } else {
                in_use.push(stock.take(len).unwrap());
            }
            let held: usize = in_use.iter().map(Vec::len).chain(own.clone()).chain(lens(&stock)).sum();
            assert!(held <= TOTAL, "{held} bytes: {in_use:?}, {own:?} and {:?}", lens(&stock));
        }
    }

    /// 6, 4 and 5 bytes lie there, of which those that lie longest go first. 8 bytes are a stream's that may use them at any time.
    #[test]
    fn a_lower_growth_limit_frees_what_lies_there_but_not_what_streams_have_reserved() {
        for (limit, reserved, left) in
            [(15, 0, vec![6, 4, 5]), (14, 0, vec![4, 5]), (8, 0, vec![5]), (0, 9, vec![4, 5]), (0, 0, vec![])]
        {
            let stock = stock_of(18, &[6, 4, 5]);
            stock.enter(reserved, 0);
            stock.limit_growth(limit);
            assert_eq!(lens(&stock), left, "{limit} bytes and {reserved} reserved");
        }
    }

    #[test]
    fn what_comes_back_beyond_the_growth_limit_is_freed_at_once() {
        let stock = stock_of(18, &[]);
        let buffers = [6, 4, 5].map(|len| stock.take(len).unwrap());
        stock.limit_growth(10);
        buffers.into_iter().for_each(|buffer| stock.give(buffer));
        assert_eq!(lens(&stock), [4, 5]);
        stock.limit_growth(18);
        stock.give(stock.take(9).unwrap());
        assert_eq!(lens(&stock), [4, 5, 9]);
    }

    #[test]
    fn the_last_stream_frees_the_stock_and_what_comes_back_later_is_freed_at_once() {
        let stock = stock_of(100, &[8]);
        let late = stock.take(9).unwrap();
        stock.enter(0, 0);
        stock.leave(0, 0);
        assert_eq!(lens(&stock), [8]);
        stock.leave(0, 0);
        stock.give(late);
        assert_eq!(lens(&stock), [0; 0]);
    }

    /// No address space holds this many bytes.
    #[test]
    fn memory_that_is_not_to_be_had_is_an_error_and_is_not_charged() {
        let stock = stock_of(usize::MAX, &[8]);
        assert_eq!(stock.take(usize::MAX - 8), Err(NoMemory { len: usize::MAX - 8 }));
        stock.give(stock.take(9).unwrap());
        assert_eq!(stock.state.lock().used, 0);
    }
}
