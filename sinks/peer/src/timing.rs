//! How long either end waits for the other.
//! Knows no clock.

use std::time::Duration;

/// How long either end waits for the other. The default fits a receiver whose disk takes a while to sync.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Timing {
    /// For the connection, and then for the whole greeting, however it comes. Default: 10 seconds.
    pub greeting: Duration,
    /// For an answer, and for the rest of a message that has begun. Default: 2 minutes.
    pub silence: Duration,
    /// How often a sender connects again to learn what became of its commit. Default: 5 times.
    pub attempts_max: u32,
    /// Between two such attempts. Default: 1 second.
    pub pause: Duration,
    /// How long a receiver that has published stays for a sender that has not heard of it. Default: 10 seconds.
    pub linger: Duration,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            greeting: Duration::from_secs(10),
            silence: Duration::from_secs(120),
            attempts_max: 5,
            pause: Duration::from_secs(1),
            linger: Duration::from_secs(10),
        }
    }
}

impl Timing {
    /// For the connection, and then for the whole greeting.
    #[must_use]
    pub fn greeting(mut self, greeting: Duration) -> Timing {
        self.greeting = greeting;
        self
    }

    /// For an answer, and for the rest of a message that has begun.
    #[must_use]
    pub fn silence(mut self, silence: Duration) -> Timing {
        self.silence = silence;
        self
    }

    /// How often a sender connects again to learn what became of its commit.
    #[must_use]
    pub fn attempts_max(mut self, attempts_max: u32) -> Timing {
        self.attempts_max = attempts_max;
        self
    }

    /// Between two such attempts.
    #[must_use]
    pub fn pause(mut self, pause: Duration) -> Timing {
        self.pause = pause;
        self
    }

    /// How long a receiver that has published stays for a sender that has not heard of it.
    #[must_use]
    pub fn linger(mut self, linger: Duration) -> Timing {
        self.linger = linger;
        self
    }
}
