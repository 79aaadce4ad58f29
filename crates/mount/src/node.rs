//! What programs see of a file, a directory, a link.
//! Knows neither where it is stored nor the kernel's own records.

use std::time::{Duration, SystemTime};

use tree::{Entry, EntryKind, Timestamp};

use crate::Owners;
use crate::inode::Inode;

/// One inode's attributes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Node {
    pub(crate) inode: Inode,
    pub(crate) kind: EntryKind,
    /// Bytes of contents; of a symbolic link those of its target.
    pub(crate) size: u64,
    pub(crate) mode: u32,
    pub(crate) user: u32,
    pub(crate) group: u32,
    pub(crate) modified: Timestamp,
    /// Names; always 1 of a directory, which means that nothing is said of it.
    pub(crate) links: u32,
    /// Major and minor number of a device.
    pub(crate) device: (u32, u32),
}

/// What a directory has in it.
#[derive(Clone, Debug)]
pub(crate) struct Child {
    pub(crate) name: Vec<u8>,
    pub(crate) node: Node,
    /// Where a listing goes on behind it.
    pub(crate) next: u64,
}

/// Where the contents of a file are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Extent {
    /// Where in the source they begin.
    pub(crate) at: u64,
    pub(crate) len: u64,
    /// The file's path, for people.
    pub(crate) name: String,
}

impl Node {
    /// Of a member. A device's numbers are in its header, and so not here.
    pub(crate) fn of_entry(inode: Inode, entry: &Entry, owners: Owners, links: u32) -> Node {
        let (user, group) = owners.of((entry.uid, entry.gid));
        let size = if entry.kind == EntryKind::Symlink { entry.link.len() as u64 } else { entry.size };
        Node {
            inode,
            kind: entry.kind,
            size,
            mode: entry.mode,
            user,
            group,
            modified: entry.modified,
            links,
            device: (0, 0),
        }
    }

    /// Of a directory without a member: as a restore makes it (TREE T2.2), of no time.
    pub(crate) fn implied(inode: Inode, mounter: (u32, u32)) -> Node {
        let (user, group) = mounter;
        Node {
            inode,
            kind: EntryKind::Directory,
            size: 0,
            mode: IMPLIED_MODE,
            user,
            group,
            modified: Timestamp::default(),
            links: 1,
            device: (0, 0),
        }
    }

    /// When its contents changed last, as near to it as the system's clock can say.
    pub(crate) fn modified(&self) -> SystemTime {
        let Timestamp { seconds, nanos } = self.modified;
        let whole = Duration::from_secs(seconds.unsigned_abs());
        let second = match seconds < 0 {
            true => SystemTime::UNIX_EPOCH.checked_sub(whole),
            false => SystemTime::UNIX_EPOCH.checked_add(whole),
        };
        let time = second.and_then(|second| second.checked_add(Duration::from_nanos(u64::from(nanos))));
        time.unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

impl Owners {
    /// Whose it is that was sealed as of this user and group.
    fn of(self, sealed: (u32, u32)) -> (u32, u32) {
        match self {
            Owners::AsSealed => sealed,
            Owners::All { user, group } => (user, group),
        }
    }
}

/// Of directories that no member says anything of.
const IMPLIED_MODE: u32 = 0o755;
