//! What the directory's file system can do, tried on an empty file of our own before the first byte.
//! Knows nothing of what follows from it.

use std::{
    ffi::{OsStr, OsString},
    io,
    path::PathBuf,
};

use contract::IfExists;
use rustix::{
    fs::{AtFlags, linkat},
    io::Errno,
};
use storage::{Ownership, Storage, TargetDir, TargetError};

use super::locked_file::cannot_create;

/// Whether a file that this process has just made is this process's.
pub(super) fn keeps_owners(target_dir: &TargetDir, name: &OsStr) -> Result<bool, TargetError> {
    clear(target_dir, name)?;
    let tried = with_probe(&*target_dir.storage, name, |storage| match storage.open(name)? {
        Some(probe) => Ok(!matches!(probe.ownership()?, Ownership::SomeoneElses { .. })),
        None => Err(io::ErrorKind::NotFound.into()),
    });
    tried.map_err(|error| cannot_create(target_dir, name, error))
}

/// Whether a file that this process has just made for itself alone is its alone.
pub(super) fn keeps_modes(target_dir: &TargetDir, name: &OsStr) -> Result<bool, TargetError> {
    let tried = with_probe(&*target_dir.storage, name, |storage| match storage.open(name)? {
        Some(probe) => Ok(!probe.is_open_to_others()?),
        None => Err(io::ErrorKind::NotFound.into()),
    });
    tried.map_err(|error| cannot_create(target_dir, name, error))
}

/// Refuses a file system that can give a file a name neither by a rename that replaces nothing nor by a link: it could
/// not publish what must not replace anything.
pub(super) fn check_publish(target_dir: &TargetDir, name: &OsStr, second: &OsStr) -> Result<(), TargetError> {
    let Some(directory) = target_dir.directory().filter(|_| target_dir.if_exists == IfExists::Refuse) else {
        return Ok(());
    };
    clear(target_dir, second)?;
    clear(target_dir, name)?;
    let tried = with_probe(&*target_dir.storage, name, |storage| {
        let renamed = match storage.rename(name, second, IfExists::Refuse) {
            Err(error) if is_unable(&error) => {
                linkat(directory, name, directory, second, AtFlags::empty()).map_err(io::Error::from)
            }
            renamed => renamed,
        };
        remove(storage, second)?;
        renamed
    });
    match tried {
        Err(error) if is_unable(&error) => {
            Err(TargetError::NoExclusiveRename { directory: target_dir.directory_path() })
        }
        tried => tried.map_err(|error| cannot_create(target_dir, name, error)),
    }
}

/// The errors by which file systems say that they have no such rename, or no links.
fn is_unable(error: &io::Error) -> bool {
    let unable = [Errno::PERM, Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP, Errno::MLINK];
    unable.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Does something with an empty file at `name`, which is gone afterwards.
fn with_probe<T>(
    storage: &dyn Storage,
    name: &OsStr,
    act: impl FnOnce(&dyn Storage) -> io::Result<T>,
) -> io::Result<T> {
    drop(storage.create(name)?);
    let done = act(storage);
    let removed = remove(storage, name);
    done.and_then(|done| removed.map(|()| done))
}

/// Removes what a killed writer has left of its tries, and says what that was.
pub(super) fn remove_left(target_dir: &TargetDir, names: &[OsString]) -> Result<Vec<PathBuf>, TargetError> {
    let mut removed = Vec::new();
    for name in names {
        let path = target_dir.sibling(name);
        let stood =
            target_dir.storage.id_at(name).map_err(|error| TargetError::io(&path, "examine", error))?;
        match clear(target_dir, name) {
            Ok(()) if stood.is_some() => removed.push(path),
            Ok(()) | Err(TargetError::InTheWay { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(removed)
}

/// Removes what a crash has left of an earlier try: an empty file. Anything else is somebody's, and stays.
fn clear(target_dir: &TargetDir, name: &OsStr) -> Result<(), TargetError> {
    let path = target_dir.sibling(name);
    let found = match target_dir.storage.open(name) {
        Ok(None) => return Ok(()),
        Ok(Some(found)) => found.len(),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            return Err(TargetError::InTheWay { staging: path });
        }
        Err(error) => Err(error),
    };
    match found.map_err(|error| TargetError::io(&path, "examine", error))? {
        0 => remove(&*target_dir.storage, name).map_err(|error| TargetError::io(&path, "remove", error)),
        _ => Err(TargetError::InTheWay { staging: path }),
    }
}

fn remove(storage: &dyn Storage, name: &OsStr) -> io::Result<()> {
    match storage.id_at(name) {
        Ok(Some(_)) => storage.remove(name),
        Ok(None) => Ok(()),
        Err(error) => {
            // What this process has made does not stay for that.
            let _ = storage.remove(name);
            Err(error)
        }
    }
}
