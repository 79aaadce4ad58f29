//! How many bytes of sealed streams may be read or written each second: tokens, which come with time.
//! It knows no stream and starts no thread: whoever takes says when, and waits.

use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A rate that streams keep to, in bytes of sealed streams per second. Clones share it: all streams that have one keep to it together.
/// It can be changed while they run.
///
/// ```
/// use std::num::NonZeroU64;
/// use stream::RateLimit;
///
/// let limit = RateLimit::new(NonZeroU64::new(10 << 20));
/// // Later, from any thread: as fast as it goes.
/// limit.set(None);
/// assert_eq!(limit.get(), None);
/// ```
#[derive(Clone, Debug)]
pub struct RateLimit(Arc<Mutex<Bucket>>);

#[derive(Debug)]
struct Bucket {
    rate: Option<NonZeroU64>,
    /// Bytes that may be taken at once; less than nothing while what was taken is not paid for.
    tokens: f64,
    /// Until then they have been counted.
    counted: Instant,
}

impl RateLimit {
    /// `rate` bytes per second; with `None` as many as come.
    pub fn new(rate: Option<NonZeroU64>) -> RateLimit {
        RateLimit(Arc::new(Mutex::new(Bucket { rate, tokens: 0.0, counted: Instant::now() })))
    }

    /// From now on `rate` bytes per second. What was taken and is not paid for yet is paid for at the new rate.
    pub fn set(&self, rate: Option<NonZeroU64>) {
        self.set_at(Instant::now(), rate);
    }

    /// Bytes per second.
    pub fn get(&self) -> Option<NonZeroU64> {
        self.bucket().rate
    }

    fn set_at(&self, now: Instant, rate: Option<NonZeroU64>) {
        let mut bucket = self.bucket();
        bucket.count(now);
        bucket.rate = rate;
        if rate.is_none() {
            bucket.tokens = 0.0;
        }
    }

    /// Takes `bytes` if nothing that was taken before is left to be paid for, or says how long that takes at this rate.
    pub(crate) fn try_take(&self, now: Instant, bytes: u64) -> Result<(), Duration> {
        let mut bucket = self.bucket();
        bucket.count(now);
        if let Some(rate) = bucket.rate {
            if bucket.tokens < 0.0 {
                let seconds = -bucket.tokens / rate.get() as f64;
                return Err(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
            }
            bucket.tokens -= bytes as f64;
        }
        Ok(())
    }

    /// Of bytes that were taken as `expected` it turned out to be `taken`: the rest is given back, and what is beyond is to be paid for.
    pub(crate) fn settle(&self, expected: u64, taken: u64) {
        let mut bucket = self.bucket();
        if bucket.rate.is_some() {
            bucket.tokens += expected as f64 - taken as f64;
        }
    }

    fn bucket(&self) -> MutexGuard<'_, Bucket> {
        // Nobody panics with it, and numbers are numbers whatever happened.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bucket {
    fn count(&mut self, now: Instant) {
        let seconds = now.saturating_duration_since(self.counted).as_secs_f64();
        self.counted = self.counted.max(now);
        let Some(rate) = self.rate else { return };
        let rate = rate.get() as f64;
        // What nobody took is not saved up; what was given back is.
        self.tokens = (self.tokens + rate * seconds).min(self.tokens.max(rate * BURST.as_secs_f64()));
    }
}

/// So long a pause can be made up for at once.
const BURST: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn rate(bytes: u64) -> Option<NonZeroU64> {
        NonZeroU64::new(bytes)
    }

    /// Takes `bytes` as soon as it may, and says when that is.
    fn taken_at(limit: &RateLimit, mut now: Instant, bytes: u64) -> Instant {
        loop {
            match limit.try_take(now, bytes) {
                Ok(()) => return now,
                Err(wait) => now += wait.max(Duration::from_nanos(1)),
            }
        }
    }

    #[test]
    fn bytes_take_as_long_as_the_rate_says_in_pieces_of_any_length() {
        for piece in [1000, 64 << 10, 520 << 10, 3 * MIB] {
            let limit = RateLimit::new(rate(MIB));
            let begun = limit.bucket().counted;
            let mut now = begun;
            let pieces = 20 * MIB / piece + 1;
            for _ in 0..pieces {
                now = taken_at(&limit, now, piece);
            }
            // All but the last piece is paid for.
            let expected = ((pieces - 1) * piece) as f64 / MIB as f64;
            let found = now.duration_since(begun).as_secs_f64();
            assert!((found - expected).abs() < 1e-3, "{found} s instead of {expected}");
        }
    }

    #[test]
    fn a_pause_is_made_up_for_by_a_quarter_of_a_second_and_no_more() {
        let limit = RateLimit::new(rate(1000));
        let now = limit.bucket().counted + Duration::from_secs(3600);
        // 250 tokens, and one byte more than they pay for.
        assert_eq!(limit.try_take(now, 251), Ok(()));
        let wait = limit.try_take(now, 1).unwrap_err();
        assert!((wait.as_secs_f64() - 0.001).abs() < 1e-9, "{wait:?}");
    }

    #[test]
    fn what_was_not_taken_is_given_back_and_what_was_beyond_is_paid_for() {
        let limit = RateLimit::new(rate(1000));
        let now = limit.bucket().counted;
        limit.try_take(now, 5000).unwrap();
        limit.settle(5000, 1000);
        assert_eq!(limit.try_take(now, 1).unwrap_err(), Duration::from_secs(1));
        limit.settle(0, 1000);
        assert_eq!(limit.try_take(now, 1).unwrap_err(), Duration::from_secs(2));
        limit.settle(2_000_000, 0);
        let hour = now + Duration::from_secs(3600);
        assert_eq!(limit.try_take(hour, 1_998_000), Ok(()), "a pause takes away nothing of that");
        assert_eq!(limit.try_take(hour, 2001), Ok(()));
        assert!(limit.try_take(hour, 1).is_err());
    }

    #[test]
    fn another_rate_holds_from_now_on() {
        let limit = RateLimit::new(rate(1000));
        let now = limit.bucket().counted;
        limit.try_take(now, 4000).unwrap();
        let later = now + Duration::from_secs(1);
        limit.set_at(later, rate(3000));
        assert_eq!(limit.get(), rate(3000));
        assert_eq!(limit.try_take(later, 1).unwrap_err(), Duration::from_secs(1), "3000 are left to pay for");
        limit.set_at(later, None);
        assert_eq!(limit.try_take(later, u64::MAX), Ok(()));
        limit.settle(0, 5);
        limit.set_at(later, rate(1));
        assert_eq!(limit.try_take(later, 1), Ok(()), "without a limit nothing is owed");
    }

    #[test]
    fn clones_keep_to_the_rate_together() {
        let limit = RateLimit::new(rate(1000));
        let now = limit.bucket().counted;
        limit.clone().try_take(now, 1000).unwrap();
        assert!(limit.try_take(now, 1).is_err());
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_pays_nothing() {
        let limit = RateLimit::new(rate(1000));
        let now = limit.bucket().counted + Duration::from_secs(10);
        limit.try_take(now, 1250).unwrap();
        for at in [now, now - Duration::from_secs(5), now] {
            assert_eq!(limit.try_take(at, 1).unwrap_err(), Duration::from_secs(1));
        }
    }
}
