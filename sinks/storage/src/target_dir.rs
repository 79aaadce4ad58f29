//! The target's place: its directory, opened once, and its name there.
//! Knows nothing of the bytes that are to come.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use cofferdam_io::retried;
use contract::{CommitError, IfExists};
use rustix::{
    fs::{Access, AtFlags, CWD, FileType, Mode, OFlags, Stat, accessat, fstat, fstatvfs, openat, statat},
    io::Errno,
};

use crate::{
    Disk, FileId, FileStamp, Misplaced, Ownership, Storage, StorageFile, TargetError, TargetKind, classify,
    copy_metadata::may_be_replaced, names::NAME_LEN_MAX,
};

/// A directory behind the seam, and a name in it. Where it is a real one, what would fail at the end can be seen here at
/// the start.
#[derive(Debug)]
pub struct TargetDir {
    /// The directory.
    pub storage: Arc<dyn Storage>,
    /// The target's name in it.
    pub name: OsString,
    /// What becomes of a target that exists.
    pub if_exists: IfExists,
    /// The real directory, for checks that have no meaning elsewhere.
    disk: Option<Disk>,
    /// For messages alone.
    path: PathBuf,
}

impl TargetDir {
    /// Finds the directory and the name that `target` means. What stands there is not judged yet.
    pub fn resolve(target: &Path, if_exists: IfExists) -> Result<Self, TargetError> {
        let path = resolve_link(target, if_exists)?;
        let (parent, name) = split(&path)?;
        let disk = Disk::new(open_directory(parent)?);
        let storage = Arc::new(disk.clone());
        Ok(Self { storage, name: name.into(), if_exists, disk: Some(disk), path: path.clone() })
    }

    /// A name in a directory that need not be a real one.
    pub fn within(storage: Arc<dyn Storage>, name: &OsStr, if_exists: IfExists) -> Self {
        Self { storage, name: name.into(), if_exists, disk: None, path: name.into() }
    }

    /// Refuses what could not be published to.
    pub fn check(&self) -> Result<(), TargetError> {
        let Some(directory) = self.directory() else { return self.check_absent() };
        let standing = stat(directory, &self.name);
        match standing.map_err(|error| TargetError::io(&self.path, "examine", error))? {
            Some(standing) => self.check_standing(directory, &standing),
            None => self.check_protection(directory, OsStr::new(".")),
        }
    }

    /// Refuses a directory in which nothing can be renamed. Who makes a file there sees it anyway; who goes on with one that
    /// was found would see it at publish only.
    pub fn check_writable(&self) -> Result<(), TargetError> {
        let Some(directory) = self.directory() else { return Ok(()) };
        let access = Access::WRITE_OK | Access::EXEC_OK;
        match retried(|| accessat(directory, c".", access, AtFlags::EACCESS)) {
            Err(error @ (Errno::ACCESS | Errno::PERM | Errno::ROFS)) => {
                Err(TargetError::NotWritable { directory: self.directory_path(), source: error.into() })
            }
            // Where the system cannot answer, the rename will.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Refuses a file that was found at `name`, one of ours, and that is not ours alone.
    pub fn check_ours(&self, name: &OsStr, file: &dyn StorageFile) -> Result<(), TargetError> {
        let path = self.sibling(name);
        match file.ownership().map_err(|error| TargetError::io(&path, "examine", error))? {
            Ownership::SomeoneElses { owner } => Err(TargetError::NotOurs { path, owner }),
            Ownership::Shared => Err(TargetError::Shared { path }),
            Ownership::Ours => Ok(()),
        }
    }

    /// The storage of a real directory, where it is one.
    pub fn disk(&self) -> Option<&Disk> {
        self.disk.as_ref()
    }

    /// The real directory, where it is one.
    pub fn directory(&self) -> Option<BorrowedFd<'_>> {
        self.disk.as_ref().map(Disk::as_fd)
    }

    /// The path as it was resolved, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of `name` in this directory, for messages.
    pub fn sibling(&self, name: &OsStr) -> PathBuf {
        self.path.with_file_name(name)
    }

    /// The directory's path, for messages.
    pub fn directory_path(&self) -> PathBuf {
        self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).into()
    }

    /// The longest name that the directory takes, in bytes.
    pub fn name_len_max(&self) -> usize {
        let told = self.directory().and_then(|directory| fstatvfs(directory).ok());
        told.and_then(|told| usize::try_from(told.f_namemax).ok()).unwrap_or(NAME_LEN_MAX)
    }

    /// What tells the file at the target's name from others.
    pub fn target_stamp(&self) -> Result<Option<FileStamp>, TargetError> {
        self.storage.stamp_at(&self.name).map_err(|error| TargetError::io(&self.path, "examine", error))
    }

    /// Which file stands at the target's name.
    pub fn target_id(&self) -> Result<Option<FileId>, TargetError> {
        self.storage.id_at(&self.name).map_err(|error| TargetError::io(&self.path, "examine", error))
    }

    /// Gives the file `id`, which stands at `staged` in this directory, the target's name. After `Ok`, and only then, the
    /// target is new.
    pub fn put(&self, staged: &OsStr, id: FileId) -> Result<(), CommitError> {
        if self.storage.id_at(staged).map_err(CommitError::NotCommitted)? != Some(id) {
            let message = format!("{}: the staging file was taken away", self.sibling(staged).display());
            return Err(CommitError::NotCommitted(io::Error::new(io::ErrorKind::NotFound, message)));
        }
        match self.storage.rename(staged, &self.name, self.if_exists) {
            Ok(()) => self.check_put(id).map_err(CommitError::Unknown),
            // A file system behind a network can do a rename and lose the reply.
            Err(error) => Err(match self.storage.id_at(&self.name) {
                Ok(Some(now)) if now == id => CommitError::Unknown(error),
                Ok(_) => CommitError::NotCommitted(error),
                Err(_) => CommitError::Unknown(error),
            }),
        }
    }

    /// The rename goes by names, and whoever can write the directory can change what they lead to.
    pub fn check_put(&self, id: FileId) -> io::Result<()> {
        match self.storage.id_at(&self.name)? == Some(id) {
            true => Ok(()),
            false => Err(io::Error::other(Misplaced::Swapped { path: self.path.clone() })),
        }
    }

    /// Whether the path still leads to the directory in which the target stands.
    pub fn check_path(&self) -> io::Result<()> {
        let Some(directory) = self.directory() else { return Ok(()) };
        let ours = fstat(directory)?;
        let leads_there = |path: &Path| {
            let there = rustix::fs::stat(path);
            there.is_ok_and(|there| (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino))
        };
        if leads_there(&self.directory_path()) {
            return Ok(());
        }
        // Of one that something is mounted over the system says its own name.
        let now = path_of(directory).filter(|now| leads_there(now));
        let path = now.map(|now| now.join(&self.name));
        Err(io::Error::other(Misplaced::Moved { path }))
    }

    /// Where nothing else can be seen: whether a target is there that must not be.
    fn check_absent(&self) -> Result<(), TargetError> {
        match (self.if_exists, self.target_id()?) {
            (IfExists::Refuse, Some(_)) => Err(TargetError::Exists { path: self.path.clone() }),
            (IfExists::Refuse, None) | (IfExists::Replace, _) => Ok(()),
        }
    }

    /// What stands there may be replaced, and can be.
    fn check_standing(&self, directory: BorrowedFd<'_>, stat: &Stat) -> Result<(), TargetError> {
        let path = || self.path.clone();
        let file_type = FileType::from_raw_mode(stat.st_mode);
        if file_type.is_symlink() {
            return Err(TargetError::link(&self.path));
        }
        if !file_type.is_file() {
            return Err(TargetError::NotAFile { path: path(), kind: classify(&self.path)? });
        }
        if self.if_exists == IfExists::Refuse {
            return Err(TargetError::Exists { path: path() });
        }
        self.check_protection(directory, &self.name)?;
        self.check_protection(directory, OsStr::new("."))?;
        self.check_sticky(directory, stat)
    }

    /// Marks that let a file be opened and yet not be renamed or replaced.
    fn check_protection(&self, directory: BorrowedFd<'_>, name: &OsStr) -> Result<(), TargetError> {
        let is_target = name == self.name;
        let path = || if is_target { self.path.clone() } else { self.directory_path() };
        match protection(directory, name).map_err(|error| TargetError::io(&path(), "examine", error))? {
            Protection::MountPoint if is_target => Err(TargetError::MountPoint { path: path() }),
            Protection::Immutable => Err(TargetError::Immutable { path: path() }),
            Protection::MountPoint | Protection::None => Ok(()),
        }
    }

    fn check_sticky(&self, directory: BorrowedFd<'_>, target: &Stat) -> Result<(), TargetError> {
        let directory = fstat(directory).map_err(|error| TargetError::io(&self.path, "examine", error))?;
        match may_be_replaced(&directory, target) {
            true => Ok(()),
            false => Err(TargetError::SomeoneElses { path: self.path.clone() }),
        }
    }
}

/// The path itself, or, where replacing was asked for, the file that a symbolic link leads to: found once, here.
fn resolve_link(target: &Path, if_exists: IfExists) -> Result<PathBuf, TargetError> {
    if if_exists == IfExists::Refuse || classify(target)? != TargetKind::Symlink {
        return Ok(target.into());
    }
    refuse_planted_link(target)?;
    target.canonicalize().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => TargetError::DanglingLink { path: target.into() },
        _ => TargetError::io(target, "follow", error),
    })
}

/// A link in a sticky directory that everyone can write is followed only if it is ours or the directory's owner's: the
/// rule of `fs.protected_symlinks` (proc(5)), kept here whatever that is set to.
pub(crate) fn refuse_planted_link(link: &Path) -> Result<(), TargetError> {
    let examined = |error: Errno| TargetError::io(link, "examine", error);
    let (parent, name) = split(link)?;
    let directory = fstat(open_directory(parent)?).map_err(examined)?;
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
    retried(|| openat(CWD, path, flags, Mode::empty())).map_err(|error| match error {
        Errno::NOENT | Errno::NOTDIR => TargetError::NoDirectory { directory: path.into() },
        error => TargetError::io(path, "open", error),
    })
}

/// What stands at `name` now, a symbolic link not followed.
fn stat(directory: BorrowedFd<'_>, name: &OsStr) -> io::Result<Option<Stat>> {
    match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Where a directory is now, as the system tells it.
fn path_of(directory: BorrowedFd<'_>) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd())).ok()
}

enum Protection {
    None,
    MountPoint,
    Immutable,
}

#[cfg(target_os = "linux")]
fn protection(directory: BorrowedFd<'_>, name: &OsStr) -> io::Result<Protection> {
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
fn protection(_directory: BorrowedFd<'_>, _name: &OsStr) -> io::Result<Protection> {
    Ok(Protection::None)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn place_in(directory: &Path, if_exists: IfExists) -> TargetDir {
        TargetDir::resolve(&directory.join("target"), if_exists).unwrap()
    }

    /// A file that is to become the target.
    fn staged(directory: &Path, target_dir: &TargetDir) -> (&'static OsStr, FileId) {
        fs::write(directory.join("staged"), b"new").unwrap();
        let name = OsStr::new("staged");
        (name, target_dir.storage.id_at(name).unwrap().unwrap())
    }

    #[test]
    fn a_target_that_appears_meanwhile_is_not_replaced_by_either_way_of_publishing() {
        let directory = tempfile::tempdir().unwrap();
        let target_dir = place_in(directory.path(), IfExists::Refuse);
        let (name, id) = staged(directory.path(), &target_dir);
        fs::write(directory.path().join("target"), b"appeared").unwrap();
        let Err(CommitError::NotCommitted(error)) = target_dir.put(name, id) else { panic!("replaced") };
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        let here = target_dir.directory().unwrap();
        let linked = rustix::fs::linkat(here, "staged", here, "target", AtFlags::empty());
        assert_eq!(linked, Err(Errno::EXIST));
        assert_eq!(fs::read(directory.path().join("target")).unwrap(), b"appeared");
    }

    #[test]
    fn what_has_taken_the_staging_files_name_is_not_published() {
        let directory = tempfile::tempdir().unwrap();
        let target_dir = place_in(directory.path(), IfExists::Refuse);
        let (name, id) = staged(directory.path(), &target_dir);
        fs::write(directory.path().join("another"), b"another's").unwrap();
        fs::rename(directory.path().join("another"), directory.path().join(name)).unwrap();
        assert!(matches!(target_dir.put(name, id), Err(CommitError::NotCommitted(_))));
        assert!(!directory.path().join("target").exists());
    }

    #[test]
    fn a_directory_that_is_moved_away_takes_the_target_with_it() {
        let outer = tempfile::tempdir().unwrap();
        let (here, there) = (outer.path().join("here"), outer.path().join("there"));
        fs::create_dir(&here).unwrap();
        let target_dir = place_in(&here, IfExists::Refuse);
        let (name, id) = staged(&here, &target_dir);
        fs::rename(&here, &there).unwrap();
        fs::create_dir(&here).unwrap();
        target_dir.put(name, id).unwrap();
        target_dir.storage.sync().unwrap();
        assert_eq!(fs::read(there.join("target")).unwrap(), b"new");
        assert!(!here.join("target").exists());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_mount_point_is_seen() {
        let root = open_directory(Path::new("/")).unwrap();
        assert!(matches!(protection(root.as_fd(), OsStr::new("proc")).unwrap(), Protection::MountPoint));
        assert!(matches!(protection(root.as_fd(), OsStr::new("proc/version")).unwrap(), Protection::None));
    }
}
