//! A directory beside a target that is this user's alone, and the files in it.
//! What is in them, others know.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, fstat, openat, statat, unlinkat};
use rustix::io::Errno;
use storage::{Disk, Lock, Storage as _, StorageFile, TargetDir};
use tree_sink::{Removal, remove_directory};

use crate::{Error, ErrorKind, record_file};

/// The directory, opened once: its files are reached whatever becomes of its name.
#[derive(Debug)]
pub(crate) struct PrivateDir {
    disk: Disk,
    /// For messages.
    path: PathBuf,
}

impl PrivateDir {
    /// Opens the directory `name` beside a target; `None` where nothing has that name.
    ///
    /// # Errors
    /// As of [`open_private`].
    pub(crate) fn open(target_dir: &TargetDir, name: &OsStr) -> Result<Option<PrivateDir>, Error> {
        let opened = open_private(target_dir, name)?;
        Ok(opened.map(|opened| PrivateDir { disk: Disk::new(opened), path: target_dir.sibling(name) }))
    }

    /// Where it was when it was opened, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// The names in it, sorted.
    pub(crate) fn names(&self) -> Result<BTreeSet<OsString>, Error> {
        names_in(&self.disk).map_err(|error| self.failed("could not be listed", error))
    }

    /// Puts a file there, as a whole.
    pub(crate) fn put(&self, name: &OsStr, content: &[u8]) -> Result<(), Error> {
        record_file::put(&self.disk, name, content)
            .map_err(|error| self.failed(&format!("takes no {}", name.display()), error))
    }

    /// The content of a file there, as far as `len_max` bytes and one more.
    pub(crate) fn read(&self, name: &OsStr, len_max: usize) -> Result<Option<Vec<u8>>, Error> {
        let read = self
            .open_file(name)
            .and_then(|file| file.map(|file| record_file::read_of(&file, len_max)).transpose());
        read.map_err(|error| self.failed(&format!("has a {} that cannot be read", name.display()), error))
    }

    pub(crate) fn open_file(&self, name: &OsStr) -> io::Result<Option<File>> {
        record_file::open_at(&self.disk, name)
    }

    /// Makes the file `name`, if it is not there, and locks it; `None`: somebody else has. It goes with the file.
    pub(crate) fn lock(&self, name: &OsStr) -> Result<Option<Arc<dyn StorageFile>>, Error> {
        let failed = |error| self.failed("could not be locked", error);
        let file = match self.disk.create(name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.disk.open(name).and_then(|file| file.ok_or_else(|| io::ErrorKind::NotFound.into()))
            }
            created => created,
        };
        let file = file.map_err(failed)?;
        Ok((file.try_lock().map_err(failed)? == Lock::Taken).then_some(file))
    }

    /// Removes a file, if it is there.
    pub(crate) fn remove(&self, name: &OsStr) -> Result<(), Error> {
        match unlinkat(&self.disk, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.failed(&format!("keeps {}", name.display()), error.into())),
        }
    }

    /// Removes what has the name `name` in it, a directory as a whole.
    pub(crate) fn remove_whatever(&self, name: &OsStr) -> Result<(), Error> {
        let removed = remove_whatever(&self.disk, name);
        removed.map_err(|error| self.failed(&format!("keeps {}", name.display()), error))
    }

    /// Removes the directory itself, which is empty, or has what its file system keeps for a while of files that were open when they were removed. False: something
    /// has been made in it.
    ///
    /// # Errors
    /// [`ErrorKind::Io`]; with what to do where a file is still open.
    pub(crate) fn remove_itself(&self, parent: BorrowedFd<'_>, name: &OsStr) -> Result<bool, Error> {
        for pause in PAUSES {
            match unlinkat(parent, name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => return Ok(true),
                Err(Errno::NOTEMPTY | Errno::EXIST) => {
                    if !self.names()?.iter().all(|name| is_kept_open(name)) {
                        return Ok(false);
                    }
                    thread::sleep(Duration::from_millis(pause));
                }
                Err(error) => return Err(self.failed("could not be removed", error.into())),
            }
        }
        Err(self.failed("could not be removed", Errno::NOTEMPTY.into()).advise(
            "A process on this machine has a file open that was in it, and the file system keeps that. End it, then run this again.",
        ))
    }

    pub(crate) fn failed(&self, what: &str, error: io::Error) -> Error {
        Error::io(format!("{} {what}", self.path.display()), error)
    }
}

impl AsFd for PrivateDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.disk.as_fd()
    }
}

/// Removes what has the name `name` in a directory that nobody else can write to: a directory as a whole, unless something is mounted in it.
pub(crate) fn remove_whatever(directory: &impl AsFd, name: &OsStr) -> io::Result<()> {
    match unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = openat(directory, name, flags, Mode::empty())?;
    match remove_directory(directory, name, &opened)? {
        Removal::Done => Ok(()),
        Removal::HoldsMounts => Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "a file system is mounted in it: nothing of it was removed",
        )),
        Removal::Another => Err(io::Error::other("something else has come to its name")),
    }
}

/// Whether a client of NFS, or libfuse, has given this name to a file that was removed while it was open. It goes when the file is closed, and is not removed before.
pub(crate) fn is_kept_open(name: &OsStr) -> bool {
    [b".nfs".as_slice(), b".fuse_hidden"].iter().any(|begins| name.as_bytes().starts_with(begins))
}

/// The names in a directory, sorted.
pub(crate) fn names_in(directory: &impl AsFd) -> io::Result<BTreeSet<OsString>> {
    let mut names = BTreeSet::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            names.insert(name.to_owned());
        }
    }
    Ok(names)
}

/// Opens the directory `name` beside a target; `None` where nothing has that name.
///
/// # Errors
/// What stands there is no directory, another user's, or open to others: who can write to it could put any bytes there.
fn open_private(target_dir: &TargetDir, name: &OsStr) -> Result<Option<OwnedFd>, Error> {
    let path = target_dir.sibling(name);
    let Some(directory) = target_dir.directory() else {
        return Err(Error::new(ErrorKind::Usage, "the target is in no directory"));
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = match openat(directory, name, flags, Mode::empty()) {
        Ok(opened) => opened,
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::NOTDIR | Errno::LOOP) => return Err(not_ours(&path, "is no directory")),
        Err(error @ Errno::ACCESS) => {
            let owner = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).map(|found| found.st_uid);
            let whose = owner.map(|owner| format!(", which is of the user {owner},")).unwrap_or_default();
            let what = format!("{}{whose} could not be opened", path.display());
            return Err(Error::io(what, error.into()).advise(
                "Run this as the user who has made it: all that belongs to one target is one user's.",
            ));
        }
        Err(error) => {
            return Err(Error::io(format!("{} could not be opened", path.display()), error.into()));
        }
    };
    let found = fstat(&opened);
    let found = found
        .map_err(|error| Error::io(format!("{} could not be examined", path.display()), error.into()))?;
    if found.st_uid != rustix::process::geteuid().as_raw() {
        return Err(not_ours(&path, "is another user's"));
    }
    if Mode::from_raw_mode(found.st_mode).intersects(Mode::RWXG | Mode::RWXO) {
        return Err(not_ours(&path, "is open to others"));
    }
    Ok(Some(opened))
}

fn not_ours(path: &Path, why: &str) -> Error {
    Error::new(ErrorKind::JournalMismatch, format!("{} {why}", path.display())).advise(
        "What is restored is kept there until it is whole, for this user alone. Look who put it there, and give another name or plan.",
    )
}

/// Milliseconds that it is waited for files that are closed to be gone, which libfuse says nothing of.
const PAUSES: [u64; 6] = [0, 1, 10, 50, 100, 200];
