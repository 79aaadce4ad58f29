//! The target's place: its directory, opened once, and its name there.
//! Knows nothing of the bytes that are to come.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, Stat, fsync, linkat, openat, renameat, statat, unlinkat},
    io::{Errno, retry_on_intr},
};

use super::Existing;
use crate::{CommitError, TargetError, TargetKind, classify};

/// A directory and a name in it. Every later step is relative to the descriptor, so that a directory that is moved
/// or replaced meanwhile does not send them elsewhere.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) directory: OwnedFd,
    pub(crate) name: OsString,
    pub(crate) existing: Existing,
    /// For messages alone.
    path: PathBuf,
}

impl Place {
    /// Resolves `target` and refuses what could not be published to.
    pub(crate) fn resolve(target: &Path, existing: Existing) -> Result<Self, TargetError> {
        let path = resolve_link(target, existing)?;
        let (parent, name) = split(&path)?;
        let place =
            Self { directory: open_directory(parent)?, name: name.into(), existing, path: path.clone() };
        match place.target_stat().map_err(|error| TargetError::io(&path, "examine", error))? {
            Some(stat) => place.check_standing(&stat)?,
            None => place.check_protection(OsStr::new("."))?,
        }
        Ok(place)
    }

    /// The path as it was resolved, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of `name` in this directory, for messages.
    pub(crate) fn sibling(&self, name: &OsStr) -> PathBuf {
        self.path.with_file_name(name)
    }

    /// The directory's path, for messages.
    pub(crate) fn directory_path(&self) -> PathBuf {
        self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).into()
    }

    /// What stands at the target's name now.
    pub(crate) fn target_stat(&self) -> io::Result<Option<Stat>> {
        self.stat(&self.name)
    }

    /// What stands at `name` in the directory now.
    pub(crate) fn stat(&self, name: &OsStr) -> io::Result<Option<Stat>> {
        match statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives the file `staged` in this directory the target's name. After `Ok`, and only then, the target is new.
    pub(crate) fn put(&self, staged: &OsStr) -> Result<(), CommitError> {
        let before = self.stat(staged).map_err(CommitError::NotCommitted)?;
        let done = match self.existing {
            Existing::Refuse => self.put_new(staged),
            Existing::Replace => renameat(&self.directory, staged, &self.directory, &self.name),
        };
        done.map_err(|error| {
            // A file system behind a network can do a rename and lose the reply.
            let now = self.target_stat().ok().flatten();
            let same =
                matches!((before, now), (Some(a), Some(b)) if (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino));
            match same {
                true => CommitError::Unknown(error.into()),
                false => CommitError::NotCommitted(error.into()),
            }
        })
    }

    /// Makes the new name durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        match fsync(&self.directory) {
            // The file system has no such thing as a directory's sync; more cannot be done on it.
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// A name for the target where there must be none.
    fn put_new(&self, staged: &OsStr) -> rustix::io::Result<()> {
        match rename_to_absent(&self.directory, staged, &self.name) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
            done => return done,
        }
        linkat(&self.directory, staged, &self.directory, &self.name, AtFlags::empty())?;
        // The target is there. A second name that stays behind is stale, and the next writer removes it.
        let _ = unlinkat(&self.directory, staged, AtFlags::empty());
        Ok(())
    }

    /// What stands there may be replaced, and can be.
    fn check_standing(&self, stat: &Stat) -> Result<(), TargetError> {
        let path = || self.path.clone();
        let file_type = rustix::fs::FileType::from_raw_mode(stat.st_mode);
        if file_type.is_symlink() {
            return Err(TargetError::Symlink { path: path() });
        }
        if !file_type.is_file() {
            return Err(TargetError::NotAFile { path: path(), kind: classify(&self.path)? });
        }
        if self.existing == Existing::Refuse {
            return Err(TargetError::Exists { path: path() });
        }
        self.check_protection(&self.name)?;
        self.check_protection(OsStr::new("."))?;
        self.check_sticky(stat)
    }

    /// Marks that let a file be opened and yet not be renamed or replaced.
    fn check_protection(&self, name: &OsStr) -> Result<(), TargetError> {
        let is_target = name == self.name;
        let path = || if is_target { self.path.clone() } else { self.directory_path() };
        match protection(&self.directory, name).map_err(|error| TargetError::io(&path(), "examine", error))? {
            Protection::MountPoint if is_target => Err(TargetError::MountPoint { path: path() }),
            Protection::Immutable => Err(TargetError::Immutable { path: path() }),
            Protection::MountPoint | Protection::None => Ok(()),
        }
    }

    /// In a sticky directory a file is replaced by its owner or the directory's. Where everyone may put files, only by its
    /// owner: root or the directory's owner could, and would be led to give the new file to whoever put the old one there.
    fn check_sticky(&self, target: &Stat) -> Result<(), TargetError> {
        let directory = rustix::fs::fstat(&self.directory)
            .map_err(|error| TargetError::io(&self.path, "examine", error))?;
        let user = rustix::process::geteuid().as_raw();
        let mode = Mode::from_raw_mode(directory.st_mode);
        let sticky = mode.contains(Mode::SVTX);
        let ours = target.st_uid == user || directory.st_uid == user && !mode.contains(Mode::WOTH);
        match sticky && !ours {
            true => Err(TargetError::SomeoneElses { path: self.path.clone() }),
            false => Ok(()),
        }
    }
}

/// The path itself, or, where replacing was asked for, the file that a symbolic link leads to: found once, here.
fn resolve_link(target: &Path, existing: Existing) -> Result<PathBuf, TargetError> {
    if existing == Existing::Refuse || classify(target)? != TargetKind::Symlink {
        return Ok(target.into());
    }
    refuse_planted_link(target)?;
    target.canonicalize().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => TargetError::Symlink { path: target.into() },
        _ => TargetError::io(target, "follow", error),
    })
}

/// A link in a sticky directory that everyone can write is followed only if it is ours or the directory's owner's: the
/// rule of `fs.protected_symlinks` (proc(5)), kept here whatever that is set to.
fn refuse_planted_link(link: &Path) -> Result<(), TargetError> {
    let examined = |error: Errno| TargetError::io(link, "examine", error);
    let (parent, name) = split(link)?;
    let directory = rustix::fs::fstat(&open_directory(parent)?).map_err(examined)?;
    let stat = statat(CWD, parent.join(name), AtFlags::SYMLINK_NOFOLLOW).map_err(examined)?;
    let shared = Mode::from_raw_mode(directory.st_mode).contains(Mode::SVTX | Mode::WOTH);
    let trusted = [rustix::process::geteuid().as_raw(), directory.st_uid].contains(&stat.st_uid);
    match shared && !trusted {
        true => Err(TargetError::SomeoneElses { path: link.into() }),
        false => Ok(()),
    }
}

/// Directory and name. A path that ends in a slash, or in no name at all, means a directory.
fn split(path: &Path) -> Result<(&Path, &OsStr), TargetError> {
    let ends_as_directory = path.as_os_str().as_bytes().ends_with(b"/");
    match path.file_name() {
        Some(name) if !ends_as_directory => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            Ok((parent.unwrap_or(Path::new(".")), name))
        }
        _ => Err(TargetError::NotAFile { path: path.into(), kind: TargetKind::Directory }),
    }
}

fn open_directory(path: &Path) -> Result<OwnedFd, TargetError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    retry_on_intr(|| openat(CWD, path, flags, Mode::empty())).map_err(|error| match error {
        Errno::NOENT | Errno::NOTDIR => TargetError::NoDirectory { directory: path.into() },
        error => TargetError::io(path, "open", error),
    })
}

enum Protection {
    None,
    MountPoint,
    Immutable,
}

#[cfg(target_os = "linux")]
fn protection(directory: &OwnedFd, name: &OsStr) -> io::Result<Protection> {
    use rustix::fs::{StatxAttributes, StatxFlags, statx};

    let attributes = match statx(directory, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty()) {
        Ok(statx) => statx.stx_attributes,
        Err(Errno::NOSYS) => return Ok(Protection::None),
        Err(error) => return Err(error.into()),
    };
    Ok(if attributes.intersects(StatxAttributes::IMMUTABLE | StatxAttributes::APPEND) {
        Protection::Immutable
    } else if attributes.contains(StatxAttributes::MOUNT_ROOT) {
        Protection::MountPoint
    } else {
        Protection::None
    })
}

/// Elsewhere such a mark shows only when the rename fails, which leaves the old target as well.
#[cfg(not(target_os = "linux"))]
fn protection(_directory: &OwnedFd, _name: &OsStr) -> io::Result<Protection> {
    Ok(Protection::None)
}

#[cfg(target_os = "linux")]
fn rename_to_absent(directory: &OwnedFd, from: &OsStr, to: &OsStr) -> rustix::io::Result<()> {
    rustix::fs::renameat_with(directory, from, directory, to, rustix::fs::RenameFlags::NOREPLACE)
}

#[cfg(not(target_os = "linux"))]
fn rename_to_absent(_directory: &OwnedFd, _from: &OsStr, _to: &OsStr) -> rustix::io::Result<()> {
    Err(Errno::NOSYS)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn place_in(directory: &Path, existing: Existing) -> Place {
        Place::resolve(&directory.join("target"), existing).unwrap()
    }

    #[test]
    fn a_target_that_appears_meanwhile_is_not_replaced_by_either_way_of_publishing() {
        let directory = tempfile::tempdir().unwrap();
        let place = place_in(directory.path(), Existing::Refuse);
        fs::write(directory.path().join("staged"), b"new").unwrap();
        fs::write(directory.path().join("target"), b"appeared").unwrap();
        let Err(CommitError::NotCommitted(error)) = place.put(OsStr::new("staged")) else {
            panic!("replaced")
        };
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        let linked = linkat(&place.directory, "staged", &place.directory, "target", AtFlags::empty());
        assert_eq!(linked, Err(Errno::EXIST));
        assert_eq!(fs::read(directory.path().join("target")).unwrap(), b"appeared");
    }

    #[test]
    fn a_directory_that_is_moved_away_takes_the_target_with_it() {
        let outer = tempfile::tempdir().unwrap();
        let (here, there) = (outer.path().join("here"), outer.path().join("there"));
        fs::create_dir(&here).unwrap();
        let place = place_in(&here, Existing::Refuse);
        fs::write(here.join("staged"), b"new").unwrap();
        fs::rename(&here, &there).unwrap();
        fs::create_dir(&here).unwrap();
        place.put(OsStr::new("staged")).unwrap();
        place.sync().unwrap();
        assert_eq!(fs::read(there.join("target")).unwrap(), b"new");
        assert!(!here.join("target").exists());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_mount_point_is_seen() {
        let root = open_directory(Path::new("/")).unwrap();
        assert!(matches!(protection(&root, OsStr::new("proc")).unwrap(), Protection::MountPoint));
        assert!(matches!(protection(&root, OsStr::new("proc/version")).unwrap(), Protection::None));
    }
}
