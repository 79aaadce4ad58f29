//! A block device as a target: opened for this process alone, measured, and named so that a later run knows it again.
//! Knows no log, and writes nothing.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use cofferdam_io::retried;
use rustix::{
    fs::{CWD, FileType, Mode, OFlags, Stat, fstat, openat, stat},
    io::Errno,
};

use crate::{Disk, StorageFile, TargetError, classify, target_dir};

/// A block device that no one else has: neither mounted, nor swap, nor part of another device, as long as this value lives.
#[derive(Debug)]
pub struct BlockDevice {
    path: PathBuf,
    file: Arc<dyn StorageFile>,
    len: u64,
    identity: Vec<u8>,
}

impl BlockDevice {
    /// Whether `path` is a block device, or a symbolic link to one, as `/dev/disk/by-id/…` are.
    pub fn is_at(path: impl AsRef<Path>) -> bool {
        fs::metadata(path).is_ok_and(|found| found.file_type().is_block_device())
    }

    /// Opens the device at `path` to write to. Symbolic links are followed, but none that another user has put into a
    /// directory that everyone can write.
    ///
    /// # Errors
    /// [`TargetError::NotAFile`]: it is no block device. [`TargetError::DeviceInUse`]: it is mounted, swap, held by another device
    /// or open elsewhere for one process alone (open(2), `O_EXCL`), or a part of it is. [`TargetError::ReadOnly`]; the system's own.
    pub fn open(path: impl AsRef<Path>) -> Result<BlockDevice, TargetError> {
        let path = path.as_ref();
        target_dir::refuse_planted_link(path)?;
        if !BlockDevice::is_at(path) {
            return Err(TargetError::NotAFile { path: path.into(), kind: classify(path)? });
        }
        let in_use = |by: String| TargetError::DeviceInUse { path: path.into(), by };
        // open(2): on a block device, O_EXCL without O_CREAT refuses one that is in use by the system, and claims it.
        let flags = OFlags::RDWR | OFlags::EXCL | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = match retried(|| openat(CWD, path, flags, Mode::empty())) {
            Ok(fd) => fd,
            Err(Errno::BUSY) => {
                let user = stat(path).ok().and_then(|found| system::user_of(&found));
                return Err(in_use(user.unwrap_or_else(|| "by the system, or by another process".into())));
            }
            Err(Errno::ROFS | Errno::ACCESS | Errno::PERM)
                if stat(path).is_ok_and(|found| system::is_read_only(&found)) =>
            {
                return Err(TargetError::ReadOnly { path: path.into() });
            }
            Err(error) => return Err(TargetError::io(path, "open", error)),
        };
        let found = fstat(&fd).map_err(|error| TargetError::io(path, "examine", error))?;
        if FileType::from_raw_mode(found.st_mode) != FileType::BlockDevice {
            return Err(TargetError::NotAFile { path: path.into(), kind: classify(path)? });
        }
        // What claims no device, a loop device over it for instance, does not show in the open.
        if let Some(user) = system::user_of(&found) {
            return Err(in_use(user));
        }
        if system::is_read_only(&found) {
            return Err(TargetError::ReadOnly { path: path.into() });
        }
        let file = Disk::device(fd, path)?;
        let len = file.len().map_err(|error| TargetError::io(path, "measure", error))?;
        let identity = system::identity_of(&found, path, len);
        Ok(BlockDevice { path: path.into(), file, len, identity })
    }

    /// The path that it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its bytes.
    pub fn file(&self) -> &Arc<dyn StorageFile> {
        &self.file
    }

    /// Bytes that it has room for: no more, and no fewer.
    #[allow(clippy::len_without_is_empty, reason = "nobody asks whether it is empty")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// What tells it from other devices, after a restart too, as well as the system can: its length, with the first of these
    /// that it has: the UUID of the device mapper or of an array, the medium's world-wide name or serial number (and which
    /// partition of it), the file behind a loop device; where there is none of them, the path. Numbers and names of devices are
    /// given out anew at each start.
    pub fn identity(&self) -> &[u8] {
        &self.identity
    }

    /// Refuses a stream of `len` bytes that it has no room for.
    ///
    /// # Errors
    /// [`TargetError::DeviceTooSmall`].
    pub fn check_len(&self, len: u64) -> Result<(), TargetError> {
        match len > self.len {
            true => Err(TargetError::DeviceTooSmall { path: self.path.clone(), needed: len, len: self.len }),
            false => Ok(()),
        }
    }

    /// Whether `other` is this device, a part of it, or the device that this is a part of.
    pub fn overlaps(&self, other: &Path) -> bool {
        let number = |path: &Path| {
            let found = fs::metadata(path).ok().filter(|found| found.file_type().is_block_device())?;
            Some(found.rdev())
        };
        match (number(&self.path), number(other)) {
            (Some(ours), Some(theirs)) => {
                system::parts_of(ours).contains(&theirs) || system::parts_of(theirs).contains(&ours)
            }
            _ => false,
        }
    }
}

#[cfg(target_os = "linux")]
mod system {
    //! What the kernel tells of block devices: sysfs(5), proc(5).

    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};

    use rustix::fs::{major, makedev, minor};

    use super::*;

    /// Who uses the device or a part of it, in words, where that can be seen.
    pub(super) fn user_of(found: &Stat) -> Option<String> {
        #[allow(clippy::useless_conversion, reason = "its width differs between systems")]
        let numbers = parts_of(found.st_rdev.into());
        mount_of(&numbers)
            .map(|at| format!("mounted at {}", at.display()))
            .or_else(|| swap_of(&numbers).map(|()| "as swap space".into()))
            .or_else(|| holder_of(&numbers).map(|holder| format!("held by {}", holder.display())))
            .or_else(|| loop_over(&numbers).map(|name| format!("behind {}", name.display())))
    }

    pub(super) fn is_read_only(found: &Stat) -> bool {
        attribute(found.st_rdev, "ro").is_some_and(|text| text == b"1")
    }

    /// The device itself, and its partitions.
    pub(super) fn parts_of(device: u64) -> Vec<u64> {
        let Ok(entries) = fs::read_dir(folder(device)) else { return vec![device] };
        let parts = entries.flatten().filter(|entry| entry.path().join("partition").exists());
        let parts = parts.filter_map(|entry| parse_number(&fs::read(entry.path().join("dev")).ok()?));
        [device].into_iter().chain(parts).collect()
    }

    /// See [`BlockDevice::identity`].
    pub(super) fn identity_of(found: &Stat, path: &Path, len: u64) -> Vec<u8> {
        let device = found.st_rdev;
        let of_whole = |prefix: &str| {
            NAMES.iter().find_map(|name| Some((*name, attribute(device, &format!("{prefix}{name}"))?)))
        };
        let (kind, value) = match attribute(device, "partition") {
            Some(number) => match of_whole("../") {
                Some((name, whole)) => (name, [&whole[..], b" part ", &number].concat()),
                None => ("path", real(path)),
            },
            None => of_whole("").unwrap_or_else(|| ("path", real(path))),
        };
        [kind.as_bytes(), b"\0", &value, b"\0", len.to_string().as_bytes()].concat()
    }

    /// What stays with a medium or an array, in the order in which it is believed (below a device's folder in sysfs).
    const NAMES: [&str; 8] = [
        "dm/uuid",
        "md/uuid",
        "wwid",
        "device/wwid",
        "serial",
        "device/serial",
        "device/cid",
        "loop/backing_file",
    ];

    fn real(path: &Path) -> Vec<u8> {
        path.canonicalize().unwrap_or_else(|_| path.into()).into_os_string().into_vec()
    }

    fn folder(device: u64) -> PathBuf {
        format!("/sys/dev/block/{}:{}", major(device), minor(device)).into()
    }

    /// A file of the device's folder, if it says anything.
    fn attribute(device: u64, name: &str) -> Option<Vec<u8>> {
        // The folder is a symbolic link: its parent is that of the device it leads to.
        let folder = folder(device).canonicalize().ok()?;
        let text = fs::read(folder.join(name)).ok()?.trim_ascii().to_vec();
        (!text.is_empty()).then_some(text)
    }

    fn parse_number(text: &[u8]) -> Option<u64> {
        let (major, minor) = std::str::from_utf8(text.trim_ascii()).ok()?.split_once(':')?;
        Some(makedev(major.parse().ok()?, minor.parse().ok()?))
    }

    fn number_at(path: &Path) -> Option<u64> {
        let found = fs::metadata(path).ok().filter(|found| found.file_type().is_block_device())?;
        Some(found.rdev())
    }

    /// proc_pid_mountinfo(5): the third field is the device, the fifth the place, and the second after `-` the source, which
    /// is the device where the file system has a number of its own.
    fn mount_of(numbers: &[u64]) -> Option<PathBuf> {
        let mounts = fs::read("/proc/self/mountinfo").ok()?;
        mounts.split(|byte| *byte == b'\n').find_map(|line| {
            let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
            let source = fields.iter().position(|field| *field == b"-").and_then(|at| fields.get(at + 2));
            let named = source.and_then(|source| number_at(&unescaped(source)));
            let is_ours = |number: Option<u64>| number.is_some_and(|number| numbers.contains(&number));
            let uses = is_ours(parse_number(fields.get(2)?)) || is_ours(named);
            uses.then(|| unescaped(fields[4]))
        })
    }

    fn swap_of(numbers: &[u64]) -> Option<()> {
        let swaps = fs::read("/proc/swaps").ok()?;
        let mut names = swaps
            .split(|byte| *byte == b'\n')
            .skip(1)
            .filter_map(|line| number_at(&unescaped(line.split(|byte| b" \t".contains(byte)).next()?)));
        names.find(|number| numbers.contains(number)).map(|_| ())
    }

    fn holder_of(numbers: &[u64]) -> Option<PathBuf> {
        let held = |device: &u64| fs::read_dir(folder(*device).join("holders")).ok()?.flatten().next();
        numbers.iter().find_map(held).map(|holder| holder.file_name().into())
    }

    /// A loop device does not claim the device behind it.
    fn loop_over(numbers: &[u64]) -> Option<PathBuf> {
        let devices = fs::read_dir("/sys/block").ok()?.flatten();
        let mut loops = devices.filter(|device| device.file_name().as_bytes().starts_with(b"loop"));
        let over = loops.find(|device| {
            let behind = fs::read(device.path().join("loop/backing_file")).unwrap_or_default();
            let behind = PathBuf::from(OsString::from_vec(behind.trim_ascii_end().to_vec()));
            number_at(&behind).is_some_and(|number| numbers.contains(&number))
        })?;
        Some(over.file_name().into())
    }

    /// As proc(5) escapes names: `\040` is a blank.
    fn unescaped(text: &[u8]) -> PathBuf {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some((first, after)) = rest.split_first() {
            let octal = (*first == b'\\').then(|| after.first_chunk::<3>()).flatten();
            let code = octal.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
            bytes.push(code.unwrap_or(*first));
            rest = if code.is_some() { &after[3..] } else { after };
        }
        OsString::from_vec(bytes).into()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn names_are_read_as_the_kernel_writes_them() {
            for (escaped, name) in [
                ("/mnt/a", "/mnt/a"),
                ("/mnt/a\\040b\\134c", "/mnt/a b\\c"),
                ("\\0", "\\0"),
                ("\\011", "\t"),
                ("\\9zz", "\\9zz"),
                ("", ""),
            ] {
                assert_eq!(unescaped(escaped.as_bytes()), Path::new(name), "{escaped}");
            }
        }

        #[test]
        fn numbers_are_read_as_sysfs_writes_them() {
            assert_eq!(parse_number(b"7:3\n"), Some(makedev(7, 3)));
            assert_eq!(parse_number(b"259:1048575"), Some(makedev(259, 1_048_575)));
            for text in ["", "7", "7:", ":3", "7:x", "-7:3"] {
                assert_eq!(parse_number(text.as_bytes()), None, "{text}");
            }
        }

        /// The root's file system is in use whatever it lies on; nothing is on a number that nothing has.
        #[test]
        fn who_has_nothing_is_not_in_use() {
            let unused = [makedev(4095, 1_048_575)];
            assert_eq!(mount_of(&unused), None);
            assert_eq!(swap_of(&unused), None);
            assert_eq!(holder_of(&unused), None);
            assert_eq!(loop_over(&unused), None);
            assert_eq!(parts_of(unused[0]), unused);
        }
    }
}

/// Elsewhere the open alone says who has the device, and the path which one it is.
#[cfg(not(target_os = "linux"))]
mod system {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    pub(super) fn user_of(_found: &Stat) -> Option<String> {
        None
    }

    pub(super) fn is_read_only(_found: &Stat) -> bool {
        false
    }

    pub(super) fn parts_of(device: u64) -> Vec<u64> {
        vec![device]
    }

    pub(super) fn identity_of(_found: &Stat, path: &Path, len: u64) -> Vec<u8> {
        [b"path\0", path.as_os_str().as_bytes(), b"\0", len.to_string().as_bytes()].concat()
    }
}
