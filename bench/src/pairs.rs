//! Two ways of doing the same work that run side by side, pair by pair, and the ratio of their times.
//! It knows no work.
//!
//! What the machine does meanwhile moves both runs of a pair alike, so that the ratios of the pairs vary less than the
//! times. Every other pair runs the other way round: none of the two always finds what the other has left.

use std::time::Duration;

/// The times of each pair.
pub struct Pairs(Vec<Pair>);

struct Pair {
    other: Duration,
    ours: Duration,
}

/// Our time beside the other's: smaller is better.
#[derive(Clone, Copy, Debug)]
pub struct Ratio {
    /// The median of the pairs' ratios.
    pub median: f64,
    /// From the first quartile to the third, as a part of the median.
    pub spread: f64,
}

impl Pairs {
    /// Runs both ways once to warm up, then `count` pairs.
    ///
    /// # Panics
    /// `count` is 0.
    pub fn measure(other: impl Fn() -> Duration, ours: impl Fn() -> Duration, count: usize) -> Pairs {
        assert!(count > 0, "without a pair there is no ratio");
        other();
        ours();
        let pair = |index: usize| {
            if index.is_multiple_of(2) {
                let other = other();
                Pair { other, ours: ours() }
            } else {
                let ours = ours();
                Pair { other: other(), ours }
            }
        };
        Pairs((0..count).map(pair).collect())
    }

    /// Ours beside the other.
    pub fn ratio(&self) -> Ratio {
        let mut ratios: Vec<f64> =
            self.0.iter().map(|pair| pair.ours.as_secs_f64() / pair.other.as_secs_f64()).collect();
        ratios.sort_unstable_by(f64::total_cmp);
        let quartile = |part: usize| ratios[(ratios.len() - 1) * part / 4];
        Ratio { median: quartile(2), spread: (quartile(3) - quartile(1)) / quartile(2) }
    }

    /// The other's times, sorted.
    pub fn others(&self) -> Vec<Duration> {
        sorted(self.0.iter().map(|pair| pair.other))
    }

    /// Our times, sorted.
    pub fn ours(&self) -> Vec<Duration> {
        sorted(self.0.iter().map(|pair| pair.ours))
    }
}

fn sorted(times: impl Iterator<Item = Duration>) -> Vec<Duration> {
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    times
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn pairs(times: &[(u64, u64)]) -> Pairs {
        let pair = |&(other, ours): &(u64, u64)| Pair {
            other: Duration::from_millis(other),
            ours: Duration::from_millis(ours),
        };
        Pairs(times.iter().map(pair).collect())
    }

    #[track_caller]
    fn assert_close(ratio: Ratio, median: f64, spread: f64) {
        let close = (ratio.median - median).abs() < 1e-9 && (ratio.spread - spread).abs() < 1e-9;
        assert!(close, "{ratio:?} is not {median}, {spread}");
    }

    #[test]
    fn the_ratio_is_the_median_of_the_pairs_and_no_ratio_of_medians() {
        // The machine is ten times as slow meanwhile; ours takes half as long again in each pair but one.
        let ratio = pairs(&[(10, 15), (100, 150), (100, 90), (1000, 1500), (100, 150)]).ratio();
        assert_close(ratio, 1.5, 0.0);
    }

    #[test]
    fn the_spread_is_what_lies_between_the_quartiles() {
        let ratio = pairs(&[(10, 10), (10, 20), (10, 16), (10, 18), (10, 30)]).ratio();
        assert_close(ratio, 1.8, 0.4 / 1.8);
        assert_close(pairs(&[(10, 5)]).ratio(), 0.5, 0.0);
    }

    #[test]
    fn times_are_sorted_on_either_side() {
        let pairs = pairs(&[(3, 20), (1, 30), (2, 10)]);
        let millis = |times: Vec<Duration>| times.iter().map(Duration::as_millis).collect::<Vec<_>>();
        assert_eq!((millis(pairs.others()), millis(pairs.ours())), (vec![1, 2, 3], vec![10, 20, 30]));
    }

    #[test]
    fn every_other_pair_runs_the_other_way_round() {
        let order = RefCell::new(String::new());
        let way = |name| {
            let order = &order;
            move || {
                order.borrow_mut().push(name);
                Duration::from_millis(1)
            }
        };
        Pairs::measure(way('a'), way('b'), 3);
        assert_eq!(*order.borrow(), "ababbaab");
    }
}
