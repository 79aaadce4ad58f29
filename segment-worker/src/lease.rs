//! How a stream draws on a memory budget: its minimum all at once, more only if it is free.
//! It knows bytes, not what they hold, and jobs, not what they do.

use std::sync::Arc;
use std::time::Duration;

use crate::sync::cancel::CancelToken;
use crate::sync::gate::Gate;
use crate::sync::queue::Queue;

/// Bytes of buffers that streams may hold at once. Clones share it.
#[derive(Clone)]
pub struct Budget(Arc<Shared>);

struct Shared {
    gate: Gate,
    /// The jobs, not yet begun, of streams that hold credit here. Bounded as those streams' runs are.
    jobs: Queue<Job>,
}

type Job = Box<dyn FnOnce() + Send>;

/// Where a stream is run from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Caller {
    /// A thread of the pool.
    OnPool,
    /// Any other.
    Elsewhere,
}

impl Budget {
    /// A budget of `bytes`.
    pub fn new(bytes: usize) -> Budget {
        Budget(Arc::new(Shared { gate: Gate::new(bytes), jobs: Queue::new() }))
    }

    /// What it was made with, in bytes.
    pub fn total(&self) -> usize {
        self.0.gate.total()
    }

    /// Reserves `minimum` bytes, waiting while other streams hold them. `None` if cancelled. The caller holds no
    /// other lease on this budget: two that each wait for the other's would never end.
    pub(crate) fn reserve(&self, minimum: usize, caller: Caller, cancel: &CancelToken) -> Option<Lease> {
        let taken = match caller {
            Caller::OnPool => self.0.gate.while_trying(|| self.work_until_taken(minimum, cancel)),
            Caller::Elsewhere => self.0.gate.take(minimum, || cancel.is_cancelled()),
        };
        taken.then(|| Lease { budget: self.clone(), minimum, used: 0, kept: 0 })
    }

    /// Leaves the job of a stream that holds a lease here to whoever calls [`Budget::do_one`] next.
    pub(crate) fn leave(&self, job: impl FnOnce() + Send + 'static) {
        self.0.jobs.leave(Box::new(job));
    }

    /// Does the oldest job that was left, if there is one, and says whether it did.
    pub(crate) fn do_one(&self) -> bool {
        self.0.jobs.take().map(|job| job()).is_some()
    }

    /// The way of a caller that is itself a thread of the pool: it works while it waits, for the credit it waits for
    /// may be in jobs that only its thread can do. Those jobs wait for nothing, so this is never entered from itself;
    /// whatever else the pool has to do might open a stream in turn, on the same stack, without end.
    fn work_until_taken(&self, minimum: usize, cancel: &CancelToken) -> bool {
        while !cancel.is_cancelled() {
            if self.0.gate.try_take(minimum) {
                return true;
            }
            if !self.do_one() {
                std::thread::sleep(POLL);
            }
        }
        false
    }
}

/// One stream's share of a budget. It never falls below its minimum, and gives everything back when dropped.
///
/// What a stream brings back stays charged to it, as do the buffers that it keeps for their next use. Both go back to
/// the budget when somebody waits for them.
pub(crate) struct Lease {
    budget: Budget,
    minimum: usize,
    used: usize,
    kept: usize,
}

impl Lease {
    /// Takes `bytes`: what was kept first, then the minimum as far as it goes, beyond it only what is free.
    pub(crate) fn try_take(&mut self, bytes: usize) -> bool {
        let kept = self.kept - bytes.min(self.kept);
        let used = self.used + bytes;
        let more = (used + kept).max(self.minimum) - self.charged();
        if more > 0 && !self.budget.0.gate.try_take(more) {
            return false;
        }
        (self.used, self.kept) = (used, kept);
        true
    }

    /// Brings `bytes` back, to be kept for now.
    pub(crate) fn give(&mut self, bytes: usize) {
        assert!(bytes <= self.used, "what is charged is what is freed");
        self.used -= bytes;
        self.kept += bytes;
    }

    /// What the stream's buffers may come to, in use or not.
    pub(crate) fn paid_for(&self) -> usize {
        self.used + self.kept
    }

    /// Whether what is kept should be let go: somebody waits for credit, and there is some beyond the minimum.
    pub(crate) fn is_wanted(&self) -> bool {
        self.kept > 0 && self.paid_for() > self.minimum && self.budget.0.gate.is_wanted()
    }

    /// Gives what is kept beyond the minimum to whoever wants it. Says for how many bytes spare buffers may stay: the minimum
    /// is charged in any case, and to make a buffer anew for each run costs more than the run.
    pub(crate) fn let_go(&mut self) -> usize {
        let charged = self.charged();
        self.kept = self.kept.min(self.minimum.saturating_sub(self.used));
        self.budget.0.gate.give(charged - self.charged());
        self.kept
    }

    fn charged(&self) -> usize {
        (self.used + self.kept).max(self.minimum)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.budget.0.gate.give(self.charged());
    }
}

/// How often a caller on the pool looks for jobs and credit while there are neither.
const POLL: Duration = Duration::from_micros(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_keeps_its_minimum_and_lets_go_of_the_rest_when_told() {
        let budget = Budget::new(100);
        let mut lease = budget.reserve(40, Caller::Elsewhere, &CancelToken::new()).unwrap();
        assert!(lease.try_take(30));
        assert!(!budget.0.gate.try_take(61), "the minimum is charged though part of it is unused");
        assert!(lease.try_take(70));
        assert!(!lease.try_take(1));
        lease.give(70);
        assert!(!budget.0.gate.try_take(1), "what is kept stays charged");
        assert!(lease.try_take(50) && lease.try_take(20), "and is taken again without asking");
        lease.give(80);
        assert_eq!(lease.let_go(), 20, "what the minimum pays for beside the 20 in use");
        assert!(budget.0.gate.try_take(60));
        lease.give(20);
        assert_eq!(lease.let_go(), 40, "nothing is let go of the minimum");
        assert!(!budget.0.gate.try_take(1));
        drop(lease);
        assert!(budget.0.gate.try_take(40));
    }

    #[test]
    fn a_reservation_that_waits_ends_when_it_is_cancelled() {
        let budget = Budget::new(10);
        let _all = budget.reserve(10, Caller::Elsewhere, &CancelToken::new()).unwrap();
        let cancel = CancelToken::new();
        cancel.cancel();
        for caller in [Caller::OnPool, Caller::Elsewhere] {
            assert!(budget.reserve(1, caller, &cancel).is_none());
        }
    }

    #[test]
    fn a_caller_on_the_pool_does_the_jobs_that_hold_what_it_waits_for() {
        let budget = Budget::new(10);
        let lease = budget.reserve(10, Caller::Elsewhere, &CancelToken::new()).unwrap();
        budget.leave(|| {});
        budget.leave(move || drop(lease));
        assert!(budget.reserve(10, Caller::OnPool, &CancelToken::new()).is_some());
        assert!(!budget.do_one(), "both have been done");
    }
}
