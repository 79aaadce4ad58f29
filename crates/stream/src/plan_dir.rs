//! A private directory in the state directory, for the plan of a tree's sealing: it names the tree's files in clear.
//! It knows no plan, and no tree.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest as _, Sha256};

use crate::sealing_state::{StatePlace, real_path};
use crate::state_dir::StateDir;
use crate::{Error, ErrorKind};

/// A directory that only this user may enter, locked as long as this lives. When it is dropped, the directory goes with all that is in it,
/// unless the state of an interrupted sealing of its output is kept: then the sealing resumes by what is in it.
#[derive(Debug)]
pub struct PlanDir {
    states: StateDir,
    name: String,
    path: PathBuf,
    /// Holds the lock.
    _locked: OwnedFd,
    /// Where the output's state is; none where nothing is kept.
    place: Option<StatePlace>,
}

impl PlanDir {
    /// For the sealing of a file at `output` that can be resumed. What an interrupted one has left is still in it.
    ///
    /// # Errors
    /// [`ErrorKind::TargetLocked`] where another sealing of the same output is at work; as of a state that cannot be kept.
    pub fn of_output(state_dir: &Path, output: &Path) -> Result<PlanDir, Error> {
        let states = StateDir::create(state_dir)?;
        let real = real_path(output)
            .map_err(|error| Error::io("the output's directory could not be examined", error))?;
        let place = StatePlace::new(StateDir::create(state_dir)?, real);
        let name = place.plan_name();
        match states.lock_directory(&name)? {
            Some(locked) => Ok(PlanDir::new(states, name, locked, Some(place))),
            None => {
                Err(Error::new(ErrorKind::TargetLocked, "another process is sealing a tree to this output")
                    .advise("Wait for it to end, or stop it."))
            }
        }
    }

    /// For a sealing that leaves nothing. What those have left that were killed is removed.
    ///
    /// # Errors
    /// As of a state that cannot be kept.
    pub fn unnamed(state_dir: &Path) -> Result<PlanDir, Error> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let states = StateDir::create(state_dir)?;
        states.sweep_directories(|name| name.starts_with(PREFIX) && name.ends_with(PLAN_EXTENSION));
        loop {
            // Relaxed: the numbers have to differ, and nothing else.
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("{PREFIX}{}-{number}{PLAN_EXTENSION}", process::id());
            // One that is locked is another's, in a container with process numbers of its own.
            if let Some(locked) = states.lock_directory(&name)? {
                return Ok(PlanDir::new(states, name, locked, None));
            }
        }
    }

    fn new(states: StateDir, name: String, locked: OwnedFd, place: Option<StatePlace>) -> PlanDir {
        let path = states.path_of(&name);
        PlanDir { states, name, path, _locked: locked, place }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the state of an interrupted sealing of its output is kept, whatever of.
    ///
    /// # Errors
    /// It cannot be read, or is not this user's alone.
    pub fn has_sealing(&self) -> Result<bool, Error> {
        match &self.place {
            Some(place) => Ok(place.find_any()?.is_some()),
            None => Ok(false),
        }
    }
}

impl Drop for PlanDir {
    fn drop(&mut self) {
        // What cannot be looked at may still be of use.
        if !self.has_sealing().unwrap_or(true) {
            // Where it cannot be removed, the next sealing does.
            let _ = self.states.remove_directory(&self.name);
        }
    }
}

/// A name, in hexadecimal, for whatever a plan is of.
pub fn plan_digest(what: &[u8]) -> String {
    Sha256::digest(what).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What names of directories of plans end in.
pub(crate) const PLAN_EXTENSION: &str = ".tree";
/// What those begin with of which nothing is kept.
const PREFIX: &str = "walk-";

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails by panicking.
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_directory_of_plans_is_private_locked_and_gone_in_the_end() {
        let scratch = tempfile::tempdir().unwrap();
        let (states, output) = (scratch.path().join("states"), scratch.path().join("out"));
        let plans = PlanDir::of_output(&states, &output).unwrap();
        fs::write(plans.path().join("plan"), "names").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(plans.path()), mode(&states)), (0o700, 0o700));
        let second = PlanDir::of_output(&states, &output).unwrap_err();
        assert_eq!(second.kind(), ErrorKind::TargetLocked);
        let (one, other) = (PlanDir::unnamed(&states).unwrap(), PlanDir::unnamed(&states).unwrap());
        assert!(one.path() != other.path() && one.path().is_dir() && other.path().is_dir());
        drop((one, other, plans));
        assert_eq!(fs::read_dir(&states).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_sealing_has_left_goes_and_what_is_at_work_stays() {
        let scratch = tempfile::tempdir().unwrap();
        let at_work = PlanDir::unnamed(scratch.path()).unwrap();
        let left = scratch.path().join("walk-1-1.tree");
        fs::create_dir(&left).unwrap();
        fs::set_permissions(&left, fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(left.join("plan"), "names").unwrap();
        let _next = PlanDir::unnamed(scratch.path()).unwrap();
        assert!(at_work.path().exists() && !left.exists());
    }

    #[test]
    fn what_others_could_have_put_there_is_not_believed() {
        let scratch = tempfile::tempdir().unwrap();
        let (states, output) = (scratch.path().join("states"), scratch.path().join("out"));
        let path = PlanDir::of_output(&states, &output).unwrap().path().to_owned();
        let theirs = scratch.path().join("theirs");
        fs::create_dir(&theirs).unwrap();
        symlink(&theirs, &path).unwrap();
        assert!(PlanDir::of_output(&states, &output).is_err());
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(PlanDir::of_output(&states, &output).unwrap_err().kind(), ErrorKind::JournalMismatch);
    }
}
