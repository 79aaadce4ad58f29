//! A directory walked in path order: what there is, and what of it is left out.
//! Reads no file's data, and knows no archive.

use std::{
    ffi::{CStr, CString},
    io,
    os::fd::OwnedFd,
    sync::Arc,
    vec,
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Stat, Statx, makedev, readlinkat, statx},
    io::Errno,
};

use crate::{
    EntryKind, Member, MountId, Timestamp, TreeError, TreePath, TreeRoot, WalkOptions,
    linked_files::LinkedFiles, owners::OwnerNames, stamps::Stamp, xattrs::XattrReader,
};

/// What a walk left out.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct LeftOut {
    /// Sockets: a program makes its own.
    pub sockets: u64,
    /// Mount points whose file systems were not walked.
    pub mounts: u64,
    /// What a glob left out; not what is below that.
    pub by_globs: u64,
    /// What was gone when it was looked at.
    pub gone: u64,
    /// The directory of [`WalkOptions::without_directory`].
    pub own_directories: u64,
    /// Names of owners: files that were taken with the numbers alone, for the name services failed.
    pub owner_names: u64,
}

/// Walks the directory of `root`, and calls `take` with each member in path order.
///
/// # Errors
/// Those of `take`; a directory or an attribute that cannot be read, a path that is too long.
pub fn walk(
    root: &TreeRoot,
    options: &WalkOptions,
    take: &mut dyn FnMut(Member) -> Result<(), TreeError>,
) -> Result<LeftOut, TreeError> {
    let mut xattrs = XattrReader::new();
    walk_bare(root, options, &mut |found| take(found.into_member(&mut xattrs)?))
}

/// As [`walk`], and leaves it to the caller to read extended attributes.
pub(crate) fn walk_bare(
    root: &TreeRoot,
    options: &WalkOptions,
    take: &mut dyn FnMut(FoundMember) -> Result<(), TreeError>,
) -> Result<LeftOut, TreeError> {
    let path = TreePath::root();
    let directory = open(root, &path)?;
    let told = statx(&directory, "", AtFlags::EMPTY_PATH, MountId::MASK)
        .map_err(|error| TreeError::io("examine the tree's directory", error))?;
    let mut walk = Walk {
        root,
        options,
        mount: MountId::of(&told),
        owners: OwnerNames::new(),
        links: LinkedFiles::default(),
        listings: 0,
        left_out: LeftOut::default(),
    };
    let member = walk.member(path.clone(), EntryKind::Directory, &told);
    let top = walk.list(directory, path, options.includes_all())?;
    take(FoundMember {
        member,
        directory: top.directory.clone(),
        listing: top.number,
        name: c".".to_owned(),
        stamp: Stamp::of_told(&told),
    })?;
    walk.directories(top, take)?;
    Ok(walk.left_out)
}

/// A member without its extended attributes, and where they are. It keeps a directory open.
pub(crate) struct FoundMember {
    member: Member,
    /// What it is in. None, where it has no attributes of its own.
    directory: Option<Arc<OwnedFd>>,
    /// No other directory's.
    pub(crate) listing: u64,
    name: CString,
    pub(crate) stamp: Stamp,
}

impl FoundMember {
    /// The member with its attributes.
    ///
    /// # Errors
    /// They cannot be read.
    pub(crate) fn into_member(self, xattrs: &mut XattrReader) -> Result<Member, TreeError> {
        let mut member = self.member;
        if let Some(directory) = &self.directory {
            member.xattrs = xattrs.read(directory, self.listing, &self.name, &member.path)?;
        }
        Ok(member)
    }
}

struct Walk<'a> {
    root: &'a TreeRoot,
    options: &'a WalkOptions,
    /// Of the root.
    mount: MountId,
    owners: OwnerNames,
    /// Files that have more names than have come so far.
    links: LinkedFiles,
    /// Directories that were listed so far.
    listings: u64,
    left_out: LeftOut,
}

/// A directory that is being walked.
struct Listing {
    /// No other one's.
    number: u64,
    path: TreePath,
    /// Closed while directories far below are walked.
    directory: Option<Arc<OwnedFd>>,
    /// In path order.
    names: vec::IntoIter<CString>,
    /// Whether all that is in it is taken, whatever it is called.
    is_included: bool,
}

impl Walk<'_> {
    fn directories(
        &mut self,
        top: Listing,
        take: &mut dyn FnMut(FoundMember) -> Result<(), TreeError>,
    ) -> Result<(), TreeError> {
        let mut stack = vec![top];
        while let Some(listing) = stack.last_mut() {
            let Some(name) = listing.names.next() else {
                stack.pop();
                continue;
            };
            if listing.directory.is_none() {
                let Some(directory) = self.open_if_there(&listing.path)? else {
                    self.left_out.gone += 1 + listing.names.len() as u64;
                    stack.pop();
                    continue;
                };
                listing.directory = Some(Arc::new(directory));
            }
            let Some(below) = self.name(listing, name, take)? else {
                continue;
            };
            // Deep trees would take more descriptors than a process may have.
            if let Some(far) = stack.len().checked_sub(OPEN_LEVELS_MAX) {
                stack[far].directory = None;
            }
            stack.push(below);
        }
        Ok(())
    }

    /// Takes what is called `name`, and gives what is below it if that is to be walked.
    fn name(
        &mut self,
        listing: &Listing,
        name: CString,
        take: &mut dyn FnMut(FoundMember) -> Result<(), TreeError>,
    ) -> Result<Option<Listing>, TreeError> {
        let Some(directory) = &listing.directory else {
            return Ok(None);
        };
        let too_long =
            |fault| TreeError::name(&[listing.path.as_bytes(), b"/", name.to_bytes()].concat(), fault);
        let path = listing.path.join(name.to_bytes()).map_err(too_long)?;
        if self.options.is_cancelled() {
            return Err(TreeError::io("walk the tree", io::ErrorKind::Interrupted));
        }
        // As statat(2) does it: nothing is mounted by being looked at.
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        let told = match statx(directory, &*name, flags, MountId::MASK) {
            Err(Errno::NOENT) => {
                self.left_out.gone += 1;
                return Ok(None);
            }
            told => told.map_err(|error| TreeError::io(format!("examine {path}"), error))?,
        };
        let Some(kind) = kind(&told) else {
            self.left_out.sockets += 1;
            return Ok(None);
        };
        if self.options.excludes(&path, kind) {
            self.left_out.by_globs += 1;
            return Ok(None);
        }
        if kind == EntryKind::Directory && self.options.is_own_directory(device(&told), told.stx_ino) {
            self.left_out.own_directories += 1;
            return Ok(None);
        }
        // Asked in any case: which globs have matched something is told.
        let is_included = self.options.includes(&path, kind) || listing.is_included;
        let is_elsewhere = !self.options.enters_mounts() && MountId::of(&told) != self.mount;
        if kind != EntryKind::Directory && (!is_included || is_elsewhere) {
            self.left_out.by_globs += u64::from(!is_included);
            self.left_out.mounts += u64::from(is_included);
            return Ok(None);
        }
        let mut member = self.member(path, kind, &told);
        let path = &member.path;
        if member.kind == EntryKind::Symlink {
            member.link = match readlinkat(directory, &*name, Vec::new()) {
                // It has been removed meanwhile, or is none any more.
                Err(Errno::NOENT | Errno::INVAL) => {
                    self.left_out.gone += 1;
                    // Another name of it is no name of a member that is not there.
                    self.links.forget((device(&told), told.stx_ino));
                    return Ok(None);
                }
                target => target.map_err(|error| TreeError::io(format!("read the link {path}"), error))?,
            }
            .into_bytes();
        }
        let is_walked = kind == EntryKind::Directory && !is_elsewhere;
        let below = if is_walked { self.open_if_there(path)? } else { None };
        if is_walked && below.is_none() {
            // No empty directory stands for one that is gone.
            self.left_out.gone += 1;
            return Ok(None);
        }
        let below = below.map(|below| (below, path.clone()));
        let directory = (member.kind != EntryKind::HardLink).then(|| directory.clone());
        let stamp = Stamp::of_told(&told);
        take(FoundMember { member, directory, listing: listing.number, name, stamp })?;
        self.left_out.mounts += u64::from(kind == EntryKind::Directory && is_elsewhere);
        below.map(|(below, path)| self.list(below, path, is_included)).transpose()
    }

    /// None: it was removed meanwhile, or something else has its name.
    fn open_if_there(&self, path: &TreePath) -> Result<Option<OwnedFd>, TreeError> {
        match self.root.directory_at(path) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(error) => Err(TreeError::io(format!("open the directory {path}"), error)),
            Ok(directory) => Ok(Some(directory)),
        }
    }

    fn list(&mut self, directory: OwnedFd, path: TreePath, is_included: bool) -> Result<Listing, TreeError> {
        self.listings += 1;
        Listing::read(directory, self.listings, path, is_included)
    }

    /// The member of what statx(2) told, link and attributes apart.
    fn member(&mut self, path: TreePath, kind: EntryKind, told: &Statx) -> Member {
        let mut member = Member::new(path, kind, u32::from(told.stx_mode) & 0o7777);
        (member.uid, member.gid) = (told.stx_uid, told.stx_gid);
        let (user, group) = (self.owners.user(told.stx_uid), self.owners.group(told.stx_gid));
        let is_unknown = user.is_err() || group.is_err();
        (member.user, member.group) = (user.unwrap_or_default(), group.unwrap_or_default());
        member.modified = Timestamp { seconds: told.stx_mtime.tv_sec, nanos: told.stx_mtime.tv_nsec };
        if kind != EntryKind::Directory && told.stx_nlink > 1 {
            let id = (device(told), told.stx_ino);
            if let Some(first) = self.links.first_of(id, told.stx_nlink, &member.path) {
                member.link = first.as_bytes().to_vec();
                member.kind = EntryKind::HardLink;
                return member;
            }
        }
        self.left_out.owner_names += u64::from(is_unknown);
        match kind {
            EntryKind::File => member.size = told.stx_size,
            EntryKind::CharDevice | EntryKind::BlockDevice => {
                member.device = (told.stx_rdev_major, told.stx_rdev_minor);
            }
            _ => {}
        }
        member
    }
}

impl Listing {
    fn read(
        directory: OwnedFd,
        number: u64,
        path: TreePath,
        is_included: bool,
    ) -> Result<Listing, TreeError> {
        let fault = |error| TreeError::io(format!("list the directory {path}"), error);
        let mut names: Vec<CString> = Vec::new();
        for entry in Dir::read_from(&directory).map_err(fault)? {
            let entry = entry.map_err(fault)?;
            let name: &CStr = entry.file_name();
            if !matches!(name.to_bytes(), b"." | b"..") {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        let directory = Some(Arc::new(directory));
        Ok(Listing { number, path, directory, names: names.into_iter(), is_included })
    }
}

/// When the contents of what `stat` says last changed.
pub(crate) fn modified(stat: &Stat) -> Timestamp {
    Timestamp { seconds: stat.st_mtime, nanos: u32::try_from(stat.st_mtime_nsec).unwrap_or_default() }
}

fn open(root: &TreeRoot, path: &TreePath) -> Result<OwnedFd, TreeError> {
    root.directory_at(path).map_err(|error| TreeError::io(format!("open the directory {path}"), error))
}

fn device(told: &Statx) -> u64 {
    makedev(told.stx_dev_major, told.stx_dev_minor)
}

fn kind(told: &Statx) -> Option<EntryKind> {
    Some(match FileType::from_raw_mode(told.stx_mode.into()) {
        FileType::RegularFile => EntryKind::File,
        FileType::Directory => EntryKind::Directory,
        FileType::Symlink => EntryKind::Symlink,
        FileType::Fifo => EntryKind::Fifo,
        FileType::CharacterDevice => EntryKind::CharDevice,
        FileType::BlockDevice => EntryKind::BlockDevice,
        FileType::Socket | FileType::Unknown => return None,
    })
}

/// Directories above the one that is walked that are kept open.
const OPEN_LEVELS_MAX: usize = 64;
