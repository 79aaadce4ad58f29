//! Small files that are there as a whole or not at all, and are never replaced: plans, keys, receipts, notes.
//! It knows no record.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use ::parts::AttemptName;
use contract::IfExists;
use rustix::fs::{Mode, OFlags, open, openat};
use rustix::io::Errno;
use storage::{Storage, StorageFile};

/// Gives `name` to a file with this content, durably.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`], with which nothing has changed; [`io::ErrorKind::NotFound`] where the directory has gone; the
/// medium's own.
pub(crate) fn put(storage: &dyn Storage, name: &OsStr, content: &[u8]) -> io::Result<()> {
    let unnamed = storage.create_unnamed().and_then(|file| {
        write(&file, content)?;
        file.link(name)
    });
    match unnamed {
        // The file system has no files without a name, or there is no /proc to give it one.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => put_renamed(storage, name, content)?,
        put => put?,
    }
    storage.sync()
}

fn put_renamed(storage: &dyn Storage, name: &OsStr, content: &[u8]) -> io::Result<()> {
    let temporary = temporary_name()?;
    let written = storage.create(&temporary).and_then(|file| write(&file, content));
    let put = written.and_then(|()| storage.rename(&temporary, name, IfExists::Refuse));
    if put.is_err() {
        // What has failed is told; a name that stays is one that nobody reads.
        let _ = storage.remove(&temporary);
    }
    put
}

fn write(file: &Arc<dyn StorageFile>, content: &[u8]) -> io::Result<()> {
    file.write_all_at(content, 0)?;
    file.sync_all()
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

/// Whether it is the name of a file that was to get another name.
#[cfg(feature = "signatures")]
pub(crate) fn is_temporary(name: &[u8]) -> bool {
    name.starts_with(b".") && name.ends_with(TEMPORARY.as_bytes())
}

fn temporary_name() -> io::Result<OsString> {
    let name = AttemptName::generate().map_err(io::Error::other)?;
    Ok(format!(".{name}{TEMPORARY}").into())
}

const TEMPORARY: &str = ".cofferdam-new";
