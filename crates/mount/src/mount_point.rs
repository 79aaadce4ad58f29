//! The directory that something is mounted on: what may be there, and what is.
//! Knows no FUSE session.

use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

use cofferdam_io::descriptor_path;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, fstat, open, statx};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::{getegid, geteuid};

use crate::{Access, MountError};

/// An empty directory, held open. Whatever comes to its name afterwards, it is this one that something is mounted on: in a directory of
/// somebody else's, a link could lead root's mount over any other.
#[derive(Debug)]
pub struct MountPoint {
    directory: OwnedFd,
}

impl MountPoint {
    /// Opens `directory`, if something can be mounted on it: it is one, and empty. Whatever else is there would be hidden.
    ///
    /// # Errors
    /// [`MountError::NotEmpty`], [`MountError::DeadMount`], or what the system says.
    pub fn open(directory: &Path) -> Result<MountPoint, MountError> {
        let unreadable = |error: io::Error| match error.raw_os_error() == Some(Errno::NOTCONN.raw_os_error())
        {
            true => MountError::DeadMount,
            false => MountError::system("look into the directory", error),
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = open(directory, flags, Mode::empty()).map_err(|error| unreadable(error.into()))?;
        let mount_point = MountPoint { directory };
        let mut entries = fs::read_dir(mount_point.descriptor()).map_err(unreadable)?;
        match entries.next() {
            None => Ok(mount_point),
            Some(Ok(_)) => Err(MountError::NotEmpty),
            Some(Err(error)) => Err(unreadable(error)),
        }
    }

    /// Where it is by now, from the root on: it may have been moved.
    pub(crate) fn path(&self) -> io::Result<PathBuf> {
        fs::read_link(self.descriptor())
    }

    /// A path that leads to it and nowhere else, in this process.
    fn descriptor(&self) -> PathBuf {
        descriptor_path(&self.directory).into()
    }

    /// The file system that it is a directory of.
    pub(crate) fn file_system(&self) -> io::Result<(u32, u32)> {
        let found =
            statx(&self.directory, "", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, StatxFlags::TYPE)?;
        Ok((found.stx_dev_major, found.stx_dev_minor))
    }

    /// Mounts on it what a session of FUSE is going to say, and gives the session's device; `None` where this user may not, and
    /// `fusermount3` has to.
    ///
    /// `fuser` goes by the path, and follows what has come to it (0.18).
    pub(crate) fn mount(&self, access: Access) -> io::Result<Option<OwnedFd>> {
        let device = open("/dev/fuse", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        let (user, group) = mounter();
        let root_mode = fstat(&self.directory)?.st_mode;
        let mut options = format!(
            "fd={},rootmode={root_mode:o},user_id={user},group_id={group},subtype={NAME},default_permissions",
            device.as_raw_fd()
        );
        if access == Access::AllUsers {
            options.push_str(",allow_other");
        }
        let options = CString::new(options).expect("numbers and words");
        let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
        match mount(NAME, self.descriptor(), "fuse", flags, options.as_c_str()) {
            Ok(()) => Ok(Some(device)),
            Err(Errno::PERM) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whose a mount is that is made now: user and group.
pub(crate) fn mounter() -> (u32, u32) {
    (geteuid().as_raw(), getegid().as_raw())
}

/// Which file system is at a path: each mount of FUSE is one of its own. Asks the kernel alone, whatever is mounted, and follows no link.
pub(crate) fn file_system_at(path: &Path) -> io::Result<(u32, u32)> {
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT | AtFlags::SYMLINK_NOFOLLOW;
    let found = statx(CWD, path, flags, StatxFlags::TYPE)?;
    Ok((found.stx_dev_major, found.stx_dev_minor))
}

/// What became of an attempt to unmount.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Detached {
    /// Nobody used it.
    AtOnce,
    /// Somebody uses it: it is gone from the directory, and from those when they close it.
    InUse,
}

/// Takes what is mounted on `path` away.
pub(crate) fn unmount_at(path: &Path) -> io::Result<Detached> {
    match unmount(path, UnmountFlags::NOFOLLOW) {
        Ok(()) => Ok(Detached::AtOnce),
        Err(Errno::BUSY) => {
            unmount(path, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH)?;
            Ok(Detached::InUse)
        }
        // Whoever is not root has a program for it that may.
        Err(Errno::PERM) => match fusermount(path, &["-u"]) {
            Ok(()) => Ok(Detached::AtOnce),
            Err(_) => fusermount(path, &["-u", "-z"]).map(|()| Detached::InUse),
        },
        Err(error) => Err(error.into()),
    }
}

/// The one that `fuser` takes to mount, which looks where distributions have it, too.
fn fusermount_program() -> OsString {
    let installed =
        ["/usr/bin/fusermount3", "/bin/fusermount3"].into_iter().find(|path| Path::new(path).exists());
    env::var_os("FUSERMOUNT_PATH").unwrap_or_else(|| installed.unwrap_or("fusermount3").into())
}

fn fusermount(path: &Path, arguments: &[&str]) -> io::Result<()> {
    let output = Command::new(fusermount_program())
        .args(arguments)
        .args([OsStr::new("--"), path.as_os_str()])
        .output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}

/// What the mounts are called in the list of them.
pub(crate) const NAME: &str = "cofferdam";

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails by panicking.
mod tests {
    use super::*;

    #[test]
    fn an_empty_directory_is_a_mount_point_and_nothing_else() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path();
        MountPoint::open(path).unwrap();
        assert!(matches!(MountPoint::open(&path.join("absent")), Err(MountError::System { .. })));
        fs::write(path.join("file"), "").unwrap();
        assert!(matches!(MountPoint::open(&path.join("file")), Err(MountError::System { .. })));
        assert!(matches!(MountPoint::open(path), Err(MountError::NotEmpty)));
    }

    #[test]
    fn a_mount_point_is_the_directory_that_was_opened_wherever_it_is_by_now() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().canonicalize().unwrap();
        let [first, moved] = ["first", "moved"].map(|name| path.join(name));
        fs::create_dir(&first).unwrap();
        let mount_point = MountPoint::open(&first).unwrap();
        fs::rename(&first, &moved).unwrap();
        std::os::unix::fs::symlink("/etc", &first).unwrap();
        assert_eq!(mount_point.path().unwrap(), moved);
        assert_eq!(fs::read_dir(mount_point.descriptor()).unwrap().count(), 0);
    }
}
