//! What the file system says of a shard that was restored: noted when it is finished, and compared before it counts.
//! It reads no content, and knows no manifest.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, openat, statat};
use rustix::io::Errno;

/// A digest of what the file system says of the file or tree `name`, and of all that is in it: names, kinds and rights, numbers, lengths, and when
/// each was last changed. Nobody sets the last, so whatever has been written, moved or put there since is seen. `None` where nothing is.
///
/// # Errors
/// The medium's own.
pub(super) fn state_of(directory: &OwnedFd, name: &OsStr) -> io::Result<Option<String>> {
    let stat = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut hasher = blake3::Hasher::new();
    add(&mut hasher, b"", &stat);
    let mut pending: Vec<OsString> = Vec::new();
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        pending.push(name.to_owned());
    }
    while let Some(path) = pending.pop() {
        let opened = match open_directory(directory, path.as_bytes()) {
            Ok(opened) => opened,
            // Nobody changes what is in it without changing its rights first.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => continue,
            Err(error) => return Err(error),
        };
        // It was examined by its name; it is this one that is read.
        add(&mut hasher, path.as_bytes(), &fstat(&opened)?);
        for name in names_in(&opened)? {
            let stat = statat(&opened, &name, AtFlags::SYMLINK_NOFOLLOW)?;
            add(&mut hasher, name.as_bytes(), &stat);
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                pending.push(OsString::from_vec([path.as_bytes(), b"/", name.as_bytes()].concat()));
            }
        }
    }
    Ok(Some(format!("{}\n", hasher.finalize())))
}

fn add(hasher: &mut blake3::Hasher, name: &[u8], stat: &Stat) {
    // The widths of these fields differ between systems.
    #[allow(clippy::unnecessary_cast)]
    let numbers = [
        name.len() as u64,
        stat.st_mode as u64,
        stat.st_ino as u64,
        stat.st_size as u64,
        stat.st_ctime as u64,
        stat.st_ctime_nsec as u64,
    ];
    numbers.iter().for_each(|number| {
        hasher.update(&number.to_le_bytes());
    });
    hasher.update(name);
}

/// Sorted: a directory that has not changed is read in any order.
fn names_in(directory: &OwnedFd) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory.as_fd())? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// A tree may be deeper than a path is long: by as many steps as it takes.
fn open_directory(base: &OwnedFd, path: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut opened: Option<OwnedFd> = None;
    let mut rest = path;
    while !rest.is_empty() {
        let end = match rest.len() > PATH_LEN_MAX {
            true => rest[..PATH_LEN_MAX].iter().rposition(|byte| *byte == b'/').unwrap_or(rest.len()),
            false => rest.len(),
        };
        let from = opened.as_ref().unwrap_or(base);
        opened = Some(openat(from, OsStr::from_bytes(&rest[..end]), flags, Mode::empty())?);
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    opened.ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// Bytes of a path that the system takes at once.
const PATH_LEN_MAX: usize = 4_095;
