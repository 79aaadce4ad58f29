//! A real directory and its files, as sinks use them: the `Storage` of everything but tests.
//! Knows no sink, and decides nothing: each call is one step of the file system.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Seek, SeekFrom},
    num::NonZeroU64,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::{FileExt, FileTypeExt, MetadataExt},
    },
    sync::Arc,
};

use cofferdam_io::{WriteAt, retried};
use contract::IfExists;
use rustix::{
    fs::{
        AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_OMIT, fchmod,
        fchown, fdatasync, flock, fstat, fsync, ftruncate, futimens, linkat, openat, renameat, statat,
        unlinkat,
    },
    io::Errno,
};

use super::{
    CopiedMetadata, FileId, FileStamp, FileTime, Lock, Ownership, Seed, Storage, StorageFile, TargetError,
    copy_metadata, stamp,
};

/// A directory that was opened once: every step is relative to its descriptor, so that a directory that is moved or
/// replaced meanwhile does not send them elsewhere.
#[derive(Clone, Debug)]
pub struct Disk {
    directory: Arc<OwnedFd>,
    map: MapFile,
}

/// Gives a file its length and all of its room, and maps it, as [`StorageFile::map`] says.
pub type MapFile = fn(&File, u64) -> io::Result<Arc<dyn WriteAt>>;

impl Disk {
    /// The directory behind a descriptor.
    pub fn new(directory: OwnedFd) -> Disk {
        Disk { directory: Arc::new(directory), map: refuse_to_map }
    }

    /// Opens the directory at `path`.
    ///
    /// # Errors
    /// The file system's own.
    pub fn open(path: &std::path::Path) -> io::Result<Disk> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Disk::new(retried(|| openat(CWD, path, flags, Mode::empty()))?))
    }

    /// The same directory, whose files are mapped by `map`. Without one they are not: a map needs `unsafe`, and that has a crate of
    /// its own.
    pub fn with_maps(self, map: MapFile) -> Disk {
        Disk { map, ..self }
    }

    /// An open block device, as a file that has its length. It is in no directory, and gets no name.
    pub(crate) fn device(fd: OwnedFd, path: &std::path::Path) -> Result<Arc<dyn StorageFile>, TargetError> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = Disk::open(parent.unwrap_or(std::path::Path::new(".")));
        let directory = directory.map_err(|error| TargetError::io(path, "open the directory of", error))?;
        Ok(directory.file(fd))
    }

    fn file(&self, fd: OwnedFd) -> Arc<dyn StorageFile> {
        Arc::new(DiskFile { file: fd.into(), directory: self.directory.clone(), map: self.map })
    }

    /// A new name where there must be none.
    fn rename_to_absent(&self, from: &OsStr, to: &OsStr) -> rustix::io::Result<()> {
        match rename_noreplace(&self.directory, from, to) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
            done => return done,
        }
        linkat(&self.directory, from, &self.directory, to, AtFlags::empty())?;
        // The new name is there. The old one, if it stays behind, is a second name of the same file.
        let _ = unlinkat(&self.directory, from, AtFlags::empty());
        Ok(())
    }
}

impl AsFd for Disk {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

impl Storage for Disk {
    fn create(&self, name: &OsStr) -> io::Result<Arc<dyn StorageFile>> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = retried(|| openat(&self.directory, name, flags, Mode::RUSR | Mode::WUSR))?;
        Ok(self.file(fd))
    }

    #[cfg(target_os = "linux")]
    fn create_unnamed(&self) -> io::Result<Arc<dyn StorageFile>> {
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        match retried(|| openat(&self.directory, c".", flags, Mode::RUSR | Mode::WUSR)) {
            Ok(fd) => Ok(self.file(fd)),
            // What open(2) names for file systems without O_TMPFILE; older kernels see a directory opened to write.
            Err(Errno::OPNOTSUPP | Errno::ISDIR) => Err(io::ErrorKind::Unsupported.into()),
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn create_unnamed(&self) -> io::Result<Arc<dyn StorageFile>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn open(&self, name: &OsStr) -> io::Result<Option<Arc<dyn StorageFile>>> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = match retried(|| openat(&self.directory, name, flags, Mode::empty())) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP | Errno::ISDIR | Errno::NXIO) => return Err(io::ErrorKind::InvalidInput.into()),
            Err(error) => return Err(error.into()),
        };
        if !FileType::from_raw_mode(fstat(&fd)?.st_mode).is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(Some(self.file(fd)))
    }

    fn id_at(&self, name: &OsStr) -> io::Result<Option<FileId>> {
        match statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(id_of(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn stamp_at(&self, name: &OsStr) -> io::Result<Option<FileStamp>> {
        match stamp::at(&self.directory, name) {
            Ok(stamp) => Ok(Some(stamp)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn rename(&self, from: &OsStr, to: &OsStr, if_exists: IfExists) -> io::Result<()> {
        match if_exists {
            IfExists::Refuse => Ok(self.rename_to_absent(from, to)?),
            IfExists::Replace => Ok(renameat(&self.directory, from, &self.directory, to)?),
        }
    }

    fn remove(&self, name: &OsStr) -> io::Result<()> {
        Ok(unlinkat(&self.directory, name, AtFlags::empty())?)
    }

    fn sync(&self) -> io::Result<()> {
        match fsync(&self.directory) {
            // The file system has no such thing as a directory's sync; more cannot be done on it.
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// An open file of a [`Disk`].
#[derive(Debug)]
struct DiskFile {
    file: File,
    directory: Arc<OwnedFd>,
    map: MapFile,
}

impl Drop for DiskFile {
    /// A process that is being started from another thread has the open file as well, until it becomes another program:
    /// what is closed here alone would stay locked that long.
    fn drop(&mut self) {
        // Without a lock there is nothing to give up, and nobody to be told.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

impl StorageFile for DiskFile {
    fn id(&self) -> io::Result<FileId> {
        Ok(id_of(&fstat(&self.file)?))
    }

    fn stamp(&self) -> io::Result<FileStamp> {
        Ok(stamp::of(&self.file)?)
    }

    fn len(&self) -> io::Result<u64> {
        let found = self.file.metadata()?;
        match found.file_type().is_block_device() {
            // Where the system tells no length, the end of it is one.
            true => (&self.file).seek(SeekFrom::End(0)),
            false => Ok(found.len()),
        }
    }

    fn allocated(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.blocks().saturating_mul(STAT_BLOCK_LEN))
    }

    fn ownership(&self) -> io::Result<Ownership> {
        let (directory, found) = (fstat(&self.directory)?, fstat(&self.file)?);
        let user = rustix::process::geteuid().as_raw();
        let of_root = found.st_uid == ROOT && is_of_root_and(user, &directory);
        Ok(if found.st_uid != user && !of_root {
            Ownership::SomeoneElses { owner: found.st_uid }
        } else if found.st_nlink > 1 {
            Ownership::Shared
        } else {
            Ownership::Ours
        })
    }

    fn is_open_to_others(&self) -> io::Result<bool> {
        let mode = Mode::from_raw_mode(fstat(&self.file)?.st_mode);
        Ok(mode.intersects(Mode::RGRP | Mode::WGRP | Mode::ROTH | Mode::WOTH))
    }

    fn try_lock(&self) -> io::Result<Lock> {
        match retried(|| flock(&self.file, FlockOperation::NonBlockingLockExclusive)) {
            Ok(()) => Ok(Lock::Taken),
            Err(Errno::WOULDBLOCK) => Ok(Lock::Held),
            Err(error) => Err(error.into()),
        }
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.file.read_at(buffer, at)
    }

    fn write_at(&self, data: &[u8], at: u64) -> io::Result<usize> {
        self.file.write_at(data, at)
    }

    /// copy_file_range(2): within one XFS or btrfs it shares the room, within one NFS or CIFS the server copies. Where it copies
    /// itself, a signal may cut it short.
    #[cfg(target_os = "linux")]
    fn clone_range(&self, seed: &Seed, from: u64, at: u64, len: u64) -> io::Result<u64> {
        let Some(file) = seed.file() else { return Ok(0) };
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let (mut from, mut to) = (from, at);
        let count =
            retried(|| rustix::fs::copy_file_range(file, Some(&mut from), &self.file, Some(&mut to), len))?;
        Ok(count as u64)
    }

    #[cfg(target_os = "linux")]
    fn may_share(&self, seed: &Seed) -> bool {
        use rustix::fs::{copy_file_range, fstatfs};

        let Some(file) = seed.file() else { return false };
        // A copy of nothing is refused where any would be: from another file system, mostly.
        let takes = || retried(|| copy_file_range(file, Some(&mut 0), &self.file, Some(&mut 0), 0)).is_ok();
        !fstatfs(&self.file).is_ok_and(|found| UNSHARED.contains(&found.f_type)) && takes()
    }

    /// Of what fadvise(2) is asked to give up, it begins to write what is dirty, and what is clean already leaves the cache.
    /// sync_file_range(2) does only the first, but has no safe form.
    #[cfg(target_os = "linux")]
    fn begin_writeback(&self, at: u64, len: u64) {
        if let Some(len) = NonZeroU64::new(len) {
            // Whether the bytes reach the medium, the sync says.
            let _ = rustix::fs::fadvise(&self.file, at, Some(len), rustix::fs::Advice::DontNeed);
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        Ok(retried(|| ftruncate(&self.file, len))?)
    }

    #[cfg(target_os = "linux")]
    fn preallocate(&self, len: u64) -> io::Result<()> {
        use rustix::fs::{FallocateFlags, fallocate, fstatfs};

        let unwritten = fstatfs(&self.file).is_ok_and(|found| UNWRITTEN_EXTENTS.contains(&found.f_type));
        if len == 0 || !unwritten {
            return Ok(());
        }
        match retried(|| fallocate(&self.file, FallocateFlags::KEEP_SIZE, 0, len)) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(target_os = "linux")]
    fn drop_page_cache(&self) -> io::Result<()> {
        Ok(rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::DontNeed)?)
    }

    fn copy_metadata_from(&self, target: &OsStr, if_exists: IfExists) -> io::Result<CopiedMetadata> {
        copy_metadata::apply(&self.directory, target, if_exists, &self.file)
    }

    fn copy_metadata_of(&self, model: &File) -> io::Result<CopiedMetadata> {
        copy_metadata::apply_of(model, &self.file)
    }

    fn set_modified(&self, modified: FileTime) -> io::Result<()> {
        let modified = Timespec { tv_sec: modified.seconds, tv_nsec: modified.nanos.into() };
        let unchanged = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
        Ok(futimens(&self.file, &Timestamps { last_access: unchanged, last_modification: modified })?)
    }

    fn give_mode(&self, mode: u32) -> io::Result<()> {
        let found = Mode::from_raw_mode(fstat(&self.file)?.st_mode);
        match found == PRIVATE {
            true => Ok(fchmod(&self.file, Mode::from_raw_mode(mode))?),
            false => Ok(()),
        }
    }

    fn make_private(&self) -> io::Result<()> {
        let user = rustix::process::geteuid();
        if fstat(&self.file)?.st_uid != user.as_raw() {
            fchown(&self.file, Some(user), None)?;
        }
        Ok(fchmod(&self.file, PRIVATE)?)
    }

    fn sync_data(&self) -> io::Result<()> {
        // Once: the standard library's would try again after a signal.
        Ok(fdatasync(&self.file)?)
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(fsync(&self.file)?)
    }

    #[cfg(target_os = "linux")]
    fn link(&self, name: &OsStr) -> io::Result<()> {
        use cofferdam_io::{descriptor_path, proc_error};

        // linkat(2): by the descriptor itself this needs a capability, by way of /proc it does not.
        let path = descriptor_path(&self.file);
        linkat(CWD, path, &self.directory, name, AtFlags::SYMLINK_FOLLOW).map_err(proc_error)
    }

    #[cfg(not(target_os = "linux"))]
    fn link(&self, _name: &OsStr) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn map(&self, len: u64) -> io::Result<Arc<dyn WriteAt>> {
        (self.map)(&self.file, len)
    }
}

fn refuse_to_map(_file: &File, _len: u64) -> io::Result<Arc<dyn WriteAt>> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "nothing was given to map the files of this directory with",
    ))
}

/// Whether none but root and this user can make, rename or remove files in a directory. An access list shows in the rights
/// of the group.
fn is_of_root_and(user: u32, directory: &Stat) -> bool {
    let for_others = Mode::from_raw_mode(directory.st_mode).intersects(Mode::WGRP | Mode::WOTH);
    [ROOT, user].contains(&directory.st_uid) && !for_others
}

fn id_of(stat: &Stat) -> FileId {
    // The widths of these fields differ between systems.
    #[allow(clippy::unnecessary_cast)]
    FileId { device: stat.st_dev as u64, inode: stat.st_ino as u64 }
}

#[cfg(target_os = "linux")]
fn rename_noreplace(directory: &OwnedFd, from: &OsStr, to: &OsStr) -> rustix::io::Result<()> {
    rustix::fs::renameat_with(directory, from, directory, to, rustix::fs::RenameFlags::NOREPLACE)
}

#[cfg(not(target_os = "linux"))]
fn rename_noreplace(_directory: &OwnedFd, _from: &OsStr, _to: &OsStr) -> rustix::io::Result<()> {
    Err(Errno::NOSYS)
}

const ROOT: u32 = 0;

/// The mode that files are made with here.
const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);

/// stat(2): blocks are counted in this unit, whatever the file system's own.
const STAT_BLOCK_LEN: u64 = 512;

/// Magic numbers of ext4, XFS and btrfs, from linux/magic.h and statfs(2): they can note blocks as unwritten, which costs
/// next to nothing. ext2 and ext3 share the first and answer that they cannot. tmpfs is not here: it fills the pages with
/// zeros, which costs a third of a whole restore.
#[cfg(target_os = "linux")]
const UNWRITTEN_EXTENTS: [rustix::fs::FsWord; 3] = [0xEF53, 0x5846_5342, 0x9123_683E];

/// Magic numbers of ext2 to ext4 and of tmpfs, from linux/magic.h: files of these share nothing, and copy_file_range(2) copies.
#[cfg(target_os = "linux")]
const UNSHARED: [rustix::fs::FsWord; 2] = [0xEF53, 0x0102_1994];

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn a_directory_is_ours_alone_where_neither_group_nor_others_can_make_files_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let owner = fs::metadata(directory.path()).unwrap().uid();
        let cases = [
            // mode, whether only the owner and root make files there
            (0o700, true),
            (0o755, true),
            (0o2755, true),
            (0o775, false),
            (0o757, false),
            (0o1777, false),
        ];
        for (mode, alone) in cases {
            fs::set_permissions(directory.path(), fs::Permissions::from_mode(mode)).unwrap();
            let stat = rustix::fs::stat(directory.path()).unwrap();
            assert_eq!(is_of_root_and(owner, &stat), alone, "{mode:o}");
            // Another user is not to be trusted with it unless that is root.
            assert_eq!(is_of_root_and(owner + 1, &stat), alone && owner == ROOT, "{mode:o}");
        }
    }

    #[test]
    fn a_file_of_roots_is_ours_where_only_root_and_we_make_files() {
        const NOBODY: u32 = 65_534;
        if !rustix::process::geteuid().is_root() {
            return; // Only root can make the files that this is about.
        }
        for (mode, owner, expected) in [
            (0o755, None, Ownership::Ours),
            (0o777, None, Ownership::Ours),
            (0o755, Some(NOBODY), Ownership::SomeoneElses { owner: NOBODY }),
            (0o1777, Some(NOBODY), Ownership::SomeoneElses { owner: NOBODY }),
        ] {
            let directory = tempfile::tempdir().unwrap();
            fs::set_permissions(directory.path(), fs::Permissions::from_mode(mode)).unwrap();
            let file = Disk::open(directory.path()).unwrap().create(OsStr::new("file")).unwrap();
            std::os::unix::fs::chown(directory.path().join("file"), owner, None).unwrap();
            assert_eq!(file.ownership().unwrap(), expected, "{mode:o} {owner:?}");
        }
    }

    #[test]
    fn a_file_that_is_dropped_is_locked_no_more_though_a_process_that_begins_has_it_open() {
        let directory = tempfile::tempdir().unwrap();
        let disk = Disk::open(directory.path()).unwrap();
        let name = OsStr::new("file");
        let first = DiskFile {
            file: File::create(directory.path().join(name)).unwrap(),
            directory: disk.directory.clone(),
            map: disk.map,
        };
        assert!(matches!(first.try_lock(), Ok(Lock::Taken)));
        // What fork(2) makes of it.
        let inherited = first.file.try_clone().unwrap();
        let second = disk.open(name).unwrap().unwrap();
        assert!(matches!(second.try_lock(), Ok(Lock::Held)));
        drop(first);
        assert!(matches!(second.try_lock(), Ok(Lock::Taken)));
        drop(inherited);
    }
}
