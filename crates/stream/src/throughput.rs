//! How fast a stream is: bytes per second of late, from when bytes came.
//! It knows no total and no observer, and reads no clock: whoever counts says when.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The pace of a stream, from its commits.
///
/// Commits come in bursts, so the pace is that of a window of time, and both its ends are commits that came after a pause: what
/// follows at once belongs to the same burst. The window is as long as the pace has been the same, and [`WINDOW_MAX`] at most.
pub(crate) struct Throughput {
    begun: Sample,
    latest: Sample,
    /// At least [`SAMPLE_INTERVAL`] apart, the oldest first.
    samples: VecDeque<Sample>,
}

#[derive(Clone, Copy)]
struct Sample {
    at: Instant,
    bytes: u64,
}

impl Throughput {
    /// The count begins at `bytes`.
    pub(crate) fn new(now: Instant, bytes: u64) -> Throughput {
        let begun = Sample { at: now, bytes };
        Throughput { begun, latest: begun, samples: VecDeque::with_capacity(SAMPLES_MAX) }
    }

    /// So many bytes there are now. What is no more than before says nothing.
    pub(crate) fn note(&mut self, now: Instant, bytes: u64) {
        if bytes <= self.latest.bytes {
            return;
        }
        self.latest = Sample { at: now, bytes };
        let before = self.samples.back().unwrap_or(&self.begun);
        if now.duration_since(before.at) < SAMPLE_INTERVAL {
            return;
        }
        self.samples.push_back(self.latest);
        self.forget_old(now);
        if self.has_changed() {
            let old = self.samples.len() - (CHANGE_INTERVALS + 1);
            self.samples.drain(..old);
        }
    }

    /// Bytes per second; `None` until some have come.
    pub(crate) fn per_second(&self) -> Option<f64> {
        match (self.samples.front(), self.samples.back()) {
            // What was before the first commit is no measure of those that follow: sources were opened, and memory waited for.
            (Some(first), Some(last)) if self.samples.len() > 1 => pace(*first, *last),
            _ => pace(self.begun, self.latest),
        }
    }

    fn forget_old(&mut self, now: Instant) {
        let is_old = |sample: &Sample| now.duration_since(sample.at) > WINDOW_MAX;
        while self.samples.len() > SAMPLES_MIN
            && (self.samples.len() > SAMPLES_MAX || self.samples.front().is_some_and(is_old))
        {
            self.samples.pop_front();
        }
    }

    /// Whether each of the last intervals had another pace than those before, all of them a lower one or all a higher, and all about the
    /// same. One alone may be a sync or a pause of the source, after which what was late comes at once.
    fn has_changed(&self) -> bool {
        let Some(recent) = self.samples.len().checked_sub(CHANGE_INTERVALS + 1).filter(|&before| before > 0)
        else {
            return false;
        };
        let Some(usual) = pace(self.samples[0], self.samples[recent]) else { return false };
        let paces =
            (recent + 1..self.samples.len()).filter_map(|at| pace(self.samples[at - 1], self.samples[at]));
        let (lowest, highest) = paces
            .fold((f64::INFINITY, 0.0_f64), |(lowest, highest), pace| (lowest.min(pace), highest.max(pace)));
        let is_other = highest < usual * (1.0 - CHANGE) || lowest > usual * (1.0 + CHANGE);
        is_other && highest <= lowest * SPREAD_MAX
    }
}

fn pace(from: Sample, to: Sample) -> Option<f64> {
    let seconds = to.at.duration_since(from.at).as_secs_f64();
    (seconds > 0.0 && to.bytes > from.bytes).then(|| (to.bytes - from.bytes) as f64 / seconds)
}

/// Commits that are closer to the last sample are of the same burst.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(200);
/// What is longer ago is no longer looked at.
const WINDOW_MAX: Duration = Duration::from_secs(30);
/// However long ago they are.
const SAMPLES_MIN: usize = 6;
/// As many as the window has where each interval is the shortest.
const SAMPLES_MAX: usize = (WINDOW_MAX.as_millis() / SAMPLE_INTERVAL.as_millis()) as usize + 1;
/// So many intervals in a row have to be of another pace.
const CHANGE_INTERVALS: usize = 4;
/// What makes it another one: a quarter more or less.
const CHANGE: f64 = 0.25;
/// The fastest of them is at most so many times as fast as the slowest.
const SPREAD_MAX: f64 = 2.0;

const _: () = assert!(SAMPLES_MIN > CHANGE_INTERVALS + 1);

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// A stream under a clock of the test's own.
    struct Clock {
        begun: Instant,
        bytes: u64,
        throughput: Throughput,
    }

    impl Clock {
        fn new(kept: u64) -> Clock {
            let begun = Instant::now();
            Clock { begun, bytes: kept, throughput: Throughput::new(begun, kept) }
        }

        /// `len` bytes more, `millis` after the beginning.
        fn commit(&mut self, millis: u64, len: u64) -> Option<f64> {
            self.bytes += len;
            self.throughput.note(self.begun + Duration::from_millis(millis), self.bytes);
            self.throughput.per_second()
        }
    }

    fn assert_within(found: Option<f64>, expected: f64, tolerance: f64) {
        let found = found.expect("bytes have come");
        assert!((found / expected - 1.0).abs() <= tolerance, "{found} instead of {expected}");
    }

    #[test]
    fn the_first_commit_says_a_pace_and_no_time_at_all_says_none() {
        let mut clock = Clock::new(5 * MIB);
        assert_eq!(clock.throughput.per_second(), None);
        assert_eq!(clock.commit(0, MIB), None, "no time has passed");
        // What was kept has not come in this time: 2 MiB in half a second.
        assert_within(clock.commit(500, MIB), 4.0 * MIB as f64, 1e-9);
    }

    #[test]
    fn a_steady_stream_has_its_pace_at_each_commit_however_often_they_come() {
        // 8 MiB each: 1 GiB/s, 100 MiB/s, 10 MiB/s, 1 MiB/s, 10 KiB/s.
        for millis in [8, 80, 800, 8_000, 819_200] {
            let mut clock = Clock::new(0);
            for count in 1..=500 {
                let expected = 8_000.0 / millis as f64 * MIB as f64;
                assert_within(clock.commit(count * millis, 8 * MIB), expected, 1e-9);
            }
        }
    }

    /// Opening the source took 10 seconds; 10 MiB each second from then on.
    #[test]
    fn what_was_before_the_first_commit_is_forgotten_with_the_second() {
        let mut clock = Clock::new(0);
        assert_within(clock.commit(11_000, 10 * MIB), 10.0 / 11.0 * MIB as f64, 1e-9);
        for second in 12..20 {
            assert_within(clock.commit(second * 1000, 10 * MIB), 10.0 * MIB as f64, 1e-9);
        }
    }

    /// Four commits at once every 1.3 seconds.
    #[test]
    fn commits_in_bursts_are_as_fast_as_the_bursts_come() {
        let mut clock = Clock::new(0);
        for burst in 1..=40 {
            for commit in 0..4 {
                let found = clock.commit(burst * 1300 + commit, 8 * MIB);
                if burst > 2 {
                    assert_within(found, 32.0 / 1.3 * MIB as f64, 0.01);
                }
            }
        }
    }

    /// 50 commits each second, and in every fifth second none but at its end all at once: 400 MiB/s on the whole.
    #[test]
    fn a_sync_every_five_seconds_does_not_change_the_pace() {
        let mut clock = Clock::new(0);
        for commit in 1..=3000_u64 {
            let millis = commit * 20;
            let (second, in_sync) = (millis / 1000, millis / 1000 % 5 == 4);
            let found = clock.commit(if in_sync { (second + 1) * 1000 - 1 } else { millis }, 8 * MIB);
            if commit > 750 {
                assert_within(found, 400.0 * MIB as f64, 0.10);
            }
        }
    }

    #[test]
    fn a_pace_that_halves_or_doubles_is_right_again_within_five_updates() {
        // 8 MiB in 160 ms and then in 320; in a second and then in two; and the other way round.
        for (before, after) in [(160, 320), (320, 160), (1000, 2000), (2000, 1000), (200, 800)] {
            let mut clock = Clock::new(0);
            let mut millis = 0;
            for _ in 0..100 {
                millis += before;
                clock.commit(millis, 8 * MIB);
            }
            // An update is what is at least 200 ms after the one before.
            let mut updates = 0;
            let mut updated = millis;
            for _ in 0..40 {
                millis += after;
                let found = clock.commit(millis, 8 * MIB);
                if millis >= updated + 200 {
                    (updates, updated) = (updates + 1, millis);
                }
                if updates >= 5 {
                    assert_within(found, 8_000.0 / after as f64 * MIB as f64, 0.10);
                }
            }
        }
    }

    #[test]
    fn one_slow_interval_is_no_other_pace() {
        let mut clock = Clock::new(0);
        for second in 1..=20 {
            clock.commit(second * 1000, 10 * MIB);
        }
        // Two seconds late, and all that was late at once: 10 MiB each second on the whole.
        let found = clock.commit(23_000, 30 * MIB);
        assert_within(found, 10.0 * MIB as f64, 0.01);
        assert_within(clock.commit(24_000, 10 * MIB), 10.0 * MIB as f64, 0.01);
    }

    #[test]
    fn what_brings_no_bytes_changes_nothing() {
        let mut clock = Clock::new(0);
        for second in 1..=5 {
            clock.commit(second * 1000, 10 * MIB);
        }
        let before = clock.throughput.per_second();
        assert_eq!(clock.commit(9_000, 0), before);
    }

    #[test]
    fn no_more_is_remembered_than_a_window() {
        let mut clock = Clock::new(0);
        for commit in 1..=10_000 {
            clock.commit(commit * 200, MIB);
            assert!(clock.throughput.samples.len() <= SAMPLES_MAX);
        }
    }
}
