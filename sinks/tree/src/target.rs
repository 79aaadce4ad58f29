//! The target's name and directory, and the private directory beside it that becomes the target.
//! Knows nothing of what is in the tree.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use cofferdam_io::retried;
use contract::{CommitError, IfExists};
use rustix::{
    fs::{
        AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, fremovexattr, fstatvfs, fsync, mkdirat, openat,
        renameat_with, unlinkat,
    },
    io::Errno,
    process::geteuid,
};
use storage::{
    OnPartial, TargetError, TargetKind,
    names::{NAME_LEN_MAX, beside},
};

use tree::TreeRoot;

use crate::{
    attributes::change_mode,
    directory_id::{DirectoryId, Found},
    journal::{Intent, Journal, Locked, Records},
    new_name::rename_new,
    options::{Placement, Room},
    removal::{Removal, allocated_len, names, remove_tree},
    target_lock,
};

/// Where a tree is restored to.
#[derive(Debug)]
pub(crate) struct Target {
    /// The directory that the target is in.
    pub(crate) parent: OwnedFd,
    pub(crate) path: PathBuf,
    pub(crate) name: OsString,
    pub(crate) staging_name: OsString,
    journal_name: OsString,
    /// The directory that is to be replaced.
    pub(crate) replaced: Option<DirectoryId>,
    /// The same, locked; or none, because this user may not read it.
    locked: Option<OwnedFd>,
    placement: Placement,
}

impl Target {
    /// Opens the directory that the target is in; or the target, where the tree is moved into that.
    pub(crate) fn open(path: &Path, placement: Placement) -> Result<Target, TargetError> {
        match placement {
            Placement::Whole => Target::beside(path),
            Placement::Into => Target::within(path),
        }
    }

    fn within(path: &Path) -> Result<Target, TargetError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parent = match retried(|| openat(CWD, path, flags, Mode::empty())) {
            Err(Errno::NOENT) => return Err(TargetError::NoDirectory { directory: path.to_owned() }),
            Err(Errno::NOTDIR) => {
                return Err(TargetError::NotADirectory { path: path.to_owned(), kind: TargetKind::Other });
            }
            parent => parent.map_err(|error| TargetError::io(path, "open", error))?,
        };
        let [staging_name, journal_name] = INSIDE.map(|name| OsStr::from_bytes(name).to_owned());
        Ok(Target {
            parent,
            path: path.to_owned(),
            name: OsString::from("."),
            staging_name,
            journal_name,
            replaced: None,
            locked: None,
            placement: Placement::Into,
        })
    }

    fn beside(path: &Path) -> Result<Target, TargetError> {
        let Some(name) = path.file_name() else {
            return Err(TargetError::NoName { path: path.to_owned() });
        };
        let directory =
            path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parent = match retried(|| openat(CWD, directory, flags, Mode::empty())) {
            Err(Errno::NOENT) => return Err(TargetError::NoDirectory { directory: directory.to_owned() }),
            parent => parent.map_err(|error| TargetError::io(directory, "open", error))?,
        };
        let [staging_name, journal_name] =
            [STAGING, JOURNAL].map(|suffix| beside(name, suffix, NAME_LEN_MAX));
        let (path, name) = (path.to_owned(), name.to_owned());
        Ok(Target {
            parent,
            path,
            name,
            staging_name,
            journal_name,
            replaced: None,
            locked: None,
            placement: Placement::Whole,
        })
    }

    /// Notes the directory that is to be replaced, and refuses a target that could not be published to.
    pub(crate) fn check(&mut self, if_exists: IfExists) -> Result<(), TargetError> {
        if self.placement == Placement::Into {
            return Ok(());
        }
        self.replaced = self.look(if_exists)?.map(|found| found.id);
        if self.replaced.is_some() {
            self.locked = self.lock_replaced()?;
        }
        Ok(())
    }

    /// What is at the target's name. What could not be replaced is refused, and nothing is noted.
    pub(crate) fn look(&self, if_exists: IfExists) -> Result<Option<Found>, TargetError> {
        let found = self.find(&self.name)?;
        found.iter().try_for_each(|found| self.check_replaceable(found, if_exists))?;
        Ok(found)
    }

    /// Locks the journal that is beside the target, or makes one. A directory that a tree is moved into is locked first, so that nobody replaces it
    /// meanwhile.
    pub(crate) fn lock_journal(&self, on_partial: OnPartial) -> Result<Locked, TargetError> {
        if self.is_merged() {
            self.lock_directory(&self.parent)?;
        }
        let locked = Journal::lock(&self.parent, &self.journal_name, &self.journal_path(), on_partial);
        locked.map_err(|error| self.of_target(error))
    }

    /// Locks the journal that is beside the target, if there is one.
    pub(crate) fn find_journal(&self) -> Result<Option<Journal>, TargetError> {
        let found = Journal::find(&self.parent, &self.journal_name, &self.journal_path());
        found.map_err(|error| self.of_target(error))
    }

    /// Whoever holds the journal is at work on the target, and nobody has named the journal.
    fn of_target(&self, error: TargetError) -> TargetError {
        match error {
            TargetError::Held { staging, .. } => TargetError::Held { path: self.path.clone(), staging },
            error => error,
        }
    }

    /// What the journal says, if there is one. It may be at work.
    pub(crate) fn read_journal(&self) -> Result<Option<Records>, TargetError> {
        Journal::look(&self.parent, &self.journal_name, &self.journal_path())
    }

    /// Bytes of room that what is at the private directory's name takes. None: nothing is there. A directory that this user may not read counts
    /// for none.
    pub(crate) fn staged_len(&self) -> Result<Option<u64>, TargetError> {
        let Some(found) = self.find(&self.staging_name)? else { return Ok(None) };
        if !found.is_directory() {
            return Ok(Some(found.allocated));
        }
        match allocated_len(&self.parent, &self.staging_name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(Some(0)),
            len => len.map(Some).map_err(|error| TargetError::io(&self.staging_path(), "examine", error)),
        }
    }

    /// Whether anything is at the journal's name.
    pub(crate) fn has_journal(&self) -> Result<bool, TargetError> {
        Ok(self.find(&self.journal_name)?.is_some())
    }

    /// Refuses what is at the private directory's name and is no directory, or another user's.
    pub(crate) fn check_staging(&self) -> Result<(), TargetError> {
        match self.find(&self.staging_name)? {
            Some(found) if !found.is_directory() => {
                Err(TargetError::InTheWay { staging: self.staging_path() })
            }
            Some(found) if found.owner.0 != geteuid().as_raw() => {
                Err(TargetError::NotOurs { path: self.staging_path(), owner: found.owner.0 })
            }
            _ => Ok(()),
        }
    }

    /// Refuses a directory at that name that has something in it.
    pub(crate) fn check_empty_staging(&self) -> Result<(), TargetError> {
        let fault = |error: io::Error| TargetError::io(&self.staging_path(), "list", error);
        match retried(|| openat(&self.parent, &*self.staging_name, DIRECTORY, Mode::empty())) {
            Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(fault(error.into())),
            Ok(staging) if names(&staging).map_err(fault)?.is_empty() => Ok(()),
            Ok(_) => Err(TargetError::InTheWay { staging: self.staging_path() }),
        }
    }

    /// Which directories are at the private directory's name and at the target's.
    pub(crate) fn ids(&self) -> Result<[Option<DirectoryId>; 2], TargetError> {
        let id = |name: &OsStr| Ok(self.find(name)?.map(|found| found.id));
        let target = if self.placement == Placement::Into { None } else { id(&self.name)? };
        Ok([id(&self.staging_name)?, target])
    }

    /// Whether a directory is at the private directory's name.
    pub(crate) fn is_directory_staged(&self) -> Result<bool, TargetError> {
        Ok(self.find(&self.staging_name)?.is_some_and(|found| found.is_directory()))
    }

    /// Opens the directory at the target's name, which an earlier attempt has put there.
    pub(crate) fn open_published(&self, expected: DirectoryId) -> Result<OwnedFd, TargetError> {
        let fault = |error: io::Error| TargetError::io(&self.path, "open", error);
        // It may have its mode already, which may keep its owner out. It gets it again.
        let is_closed = |found: Found| found.id == expected && found.mode & 0o700 != 0o700;
        if !geteuid().is_root() && self.find(&self.name)?.is_some_and(is_closed) {
            change_mode(&self.parent, &self.name, 0o700).map_err(fault)?;
        }
        let opened = openat(&self.parent, &*self.name, DIRECTORY, Mode::empty());
        let opened = opened.map_err(|error| fault(error.into()))?;
        self.lock_directory(&opened)?;
        match DirectoryId::of(&opened) {
            Ok(found) if found == expected => Ok(opened),
            // Another one has got the name since it was looked at.
            Ok(_) => Err(TargetError::Held { path: self.path.clone(), staging: self.path.clone() }),
            Err(error) => Err(TargetError::io(&self.path, "examine", error)),
        }
    }

    /// Locks the directory that is to be replaced, as whoever moves a tree into it does. None: this user may not read it, or it is gone.
    fn lock_replaced(&self) -> Result<Option<OwnedFd>, TargetError> {
        match retried(|| openat(&self.parent, &*self.name, DIRECTORY, Mode::empty())) {
            // Whether it is still the same is seen when it is replaced.
            Err(Errno::ACCESS | Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(error) => Err(TargetError::io(&self.path, "open", error)),
            Ok(directory) => {
                self.lock_directory(&directory)?;
                Ok(Some(directory))
            }
        }
    }

    fn lock_directory(&self, directory: &OwnedFd) -> Result<(), TargetError> {
        match target_lock::lock(directory) {
            Ok(true) => Ok(()),
            Ok(false) => Err(TargetError::Held { path: self.path.clone(), staging: self.path.clone() }),
            Err(error) => Err(TargetError::io(&self.path, "lock", error)),
        }
    }

    /// Gives up what is locked, of an attempt that has come to its end in `directory`.
    pub(crate) fn unlock(&self, directory: &OwnedFd) -> io::Result<()> {
        target_lock::unlock(directory)?;
        self.locked.iter().try_for_each(target_lock::unlock)?;
        if self.is_merged() { target_lock::unlock(&self.parent) } else { Ok(()) }
    }

    /// Whether the directory that the tree is moved into, or that the target is in, is still what its path leads to.
    pub(crate) fn check_path(&self) -> io::Result<()> {
        target_lock::check_path(&self.parent, self.own_directory())
    }

    /// Refuses a tree for which there is no room, or no inode for each member. All of its plaintext is kept, in files or beside them, and of each
    /// file's last block one half is lost.
    pub(crate) fn check_room(&self, plain_len: u64, entries: u64, room: Room) -> Result<(), TargetError> {
        let found = fstatvfs(&self.parent).map_err(|error| TargetError::io(&self.path, "examine", error))?;
        let is_root = geteuid().is_root();
        let blocks = if is_root { found.f_bfree } else { found.f_bavail };
        let inodes = if is_root { found.f_ffree } else { found.f_favail };
        let free = blocks.saturating_mul(found.f_frsize);
        let needed = plain_len.saturating_add(entries.saturating_mul(found.f_frsize / 2));
        // File systems that count neither say 0.
        let is_full = found.f_blocks > 0 && needed > free && room == Room::Check;
        if is_full || (found.f_files > 0 && entries > inodes) {
            let directory = self.path.parent().unwrap_or(Path::new(".")).to_owned();
            return Err(TargetError::NoRoom { directory, needed, free: Some(free) });
        }
        Ok(())
    }

    /// Makes the private directory, which is locked as long as it is open. What is at its name is removed only if it is empty.
    pub(crate) fn stage(&self) -> Result<OwnedFd, TargetError> {
        for _ in 0..ATTEMPTS_MAX {
            let made = mkdirat(&self.parent, &self.staging_name, Mode::RWXU);
            match made {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(source) => {
                    let directory = self.path.parent().unwrap_or(Path::new(".")).to_owned();
                    return Err(TargetError::NotWritable { directory, source: source.into() });
                }
            }
            let Some(staging) = self.lock()? else {
                continue;
            };
            if self.is_fresh(&staging)? {
                self.make_private(&staging)?;
                return Ok(staging);
            }
            self.remove_empty_staging()?;
            if made.is_ok() {
                // It was made a moment ago, and others may enter it: a file system without modes.
                let source = io::Error::from(io::ErrorKind::Unsupported);
                return Err(TargetError::io(&self.staging_path(), "keep others out of", source));
            }
        }
        Err(self.held())
    }

    /// Locks the private directory of an earlier attempt, if `expected` is what is at its name.
    pub(crate) fn stage_again(&self, expected: DirectoryId) -> Result<OwnedFd, TargetError> {
        let staging = self.lock()?.ok_or_else(|| self.held())?;
        match DirectoryId::of(&staging) {
            Ok(found) if found == expected => Ok(staging),
            Ok(_) => Err(self.in_the_way()),
            Err(error) => Err(TargetError::io(&self.staging_path(), "examine", error)),
        }
    }

    /// Removes the private directory `stale`, if it is what is at its name and this user's.
    pub(crate) fn remove_stale(&self, stale: DirectoryId) -> Result<(), TargetError> {
        // Locked as long as it is removed.
        let _locked = self.stage_again(stale)?;
        self.remove_known(stale)
    }

    /// Removes the directory at the private one's name, if there is nothing in it.
    pub(crate) fn remove_empty_staging(&self) -> Result<(), TargetError> {
        match unlinkat(&self.parent, &self.staging_name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::BUSY | Errno::NOTDIR) => Err(self.in_the_way()),
            Err(error) => Err(TargetError::io(&self.staging_path(), "remove", error)),
        }
    }

    fn remove_known(&self, stale: DirectoryId) -> Result<(), TargetError> {
        match remove_tree(&self.parent, &self.staging_name, stale) {
            Ok(Removal::Done) => Ok(()),
            Ok(Removal::HoldsMounts | Removal::Another) => Err(self.in_the_way()),
            Err(error) => Err(TargetError::io(&self.staging_path(), "remove", error)),
        }
    }

    /// Where the private directory is.
    pub(crate) fn staging_path(&self) -> PathBuf {
        self.sibling(&self.staging_name)
    }

    /// Where the journal is.
    pub(crate) fn journal_path(&self) -> PathBuf {
        self.sibling(&self.journal_name)
    }

    /// Removes the private directory, if it is what is at its name. Nobody else is in it, for it is locked.
    pub(crate) fn remove_staging(&self, staging: &OwnedFd) -> io::Result<Removal> {
        remove_tree(&self.parent, &self.staging_name, DirectoryId::of(staging)?)
    }

    /// Whether the tree is moved into the target, which is there.
    pub(crate) fn is_merged(&self) -> bool {
        self.placement == Placement::Into
    }

    /// The target, where the tree is moved into it.
    pub(crate) fn directory(&self) -> io::Result<TreeRoot> {
        Ok(TreeRoot::of(self.parent.try_clone()?))
    }

    /// The directory that the private one is in.
    pub(crate) fn own_directory(&self) -> &Path {
        match self.placement {
            Placement::Into => &self.path,
            Placement::Whole => {
                let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
                parent.unwrap_or(Path::new("."))
            }
        }
    }

    /// The path of what is beside the private directory.
    fn sibling(&self, name: &OsStr) -> PathBuf {
        match self.placement {
            Placement::Into => self.path.join(name),
            Placement::Whole => self.path.with_file_name(name),
        }
    }

    /// Makes the private directory the target, in one step, after `journal` has noted what is about to be done.
    pub(crate) fn put(
        &self,
        staging: &OwnedFd,
        journal: &Journal,
        intent: &Intent,
    ) -> Result<Put, CommitError> {
        let ours = DirectoryId::of(staging).map_err(CommitError::NotCommitted)?;
        if self.id_at(&self.staging_name)? != Some(ours) {
            let message = "the directory that was restored to is not at its name any more";
            return Err(CommitError::NotCommitted(io::Error::other(message)));
        }
        journal.intend(intent, &self.parent).map_err(CommitError::NotCommitted)?;
        // A file system behind a network can do a rename and lose the reply.
        let failed = |error: Errno| match self.id_at(&self.name) {
            Ok(there) if there != Some(ours) => CommitError::NotCommitted(error.into()),
            _ => CommitError::Unknown(error.into()),
        };
        let Some(replaced) = self.replaced else {
            rename_new(&self.parent, &self.staging_name, &self.parent, &self.name).map_err(failed)?;
            self.check_stands(ours, None).map_err(CommitError::Unknown)?;
            return Ok(Put { replaced: None });
        };
        self.check_replaced(&self.name, replaced)?;
        self.exchange().map_err(failed)?;
        // Whatever came to the target's name in between is not thrown away: it goes back.
        if let Err(changed) = self.check_replaced(&self.staging_name, replaced) {
            return match self.exchange() {
                Ok(()) => Err(changed),
                Err(error) => Err(CommitError::Unknown(error.into())),
            };
        }
        self.check_stands(ours, Some(replaced)).map_err(CommitError::Unknown)?;
        Ok(Put { replaced: Some(replaced) })
    }

    /// Makes the names durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(fsync(&self.parent)?)
    }

    fn exchange(&self) -> Result<(), Errno> {
        renameat_with(&self.parent, &self.staging_name, &self.parent, &self.name, RenameFlags::EXCHANGE)
    }

    fn check_replaceable(&self, found: &Found, if_exists: IfExists) -> Result<(), TargetError> {
        let path = self.path.clone();
        if if_exists == IfExists::Refuse {
            return Err(match found.kind {
                FileType::Directory => TargetError::DirectoryExists { path },
                _ => TargetError::Exists { path },
            });
        }
        match found.kind {
            FileType::Symlink => {
                let (kind, wanted) = (TargetKind::Symlink, TargetKind::Directory);
                return Err(TargetError::OtherKind { path, kind, wanted });
            }
            FileType::Directory => {}
            kind => return Err(TargetError::NotADirectory { path, kind: target_kind(kind) }),
        }
        let parent = Found::of(&self.parent).map_err(|error| TargetError::io(&path, "examine", error))?;
        match parent.mount == found.mount {
            true => Ok(()),
            false => Err(TargetError::MountPoint { path }),
        }
    }

    fn check_replaced(&self, name: &OsStr, replaced: DirectoryId) -> Result<(), CommitError> {
        match self.id_at(name)? {
            Some(there) if there == replaced => Ok(()),
            _ => {
                let message =
                    format!("{} is not the directory any more that was to be replaced", self.path.display());
                Err(CommitError::NotCommitted(io::Error::new(io::ErrorKind::AlreadyExists, message)))
            }
        }
    }

    fn id_at(&self, name: &OsStr) -> Result<Option<DirectoryId>, CommitError> {
        let found = Found::at(&self.parent, name);
        Ok(found.map_err(|error| CommitError::NotCommitted(error.into()))?.map(|found| found.id))
    }

    /// Opens and locks what is at the private directory's name. None: it is another one by now.
    fn lock(&self) -> Result<Option<OwnedFd>, TargetError> {
        let fault = |error: Errno| TargetError::io(&self.staging_path(), "open", error);
        let staging = match retried(|| openat(&self.parent, &*self.staging_name, DIRECTORY, Mode::empty())) {
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::NOTDIR | Errno::LOOP) => {
                return Err(self.in_the_way());
            }
            staging => staging.map_err(fault)?,
        };
        let found = Found::of(&staging);
        let found = found.map_err(|error| TargetError::io(&self.staging_path(), "examine", error))?;
        if found.owner.0 != geteuid().as_raw() {
            return Err(TargetError::NotOurs { path: self.staging_path(), owner: found.owner.0 });
        }
        if !target_lock::lock(&staging).map_err(fault)? {
            return Err(self.held());
        }
        let there = self.find(&self.staging_name)?;
        Ok(there.is_some_and(|there| there.id == found.id).then_some(staging))
    }

    /// Whether nothing is in it, and only we may make anything in it.
    fn is_fresh(&self, staging: &OwnedFd) -> Result<bool, TargetError> {
        let fault = |error: Errno| TargetError::io(&self.staging_path(), "list", error);
        let found = Found::of(staging);
        let found = found.map_err(|error| TargetError::io(&self.staging_path(), "examine", error))?;
        let is_private = found.mode & 0o777 == 0o700;
        let mut names = rustix::fs::Dir::read_from(staging).map_err(fault)?;
        let is_empty =
            names.all(|name| name.is_ok_and(|name| matches!(name.file_name().to_bytes(), b"." | b"..")));
        Ok(is_private && is_empty)
    }

    /// Takes from the private directory what it has inherited of rights, for all that is made in it would inherit them too.
    fn make_private(&self, staging: &OwnedFd) -> Result<(), TargetError> {
        for acl in ["system.posix_acl_default", "system.posix_acl_access"] {
            match fremovexattr(staging, acl) {
                Ok(()) | Err(Errno::NODATA | Errno::NOTSUP) => {}
                Err(error) => return Err(TargetError::io(&self.staging_path(), "prepare", error)),
            }
        }
        Ok(())
    }

    fn find(&self, name: &OsStr) -> Result<Option<Found>, TargetError> {
        Found::at(&self.parent, name).map_err(|error| TargetError::io(&self.sibling(name), "examine", error))
    }

    fn in_the_way(&self) -> TargetError {
        TargetError::InTheWay { staging: self.staging_path() }
    }

    pub(crate) fn held(&self) -> TargetError {
        TargetError::Held { path: self.path.clone(), staging: self.staging_path() }
    }
}

/// The target is the new tree.
#[derive(Debug)]
pub(crate) struct Put {
    /// The tree that was the target before, and is at the private directory's name.
    pub(crate) replaced: Option<DirectoryId>,
}

pub(crate) fn target_kind(kind: FileType) -> TargetKind {
    match kind {
        FileType::Directory => TargetKind::Directory,
        FileType::Symlink => TargetKind::Symlink,
        FileType::RegularFile => TargetKind::RegularFile,
        FileType::Fifo => TargetKind::Fifo,
        FileType::BlockDevice => TargetKind::BlockDevice,
        FileType::CharacterDevice => TargetKind::CharacterDevice,
        FileType::Socket => TargetKind::Socket,
        _ => TargetKind::Other,
    }
}

/// A file in the directory of `target` that has no name, this process's alone.
pub(crate) fn unnamed_file(target: &Target) -> io::Result<File> {
    tempfile::tempfile_in(target.own_directory())
}

/// Refuses a `target` that a tree could not become as a whole, as it is now, also where its file system cannot replace a directory. Nothing of it is
/// changed or locked.
///
/// # Errors
/// See [`TargetError`].
pub fn check_target(target: impl AsRef<Path>, if_exists: IfExists) -> Result<(), TargetError> {
    let target = Target::open(target.as_ref(), Placement::Whole)?;
    match target.look(if_exists)? {
        Some(_) => target.try_exchange(),
        None => Ok(()),
    }
}

/// The directory in which a restore to `target` keeps files without a name: where the tree itself goes, so that nothing else has to be written.
///
/// # Errors
/// No file can be made there.
pub fn scratch_directory(target: impl AsRef<Path>, placement: Placement) -> Result<PathBuf, TargetError> {
    let target = Target::open(target.as_ref(), placement)?;
    let directory = target.own_directory().to_owned();
    match unnamed_file(&target) {
        Ok(_) => Ok(directory),
        Err(source) => Err(TargetError::NotWritable { directory, source }),
    }
}

/// The names of both in a directory that a tree is moved into.
pub(crate) const INSIDE: [&[u8]; 2] = [STAGING, JOURNAL];
const STAGING: &[u8] = b".cofferdam-staging";
const JOURNAL: &[u8] = b".cofferdam-journal";
/// How a directory is opened.
pub(crate) const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Attempts at making the private directory while others make and remove theirs.
const ATTEMPTS_MAX: usize = 16;
