//! What the kernel asks, answered out of the contents.
//! Knows neither how they are stored nor who reads.

use std::error;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;
use std::time::Duration;

use cofferdam_io::ReadAt as _;
use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyStatfs, ReplyXattr, Request,
};
use tree::{EntryKind, NameFault, TreeError};

use crate::contents::Listing;
use crate::inode::Inode;
use crate::node::{Child, Node};
use crate::open_files::OpenFiles;
use crate::{Contents, Notice};

/// Contents, as FUSE has them. They do not change, so the kernel may keep whatever it is told.
pub(crate) struct FileSystem {
    contents: Contents,
    open: OpenFiles,
    notify: Arc<dyn Fn(&Notice<'_>) + Send + Sync>,
}

impl FileSystem {
    pub(crate) fn new(contents: Contents, notify: Arc<dyn Fn(&Notice<'_>) + Send + Sync>) -> FileSystem {
        FileSystem { contents, open: OpenFiles::default(), notify }
    }

    /// What is asked for of an inode, or the error that the program gets. `what` of it was asked for, in words.
    fn answer<T>(
        &self,
        number: INodeNo,
        what: &str,
        find: impl FnOnce(Inode) -> Result<Option<T>, TreeError>,
    ) -> Result<T, Errno> {
        let inode = Inode::of_number(number.0).ok_or(Errno::ENOENT)?;
        match find(inode) {
            Ok(found) => found.ok_or(Errno::ENOENT),
            Err(error) => Err(self.failed(&error, || format!("{what} of {}", self.contents.name_of(inode)))),
        }
    }

    /// Tells of a failure, unless it is the mount's own end.
    fn failed(&self, error: &(dyn error::Error + 'static), what: impl FnOnce() -> String) -> Errno {
        if !self.contents.source.is_ended() {
            (self.notify)(&Notice { what: what(), error });
        }
        Errno::EIO
    }

    fn bytes(&self, handle: FileHandle, offset: u64, len: u32) -> Result<Vec<u8>, Errno> {
        let file = self.open.find(handle.0).ok_or(Errno::EBADF)?;
        let begin = offset.min(file.len);
        let len = u64::from(len).min(file.len - begin);
        // At most what the kernel asks for at once, 1 MiB.
        let mut bytes = vec![0; len as usize];
        let read = self.contents.source.read_exact_at(file.at + begin, &mut bytes);
        read.map_err(|error| {
            self.failed(&error, || format!("{} at byte {begin}, {len} bytes of it,", file.name))
        })?;
        Ok(bytes)
    }

    /// Calls `add` for what is in a directory from `from` on: `.`, `..`, and its children.
    fn list(
        &self,
        number: INodeNo,
        from: u64,
        add: &mut dyn FnMut(&[u8], &Node, u64) -> Listing,
    ) -> Result<(), Errno> {
        self.answer(number, "a listing", |inode| {
            let Some(node) = self.contents.node(inode)? else { return Ok(None) };
            if from == 0 && add(b".", &node, 1) == Listing::IsFull {
                return Ok(Some(()));
            }
            if from <= 1 {
                let parent = self.contents.node(self.contents.parent(inode)?)?.unwrap_or(node);
                if add(b"..", &parent, DOTS) == Listing::IsFull {
                    return Ok(Some(()));
                }
            }
            let take = &mut |child: Child| add(&child.name, &child.node, child.next + DOTS);
            self.contents.for_each_child(inode, from.saturating_sub(DOTS), take)?;
            Ok(Some(()))
        })
    }

    fn xattr(&self, number: INodeNo, name: &OsStr) -> Result<Vec<u8>, Errno> {
        let what = "the extended attributes";
        let xattrs = self.answer(number, what, |inode| self.contents.xattrs(inode).map(Some))?;
        let found = xattrs.into_iter().find(|xattr| xattr.name == name.as_bytes());
        found.map(|xattr| xattr.value).ok_or(Errno::NO_XATTR)
    }

    fn xattr_names(&self, number: INodeNo) -> Result<Vec<u8>, Errno> {
        let what = "the extended attributes";
        let xattrs = self.answer(number, what, |inode| self.contents.xattrs(inode).map(Some))?;
        Ok(xattrs.into_iter().flat_map(|xattr| xattr.name.into_iter().chain([0])).collect())
    }
}

impl Filesystem for FileSystem {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // ACLs are enforced, where the kernel can; the rest is speed. What it does not have it says by itself.
        for flag in [
            InitFlags::FUSE_POSIX_ACL,
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_READDIRPLUS_AUTO,
            InitFlags::FUSE_CACHE_SYMLINKS,
        ] {
            let _ = config.add_capabilities(flag);
        }
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.answer(parent, "an entry", |directory| {
            match self.contents.child(directory, name.as_bytes()) {
                Err(TreeError::Name { fault: NameFault::TooLong, .. }) => Ok(Some(Err(Errno::ENAMETOOLONG))),
                found => found.map(|found| Some(Ok(found))),
            }
        });
        match found.and_then(|found| found) {
            Ok(Some(node)) => reply.entry(&FOR_EVER, &attributes(&node), GENERATION),
            // That it is not there is kept as well.
            Ok(None) => reply.entry(&FOR_EVER, &nothing(), GENERATION),
            Err(errno) => reply.error(errno),
        }
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.answer(number, "the attributes", |inode| self.contents.node(inode)) {
            Ok(node) => reply.attr(&FOR_EVER, &attributes(&node)),
            Err(errno) => reply.error(errno),
        }
    }

    fn readlink(&self, _: &Request, number: INodeNo, reply: ReplyData) {
        match self.answer(number, "the target", |inode| self.contents.link_target(inode)) {
            Ok(target) => reply.data(&target),
            Err(errno) => reply.error(errno),
        }
    }

    fn open(&self, _: &Request, number: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        // The mount is read-only: nobody who writes gets here.
        match self.answer(number, "the header", |inode| self.contents.extent(inode)) {
            Ok(extent) => reply.opened(FileHandle(self.open.open(extent)), FopenFlags::FOPEN_KEEP_CACHE),
            Err(errno) => reply.error(errno),
        }
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        len: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.bytes(handle, offset, len) {
            Ok(bytes) => reply.data(&bytes),
            Err(errno) => reply.error(errno),
        }
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.open.close(handle.0);
        reply.ok();
    }

    fn opendir(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let flags = FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_CACHE_DIR;
        reply.opened(FileHandle(0), flags);
    }

    fn readdir(&self, _: &Request, number: INodeNo, _: FileHandle, from: u64, mut reply: ReplyDirectory) {
        let listed = self.list(number, from, &mut |name, node, next| {
            let number = INodeNo(node.inode.number());
            listing(reply.add(number, next, file_type(node.kind), OsStr::from_bytes(name)))
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        }
    }

    fn readdirplus(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        from: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let listed = self.list(number, from, &mut |name, node, next| {
            // The numbers of a device are in its header.
            let device = match node.kind {
                EntryKind::CharDevice | EntryKind::BlockDevice => Some(self.contents.node(node.inode)),
                _ => None,
            };
            let attributes = match &device {
                Some(Ok(Some(device))) => attributes(device),
                // Who wants it looks it up, and hears what is wrong. Until then programs do not see it.
                Some(_) => FileAttr { ino: INodeNo(0), ..attributes(node) },
                None => attributes(node),
            };
            let (number, name) = (INodeNo(node.inode.number()), OsStr::from_bytes(name));
            listing(reply.add(number, next, name, &FOR_EVER, &attributes, GENERATION))
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        }
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let blocks = self.contents.data_len().div_ceil(u64::from(BLOCK_LEN));
        reply.statfs(blocks, 0, 0, self.contents.entries(), 0, BLOCK_LEN, NAME_LEN_MAX, BLOCK_LEN);
    }

    fn getxattr(&self, _: &Request, number: INodeNo, name: &OsStr, room: u32, reply: ReplyXattr) {
        reply_xattr(self.xattr(number, name), room, reply);
    }

    fn listxattr(&self, _: &Request, number: INodeNo, room: u32, reply: ReplyXattr) {
        reply_xattr(self.xattr_names(number), room, reply);
    }
}

/// Without room the length is asked for.
fn reply_xattr(found: Result<Vec<u8>, Errno>, room: u32, reply: ReplyXattr) {
    match found {
        Ok(bytes) if room == 0 => reply.size(u32::try_from(bytes.len()).unwrap_or(u32::MAX)),
        Ok(bytes) if bytes.len() <= room as usize => reply.data(&bytes),
        Ok(_) => reply.error(Errno::ERANGE),
        Err(errno) => reply.error(errno),
    }
}

fn listing(is_full: bool) -> Listing {
    if is_full { Listing::IsFull } else { Listing::HasRoom }
}

fn attributes(node: &Node) -> FileAttr {
    let modified = node.modified();
    FileAttr {
        ino: INodeNo(node.inode.number()),
        size: node.size,
        blocks: node.size.div_ceil(512),
        // Access and change were not sealed.
        atime: modified,
        mtime: modified,
        ctime: modified,
        crtime: modified,
        kind: file_type(node.kind),
        perm: (node.mode & 0o7777) as u16,
        nlink: node.links,
        uid: node.user,
        gid: node.group,
        rdev: device_number(node.device),
        blksize: BLOCK_LEN,
        flags: 0,
    }
}

/// What stands for a name that is not there.
fn nothing() -> FileAttr {
    let root = Node::implied(Inode::Root, (0, 0));
    FileAttr { ino: INodeNo(0), ..attributes(&root) }
}

fn file_type(kind: EntryKind) -> FileType {
    match kind {
        EntryKind::File | EntryKind::HardLink => FileType::RegularFile,
        EntryKind::Symlink => FileType::Symlink,
        EntryKind::CharDevice => FileType::CharDevice,
        EntryKind::BlockDevice => FileType::BlockDevice,
        EntryKind::Directory => FileType::Directory,
        EntryKind::Fifo => FileType::NamedPipe,
    }
}

/// As the kernel's interface has it, in 32 bits: major numbers beyond 4,095 and minor numbers beyond 1,048,575 do not fit, and no
/// device of a mount can be opened.
fn device_number((major, minor): (u32, u32)) -> u32 {
    (minor & 0xff) | (major & 0xfff) << 8 | (minor & 0xf_ff00) << 12
}

/// As long as the kernel counts: 136 years.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);
/// No number of an inode is used again.
const GENERATION: Generation = Generation(0);
/// Positions of a listing before the children: of `.` and `..`.
const DOTS: u64 = 2;
/// What reads and lengths are rounded to.
const BLOCK_LEN: u32 = 4096;
const NAME_LEN_MAX: u32 = 255;
