//! Where files are measured: a directory, its file system, and the room there is.
//! It knows no step.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::statvfs;

use crate::Error;
use cofferdam::ByteCount;

/// A directory, and what it is on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Volume {
    /// The directory, without symbolic links.
    pub directory: PathBuf,
    /// Its file system, where the system tells.
    pub file_system: Option<FileSystem>,
    /// Bytes that could be written there before anything was.
    pub free: u64,
}

/// A mounted file system.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileSystem {
    /// Its kind: ext4, tmpfs, nfs4.
    pub kind: String,
    /// Where it is mounted.
    pub mount_point: PathBuf,
}

/// What stands behind the page cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Medium {
    /// Nothing.
    Memory,
    /// A disk, or another machine.
    Device,
}

impl Volume {
    /// Looks at `directory`.
    ///
    /// # Errors
    /// It is not there, or no directory.
    pub(crate) fn look_at(directory: &Path) -> Result<Volume, Error> {
        let failed = |error| Error::io(format!("{} cannot be measured in", directory.display()), error);
        let directory = fs::canonicalize(directory).map_err(failed)?;
        if !fs::metadata(&directory).map_err(failed)?.is_dir() {
            let what = format!("{} is not a directory", directory.display());
            return Err(Error::refused(what, "Name the directory that a restore would go to."));
        }
        let room = statvfs(&directory).map_err(|error| failed(error.into()))?;
        let file_system = mounts().and_then(|mounts| file_system_of(&directory, &mounts));
        Ok(Volume { file_system, free: room.f_bavail.saturating_mul(room.f_frsize), directory })
    }

    pub(crate) fn medium(&self) -> Medium {
        let is_memory = |found: &FileSystem| MEMORY_KINDS.contains(&found.kind.as_str());
        if self.file_system.as_ref().is_some_and(is_memory) { Medium::Memory } else { Medium::Device }
    }

    /// Refuses to begin where `needed` bytes have no room.
    pub(crate) fn check_room(&self, needed: u64) -> Result<(), Error> {
        if needed <= self.free {
            return Ok(());
        }
        let (needed, free) = (ByteCount(needed), ByteCount(self.free));
        let directory = self.directory.display();
        let what = format!("there is no room in {directory}: this needs {needed}, and {free} are free");
        Err(Error::refused(what, "Measure with smaller files, or in another directory."))
    }
}

/// Linux's list of what is mounted (proc_pid_mountinfo(5)); elsewhere there is none.
fn mounts() -> Option<Vec<u8>> {
    fs::read("/proc/self/mountinfo").ok()
}

/// The mount with the longest path above `directory`; of several at one place the last, which covers the others.
fn file_system_of(directory: &Path, mounts: &[u8]) -> Option<FileSystem> {
    let mounted = mounts.split(|byte| *byte == b'\n').filter_map(mount);
    let above = mounted.filter(|mount| directory.starts_with(&mount.mount_point));
    above.max_by_key(|mount| mount.mount_point.as_os_str().len())
}

/// `36 35 98:0 /root /mount rw,noatime master:1 - ext4 /dev/root rw`
fn mount(line: &[u8]) -> Option<FileSystem> {
    let mut fields = line.split(|byte| *byte == b' ');
    let mount_point = PathBuf::from(OsString::from_vec(unescaped(fields.nth(4)?)));
    fields.find(|field| *field == b"-")?;
    let kind = String::from_utf8_lossy(fields.next()?).into_owned();
    Some(FileSystem { kind, mount_point })
}

/// Blanks and the like stand as three octal digits behind a backslash.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, behind)) = rest.split_first() {
        let digits =
            behind.get(..3).filter(|_| first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        let (byte, after) = match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => (byte, &behind[3..]),
            None => (first, behind),
        };
        plain.push(byte);
        rest = after;
    }
    plain
}

/// File systems that are in the page cache alone.
const MEMORY_KINDS: [&str; 2] = ["tmpfs", "ramfs"];

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &[u8] = b"22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
31 22 0:26 / /srv rw shared:2 - tmpfs tmpfs rw,size=1k
40 22 0:31 /sub /srv/data\\040base rw,relatime shared:3 master:9 - btrfs /dev/vdb rw
41 31 0:32 / /srv rw - xfs /dev/vdc rw
";

    #[test]
    fn the_file_system_is_that_of_the_longest_mount_point_above_and_of_the_last_mounted() {
        let kind = |directory| file_system_of(Path::new(directory), MOUNTS).unwrap().kind;
        assert_eq!(kind("/"), "ext4");
        assert_eq!(kind("/srvice"), "ext4");
        assert_eq!(kind("/srv"), "xfs");
        assert_eq!(kind("/srv/data"), "xfs");
        assert_eq!(kind("/srv/data base/a"), "btrfs");
        assert_eq!(file_system_of(Path::new("/"), b"no list of mounts"), None);
    }

    #[test]
    fn what_is_no_directory_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, b"").unwrap();
        for path in [file, directory.path().join("absent")] {
            assert!(matches!(Volume::look_at(&path).unwrap_err(), Error::Directory { .. }));
        }
        assert!(Volume::look_at(directory.path()).is_ok());
    }
}
