//! A directory gets a name that nothing has yet.

use std::{ffi::OsStr, os::fd::AsFd};

use rustix::{
    fs::{AtFlags, RenameFlags, renameat, renameat_with, statat},
    io::Errno,
};

/// Renames a directory to a name where nothing may be, in one step.
///
/// Clients of NFS, CephFS and GlusterFS rename with no flag (renameat2(2): `EINVAL`). There it is looked first whether anything has the name; what
/// comes to it after that is replaced only if it is an empty directory (rename(2)).
///
/// # Errors
/// `EEXIST`, `ENOTEMPTY` or `ENOTDIR`: something has the name.
pub fn rename_new(
    from_directory: impl AsFd,
    from: &OsStr,
    to_directory: impl AsFd,
    to: &OsStr,
) -> Result<(), Errno> {
    match renameat_with(&from_directory, from, &to_directory, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
        renamed => return renamed,
    }
    match statat(&to_directory, to, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => renameat(&from_directory, from, &to_directory, to),
        Ok(_) => Err(Errno::EXIST),
        Err(error) => Err(error),
    }
}
