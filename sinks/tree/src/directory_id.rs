//! What tells a directory or file from others, after a restart too.
//! Knows nothing of what is concluded from it.

use std::{ffi::OsStr, io, os::fd::AsFd};

use rustix::{
    fs::{AtFlags, FileType, Statx, StatxFlags, statx},
    io::Errno,
};
use tree::MountId;

/// Names a directory or file as long as it is there. Inode numbers are used again at once, so the time at which it was made counts as well, where the
/// file system keeps that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct DirectoryId {
    pub(crate) inode: u64,
    /// Seconds and nanoseconds.
    pub(crate) created: Option<(i64, u32)>,
}

impl DirectoryId {
    /// Of what is open.
    pub(crate) fn of(file: &impl AsFd) -> io::Result<DirectoryId> {
        Ok(Found::of(file)?.id)
    }
}

/// What is at a name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) id: DirectoryId,
    pub(crate) kind: FileType,
    pub(crate) owner: (u32, u32),
    pub(crate) mode: u32,
    pub(crate) links: u32,
    pub(crate) len: u64,
    /// Bytes of room that it takes.
    pub(crate) allocated: u64,
    /// Numbers of devices change over a restart: they are compared within a process alone.
    pub(crate) device: (u32, u32),
    /// What is in another mount than the directory that it is in, something is mounted at.
    pub(crate) mount: MountId,
}

impl Found {
    /// What is open.
    pub(crate) fn of(file: &impl AsFd) -> io::Result<Found> {
        Ok(Found::from(statx(file, "", AtFlags::EMPTY_PATH, MASK)?))
    }

    /// What is called `name` in `directory`; a symbolic link is not followed.
    pub(crate) fn at(directory: &impl AsFd, name: &OsStr) -> Result<Option<Found>, Errno> {
        match statx(directory, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT, MASK) {
            Ok(found) => Ok(Some(Found::from(found))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn is_file(&self) -> bool {
        self.kind == FileType::RegularFile
    }

    pub(crate) fn is_directory(&self) -> bool {
        self.kind == FileType::Directory
    }
}

impl From<Statx> for Found {
    fn from(told: Statx) -> Found {
        let has_created = StatxFlags::from_bits_retain(told.stx_mask).contains(StatxFlags::BTIME);
        let created = has_created.then_some((told.stx_btime.tv_sec, told.stx_btime.tv_nsec));
        Found {
            id: DirectoryId { inode: told.stx_ino, created },
            kind: FileType::from_raw_mode(told.stx_mode.into()),
            owner: (told.stx_uid, told.stx_gid),
            mode: u32::from(told.stx_mode) & 0o7777,
            links: told.stx_nlink,
            len: told.stx_size,
            allocated: told.stx_blocks.saturating_mul(STAT_BLOCK_LEN),
            device: (told.stx_dev_major, told.stx_dev_minor),
            mount: MountId::of(&told),
        }
    }
}

/// statx(2): blocks are counted in this unit, whatever the file system's own.
const STAT_BLOCK_LEN: u64 = 512;
/// What is asked of a directory or file.
pub(crate) const MASK: StatxFlags = MountId::MASK.union(StatxFlags::BTIME);
