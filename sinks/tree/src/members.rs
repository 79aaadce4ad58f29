//! What is made of a tree when all of its bytes are there: directories, empty files, links; then the attributes of all of them.
//! Knows nothing of the target.

use std::{
    ffi::OsStr,
    io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    thread,
};

use cofferdam_io::share;
use rustix::{
    fs::{AtFlags, FileType, Mode, linkat, makedev, mknodat, readlinkat, symlinkat},
    process::geteuid,
};
use tree::{EntryKind, LocatedEntry, Member, TreeError, TreePath};

use crate::{
    attributes::{Attributes, LeftOut, change_mode},
    directory_id::Found,
    journal::HeaderPlace,
    letting_in::widen_above,
    options::{DeviceFiles, TreeOptions},
    staging::{SkeletonReader, Staging},
};

/// Makes what has no bytes, links after all headers have been compared with the catalog, and sets all attributes but those of the root,
/// whose member is given back.
pub(crate) fn finish(
    staging: &Staging,
    options: &TreeOptions,
) -> Result<(Option<Member>, LeftOut), TreeError> {
    // Directories and files first: what is a link is made where nothing else is going to be made through it.
    let (others, mut left_out) = finish_plain(staging, options)?;
    let mut attributes = staging.attributes(options);
    let mut directories = Directories::new(staging);
    for page in others {
        staging.layout.for_each_member(page, &skeleton(staging), &mut |_, member| {
            if !is_plain(&member) && make_other(staging, options, &member, &mut left_out)? {
                set(&mut directories, &mut attributes, &member)?;
            }
            Ok(())
        })?;
    }
    left_out.add(&attributes.left_out());
    let (root, of_directories) = set_directories(staging, options)?;
    left_out.add(&of_directories);
    Ok((root, left_out))
}

/// Makes directories and empty files, and sets the attributes of files, in parallel, a page at a time. Gives the pages that something else is
/// on, in order.
fn finish_plain(staging: &Staging, options: &TreeOptions) -> Result<(Vec<usize>, LeftOut), TreeError> {
    let begin = || (Vec::new(), staging.attributes(options), Directories::new(staging));
    let finished = for_each_page(staging, begin, |(others, attributes, directories), page| {
        staging.layout.for_each_member(page, &skeleton(staging), &mut |located, member| {
            if !is_plain(&member) && others.last() != Some(&page) {
                others.push(page);
            }
            make_plain(staging, located.number, &member)?;
            match member.kind {
                EntryKind::File => set(directories, attributes, &member),
                _ => Ok(()),
            }
        })
    })?;
    let mut left_out = LeftOut::default();
    finished.iter().for_each(|(_, attributes, _)| left_out.add(&attributes.left_out()));
    let mut others: Vec<usize> = finished.into_iter().flat_map(|(others, ..)| others).collect();
    others.sort_unstable();
    Ok((others, left_out))
}

fn is_plain(member: &Member) -> bool {
    matches!(member.kind, EntryKind::File | EntryKind::Directory)
}

/// Calls `work` with each page of the catalog, in no order, on several threads, each with what `begin` gives.
fn for_each_page<S: Send>(
    staging: &Staging,
    begin: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize) -> Result<(), TreeError> + Sync,
) -> Result<Vec<S>, TreeError> {
    let pages = staging.layout.catalog().pages();
    let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX).min(pages.max(1));
    share(pages as u64, threads, begin, |state, page| work(state, page as usize))
}

fn skeleton(staging: &Staging) -> SkeletonReader<'_> {
    // No more than the archive's part of it is read.
    SkeletonReader { skeleton: &staging.skeleton, len: u64::MAX }
}

fn make_plain(staging: &Staging, number: u64, member: &Member) -> Result<(), TreeError> {
    let made = match member.kind {
        EntryKind::File if member.size == 0 => staging.make_empty(number, &member.path),
        EntryKind::Directory => {
            staging.make_parents(&member.path).and_then(|()| staging.make_directory(&member.path))
        }
        _ => Ok(()),
    };
    made.map_err(|error| cannot("make", &member.path, error))
}

/// Whether it was made, and has attributes of its own: a hard link has those of what it is a name of.
fn make_other(
    staging: &Staging,
    options: &TreeOptions,
    member: &Member,
    left_out: &mut LeftOut,
) -> Result<bool, TreeError> {
    if options.device_files == DeviceFiles::LeaveOut && is_device(staging, member)? {
        left_out.devices += 1;
        return Ok(false);
    }
    let made = staging.make_parents(&member.path).and_then(|()| {
        let (directory, name) = place_of(staging, &member.path)?;
        make_in(staging, member, &directory, name)
    });
    made.map_err(|error| cannot("make", &member.path, error))?;
    Ok(member.kind != EntryKind::HardLink)
}

/// Whether it is a device, or another name of one.
fn is_device(staging: &Staging, member: &Member) -> Result<bool, TreeError> {
    let of_kind = |kind| matches!(kind, EntryKind::CharDevice | EntryKind::BlockDevice);
    match (member.kind, TreePath::parse(&member.link)) {
        (EntryKind::HardLink, Ok(target)) => {
            let target = staging.layout.catalog().find(&target)?;
            Ok(target.is_some_and(|target| of_kind(target.entry.kind)))
        }
        (kind, _) => Ok(of_kind(kind)),
    }
}

fn make_in(staging: &Staging, member: &Member, directory: &OwnedFd, name: &OsStr) -> io::Result<()> {
    let node = |kind: FileType| {
        let (major, minor) = member.device;
        mknodat(directory, name, kind, Mode::RUSR | Mode::WUSR, makedev(major, minor))
    };
    match member.kind {
        EntryKind::HardLink => {
            let target = TreePath::parse(&member.link).map_err(io::Error::other)?;
            let (target_directory, target_name) = place_of(staging, &target)?;
            linkat(&target_directory, target_name, directory, name, AtFlags::empty())?;
        }
        EntryKind::Symlink => symlinkat(OsStr::from_bytes(&member.link), directory, name)?,
        EntryKind::CharDevice => node(FileType::CharacterDevice)?,
        EntryKind::BlockDevice => node(FileType::BlockDevice)?,
        EntryKind::Fifo => node(FileType::Fifo)?,
        EntryKind::File | EntryKind::Directory => {}
    }
    Ok(())
}

/// Sets the attributes of a member that is no directory.
fn set(
    directories: &mut Directories<'_>,
    attributes: &mut Attributes<'_>,
    member: &Member,
) -> Result<(), TreeError> {
    let name = OsStr::from_bytes(member.path.name());
    let set = directories.of(&member.path).and_then(|directory| attributes.set(directory, name, member));
    set.map_err(|error| cannot("set the attributes of", &member.path, error))
}

/// Sets those of directories, what is below them first: their times and rights are not touched any more. Gives the root's.
fn set_directories(staging: &Staging, options: &TreeOptions) -> Result<(Option<Member>, LeftOut), TreeError> {
    let catalog = staging.layout.catalog();
    let mut attributes = staging.attributes(options);
    let (mut root, mut end) = (None, catalog.entries());
    while end > 0 {
        // With the one before them, which tells what directories are implied.
        let start = end.saturating_sub(PLACES_AT_ONCE);
        let mut entries =
            catalog.in_order(start.saturating_sub(1)..end).collect::<Result<Vec<_>, TreeError>>()?;
        while let Some(located) = entries.pop() {
            if entries.is_empty() && start > 0 {
                break;
            }
            let before = entries.last().map(|before| &before.entry.path);
            let implicit = implicit_directories(&located.entry.path, before);
            root = set_directory(staging, &mut attributes, &located)?.or(root);
            implicit.iter().try_for_each(|path| set_implicit(staging, path))?;
        }
        end = start;
    }
    Ok((root, attributes.left_out()))
}

/// Sets those of a member that is a directory; the root, whose are not set yet, is given back.
fn set_directory(
    staging: &Staging,
    attributes: &mut Attributes<'_>,
    located: &LocatedEntry,
) -> Result<Option<Member>, TreeError> {
    if located.entry.kind != EntryKind::Directory {
        return Ok(None);
    }
    let member = read_member(staging, located)?;
    if member.path.is_root() {
        return Ok(Some(member));
    }
    let set = place_of(staging, &member.path)
        .and_then(|(directory, name)| attributes.set(&directory, name, &member));
    set.map_err(|error| cannot("set the attributes of", &member.path, error))?;
    Ok(None)
}

/// The directories that `path` is in and that are no members, the deepest first, where `before` is the path before it in path order: it is the first
/// one below them.
fn implicit_directories(path: &TreePath, before: Option<&TreePath>) -> Vec<TreePath> {
    let is_new = |directory: &TreePath| {
        !directory.is_root() && before.is_none_or(|before| before != directory && !before.is_below(directory))
    };
    std::iter::successors(path.parent(), TreePath::parent).take_while(is_new).collect()
}

fn set_implicit(staging: &Staging, path: &TreePath) -> Result<(), TreeError> {
    let set = place_of(staging, path).and_then(|(directory, name)| {
        let opened = staging.file_sync.open(&directory, name, EntryKind::Directory)?;
        change_mode(&directory, name, IMPLICIT_MODE)?;
        staging.file_sync.sync(opened.as_ref())
    });
    set.map_err(|error| cannot("set the mode of", path, error))
}

/// The member of the root, if it is one.
pub(crate) fn root(staging: &Staging) -> Result<Option<Member>, TreeError> {
    let located = staging.layout.catalog().find(&TreePath::root())?;
    located.map(|located| read_member(staging, &located)).transpose()
}

/// Where in the skeleton its header is.
pub(crate) fn root_header(staging: &Staging) -> Result<Option<HeaderPlace>, TreeError> {
    let located = staging.layout.catalog().find(&TreePath::root())?;
    Ok(located.map(|located| HeaderPlace {
        at: located.header_at - located.data_before,
        len: located.entry.header_len,
    }))
}

/// Compares kinds and targets of links with what is there. What is in the files has been compared as it came. Then what keeps its owner out does so
/// again.
pub(crate) fn compare(staging: &Staging) -> Result<(), TreeError> {
    let mut directories = Directories::new(staging);
    // Few trees have any.
    let mut closed = Vec::new();
    for page in 0..staging.layout.catalog().pages() {
        staging.layout.for_each_member(page, &skeleton(staging), &mut |_, member| {
            // Which of them were left out is not known any more.
            if matches!(member.kind, EntryKind::CharDevice | EntryKind::BlockDevice | EntryKind::HardLink)
                || member.path.is_root()
            {
                return Ok(());
            }
            let mut is_same =
                || directories.of(&member.path).and_then(|directory| is_same_kind(directory, &member));
            let same = match is_same() {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    widen_above(&staging.root, &member.path).and_then(|()| is_same())
                }
                same => same,
            };
            match same {
                Ok(true) => {
                    if keeps_owner_out(&member) {
                        closed.push((member.path, member.mode));
                    }
                    Ok(())
                }
                Ok(false) => Err(cannot("recognise", &member.path, staging.differs(&member.path))),
                Err(error) => Err(cannot("examine", &member.path, error)),
            }
        })?;
    }
    close_again(staging, closed)
}

/// Whether its mode keeps its owner from looking into it.
fn keeps_owner_out(member: &Member) -> bool {
    match member.kind {
        EntryKind::File => member.mode & 0o400 == 0,
        EntryKind::Directory => member.mode & 0o500 != 0o500,
        _ => false,
    }
}

/// Gives what may have been opened to its owner, by this attempt or by one that was cut off, its owner's bits; what is below a directory before that.
fn close_again(staging: &Staging, mut closed: Vec<(TreePath, u32)>) -> Result<(), TreeError> {
    if geteuid().is_root() {
        return Ok(());
    }
    closed.sort_unstable_by(|one, other| other.0.cmp(&one.0));
    for (path, mode) in closed {
        let set = place_of(staging, &path).and_then(|(directory, name)| match Found::at(&directory, name)? {
            Some(found) if found.mode & 0o700 != mode & 0o700 => {
                change_mode(&directory, name, found.mode & !0o700 | mode & 0o700)
            }
            _ => Ok(()),
        });
        set.map_err(|error| cannot("set the mode of", &path, error))?;
    }
    Ok(())
}

fn is_same_kind(directory: &OwnedFd, member: &Member) -> io::Result<bool> {
    let name = OsStr::from_bytes(member.path.name());
    let Some(found) = Found::at(directory, name)? else {
        return Ok(false);
    };
    Ok(match member.kind {
        EntryKind::File => found.kind == FileType::RegularFile && found.len == member.size,
        EntryKind::Directory => found.is_directory(),
        EntryKind::Fifo => found.kind == FileType::Fifo,
        EntryKind::Symlink => {
            found.kind == FileType::Symlink
                && readlinkat(directory, name, Vec::new())?.as_bytes() == &*member.link
        }
        EntryKind::HardLink | EntryKind::CharDevice | EntryKind::BlockDevice => true,
    })
}

pub(crate) fn read_member(staging: &Staging, located: &LocatedEntry) -> Result<Member, TreeError> {
    let mut header = vec![0; located.entry.header_len as usize];
    let at = located.header_at - located.data_before;
    let read = staging.skeleton.read_exact_at(&mut header, at);
    read.map_err(|error| cannot("read the header of", &located.entry.path, error))?;
    located.member_of(&header)
}

/// The directory that was needed last: members of one follow one another.
struct Directories<'a> {
    staging: &'a Staging,
    last: Option<(TreePath, OwnedFd)>,
}

impl<'a> Directories<'a> {
    fn new(staging: &'a Staging) -> Directories<'a> {
        Directories { staging, last: None }
    }

    /// The directory that a path is in.
    fn of(&mut self, path: &TreePath) -> io::Result<&OwnedFd> {
        let parent = path.parent().unwrap_or_else(TreePath::root);
        let last = match self.last.take().filter(|(last, _)| *last == parent) {
            Some(last) => last,
            None => {
                let directory = self.staging.root.directory_at(&parent)?;
                (parent, directory)
            }
        };
        Ok(&self.last.insert(last).1)
    }
}

/// The directory that a path is in, and its name there.
fn place_of<'a>(staging: &Staging, path: &'a TreePath) -> io::Result<(OwnedFd, &'a OsStr)> {
    let parent = path.parent().unwrap_or_else(TreePath::root);
    Ok((staging.root.directory_at(&parent)?, OsStr::from_bytes(path.name())))
}

fn cannot(what: &str, path: &TreePath, source: io::Error) -> TreeError {
    TreeError::Io { what: format!("{what} {path}"), source }
}

/// Of a directory that is no member (TREE T2.2).
pub(crate) const IMPLICIT_MODE: u32 = 0o755;
/// Entries that are held in memory at a time: some 10 MiB.
const PLACES_AT_ONCE: u64 = 32_768;
/// Threads that set attributes: file systems gain nothing by more.
const THREADS_MAX: usize = 16;
