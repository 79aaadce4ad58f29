//! Room for a staging file: asked for before the first byte, and taken where that is cheap.
//! Knows nothing of what fills it.

use std::fs::File;

use rustix::fs::fstatvfs;

use super::place::Place;
use crate::TargetError;

/// Refuses a length that cannot be written beside the old target, which stays until the new one is whole.
pub(crate) fn check(place: &Place, needed: u64) -> Result<(), TargetError> {
    // Writing beyond this limit is a signal, not an error.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize).current;
    if limit.is_some_and(|limit| needed > limit) {
        return Err(TargetError::TooLarge { path: place.path().into(), needed });
    }
    let room = fstatvfs(&place.directory)
        .map_err(|error| TargetError::io(&place.directory_path(), "examine", error))?;
    let blocks = if rustix::process::geteuid().is_root() { room.f_bfree } else { room.f_bavail };
    let free = blocks.saturating_mul(room.f_frsize);
    // A file system that counts no blocks does not say how much room it has.
    if room.f_blocks > 0 && needed > free {
        return Err(TargetError::NoRoom { directory: place.directory_path(), needed, free: Some(free) });
    }
    Ok(())
}

/// Takes the room at once where the file system can note blocks as unwritten, which costs it next to nothing. The
/// file's length stays 0, so that room that was taken never looks like data.
#[cfg(target_os = "linux")]
pub(super) fn take(place: &Place, staging: &File, needed: u64) -> Result<(), TargetError> {
    use rustix::{
        fs::{FallocateFlags, fallocate, fstatfs},
        io::{Errno, retry_on_intr},
    };

    let unwritten = fstatfs(staging).is_ok_and(|found| UNWRITTEN_EXTENTS.contains(&found.f_type));
    if needed == 0 || !unwritten {
        return Ok(());
    }
    match retry_on_intr(|| fallocate(staging, FallocateFlags::KEEP_SIZE, 0, needed)) {
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        Err(Errno::NOSPC | Errno::DQUOT) => {
            Err(TargetError::NoRoom { directory: place.directory_path(), needed, free: None })
        }
        Err(Errno::FBIG) => Err(TargetError::TooLarge { path: place.path().into(), needed }),
        Err(error) => Err(TargetError::io(place.path(), "allocate room for", error)),
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn take(_place: &Place, _staging: &File, _needed: u64) -> Result<(), TargetError> {
    Ok(())
}

/// Magic numbers of ext4, XFS and btrfs, from linux/magic.h and statfs(2). ext2 and ext3 share the first and answer
/// that they cannot. tmpfs is not here: it fills the pages with zeros, which costs a third of a whole restore.
#[cfg(target_os = "linux")]
const UNWRITTEN_EXTENTS: [rustix::fs::FsWord; 3] = [0xEF53, 0x5846_5342, 0x9123_683E];
