//! The private directory beside a target that shards become: its name, its lock, and what removes it.
//! It knows nothing of what is in it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use contract::IfExists;
use rustix::fs::{AtFlags, FlockOperation, flock, fstat, statat};
use rustix::io::Errno;
use storage::TargetDir;

use crate::private_dir::open_private;
use crate::{Error, ErrorKind};

/// Removes what is kept of shards for `target`, and says which directory that was.
pub(crate) fn discard(target: &Path) -> Result<Vec<PathBuf>, Error> {
    // What is no place for a target has nothing beside it; whoever discards the rest says what is wrong with it.
    let Ok(target_dir) = resolve(target) else { return Ok(Vec::new()) };
    let name = private_name(&target_dir);
    let path = target_dir.sibling(&name);
    let stat = statat(directory_of(&target_dir)?, &name, AtFlags::SYMLINK_NOFOLLOW);
    if matches!(stat, Err(Errno::NOENT)) {
        return Ok(Vec::new());
    }
    let Some(_locked) = lock(&target_dir, &name)? else { return Ok(Vec::new()) };
    fs::remove_dir_all(&path)
        .map_err(|error| Error::io(format!("{} could not be removed", path.display()), error))?;
    target_dir.storage.sync().map_err(|error| Error::io("the directory could not be synced", error))?;
    Ok(vec![path])
}

/// Opens the private directory and locks it; `None` if its name has gone, or is another's, by the time that it is locked.
pub(super) fn lock(target_dir: &TargetDir, name: &OsStr) -> Result<Option<OwnedFd>, Error> {
    let path = target_dir.sibling(name);
    let Some(private) = open_private(target_dir, name)? else { return Ok(None) };
    match flock(&private, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Err(busy(&path)),
        Err(error) => return Err(Error::io(format!("{} could not be locked", path.display()), error.into())),
    }
    let failed = |error: Errno| Error::io(format!("{} could not be examined", path.display()), error.into());
    let locked = fstat(&private).map_err(failed)?;
    match statat(directory_of(target_dir)?, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(standing) if (standing.st_dev, standing.st_ino) == (locked.st_dev, locked.st_ino) => {
            Ok(Some(private))
        }
        Ok(_) | Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// The place of a directory that is not there yet: a slash at its end is none of its name.
pub(super) fn resolve(target: &Path) -> Result<TargetDir, Error> {
    let target = target.components().as_path();
    TargetDir::resolve(target, IfExists::Refuse).map_err(Error::target)
}

pub(super) fn exists(target_dir: &TargetDir, path: &Path) -> Result<bool, Error> {
    match statat(directory_of(target_dir)?, &target_dir.name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(Error::io(format!("{} could not be examined", path.display()), error.into())),
    }
}

pub(super) fn busy(path: &Path) -> Error {
    Error::new(ErrorKind::TargetLocked, format!("another process is at work in {}", path.display()))
        .advise("Wait until it has ended.")
}

pub(super) fn directory_of(target_dir: &TargetDir) -> Result<BorrowedFd<'_>, Error> {
    target_dir.directory().ok_or_else(|| Error::new(ErrorKind::Usage, "the target is in no directory"))
}

pub(super) fn private_name(target_dir: &TargetDir) -> OsString {
    storage::names::beside(&target_dir.name, SUFFIX, target_dir.name_len_max())
}

const SUFFIX: &[u8] = b".cofferdam-shards";
const _: () = assert!(SUFFIX.len() <= storage::names::SUFFIX_LEN_MAX);
