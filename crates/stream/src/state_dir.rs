//! A directory of private files, each of them whole or absent: where secrets are kept between two runs.
//! It knows no content, and believes no file that is not this user's alone.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use keys::Zeroizing;
use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, Stat, flock, fstat, fsync, mkdirat, openat,
    renameat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::{Error, ErrorKind, Kept, Remedy};

/// A directory that only this user can write.
#[derive(Debug)]
pub(crate) struct StateDir {
    directory: OwnedFd,
    path: PathBuf,
}

impl StateDir {
    /// Opens the directory at `path`; where it is missing it is made, for this user alone.
    pub(crate) fn create(path: &Path) -> Result<StateDir, Error> {
        make(path).map_err(|error| failed(path, "made", error))?;
        StateDir::open(path)?.ok_or_else(|| failed(path, "opened", io::ErrorKind::NotFound.into()))
    }

    /// Opens the directory at `path`. `None`: there is none, and so nothing is kept there.
    ///
    /// A symbolic link is followed: whose the directory is, and who can write it, is asked of what was opened.
    pub(crate) fn open(path: &Path) -> Result<Option<StateDir>, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = match openat(CWD, path, flags, Mode::empty()) {
            Ok(directory) => directory,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(failed(path, "opened", error.into())),
        };
        let stat = fstat(&directory).map_err(|error| failed(path, "examined", error.into()))?;
        if stat.st_uid != geteuid().as_raw() || mode(&stat).intersects(Mode::WGRP | Mode::WOTH) {
            let what =
                format!("{}: others can write this directory, or it is another user's", path.display());
            return Err(Error::new(ErrorKind::Usage, what).advise(OWN_DIRECTORY));
        }
        Ok(Some(StateDir { directory, path: path.to_owned() }))
    }

    /// The whole of a file, `None` where there is none. What is not this user's alone is refused: whoever else could
    /// write it would be believed, and whoever else could read it would know what it holds.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&self.directory, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP | Errno::NXIO) => return Err(self.not_ours(name)),
            Err(error) => return Err(self.failed(name, "opened", error.into())),
        };
        let stat = fstat(&file).map_err(|error| self.failed(name, "examined", error.into()))?;
        if !is_private(&stat) {
            return Err(self.not_ours(name));
        }
        // Made long enough at once: a vector that grows leaves copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_LEN_MAX + 1));
        let read = file.take(FILE_LEN_MAX as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|error| self.failed(name, "read", error))?;
        Ok(Some(bytes))
    }

    /// Puts a file in place, whole and durable, over what stands there.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        assert!(bytes.len() <= FILE_LEN_MAX, "a state is short");
        let _lock = self.lock()?;
        let unfinished = format!("{name}.new");
        let written = self.write_new(&unfinished, bytes).and_then(|()| {
            renameat(&self.directory, &unfinished, &self.directory, name)
                .and_then(|()| sync(&self.directory))
                .map_err(|error| self.failed(name, "written", error.into()))
        });
        if written.is_err() {
            // Where it cannot be removed either, the next one to write removes it.
            let _ = unlinkat(&self.directory, &unfinished, AtFlags::empty());
        }
        written
    }

    /// Removes a file, durably, if `is_due` says so of what is in it; whether it did.
    pub(crate) fn remove_if(&self, name: &str, is_due: impl FnOnce(&[u8]) -> bool) -> Result<bool, Error> {
        let _lock = self.lock()?;
        match self.read(name)? {
            Some(bytes) if is_due(&bytes) => {}
            _ => return Ok(false),
        }
        unlinkat(&self.directory, name, AtFlags::empty())
            .and_then(|()| sync(&self.directory))
            .map_err(|error| self.failed(name, "removed", error.into()))?;
        Ok(true)
    }

    /// Opens the directory `name` in it, which only this user may enter, and locks it until the descriptor is closed. It is made where it is
    /// missing. `None`: somebody else holds the lock.
    pub(crate) fn lock_directory(&self, name: &str) -> Result<Option<OwnedFd>, Error> {
        // With the lock on all: nobody removes it between two of these steps.
        let _lock = self.lock()?;
        match mkdirat(&self.directory, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(self.failed(name, "made", error.into())),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = match openat(&self.directory, name, flags, Mode::empty()) {
            Ok(directory) => directory,
            Err(Errno::LOOP | Errno::NOTDIR) => return Err(self.not_ours(name)),
            Err(error) => return Err(self.failed(name, "opened", error.into())),
        };
        let stat = fstat(&directory).map_err(|error| self.failed(name, "examined", error.into()))?;
        if stat.st_uid != geteuid().as_raw() || mode(&stat).intersects(Mode::RWXG | Mode::RWXO) {
            return Err(self.not_ours(name));
        }
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => Ok(None),
            // As of the lock on all: where there are no locks, that on the output has to do.
            Ok(()) | Err(_) => Ok(Some(directory)),
        }
    }

    /// Removes a directory that this process has locked, with the files in it.
    pub(crate) fn remove_directory(&self, name: &str) -> Result<(), Error> {
        let _lock = self.lock()?;
        fs::remove_dir_all(self.path_of(name)).map_err(|error| self.failed(name, "removed", error))
    }

    /// Removes the directories with a due name that nobody has locked. One that cannot be removed is left to the next call.
    pub(crate) fn sweep_directories(&self, is_due: impl Fn(&str) -> bool) {
        let names = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let names = names.filter_map(|entry| entry.file_name().into_string().ok());
        for name in names.filter(|name| is_due(name)) {
            if let Ok(Some(_locked)) = self.lock_directory(&name) {
                let _ = self.remove_directory(&name);
            }
        }
    }

    /// The path of a file, for messages.
    pub(crate) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Nobody else opens a file of this name before it has its own: what stands there is what a crash has left.
    fn write_new(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        match unlinkat(&self.directory, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(self.failed(name, "removed", error.into())),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = openat(&self.directory, name, flags, Mode::RUSR | Mode::WUSR);
        let mut file = File::from(made.map_err(|error| self.failed(name, "made", error.into()))?);
        let stat = fstat(&file).map_err(|error| self.failed(name, "examined", error.into()))?;
        if !is_private(&stat) {
            let what = format!("{}: no file can be kept to one user here", self.path.display());
            return Err(Error::new(ErrorKind::Usage, what).advise(OWN_DIRECTORY));
        }
        file.write_all(bytes).map_err(|error| self.failed(name, "written", error))?;
        file.sync_all().map_err(|error| self.failed(name, "written", error))
    }

    /// Keeps others from writing and removing until it is dropped. Where the file system has no locks, the lock on the
    /// output has to do. The wait has an end: whoever may open the directory can lock it, and need not let go.
    fn lock(&self) -> Result<Locked<'_>, Error> {
        let waits_since = Instant::now();
        loop {
            match flock(&self.directory, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK | Errno::INTR) if waits_since.elapsed() < LOCK_WAIT_MAX => {
                    thread::sleep(LOCK_WAIT_STEP);
                }
                Err(Errno::WOULDBLOCK | Errno::INTR) => {
                    let what = format!("{}: another process holds a lock on it", self.path.display());
                    return Err(Error::new(ErrorKind::TargetLocked, what).advise(OWN_DIRECTORY));
                }
                Ok(()) | Err(_) => return Ok(Locked(self)),
            }
        }
    }

    fn failed(&self, name: &str, action: &str, error: io::Error) -> Error {
        failed(&self.path_of(name), action, error)
    }

    fn not_ours(&self, name: &str) -> Error {
        let what = format!(
            "{}: not a file of this user alone (mode 0600, one name), so nothing in it is believed",
            self.path_of(name).display()
        );
        Error::new(ErrorKind::JournalMismatch, what).remedied(Remedy::Restart(Kept::StateNotOurs))
    }
}

struct Locked<'a>(&'a StateDir);

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let _ = flock(&self.0.directory, FlockOperation::Unlock);
    }
}

/// A regular file of this user's, with one name or, where it has just been replaced, none, and rights for nobody else.
fn is_private(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode).is_file()
        && stat.st_uid == geteuid().as_raw()
        && stat.st_nlink <= 1
        && !mode(stat).intersects(Mode::RWXG | Mode::RWXO)
}

fn mode(stat: &Stat) -> Mode {
    Mode::from_raw_mode(stat.st_mode)
}

/// Makes a directory and those above it, durably.
fn make(path: &Path) -> io::Result<()> {
    let make_one = || DirBuilder::new().mode(0o700).create(path);
    let made = match (make_one(), path.parent()) {
        (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound && *parent != *path => {
            make(parent)?;
            make_one()
        }
        (made, _) => made,
    };
    match made {
        Ok(()) => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let parent = File::open(parent.unwrap_or(Path::new(".")))?;
            Ok(sync(parent.as_fd())?)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Some file systems have no sync of a directory; more cannot be done on them.
fn sync(directory: impl std::os::fd::AsFd) -> rustix::io::Result<()> {
    match fsync(directory) {
        Ok(()) | Err(Errno::INVAL) => Ok(()),
        Err(error) => Err(error),
    }
}

fn failed(path: &Path, action: &str, error: io::Error) -> Error {
    let what = format!("{} could not be {action}", path.display());
    Error::io(what, error).remedied(Remedy::OtherStateDirectory)
}

const OWN_DIRECTORY: &str = "Give a directory of your own that nobody else can write (mode 0700), on a file system that keeps rights.";
/// The longest file: a path of 4,096 bytes, and what goes with it.
const FILE_LEN_MAX: usize = 8 << 10;
/// A writer holds the lock for as long as it takes to sync one short file.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(if cfg!(test) { 0 } else { 10 });
const LOCK_WAIT_STEP: Duration = Duration::from_millis(10);

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails by panicking.
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_somebody_keeps_is_an_error_and_nothing_is_written_or_removed() {
        let scratch = tempfile::tempdir().unwrap();
        let states = StateDir::create(&scratch.path().join("states")).unwrap();
        states.write("a", b"kept").unwrap();
        let theirs = File::open(scratch.path().join("states")).unwrap();
        flock(&theirs, FlockOperation::LockExclusive).unwrap();
        let refused = [states.write("a", b"new"), states.remove_if("a", |_| true).map(|_| ())];
        assert!(refused.iter().all(|done| done.as_ref().is_err_and(|e| e.kind() == ErrorKind::TargetLocked)));
        assert_eq!(states.read("a").unwrap().unwrap()[..], *b"kept");
        drop(theirs);
        assert!(states.remove_if("a", |_| true).unwrap());
    }
}
