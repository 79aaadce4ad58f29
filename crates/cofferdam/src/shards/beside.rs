//! The private directory beside a target that shards become: its name, its lock, and what removes it.
//! It knows nothing of what is in it.

use std::ffi::{OsStr, OsString};
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use contract::IfExists;
use rustix::fs::{AtFlags, FlockOperation, flock, fstat, statat};
use rustix::io::Errno;
use storage::{Storage as _, StorageFile, TargetDir};

use crate::private_dir::PrivateDir;
use crate::record_file::is_temporary;
use crate::{Error, ErrorKind};

/// Removes what is kept of shards for `target`, and says which directory that was. Whatever comes to its name meanwhile, what is removed is what was locked.
pub(crate) fn discard(target: &Path) -> Result<Vec<PathBuf>, Error> {
    // What is no place for a target has nothing beside it; whoever discards the rest says what is wrong with it.
    let Ok(target_dir) = resolve(target) else { return Ok(Vec::new()) };
    let name = private_name(&target_dir);
    let parent = directory_of(&target_dir)?;
    let Some(mut private) = lock_to_remove(&target_dir, &name)? else { return Ok(Vec::new()) };
    let names = private.names()?;
    if let Some(strange) = names.iter().find(|name| !is_ours(name)) {
        return Err(not_of_shards(&private.path().join(strange)));
    }
    // The shards first, and last what says whose they are: until they have gone, the same command restores them.
    let rank = |name: &OsStr| if name == SHARDS { 0 } else { 1 + u8::from(name == MANIFEST) };
    let mut names: Vec<OsString> = names.into_iter().filter(|name| name != LOCK).collect();
    names.sort_by_key(|name| rank(name));
    names.iter().try_for_each(|name| private.remove_whatever(name))?;
    private.remove_lock()?;
    if !is_called(&target_dir, &name, &private)? {
        return Err(moved(private.path()));
    }
    let path = private.path().to_owned();
    if !private.remove_itself(parent, &name)? {
        return Err(private.failed("could not be removed", Errno::NOTEMPTY.into()));
    }
    target_dir.storage.sync().map_err(|error| Error::io("the directory could not be synced", error))?;
    Ok(vec![path])
}

/// The private directory of shards beside a target, if something has its name.
pub(crate) fn beside(target_dir: &TargetDir) -> Result<Option<PathBuf>, Error> {
    let name = private_name(target_dir);
    let path = target_dir.sibling(&name);
    match statat(directory_of(target_dir)?, &name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(Some(path)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(Error::io(format!("{} could not be examined", path.display()), error.into())),
    }
}

/// Why the next restore of shards refuses what has the name of the private directory, if it does.
pub(crate) fn refusal(target_dir: &TargetDir) -> Option<Error> {
    PrivateDir::open(target_dir, &private_name(target_dir)).err()
}

/// The private directory, locked as long as this lives: by itself, which keeps others on this machine out until it has been removed, and by a file in
/// it, which keeps other machines out (on NFS a directory's lock does not leave the machine).
#[derive(Debug)]
pub(super) struct LockedDir {
    private: PrivateDir,
    lock: Option<Arc<dyn StorageFile>>,
}

impl LockedDir {
    /// One that is locked by itself already.
    fn of(private: PrivateDir) -> Result<LockedDir, Error> {
        let lock = private.lock(OsStr::new(LOCK))?.ok_or_else(|| busy(private.path()))?;
        // Whoever removes the directory takes the file's name away while it has the lock.
        let is_there = lock.stamp().and_then(|ours| {
            let there = private.disk().stamp_at(OsStr::new(LOCK))?;
            Ok(there.is_some_and(|there| there.inode == ours.inode))
        });
        match is_there.map_err(|error| private.failed("could not be examined", error))? {
            true => Ok(LockedDir { private, lock: Some(lock) }),
            false => Err(busy(private.path())),
        }
    }

    /// Removes the lock's file, of a directory that holds no shard any more.
    pub(super) fn remove_lock(&mut self) -> Result<(), Error> {
        self.private.remove(OsStr::new(LOCK))?;
        // Open, it would keep a name in the directory where files do that are removed while they are open (NFS).
        self.lock = None;
        Ok(())
    }
}

impl Deref for LockedDir {
    type Target = PrivateDir;

    fn deref(&self) -> &PrivateDir {
        &self.private
    }
}

impl AsFd for LockedDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.private.as_fd()
    }
}

/// Opens the private directory and locks it; `None` if its name has gone, or is another's, by the time that it is locked.
pub(super) fn lock(target_dir: &TargetDir, name: &OsStr) -> Result<Option<LockedDir>, Error> {
    let Some(private) = open_locked(target_dir, name)? else { return Ok(None) };
    match is_called(target_dir, name, &private)? {
        true => LockedDir::of(private).map(Some),
        false => Ok(None),
    }
}

/// The same; `None` if nothing of shards is there any more. One that was moved away in between still has them: nobody is told that nothing is kept.
fn lock_to_remove(target_dir: &TargetDir, name: &OsStr) -> Result<Option<LockedDir>, Error> {
    for _ in 0..ATTEMPTS_MAX {
        let Some(private) = open_locked(target_dir, name)? else { return Ok(None) };
        if is_called(target_dir, name, &private)? {
            return LockedDir::of(private).map(Some);
        }
        let links = fstat(&private).map(|found| found.st_nlink);
        let links = links.map_err(|error| private.failed("could not be examined", error.into()))?;
        if links > 0 && !private.names()?.is_empty() {
            return Err(moved_before(private.path()));
        }
        // Another process has removed it, and somebody may have begun anew since.
    }
    Err(busy(&target_dir.sibling(name)))
}

/// Opens what has the name, and locks it by itself.
fn open_locked(target_dir: &TargetDir, name: &OsStr) -> Result<Option<PrivateDir>, Error> {
    let Some(private) = PrivateDir::open(target_dir, name)? else { return Ok(None) };
    match flock(&private, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(private)),
        Err(Errno::WOULDBLOCK) => Err(busy(private.path())),
        Err(error) => Err(private.failed("could not be locked", error.into())),
    }
}

fn is_called(target_dir: &TargetDir, name: &OsStr, private: &PrivateDir) -> Result<bool, Error> {
    let failed = |error: Errno| private.failed("could not be examined", error.into());
    let opened = fstat(private).map_err(failed)?;
    match statat(directory_of(target_dir)?, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(standing) => Ok((standing.st_dev, standing.st_ino) == (opened.st_dev, opened.st_ino)),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

/// Whether a restore of shards puts something of this name into the private directory.
fn is_ours(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    name == SHARDS
        || name == MANIFEST
        || name == PUBLISHING
        || name == LOCK
        || bytes.starts_with(FINISHED)
        || is_temporary(bytes)
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

fn not_of_shards(path: &Path) -> Error {
    let what = format!("{} is nothing that a restore of shards has put there", path.display());
    Error::new(ErrorKind::JournalMismatch, what)
        .advise("Nothing was removed: look what the directory is, and give another name or move it away.")
}

fn moved(path: &Path) -> Error {
    let what =
        format!("{} was moved while it was removed, and what has its name is something else", path.display());
    Error::new(ErrorKind::JournalMismatch, what)
        .advise("Look who has moved it, and remove what it has become: no shard is in it any more.")
}

fn moved_before(path: &Path) -> Error {
    let what = format!("{} was moved away before anything of it was removed", path.display());
    Error::new(ErrorKind::JournalMismatch, what).advise(
        "Look who has moved it, and where it is: shards are in it, in clear. Then discard what stands there now.",
    )
}

pub(super) fn directory_of(target_dir: &TargetDir) -> Result<BorrowedFd<'_>, Error> {
    target_dir.directory().ok_or_else(|| Error::new(ErrorKind::Usage, "the target is in no directory"))
}

pub(super) fn private_name(target_dir: &TargetDir) -> OsString {
    storage::names::beside(&target_dir.name, SUFFIX, target_dir.name_len_max())
}

/// In the private directory: the one that is to become the target; the manifest's text; which directory is about to become the target; and, with a number,
/// what the file system says of a shard that is finished; the lock's file.
pub(super) const SHARDS: &str = "shards";
pub(super) const LOCK: &str = "lock";
pub(super) const MANIFEST: &str = "manifest";
pub(super) const PUBLISHING: &str = "publishing";
pub(super) const FINISHED: &[u8] = b"finished-";
const SUFFIX: &[u8] = b".cofferdam-shards";
/// How often other processes may remove it and make it anew in between.
const ATTEMPTS_MAX: usize = 16;
const _: () = assert!(SUFFIX.len() <= storage::names::SUFFIX_LEN_MAX);
