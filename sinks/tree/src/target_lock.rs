//! The lock of a directory that is replaced, or that a tree is moved into, and whether its path still leads to it.
//! Knows nothing of what is in it.

use std::{io, os::fd::AsFd, path::Path};

use cofferdam_io::{descriptor_path, retried};
use rustix::{
    fs::{AtFlags, CWD, FlockOperation, flock, statx},
    io::Errno,
};
use storage::Misplaced;

use crate::directory_id::{Found, MASK};

/// Locks a directory as long as it is open. By the lock, two that want the same directory see one another, whatever paths they came by. False: another
/// process has it.
pub(crate) fn lock(directory: &impl AsFd) -> Result<bool, Errno> {
    match retried(|| flock(directory, FlockOperation::NonBlockingLockExclusive)) {
        Err(Errno::WOULDBLOCK) => Ok(false),
        locked => locked.map(|()| true),
    }
}

/// Gives the lock up before the directory is closed.
pub(crate) fn unlock(directory: &impl AsFd) -> io::Result<()> {
    Ok(flock(directory, FlockOperation::Unlock)?)
}

/// Whether `path` leads to the directory that is open. Symbolic links are followed, as they were when it was opened.
///
/// # Errors
/// [`Misplaced::Renamed`] where it leads to another one, or to none.
pub(crate) fn check_path(directory: &impl AsFd, path: &Path) -> io::Result<()> {
    let ours = Found::of(directory)?;
    let leads_there = |path: &Path| {
        let there = statx(CWD, path, AtFlags::NO_AUTOMOUNT, MASK).map(Found::from);
        there.is_ok_and(|there| (there.id, there.device) == (ours.id, ours.device))
    };
    if leads_there(path) {
        return Ok(());
    }
    // Of one that was removed the system says the name that it had, and of one that something is mounted over its own.
    let now = std::fs::read_link(descriptor_path(directory)).ok().filter(|now| leads_there(now));
    Err(io::Error::other(Misplaced::Renamed { path: path.to_owned(), now }))
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        os::unix::fs::symlink,
    };

    use super::*;

    #[test]
    fn a_path_that_leads_to_another_directory_or_to_none_is_told_with_where_ours_is() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        fs::create_dir(at("target")).unwrap();
        symlink("target", at("link")).unwrap();
        let ours = File::open(at("link")).unwrap();
        let renamed = |name: &str| {
            let error = check_path(&ours, &at(name)).unwrap_err();
            let Some(Misplaced::Renamed { path, now }) =
                error.get_ref().and_then(|inner| inner.downcast_ref::<Misplaced>())
            else {
                panic!("{error}")
            };
            assert_eq!(*path, at(name));
            now.clone()
        };
        check_path(&ours, &at("target")).unwrap();
        check_path(&ours, &at("link")).unwrap();
        fs::rename(at("target"), at("elsewhere")).unwrap();
        let elsewhere = Some(at("elsewhere").canonicalize().unwrap());
        assert_eq!(renamed("link"), elsewhere);
        fs::create_dir(at("target")).unwrap();
        assert_eq!(renamed("target"), elsewhere);
        assert_eq!(renamed("link"), elsewhere);
        fs::remove_dir(at("elsewhere")).unwrap();
        assert_eq!(renamed("target"), None);
    }
}
