//! Memory for what is fetched ahead: the least is reserved with the stream; more is borrowed while a stream waits for its source,
//! and given back when others have use for it.
//! It knows no range.

use std::time::Duration;

use segment_worker::{Budget, Loan};

use crate::far::FarSource;

/// What fetching ahead takes of a budget, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct FetchNeeds {
    /// Reserved for as long as the stream is under way.
    pub(crate) least: usize,
    /// What the stream uses beside, with all its threads busy: left to it.
    pub(crate) beside: usize,
}

/// What has been granted to a source of one stream.
pub(crate) struct FetchMemory {
    far: FarSource,
    budget: Budget,
    needs: FetchNeeds,
    /// Granted in all; none before the first use.
    granted: usize,
    /// All of it but the least.
    loans: Vec<Loan>,
    /// Granted no more, and perhaps in use still.
    leaving: Vec<Loan>,
}

impl FetchMemory {
    /// None yet.
    pub(crate) fn new(far: FarSource, budget: &Budget, needs: FetchNeeds) -> FetchMemory {
        let (loans, leaving) = (Vec::new(), Vec::new());
        FetchMemory { far, budget: budget.clone(), needs, granted: 0, loans, leaving }
    }

    /// Grants the least, which has been reserved, and gives back what other streams have use for.
    pub(crate) fn settle(&mut self) {
        let before = self.granted;
        self.granted = before.max(self.needs.least);
        let most = self.most();
        while self.granted > most
            && let Some(loan) = self.loans.pop()
        {
            self.granted -= loan.bytes();
            self.leaving.push(loan);
        }
        if self.granted != before {
            self.far.fetch().grant(self.granted);
        }
        self.is_owing();
    }

    /// Whether more is held than is granted still.
    pub(crate) fn is_owing(&mut self) -> bool {
        if self.leaving.is_empty() {
            return false;
        }
        // Told again, it counts the connections that it still needs.
        self.far.fetch().grant(self.granted);
        if self.far.fetch().held() <= self.granted {
            self.leaving.clear();
        }
        !self.leaving.is_empty()
    }

    /// Doubles what there is, or takes less where that is not free, or beyond what this stream may have.
    pub(crate) fn grow(&mut self) {
        if self.is_owing() {
            return;
        }
        let mut more = self.granted.min(self.most().saturating_sub(self.granted));
        while more > self.granted / STEPS_MIN {
            if let Some(loan) = self.budget.try_borrow(more) {
                self.granted += more;
                self.loans.push(loan);
                self.far.fetch().grant(self.granted);
                return;
            }
            more /= 2;
        }
    }

    /// Takes all of it back. Nothing that was asked for is wanted any more.
    pub(crate) fn stop(&mut self) {
        if self.granted > 0 {
            self.far.fetch().grant(0);
        }
        self.granted = 0;
        self.loans.clear();
        self.leaving.clear();
    }

    fn most(&self) -> usize {
        let share = self.budget.fair_share().saturating_sub(self.needs.beside);
        share.min(FETCH_LEN_MAX).max(self.needs.least)
    }
}

/// Bytes that are fetched ahead of one stream at most: of a place half a second away, as much as 4 Gbit/s bring in that time.
const FETCH_LEN_MAX: usize = 256 << 20;
/// Of what there is, the part that is worth growing by.
const STEPS_MIN: usize = 8;
/// Before a source is asked again that has taken nothing on, though all has arrived that it was asked for.
pub(crate) const A_MOMENT: Duration = Duration::from_millis(1);
