//! The directory that something is mounted on: what may be there, and what is.
//! Knows no FUSE session.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{getegid, geteuid};

use crate::MountError;

/// Whether something can be mounted on `directory`: it is one, and empty. Whatever else is there would be hidden.
///
/// # Errors
/// [`MountError::NotEmpty`], [`MountError::DeadMount`], or what the system says.
pub fn check_mount_point(directory: &Path) -> Result<(), MountError> {
    let unreadable = |error: io::Error| match error.raw_os_error() == Some(Errno::NOTCONN.raw_os_error()) {
        true => MountError::DeadMount,
        false => MountError::system("look into the directory", error),
    };
    let mut entries = fs::read_dir(directory).map_err(unreadable)?;
    match entries.next() {
        None => Ok(()),
        Some(Ok(_)) => Err(MountError::NotEmpty),
        Some(Err(error)) => Err(unreadable(error)),
    }
}

/// Whose a mount is that is made now: user and group.
pub(crate) fn mounter() -> (u32, u32) {
    (geteuid().as_raw(), getegid().as_raw())
}

/// Which file system is at a path: each mount of FUSE is one of its own. Asks the kernel alone, whatever is mounted.
pub(crate) fn file_system_at(path: &Path) -> io::Result<(u32, u32)> {
    let found = statx(CWD, path, AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT, StatxFlags::TYPE)?;
    Ok((found.stx_dev_major, found.stx_dev_minor))
}

/// What became of an attempt to unmount.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Detached {
    /// Nobody used it.
    AtOnce,
    /// Somebody uses it: it is gone from the directory, and from those when they close it.
    InUse,
}

/// Takes what is mounted on `path` away.
pub(crate) fn unmount_at(path: &Path) -> io::Result<Detached> {
    match unmount(path, UnmountFlags::NOFOLLOW) {
        Ok(()) => Ok(Detached::AtOnce),
        Err(Errno::BUSY) => {
            unmount(path, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH)?;
            Ok(Detached::InUse)
        }
        // Whoever is not root has a program for it that may.
        Err(Errno::PERM) => match fusermount(path, &["-u"]) {
            Ok(()) => Ok(Detached::AtOnce),
            Err(_) => fusermount(path, &["-u", "-z"]).map(|()| Detached::InUse),
        },
        Err(error) => Err(error.into()),
    }
}

fn fusermount(path: &Path, arguments: &[&str]) -> io::Result<()> {
    // The one that `fuser` takes.
    let program = env::var_os("FUSERMOUNT_PATH").unwrap_or_else(|| "fusermount3".into());
    let output = Command::new(program).args(arguments).args([OsStr::new("--"), path.as_os_str()]).output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails by panicking.
mod tests {
    use super::*;

    #[test]
    fn an_empty_directory_is_a_mount_point_and_nothing_else() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path();
        check_mount_point(path).unwrap();
        assert!(matches!(check_mount_point(&path.join("absent")), Err(MountError::System { .. })));
        fs::write(path.join("file"), "").unwrap();
        assert!(matches!(check_mount_point(&path.join("file")), Err(MountError::System { .. })));
        assert!(matches!(check_mount_point(path), Err(MountError::NotEmpty)));
    }
}
