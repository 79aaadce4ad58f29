//! The memory that the calls of one sealer or opener share.
//! Knows nothing of what they do with it.

use std::process;

use cofferdam::Budget;

/// A budget, and the process that it is of. A process that is forked has a copy of it in which the streams of other threads hold their
/// shares for ever.
#[derive(Clone)]
pub(crate) struct SharedMemory {
    bytes: usize,
    budget: Budget,
    process: u32,
}

impl SharedMemory {
    pub(crate) fn new(bytes: usize) -> SharedMemory {
        SharedMemory { bytes, budget: Budget::new(bytes), process: process::id() }
    }

    /// What a call of this process draws from.
    pub(crate) fn budget(&self) -> Budget {
        match self.process == process::id() {
            true => self.budget.clone(),
            false => Budget::new(self.bytes),
        }
    }
}
