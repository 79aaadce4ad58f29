//! What was asked for and is still to be fetched, in order, and how it is cut into parts.
//! Knows no request and no memory.

use std::{collections::VecDeque, ops::Range};

/// Ranges still to be fetched, in the order in which they were asked for.
#[derive(Default, Debug)]
pub(super) struct Queue {
    ranges: VecDeque<Range<u64>>,
    len: u64,
}

impl Queue {
    pub(super) fn push(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        self.len += range.end - range.start;
        match self.ranges.back_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.ranges.push_back(range),
        }
    }

    /// Takes `range` out, wherever it is.
    pub(super) fn remove(&mut self, range: &Range<u64>) {
        let mut kept = VecDeque::with_capacity(self.ranges.len() + 1);
        for found in self.ranges.drain(..) {
            let before = found.start..found.end.min(range.start);
            let after = found.start.max(range.end)..found.end;
            kept.extend([before, after].into_iter().filter(|rest| !rest.is_empty()));
        }
        self.ranges = kept;
        self.len = self.ranges.iter().map(|range| range.end - range.start).sum();
    }

    /// The first byte of the next part.
    pub(super) fn next_start(&self) -> Option<u64> {
        self.ranges.front().map(|range| range.start)
    }

    /// Bytes that wait in it.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Cuts off the next part, of at most `part_len` bytes. It may go over short gaps, whose bytes then come along: cheaper than a
    /// request of their own for what is beyond.
    pub(super) fn cut(&mut self, part_len: u64) -> Option<Range<u64>> {
        let start = self.next_start()?;
        let limit = start + part_len;
        let mut end = start;
        while let Some(next) = self.ranges.front_mut() {
            let in_reach = next.start >= end && next.start - end <= GAP_MAX && next.start < limit;
            if end != start && !in_reach {
                break;
            }
            end = next.end.min(limit);
            self.len -= end - next.start;
            next.start = end;
            if next.is_empty() {
                self.ranges.pop_front();
            }
            if end == limit {
                break;
            }
        }
        Some(start..end)
    }
}

/// The longest gap that a part goes over, in bytes: what a connection brings in about the time that a request takes to be answered.
const GAP_MAX: u64 = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(ranges: &[(u64, u64)]) -> Queue {
        let mut queue = Queue::default();
        ranges.iter().for_each(|&(start, end)| queue.push(start..end));
        queue
    }

    fn cuts(mut queue: Queue, part_len: u64) -> Vec<(u64, u64)> {
        std::iter::from_fn(|| queue.cut(part_len)).map(|part| (part.start, part.end)).collect()
    }

    #[test]
    fn neighbours_are_one_range_and_are_cut_at_the_length_of_a_part() {
        assert_eq!(cuts(queue(&[(0, 10), (10, 25), (25, 30)]), 12), [(0, 12), (12, 24), (24, 30)]);
        assert_eq!(cuts(queue(&[(5, 5)]), 12), []);
        assert_eq!(cuts(queue(&[(0, 12)]), 12), [(0, 12)]);
        assert_eq!(cuts(queue(&[(0, 13)]), 12), [(0, 12), (12, 13)]);
    }

    #[test]
    fn short_gaps_are_gone_over_and_long_ones_are_not() {
        let far = 10 + GAP_MAX;
        assert_eq!(cuts(queue(&[(0, 10), (far, far + 5)]), 1 << 20), [(0, far + 5)]);
        assert_eq!(cuts(queue(&[(0, 10), (far + 1, far + 5)]), 1 << 20), [(0, 10), (far + 1, far + 5)]);
        assert_eq!(cuts(queue(&[(0, 10), (20, 40)]), 25), [(0, 25), (25, 40)]);
        assert_eq!(cuts(queue(&[(0, 10), (20, 40)]), 20), [(0, 10), (20, 40)]);
    }

    #[test]
    fn the_order_is_that_of_asking() {
        assert_eq!(cuts(queue(&[(100, 110), (0, 50), (50, 60)]), 1000), [(100, 110), (0, 60)]);
    }

    #[test]
    fn what_is_taken_out_is_not_fetched() {
        let mut asked = queue(&[(0, 100), (1_000_000, 1_000_100)]);
        asked.remove(&(10..20));
        asked.remove(&(1_000_000..2_000_000));
        asked.remove(&(300..400));
        assert_eq!(asked.len(), 90);
        assert_eq!(cuts(asked, 15), [(0, 10), (20, 35), (35, 50), (50, 65), (65, 80), (80, 95), (95, 100)]);
    }
}
