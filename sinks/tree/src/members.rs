//! What is made of a tree when all of its bytes are there: directories, empty files, links; then the attributes of all of them.
//! Knows nothing of the target.

use std::{
    ffi::OsStr,
    io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use rustix::fs::{AtFlags, FileType, Mode, linkat, makedev, mknodat, symlinkat};
use tree::{EntryKind, LocatedEntry, Member, TreeError, TreePath};

use crate::{
    attributes::{Attributes, LeftOut},
    options::{DeviceFiles, TreeOptions},
    staging::{SkeletonReader, Staging},
};

/// Makes what has no bytes, after all headers have been compared with the catalog, and sets all attributes but those of the root, whose
/// member is given back.
pub(crate) fn finish(
    staging: &Staging,
    options: &TreeOptions,
) -> Result<(Option<Member>, LeftOut), TreeError> {
    let reader = skeleton(staging);
    let pages = staging.layout.catalog().pages();
    let mut left_out = LeftOut::default();
    // Directories and files first: what is a link is made where nothing else is going to be made through it.
    for page in 0..pages {
        staging.layout.for_each_member(page, &reader, &mut |_, member| make_plain(staging, &member))?;
    }
    for page in 0..pages {
        staging.layout.for_each_member(page, &reader, &mut |_, member| {
            make_other(staging, options, &member, &mut left_out)
        })?;
    }
    left_out.add(&set_attributes(staging, options, pages)?);
    let (root, directories) = set_directories(staging, options)?;
    left_out.add(&directories);
    Ok((root, left_out))
}

fn skeleton(staging: &Staging) -> SkeletonReader<'_> {
    // No more than the archive's part of it is read.
    SkeletonReader { file: &staging.skeleton, len: u64::MAX }
}

fn make_plain(staging: &Staging, member: &Member) -> Result<(), TreeError> {
    let made = match member.kind {
        EntryKind::File if member.size == 0 => staging.make(&member.path).map(drop),
        EntryKind::Directory => {
            staging.make_parents(&member.path).and_then(|()| staging.make_directory(&member.path))
        }
        _ => Ok(()),
    };
    made.map_err(|error| cannot("make", &member.path, error))
}

fn make_other(
    staging: &Staging,
    options: &TreeOptions,
    member: &Member,
    left_out: &mut LeftOut,
) -> Result<(), TreeError> {
    if matches!(member.kind, EntryKind::File | EntryKind::Directory) {
        return Ok(());
    }
    if options.device_files == DeviceFiles::LeaveOut && is_device(staging, member)? {
        left_out.devices += 1;
        return Ok(());
    }
    let made = staging.make_parents(&member.path).and_then(|()| {
        let (directory, name) = place_of(staging, &member.path)?;
        make_in(staging, member, &directory, name)
    });
    made.map_err(|error| cannot("make", &member.path, error))
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

/// Sets the attributes of all but directories, in parallel, a page at a time.
fn set_attributes(staging: &Staging, options: &TreeOptions, pages: usize) -> Result<LeftOut, TreeError> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX).min(pages.max(1));
    // Each page is taken once; the order is any.
    let next = AtomicUsize::new(0);
    let work = || {
        let (mut attributes, mut directories) = (Attributes::new(options), Directories::new(staging));
        loop {
            let page = next.fetch_add(1, Ordering::Relaxed);
            if page >= pages {
                return Ok(attributes.left_out());
            }
            staging.layout.for_each_member(page, &skeleton(staging), &mut |_, member| {
                set_one(&mut directories, &mut attributes, &member)
            })?;
        }
    };
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut left_out = work()?;
        for other in others {
            let other = other.join().map_err(|_| TreeError::Io {
                what: "set attributes".into(),
                source: io::Error::other("a thread has panicked"),
            })??;
            left_out.add(&other);
        }
        Ok(left_out)
    })
}

fn set_one(
    directories: &mut Directories<'_>,
    attributes: &mut Attributes<'_>,
    member: &Member,
) -> Result<(), TreeError> {
    // A hard link has those of what it is a name of.
    if matches!(member.kind, EntryKind::Directory | EntryKind::HardLink) || attributes.leaves_out(member) {
        return Ok(());
    }
    let name = OsStr::from_bytes(member.path.name());
    let set = directories.of(&member.path).and_then(|directory| attributes.set(directory, name, member));
    set.map_err(|error| cannot("set the attributes of", &member.path, error))
}

/// Sets those of directories, what is below them first: their times and rights are not touched any more. Gives the root's.
fn set_directories(staging: &Staging, options: &TreeOptions) -> Result<(Option<Member>, LeftOut), TreeError> {
    let catalog = staging.layout.catalog();
    let mut attributes = Attributes::new(options);
    let mut root = None;
    for place in (0..catalog.entries()).rev() {
        let Some(located) = catalog.entry_in_order(place)?.filter(|it| it.entry.kind == EntryKind::Directory)
        else {
            continue;
        };
        let member = read_member(staging, &located)?;
        if member.path.is_root() {
            root = Some(member);
            continue;
        }
        let set = place_of(staging, &member.path)
            .and_then(|(directory, name)| attributes.set(&directory, name, &member));
        set.map_err(|error| cannot("set the attributes of", &member.path, error))?;
    }
    Ok((root, attributes.left_out()))
}

fn read_member(staging: &Staging, located: &LocatedEntry) -> Result<Member, TreeError> {
    let mut header = vec![0; located.entry.header_len as usize];
    let at = located.header_at - located.data_before;
    let read = std::os::unix::fs::FileExt::read_exact_at(&staging.skeleton, &mut header, at);
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

/// Threads that set attributes: file systems gain nothing by more.
const THREADS_MAX: usize = 16;
