//! Room for a staging file: asked for before the first byte, and taken where that is cheap.
//! Knows nothing of what fills it.

use std::{io::ErrorKind, os::fd::AsFd, path::Path};

use rustix::fs::fstatvfs;

use crate::{StorageFile, TargetDir, TargetError};

/// Refuses a length that cannot be written beside the old target, which stays until the new one is whole. `taken` bytes of
/// it have their room already.
pub fn check(target_dir: &TargetDir, needed: u64, taken: u64) -> Result<(), TargetError> {
    let Some(directory) = target_dir.directory() else { return Ok(()) };
    check_in(directory, &target_dir.directory_path(), target_dir.path(), needed, taken)
}

/// As [`check`], for a file at `path` in a directory that is open.
///
/// # Errors
/// [`TargetError::TooLarge`], [`TargetError::NoRoom`]; the directory cannot be examined.
pub fn check_in(
    directory: impl AsFd,
    directory_path: &Path,
    path: &Path,
    needed: u64,
    taken: u64,
) -> Result<(), TargetError> {
    // Writing beyond this limit is a signal, not an error.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize).current;
    if limit.is_some_and(|limit| needed > limit) {
        return Err(TargetError::TooLarge { path: path.into(), needed });
    }
    let free_space =
        fstatvfs(directory).map_err(|error| TargetError::io(directory_path, "examine", error))?;
    let blocks = if rustix::process::geteuid().is_root() { free_space.f_bfree } else { free_space.f_bavail };
    let free = blocks.saturating_mul(free_space.f_frsize);
    // A file system that counts no blocks does not say how much room it has.
    let remaining = needed.saturating_sub(taken);
    if free_space.f_blocks > 0 && remaining > free {
        let directory = directory_path.into();
        return Err(TargetError::NoRoom { directory, needed: remaining, free: Some(free) });
    }
    Ok(())
}

/// Takes the room at once where that costs next to nothing.
pub fn take(target_dir: &TargetDir, staging: &dyn StorageFile, needed: u64) -> Result<(), TargetError> {
    staging.preallocate(needed).map_err(|error| match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            TargetError::NoRoom { directory: target_dir.directory_path(), needed, free: None }
        }
        ErrorKind::FileTooLarge => TargetError::TooLarge { path: target_dir.path().into(), needed },
        _ => TargetError::io(target_dir.path(), "allocate room for", error),
    })
}
