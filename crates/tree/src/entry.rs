//! What a catalog says of a member, and the parts that a header has as well.
//! Knows neither bytes of headers nor of pages.

use crate::{TreePath, limits::BLOCK_LEN};

/// One member of a tree, as its catalog has it (TREE §3).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Where it is.
    pub path: TreePath,
    /// What it is.
    pub kind: EntryKind,
    /// Bytes of its header in the archive.
    pub header_len: u64,
    /// Bytes of its data; 0 but for files.
    pub size: u64,
    /// Permission bits, with set-id and sticky bits.
    pub mode: u32,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// When its contents last changed.
    pub modified: Timestamp,
    /// Whether the file changed while it was read: its bytes may be of several moments.
    pub changed: bool,
    /// Whether the file was gone when it was read, and zeros stand for it, or for the rest of it; then it has changed as well.
    pub gone: bool,
    /// Of a hard link the path, of a symbolic link the target; empty for others.
    pub link: Vec<u8>,
}

impl Entry {
    /// Bytes of the archive that it takes: header, data, padding. None where they are beyond all numbers.
    pub fn archive_len(&self) -> Option<u64> {
        self.header_len.checked_add(padded(self.size)?)
    }
}

/// What a member is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// Another name of an earlier member.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A directory.
    Directory,
    /// A FIFO.
    Fifo,
}

impl EntryKind {
    /// The character that stands for it in archives.
    pub fn typeflag(self) -> u8 {
        match self {
            EntryKind::File => b'0',
            EntryKind::HardLink => b'1',
            EntryKind::Symlink => b'2',
            EntryKind::CharDevice => b'3',
            EntryKind::BlockDevice => b'4',
            EntryKind::Directory => b'5',
            EntryKind::Fifo => b'6',
        }
    }

    /// What a character of archives stands for, where the strict profile has it.
    pub fn of_typeflag(flag: u8) -> Option<EntryKind> {
        Some(match flag {
            b'0' => EntryKind::File,
            b'1' => EntryKind::HardLink,
            b'2' => EntryKind::Symlink,
            b'3' => EntryKind::CharDevice,
            b'4' => EntryKind::BlockDevice,
            b'5' => EntryKind::Directory,
            b'6' => EntryKind::Fifo,
            _ => return None,
        })
    }

    /// Whether it leads somewhere else: a hard or a symbolic link.
    pub fn is_link(self) -> bool {
        matches!(self, EntryKind::HardLink | EntryKind::Symlink)
    }
}

/// An extended attribute.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Xattr {
    /// Its name with its namespace, `user.checksum`.
    pub name: Vec<u8>,
    /// Any bytes.
    pub value: Vec<u8>,
}

/// A time, since 1970 in UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Timestamp {
    /// Seconds, below 0 before 1970.
    pub seconds: i64,
    /// Nanoseconds of the second, below 1,000,000,000.
    pub nanos: u32,
}

/// The length in bytes with the padding behind it, if that is a number.
pub(crate) fn padded(len: u64) -> Option<u64> {
    len.checked_next_multiple_of(BLOCK_LEN as u64)
}

/// A member's header, all of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Where it is.
    pub path: TreePath,
    /// What it is.
    pub kind: EntryKind,
    /// Bytes of its data; 0 but for files.
    pub size: u64,
    /// Permission bits, with set-id and sticky bits.
    pub mode: u32,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// The owner's name; empty where there is none.
    pub user: Vec<u8>,
    /// The group's name; empty where there is none.
    pub group: Vec<u8>,
    /// When its contents last changed.
    pub modified: Timestamp,
    /// Of a hard link the path, of a symbolic link the target; empty for others.
    pub link: Vec<u8>,
    /// Major and minor number of a device; 0 for others.
    pub device: (u32, u32),
    /// Extended attributes, ACLs among them, by name.
    pub xattrs: Vec<Xattr>,
}

impl Member {
    /// A member without owner, time and attributes.
    pub fn new(path: TreePath, kind: EntryKind, mode: u32) -> Member {
        Member {
            path,
            kind,
            size: 0,
            mode,
            uid: 0,
            gid: 0,
            user: Vec::new(),
            group: Vec::new(),
            modified: Timestamp::default(),
            link: Vec::new(),
            device: (0, 0),
            xattrs: Vec::new(),
        }
    }

    /// What the catalog says of it, whose header has `header_len` bytes.
    pub fn to_entry(&self, header_len: u64) -> Entry {
        Entry {
            path: self.path.clone(),
            kind: self.kind,
            header_len,
            size: self.size,
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
            modified: self.modified,
            changed: false,
            gone: false,
            link: self.link.clone(),
        }
    }
}
