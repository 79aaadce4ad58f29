//! What a reader takes of a memory budget: once, for as long as it is open, and lent to its reads in turn.
//! It knows bytes, not what they hold.

use frame_worker::Pool;
use segment_worker::{Budget, Buffers, Lease, StreamError};

use crate::stop::Stop;
use crate::{Error, ErrorKind, Resources};

/// A reader's share of a budget. One part is lent to the reads that are under way, the other is kept for what stays.
pub(crate) struct ReaderMemory {
    _share: Lease,
    /// Of the share, all but what is fixed; what is kept is taken of it once.
    own: Budget,
    _kept: Lease,
    kept_len: usize,
    pool: Option<Pool>,
}

/// What a reader asks for, in bytes.
#[derive(Clone, Copy)]
pub(crate) struct ReaderNeeds {
    /// Taken for as long as it is open, whatever it reads.
    pub(crate) fixed_len: usize,
    /// For what it keeps: at least, and at most.
    pub(crate) kept_len: [usize; 2],
    /// The most that one read takes at once.
    pub(crate) read_len: usize,
    /// Reads at once that it is worth having room for.
    pub(crate) reads: usize,
}

impl ReaderNeeds {
    /// What one read needs, with what is kept and fixed.
    pub(crate) fn least(&self) -> usize {
        self.fixed_len.saturating_add(self.kept_len[0]).saturating_add(self.read_len)
    }
}

impl ReaderMemory {
    /// Takes a share of the budget: all that is asked for, if there is half as much again for others, and less where that is not
    /// free, down to what one read needs. That it waits for.
    ///
    /// # Errors
    /// One read needs more than the budget has: [`ErrorKind::Limit`]. [`ErrorKind::Cancelled`].
    pub(crate) fn reserve(resources: &Resources, needs: ReaderNeeds) -> Result<ReaderMemory, Error> {
        let budget = resources.budget();
        let [kept_min, kept_max] = needs.kept_len;
        let needed = needs.least();
        if needed > budget.total() {
            return Err(Error::opening(StreamError::Budget { needed, total: budget.total() }));
        }
        let reads_len = needs.read_len.saturating_mul(needs.reads);
        let wanted = needs.fixed_len.saturating_add(kept_max).saturating_add(reads_len);
        let share = resources.budget.as_ref().map_or(budget.total(), |budget| budget.total() / 2);
        let (share, lease) = take(&budget, wanted.min(share).max(needed), needed, resources)?;
        let own_len = share - needs.fixed_len;
        // A quarter for the reads under way, or what they need at least, or all that what is kept does not want.
        let reads_len = reads_len.min(own_len / 4).clamp(needs.read_len, own_len - kept_min);
        let (own, kept_len) = (Budget::new(own_len), (own_len - reads_len).min(kept_max));
        let kept = own.try_lease(kept_len).expect("nobody else has anything of it yet");
        Ok(ReaderMemory { _share: lease, own, _kept: kept, kept_len, pool: resources.pool.clone() })
    }

    /// Bytes for what stays.
    pub(crate) fn kept_len(&self) -> usize {
        self.kept_len
    }

    /// Bytes for the reads that are under way.
    pub(crate) fn lent_len(&self) -> usize {
        self.own.total() - self.kept_len
    }

    /// Bytes for one read, which other reads of this reader may have to end for first. The caller holds none.
    pub(crate) fn lend(&self, bytes: usize, stop: Stop<'_>) -> Result<Lease, Error> {
        let bytes = bytes.min(self.lent_len());
        let lease = self.own.try_lease(bytes);
        let lease = lease.or_else(|| self.own.lease(bytes, self.pool.as_ref(), &|| stop.is_asked()));
        lease.ok_or_else(cancelled)
    }

    /// The same, where it is free.
    pub(crate) fn try_lend(&self, bytes: usize) -> Option<Lease> {
        self.own.try_lease(bytes)
    }

    /// Where the reader's buffers of `len` bytes come from.
    pub(crate) fn buffers(&self, len: usize) -> Buffers {
        self.own.buffers(len)
    }
}

/// Takes `wanted` bytes, or as much of that as is free after halving it some times, `needed` at least; waits for those alone.
fn take(
    budget: &Budget,
    mut wanted: usize,
    needed: usize,
    resources: &Resources,
) -> Result<(usize, Lease), Error> {
    loop {
        if let Some(lease) = budget.try_lease(wanted) {
            return Ok((wanted, lease));
        }
        if wanted == needed {
            let lease = budget.lease(needed, resources.pool.as_ref(), &|| resources.cancel.is_cancelled());
            return lease.map(|lease| (needed, lease)).ok_or_else(cancelled);
        }
        wanted = needed.max(wanted / 2);
    }
}

fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "interrupted")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEEDS: ReaderNeeds = ReaderNeeds { fixed_len: 10, kept_len: [20, 400], read_len: 30, reads: 4 };

    fn resources(budget: &Budget) -> Resources {
        Resources { budget: Some(budget.clone()), ..Resources::default() }
    }

    #[test]
    fn a_reader_takes_half_of_a_budget_less_where_that_is_not_free_and_never_less_than_it_needs() {
        for (total, others, share) in [(1000, 0, 500), (1000, 700, 250), (1000, 940, 60), (60, 0, 60)] {
            let budget = Budget::new(total);
            let _others = budget.try_lease(others).unwrap();
            let memory = ReaderMemory::reserve(&resources(&budget), NEEDS).unwrap();
            assert!(budget.try_lease(total - others - share + 1).is_none(), "{total} {others}");
            assert!(budget.try_lease(total - others - share).is_some(), "{total} {others}");
            assert!(memory.kept_len() >= 20);
            assert!(memory.try_lend(30).is_some(), "{total} {others}");
            drop(memory);
            assert!(budget.try_lease(total - others).is_some());
        }
    }

    #[test]
    fn a_budget_that_one_read_does_not_fit_into_is_refused_with_what_it_needs() {
        let refused = ReaderMemory::reserve(&resources(&Budget::new(59)), NEEDS).err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::Limit);
        assert_eq!(refused.remedy(), Some(crate::Remedy::RaiseMemory { needed: 60 }));
    }

    #[test]
    fn what_is_kept_and_what_is_lent_are_the_share() {
        let memory = ReaderMemory::reserve(&Resources::default(), NEEDS).unwrap();
        let lent = 10 + 400 + 4 * 30 - 10 - memory.kept_len();
        let all = memory.try_lend(lent).unwrap();
        assert!(memory.try_lend(1).is_none());
        drop(all);
    }
}
