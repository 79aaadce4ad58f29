//! The disks that a power cut may leave: which items are kept, in each of them.
//! Knows nothing of what an item is.

use std::{fmt, ops::Range};

use super::{SimulatedDisk, medium::Medium};

/// The disks that a power cut may leave, one by one.
///
/// Up to [`ITEMS_ALL_MAX`](Self::ITEMS_ALL_MAX) pending items, every subset of them. Beyond that: nothing and everything,
/// every prefix in time, each item lost alone and kept alone, pairs lost together (all of them up to
/// [`PAIRS_MAX`](Self::PAIRS_MAX), as many of them beyond), and [`SAMPLES`](Self::SAMPLES) subsets drawn from the seed.
///
/// Each is a disk of its own: nothing on it is pending, nobody has a file of it open, no lock is held. Files keep their
/// [`FileId`](storage::FileId)s.
#[derive(Clone, Debug)]
pub struct CrashStates {
    medium: Medium,
    /// For each item, in the medium's order, its rank in time.
    ranks: Vec<usize>,
    seed: u64,
    left: Range<usize>,
}

/// One disk that a power cut may leave.
#[derive(Clone, Debug)]
pub struct CrashState {
    /// The disk.
    pub disk: SimulatedDisk,
    /// Its number among the [`CrashStates`]: [`CrashStates::state`] makes it again.
    pub index: usize,
    /// The seed of the samples.
    pub seed: u64,
    /// Which items were kept, in the order in which they were made.
    pub kept: Vec<bool>,
}

impl CrashStates {
    /// Up to this many pending items, every subset is tried.
    pub const ITEMS_ALL_MAX: usize = 12;

    /// Pairs that are tried beyond that, at most.
    pub const PAIRS_MAX: usize = 256;

    /// Subsets drawn from the seed beyond that.
    pub const SAMPLES: usize = 256;

    pub(super) fn new(medium: Medium, seed: u64) -> CrashStates {
        let times = medium.item_times();
        let mut sorted = times.clone();
        sorted.sort_unstable();
        let ranks = times.iter().map(|time| sorted.partition_point(|before| before < time)).collect();
        let mut states = CrashStates { medium, ranks, seed, left: 0..0 };
        states.left = 0..states.count_all();
        states
    }

    /// The state of that number, below the count that [`ExactSizeIterator::len`] gave at first.
    pub fn state(&self, index: usize) -> CrashState {
        let kept = self.kept(index);
        let mut ranks = self.ranks.iter();
        let medium = self.medium.after_power_cut(|| ranks.next().is_some_and(|rank| kept[*rank]));
        CrashState { disk: SimulatedDisk::over(medium), index, seed: self.seed, kept }
    }

    fn count_all(&self) -> usize {
        let items = self.ranks.len();
        match items <= Self::ITEMS_ALL_MAX {
            true => 1 << items,
            false => (items + 1) + 2 * items + Self::pairs(items).min(Self::PAIRS_MAX) + Self::SAMPLES,
        }
    }

    fn kept(&self, index: usize) -> Vec<bool> {
        let items = self.ranks.len();
        let select = |is_kept: &dyn Fn(usize) -> bool| (0..items).map(is_kept).collect();
        if items <= Self::ITEMS_ALL_MAX {
            return select(&|rank| index >> rank & 1 == 1);
        }
        let mut index = index;
        if index <= items {
            return select(&|rank| rank < index);
        }
        index -= items + 1;
        if index < 2 * items {
            let (alone, is_lost) = (index / 2, index.is_multiple_of(2));
            return select(&|rank| (rank == alone) != is_lost);
        }
        index -= 2 * items;
        let pairs = Self::pairs(items);
        if index < pairs.min(Self::PAIRS_MAX) {
            let pair = if pairs <= Self::PAIRS_MAX { index } else { index * pairs / Self::PAIRS_MAX };
            let (first, second) = nth_pair(pair);
            return select(&|rank| rank != first && rank != second);
        }
        index -= pairs.min(Self::PAIRS_MAX);
        // A quarter, a half, or three quarters of them.
        let words =
            |rank: usize| [2, 3].map(|salt| mix(self.seed, &[index as u64, rank as u64, salt]) % 2 == 1);
        select(&|rank| match (index % 3, words(rank)) {
            (0, [a, b]) => a && b,
            (1, [a, _]) => a,
            (_, [a, b]) => a || b,
        })
    }

    fn pairs(items: usize) -> usize {
        items * items.saturating_sub(1) / 2
    }
}

impl Iterator for CrashStates {
    type Item = CrashState;

    fn next(&mut self) -> Option<CrashState> {
        self.left.next().map(|index| self.state(index))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.left.size_hint()
    }

    fn nth(&mut self, skipped: usize) -> Option<CrashState> {
        self.left.nth(skipped).map(|index| self.state(index))
    }
}

impl ExactSizeIterator for CrashStates {}

impl fmt::Display for CrashState {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept: String = self.kept.iter().map(|kept| if *kept { '1' } else { '0' }).collect();
        write!(out, "crash state {} (seed {}; items kept, in time: [{kept}])", self.index, self.seed)
    }
}

/// The pairs (0,1), (0,2), (1,2), (0,3), … by number.
fn nth_pair(index: usize) -> (usize, usize) {
    let mut second = 1;
    while (second + 1) * second / 2 <= index {
        second += 1;
    }
    (index - second * (second - 1) / 2, second)
}

/// A number from a seed and a place: splitmix64's finalizer (Steele, Lea, Flood 2014), a round for each word.
fn mix(seed: u64, words: &[u64]) -> u64 {
    words.iter().fold(seed, |state, word| {
        let mut z =
            state.wrapping_add(word.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}
