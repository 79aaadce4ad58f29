//! How a stream draws on a memory budget: its minimum all at once, more only if it is free.
//! It knows bytes, not what they hold.

use std::sync::Arc;

use frame_worker::Pool;

use crate::sync::cancel::CancelToken;
use crate::sync::gate::Gate;

/// Bytes of buffers that streams may hold at once. Clones share it.
#[derive(Clone)]
pub struct Budget(Arc<Gate>);

impl Budget {
    /// A budget of `bytes`.
    pub fn new(bytes: usize) -> Budget {
        Budget(Arc::new(Gate::new(bytes)))
    }

    /// What it was made with, in bytes.
    pub fn total(&self) -> usize {
        self.0.total()
    }

    /// Reserves `minimum` bytes, waiting while other streams hold them. `None` if cancelled. The caller holds no
    /// other lease on this budget: two that each wait for the other's would never end.
    pub(crate) fn reserve(&self, minimum: usize, pool: Option<&Pool>, cancel: &CancelToken) -> Option<Lease> {
        let taken = match pool {
            Some(pool) => self.assist_until_taken(minimum, pool, cancel),
            None => self.0.take(minimum, || cancel.is_cancelled()),
        };
        taken.then(|| Lease { budget: self.clone(), minimum, used: 0 })
    }

    /// The way of a caller that is itself a thread of the pool: it works while it waits, for the credit it waits for
    /// may be in jobs that only its thread can do. It takes no ticket, since a ticket of a stream further down this
    /// very stack could never be served.
    fn assist_until_taken(&self, minimum: usize, pool: &Pool, cancel: &CancelToken) -> bool {
        while !cancel.is_cancelled() {
            if self.0.try_take(minimum) {
                return true;
            }
            if !pool.assist() {
                std::thread::yield_now();
            }
        }
        false
    }
}

/// One stream's share of a budget. It never falls below its minimum, and gives everything back when dropped.
pub(crate) struct Lease {
    budget: Budget,
    minimum: usize,
    used: usize,
}

impl Lease {
    /// Takes `bytes`, from the minimum as far as it goes, beyond it only what is free.
    pub(crate) fn try_take(&mut self, bytes: usize) -> bool {
        let after = self.used + bytes;
        let more = after.max(self.minimum) - self.charged();
        if more > 0 && !self.budget.0.try_take(more) {
            return false;
        }
        self.used = after;
        true
    }

    /// Brings `bytes` back.
    pub(crate) fn give(&mut self, bytes: usize) {
        assert!(bytes <= self.used, "what is charged is what is freed");
        let charged = self.charged();
        self.used -= bytes;
        let less = charged - self.charged();
        if less > 0 {
            self.budget.0.give(less);
        }
    }

    fn charged(&self) -> usize {
        self.used.max(self.minimum)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.budget.0.give(self.charged());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_keeps_its_minimum_and_returns_the_rest_at_once() {
        let budget = Budget::new(100);
        let mut lease = budget.reserve(40, None, &CancelToken::new()).unwrap();
        assert!(lease.try_take(30));
        assert!(!budget.0.try_take(61), "the minimum is charged though part of it is unused");
        assert!(lease.try_take(70));
        assert!(!lease.try_take(1));
        lease.give(70);
        assert!(budget.0.try_take(60));
        drop(lease);
        assert!(budget.0.try_take(40));
    }

    #[test]
    fn a_reservation_that_waits_ends_when_it_is_cancelled() {
        let budget = Budget::new(10);
        let _all = budget.reserve(10, None, &CancelToken::new()).unwrap();
        let cancel = CancelToken::new();
        cancel.cancel();
        assert!(budget.reserve(1, None, &cancel).is_none());
    }
}
