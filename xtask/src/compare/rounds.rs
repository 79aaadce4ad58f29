//! Owns the runs of one row: when there are enough of them, and what they say together.
//! Knows no program and no other row.

use std::time::Duration;

use super::timed::Usage;

/// When a row has run often enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Runs that count, at most.
    pub(crate) rounds: usize,
    /// When all runs together have taken this long, no further one begins.
    pub(crate) patience: Duration,
}

/// The runs so far. The first is to warm up, and counts only where it takes all of the patience by itself.
#[derive(Debug)]
pub(crate) struct Rounds {
    limits: Limits,
    /// All runs, the first included.
    spent: Duration,
    peak: u64,
    warmed: Warmed,
    counted: Vec<Usage>,
}

#[derive(Debug, PartialEq, Eq)]
enum Warmed {
    No,
    Yes,
}

impl Rounds {
    pub(crate) fn new(limits: Limits) -> Rounds {
        Rounds { limits, spent: Duration::ZERO, peak: 0, warmed: Warmed::No, counted: Vec::new() }
    }

    /// Whether another run is wanted: until it says no, there is no median.
    pub(crate) fn want_more(&self) -> bool {
        self.counted.is_empty()
            || self.counted.len() < self.limits.rounds && self.spent < self.limits.patience
    }

    pub(crate) fn add(&mut self, usage: Usage) {
        self.spent += usage.wall;
        self.peak = self.peak.max(usage.peak);
        if self.warmed == Warmed::Yes || usage.wall >= self.limits.patience {
            self.counted.push(usage);
        }
        self.warmed = Warmed::Yes;
    }

    /// The runs that count.
    pub(crate) fn count(&self) -> usize {
        self.counted.len()
    }

    /// The median of the wall times.
    pub(crate) fn wall(&self) -> Duration {
        median(self.sorted(|usage| usage.wall))
    }

    pub(crate) fn fastest_and_slowest(&self) -> (Duration, Duration) {
        let walls = self.sorted(|usage| usage.wall);
        (walls[0], walls[walls.len() - 1])
    }

    /// The median of the processor times.
    pub(crate) fn processors(&self) -> Duration {
        median(self.sorted(|usage| usage.processors))
    }

    /// The largest peak of all runs, in bytes.
    pub(crate) fn peak(&self) -> u64 {
        self.peak
    }

    /// The median beside that of another row.
    pub(crate) fn paired(&self, other: &Rounds) -> f64 {
        self.wall().as_secs_f64() / other.wall().as_secs_f64()
    }

    fn sorted(&self, of: impl Fn(&Usage) -> Duration) -> Vec<Duration> {
        assert!(!self.counted.is_empty(), "figures are taken when no more runs are wanted");
        let mut sorted: Vec<Duration> = self.counted.iter().map(of).collect();
        sorted.sort_unstable();
        sorted
    }
}

/// The middle one of sorted times, or the mean of the middle two.
fn median(sorted: Vec<Duration>) -> Duration {
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) { (sorted[middle - 1] + sorted[middle]) / 2 } else { sorted[middle] }
}

/// Rounds with these wall times in milliseconds, for tests of what is made of them.
#[cfg(test)]
pub(crate) fn made_up(milliseconds: &[u64]) -> Rounds {
    let limits = Limits { rounds: milliseconds.len(), patience: Duration::MAX };
    let mut rounds = Rounds::new(limits);
    for wall in [&[1][..], milliseconds].concat() {
        let wall = Duration::from_millis(wall);
        rounds.add(Usage { wall, processors: 2 * wall, peak: wall.as_millis() as u64 * 10_485 });
    }
    rounds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(seconds: u64) -> Usage {
        Usage {
            wall: Duration::from_secs(seconds),
            processors: Duration::from_secs(2 * seconds),
            peak: seconds,
        }
    }

    /// The runs that count, where each takes the next of `seconds`.
    fn counted(rounds: usize, patience: u64, seconds: &[u64]) -> Vec<u64> {
        let mut row = Rounds::new(Limits { rounds, patience: Duration::from_secs(patience) });
        let mut seconds = seconds.iter();
        while row.want_more() {
            row.add(run(*seconds.next().unwrap()));
        }
        row.counted.iter().map(|usage| usage.wall.as_secs()).collect()
    }

    #[test]
    fn the_first_run_warms_up_and_so_many_count() {
        assert_eq!(counted(3, 100, &[9, 1, 2, 3, 4]), [1, 2, 3]);
        assert_eq!(counted(1, 100, &[9, 1, 2]), [1]);
    }

    #[test]
    fn patience_ends_the_rounds_after_one_at_least() {
        assert_eq!(counted(5, 10, &[4, 4, 4, 4]), [4, 4]);
        assert_eq!(counted(5, 10, &[9, 9, 9]), [9]);
        assert_eq!(counted(5, 10, &[10, 11]), [10]);
    }

    #[test]
    fn figures_are_medians_of_what_counts_and_the_largest_peak_of_all() {
        let mut row = Rounds::new(Limits { rounds: 4, patience: Duration::MAX });
        for seconds in [99, 5, 1, 2, 4] {
            row.add(run(seconds));
        }
        assert_eq!(row.count(), 4);
        assert_eq!(row.wall(), Duration::from_secs(3));
        assert_eq!(row.processors(), Duration::from_secs(6));
        assert_eq!(row.fastest_and_slowest(), (Duration::from_secs(1), Duration::from_secs(5)));
        assert_eq!(row.peak(), 99);
    }

    #[test]
    fn a_row_beside_another_is_the_ratio_of_their_medians() {
        assert_eq!(made_up(&[300, 100, 200]).paired(&made_up(&[400])), 0.5);
    }
}
