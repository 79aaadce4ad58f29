//! Small files that are there as a whole or not at all, and are never replaced: plans, keys, receipts, notes.
//! It knows no record.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsFd;
use std::path::Path;

use ::parts::AttemptName;
use contract::IfExists;
use rustix::fs::{Mode, OFlags, open, openat};
use rustix::io::Errno;
use storage::Storage;

/// Gives `name` to a file with this content, durably.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`], with which nothing has changed; [`io::ErrorKind::NotFound`] where the directory has gone; the
/// medium's own.
pub(crate) fn put(storage: &dyn Storage, name: &OsStr, content: &[u8]) -> io::Result<()> {
    let (file, temporary) = match storage.create_unnamed() {
        Ok(file) => (file, None),
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            let temporary = temporary_name()?;
            (storage.create(&temporary)?, Some(temporary))
        }
        Err(error) => return Err(error),
    };
    let written = file.write_all_at(content, 0).and_then(|()| file.sync_all());
    let put = written.and_then(|()| match &temporary {
        Some(temporary) => storage.rename(temporary, name, IfExists::Refuse),
        None => file.link(name),
    });
    if let (Err(_), Some(temporary)) = (&put, &temporary) {
        // What has failed is told; a name that stays is one that nobody reads.
        let _ = storage.remove(temporary);
    }
    put.and_then(|()| storage.sync())
}

/// The content of the file at `path`, links followed; `None` where nothing is there. One of more than `len_max` bytes is given with one
/// byte more. What is no regular file is not waited for.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] of what is no regular file; the medium's own.
pub(crate) fn read(path: &Path, len_max: usize) -> io::Result<Option<Vec<u8>>> {
    open_regular(path)?.map(|file| read_of(&file, len_max)).transpose()
}

/// Opens the file at `path`, links followed; `None` where nothing is there. The same errors.
pub(crate) fn open_regular(path: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    match file.metadata()?.is_file() {
        true => Ok(Some(file)),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")),
    }
}

/// Opens the file `name` in a directory. Links are not followed, and what is no regular file is none.
pub(crate) fn open_at(directory: impl AsFd, name: &OsStr) -> io::Result<Option<File>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match openat(directory, name, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok(file.metadata()?.is_file().then_some(file))
}

/// The same of an open file.
pub(crate) fn read_of(file: &File, len_max: usize) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    file.take(len_max as u64 + 1).read_to_end(&mut content)?;
    Ok(content)
}

fn temporary_name() -> io::Result<OsString> {
    let name = AttemptName::generate().map_err(io::Error::other)?;
    Ok(format!(".{name}.cofferdam-new").into())
}
