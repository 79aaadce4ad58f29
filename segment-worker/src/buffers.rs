//! The buffers that the streams of one budget use in turn, whoever used one before.
//! They hold plaintext and ciphertext in turn; what is charged for them is the lease's business.

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
    pub fn take(&self) -> Vec<u8> {
        self.budget.stock().take(self.len)
    }

    /// Brings a buffer back.
    pub fn give(&self, buffer: Vec<u8>) {
        if buffer.len() == self.len && self.len > 0 {
            self.budget.stock().give(buffer);
        }
    }
}

/// The buffers of a budget that nobody uses at the moment.
///
/// With those in use they never take more than the budget. What is in use is charged, so that it fits by itself; and one
/// more is made only when the stock has none of its length, and after it has freed as many bytes of other lengths, or
/// all it had.
#[derive(Default)]
pub(crate) struct Stock(Mutex<Spare>);

#[derive(Default)]
struct Spare {
    buffers: Vec<Vec<u8>>,
    /// Streams that may still want them.
    streams: usize,
}

impl Stock {
    /// One more stream uses the stock.
    pub(crate) fn enter(&self) {
        self.0.lock().streams += 1;
    }

    /// A stream uses it no more. The last one frees all of it.
    pub(crate) fn leave(&self) {
        let mut spare = self.0.lock();
        spare.streams -= 1;
        if spare.streams == 0 {
            spare.buffers = Vec::new();
        }
    }

    /// The buffer of `len` bytes that came back last: a core's cache may still have it.
    fn take(&self, len: usize) -> Vec<u8> {
        let mut spare = self.0.lock();
        if let Some(newest) = spare.buffers.iter().rposition(|buffer| buffer.len() == len) {
            return spare.buffers.remove(newest);
        }
        let mut freed = 0;
        let others = spare.buffers.iter().take_while(|other| {
            let more = freed < len;
            freed += other.len();
            more
        });
        let others = others.count();
        spare.buffers.drain(..others);
        drop(spare);
        vec![0; len]
    }

    fn give(&self, buffer: Vec<u8>) {
        self.0.lock().buffers.push(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lens(stock: &Stock) -> Vec<usize> {
        stock.0.lock().buffers.iter().map(Vec::len).collect()
    }

    fn stock_of(lens: &[usize]) -> Stock {
        let stock = Stock::default();
        stock.enter();
        lens.iter().for_each(|&len| stock.give(vec![0; len]));
        stock
    }

    #[test]
    fn the_buffer_that_came_back_last_is_taken_first() {
        let stock = stock_of(&[]);
        stock.give(vec![1; 8]);
        stock.give(vec![2; 8]);
        stock.give(vec![3; 4]);
        assert_eq!(stock.take(8), [2; 8]);
        assert_eq!(stock.take(8), [1; 8]);
        assert_eq!(lens(&stock), [4]);
    }

    #[test]
    fn a_new_buffer_takes_the_place_of_as_many_bytes_that_lie_longest() {
        for (len, left) in [
            (1, vec![4, 5]),
            (3, vec![4, 5]),
            (6, vec![4, 5]),
            (7, vec![5]),
            (10, vec![5]),
            (11, vec![]),
            (99, vec![]),
        ] {
            let stock = stock_of(&[6, 4, 5]);
            assert_eq!(stock.take(len), vec![0; len]);
            assert_eq!(lens(&stock), left, "beside a new one of {len}");
        }
    }

    #[test]
    fn buffers_in_use_and_in_stock_never_take_more_than_what_may_be_in_use() {
        const TOTAL: usize = 100;
        const LENS: [usize; 5] = [1, 7, 25, 26, 60];
        let stock = stock_of(&[]);
        let mut in_use: Vec<Vec<u8>> = Vec::new();
        // Any order will do; the golden ratio brings many.
        for step in (0..20_000_u32).map(|step| step.wrapping_mul(0x9e37_79b9) as usize >> 8) {
            let used: usize = in_use.iter().map(Vec::len).sum();
            let len = LENS[step % LENS.len()];
            if used + len <= TOTAL {
                in_use.push(stock.take(len));
            } else {
                stock.give(in_use.swap_remove(step % in_use.len()));
            }
            let held: usize = in_use.iter().map(Vec::len).chain(lens(&stock)).sum();
            assert!(held <= TOTAL, "{held} bytes: {in_use:?} and {:?}", lens(&stock));
        }
    }

    #[test]
    fn the_last_stream_frees_the_stock() {
        let stock = stock_of(&[8]);
        stock.enter();
        stock.leave();
        assert_eq!(lens(&stock), [8]);
        stock.leave();
        assert_eq!(lens(&stock), [0; 0]);
    }
}
