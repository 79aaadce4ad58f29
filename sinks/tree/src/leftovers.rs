//! What an interrupted restore of a tree has left beside its target or in it: a look at it, and its removal.
//! Knows nothing of what the attempt was about.

use std::path::{Path, PathBuf};

use contract::AttemptId;
use local::journal_header::Header;
use storage::TargetError;

use crate::{
    journal::NAMELESS,
    options::Placement,
    recovery::{Evidence, Recovery, decide},
    target::Target,
};

/// Whether what is beside `target`, or in it, is of a restore of a tree: a directory, or a journal that speaks of one, which may be all that is left.
///
/// # Errors
/// Whatever keeps the directory from being read.
pub fn is_beside(target: impl AsRef<Path>) -> Result<bool, TargetError> {
    let target = target.as_ref();
    let is_left = |placement| -> Result<bool, TargetError> {
        let target = Target::open(target, placement)?;
        if target.is_directory_staged()? {
            return Ok(true);
        }
        Ok(match target.read_journal() {
            Ok(journal) => journal.is_some_and(|it| it.place.is_some() || it.intent.is_some()),
            // Beside a target it may be a file's, who says the same of it.
            Err(error) => return if target.is_merged() { Err(error) } else { Ok(false) },
        })
    };
    Ok(is_left(Placement::Whole)? || target.is_dir() && is_left(Placement::Into)?)
}

/// What a restore of a tree has left, and what the next one makes of it.
#[derive(Debug)]
#[non_exhaustive]
pub struct TreeLeftovers {
    /// What is at the private directory's name, whatever it is, and the room that it takes: of a directory, the bytes that are allocated to the files
    /// beneath it.
    pub staging: Option<(PathBuf, u64)>,
    /// What is at the journal's.
    pub journal: Option<PathBuf>,
    /// What the next restore of a tree makes of it.
    pub found: TreeLeft,
}

/// What was left by a restore of a tree.
#[derive(Debug)]
#[non_exhaustive]
pub enum TreeLeft {
    /// Nothing of use: the next restore removes it.
    Nothing,
    /// An attempt that can be gone on with, and its id. Whose it is, who goes on with it finds out.
    Unfinished(AttemptId),
    /// It was cut off while it was moving files into the target: some are there. With `goes_on` the same restore brings it to its end; otherwise that
    /// begins anew, and those files are there already.
    HalfMoved {
        /// Whether it can be gone on with.
        goes_on: bool,
    },
    /// It had put the target in place, and not tidied up.
    Published {
        /// Whether the tree that it has replaced is at the private directory's name.
        has_old_tree: bool,
    },
    /// The next restore refuses it, for this reason, and changes nothing.
    Refused(TargetError),
}

/// Looks at what is beside `target`, or in it, where a tree would be moved into it. It changes nothing and locks nothing: who is at work may be at work on it.
/// None: nothing is there.
///
/// # Errors
/// Whatever keeps the directory from being read.
pub fn look(target: impl AsRef<Path>, placement: Placement) -> Result<Option<TreeLeftovers>, TargetError> {
    let target = Target::open(target.as_ref(), placement)?;
    let (staging, journal) = (target.staged_len()?, target.has_journal()?);
    if staging.is_none() && !journal {
        return Ok(None);
    }
    let found = look_at(&target).unwrap_or_else(TreeLeft::Refused);
    Ok(Some(TreeLeftovers {
        staging: staging.map(|len| (target.staging_path(), len)),
        journal: journal.then(|| target.journal_path()),
        found,
    }))
}

fn look_at(target: &Target) -> Result<TreeLeft, TargetError> {
    let path = target.journal_path();
    target.check_staging()?;
    let Some(records) = target.read_journal()? else {
        // No journal vouches for what is there. Without anything in it it is nobody's.
        return target.check_empty_staging().map(|()| TreeLeft::Nothing);
    };
    let [staging, at_target] = target.ids()?;
    let is_moving = target.is_merged() && records.intent.is_some();
    match decide(&Evidence { records, staging, target: at_target }) {
        Recovery::Resume(attempt_id) => Ok(match (is_moving, attempt_id.as_bytes() == NAMELESS) {
            (true, is_nameless) => TreeLeft::HalfMoved { goes_on: !is_nameless },
            (false, true) => TreeLeft::Nothing,
            (false, false) => TreeLeft::Unfinished(attempt_id),
        }),
        Recovery::StartAnew { stale: Some(_) } => Ok(TreeLeft::Nothing),
        // Nothing says whose it is. Without anything in it it is nobody's.
        Recovery::StartAnew { stale: None } => target.check_empty_staging().map(|()| TreeLeft::Nothing),
        Recovery::Published { is_old_tree_there, .. } => {
            Ok(TreeLeft::Published { has_old_tree: is_old_tree_there })
        }
        Recovery::InTheWay => Err(TargetError::InTheWay { staging: target.staging_path() }),
        Recovery::Refuse(problem) => Err(TargetError::Journal { path, problem }),
    }
}

/// Removes what an interrupted restore of a tree has left beside `target`, durably, and says what that was. The target stays as it is. Of a restore that was
/// published, the tree that it replaced stays as well.
///
/// # Errors
/// [`TargetError::Held`] where a writer is at work; what is not this user's, or not known to be an attempt's, is refused, and then nothing is
/// removed.
pub fn remove_beside(target: impl AsRef<Path>) -> Result<Vec<PathBuf>, TargetError> {
    let any = |_: &Evidence| true;
    let mut removed = remove_of(Target::open(target.as_ref(), Placement::Whole)?, any)?;
    if target.as_ref().is_dir() {
        removed.extend(remove_of(Target::open(target.as_ref(), Placement::Into)?, any)?);
    }
    Ok(removed)
}

/// Removes what the attempt `attempt_id` has left beside `target`, if that is what is there and it has not put its tree in place; also what is nobody's any
/// more, as a removal that was cut off leaves it: with a journal that has no name and speaks of nothing but the directory that is there, or of none that is.
/// What is another's stays.
///
/// # Errors
/// As [`remove_beside`].
pub fn remove_attempt(target: impl AsRef<Path>, attempt_id: &AttemptId) -> Result<Vec<PathBuf>, TargetError> {
    let is_ours = |header: &Header| *header == Header::Valid(attempt_id.clone());
    let may_go = |found: &Evidence| is_ours(&found.records.header) || is_nobodys(found);
    let target = Target::open(target.as_ref(), Placement::Whole)?;
    let Some(records) = target.read_journal()? else { return Ok(Vec::new()) };
    let is_named_ours = is_ours(&records.header);
    let [staging, at_target] = target.ids()?;
    if !may_go(&Evidence { records, staging, target: at_target }) {
        return Ok(Vec::new());
    }
    match remove_of(target, may_go) {
        // Somebody else has just begun, and not said yet who that is.
        Err(TargetError::Held { .. }) if !is_named_ours => Ok(Vec::new()),
        removed => removed,
    }
}

/// Whether nobody goes on with what was found, and all that there is of it is known to be an attempt's.
fn is_nobodys(found: &Evidence) -> bool {
    match decide(found) {
        Recovery::Resume(attempt_id) => attempt_id.as_bytes() == NAMELESS,
        Recovery::StartAnew { stale: Some(_) } => true,
        Recovery::StartAnew { stale: None } => {
            let is_named = matches!(&found.records.header, Header::Valid(id) if id.as_bytes() != NAMELESS);
            found.staging.is_none() && !is_named
        }
        Recovery::Published { .. } | Recovery::InTheWay | Recovery::Refuse(_) => false,
    }
}

/// Of what is there under the lock, if it `may_go`.
fn remove_of(target: Target, may_go: impl Fn(&Evidence) -> bool) -> Result<Vec<PathBuf>, TargetError> {
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
    let found = Evidence { records, staging, target: at_target };
    let mut removed = Vec::new();
    if !may_go(&found) {
        return Ok(removed);
    }
    match decide(&found) {
        Recovery::Resume(_) | Recovery::StartAnew { stale: Some(_) } => {
            // First, so that nobody goes on with what is left whenever a crash comes. As long as some of it is there, the journal vouches for it.
            journal.give_up().map_err(|error| TargetError::io(&path, "write", error))?;
            if let Some(staging) = staging {
                target.remove_stale(staging)?;
                removed.push(target.staging_path());
            }
        }
        Recovery::StartAnew { stale: None } if staging.is_some() => {
            target.remove_empty_staging()?;
            removed.push(target.staging_path());
        }
        Recovery::StartAnew { stale: None } => {}
        Recovery::Published { is_old_tree_there: true, .. } | Recovery::InTheWay => {
            return Err(TargetError::InTheWay { staging: target.staging_path() });
        }
        Recovery::Published { is_old_tree_there: false, .. } => {}
        Recovery::Refuse(problem) => return Err(TargetError::Journal { path, problem }),
    }
    let synced = target.sync();
    synced.map_err(|error| TargetError::io(&target.path, "sync", error))?;
    journal.remove(&target.parent).map_err(|error| TargetError::io(&path, "remove", error))?;
    removed.push(path);
    target.sync().map_err(|error| TargetError::io(&target.path, "sync", error))?;
    Ok(removed)
}
