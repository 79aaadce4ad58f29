//! Owns what goes wrong in a run, as its seed draws it.
//! Knows nothing of what the run makes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fastrand::Rng;
use servers::{Fault, FaultKind, Plan, Request};

/// What goes wrong. Requests are counted from 0, and of `from` at least one has been answered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Scenario {
    /// Single requests fail, and may be made again.
    Passing,
    /// Single answers are wrong.
    Erring,
    /// The object is another from a request on.
    Changed,
    /// Nobody is let in any more.
    Denied,
    /// Nothing comes for a while.
    Outage,
    /// Nothing comes any more.
    Silence,
    /// The caller wants no more, after single requests failed.
    Cancelled,
    /// The answer to the request that puts an object in place is lost.
    LostEnd,
}

/// How many of a hundred runs go how.
type Shares = &'static [(u32, Scenario)];

/// Of restores.
pub(crate) const RESTORES: Shares = &[
    (40, Scenario::Passing),
    (25, Scenario::Erring),
    (8, Scenario::Changed),
    (4, Scenario::Denied),
    (9, Scenario::Outage),
    (4, Scenario::Silence),
    (10, Scenario::Cancelled),
];

/// Of uploads.
pub(crate) const UPLOADS: Shares = &[
    (35, Scenario::Passing),
    (20, Scenario::LostEnd),
    (12, Scenario::Changed),
    (6, Scenario::Denied),
    (11, Scenario::Outage),
    (4, Scenario::Silence),
    (12, Scenario::Cancelled),
];

/// A scenario with its numbers.
pub(crate) struct Drawn {
    pub(crate) scenario: Scenario,
    /// The request from which on all is otherwise.
    pub(crate) from: u64,
    pub(crate) outage: Duration,
    seed: u64,
    in_every: u32,
    silence: Fault,
    /// Whether that request has come.
    reached: Arc<AtomicBool>,
}

impl Drawn {
    pub(crate) fn new(seed: u64, numbers: &mut Rng, shares: Shares) -> Drawn {
        let mut left = numbers.u32(0..100);
        let drawn = shares.iter().find(|(share, _)| {
            let is_drawn = left < *share;
            left = left.saturating_sub(*share);
            is_drawn
        });
        let scenario = drawn.expect("the shares add up to 100").1;
        let silence = match numbers.bool() {
            true => Fault::Status { code: 503, retry_after: Some(0) },
            // Within any head: a few bytes of a body each time would be progress, and a short answer would pass.
            false => Fault::Stall { after: numbers.u64(0..40), at_most: Duration::from_secs(600) },
        };
        Drawn {
            scenario,
            from: numbers.u64(1..8),
            outage: Duration::from_millis(numbers.u64(50..1500)),
            seed,
            in_every: numbers.u32(2..8),
            silence,
            reached: Arc::new(AtomicBool::new(false)),
        }
    }

    /// Whether the request came from which on all is otherwise.
    pub(crate) fn is_reached(&self) -> bool {
        // Partner of the store in `at`, made before the request that it is of goes on.
        self.reached.load(Ordering::Acquire)
    }

    /// What the proxy does. `change` is called once, before the request from which on all is otherwise.
    pub(crate) fn plan(&self, change: impl FnOnce() + Send + 'static) -> Plan {
        let mut change = Some(change);
        match self.scenario {
            Scenario::Passing | Scenario::Cancelled => {
                Plan::seeded(self.seed, self.in_every, &FaultKind::PASSING)
            }
            Scenario::Erring => Plan::seeded(self.seed, self.in_every, &FaultKind::ERRING),
            Scenario::LostEnd => Plan::script(puts_in_place, [Some(Fault::LoseAnswer)]),
            Scenario::Changed | Scenario::Outage => self.at(move || {
                if let Some(change) = change.take() {
                    change();
                }
                None
            }),
            Scenario::Denied => self.at(|| Some(Fault::Status { code: 403, retry_after: None })),
            Scenario::Silence => {
                let silence = self.silence.clone();
                self.at(move || Some(silence.clone()))
            }
        }
    }

    fn at(&self, mut then: impl FnMut() -> Option<Fault> + Send + 'static) -> Plan {
        let (from, reached) = (self.from, Arc::clone(&self.reached));
        Plan::new(move |request| {
            if request.index() < from {
                return None;
            }
            reached.store(true, Ordering::Release);
            then()
        })
    }
}

/// Whether an object is there after it: the end of an upload in parts, or all of a small one.
fn puts_in_place(request: &Request) -> bool {
    request.is_complete() || request.method() == "PUT" && !request.is_part()
}
