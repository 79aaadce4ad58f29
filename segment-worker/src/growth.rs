//! How far leases may grow beyond their minima, step by step as memory gets short and as it is to be had again.
//! It knows no system and no byte that is out: somebody else says how short memory is.

use std::time::{Duration, Instant};

/// How short memory is, for the machine or whatever limits this process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
#[non_exhaustive]
pub enum MemoryPressure {
    /// There is enough.
    #[default]
    None,
    /// Work is delayed for lack of it. Streams keep to half of what they may grow to.
    Some,
    /// Work is delayed for much of the time. Streams go back to their minima.
    High,
}

/// What leases may grow to, at the moment.
#[derive(Debug)]
pub(crate) struct Growth {
    most: usize,
    eighths: usize,
    pressure: MemoryPressure,
    /// Until then nothing changes.
    rests_until: Option<Instant>,
}

impl Growth {
    /// Up to `most` bytes.
    pub(crate) fn new(most: usize) -> Growth {
        Growth { most, eighths: EIGHTHS, pressure: MemoryPressure::None, rests_until: None }
    }

    /// Bytes that leases may grow to where memory is not short.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// What leases may grow to.
    pub(crate) fn now(&self) -> usize {
        match self.eighths {
            EIGHTHS => self.most,
            eighths => self.most / EIGHTHS * eighths,
        }
    }

    /// How short memory was when it was last looked at.
    pub(crate) fn pressure(&self) -> MemoryPressure {
        self.pressure
    }

    /// The pressure that was last seen, where it is time to look again.
    pub(crate) fn due(&self, now: Instant) -> Option<MemoryPressure> {
        self.rests_until.is_none_or(|until| now >= until).then_some(self.pressure)
    }

    /// Takes a step, and says what leases may grow to from now on: under high pressure half of what it was and in the end nothing, under
    /// some an eighth of the most less, down to half of it; without any an eighth more.
    pub(crate) fn step(&mut self, now: Instant, pressure: MemoryPressure) -> usize {
        self.eighths = match pressure {
            MemoryPressure::None => (self.eighths + 1).min(EIGHTHS),
            MemoryPressure::Some if self.eighths > EIGHTHS / 2 => self.eighths - 1,
            MemoryPressure::Some => self.eighths,
            MemoryPressure::High => self.eighths / 2,
        };
        self.pressure = pressure;
        self.rests_until = Some(now + STEP_INTERVAL);
        self.now()
    }
}

const EIGHTHS: usize = 8;
/// Steps are so far apart: from all to nothing takes two seconds, and back four.
const STEP_INTERVAL: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::MemoryPressure::{High, None, Some};
    use super::*;

    #[test]
    fn pressure_takes_growth_away_step_by_step_and_gives_it_back() {
        let mut growth = Growth::new(800);
        let begun = Instant::now();
        let steps = [
            (None, 800),
            (Some, 700),
            (Some, 600),
            (Some, 500),
            (Some, 400),
            (Some, 400),
            (High, 200),
            (Some, 200),
            (High, 100),
            (High, 0),
            (High, 0),
            (Some, 0),
            (None, 100),
            (None, 200),
            (High, 100),
            (None, 200),
            (None, 300),
            (None, 400),
            (None, 500),
            (None, 600),
            (None, 700),
            (None, 800),
            (None, 800),
        ];
        for (at, (pressure, limit)) in steps.into_iter().enumerate() {
            let now = begun + STEP_INTERVAL * at as u32;
            assert!(growth.due(now).is_some(), "step {at}");
            assert_eq!(growth.step(now, pressure), limit, "step {at}");
            assert_eq!(growth.due(now + STEP_INTERVAL - Duration::from_nanos(1)), Option::None);
            assert_eq!(growth.due(now + STEP_INTERVAL), Option::Some(pressure));
        }
    }

    #[test]
    fn all_of_it_is_all_of_it_whatever_it_is_divisible_by() {
        for most in [0, 1, 7, 8, 9, usize::MAX] {
            let mut growth = Growth::new(most);
            let now = Instant::now();
            assert!(growth.step(now, High) <= most / 2);
            let back = (1..=8).map(|step| growth.step(now + STEP_INTERVAL * step, None)).last();
            assert_eq!(back, Option::Some(most));
        }
    }
}
