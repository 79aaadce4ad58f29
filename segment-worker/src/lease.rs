//! How a stream draws on a memory budget: its minimum all at once, more only if it is free.
//! It knows bytes, not what they hold.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use frame_worker::Pool;
use parking_lot::Mutex;

use crate::Buffers;
use crate::buffers::Stock;
use crate::growth::{Growth, MemoryPressure};
use crate::sync::cancel::CancelToken;
use crate::sync::gate::Gate;

/// Bytes of buffers that streams may hold at once, and the buffers themselves, which they use in turn: unwiped, and kept
/// until the last stream ends. Clones share it.
#[derive(Clone)]
pub struct Budget(Arc<Shared>);

struct Shared {
    gate: Gate,
    stock: Stock,
    growth: Mutex<Growth>,
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget").field("total", &self.total()).finish_non_exhaustive()
    }
}

/// Where a stream is run from.
#[derive(Clone, Copy)]
pub(crate) enum Caller<'a> {
    /// A thread of this pool.
    OnPool(&'a Pool),
    /// Any other.
    Elsewhere,
}

impl Budget {
    /// A budget of `bytes`.
    pub fn new(bytes: usize) -> Budget {
        Budget::growing_to(bytes, bytes)
    }

    /// A budget of `bytes`, of which streams take no more than `growth` beyond what each needs at least: so a stream that needs more
    /// still runs, and others leave the rest to the machine.
    pub fn growing_to(bytes: usize, growth: usize) -> Budget {
        let growth = Growth::new(growth.min(bytes));
        let budget = Budget(Arc::new(Shared {
            gate: Gate::new(bytes),
            stock: Stock::new(bytes),
            growth: Mutex::new(growth),
        }));
        budget.limit_growth(budget.growth());
        budget
    }

    /// What it was made with, in bytes.
    pub fn total(&self) -> usize {
        self.0.gate.total()
    }

    /// Bytes that streams hold of it at the moment, their minima included.
    pub fn used(&self) -> usize {
        self.0.gate.used()
    }

    /// What streams may grow to together where memory is not short, in bytes.
    pub fn growth(&self) -> usize {
        self.0.growth.lock().most()
    }

    /// What they may grow to together at the moment, in bytes: less than [`growth`](Self::growth) while memory is short.
    pub fn growth_now(&self) -> usize {
        self.0.growth.lock().now()
    }

    /// How short memory was when [`adjust_growth`](Self::adjust_growth) looked last.
    pub fn pressure(&self) -> MemoryPressure {
        self.0.growth.lock().pressure()
    }

    /// Has growth beyond the minima follow how short memory is, by a step at most each half second, whoever asks. Where it is time, `look`
    /// says how short it is, given how short it was. Returns what it is now, if that has changed.
    ///
    /// What streams hold beyond the limit goes as their runs end; none waits or fails for it.
    pub fn adjust_growth(
        &self,
        now: Instant,
        look: impl FnOnce(MemoryPressure) -> MemoryPressure,
    ) -> Option<MemoryPressure> {
        // Whoever has it looks already.
        let mut growth = self.0.growth.try_lock()?;
        let before = growth.due(now)?;
        let pressure = look(before);
        self.limit_growth(growth.step(now, pressure));
        (pressure != before).then_some(pressure)
    }

    fn limit_growth(&self, bytes: usize) {
        self.0.gate.limit_growth(bytes);
        self.0.stock.limit_growth(bytes);
    }

    /// Takes `bytes` for a reader, waiting while others hold them; `None` once `is_cancelled` says so. A caller that is a thread of `pool`
    /// does that pool's jobs meanwhile. It holds no other lease on this budget.
    pub fn lease(&self, bytes: usize, pool: Option<&Pool>, is_cancelled: &dyn Fn() -> bool) -> Option<Lease> {
        let on_pool = pool.filter(|pool| pool.is_current());
        let caller = on_pool.map_or(Caller::Elsewhere, Caller::OnPool);
        self.reserve_unless(bytes, 0, caller, is_cancelled)
    }

    /// Takes `bytes` for a reader if they are free, memory is not too short for it, and nobody waits for them.
    pub fn try_lease(&self, bytes: usize) -> Option<Lease> {
        self.0.gate.try_take(bytes).then(|| Lease::new(self.clone(), bytes, 0))
    }

    /// Takes `bytes` for something else than buffers, beside a lease, if they are free, memory is not too short for it, and nobody waits
    /// for them.
    pub fn try_borrow(&self, bytes: usize) -> Option<Loan> {
        if !self.0.gate.try_take(bytes) {
            return None;
        }
        self.stock().hold(bytes);
        Some(Loan { budget: self.clone(), bytes })
    }

    /// The bytes that a stream may hold if all that are under way hold as many, of what they may grow to at the moment; where others wait
    /// to begin, none. Whoever has borrowed more gives that back.
    pub fn fair_share(&self) -> usize {
        match self.0.gate.is_waited_for() {
            true => 0,
            false => self.0.gate.growth_limit() / self.stock().streams().max(1),
        }
    }

    /// Where buffers of `len` bytes come from, which leases on this budget pay for.
    pub fn buffers(&self, len: usize) -> Buffers {
        Buffers::new(len, self)
    }

    /// Reserves `minimum` bytes, waiting while other streams hold them. `None` if cancelled. The stream's sink takes
    /// `own` of them at once. The caller holds no other lease on this budget: two that each wait for the other's would
    /// never end.
    pub(crate) fn reserve(
        &self,
        minimum: usize,
        own: usize,
        caller: Caller<'_>,
        cancel: &CancelToken,
    ) -> Option<Lease> {
        self.reserve_unless(minimum, own, caller, &|| cancel.is_cancelled())
    }

    fn reserve_unless(
        &self,
        minimum: usize,
        own: usize,
        caller: Caller<'_>,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Option<Lease> {
        let taken = match caller {
            Caller::OnPool(pool) => self.work_until_taken(minimum, pool, is_cancelled),
            Caller::Elsewhere => self.0.gate.take(minimum, is_cancelled),
        };
        taken.then(|| Lease::new(self.clone(), minimum, own))
    }

    /// The buffers that this credit pays for.
    pub(crate) fn stock(&self) -> &Stock {
        &self.0.stock
    }

    /// How a caller that is itself a thread of the pool waits: it works meanwhile, since the credit it waits for may
    /// be held by jobs of that pool that only its thread can do. Those jobs wait for nothing, so this is never
    /// re-entered; any other work of the pool might open another stream, on the same stack, without bound.
    fn work_until_taken(&self, minimum: usize, pool: &Pool, is_cancelled: &dyn Fn() -> bool) -> bool {
        let place = self.0.gate.line_up(minimum);
        while !is_cancelled() {
            if place.try_take() {
                return true;
            }
            if !pool.try_run_one() {
                std::thread::sleep(POLL);
            }
        }
        false
    }
}

/// One stream's share of a budget. It never falls below its minimum, and gives everything back when dropped.
pub struct Lease {
    budget: Budget,
    minimum: usize,
    own: usize,
    used: usize,
}

impl Lease {
    fn new(budget: Budget, minimum: usize, own: usize) -> Lease {
        assert!(own <= minimum, "the minimum has room for what the sink needs for itself");
        budget.stock().enter(minimum, own);
        Lease { budget, minimum, own, used: own }
    }

    /// Takes `bytes`: of the minimum as far as it goes, beyond it only what is free and within the growth limit.
    pub(crate) fn try_take(&mut self, bytes: usize) -> bool {
        let more = (self.used + bytes).max(self.minimum) - self.charged();
        if more > 0 && !self.budget.0.gate.try_take(more) {
            return false;
        }
        self.used += bytes;
        true
    }

    /// Brings `bytes` back. What they paid for is in the stock again, or freed.
    pub(crate) fn give(&mut self, bytes: usize) {
        assert!(bytes <= self.used, "what is charged is what is freed");
        let charged = self.charged();
        self.used -= bytes;
        if charged > self.charged() {
            self.budget.0.gate.give(charged - self.charged());
        }
    }

    fn charged(&self) -> usize {
        self.used.max(self.minimum)
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("bytes", &self.charged()).finish_non_exhaustive()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Before the credit: with it, another stream makes buffers of its own.
        self.budget.stock().leave(self.minimum, self.own);
        self.budget.0.gate.give(self.charged());
    }
}

/// Bytes of a budget that a stream holds beyond its lease, and not in buffers. It was never waited for; dropped, they go back.
pub struct Loan {
    budget: Budget,
    bytes: usize,
}

impl Loan {
    /// How many.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl fmt::Debug for Loan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loan").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        // Before the credit, as of a lease.
        self.budget.stock().let_go(self.bytes);
        self.budget.0.gate.give(self.bytes);
    }
}

/// How often a caller on the pool looks for jobs and credit while there are neither.
const POLL: Duration = Duration::from_micros(500);

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::sync::mpsc;

    use super::*;

    fn pool() -> Pool {
        Pool::new(NonZeroUsize::MIN).unwrap()
    }

    #[test]
    fn a_lease_keeps_its_minimum_and_gives_the_rest_back_at_once() {
        let budget = Budget::new(100);
        let mut lease = budget.reserve(40, 0, Caller::Elsewhere, &CancelToken::new()).unwrap();
        assert!(lease.try_take(30));
        assert!(!budget.0.gate.try_take(61), "the minimum is charged though part of it is unused");
        assert!(lease.try_take(70));
        assert!(!lease.try_take(1));
        lease.give(70);
        assert!(!budget.0.gate.try_take(61), "nothing is given of the minimum");
        assert!(budget.0.gate.try_take(60));
        assert!(lease.try_take(10) && !lease.try_take(1), "and it can be taken whoever has the rest");
        lease.give(40);
        assert!(!budget.0.gate.try_take(1));
        drop(lease);
        assert!(budget.0.gate.try_take(40));
    }

    #[test]
    fn what_is_only_tried_for_is_given_where_it_is_free_and_back_when_it_is_dropped() {
        let budget = Budget::new(100);
        let first = budget.try_lease(60).unwrap();
        assert!(budget.try_lease(41).is_none());
        let second = budget.lease(40, None, &|| false).unwrap();
        drop(first);
        assert!(budget.try_lease(61).is_none() && budget.try_lease(60).is_some());
        drop(second);
    }

    /// 40 of 100 are reserved. What is out beyond a new limit stays out until it comes back.
    #[test]
    fn under_pressure_a_lease_keeps_its_minimum_and_grows_no_further() {
        let budget = Budget::new(100);
        let begun = Instant::now();
        let mut lease = budget.reserve(40, 0, Caller::Elsewhere, &CancelToken::new()).unwrap();
        assert!(lease.try_take(90));
        for step in 0..4 {
            let now = begun + Duration::from_secs(step);
            let changed = budget.adjust_growth(now, |_| MemoryPressure::High);
            assert_eq!(changed, (step == 0).then_some(MemoryPressure::High));
        }
        assert!(!lease.try_take(1));
        lease.give(60);
        assert!(lease.try_take(10) && !lease.try_take(1), "the minimum of 40 is left");
        assert!(budget.try_lease(1).is_none());
        let waits = budget.lease(60, None, &|| false);
        assert!(waits.is_some(), "whoever needs it gets it");
        drop(waits);
        budget.adjust_growth(begun + Duration::from_secs(9), |_| MemoryPressure::None);
        budget.adjust_growth(begun + Duration::from_secs(10), |_| MemoryPressure::None);
        assert!(!lease.try_take(1), "a quarter of 100 is less than what is out");
        for step in 11..17 {
            budget.adjust_growth(begun + Duration::from_secs(step), |_| MemoryPressure::None);
        }
        assert!(lease.try_take(60));
    }

    #[test]
    fn a_budget_that_grows_to_less_than_it_has_gives_what_is_needed_beyond() {
        let budget = Budget::growing_to(100, 30);
        let mut lease = budget.reserve(50, 0, Caller::Elsewhere, &CancelToken::new()).unwrap();
        assert!(lease.try_take(50) && !lease.try_take(1));
        drop(lease);
        let mut lease = budget.reserve(20, 0, Caller::Elsewhere, &CancelToken::new()).unwrap();
        assert!(lease.try_take(30) && !lease.try_take(1));
        assert_eq!((budget.total(), budget.growth()), (100, 30));
    }

    #[test]
    fn nobody_looks_again_within_half_a_second() {
        let (budget, now) = (Budget::new(100), Instant::now());
        assert!(budget.adjust_growth(now, |_| MemoryPressure::Some).is_some());
        assert!(budget.adjust_growth(now + Duration::from_millis(499), |_| unreachable!()).is_none());
        let seen = |before| {
            assert_eq!(before, MemoryPressure::Some);
            MemoryPressure::None
        };
        assert!(budget.adjust_growth(now + Duration::from_millis(500), seen).is_some());
    }

    #[test]
    fn what_is_borrowed_is_never_waited_for_and_its_bytes_are_not_in_stock() {
        let budget = Budget::new(100);
        let lease = budget.reserve(40, 0, Caller::Elsewhere, &CancelToken::new()).unwrap();
        drop(budget.buffers(60).take().unwrap());
        assert!(budget.try_borrow(61).is_none());
        let loan = budget.try_borrow(60).unwrap();
        assert_eq!((loan.bytes(), budget.stock().spare_len()), (60, 0), "a spare buffer makes room");
        assert!(budget.try_borrow(1).is_none() && budget.try_lease(1).is_none());
        drop(loan);
        assert!(budget.try_lease(60).is_some());
        drop(lease);
    }

    #[test]
    fn a_fair_share_is_the_budget_by_the_streams_and_nothing_while_one_waits() {
        let budget = Budget::new(100);
        assert_eq!(budget.fair_share(), 100);
        let leases = [40, 30].map(|bytes| budget.try_lease(bytes).unwrap());
        let loan = budget.try_borrow(30).unwrap();
        assert_eq!(budget.fair_share(), 50, "what is borrowed is no stream");
        let ticket = budget.0.gate.line_up(10);
        assert_eq!(budget.fair_share(), 0);
        assert!(budget.try_borrow(0).is_none(), "nobody overtakes who waits");
        drop(loan);
        assert!(ticket.try_take());
        budget.0.gate.give(10);
        assert_eq!(budget.fair_share(), 50);
        drop(leases);
    }

    #[test]
    fn a_fair_share_and_what_can_be_borrowed_follow_the_growth_limit() {
        let budget = Budget::growing_to(100, 80);
        let _lease = budget.try_lease(10).unwrap();
        assert_eq!(budget.fair_share(), 80);
        let loan = budget.try_borrow(60).unwrap();
        assert!(budget.try_borrow(11).is_none());
        let begun = Instant::now();
        for (step, share) in [(0, 40), (1, 20), (2, 10), (3, 0)] {
            budget.adjust_growth(begun + Duration::from_secs(step), |_| MemoryPressure::High);
            assert_eq!(budget.fair_share(), share);
            assert!(budget.try_borrow(1).is_none());
        }
        drop(loan);
        assert!(budget.try_borrow(1).is_none(), "the minimum alone is more than the limit");
        for step in 4..6 {
            budget.adjust_growth(begun + Duration::from_secs(step), |_| MemoryPressure::None);
        }
        assert_eq!(budget.fair_share(), 20);
        assert!(budget.try_borrow(11).is_none() && budget.try_borrow(10).is_some());
    }

    #[test]
    fn a_reservation_that_waits_ends_when_it_is_cancelled() {
        let budget = Budget::new(10);
        let _all = budget.reserve(10, 0, Caller::Elsewhere, &CancelToken::new()).unwrap();
        let cancel = CancelToken::new();
        cancel.cancel();
        for caller in [Caller::OnPool(&pool()), Caller::Elsewhere] {
            assert!(budget.reserve(1, 0, caller, &cancel).is_none());
        }
    }

    #[test]
    fn a_caller_on_the_pool_does_the_jobs_that_hold_what_it_waits_for() {
        let budget = Budget::new(10);
        let lease = budget.reserve(10, 0, Caller::Elsewhere, &CancelToken::new()).unwrap();
        let pool = pool();
        let (go, wait) = mpsc::channel::<()>();
        pool.spawn(move || wait.recv().unwrap());
        pool.queue(|| {});
        pool.queue(move || drop(lease));
        assert!(budget.reserve(10, 0, Caller::OnPool(&pool), &CancelToken::new()).is_some());
        assert!(!pool.try_run_one(), "both have been done");
        go.send(()).unwrap();
    }
}
