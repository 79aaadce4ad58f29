//! How a scratch directory is removed, with whatever a check has made of it.
//! It goes through the directory that was opened, follows no link, and empties nothing that is mounted there.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{
    AtFlags, Dir, DirEntry, FileType, Mode, OFlags, chmodat, fchmod, openat, renameat, statat, unlinkat,
};
use rustix::io::Errno;

use super::scratch::{MARKER, identity};

/// Removes a directory of ours, which has been `opened`, with what is in it, the marker last: as long as that is there, the next drill
/// can go on. Whatever a check has put in its place stays.
pub(super) fn remove(directory: &Path, opened: &File) -> io::Result<()> {
    refuse_mounts(directory)?;
    let found = match fs::symlink_metadata(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return match is_empty(opened)? {
                // A check may have removed it itself.
                true => Ok(()),
                false => Err(io::Error::other("it has been moved")),
            };
        }
        found => found?,
    };
    if identity(&found) != identity(&opened.metadata()?) {
        return Err(io::Error::other("it has been moved, and something else is in its place"));
    }
    fchmod(opened, Mode::RWXU)?;
    // What was too deep has been brought up.
    while empty(opened, MARKER, opened, 0)? == Emptied::Deep {}
    match unlinkat(opened, MARKER, AtFlags::empty()) {
        Err(error) if error != Errno::NOENT => return Err(error.into()),
        _ => {}
    }
    fs::remove_dir(directory)
}

/// What has come of emptying a directory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Emptied {
    Wholly,
    /// What lay too deep is now at the top.
    Deep,
}

/// Removes what is in a directory `depth` below `top`, but for the entry `kept`. No name is looked up from anywhere else, and no link is
/// followed. A check can make deeper trees than there are descriptors, or room on the stack: from [`DEPTH_MAX`] on, a directory is moved to
/// `top`, under a name that nothing has there.
fn empty(directory: impl AsFd, kept: &str, top: &File, depth: usize) -> io::Result<Emptied> {
    let directory = directory.as_fd();
    let mut emptied = Emptied::Wholly;
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if is_one_of(&entry, &NO_ENTRIES) || is_one_of(&entry, &[kept]) {
            continue;
        }
        let status = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if !FileType::from_raw_mode(status.st_mode).is_dir() {
            unlinkat(directory, name, AtFlags::empty())?;
            continue;
        }
        let open = || {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            openat(directory, name, flags, Mode::empty())
        };
        // A check may have unpacked directories that their owner cannot use.
        let inner = match open() {
            Err(Errno::ACCESS) => {
                chmodat(directory, name, Mode::RWXU, AtFlags::empty()).and_then(|()| open())
            }
            opened => opened,
        }?;
        // One of another owner's is for root to empty, who needs no mode for it.
        let _ = fchmod(&inner, Mode::RWXU);
        if depth == DEPTH_MAX {
            let number = getrandom::u64().map_err(io::Error::other)?;
            renameat(directory, name, top, format!("{number:016x}"))?;
            emptied = Emptied::Deep;
            continue;
        }
        if empty(&inner, "", top, depth + 1)? == Emptied::Deep {
            emptied = Emptied::Deep;
        }
        unlinkat(directory, name, AtFlags::REMOVEDIR)?;
    }
    Ok(emptied)
}

fn is_one_of(entry: &DirEntry, names: &[&str]) -> bool {
    names.iter().any(|name| name.as_bytes() == entry.file_name().to_bytes())
}

/// Also of a directory that has been removed.
pub(super) fn is_empty(directory: &File) -> io::Result<bool> {
    let mut entries = match Dir::read_from(directory) {
        Err(Errno::NOENT) => return Ok(true),
        entries => entries?,
    };
    Ok(!entries.any(|entry| entry.is_ok_and(|entry| !is_one_of(&entry, &NO_ENTRIES))))
}

/// Refuses to remove what a check has mounted: it is somewhere else, too. The name is random, so a mount point that has it is in
/// the directory, or the directory.
fn refuse_mounts(directory: &Path) -> io::Result<()> {
    let mounts = match fs::read("/proc/self/mountinfo") {
        // Other systems have no such list.
        Err(_) if !cfg!(target_os = "linux") => return Ok(()),
        Err(error) => {
            return Err(io::Error::new(
                error.kind(),
                format!("whether something is mounted in it cannot be found out: {error}"),
            ));
        }
        Ok(mounts) => mounts,
    };
    match is_mounted(&mounts, directory.file_name().unwrap_or_default().as_bytes()) {
        true => Err(io::Error::new(ErrorKind::ResourceBusy, "something is mounted in it")),
        false => Ok(()),
    }
}

/// Whether a mount point of the list has `name` in its path. The list is bytes: a path need not be text.
fn is_mounted(mounts: &[u8], name: &[u8]) -> bool {
    let lines = mounts.split(|byte| *byte == b'\n');
    let mut points = lines.filter_map(|line| line.split(|byte| *byte == b' ').nth(MOUNT_POINT));
    points.any(|point| point.split(|byte| *byte == b'/').any(|part| part == name))
}

/// Directories within each other that are emptied at once: each holds two descriptors.
const DEPTH_MAX: usize = 16;
/// What every directory lists that is not in it.
const NO_ENTRIES: [&str; 2] = [".", ".."];
/// Which field of a line of mountinfo it is (proc_pid_mountinfo(5)).
const MOUNT_POINT: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_found_in_a_list_that_is_not_text() {
        let line = |point: &[u8]| {
            [b"36 35 98:0 / ".as_slice(), point, b" rw,noatime master:1 - ext3 /dev/root rw\n"].concat()
        };
        let lists = [
            (line(b"/mnt/\xff\xfe"), false),
            ([line(b"/mnt/\xff"), line(b"/var/tmp/cofferdam-drill-5/m")].concat(), true),
            (line(b"/var/tmp/cofferdam-drill-5"), true),
            (line(b"/var/tmp/cofferdam-drill-55/m"), false),
        ];
        for (list, expected) in lists {
            assert_eq!(is_mounted(&list, b"cofferdam-drill-5"), expected, "{}", list.escape_ascii());
        }
    }
}
