//! What tells a file of a real directory from others after a restart.
//! Knows nothing of what is concluded from it.

use std::{ffi::OsStr, os::fd::AsFd};

use rustix::{
    fs::{AtFlags, Stat, fstat, statat},
    io::{Errno, Result},
};

use super::{FileStamp, FileTime};

/// Of an open file.
pub(super) fn of(file: impl AsFd) -> Result<FileStamp> {
    match extended(file.as_fd(), OsStr::new(""), AtFlags::EMPTY_PATH) {
        Err(Errno::NOSYS) => Ok(from_stat(&fstat(file)?)),
        told => told,
    }
}

/// Of the file at `name`, links not followed.
pub(super) fn at(directory: impl AsFd, name: &OsStr) -> Result<FileStamp> {
    match extended(directory.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOSYS) => Ok(from_stat(&statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?)),
        told => told,
    }
}

/// statx(2) alone tells when a file was made.
#[cfg(target_os = "linux")]
fn extended(directory: impl AsFd, name: &OsStr, flags: AtFlags) -> Result<FileStamp> {
    use rustix::fs::{StatxFlags, StatxTimestamp, statx};

    let time = |time: StatxTimestamp| FileTime { seconds: time.tv_sec, nanos: time.tv_nsec };
    let told = statx(directory, name, flags, StatxFlags::BASIC_STATS | StatxFlags::BTIME)?;
    let has_created = StatxFlags::from_bits_retain(told.stx_mask).contains(StatxFlags::BTIME);
    Ok(FileStamp {
        inode: told.stx_ino,
        len: told.stx_size,
        modified: time(told.stx_mtime),
        created: has_created.then(|| time(told.stx_btime)),
    })
}

#[cfg(not(target_os = "linux"))]
fn extended(_directory: impl AsFd, _name: &OsStr, _flags: AtFlags) -> Result<FileStamp> {
    Err(Errno::NOSYS)
}

fn from_stat(stat: &Stat) -> FileStamp {
    // The widths of these fields differ between systems.
    #[allow(clippy::unnecessary_cast)]
    FileStamp {
        inode: stat.st_ino as u64,
        len: stat.st_size as u64,
        modified: FileTime { seconds: stat.st_mtime as i64, nanos: stat.st_mtime_nsec as u32 },
        created: None,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        os::unix::fs::{MetadataExt, PermissionsExt},
        path::Path,
    };

    use super::*;

    #[test]
    fn a_new_name_and_other_rights_leave_it_as_it_is_and_new_bytes_do_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("staged"), b"twelve bytes").unwrap();
        let file = File::options().write(true).open(path("staged")).unwrap();
        let before = of(&file).unwrap();
        let metadata = fs::metadata(path("staged")).unwrap();
        assert_eq!((before.inode, before.len), (metadata.ino(), 12));
        assert_eq!(
            (before.modified.seconds, i64::from(before.modified.nanos)),
            (metadata.mtime(), metadata.mtime_nsec())
        );
        fs::rename(path("staged"), path("target")).unwrap();
        fs::hard_link(path("target"), path("second")).unwrap();
        fs::set_permissions(path("target"), fs::Permissions::from_mode(0o640)).unwrap();
        let here = File::open(directory.path()).unwrap();
        for name in ["target", "second"] {
            assert_eq!(at(&here, OsStr::new(name)).unwrap(), before);
        }
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
        assert!(!of(&file).unwrap().is_of_same_file(&before));
        file.set_modified(
            std::time::UNIX_EPOCH
                + std::time::Duration::new(before.modified.seconds as u64, before.modified.nanos),
        )
        .unwrap();
        assert!(of(&file).unwrap().is_of_same_file(&before));
        file.set_len(11).unwrap();
        assert_eq!(of(&file).unwrap().len, 11);
    }

    #[test]
    fn a_link_is_itself_and_not_what_it_leads_to() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("file"), b"four").unwrap();
        std::os::unix::fs::symlink("file", directory.path().join("link")).unwrap();
        let here = File::open(directory.path()).unwrap();
        let [file, link] = ["file", "link"].map(|name| at(&here, OsStr::new(name)).unwrap());
        assert!(!link.is_of_same_file(&file));
        assert_eq!(at(&here, Path::new("none").as_os_str()), Err(Errno::NOENT));
    }
}
