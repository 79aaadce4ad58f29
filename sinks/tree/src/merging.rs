//! A tree that is moved into a directory that is there: name by name, each by a rename, over what has the name.
//! Removes nothing that the tree does not have. Knows nothing of the journal.

use std::{
    ffi::OsStr,
    io,
    iter::successors,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use contract::IfExists;
use rustix::{
    fs::{Access, AtFlags, FileType, Mode, OFlags, RenameFlags, accessat, renameat_with, unlinkat},
    io::Errno,
    process::geteuid,
};
use storage::{TargetError, TargetKind, classify};
use tree::{EntryKind, Layout, TreePath, TreeRoot};

use crate::{
    attributes::{Attributes, change_mode},
    directory_id::Found,
    error::TreeSinkError,
    letting_in::widen_at,
    members::read_member,
    options::TreeOptions,
    removal::names,
    staging::Staging,
    target::{INSIDE, target_kind},
};

/// Refuses a tree that cannot be moved into `directory`: where a directory and something else would have one name, where another file system begins, where a
/// path leads through a symbolic link, where this user may not change what has to be changed; and, unless they are to be replaced, where a file would be.
pub(crate) fn check(
    directory: &TreeRoot,
    path: &Path,
    layout: &Layout,
    if_exists: IfExists,
) -> Result<(), TreeSinkError> {
    let top = Found::of(directory).map_err(|error| TargetError::io(path, "examine", error))?;
    // What a directory lacks, all below it lacks as well; members of one follow one another.
    let mut missing: Option<TreePath> = None;
    let mut last: Option<(TreePath, OwnedFd)> = None;
    let catalog = layout.catalog();
    for located in catalog.in_order(0..catalog.entries()) {
        let located = located?;
        let member = &located.entry.path;
        if member.is_root() || missing.as_ref().is_some_and(|missing| member.is_below(missing)) {
            continue;
        }
        let at: PathBuf = path.join(member.as_path());
        let first = member.as_bytes().split(|byte| *byte == b'/').next().unwrap_or_default();
        // Some file systems do not tell upper from lower case.
        if INSIDE.iter().any(|name| name.eq_ignore_ascii_case(first)) {
            return Err(TargetError::InTheWay { staging: at }.into());
        }
        let above = member.parent().unwrap_or_else(TreePath::root);
        let known = last.take().filter(|(path, _)| *path == above);
        let is_known = known.is_some();
        let (above, parent) =
            match known.map_or_else(|| enter(directory, &above).map(|it| (above.clone(), it)), Ok) {
                Ok(entered) => entered,
                Err(Errno::NOENT) => {
                    missing = Some(above);
                    continue;
                }
                Err(error) => return Err(cannot_enter(directory, path, &above, error).into()),
            };
        if !is_known {
            check_writable(&parent, path, &above, layout)?;
        }
        let found = Found::at(&parent, OsStr::from_bytes(member.name()));
        let found = found.map_err(|error| TargetError::io(&at, "examine", error))?;
        last = Some((above, parent));
        match found {
            None => missing = (located.entry.kind == EntryKind::Directory).then(|| member.clone()),
            Some(found) if found.mount != top.mount => {
                return Err(TargetError::MountPoint { path: at }.into());
            }
            Some(found) => check_found(&found, located.entry.kind, &at, if_exists)?,
        }
    }
    Ok(())
}

fn check_found(found: &Found, kind: EntryKind, at: &Path, if_exists: IfExists) -> Result<(), TargetError> {
    let user = geteuid();
    match (kind == EntryKind::Directory, found.is_directory()) {
        // It is given attributes, which its owner alone may do.
        (true, true) if !user.is_root() && found.owner.0 != user.as_raw() => {
            Err(TargetError::io(at, "change the attributes of", Errno::PERM))
        }
        (true, true) => Ok(()),
        (false, false) if if_exists == IfExists::Replace => Ok(()),
        (false, false) => Err(TargetError::Exists { path: at.to_owned() }),
        _ => Err(TargetError::OtherKind {
            path: at.to_owned(),
            kind: target_kind(found.kind),
            wanted: wanted(kind),
        }),
    }
}

/// Of a directory that is no member, and keeps its mode: whether something can be moved into it.
fn check_writable(
    parent: &OwnedFd,
    path: &Path,
    above: &TreePath,
    layout: &Layout,
) -> Result<(), TreeSinkError> {
    if geteuid().is_root() || above.is_root() || layout.catalog().find(above)?.is_some() {
        return Ok(());
    }
    match accessat(parent, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS) {
        Err(error @ (Errno::ACCESS | Errno::PERM | Errno::ROFS)) => {
            Err(TargetError::io(&path.join(above.as_path()), "write to", error).into())
        }
        // What else there may be is seen when something is moved.
        _ => Ok(()),
    }
}

/// Opens a directory that may be one that its owner cannot list.
fn enter(directory: &TreeRoot, path: &TreePath) -> Result<OwnedFd, Errno> {
    directory.open_at(path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).map(OwnedFd::from)
}

fn cannot_enter(directory: &TreeRoot, path: &Path, above: &TreePath, error: Errno) -> TargetError {
    let at = |member: &TreePath| path.join(member.as_path());
    if !matches!(error, Errno::NOTDIR | Errno::LOOP) {
        return TargetError::io(&at(above), "enter", error);
    }
    // The first on the way that is no directory.
    let on_the_way: Vec<TreePath> = successors(Some(above.clone()), TreePath::parent).collect();
    let first = on_the_way.iter().rev().find(|path| !path.is_root() && enter(directory, path).is_err());
    let path = at(first.unwrap_or(above));
    let kind = classify(&path).unwrap_or(TargetKind::Other);
    TargetError::OtherKind { path, kind, wanted: TargetKind::Directory }
}

/// Lets this user into the directories in `directory` that an earlier run may have given the tree's modes: they get them again. Gives what their modes
/// were. The superuser is kept out of none.
pub(crate) fn let_in(directory: &TreeRoot, layout: &Layout) -> Result<Vec<(TreePath, u32)>, TreeSinkError> {
    let (catalog, user, mut widened) = (layout.catalog(), geteuid(), Vec::new());
    if user.is_root() {
        return Ok(widened);
    }
    for place in 0..catalog.entries() {
        let Some(located) = catalog.entry_in_order(place)? else { break };
        let member = &located.entry.path;
        let Some(parent) = member.parent().filter(|_| located.entry.kind == EntryKind::Directory) else {
            continue;
        };
        let name = OsStr::from_bytes(member.name());
        // What keeps it out is said by whoever looks at all of it.
        if let Ok(parent) = enter(directory, &parent)
            && let Ok(Some(found)) = Found::at(&parent, name)
            && found.is_directory()
            && found.owner.0 == user.as_raw()
            && found.mode & 0o700 != 0o700
            && change_mode(&parent, name, found.mode | 0o700).is_ok()
        {
            widened.push((member.clone(), found.mode));
        }
    }
    Ok(widened)
}

/// Takes back what [`let_in`] has done, where nothing is moved.
pub(crate) fn close_again(directory: &TreeRoot, widened: &[(TreePath, u32)]) {
    // What is in a directory comes after it: a closed one is entered no more.
    for (path, mode) in widened.iter().rev() {
        if let Some(parent) = path.parent()
            && let Ok(parent) = enter(directory, &parent)
        {
            // What cannot be taken back stays as the move would have it.
            let _ = change_mode(&parent, OsStr::from_bytes(path.name()), *mode);
        }
    }
}

fn wanted(kind: EntryKind) -> TargetKind {
    match kind {
        EntryKind::Directory => TargetKind::Directory,
        EntryKind::File | EntryKind::HardLink => TargetKind::RegularFile,
        EntryKind::Symlink => TargetKind::Symlink,
        EntryKind::Fifo => TargetKind::Fifo,
        EntryKind::CharDevice => TargetKind::CharacterDevice,
        EntryKind::BlockDevice => TargetKind::BlockDevice,
    }
}

/// Moves all that is in the private directory into `directory`. Directories that are there are given their attributes, the root's own apart. What these lack
/// was counted when the private directory's own were given them.
pub(crate) fn merge(directory: &TreeRoot, staging: &Staging, options: &TreeOptions) -> io::Result<()> {
    let mut attributes = staging.attributes(options);
    // Directories that are in both: what is below them first, then they are given their attributes.
    let mut left = vec![(TreePath::root(), false)];
    while let Some((path, is_done)) = left.pop() {
        if is_done {
            let settled = settle(directory, staging, &path, &mut attributes);
            settled.map_err(|error| cannot("set the attributes of", &path, &error))?;
            continue;
        }
        left.push((path.clone(), true));
        let from = staging.root.directory_at(&path).map_err(|error| cannot_move(&path, &error.into()))?;
        let to = enter(directory, &path).map_err(|error| cannot("enter", &path, &error.into()))?;
        for name in names(&from)? {
            let name = OsStr::from_bytes(&name);
            let below = path.join(name.as_bytes()).map_err(io::Error::other)?;
            let moved = move_one(&from, &to, name, &below, staging, options);
            if moved.map_err(|error| cannot_move(&below, &error))? == Moved::BothAreDirectories {
                left.push((below, false));
            }
        }
    }
    Ok(())
}

/// What became of a name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moved {
    All,
    /// What is in it is yet to be moved.
    BothAreDirectories,
}

fn move_one(
    from: &OwnedFd,
    to: &OwnedFd,
    name: &OsStr,
    path: &TreePath,
    staging: &Staging,
    options: &TreeOptions,
) -> io::Result<Moved> {
    let Some(found) = Found::at(from, name)? else { return Ok(Moved::All) };
    let there = Found::at(to, name)?.filter(|there| found.is_directory() && there.is_directory());
    let Some(there) = there else {
        return rename(from, to, name, &found, options.if_exists).map(|()| Moved::All);
    };
    widen_at(from, name, &found)?;
    // It is given the sealed mode afterwards. One that the tree does not name keeps its own.
    if staging.layout.catalog().find(path)?.is_some() {
        widen_at(to, name, &there)?;
    }
    Ok(Moved::BothAreDirectories)
}

fn cannot_move(path: &TreePath, error: &io::Error) -> io::Error {
    cannot("move", path, error)
}

fn cannot(what: &str, path: &TreePath, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot {what} {path} in the target: {error}"))
}

fn rename(from: &OwnedFd, to: &OwnedFd, name: &OsStr, found: &Found, if_exists: IfExists) -> io::Result<()> {
    // Somebody may have put a file there since all was looked at.
    let replaces = if_exists == IfExists::Replace && !found.is_directory();
    let flags = if replaces { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
    match renameat_with(from, name, to, name, flags) {
        // A directory that its owner may not write cannot get another parent.
        Err(Errno::ACCESS) if found.kind == FileType::Directory => {
            change_mode(from, name, 0o700)?;
            renameat_with(from, name, to, name, flags)?;
            change_mode(to, name, found.mode)
        }
        renamed => Ok(renamed?),
    }
}

fn settle(
    directory: &TreeRoot,
    staging: &Staging,
    path: &TreePath,
    attributes: &mut Attributes<'_>,
) -> io::Result<()> {
    let Some(parent) = path.parent() else {
        return Ok(());
    };
    let name = OsStr::from_bytes(path.name());
    unlinkat(&staging.root.directory_at(&parent)?, name, AtFlags::REMOVEDIR)?;
    match staging.layout.catalog().find(path)? {
        Some(located) => {
            let member = read_member(staging, &located)?;
            attributes.set(&enter(directory, &parent)?, name, &member)
        }
        // It keeps its attributes; what has come into it is to stay.
        None => {
            match staging.file_sync.open(&enter(directory, &parent)?, name, EntryKind::Directory) {
                // Its mode keeps this user from looking into it, and that is not the tree's to change.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
                opened => staging.file_sync.sync(opened?.as_ref()),
            }
        }
    }
}
