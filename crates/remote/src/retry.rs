//! How often, and for how long, a request is made again.
//! Knows no request, and no clock: whoever waits says what time it is.

use std::{
    fmt,
    time::{Duration, Instant},
};

/// How a failed request is made again.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// The longest first wait. Each later one may be twice as long, until a byte arrives; how long it is in fact is drawn from all
    /// shorter ones, so that clients that failed together do not come back together.
    pub first_wait: Duration,
    /// The longest wait of all, unless the server asks for a longer one.
    pub longest_wait: Duration,
    /// How long a request may bring nothing, all tries together, before it has failed.
    pub no_progress: Duration,
    /// How long one try may bring nothing: neither an answer nor a further byte of it.
    pub read_timeout: Duration,
}

impl Default for RetryPolicy {
    /// Waits from 100 ms to 20 s, 30 s for a try to bring something, 5 min for a request.
    fn default() -> Self {
        Self {
            first_wait: Duration::from_millis(100),
            longest_wait: Duration::from_secs(20),
            no_progress: Duration::from_secs(300),
            read_timeout: Duration::from_secs(30),
        }
    }
}

/// A request that failed and is about to be made again.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Retry {
    /// What was asked for: a place and a range, say. Nothing secret.
    pub what: String,
    /// Why it failed. Nothing secret.
    pub cause: String,
    /// How many tries in a row have failed since something arrived.
    pub attempt: u32,
    /// How long until it is made again.
    pub wait: Duration,
}

impl fmt::Display for Retry {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, cause, attempt, wait } = self;
        write!(out, "{what}: {cause}; try {attempt} failed, the next in {:.1} s", wait.as_secs_f64())
    }
}

/// How one request stands: how often it has failed in a row, and since when it has brought nothing.
#[derive(Debug)]
pub(crate) struct Backoff {
    policy: RetryPolicy,
    attempt: u32,
    progress_at: Instant,
}

impl Backoff {
    /// A request that is made for the first time `now`.
    pub(crate) fn new(policy: &RetryPolicy, now: Instant) -> Self {
        Self { policy: policy.clone(), attempt: 0, progress_at: now }
    }

    /// It has brought something.
    pub(crate) fn progressed(&mut self, now: Instant) {
        self.attempt = 0;
        self.progress_at = now;
    }

    /// Tries in a row that have failed.
    pub(crate) fn attempt(&self) -> u32 {
        self.attempt
    }

    /// It has failed `now`: how long to wait before it is made again. `after` is what the server asks for. Nothing if it is
    /// not to be made again, since that would be after the deadline.
    pub(crate) fn next_wait(&mut self, now: Instant, after: Option<Duration>) -> Option<Duration> {
        self.next_wait_drawn(now, after, fastrand::f64())
    }

    fn next_wait_drawn(&mut self, now: Instant, after: Option<Duration>, drawn: f64) -> Option<Duration> {
        let doubled = self.policy.first_wait.saturating_mul(1 << self.attempt.min(DOUBLINGS_MAX));
        self.attempt = self.attempt.saturating_add(1);
        let left = (self.progress_at + self.policy.no_progress).saturating_duration_since(now);
        if left.is_zero() || after.is_some_and(|after| after > left) {
            return None;
        }
        let drawn = doubled.min(self.policy.longest_wait).mul_f64(drawn);
        // The last try is made when the deadline is reached.
        Some(after.unwrap_or_default().max(drawn.min(left)))
    }
}

/// Of the first wait; far beyond any longest wait.
const DOUBLINGS_MAX: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: f64 = 1.0;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn policy() -> RetryPolicy {
        RetryPolicy {
            first_wait: secs(1),
            longest_wait: secs(8),
            no_progress: secs(100),
            read_timeout: secs(1),
        }
    }

    #[test]
    fn waits_double_up_to_the_longest_and_begin_again_after_progress() {
        let start = Instant::now();
        let mut backoff = Backoff::new(&policy(), start);
        let waits: Vec<_> =
            (0..6).map(|_| backoff.next_wait_drawn(start, None, MAX).unwrap().as_secs()).collect();
        assert_eq!((waits.as_slice(), backoff.attempt()), (&[1, 2, 4, 8, 8, 8][..], 6));
        backoff.progressed(start);
        assert_eq!(backoff.next_wait_drawn(start, None, MAX), Some(secs(1)));
        assert_eq!(backoff.attempt(), 1);
    }

    #[test]
    fn a_wait_is_drawn_from_nothing_to_its_bound() {
        let start = Instant::now();
        let drawn = |drawn| Backoff::new(&policy(), start).next_wait_drawn(start, None, drawn).unwrap();
        assert_eq!(drawn(0.0), secs(0));
        assert_eq!(drawn(0.5), Duration::from_millis(500));
    }

    #[test]
    fn the_last_try_is_at_the_deadline_and_none_comes_after() {
        let start = Instant::now();
        let mut backoff = Backoff::new(&policy(), start);
        for _ in 0..5 {
            backoff.next_wait_drawn(start, None, MAX);
        }
        assert_eq!(backoff.next_wait_drawn(start + secs(97), None, MAX), Some(secs(3)));
        assert_eq!(backoff.next_wait_drawn(start + secs(100), None, MAX), None);
        backoff.progressed(start + secs(100));
        assert!(backoff.next_wait_drawn(start + secs(199), None, MAX).is_some());
    }

    #[test]
    fn the_servers_own_wait_is_kept_unless_it_ends_after_the_deadline() {
        let start = Instant::now();
        let mut backoff = Backoff::new(&policy(), start);
        assert_eq!(backoff.next_wait_drawn(start, Some(secs(60)), MAX), Some(secs(60)));
        assert_eq!(backoff.next_wait_drawn(start, Some(secs(0)), MAX), Some(secs(2)));
        assert_eq!(backoff.next_wait_drawn(start + secs(50), Some(secs(51)), MAX), None);
    }

    #[test]
    fn many_failures_overflow_nothing() {
        let start = Instant::now();
        let policy = RetryPolicy { first_wait: Duration::MAX, ..policy() };
        let mut backoff = Backoff::new(&policy, start);
        for _ in 0..100 {
            assert!(backoff.next_wait(start, None).unwrap() <= secs(8));
        }
    }
}
