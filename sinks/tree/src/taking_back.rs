//! What an earlier attempt left in its private directory, before it is gone on with: attributes are taken back, and what the tree does not have
//! is removed.
//! Knows nothing of bytes: they are proved by others.

use std::{
    ffi::OsStr,
    io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
};

use cofferdam_io::{proc_error, proc_path};
use rustix::{
    fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid, chownat, llistxattr, lremovexattr, unlinkat},
    io::Errno,
    process::{getegid, geteuid},
};
use tree::{EntryKind, TreePath};

use crate::{
    attributes::change_mode,
    directory_id::Found,
    removal::{Removal, names, remove_tree},
    staging::Staging,
};

/// Makes the directory what it is while it is written: directories and files of this user's alone, each at the path of a member of its kind
/// and with its length. Everything else goes, for nothing that is proved says what it is: links, and what has a second name.
pub(crate) fn take_back(staging: &Staging) -> io::Result<()> {
    if staging.layout.checked().counts().hard_links > 0 {
        // Names first: a file that has lost its others is kept.
        visit(staging, &mut |_, _, _| Ok(()))?;
    }
    visit(staging, &mut |directory, name, kept| match kept {
        Kept::File { found, .. } if found.links > 1 => remove(directory, name, found),
        Kept::File { path, number, len, found } => {
            make_private(directory, name, found, 0o600)?;
            if found.len != *len {
                staging.root.open_at(path, OFlags::WRONLY, Mode::empty())?.set_len(*len)?;
            }
            staging.note_made(*number);
            Ok(())
        }
        Kept::Directory { .. } | Kept::Nothing => Ok(()),
    })
}

/// What is done to a name in a directory.
type Act<'a> = &'a mut dyn FnMut(&OwnedFd, &[u8], &Kept) -> io::Result<()>;

/// Acts on each name that is kept, the directories of this user's alone by then; removes all others.
fn visit(staging: &Staging, act: Act<'_>) -> io::Result<()> {
    let top = Found::of(&staging.root)?;
    let mut left = vec![TreePath::root()];
    while let Some(path) = left.pop() {
        let directory = staging.root.directory_at(&path)?;
        for name in names(&directory)? {
            let Some(found) = Found::at(&directory, OsStr::from_bytes(&name))? else {
                continue;
            };
            if found.mount != top.mount {
                return Err(mounted());
            }
            let kept = match path.join(&name) {
                Ok(member) => kept_as(staging, member, found)?,
                Err(_) => Kept::Nothing,
            };
            match &kept {
                Kept::Nothing => remove(&directory, &name, &found)?,
                Kept::Directory { path } => {
                    make_private(&directory, &name, &found, 0o700)?;
                    left.push(path.clone());
                }
                Kept::File { .. } => {}
            }
            act(&directory, &name, &kept)?;
        }
    }
    Ok(())
}

fn mounted() -> io::Error {
    io::Error::other("another file system is mounted in what was to be gone on with")
}

/// As what something is kept.
enum Kept {
    Directory { path: TreePath },
    File { path: TreePath, number: u64, len: u64, found: Found },
    Nothing,
}

fn kept_as(staging: &Staging, path: TreePath, found: Found) -> io::Result<Kept> {
    let catalog = staging.layout.catalog();
    let Some(located) = catalog.entry_in_order(catalog.place_of(&path)?)? else {
        return Ok(Kept::Nothing);
    };
    let kind = (located.entry.path == path).then_some(located.entry.kind);
    Ok(match (kind, found.kind) {
        (Some(EntryKind::Directory), FileType::Directory) => Kept::Directory { path },
        // One that is no member itself.
        (None, FileType::Directory) if located.entry.path.is_below(&path) => Kept::Directory { path },
        (Some(EntryKind::File), FileType::RegularFile) => {
            Kept::File { path, number: located.number, len: located.entry.size, found }
        }
        _ => Kept::Nothing,
    })
}

fn make_private(directory: &OwnedFd, name: &[u8], found: &Found, mode: u32) -> io::Result<()> {
    let name = OsStr::from_bytes(name);
    let (user, group) = (geteuid(), getegid());
    if geteuid().is_root() && found.owner != (user.as_raw(), group.as_raw()) {
        chownat(
            directory,
            name,
            Some(Uid::from_raw(user.as_raw())),
            Some(Gid::from_raw(group.as_raw())),
            AtFlags::SYMLINK_NOFOLLOW,
        )?;
    }
    // Before the mode: an ACL has a part in that.
    remove_xattrs(directory, name)?;
    change_mode(directory, name, mode)
}

fn remove_xattrs(directory: &OwnedFd, name: &OsStr) -> io::Result<()> {
    let place = proc_path(directory, name);
    match llistxattr(&*place, &mut [0_u8; 0]) {
        Err(Errno::NOTSUP) | Ok(0) => return Ok(()),
        len => len.map_err(proc_error)?,
    };
    let mut names = vec![0; XATTR_NAMES_LEN_MAX];
    let len = llistxattr(&*place, &mut *names)?;
    for xattr in names[..len].split(|byte| *byte == 0).filter(|xattr| !xattr.is_empty()) {
        match lremovexattr(&*place, xattr) {
            // What the system gives each file is not ours to take.
            Ok(()) | Err(Errno::PERM | Errno::NOTSUP | Errno::NODATA | Errno::ACCESS | Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn remove(directory: &OwnedFd, name: &[u8], found: &Found) -> io::Result<()> {
    let name = OsStr::from_bytes(name);
    if !found.is_directory() {
        return Ok(unlinkat(directory, name, AtFlags::empty())?);
    }
    match remove_tree(directory, name, found.id)? {
        Removal::Done => Ok(()),
        Removal::HoldsMounts => Err(mounted()),
        Removal::Another => Err(io::Error::other("somebody changes what was to be gone on with")),
    }
}

/// Bytes of the names of a file's attributes: Linux has no more.
const XATTR_NAMES_LEN_MAX: usize = 65_536;
