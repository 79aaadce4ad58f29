//! One allocation of a caller's, of which ranges are lent to whoever writes them.
//! Knows neither which ranges were written nor what becomes of the whole.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

/// Memory that is cut where writes begin and end, and joined again as they are done. Writers of different ranges share nothing but
/// the list.
pub(super) struct Pieces {
    capacity: u64,
    /// What is not lent, by where it begins.
    here: Mutex<BTreeMap<u64, BytesMut>>,
}

impl Pieces {
    /// All of a vector's capacity. It stays where it is.
    pub(super) fn of(memory: Vec<u8>) -> Pieces {
        let whole = BytesMut::from(Bytes::from(memory));
        Pieces { capacity: whole.capacity() as u64, here: Mutex::new(BTreeMap::from([(0, whole)])) }
    }

    /// How many bytes there are.
    pub(super) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Lends `len` bytes from `at` on. `None` if some of them are lent already, or are not there.
    pub(super) fn lend(&self, at: u64, len: usize) -> Option<Lent<'_>> {
        let mut here = self.here.lock();
        let (&start, piece) = here.range_mut(..=at).next_back()?;
        let offset = usize::try_from(at - start).ok()?;
        if piece.capacity().checked_sub(offset)? < len {
            return None;
        }
        let mut lent = piece.split_off(offset);
        if offset == 0 {
            here.remove(&start);
        }
        if lent.capacity() > len {
            here.insert(at + len as u64, lent.split_off(len));
        }
        drop(here);
        // Memory that its owner has written before is as long already.
        lent.resize(len, 0);
        Some(Lent { pieces: self, at, bytes: lent })
    }

    /// Takes everything back, the first `len` bytes of it written. `None` while something is lent.
    pub(super) fn join(&self, len: usize) -> Option<Vec<u8>> {
        let pieces = std::mem::take(&mut *self.here.lock());
        let mut end = 0;
        let follows = |(start, piece): (&u64, &BytesMut)| {
            *start == std::mem::replace(&mut end, start + piece.capacity() as u64)
        };
        if !pieces.iter().all(follows) || end != self.capacity {
            return None;
        }
        let whole = pieces.into_values().reduce(|mut whole, piece| {
            whole.resize(whole.capacity(), 0);
            whole.unsplit(piece);
            whole
        })?;
        let mut memory = Vec::from(whole);
        memory.truncate(len);
        Some(memory)
    }

    /// Takes a range back, and joins it with what is beside it and written: so that it can be lent again with other bounds.
    fn take_back(&self, at: u64, mut bytes: BytesMut) {
        let mut here = self.here.lock();
        if let Some(behind) = here.remove(&(at + bytes.len() as u64)) {
            bytes.unsplit(behind);
        }
        match here.range_mut(..at).next_back() {
            Some((start, before)) if start + before.len() as u64 == at => before.unsplit(bytes),
            _ => drop(here.insert(at, bytes)),
        }
    }
}

/// Bytes of the memory, until this is dropped.
pub(super) struct Lent<'p> {
    pieces: &'p Pieces,
    at: u64,
    bytes: BytesMut,
}

impl Lent<'_> {
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.pieces.take_back(self.at, std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_in_any_order_are_lent_once_at_a_time_and_joined_where_the_memory_was() {
        const LEN: usize = 1000;
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
            for memory in [vec![7; LEN], Vec::with_capacity(LEN), vec![7; LEN / 2 + 1]] {
                let mut memory = memory;
                memory.reserve_exact(LEN - memory.len());
                let (place, capacity) = (memory.as_ptr(), memory.capacity());
                let pieces = Pieces::of(memory);
                let parts = [(0, 100), (100, 1), (101, 600), (701, LEN - 701)];
                for number in order {
                    let (at, len) = parts[number];
                    let mut lent = pieces.lend(at as u64, len).unwrap();
                    lent.bytes_mut().fill(number as u8);
                    assert!(
                        pieces.lend(at as u64, 1).is_none()
                            && pieces.lend((at + len - 1) as u64, 2).is_none()
                    );
                }
                let whole = pieces.join(LEN).unwrap();
                assert_eq!((whole.as_ptr(), whole.capacity()), (place, capacity));
                let due = parts.iter().enumerate().flat_map(|(number, (_, len))| vec![number as u8; *len]);
                assert!(whole == due.collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn what_was_taken_back_is_lent_again_with_other_bounds() {
        let pieces = Pieces::of(vec![0; 100]);
        for (at, len) in [(0, 10), (10, 10), (20, 5), (0, 25), (5, 95), (0, 100)] {
            pieces.lend(at, len).unwrap().bytes_mut().fill(len as u8);
        }
        assert_eq!(pieces.join(100).unwrap(), [100; 100]);
    }

    #[test]
    fn nothing_beyond_the_capacity_is_lent_and_nothing_is_joined_while_something_is_out() {
        for (at, len) in [(0, 101), (100, 1), (101, 0), (u64::MAX, 1), (50, usize::MAX)] {
            assert!(Pieces::of(vec![0; 100]).lend(at, len).is_none(), "{len} bytes at {at}");
        }
        for (at, len) in [(0, 10), (50, 10), (90, 10), (0, 100)] {
            let pieces = Pieces::of(vec![0; 100]);
            let lent = pieces.lend(at, len).unwrap();
            assert!(pieces.join(100).is_none(), "{len} bytes at {at}");
            drop(lent);
        }
        assert_eq!(Pieces::of(Vec::new()).join(0), Some(Vec::new()));
    }
}
