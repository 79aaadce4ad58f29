//! Sets of bytes, as ranges that neither touch nor overlap.
//! Knows not what the bytes are for.

use std::{collections::BTreeMap, ops::Range};

/// A set of offsets.
#[derive(Default, Debug)]
pub(super) struct Ranges {
    /// Ends by starts.
    ends: BTreeMap<u64, u64>,
}

impl Ranges {
    pub(super) fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let (mut start, mut end) = (range.start, range.end);
        // Those that it touches are joined with it.
        while let Some((&before, &its_end)) = self.ends.range(..=end).next_back() {
            if its_end < start {
                break;
            }
            self.ends.remove(&before);
            start = start.min(before);
            end = end.max(its_end);
        }
        self.ends.insert(start, end);
    }

    pub(super) fn remove(&mut self, range: Range<u64>) {
        loop {
            let found = self.overlapping(&range).next_back();
            let Some(found) = found else { return };
            self.ends.remove(&found.start);
            if found.end > range.end {
                self.ends.insert(range.end, found.end);
            }
            if found.start < range.start {
                self.ends.insert(found.start, range.start);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Whether one of `range` is in it.
    pub(super) fn intersects(&self, range: &Range<u64>) -> bool {
        self.overlapping(range).next().is_some()
    }

    /// Whether all of `range` are in it.
    pub(super) fn covers(&self, range: &Range<u64>) -> bool {
        range.is_empty()
            || self.overlapping(range).next().is_some_and(|r| r.start <= range.start && r.end >= range.end)
    }

    /// Whether one of `range` is in it that is not in `but`.
    pub(super) fn intersects_beyond(&self, range: &Range<u64>, but: &Range<u64>) -> bool {
        self.intersects(&(range.start..range.end.min(but.start)))
            || self.intersects(&(range.start.max(but.end)..range.end))
    }

    fn overlapping(&self, range: &Range<u64>) -> impl DoubleEndedIterator<Item = Range<u64>> + '_ {
        // An empty or reversed range has nothing in it; a map's range must not be reversed.
        let end = range.end.max(range.start);
        let first = self
            .ends
            .range(..=range.start)
            .next_back()
            .filter(|&(_, &its_end)| its_end > range.start)
            .map_or(range.start, |(&start, _)| start);
        let limit = if range.start < range.end { end } else { first };
        self.ends.range(first.min(limit)..limit).map(|(&start, &end)| start..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_set_that_a_table_of_bits_is() {
        const LEN: u64 = 40;
        let mut rng = fastrand::Rng::with_seed(17);
        for _ in 0..200 {
            let (mut ranges, mut bits) = (Ranges::default(), [false; LEN as usize]);
            for _ in 0..30 {
                let start = rng.u64(..LEN);
                let range = start..rng.u64(start..=LEN);
                let insert = rng.bool();
                bits[range.start as usize..range.end as usize].fill(insert);
                if insert {
                    ranges.insert(range)
                } else {
                    ranges.remove(range)
                }

                let start = rng.u64(..LEN);
                let asked = start..rng.u64(start..=LEN);
                let but = 10..rng.u64(10..=LEN);
                let of = |range: &Range<u64>| bits[range.start as usize..range.end as usize].to_vec();
                assert_eq!(ranges.intersects(&asked), of(&asked).contains(&true));
                assert_eq!(ranges.covers(&asked), !of(&asked).contains(&false));
                let beyond = asked.clone().any(|at| bits[at as usize] && !but.contains(&at));
                assert_eq!(ranges.intersects_beyond(&asked, &but), beyond);
                let whole: Vec<_> = ranges.overlapping(&(0..LEN)).collect();
                assert!(whole.windows(2).all(|pair| pair[0].end < pair[1].start), "{whole:?}");
            }
        }
    }
}
