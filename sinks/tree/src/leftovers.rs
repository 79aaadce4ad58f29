//! The removal of what an interrupted restore of a tree has left beside its target.
//! Knows nothing of what the attempt was about.

use std::path::{Path, PathBuf};

use storage::TargetError;

use crate::{
    options::Placement,
    recovery::{Evidence, Recovery, decide},
    target::Target,
};

/// Whether what is beside `target` is, by its kind, of a restore of a tree.
///
/// # Errors
/// Whatever keeps the directory from being read.
pub fn is_beside(target: impl AsRef<Path>) -> Result<bool, TargetError> {
    let target = target.as_ref();
    let is_staged = |placement| Target::open(target, placement)?.is_directory_staged();
    Ok(is_staged(Placement::Whole)? || target.is_dir() && is_staged(Placement::Into)?)
}

/// Removes what an interrupted restore of a tree has left beside `target`, durably, and says what that was. The target stays as it is. Of a restore that was
/// published, the tree that it replaced stays as well.
///
/// # Errors
/// [`TargetError::Held`] where a writer is at work; what is not this user's, or not known to be an attempt's, is refused, and then nothing is
/// removed.
pub fn remove_beside(target: impl AsRef<Path>) -> Result<Vec<PathBuf>, TargetError> {
    let mut removed = remove_of(Target::open(target.as_ref(), Placement::Whole)?)?;
    if target.as_ref().is_dir() {
        removed.extend(remove_of(Target::open(target.as_ref(), Placement::Into)?)?);
    }
    Ok(removed)
}

fn remove_of(target: Target) -> Result<Vec<PathBuf>, TargetError> {
    let path = target.journal_path();
    let Some(journal) = target.find_journal()? else {
        return match target.ids()? {
            [None, _] => Ok(Vec::new()),
            // Without a journal nothing says what it is.
            [Some(_), _] => Err(TargetError::InTheWay { staging: target.staging_path() }),
        };
    };
    let records = journal.read().map_err(|error| TargetError::io(&path, "read", error))?;
    let [staging, at_target] = target.ids()?;
    let mut removed = Vec::new();
    match decide(&Evidence { records, staging, target: at_target }) {
        Recovery::Resume(_) | Recovery::StartAnew => {
            // First, so that nothing vouches for the directory whenever a crash comes.
            journal.erase().map_err(|error| TargetError::io(&path, "remove", error))?;
            target.remove_stale()?;
            removed.extend(staging.map(|_| target.staging_path()));
        }
        Recovery::Published { is_old_tree_there: true, .. } | Recovery::InTheWay => {
            return Err(TargetError::InTheWay { staging: target.staging_path() });
        }
        Recovery::Published { is_old_tree_there: false, .. } => {}
        Recovery::Refuse(problem) => return Err(TargetError::Journal { path, problem }),
    }
    journal.remove(&target.parent).map_err(|error| TargetError::io(&path, "remove", error))?;
    removed.push(path);
    target.sync().map_err(|error| TargetError::io(&target.path, "sync", error))?;
    Ok(removed)
}
