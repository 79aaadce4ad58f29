//! A tree that is moved into a directory that is there: name by name, each by a rename, over what has the name.
//! Removes nothing that the tree does not have. Knows nothing of the journal.

use std::{
    ffi::OsStr,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use contract::IfExists;
use rustix::{
    fs::{AtFlags, FileType, RenameFlags, renameat_with, unlinkat},
    io::Errno,
};
use storage::TargetError;
use tree::{EntryKind, Layout, TreePath, TreeRoot};

use crate::{
    attributes::{Attributes, LeftOut, change_mode},
    directory_id::Found,
    error::TreeSinkError,
    members::read_member,
    options::TreeOptions,
    staging::Staging,
    taking_back::names,
    target::INSIDE,
};

/// Refuses a tree that cannot be moved into `directory`: where a directory and something else would have one name, where another file system begins, where a
/// path leads through a symbolic link; and, unless they are to be replaced, where a file would be.
pub(crate) fn check(
    directory: &TreeRoot,
    path: &Path,
    layout: &Layout,
    if_exists: IfExists,
) -> Result<(), TreeSinkError> {
    let top = Found::of(directory).map_err(|error| TargetError::io(path, "examine", error))?;
    // What a directory lacks, all below it lacks as well; members of one follow one another.
    let mut missing: Option<TreePath> = None;
    let catalog = layout.catalog();
    for located in catalog.in_order(0..catalog.entries()) {
        let located = located?;
        let member = &located.entry.path;
        if member.is_root() || missing.as_ref().is_some_and(|missing| member.is_below(missing)) {
            continue;
        }
        let at: PathBuf = path.join(member.as_path());
        let first = member.as_bytes().split(|byte| *byte == b'/').next().unwrap_or_default();
        if INSIDE.contains(&first) {
            return Err(TargetError::InTheWay { staging: at }.into());
        }
        let parent = match directory.directory_at(&member.parent().unwrap_or_else(TreePath::root)) {
            Ok(parent) => parent,
            Err(Errno::NOENT) => {
                missing = member.parent();
                continue;
            }
            Err(Errno::NOTDIR | Errno::LOOP) => return Err(TargetError::Exists { path: at }.into()),
            Err(error) => return Err(TargetError::io(&at, "examine", error).into()),
        };
        let found = Found::at(&parent, OsStr::from_bytes(member.name()));
        let found = found.map_err(|error| TargetError::io(&at, "examine", error))?;
        let is_directory = located.entry.kind == EntryKind::Directory;
        match found {
            None => missing = is_directory.then(|| member.clone()),
            Some(found) if found.device != top.device || found.is_mount => {
                return Err(TargetError::MountPoint { path: at }.into());
            }
            Some(found) if is_directory && found.is_directory() => {}
            Some(found) if !is_directory && !found.is_directory() && if_exists == IfExists::Replace => {}
            Some(_) => return Err(TargetError::Exists { path: at }.into()),
        }
    }
    Ok(())
}

/// Moves all that is in the private directory into `directory`. Directories that are there are given their attributes, the root's own apart.
pub(crate) fn merge(directory: &TreeRoot, staging: &Staging, options: &TreeOptions) -> io::Result<LeftOut> {
    let mut attributes = Attributes::new(options);
    // Directories that are in both: what is below them first, then they are given their attributes.
    let mut left = vec![(TreePath::root(), false)];
    while let Some((path, is_done)) = left.pop() {
        if is_done {
            settle(directory, staging, &path, &mut attributes)?;
            continue;
        }
        left.push((path.clone(), true));
        let [from, to] = [staging.root.directory_at(&path)?, directory.directory_at(&path)?];
        for name in names(&from)? {
            let name = OsStr::from_bytes(&name);
            let Some(found) = Found::at(&from, name)? else { continue };
            let there = Found::at(&to, name)?;
            if found.is_directory() && there.is_some_and(|there| there.is_directory()) {
                let below = path.join(name.as_bytes()).map_err(io::Error::other)?;
                change_mode(&from, name, 0o700)?;
                // It is given the sealed mode afterwards. One that the tree does not name keeps its own.
                if staging.layout.catalog().find(&below)?.is_some() {
                    change_mode(&to, name, 0o700).map_err(|error| cannot_move(&below, &error))?;
                }
                left.push((below, false));
            } else {
                let moved = rename(&from, &to, name, &found, options.if_exists);
                moved.map_err(|error| {
                    cannot_move(&path.join(name.as_bytes()).unwrap_or(path.clone()), &error)
                })?;
            }
        }
    }
    Ok(attributes.left_out())
}

fn cannot_move(path: &TreePath, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot move {path} there: {error}"))
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
            attributes.set(&directory.directory_at(&parent)?.as_fd(), name, &member)
        }
        None => Ok(()),
    }
}
