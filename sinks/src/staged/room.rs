//! Room for a staging file: asked for before the first byte, and taken where that is cheap.
//! Knows nothing of what fills it.

use std::io::ErrorKind;

use rustix::fs::fstatvfs;

use super::place::Place;
use crate::{TargetError, storage::StorageFile};

/// Refuses a length that cannot be written beside the old target, which stays until the new one is whole. `taken` bytes of
/// it have their room already.
pub(crate) fn check(place: &Place, needed: u64, taken: u64) -> Result<(), TargetError> {
    let Some(directory) = place.directory() else { return Ok(()) };
    // Writing beyond this limit is a signal, not an error.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize).current;
    if limit.is_some_and(|limit| needed > limit) {
        return Err(TargetError::TooLarge { path: place.path().into(), needed });
    }
    let room =
        fstatvfs(directory).map_err(|error| TargetError::io(&place.directory_path(), "examine", error))?;
    let blocks = if rustix::process::geteuid().is_root() { room.f_bfree } else { room.f_bavail };
    let free = blocks.saturating_mul(room.f_frsize);
    // A file system that counts no blocks does not say how much room it has.
    let remaining = needed.saturating_sub(taken);
    if room.f_blocks > 0 && remaining > free {
        let directory = place.directory_path();
        return Err(TargetError::NoRoom { directory, needed: remaining, free: Some(free) });
    }
    Ok(())
}

/// Takes the room at once where that costs next to nothing.
pub(super) fn take(place: &Place, staging: &dyn StorageFile, needed: u64) -> Result<(), TargetError> {
    staging.take_room(needed).map_err(|error| match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            TargetError::NoRoom { directory: place.directory_path(), needed, free: None }
        }
        ErrorKind::FileTooLarge => TargetError::TooLarge { path: place.path().into(), needed },
        _ => TargetError::io(place.path(), "allocate room for", error),
    })
}
