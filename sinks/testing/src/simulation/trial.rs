//! What a sweep tries: work over a disk that can be begun again after anything, and what it has promised so far.
//! Knows no sink, and not how the work is disturbed.

use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use contract::CommitError;
use storage::{Storage, TargetError};

use super::SimulatedDisk;

/// Work over a disk that is brought to its end, however often it is interrupted.
pub trait Trial: Sync {
    /// The disk before the first attempt.
    fn disk(&self) -> SimulatedDisk;

    /// One attempt. It recovers what earlier ones left, checks that nothing is missing of what they promised, and brings
    /// the work to its end, as a program would that is started again and again with the same arguments.
    ///
    /// # Errors
    /// [`Failure::Refused`]: the sink gave an error, and must have had a reason. [`Failure::Wrong`]: something is not as
    /// was promised.
    fn attempt(&self, storage: Arc<dyn Storage>, promises: &Promises) -> Result<Done, Failure>;

    /// What must hold whatever has happened, seen without recovering. `done`: the work has come to its end.
    ///
    /// # Errors
    /// What does not hold.
    fn check(&self, disk: &SimulatedDisk, done: bool) -> Result<(), String>;
}

/// When the work of an attempt that ended well was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Done {
    /// By this attempt: no power cut takes it back.
    Now,
    /// Before this attempt, which found nothing to do. Whether a power cut takes it back was said then: it may, where the
    /// last sync failed.
    Before,
}

/// How far attempts have said that they are durable, in whatever the trial counts.
#[derive(Debug, Default)]
pub struct Promises(AtomicU64);

impl Promises {
    /// What earlier attempts promised.
    pub fn after(count: u64) -> Promises {
        Promises(AtomicU64::new(count))
    }

    /// So many are durable from now on.
    pub fn make(&self, count: u64) {
        // The number itself is all that is shared.
        self.0.fetch_max(count, Ordering::Relaxed);
    }

    /// What was promised is given up, knowingly: the work begins again from its start.
    pub fn withdraw(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// So many must be there.
    pub fn made(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why an attempt did not come to its end.
#[derive(Debug)]
pub enum Failure {
    /// The sink or the storage gave an error.
    Refused(String),
    /// Something is not as was promised.
    Wrong(String),
}

impl Failure {
    /// Something is not as was promised.
    pub fn wrong(what: impl Into<String>) -> Failure {
        Failure::Wrong(what.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Refused(error) => write!(out, "refused: {error}"),
            Failure::Wrong(what) => write!(out, "wrong: {what}"),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Refused(error.to_string())
    }
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Failure {
        Failure::Refused(error.to_string())
    }
}

impl From<TargetError> for Failure {
    fn from(error: TargetError) -> Failure {
        Failure::Refused(error.to_string())
    }
}
