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
    /// The longest first wait. Each later one may be twice as long, until as much has arrived as must in a second; how long it is in fact
    /// is drawn from all shorter ones, so that clients that failed together do not come back together.
    pub first_wait: Duration,
    /// The longest wait of all, unless the server asks for a longer one.
    pub longest_wait: Duration,
    /// How long a request may bring nothing, all tries together, before it has failed.
    pub no_progress: Duration,
    /// How long one try may bring nothing: neither an answer nor a further byte of it.
    pub read_timeout: Duration,
    /// Bytes per second, over the whole of `no_progress`, that must come of a place at least: less counts as nothing, so that a server
    /// which lets a byte fall now and then keeps nobody waiting for ever. All requests to the place count together, and only the time
    /// in which somebody takes what comes. 0 for any byte to count. Uploads go by the store's answers.
    pub min_bytes_per_second: u64,
}

impl RetryPolicy {
    /// Bytes that must come within `no_progress`.
    fn min_progress(&self) -> u64 {
        self.min_bytes_per_second.saturating_mul(self.no_progress.as_secs()).max(1)
    }
}

impl Default for RetryPolicy {
    /// Waits from 100 ms to 20 s, 30 s for a try to bring something, 5 min for a request, and 1 KiB/s.
    fn default() -> Self {
        Self {
            first_wait: Duration::from_millis(100),
            longest_wait: Duration::from_secs(20),
            no_progress: Duration::from_secs(300),
            read_timeout: Duration::from_secs(30),
            min_bytes_per_second: 1024,
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
    /// How many tries in a row have failed since something to speak of arrived.
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
    /// Bytes that had come of the place by then.
    progress_bytes: u64,
    /// And when it failed last, and by now.
    failed_bytes: u64,
    bytes: u64,
    /// And when time was last forgiven for what came again.
    forgiven_bytes: Option<u64>,
}

impl Backoff {
    /// A request that is made for the first time `now`.
    pub(crate) fn new(policy: &RetryPolicy, now: Instant) -> Self {
        Self::after(policy, now, 0)
    }

    /// The same, where `bytes` have come of the place before.
    pub(crate) fn after(policy: &RetryPolicy, now: Instant, bytes: u64) -> Self {
        Self {
            policy: policy.clone(),
            attempt: 0,
            progress_at: now,
            progress_bytes: bytes,
            failed_bytes: bytes,
            bytes,
            forgiven_bytes: None,
        }
    }

    /// It has brought something: `bytes` are what has come of the place in all. Returns whether that is enough to go on.
    pub(crate) fn arrived(&mut self, now: Instant, bytes: u64) -> bool {
        self.bytes = bytes;
        if bytes.saturating_sub(self.failed_bytes) >= self.policy.min_bytes_per_second {
            self.attempt = 0;
        }
        if bytes.saturating_sub(self.progress_bytes) >= self.policy.min_progress() {
            (self.progress_at, self.progress_bytes) = (now, bytes);
        }
        !self.left(now).is_zero()
    }

    /// For so long nobody took anything, and nothing could come.
    pub(crate) fn paused(&mut self, pause: Duration) {
        self.progress_at += pause;
    }

    /// For so long came again what had come before, until there were `bytes` of the place in all. That is no waiting, unless next to
    /// nothing has come since the last time.
    pub(crate) fn repeated(&mut self, pause: Duration, bytes: u64) {
        let is_paid = |before: u64| bytes.saturating_sub(before) >= self.policy.min_progress();
        if self.forgiven_bytes.is_none_or(is_paid) {
            self.forgiven_bytes = Some(bytes);
            self.paused(pause);
        }
    }

    /// Until it has failed for want of progress.
    fn left(&self, now: Instant) -> Duration {
        (self.progress_at + self.policy.no_progress).saturating_duration_since(now)
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
        self.failed_bytes = self.bytes;
        let left = self.left(now);
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
            min_bytes_per_second: 10,
        }
    }

    #[test]
    fn waits_double_up_to_the_longest_and_begin_again_after_progress() {
        let start = Instant::now();
        let mut backoff = Backoff::new(&policy(), start);
        let waits: Vec<_> =
            (0..6).map(|_| backoff.next_wait_drawn(start, None, MAX).unwrap().as_secs()).collect();
        assert_eq!((waits.as_slice(), backoff.attempt()), (&[1, 2, 4, 8, 8, 8][..], 6));
        // Ten bytes have to come in a second.
        for few in [1, 9] {
            assert!(backoff.arrived(start, few));
            assert_eq!(backoff.next_wait_drawn(start, None, MAX), Some(secs(8)));
        }
        assert!(backoff.arrived(start, 19));
        assert_eq!(backoff.next_wait_drawn(start, None, MAX), Some(secs(1)));
        assert_eq!(backoff.attempt(), 1);
    }

    #[test]
    fn what_comes_again_is_no_waiting_unless_next_to_nothing_follows_it() {
        let start = Instant::now();
        let mut backoff = Backoff::new(&policy(), start);
        backoff.repeated(secs(1000), 1);
        assert!(backoff.arrived(start + secs(1050), 1));
        backoff.repeated(secs(40), 1000);
        assert!(
            backoff.arrived(start + secs(1099), 1000),
            "999 bytes pay for nothing, 1000 in all are progress"
        );
        backoff.repeated(secs(1000), 1001);
        assert!(backoff.arrived(start + secs(2198), 1001));
        assert!(!backoff.arrived(start + secs(2199), 1002));
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
        assert!(backoff.arrived(start + secs(100), 1000));
        assert!(backoff.next_wait_drawn(start + secs(199), None, MAX).is_some());
    }

    /// 10 bytes per second over 100 seconds are 1,000 bytes.
    #[test]
    fn a_trickle_below_the_least_is_no_progress_and_one_at_the_least_goes_on_for_ever() {
        let start = Instant::now();
        let goes_on = |every: u64, len: u64, before: u64| {
            let mut backoff = Backoff::after(&policy(), start, before);
            (1..100_000 / every).find(|n| !backoff.arrived(start + secs(n * every), before + n * len))
        };
        for before in [0, 12_345] {
            assert_eq!(goes_on(20, 1, before), Some(5), "14 bytes, or one, now and then");
            assert_eq!(goes_on(1, 9, before), Some(100), "a little less than the least");
            assert_eq!(goes_on(50, 499, before), Some(2));
            assert_eq!(goes_on(1, 11, before), None);
            assert_eq!(goes_on(33, 400, before), None);
        }
    }

    #[test]
    fn what_other_requests_bring_is_progress_too_and_a_reader_that_pauses_is_none_that_waits() {
        let start = Instant::now();
        let mut backoff = Backoff::new(&policy(), start);
        assert!(backoff.arrived(start + secs(90), 1000));
        assert!(backoff.arrived(start + secs(180), 1001));
        backoff.paused(secs(1000));
        assert!(backoff.arrived(start + secs(1189), 1002));
        assert!(backoff.next_wait_drawn(start + secs(1189), None, MAX).is_some());
        assert!(!backoff.arrived(start + secs(1190), 1003));
        assert!(backoff.next_wait_drawn(start + secs(1190), None, MAX).is_none());
    }

    #[test]
    fn of_no_least_any_byte_is_progress() {
        let start = Instant::now();
        let mut backoff = Backoff::new(&RetryPolicy { min_bytes_per_second: 0, ..policy() }, start);
        assert!((1..1000).all(|n| backoff.arrived(start + secs(99 * n), n)));
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
