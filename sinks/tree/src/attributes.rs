//! What a file is given of what its header says: owner, extended attributes, time, mode, in this order.
//! Knows no tree.

use std::{
    collections::HashMap,
    ffi::OsStr,
    io,
    os::{
        fd::{AsFd, AsRawFd},
        unix::ffi::OsStrExt,
    },
};

use nix::{
    sys::stat::{FchmodatFlags, Mode, fchmodat},
    unistd::{Group, User},
};
use rustix::{
    fs::{
        AtFlags, Gid, StatxFlags, Timespec, Timestamps, Uid, XattrFlags, chownat, lsetxattr, statx, utimensat,
    },
    io::Errno,
    process::{getegid, geteuid},
};
use tree::{EntryKind, Member};

use crate::options::{DeviceFiles, Owners, SetIdBits, TreeOptions};

/// What could not be set, or was not to be: counts of files.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct LeftOut {
    /// Owners that this process may not give.
    pub owners: u64,
    /// Extended attributes that this process may not set, or this file system does not have.
    pub xattrs: u64,
    /// Files whose set-id bits or capabilities were left out.
    pub set_id_bits: u64,
    /// Device files that were not made.
    pub devices: u64,
    /// Times that this file system cannot hold: it has the nearest one that it can.
    pub times: u64,
}

impl LeftOut {
    pub(crate) fn add(&mut self, other: &LeftOut) {
        self.owners += other.owners;
        self.xattrs += other.xattrs;
        self.set_id_bits += other.set_id_bits;
        self.devices += other.devices;
        self.times += other.times;
    }
}

/// Sets attributes, and remembers the numbers of owners.
pub(crate) struct Attributes<'a> {
    options: &'a TreeOptions,
    is_root: bool,
    users: HashMap<Vec<u8>, Option<u32>>,
    groups: HashMap<Vec<u8>, Option<u32>>,
    left_out: LeftOut,
}

impl<'a> Attributes<'a> {
    pub(crate) fn new(options: &'a TreeOptions) -> Attributes<'a> {
        Attributes {
            options,
            is_root: geteuid().is_root(),
            users: HashMap::new(),
            groups: HashMap::new(),
            left_out: LeftOut::default(),
        }
    }

    pub(crate) fn left_out(&self) -> LeftOut {
        self.left_out
    }

    /// Whether the member was not made at all.
    pub(crate) fn leaves_out(&self, member: &Member) -> bool {
        matches!(member.kind, EntryKind::CharDevice | EntryKind::BlockDevice)
            && self.options.device_files == DeviceFiles::LeaveOut
    }

    /// Sets those of what is called `name` in `directory`.
    pub(crate) fn set(&mut self, directory: &impl AsFd, name: &OsStr, member: &Member) -> io::Result<()> {
        if self.is_root && self.options.owners != Owners::Ours {
            let (uid, gid) = self.owner(member);
            let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
            match chownat(directory, name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::PERM | Errno::INVAL | Errno::NOTSUP) => self.left_out.owners += 1,
                given => given?,
            }
        } else if self.options.owners != Owners::Ours && !self.is_ours(member) {
            self.left_out.owners += 1;
        }
        self.set_xattrs(directory, name, member)?;
        let modified = Timespec { tv_sec: member.modified.seconds, tv_nsec: member.modified.nanos.into() };
        let times = Timestamps { last_access: modified, last_modification: modified };
        utimensat(directory, name, &times, AtFlags::SYMLINK_NOFOLLOW)?;
        if !HELD_EVERYWHERE.contains(&modified.tv_sec) {
            let there = statx(directory, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::MTIME)?;
            self.left_out.times += u64::from(there.stx_mtime.tv_sec != modified.tv_sec);
        }
        // Last: a directory may then no longer be searched by its owner, and not even its own `.` be found.
        match member.kind {
            EntryKind::Symlink => Ok(()),
            _ => change_mode(directory, name, self.mode(member)),
        }
    }

    fn is_ours(&self, member: &Member) -> bool {
        (member.uid, member.gid) == (geteuid().as_raw(), getegid().as_raw())
    }

    fn set_xattrs(&mut self, directory: &impl AsFd, name: &OsStr, member: &Member) -> io::Result<()> {
        if member.xattrs.is_empty() {
            return Ok(());
        }
        let place = format!("/proc/self/fd/{}/", directory.as_fd().as_raw_fd());
        let place = [place.as_bytes(), name.as_bytes()].concat();
        for xattr in &member.xattrs {
            if xattr.name == CAPABILITIES && self.options.set_id_bits == SetIdBits::LeaveOut {
                self.left_out.set_id_bits += 1;
                continue;
            }
            match lsetxattr(&*place, &*xattr.name, &xattr.value, XattrFlags::empty()) {
                Err(
                    Errno::PERM | Errno::NOTSUP | Errno::INVAL | Errno::RANGE | Errno::NOSPC | Errno::TOOBIG,
                ) => {
                    self.left_out.xattrs += 1;
                }
                set => set?,
            }
        }
        Ok(())
    }

    fn mode(&mut self, member: &Member) -> u32 {
        let is_set_id = member.kind != EntryKind::Directory && member.mode & SET_ID_BITS != 0;
        if is_set_id && self.options.set_id_bits == SetIdBits::LeaveOut {
            self.left_out.set_id_bits += 1;
            return member.mode & !SET_ID_BITS;
        }
        member.mode
    }

    fn owner(&mut self, member: &Member) -> (u32, u32) {
        if self.options.owners == Owners::ByNumber {
            return (member.uid, member.gid);
        }
        let look_up =
            |names: &mut HashMap<Vec<u8>, Option<u32>>, name: &[u8], find: fn(&str) -> Option<u32>| {
                if name.is_empty() {
                    return None;
                }
                let number = || std::str::from_utf8(name).ok().and_then(find);
                *names.entry(name.to_vec()).or_insert_with(number)
            };
        let find_user = |name: &str| User::from_name(name).ok().flatten().map(|user| user.uid.as_raw());
        let find_group = |name: &str| Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw());
        let uid = look_up(&mut self.users, &member.user, find_user);
        let gid = look_up(&mut self.groups, &member.group, find_group);
        (uid.unwrap_or(member.uid), gid.unwrap_or(member.gid))
    }
}

/// Changes the mode of what is called `name`, and of nothing that a symbolic link of that name leads to.
pub(crate) fn change_mode(directory: &impl AsFd, name: &OsStr, mode: u32) -> io::Result<()> {
    Ok(fchmodat(directory, name, Mode::from_bits_truncate(mode), FchmodatFlags::NoFollowSymlink)?)
}

/// capabilities(7): they let a file run with more rights than whoever runs it has, as set-id bits do.
const CAPABILITIES: &[u8] = b"security.capability";
/// Seconds since 1970 of times that all file systems hold, those that count in 32 bits too.
const HELD_EVERYWHERE: std::ops::Range<i64> = 0..1 << 31;
const SET_ID_BITS: u32 = 0o6000;
