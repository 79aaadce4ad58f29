//! What lies beside a target, for whoever asks or wants it gone: lengths, and the removal under both locks.
//! Knows nothing of what an attempt was about.

use std::{
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf},
};

use contract::IfExists;
use storage::{Ownership, TargetDir, TargetError};

use super::{StagedFile, locked_file::LockedFile, names::Names, opening::Site, probe};
use crate::journal::Journal;

/// The files beside a target.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Beside {
    /// The staging file and its length in bytes.
    pub staging: Option<(PathBuf, u64)>,
    /// The journal.
    pub journal: Option<PathBuf>,
}

/// Where writers of a target make, find and remove files of their own, whatever is there now.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PathsBeside {
    /// Of the staging file.
    pub staging: PathBuf,
    /// Of the journal.
    pub journal: PathBuf,
    /// Of the empty files with which it is tried what the file system can do.
    pub probes: [PathBuf; 2],
}

impl StagedFile {
    /// The paths beside `target` that its writers use; a symbolic link is followed. Nothing is looked at but what they depend on.
    ///
    /// # Errors
    /// Whatever keeps the directory from being read.
    pub fn paths_beside(target: impl AsRef<Path>) -> Result<PathsBeside, TargetError> {
        let Site { target_dir, names } = Site::new(TargetDir::resolve(target.as_ref(), IfExists::Replace)?);
        let at = |name: &OsStr| target_dir.sibling(name);
        let [probe, second] = &names.probes;
        Ok(PathsBeside {
            staging: at(&names.staging),
            journal: at(&names.journal),
            probes: [at(probe), at(second)],
        })
    }

    /// What lies beside `target` now, whoever it belongs to; a symbolic link is followed. Nothing is locked or changed.
    ///
    /// # Errors
    /// Whatever keeps the directory from being read.
    pub fn beside(target: impl AsRef<Path>) -> Result<Beside, TargetError> {
        let target = target.as_ref();
        let Site { target_dir, names } = Site::new(TargetDir::resolve(target, IfExists::Replace)?);
        let len_at = |name: &OsStr| match target_dir.storage.open(name) {
            Ok(Some(file)) => file.len().map(Some),
            Ok(None) => Ok(None),
            // It is there, and no more can be said of it.
            Err(error) if is_in_the_way(&error) => Ok(Some(0)),
            Err(error) => Err(error),
        };
        let look = |name: &OsStr| {
            let path = target_dir.sibling(name);
            match len_at(name) {
                Ok(len) => Ok(len.map(|len| (path, len))),
                Err(error) => Err(TargetError::io(&path, "examine", error)),
            }
        };
        Ok(Beside { staging: look(&names.staging)?, journal: look(&names.journal)?.map(|(path, _)| path) })
    }

    /// Removes what lies beside `target`, durably, and says which files that were. The target stays as it is.
    ///
    /// # Errors
    /// [`TargetError::Held`] where a writer is at work; what is not ours is refused, and then nothing is removed.
    pub fn remove_beside(target: impl AsRef<Path>) -> Result<Vec<PathBuf>, TargetError> {
        let target = target.as_ref();
        Site::new(TargetDir::resolve(target, IfExists::Replace)?).remove()
    }

    /// The same of a target that was resolved before, whatever stands at its name now.
    ///
    /// # Errors
    /// As there.
    pub fn remove_at(target_dir: TargetDir) -> Result<Vec<PathBuf>, TargetError> {
        Site::new(target_dir).remove()
    }

    /// The name of the staging file of a target that was resolved before.
    pub fn staging_name(target_dir: &TargetDir) -> OsString {
        Names::beside(&target_dir.name, target_dir.name_len_max()).staging
    }
}

impl Site {
    fn remove(self) -> Result<Vec<PathBuf>, TargetError> {
        let target_dir = &self.target_dir;
        let journal = LockedFile::find(target_dir, &self.names.journal)?;
        if let Some(journal) = &journal {
            target_dir.check_ours(&journal.name, &*journal.file)?;
        }
        let staging = LockedFile::find(target_dir, &self.names.staging)?;
        if let Some(staging) = &staging {
            self.check_removable(staging, journal.as_ref())?;
        }
        if let Some(journal) = &journal {
            // First, so that nothing vouches for the staging file whenever a crash comes.
            let path = target_dir.sibling(&journal.name);
            Journal::erase(&*journal.file).map_err(|error| TargetError::io(&path, "remove", error))?;
        }
        let mut removed = Vec::new();
        if staging.is_some() || journal.is_some() {
            // Under the locks, as they are made.
            removed.extend(probe::remove_left(target_dir, &self.names.probes)?);
        }
        for locked_file in staging.iter().chain(&journal) {
            let path = target_dir.sibling(&locked_file.name);
            locked_file.remove(target_dir).map_err(|error| TargetError::io(&path, "remove", error))?;
            removed.push(path);
        }
        if !removed.is_empty() {
            let path = target_dir.directory_path();
            target_dir.storage.sync().map_err(|error| TargetError::io(&path, "sync", error))?;
        }
        Ok(removed)
    }

    /// A second name is no reason to keep this one: only what belongs to someone else is, and did not get its owner from us.
    fn check_removable(&self, staging: &LockedFile, journal: Option<&LockedFile>) -> Result<(), TargetError> {
        let path = self.target_dir.sibling(&staging.name);
        if let Some(journal) = journal {
            let records = Journal::read(&*journal.file);
            let intent = records
                .map_err(|error| TargetError::io(&self.target_dir.sibling(&journal.name), "read", error))?
                .intent;
            if self.is_announced(&intent, staging)? {
                return Ok(());
            }
        }
        match staging.file.ownership().map_err(|error| TargetError::io(&path, "examine", error))? {
            Ownership::SomeoneElses { owner } => Err(TargetError::NotOurs { path, owner }),
            Ownership::Shared | Ownership::Ours => Ok(()),
        }
    }
}

fn is_in_the_way(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::PermissionDenied)
}
