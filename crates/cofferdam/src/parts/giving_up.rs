//! Giving a plan up: what its attempts have left is removed, and what a commit of it has put in place is told.
//! It plans nothing, and takes nothing back.

use std::ffi::OsStr;

use ::parts::PlanTarget;
use storage::TargetDir;

use super::PlannedRestore;
use super::attempts::AttemptsDir;
use super::commit::PUBLISHING;
use crate::{CancelToken, Error, ErrorKind};

/// What came of giving a plan up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum GivenUp {
    /// What was kept for it has been removed. No commit of it has put anything in place.
    Removed,
    /// A commit of it has put the target in place before. What was left beside that has been removed, and the plan is noted as committed.
    WasInPlace,
    /// What was kept for it has been removed. A commit that was interrupted may have put the target in place; something else stands there since, or nothing.
    MayHaveBeenInPlace,
    /// Nothing is kept for it there: it was given up before, or its file system is not mounted here, or its directory was moved.
    NothingFound,
}

impl PlannedRestore {
    /// Gives the plan up: removes what attempts have written or sent, and what an interrupted commit has left, and no part can be run any more. The target
    /// stays what it is: what a commit has put in place, though it was killed before it had noted that, is told, and brought to its end.
    ///
    /// # Errors
    /// [`ErrorKind::TargetLocked`]: somebody is committing. [`ErrorKind::JournalMismatch`]: it is not the plan that was made; or, of an object, nothing is
    /// kept here, but the store has what was sent.
    /// [`ErrorKind::DurabilityUnknown`]: the target is in place, and may not survive a power cut, or could not be noted. Something cannot be removed.
    pub fn give_up(&self) -> Result<GivenUp, Error> {
        let target_dir = self.target_dir()?;
        let Some(attempts) = self.attempts_left(&target_dir)? else {
            if self.is_committed()? {
                return Ok(GivenUp::WasInPlace);
            }
            return self.refuse_kept_upload().map(|()| GivenUp::NothingFound);
        };
        let lock = attempts.lock()?;
        let given_up = self.settle(&target_dir, &attempts)?;
        attempts.remove_all(&target_dir, self.plan.id(), Some(lock))?;
        Ok(given_up)
    }

    /// Does what a commit has left to do, or removes what it has staged.
    fn settle(&self, target_dir: &TargetDir, attempts: &AttemptsDir) -> Result<GivenUp, Error> {
        if self.is_committed()? {
            return Ok(GivenUp::WasInPlace);
        }
        let is_file = matches!(self.plan.target(), PlanTarget::Path(_));
        let is_in_place = match is_file {
            true => self.published(target_dir, attempts).map(|done| done.is_some()),
            false => self.is_completed(attempts, &CancelToken::new()),
        };
        let given_up = match is_in_place {
            Ok(true) => return self.note_committed().map(|()| GivenUp::WasInPlace),
            Ok(false) => {
                if is_file {
                    // Before what it names goes: whoever comes after a kill in between is not to take that for what was the target.
                    attempts.remove(OsStr::new(PUBLISHING))?;
                }
                GivenUp::Removed
            }
            // It keeps a commit from replacing what stands there, and nobody from giving up.
            Err(error) if error.kind() == ErrorKind::JournalMismatch => GivenUp::MayHaveBeenInPlace,
            Err(error) => return Err(error),
        };
        if is_file {
            return self.discard_staged().map(|()| given_up);
        }
        self.abort_upload()?;
        self.look_after_abort(attempts, given_up)
    }
}
