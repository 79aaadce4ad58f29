//! What is kept for a target between two runs, where that is a directory or becomes one.
//! It joins what the engine and the sink of trees say, and looks at nothing itself.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
#[cfg(feature = "parts")]
use storage::OnPartial;
use storage::TargetError;
use stream::PARTS_ID;
use tree_sink::{Placement, TreeLeft, TreeLeftovers, look};

use crate::trees::{NOT_OURS, target_error};
use crate::{Attempt, Error, ErrorKind, Leftovers, Within};

/// Says what is kept for `target`, beside it, in it if that is a directory, and, where that is given, in `state_dir`. It changes nothing, and needs
/// no key. The answer can be outdated immediately.
///
/// # Errors
/// What keeps the target's directory from being read; a `state_dir` that others can write.
pub fn leftovers(target: impl AsRef<Path>, state_dir: Option<&Path>) -> Result<Leftovers, Error> {
    let target = target.as_ref();
    let mut found = stream::leftovers(target, state_dir)?;
    // As whoever names a directory may: a slash at the end is none of its name.
    let path = target.components().as_path();
    if path.file_name().is_some()
        && let Some(beside) = look(path, Placement::Whole).map_err(Error::target)?
        && is_of_tree(path, &beside)
    {
        (found.attempt, found.problems) = told(beside.found);
        // Its own length says nothing of what is in it.
        found.staging = beside.staging;
    }
    if found.attempt == Attempt::Nothing
        && let Some((staging, _)) = &found.staging
        && let Some(problem) = of_another_user(staging)
    {
        found.problems.push(problem);
    }
    if target.is_dir()
        && let Some(within) = look(path, Placement::Into).map_err(Error::target)?
    {
        let (attempt, problems) = told(within.found);
        found.within = Some(Within::new(attempt, within.staging, within.journal, problems));
    }
    #[cfg(feature = "parts")]
    look_for_private(path, &mut found)?;
    Ok(found)
}

/// Of a file that a restore of a file replaces, and nothing else here does.
fn of_another_user(staging: &Path) -> Option<String> {
    let there = staging.symlink_metadata().ok()?;
    let is_anothers = there.is_file() && there.uid() != geteuid().as_raw();
    is_anothers.then(|| {
        format!(
            "{} is another user's: a restore of a file replaces it, one of a directory and a removal of what is kept refuse it",
            staging.display()
        )
    })
}

/// What many processes, or many streams, have left in a directory of their own.
#[cfg(feature = "parts")]
fn look_for_private(target: &Path, found: &mut Leftovers) -> Result<(), Error> {
    // What is no place for a target has nothing beside it.
    let Ok(target_dir) = storage::TargetDir::resolve(target, contract::IfExists::Refuse) else {
        return Ok(());
    };
    found.parts = crate::parts::beside(&target_dir)?;
    #[cfg(feature = "signatures")]
    {
        found.shards = crate::shards::beside(&target_dir)?;
    }
    if found.attempt == Attempt::Nothing {
        found.attempt = match (&found.shards, found.parts.is_empty()) {
            (Some(_), _) => Attempt::Shards,
            (None, false) => Attempt::Parts,
            (None, true) => Attempt::Nothing,
        };
    }
    #[cfg(feature = "signatures")]
    if found.attempt == Attempt::Shards
        && let Some(refused) = crate::shards::refusal(&target_dir)
    {
        found.attempt = Attempt::InTheWay;
        found.problems.push(refused.to_string());
    }
    Ok(())
}

/// Whether the next restore of a tree, and not of a file, would meet it: a directory is staged, or would be replaced, or what is there is no file either.
fn is_of_tree(target: &Path, beside: &TreeLeftovers) -> bool {
    let is_file = |path: &PathBuf| path.symlink_metadata().is_ok_and(|found| found.is_file());
    target.is_dir() || beside.staging.as_ref().is_some_and(|(staging, _)| !is_file(staging))
}

fn told(found: TreeLeft) -> (Attempt, Vec<String>) {
    match found {
        TreeLeft::Unfinished(attempt_id) if attempt_id.as_bytes().starts_with(PARTS_ID) => {
            (Attempt::Parts, Vec::new())
        }
        TreeLeft::Unfinished(_) => (Attempt::Restore, Vec::new()),
        TreeLeft::HalfMoved { goes_on: true } => (Attempt::Moving, Vec::new()),
        TreeLeft::HalfMoved { goes_on: false } => (
            Attempt::Nothing,
            vec!["some of what was chosen has been moved into the directory: the same restore has to replace it".to_owned()],
        ),
        TreeLeft::Published { has_old_tree: false } => (Attempt::Published, Vec::new()),
        TreeLeft::Published { has_old_tree: true } => {
            (Attempt::Published, vec![format!("{OLD_TREE}; the same restore puts it away")])
        }
        TreeLeft::Refused(error) => (Attempt::InTheWay, vec![refused(error)]),
        _ => (Attempt::Nothing, Vec::new()),
    }
}

/// Why the next restore of a tree refuses it, as that says it.
fn refused(error: TargetError) -> String {
    let said = error.to_string();
    let refused = target_error(error);
    match refused.advice() {
        Some(advice) if advice == NOT_OURS => format!("{refused}. {advice}"),
        _ => said,
    }
}

/// Nothing that was replaced is removed for being in the way.
fn not_removed(target: &Path, error: TargetError) -> Error {
    let is_old_tree = matches!(
        look(target, Placement::Whole),
        Ok(Some(TreeLeftovers { found: TreeLeft::Published { has_old_tree: true }, .. }))
    );
    match error {
        TargetError::InTheWay { staging } if is_old_tree => {
            Error::new(ErrorKind::Io, format!("{}: {OLD_TREE}", staging.display())).advise(
                "Nothing was removed. The same restore puts it away; or move it to where you want it.",
            )
        }
        error => target_error(error),
    }
}

const OLD_TREE: &str =
    "this is the directory that was replaced, by a restore that was cut off before it had put it away";

/// Refuses what would remove that which a plan's commit is about to put in place. Once it is gone, no commit can tell whether it was put there and replaced since, and
/// all parts are for nothing.
///
/// # Errors
/// [`ErrorKind::JournalMismatch`](crate::ErrorKind::JournalMismatch).
#[cfg(feature = "parts")]
pub(crate) fn refuse_staged_of_plan(target: &Path) -> Result<(), Error> {
    // What cannot be looked at is refused where it is removed.
    let (Ok(found), Ok(target_dir)) =
        (leftovers(target, None), storage::TargetDir::resolve(target, contract::IfExists::Refuse))
    else {
        return Ok(());
    };
    let Some((staging, _)) = found.staging else { return Ok(()) };
    match crate::parts::plan_that_stages(&target_dir, staging.file_name().unwrap_or_default())? {
        Some(plan) => {
            let what = format!(
                "{} is of a plan whose commit has not ended, and whose parts are in {}",
                staging.display(),
                plan.display()
            );
            Err(Error::new(ErrorKind::JournalMismatch, what).advise(
                "Commit that plan again, or give it up, which removes both. If the plan is lost, remove the directory yourself before.",
            ))
        }
        None => Ok(()),
    }
}

/// The same of what begins anew: a restore, a receiver, a sealing.
#[cfg(feature = "parts")]
pub(crate) fn refuse_restart_over_plan(target: &Path, on_partial: OnPartial) -> Result<(), Error> {
    match on_partial {
        OnPartial::Discard => refuse_staged_of_plan(target),
        OnPartial::Resume => Ok(()),
    }
}

/// Removes what is kept for `target`, beside it and in `state_dir`, and says which files that were: of restores, of files, of trees and of shards, and of
/// sealings. The target stays as it is, and so does what belongs to a plan: that is given up by its own command.
///
/// # Errors
/// [`ErrorKind::TargetLocked`](crate::ErrorKind::TargetLocked) where something is at work on it; what is not this user's, and what may be somebody's only copy, is refused;
/// so is what a plan's commit has staged, as long as the plan's parts are there ([`ErrorKind::JournalMismatch`](crate::ErrorKind::JournalMismatch)).
pub fn discard(target: impl AsRef<Path>, state_dir: Option<&Path>) -> Result<Vec<PathBuf>, Error> {
    // As whoever names a directory may: a slash at the end is none of its name.
    let target = target.as_ref().components().as_path();
    // First: what has been removed is not told by an error.
    state_dir.map_or(Ok(()), stream::check_state_dir)?;
    #[cfg(feature = "parts")]
    refuse_staged_of_plan(target)?;
    let mut removed = match tree_sink::is_beside(target) {
        Ok(true) => tree_sink::remove_beside(target).map_err(|error| not_removed(target, error))?,
        // Nothing of a tree can be there.
        Ok(false) | Err(TargetError::NoDirectory { .. } | TargetError::NoName { .. }) => Vec::new(),
        Err(error) => return Err(Error::target(error)),
    };
    match tree_sink::remove_probe(target) {
        Err(TargetError::NoDirectory { .. } | TargetError::NoName { .. }) => {}
        probe => removed.extend(probe.map_err(Error::target)?),
    }
    #[cfg(all(feature = "parts", feature = "signatures"))]
    removed.extend(crate::shards::discard(target)?);
    removed.extend(stream::discard(target, state_dir)?);
    Ok(removed)
}
