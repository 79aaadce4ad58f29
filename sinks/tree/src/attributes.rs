//! What a file is given of what its header says: owner, extended attributes, time, mode, in this order.
//! Knows no tree.

use std::{
    ffi::OsStr,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use cofferdam_io::{proc_error, proc_path};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};
use rustix::{
    fs::{
        AtFlags, FileType, Gid, OFlags, Stat, StatxFlags, Timespec, Timestamps, Uid, XattrFlags, chownat,
        fchmod, fchown, fsetxattr, fstat, futimens, lsetxattr, openat, statat, statx, utimensat,
    },
    io::Errno,
    process::{getegid, geteuid},
};
use storage::{ACCESS_LIST, mode_without_list};
use tree::{EntryKind, Member};

use crate::{
    file_sync::FileSync,
    options::{Owners, SetIdBits, TreeOptions},
    owner_numbers::{LookedUp, OwnerNumbers},
};

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
    /// Files whose mode gives group or others less than was sealed: they are not of the group that it was meant for, or have not the ACL that it was a part
    /// of.
    pub group_rights: u64,
}

impl LeftOut {
    pub(crate) fn add(&mut self, other: &LeftOut) {
        self.owners += other.owners;
        self.xattrs += other.xattrs;
        self.set_id_bits += other.set_id_bits;
        self.devices += other.devices;
        self.times += other.times;
        self.group_rights += other.group_rights;
    }
}

/// Sets attributes, after which a file is as it is to be, and counts what it leaves out.
pub(crate) struct Attributes<'a> {
    options: &'a TreeOptions,
    numbers: &'a OwnerNumbers,
    file_sync: FileSync,
    is_root: bool,
    left_out: LeftOut,
}

impl<'a> Attributes<'a> {
    pub(crate) fn new(
        options: &'a TreeOptions,
        numbers: &'a OwnerNumbers,
        file_sync: FileSync,
    ) -> Attributes<'a> {
        Attributes { options, numbers, file_sync, is_root: geteuid().is_root(), left_out: LeftOut::default() }
    }

    pub(crate) fn left_out(&self) -> LeftOut {
        self.left_out
    }

    /// Sets those of what is called `name` in `directory`, and makes it durable where the file system is not synced at once.
    pub(crate) fn set(&mut self, directory: &impl AsFd, name: &OsStr, member: &Member) -> io::Result<()> {
        let subject = Subject::new(directory.as_fd(), name, member.kind)?;
        let opened = match &subject {
            Subject::File(..) => None,
            Subject::Name(..) => self.file_sync.open(directory, name, member.kind)?,
        };
        let ownership = self.set_owner(&subject, member)?;
        let lacks = self.set_xattrs(&subject, member, ownership)?;
        let given = self.mode(member, ownership);
        self.left_out.set_id_bits += u64::from(lacks.capabilities || given != member.mode);
        let mode = without_lost_rights(given, ownership, lacks.access_list);
        self.left_out.group_rights += u64::from(mode != given);
        let modified = Timespec { tv_sec: member.modified.seconds, tv_nsec: member.modified.nanos.into() };
        subject.set_times(&Timestamps { last_access: modified, last_modification: modified })?;
        if !HELD_EVERYWHERE.contains(&modified.tv_sec) {
            let there = statx(directory, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::MTIME)?;
            self.left_out.times += u64::from(there.stx_mtime.tv_sec != modified.tv_sec);
        }
        // Last: a directory may then no longer be searched by its owner, and not even its own `.` be found.
        if member.kind != EntryKind::Symlink {
            subject.change_mode(mode)?;
        }
        match &subject {
            Subject::File(file, _) => self.file_sync.sync(Some(file)),
            Subject::Name(..) => self.file_sync.sync(opened.as_ref()),
        }
    }

    fn set_owner(&mut self, subject: &Subject<'_>, member: &Member) -> io::Result<Ownership> {
        if self.options.owners == Owners::Ours {
            return Ok(Ownership::default());
        }
        let group = self.group(member);
        if !self.is_root {
            let has_lost_group = subject.is_of_other_group(group.ok())?;
            self.left_out.owners += u64::from(has_lost_group || !self.is_ours(member));
            return Ok(Ownership { has_lost_group, ..Ownership::default() });
        }
        let owner = self.user(member);
        let is_unknown = owner.is_err() || group.is_err();
        // Where nobody can say who has that name, nobody else gets the file for its number.
        let is_refused = match subject.change_owner(owner.ok(), group.ok()) {
            Err(Errno::PERM | Errno::INVAL | Errno::NOTSUP) => true,
            given => given.map(|()| false)?,
        };
        if !is_refused && !is_unknown {
            return Ok(Ownership::default());
        }
        self.left_out.owners += 1;
        Ok(Ownership { is_still_roots: true, has_lost_group: subject.is_of_other_group(group.ok())? })
    }

    fn is_ours(&self, member: &Member) -> bool {
        (member.uid, member.gid) == (geteuid().as_raw(), getegid().as_raw())
    }

    fn set_xattrs<'m>(
        &mut self,
        subject: &Subject<'_>,
        member: &'m Member,
        ownership: Ownership,
    ) -> io::Result<Lacks<'m>> {
        let (mut lacks, mut lacks_others) = (Lacks::default(), false);
        for xattr in &member.xattrs {
            let is_access_list = &*xattr.name == ACCESS_LIST;
            if xattr.name == CAPABILITIES && self.options.set_id_bits == SetIdBits::LeaveOut {
                lacks.capabilities = true;
                continue;
            }
            if OF_THE_SYSTEM.contains(&&*xattr.name) {
                continue;
            }
            // What it gives the file's group was meant for another one.
            if is_access_list && ownership.has_lost_group {
                lacks.access_list = Some(&xattr.value);
                lacks_others = true;
                continue;
            }
            match subject.set_xattr(&xattr.name, &xattr.value) {
                // Who makes room has it: what a file lacks of its rights for long is nothing that passes.
                Err(Errno::NOSPC) if is_access_list || &*xattr.name == DEFAULT_LIST => {
                    return Err(Errno::NOSPC.into());
                }
                // EACCES is SELinux's word for it.
                Err(
                    Errno::PERM
                    | Errno::ACCESS
                    | Errno::NODATA
                    | Errno::NOTSUP
                    | Errno::INVAL
                    | Errno::RANGE
                    | Errno::NOSPC
                    | Errno::TOOBIG,
                ) => {
                    lacks_others = true;
                    if is_access_list {
                        lacks.access_list = Some(&xattr.value);
                    }
                }
                set => set.map_err(proc_error)?,
            }
        }
        self.left_out.xattrs += u64::from(lacks_others);
        Ok(lacks)
    }

    fn mode(&self, member: &Member, ownership: Ownership) -> u32 {
        // A program that was to run as somebody is not to run as root.
        let is_left_out = self.options.set_id_bits == SetIdBits::LeaveOut || ownership.is_still_roots;
        match member.kind {
            EntryKind::Directory => member.mode,
            _ if is_left_out => member.mode & !SET_ID_BITS,
            _ => member.mode,
        }
    }

    /// The user's number.
    fn user(&self, member: &Member) -> Result<u32, nix::Error> {
        self.number(member.uid, || self.numbers.user(&member.user))
    }

    /// The group's.
    fn group(&self, member: &Member) -> Result<u32, nix::Error> {
        self.number(member.gid, || self.numbers.group(&member.group))
    }

    fn number(&self, sealed: u32, look_up: impl FnOnce() -> LookedUp) -> Result<u32, nix::Error> {
        match self.options.owners {
            Owners::ByNumber => Ok(sealed),
            Owners::ByName | Owners::Ours => Ok(look_up()?.unwrap_or(sealed)),
        }
    }
}

/// What a file did not get of its extended attributes, as far as that has a part in its mode.
#[derive(Default)]
struct Lacks<'m> {
    capabilities: bool,
    access_list: Option<&'m [u8]>,
}

/// Rights that were meant for a group are not passed on to another one, as where a file is replaced; nor those of an ACL's mask to the file's group.
fn without_lost_rights(mode: u32, ownership: Ownership, access_list: Option<&[u8]>) -> u32 {
    let mode = access_list.map_or(mode, |list| mode_without_list(mode, list));
    match ownership.has_lost_group {
        true => mode & (!0o070 | (mode & 0o007) << 3),
        false => mode,
    }
}

/// What attributes are set of.
enum Subject<'a> {
    /// A regular file and what it has: its descriptor spares the system the way to it, and a way through /proc for its mode.
    File(OwnedFd, Stat),
    Name(BorrowedFd<'a>, &'a OsStr),
}

impl<'a> Subject<'a> {
    fn new(directory: BorrowedFd<'a>, name: &'a OsStr, kind: EntryKind) -> io::Result<Subject<'a>> {
        if kind != EntryKind::File {
            return Ok(Subject::Name(directory, name));
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(directory, name, flags, rustix::fs::Mode::empty()) {
            // It has its mode already, from an attempt that was cut off.
            Err(Errno::ACCESS) => return Ok(Subject::Name(directory, name)),
            file => file?,
        };
        let found = fstat(&file)?;
        match FileType::from_raw_mode(found.st_mode) {
            FileType::RegularFile => Ok(Subject::File(file, found)),
            _ => Err(io::Error::other("this is no regular file any more")),
        }
    }

    fn change_owner(&self, owner: Option<u32>, group: Option<u32>) -> Result<(), Errno> {
        let (uid, gid) = (owner.map(Uid::from_raw), group.map(Gid::from_raw));
        match self {
            Subject::File(_, found) if owner == Some(found.st_uid) && group == Some(found.st_gid) => Ok(()),
            Subject::File(file, _) => fchown(file, uid, gid),
            Subject::Name(directory, name) => chownat(directory, *name, uid, gid, AtFlags::SYMLINK_NOFOLLOW),
        }
    }

    /// Of what has been given no other group, whether it is of another one than `wanted`.
    fn is_of_other_group(&self, wanted: Option<u32>) -> Result<bool, Errno> {
        let group = match self {
            Subject::File(_, found) => found.st_gid,
            Subject::Name(directory, name) => statat(directory, *name, AtFlags::SYMLINK_NOFOLLOW)?.st_gid,
        };
        Ok(wanted != Some(group))
    }

    fn set_xattr(&self, name: &[u8], value: &[u8]) -> Result<(), Errno> {
        match self {
            Subject::File(file, _) => fsetxattr(file, name, value, XattrFlags::empty()),
            Subject::Name(directory, of) => {
                lsetxattr(&*proc_path(directory, of), name, value, XattrFlags::empty())
            }
        }
    }

    fn set_times(&self, times: &Timestamps) -> Result<(), Errno> {
        match self {
            Subject::File(file, _) => futimens(file, times),
            Subject::Name(directory, name) => utimensat(directory, *name, times, AtFlags::SYMLINK_NOFOLLOW),
        }
    }

    fn change_mode(&self, mode: u32) -> io::Result<()> {
        match self {
            Subject::File(file, _) => Ok(fchmod(file, rustix::fs::Mode::from_raw_mode(mode))?),
            Subject::Name(directory, name) => change_mode(directory, name, mode),
        }
    }
}

/// Whose a file is by now.
#[derive(Clone, Copy, Default)]
struct Ownership {
    /// Root's, who could not give it away.
    is_still_roots: bool,
    /// It is not of the group that it was to get.
    has_lost_group: bool,
}

/// Changes the mode of what is called `name`, and of nothing that a symbolic link of that name leads to.
pub(crate) fn change_mode(directory: &impl AsFd, name: &OsStr, mode: u32) -> io::Result<()> {
    Ok(fchmodat(directory, name, Mode::from_bits_truncate(mode), FchmodatFlags::NoFollowSymlink)?)
}

/// capabilities(7): they let a file run with more rights than whoever runs it has, as set-id bits do.
const CAPABILITIES: &[u8] = b"security.capability";
/// What a directory's new files get for a list of their own. It has no part in the directory's own rights.
const DEFAULT_LIST: &[u8] = b"system.posix_acl_default";
/// Seconds since 1970 of times that all file systems hold, those that count in 32 bits too.
const HELD_EVERYWHERE: std::ops::Range<i64> = 0..1 << 31;
/// What the security modules of a system give each file themselves, by its own rules and keys.
const OF_THE_SYSTEM: [&[u8]; 3] = [b"security.selinux", b"security.ima", b"security.evm"];
const SET_ID_BITS: u32 = 0o6000;
