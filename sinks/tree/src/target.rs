//! The target's name and directory, and the private directory beside it that becomes the target.
//! Knows nothing of what is in the tree.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use cofferdam_io::retried;
use contract::{CommitError, IfExists};
use rustix::{
    fs::{
        AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, RenameFlags, Stat, flock, fremovexattr, fstat,
        fstatvfs, fsync, mkdirat, openat, renameat_with, statat, unlinkat,
    },
    io::Errno,
    process::geteuid,
};
use storage::{
    TargetError,
    names::{NAME_LEN_MAX, beside},
};

use crate::{
    options::{OldTree, Room},
    removal::{Removal, remove_tree},
};

/// Where a tree is restored to.
#[derive(Debug)]
pub(crate) struct Target {
    /// The directory that the target is in.
    pub(crate) parent: OwnedFd,
    pub(crate) path: PathBuf,
    name: OsString,
    staging_name: OsString,
    /// The directory that is to be replaced.
    replaced: Option<Id>,
}

/// Names a directory as long as it is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Id {
    device: u64,
    inode: u64,
}

impl Target {
    /// Opens the target's directory, and refuses a target that could not be published to.
    pub(crate) fn open(path: &Path, if_exists: IfExists) -> Result<Target, TargetError> {
        let Some(name) = path.file_name() else {
            return Err(TargetError::io(path, "restore to", io::Error::from(io::ErrorKind::InvalidInput)));
        };
        let directory =
            path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parent = match retried(|| openat(CWD, directory, flags, Mode::empty())) {
            Err(Errno::NOENT) => return Err(TargetError::NoDirectory { directory: directory.to_owned() }),
            parent => parent.map_err(|error| TargetError::io(directory, "open", error))?,
        };
        let staging_name = beside(name, STAGING, NAME_LEN_MAX);
        let mut target =
            Target { parent, path: path.to_owned(), name: name.to_owned(), staging_name, replaced: None };
        if let Some(stat) = target.stat(name)? {
            target.check_replaceable(&stat, if_exists)?;
            target.replaced = Some(Id::of(&stat));
        }
        Ok(target)
    }

    /// Refuses a tree for which there is no room, or no inode for each member.
    pub(crate) fn check_room(&self, data_len: u64, entries: u64, room: Room) -> Result<(), TargetError> {
        let found = fstatvfs(&self.parent).map_err(|error| TargetError::io(&self.path, "examine", error))?;
        let is_root = geteuid().is_root();
        let blocks = if is_root { found.f_bfree } else { found.f_bavail };
        let inodes = if is_root { found.f_ffree } else { found.f_favail };
        let free = blocks.saturating_mul(found.f_frsize);
        // File systems that count neither say 0.
        let is_full = found.f_blocks > 0 && data_len > free && room == Room::Check;
        if is_full || (found.f_files > 0 && entries > inodes) {
            let directory = self.path.parent().unwrap_or(Path::new(".")).to_owned();
            return Err(TargetError::NoRoom { directory, needed: data_len, free: Some(free) });
        }
        Ok(())
    }

    /// Makes the private directory, which is locked as long as it is open. What a crashed restore has left there is removed.
    pub(crate) fn stage(&self) -> Result<OwnedFd, TargetError> {
        for _ in 0..ATTEMPTS_MAX {
            match mkdirat(&self.parent, &self.staging_name, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(source) => {
                    let directory = self.path.parent().unwrap_or(Path::new(".")).to_owned();
                    return Err(TargetError::NotWritable { directory, source: source.into() });
                }
            }
            let Some(staging) = self.lock()? else {
                continue;
            };
            // Of a fresh one nothing is there to remove. A stale one goes as a whole: its attributes were another attempt's.
            if self.is_fresh(&staging)? {
                self.probe(&staging)?;
                return Ok(staging);
            }
            match remove_tree(&self.parent, &self.staging_name) {
                Ok(Removal::Done) => {}
                Ok(Removal::HoldsMounts) => {
                    return Err(TargetError::InTheWay { staging: self.staging_path() });
                }
                Err(error) => return Err(TargetError::io(&self.staging_path(), "remove", error)),
            }
        }
        Err(self.held())
    }

    /// Where the private directory is.
    pub(crate) fn staging_path(&self) -> PathBuf {
        self.path.with_file_name(&self.staging_name)
    }

    /// Removes the private directory, if it is what is at its name. Nobody else is in it, for it is locked.
    pub(crate) fn remove_staging(&self, staging: &impl AsFd) -> io::Result<()> {
        match statat(&self.parent, &self.staging_name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
            Ok(there) if Id::of(&there) == Id::of(&fstat(staging)?) => {
                remove_tree(&self.parent, &self.staging_name).map(drop)
            }
            Ok(_) => Ok(()),
        }
    }

    /// Makes the private directory the target, in one step. Gives where the old tree is if it is still there.
    pub(crate) fn put(&self, staging: &impl AsFd) -> Result<Put, CommitError> {
        let not_committed = |error: Errno| CommitError::NotCommitted(error.into());
        let ours = Id::of(&fstat(staging).map_err(not_committed)?);
        let at_staging =
            statat(&self.parent, &self.staging_name, AtFlags::SYMLINK_NOFOLLOW).map_err(not_committed)?;
        if Id::of(&at_staging) != ours {
            let message = "the directory that was restored to is not at its name any more";
            return Err(CommitError::NotCommitted(io::Error::other(message)));
        }
        let Some(replaced) = self.replaced else {
            return match self.rename(RenameFlags::NOREPLACE) {
                Ok(()) => Ok(Put { old_tree: None }),
                Err(error) => Err(not_committed(error)),
            };
        };
        self.check_replaced(&self.name, replaced)?;
        self.rename(RenameFlags::EXCHANGE).map_err(not_committed)?;
        // Whatever came to the target's name in between is not thrown away: it goes back.
        if let Err(changed) = self.check_replaced(&self.staging_name, replaced) {
            return match self.rename(RenameFlags::EXCHANGE) {
                Ok(()) => Err(changed),
                Err(error) => Err(CommitError::Unknown(error.into())),
            };
        }
        Ok(Put { old_tree: Some(self.staging_path()) })
    }

    /// Makes the names durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(fsync(&self.parent)?)
    }

    /// Does away with the tree that was replaced. Gives where it is if it is kept.
    pub(crate) fn dispose_of(&self, old_tree: OldTree) -> io::Result<Option<PathBuf>> {
        if old_tree == OldTree::Keep {
            let mut name = self.name.clone();
            name.push(OLD);
            let renamed =
                renameat_with(&self.parent, &self.staging_name, &self.parent, &name, RenameFlags::NOREPLACE);
            return match renamed {
                Ok(()) => Ok(Some(self.path.with_file_name(name))),
                Err(Errno::EXIST | Errno::NAMETOOLONG) => Ok(Some(self.staging_path())),
                Err(error) => Err(error.into()),
            };
        }
        match remove_tree(&self.parent, &self.staging_name)? {
            Removal::Done => Ok(None),
            Removal::HoldsMounts => Ok(Some(self.staging_path())),
        }
    }

    fn rename(&self, flags: RenameFlags) -> Result<(), Errno> {
        renameat_with(&self.parent, &self.staging_name, &self.parent, &self.name, flags)
    }

    fn check_replaceable(&self, stat: &Stat, if_exists: IfExists) -> Result<(), TargetError> {
        let path = self.path.clone();
        if if_exists == IfExists::Refuse {
            return Err(TargetError::Exists { path });
        }
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => return Err(TargetError::Symlink { path }),
            FileType::Directory => {}
            _ => {
                return Err(TargetError::io(&path, "replace", io::Error::from(io::ErrorKind::NotADirectory)));
            }
        }
        let parent = fstat(&self.parent).map_err(|error| TargetError::io(&path, "examine", error))?;
        match parent.st_dev == stat.st_dev {
            true => Ok(()),
            false => Err(TargetError::MountPoint { path }),
        }
    }

    fn check_replaced(&self, name: &OsStr, replaced: Id) -> Result<(), CommitError> {
        match statat(&self.parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if Id::of(&stat) == replaced => Ok(()),
            Ok(_) | Err(Errno::NOENT) => {
                let message =
                    format!("{} is not the directory any more that was to be replaced", self.path.display());
                Err(CommitError::NotCommitted(io::Error::new(io::ErrorKind::AlreadyExists, message)))
            }
            Err(error) => Err(CommitError::NotCommitted(error.into())),
        }
    }

    /// Opens and locks what is at the private directory's name. None: it is another one by now.
    fn lock(&self) -> Result<Option<OwnedFd>, TargetError> {
        let fault = |error: Errno| TargetError::io(&self.staging_path(), "open", error);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let staging = match retried(|| openat(&self.parent, &self.staging_name, flags, Mode::empty())) {
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::NOTDIR | Errno::LOOP) => {
                return Err(TargetError::InTheWay { staging: self.staging_path() });
            }
            staging => staging.map_err(fault)?,
        };
        let stat = fstat(&staging).map_err(fault)?;
        if stat.st_uid != geteuid().as_raw() {
            return Err(TargetError::NotOurs { path: self.staging_path(), owner: stat.st_uid });
        }
        match flock(&staging, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Err(self.held()),
            locked => locked.map_err(fault)?,
        }
        let there = self.stat(&self.staging_name)?;
        Ok(there.is_some_and(|there| Id::of(&there) == Id::of(&stat)).then_some(staging))
    }

    /// Whether nothing is in it, and only we may make anything in it.
    fn is_fresh(&self, staging: &OwnedFd) -> Result<bool, TargetError> {
        let fault = |error: Errno| TargetError::io(&self.staging_path(), "list", error);
        let is_private = fstat(staging).map_err(fault)?.st_mode & 0o777 == 0o700;
        let mut names = rustix::fs::Dir::read_from(staging).map_err(fault)?;
        let is_empty =
            names.all(|name| name.is_ok_and(|name| matches!(name.file_name().to_bytes(), b"." | b"..")));
        Ok(is_private && is_empty)
    }

    /// Takes from the private directory what it has inherited of rights, for all that is made in it would inherit them too; and tries
    /// whether the file system can do what publish takes.
    fn probe(&self, staging: &OwnedFd) -> Result<(), TargetError> {
        for acl in ["system.posix_acl_default", "system.posix_acl_access"] {
            match fremovexattr(staging, acl) {
                Ok(()) | Err(Errno::NODATA | Errno::NOTSUP) => {}
                Err(error) => return Err(TargetError::io(&self.staging_path(), "prepare", error)),
            }
        }
        let tried = [PROBE, PROBE_AGAIN].iter().try_for_each(|name| mkdirat(staging, *name, Mode::RWXU));
        let tried = tried
            .and_then(|()| renameat_with(staging, PROBE, staging, PROBE_AGAIN, RenameFlags::EXCHANGE))
            .and_then(|()| unlinkat(staging, PROBE_AGAIN, AtFlags::REMOVEDIR))
            .and_then(|()| renameat_with(staging, PROBE, staging, PROBE_AGAIN, RenameFlags::NOREPLACE))
            .and_then(|()| unlinkat(staging, PROBE_AGAIN, AtFlags::REMOVEDIR));
        tried.map_err(|error| {
            // What is left of it is in nobody's way: the directory is removed as a whole.
            let _ = self.remove_staging(staging);
            match error {
                Errno::INVAL | Errno::NOTSUP | Errno::NOSYS => TargetError::NoExclusiveRename {
                    directory: self.path.parent().unwrap_or(Path::new(".")).to_owned(),
                },
                error => TargetError::io(&self.staging_path(), "prepare", error),
            }
        })
    }

    fn stat(&self, name: &OsStr) -> Result<Option<Stat>, TargetError> {
        match statat(&self.parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(TargetError::io(&self.path.with_file_name(name), "examine", error)),
        }
    }

    fn held(&self) -> TargetError {
        TargetError::Held { path: self.path.clone(), staging: self.staging_path() }
    }
}

/// The target is the new tree.
#[derive(Debug)]
pub(crate) struct Put {
    /// Where the tree is that was the target before.
    pub(crate) old_tree: Option<PathBuf>,
}

impl Id {
    fn of(stat: &Stat) -> Id {
        Id { device: stat.st_dev, inode: stat.st_ino }
    }
}

/// A file in the directory of `target` that has no name, this process's alone.
pub(crate) fn unnamed_file(target: &Target) -> io::Result<File> {
    let directory = target.path.parent().filter(|parent| !parent.as_os_str().is_empty());
    tempfile::tempfile_in(directory.unwrap_or(Path::new(".")))
}

const STAGING: &[u8] = b".cofferdam-staging";
/// Names in the private directory, gone before anything else is in it.
const PROBE: &str = "probe";
const PROBE_AGAIN: &str = "probe2";
const OLD: &str = ".cofferdam-old";
/// Attempts at making the private directory while others make and remove theirs.
const ATTEMPTS_MAX: usize = 16;
