//! A directory beside a target that is this user's alone.
//! What is in it, others know.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use storage::TargetDir;

use crate::{Error, ErrorKind};

/// Opens the directory `name` beside a target; `None` where nothing has that name.
///
/// # Errors
/// What stands there is no directory, another user's, or open to others: who can write to it could put any bytes there.
pub(crate) fn open_private(target_dir: &TargetDir, name: &OsStr) -> Result<Option<OwnedFd>, Error> {
    let path = target_dir.sibling(name);
    let Some(directory) = target_dir.directory() else {
        return Err(Error::new(ErrorKind::Usage, "the target is in no directory"));
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = match openat(directory, name, flags, Mode::empty()) {
        Ok(opened) => opened,
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::NOTDIR | Errno::LOOP) => return Err(not_ours(&path, "is no directory")),
        Err(error) => {
            return Err(Error::io(format!("{} could not be opened", path.display()), error.into()));
        }
    };
    let found = fstat(&opened);
    let found = found
        .map_err(|error| Error::io(format!("{} could not be examined", path.display()), error.into()))?;
    if found.st_uid != rustix::process::geteuid().as_raw() {
        return Err(not_ours(&path, "is another user's"));
    }
    if Mode::from_raw_mode(found.st_mode).intersects(Mode::RWXG | Mode::RWXO) {
        return Err(not_ours(&path, "is open to others"));
    }
    Ok(Some(opened))
}

fn not_ours(path: &Path, why: &str) -> Error {
    Error::new(ErrorKind::JournalMismatch, format!("{} {why}", path.display())).advise(
        "What is restored is kept there until it is whole, for this user alone. Look who put it there, and give another name or plan.",
    )
}
