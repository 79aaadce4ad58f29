//! What is kept for a target between two runs: listing it and removing it.
//! It judges nothing of what it finds: an id says what an attempt calls itself, and only a run that resumes proves more.

use std::path::{Path, PathBuf};

use contract::IfExists;
use local::{Seen, StagedFile};
use storage::TargetError;

use crate::checkpoint::sink_len_of;
use crate::restore_id::{PARTS_ID, RECEIVER_ID, RestoreId};
use crate::seal_resume::sealing_label;
use crate::sealing_state::{StatePlace, real_path};
use crate::state_dir::StateDir;
use crate::{Error, ErrorKind, StreamId};

/// What is kept for a target. Nothing in it has been proved, and nothing in it is secret.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Leftovers {
    /// What the journal beside the target says that was interrupted, or is at work.
    pub attempt: Attempt,
    /// The staging file beside the target, and its length in bytes: plaintext of a restore, sealed bytes of a sealing. Or the directory, and the bytes
    /// that are allocated to the files beneath it, as far as this user may look.
    pub staging: Option<(PathBuf, u64)>,
    /// The journal beside the target.
    pub journal: Option<PathBuf>,
    /// Bytes of a restore, or of what is received, that are durable, as the journal says without a key to check that.
    pub durable_len: Option<u64>,
    /// Where the state of a sealing is.
    pub state: Option<PathBuf>,
    /// The stream of that sealing, and its input's length in bytes, where the state can be used.
    pub sealing: Option<(StreamId, u64)>,
    /// Where the plan of a tree's sealing is, which names the tree's files.
    pub plan: Option<PathBuf>,
    /// The private directory of shards that are to become the target.
    pub shards: Option<PathBuf>,
    /// Private directories of plans by which the target is restored in parts.
    pub parts: Vec<PathBuf>,
    /// Why a journal or a state cannot be used.
    pub problems: Vec<String>,
    /// Of a directory: what a restore into it has left in it.
    pub within: Option<Within>,
}

/// What is kept in a directory that is the target.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Within {
    /// What was interrupted, or is at work.
    pub attempt: Attempt,
    /// What is at the private directory's name, and the bytes that are allocated to the files beneath it, as far as this user may look.
    pub staging: Option<(PathBuf, u64)>,
    /// The journal.
    pub journal: Option<PathBuf>,
    /// Why it cannot be used, or what to look at.
    pub problems: Vec<String>,
}

impl Within {
    #[doc(hidden)]
    pub fn new(
        attempt: Attempt,
        staging: Option<(PathBuf, u64)>,
        journal: Option<PathBuf>,
        problems: Vec<String>,
    ) -> Within {
        Within { attempt, staging, journal, problems }
    }
}

/// What was interrupted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Attempt {
    /// Nothing that could be resumed.
    Nothing,
    /// A restore.
    Restore,
    /// A sealing.
    Sealing,
    /// A receiver's, of a restore that runs elsewhere.
    Receiving,
    /// A restore of shards.
    Shards,
    /// A restore in parts, by a plan.
    Parts,
    /// Something that this release does not know.
    Unknown,
    /// It had put the target in place, and was interrupted during cleanup.
    Published,
    /// A restore into a directory, which was moving files there.
    Moving,
    /// Something is at a name that the next run needs, and refuses.
    InTheWay,
}

impl Leftovers {
    /// Whether nothing is kept at all.
    pub fn is_empty(&self) -> bool {
        self.is_empty_beside() && self.within.is_none()
    }

    /// Whether nothing is kept but what may be in the target.
    pub fn is_empty_beside(&self) -> bool {
        let is_none = self.staging.is_none() && self.journal.is_none() && self.shards.is_none();
        is_none && self.state.is_none() && self.plan.is_none() && self.parts.is_empty()
    }
}

/// Says what is kept for `target`, beside it and, where that is given, in `state_dir`. It changes nothing, and needs
/// no key. The answer can be outdated immediately.
///
/// # Errors
/// What keeps the target's directory from being read; a `state_dir` that others can write.
pub fn leftovers(target: impl AsRef<Path>, state_dir: Option<&Path>) -> Result<Leftovers, Error> {
    let target = target.as_ref();
    let beside = StagedFile::beside(target).map_err(unreadable)?;
    let mut found = Leftovers {
        attempt: Attempt::Nothing,
        staging: beside.staging,
        journal: beside.journal,
        durable_len: None,
        state: None,
        sealing: None,
        plan: None,
        shards: None,
        parts: Vec::new(),
        problems: Vec::new(),
        within: None,
    };
    match StagedFile::examine(target, IfExists::Replace) {
        Ok(Seen::Nothing) => {}
        Ok(Seen::Published { .. }) => found.attempt = Attempt::Published,
        Ok(Seen::Unfinished { attempt_id, checkpoint }) if RestoreId::is_one(attempt_id.as_bytes()) => {
            found.attempt = Attempt::Restore;
            found.durable_len = checkpoint.as_ref().map(sink_len_of);
        }
        Ok(Seen::Unfinished { attempt_id, .. }) if attempt_id == sealing_label() => {
            found.attempt = Attempt::Sealing
        }
        Ok(Seen::Unfinished { attempt_id, checkpoint }) if attempt_id.as_bytes() == RECEIVER_ID => {
            found.attempt = Attempt::Receiving;
            found.durable_len = checkpoint.as_ref().map(sink_len_of);
        }
        Ok(Seen::Unfinished { attempt_id, .. }) if attempt_id.as_bytes().starts_with(PARTS_ID) => {
            found.attempt = Attempt::Parts
        }
        Ok(Seen::Unfinished { .. }) => found.attempt = Attempt::Unknown,
        Err(error) => {
            found.attempt = Attempt::Unknown;
            found.problems.push(error.to_string());
        }
    }
    if let Some(place) = state_place(target, state_dir)? {
        look_for_state(&place, &mut found);
        found.plan = place.plan_path();
    }
    Ok(found)
}

/// Removes what is kept for `target`, beside it and in `state_dir`, and says which files that were. The target stays as it
/// is.
///
/// # Errors
/// [`crate::ErrorKind::TargetLocked`] where something is at work on it; what is not this user's is refused.
pub fn discard(target: impl AsRef<Path>, state_dir: Option<&Path>) -> Result<Vec<PathBuf>, Error> {
    let target = target.as_ref();
    let place = state_place(target, state_dir)?;
    let state = match &place {
        Some(place) => place.find_any()?,
        None => None,
    };
    let mut removed = StagedFile::remove_beside(target).map_err(refused)?;
    // Only the state that stood there before: whoever has begun since has one of its own.
    if let (Some(place), Some(bytes)) = (&place, state)
        && place.remove_same(&bytes)?
    {
        removed.push(place.path());
    }
    if let Some(place) = place {
        removed.extend(place.remove_plan()?);
    }
    Ok(removed)
}

/// Refuses a directory of states that [`discard`] would refuse: for whoever removes something else before.
///
/// # Errors
/// As there.
#[doc(hidden)]
pub fn check_state_dir(state_dir: &Path) -> Result<(), Error> {
    StateDir::open(state_dir).map(drop)
}

fn look_for_state(place: &StatePlace, found: &mut Leftovers) {
    match place.find() {
        Ok(None) => {}
        Ok(Some(state)) => {
            found.state = Some(place.path());
            found.sealing = Some((state.stream_id, state.input.len()));
        }
        Err(error) => {
            found.state = Some(place.path());
            found.problems.push(error.to_string());
        }
    }
}

/// The place of the target's state, if there is a directory of states.
fn state_place(target: &Path, state_dir: Option<&Path>) -> Result<Option<StatePlace>, Error> {
    let Some(directory) = state_dir else { return Ok(None) };
    let Some(directory) = StateDir::open(directory)? else { return Ok(None) };
    let real = real_path(target).map_err(|error| {
        Error::io(format!("{}: its directory could not be examined", target.display()), error)
    })?;
    Ok(Some(StatePlace::new(directory, real)))
}

/// Who asks what is kept is not told to make the directory first.
fn unreadable(error: TargetError) -> Error {
    match &error {
        TargetError::NoDirectory { directory } => {
            let what = format!("{}: there is no such directory", directory.display());
            Error::new(ErrorKind::Io, what)
        }
        _ => Error::target(error),
    }
}

fn refused(error: TargetError) -> Error {
    let advice = match &error {
        TargetError::NotOurs { .. } => Some(
            "Nothing of another user's is removed here: look who has put it there, and remove it yourself.",
        ),
        TargetError::SomeoneElses { .. } => {
            Some("Its owner can remove it, or whoever administers this machine.")
        }
        TargetError::Held { .. } => Some("Wait for it to end, or stop it; then discard what it leaves."),
        _ => None,
    };
    let error = unreadable(error);
    match advice {
        Some(advice) => error.advise(advice),
        None => error,
    }
}
