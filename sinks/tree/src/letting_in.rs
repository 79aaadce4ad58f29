//! What is this user's and keeps its owner out, by its mode: directories are opened to their owner, files opened all the same.
//! Knows nothing of what is done there; whoever lets somebody in sets the mode again.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    iter::successors,
    os::fd::{AsFd, OwnedFd},
};

use cofferdam_io::{descriptor_path, proc_error};
use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, chmodat, openat},
    io::Errno,
    process::geteuid,
};
use tree::{TreePath, TreeRoot};

use crate::{attributes::change_mode, directory_id::Found};

/// Lets this user into a directory. Nobody else is kept out meanwhile: others may be at work in it.
pub(crate) fn widen_at(parent: &OwnedFd, name: &OsStr, found: &Found) -> io::Result<()> {
    match is_closed(found, 0o700) {
        true => change_mode(parent, name, found.mode | 0o700),
        false => Ok(()),
    }
}

/// Lets this user into the directories that `path` is in, from the top on.
pub(crate) fn widen_above(root: &TreeRoot, path: &TreePath) -> io::Result<()> {
    let above: Vec<TreePath> = successors(path.parent(), TreePath::parent).collect();
    for directory in above.iter().rev() {
        match directory.is_root() {
            true => widen(root)?,
            false => widen(&root.open_at(directory, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?)?,
        }
    }
    Ok(())
}

fn widen(directory: &impl AsFd) -> io::Result<()> {
    let found = Found::of(directory)?;
    match is_closed(&found, 0o500) {
        true => change_mode_of(directory, found.mode | 0o500),
        false => Ok(()),
    }
}

/// Opens, to be read, a file that its owner may not read. Its mode is another one for that moment: one thread alone may do so.
pub(crate) fn open_closed(root: &TreeRoot, path: &TreePath) -> io::Result<File> {
    let closed = root.open_at(path, OFlags::PATH, Mode::empty())?;
    let found = Found::of(&closed)?;
    if !found.is_file() || !is_closed(&found, 0o400) {
        return Err(Errno::ACCESS.into());
    }
    change_mode_of(&closed, found.mode | 0o400)?;
    let opened = openat(CWD, descriptor_path(&closed), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    change_mode_of(&closed, found.mode)?;
    Ok(opened?.into())
}

/// Whether its owner, this user, lacks one of the rights `bits`. The superuser lacks none.
fn is_closed(found: &Found, bits: u32) -> bool {
    let user = geteuid();
    found.mode & bits != bits && !user.is_root() && found.owner.0 == user.as_raw()
}

/// By its descriptor: nothing else can have come to its path.
fn change_mode_of(file: &impl AsFd, bits: u32) -> io::Result<()> {
    let mode = Mode::from_bits_truncate(bits);
    chmodat(CWD, descriptor_path(file), mode, AtFlags::empty()).map_err(proc_error)
}
