//! Which call fails, how, and how often.
//! Knows nothing of what the calls do.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::io::Errno;
use storage::Storage;

use super::{Call, HookedStorage, Operation, SimulatedDisk};

/// How a call fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// EIO, and nothing is done.
    Io,
    /// ENOSPC, and nothing is done.
    NoSpace,
    /// EINTR, and nothing is done.
    Interrupted,
    /// A read or write does half of what was asked for; any other call is made in full.
    Short,
    /// A sync says that it was done, and was not; any other call is made in full.
    NotSynced,
}

impl Fault {
    /// Every fault that the caller can see.
    pub const ALL: [Fault; 4] = [Fault::Io, Fault::NoSpace, Fault::Interrupted, Fault::Short];

    /// The error that the call returns; none for [`Fault::Short`] and [`Fault::NotSynced`], which are not one.
    pub fn error(self) -> Option<io::Error> {
        match self {
            Fault::Io => Some(Errno::IO.into()),
            Fault::NoSpace => Some(Errno::NOSPC.into()),
            Fault::Interrupted => Some(Errno::INTR.into()),
            Fault::Short | Fault::NotSynced => None,
        }
    }
}

/// How often a fault strikes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Times {
    /// The k-th call alone.
    Once,
    /// The k-th call and every one after it. A signal comes at every second call: were each interrupted, calling
    /// again, as must be done, would never end.
    ForEver,
}

/// Makes the k-th call fail. Calls are counted from 1, over all files.
#[derive(Debug)]
pub struct FaultPlan {
    first: u64,
    fault: Fault,
    times: Times,
    calls: AtomicU64,
}

impl FaultPlan {
    /// The `first`-th call fails.
    pub fn new(first: u64, fault: Fault, times: Times) -> FaultPlan {
        FaultPlan { first, fault, times, calls: AtomicU64::new(0) }
    }

    /// Counts a call; tells whether it fails.
    pub fn next(&self) -> Option<Fault> {
        // One counter and nothing that depends on its order with other memory.
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let strikes = match (self.times, self.fault) {
            (Times::Once, _) => call == self.first,
            (Times::ForEver, Fault::Interrupted) => {
                call >= self.first && (call - self.first).is_multiple_of(2)
            }
            (Times::ForEver, _) => call >= self.first,
        };
        strikes.then_some(self.fault)
    }

    /// Calls counted so far.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

impl<S: Storage + 'static> HookedStorage<S> {
    /// A storage whose calls fail as planned.
    pub fn failing(storage: Arc<S>, plan: Arc<FaultPlan>) -> HookedStorage<S> {
        HookedStorage::new(storage, move |_| plan.next())
    }
}

impl SimulatedDisk {
    /// This disk with calls that fail as planned. Bytes that a failed sync was asked for stay in doubt.
    pub fn failing(&self, plan: Arc<FaultPlan>) -> HookedStorage<SimulatedDisk> {
        let disk = self.clone();
        HookedStorage::new(Arc::new(self.clone()), move |call: &Call<'_>| {
            let fault = plan.next();
            let is_sync = matches!(call.operation, Operation::SyncData | Operation::SyncAll);
            if let (true, Some(file)) = (is_sync && fault.and_then(Fault::error).is_some(), call.file) {
                disk.doubt(file);
            }
            fault
        })
    }
}
