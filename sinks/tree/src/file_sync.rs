//! How the files of a tree become durable: by one sync of their file system, or each by its own where that passes them by.
//! Knows no tree.

use std::{
    ffi::OsStr,
    io,
    os::fd::{AsFd, OwnedFd},
};

use cofferdam_io::retried;
use rustix::{
    fs::{Mode, OFlags, fstatfs, fsync, openat},
    io::Errno,
};
use tree::EntryKind;

/// What makes files durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FileSync {
    /// syncfs(2), once.
    AtOnce,
    /// An fsync(2) of each file and directory when it is as it is to be; syncfs(2) as well.
    Each,
}

impl FileSync {
    /// On the file system of `directory`.
    pub(crate) fn of(directory: &impl AsFd) -> FileSync {
        match fstatfs(directory).is_ok_and(|found| WITHOUT_SYNCFS.contains(&found.f_type)) {
            true => FileSync::Each,
            false => FileSync::AtOnce,
        }
    }

    /// Opens what is called `name` in `directory`, while this user may, so that it can be synced when its mode says otherwise. What is neither file nor
    /// directory is in its directory alone, and goes with that.
    pub(crate) fn open(
        self,
        directory: &impl AsFd,
        name: &OsStr,
        kind: EntryKind,
    ) -> io::Result<Option<OwnedFd>> {
        let is_opened = matches!(kind, EntryKind::File | EntryKind::Directory);
        if self == FileSync::AtOnce || !is_opened {
            return Ok(None);
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(Some(retried(|| openat(directory, name, flags, Mode::empty()))?))
    }

    /// Syncs what was opened, if each is synced.
    pub(crate) fn sync(self, opened: Option<&OwnedFd>) -> io::Result<()> {
        match opened.filter(|_| self == FileSync::Each).map_or(Ok(()), fsync) {
            // There is no such thing there, of directories mostly; more cannot be done.
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Magic numbers of file systems whose syncfs(2) gives their server what this machine has, and has it keep nothing: FUSE (virtiofs alone hands it on), SMB, 9p. From
/// linux/magic.h and fs/smb/client/cifsglob.h.
const WITHOUT_SYNCFS: [i64; 4] = [0x6573_5546, 0xff53_4d42, 0xfe53_4d42, 0x0102_1997];
