//! Mode, owner and extended attributes of the file that is published.
//! Knows nothing of its contents.

use std::{
    ffi::{CStr, OsStr},
    fs::File,
    io,
    os::fd::OwnedFd,
};

use cofferdam_io::retried;
use contract::IfExists;
use rustix::{
    fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid, fchmod, fchown, fstat, openat, statat},
    io::Errno,
};

use super::{ACCESS_LIST, CopiedMetadata, mode_without_list};

/// Makes `staging` look like the file at `target` that it is about to replace, or says how a new one looks.
///
/// Where nothing may be replaced, nothing that stands at the name is a model: whoever may make files in the directory
/// could put one there for a moment, and would be given the owner and the mode of their choice.
pub(super) fn apply(
    directory: &OwnedFd,
    target: &OsStr,
    if_exists: IfExists,
    staging: &File,
) -> io::Result<CopiedMetadata> {
    let replaced = match if_exists {
        IfExists::Refuse => None,
        IfExists::Replace => Replaced::find(directory, target)?,
    };
    match replaced {
        // Asked again, of the file that is the model: another one may have come to the name since the attempt began.
        Some(replaced) if !may_be_replaced(&fstat(directory)?, &replaced.stat) => {
            let message = format!(
                "{}: belongs to another user in a shared directory, and is not replaced",
                target.to_string_lossy()
            );
            Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
        }
        Some(replaced) => replaced.apply(staging),
        None => Ok(CopiedMetadata::New { mode: (Mode::from_raw_mode(0o666) - umask()).as_raw_mode() }),
    }
}

/// Makes `staging` look like `model`, which the caller has open and has looked at.
pub(super) fn apply_of(model: &File, staging: &File) -> io::Result<CopiedMetadata> {
    Replaced { stat: fstat(model)?, file: Some(model.try_clone()?.into()) }.apply(staging)
}

/// Whether the file `target` in `directory` may be replaced, and be the model of what replaces it: in a sticky directory by
/// its owner or the directory's; where everyone may put files, only by its owner. Root or the directory's owner could as
/// well, and would be led to give the new file to whoever put the old one there.
pub(crate) fn may_be_replaced(directory: &Stat, target: &Stat) -> bool {
    let user = rustix::process::geteuid().as_raw();
    let mode = Mode::from_raw_mode(directory.st_mode);
    let ours = target.st_uid == user || directory.st_uid == user && !mode.contains(Mode::WOTH);
    ours || !mode.contains(Mode::SVTX)
}

/// The file that stands at the target's name.
struct Replaced {
    stat: Stat,
    /// None where this process may not read it.
    file: Option<OwnedFd>,
}

impl Replaced {
    fn find(directory: &OwnedFd, target: &OsStr) -> io::Result<Option<Self>> {
        let stat = match statat(directory, target, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if !FileType::from_raw_mode(stat.st_mode).is_file() {
            let message =
                format!("{}: is no longer a regular file and is not replaced", target.to_string_lossy());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match retried(|| openat(directory, target, flags, Mode::empty())) {
            Ok(file) => Ok(Some(Self { stat: fstat(&file)?, file: Some(file) })),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::ACCESS | Errno::PERM) => Ok(Some(Self { stat, file: None })),
            Err(error) => Err(error.into()),
        }
    }

    /// Owner first, because a change of owner clears mode bits; mode last, because an ACL sets some.
    fn apply(&self, staging: &File) -> io::Result<CopiedMetadata> {
        let group = self.give_owner(staging)?;
        let unset_list = match &self.file {
            Some(file) => copy_attributes(file, staging, group)?,
            None => None,
        };
        let mode = unset_list.map_or(self.stat.st_mode, |list| mode_without_list(self.stat.st_mode, &list));
        match fchmod(staging, without_lost_rights(Mode::from_raw_mode(mode), group)) {
            Ok(()) => Ok(CopiedMetadata::Taken),
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(CopiedMetadata::WithoutMode),
            Err(error) => Err(error.into()),
        }
    }

    fn give_owner(&self, staging: &File) -> io::Result<Group> {
        let ours = fstat(staging)?;
        let (uid, gid) = (self.stat.st_uid, self.stat.st_gid);
        // Each on its own: a user may give a file to a group of theirs, but not to another user.
        let group = ours.st_gid == gid || allowed(fchown(staging, None, Some(Gid::from_raw(gid))))?;
        if ours.st_uid != uid {
            allowed(fchown(staging, Some(Uid::from_raw(uid)), None))?;
        }
        Ok(if group { Group::Kept } else { Group::Lost })
    }
}

/// Whether the old file's group could be kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Group {
    Kept,
    Lost,
}

/// Rights that were meant for a group are not passed on to another one. The right to run as the owner or the group was
/// meant for the old contents, as write(2) sees it too.
fn without_lost_rights(mode: Mode, group: Group) -> Mode {
    let mut mode = mode - Mode::SUID - Mode::SGID;
    if group == Group::Lost {
        let others = Mode::from_raw_mode((mode & Mode::RWXO).as_raw_mode() << 3);
        mode -= Mode::RWXG - others;
    }
    mode
}

/// Gives the list of the old file's rights that the new one could not be given, or was not to be.
#[cfg(target_os = "linux")]
fn copy_attributes(from: &OwnedFd, to: &File, group: Group) -> io::Result<Option<Vec<u8>>> {
    use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr};

    // A new file has the list that its directory gives to all of them: the replaced one may have had another, or none.
    match fremovexattr(to, ACCESS_LIST) {
        Ok(()) | Err(Errno::NODATA | Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP) => {}
        Err(error) => return Err(error.into()),
    }
    let mut names = vec![0; ATTRIBUTE_LEN_MAX];
    let names_len = match flistxattr(from, &mut names[..]) {
        Ok(len) => len,
        Err(Errno::OPNOTSUPP) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut unset_list = None;
    let mut value = vec![0; ATTRIBUTE_LEN_MAX];
    for name in names[..names_len].split_inclusive(|byte| *byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
        if BOUND_TO_CONTENT.contains(&name) {
            continue;
        }
        let is_list = name.to_bytes() == ACCESS_LIST;
        let value_len = match fgetxattr(from, name, &mut value[..]) {
            Ok(len) => len,
            Err(Errno::NODATA | Errno::PERM | Errno::ACCESS) => continue,
            Err(error) => return Err(error.into()),
        };
        let value = &value[..value_len];
        if is_list && group == Group::Lost {
            unset_list = Some(value.to_vec());
            continue;
        }
        match fsetxattr(to, name, value, XattrFlags::empty()) {
            Ok(()) => {}
            Err(Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP) if is_list => {
                unset_list = Some(value.to_vec())
            }
            Err(Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(unset_list)
}

#[cfg(not(target_os = "linux"))]
fn copy_attributes(_from: &OwnedFd, _to: &File, _group: Group) -> io::Result<Option<Vec<u8>>> {
    Ok(None)
}

fn allowed(done: rustix::io::Result<()>) -> io::Result<bool> {
    match done {
        Ok(()) => Ok(true),
        Err(Errno::PERM | Errno::ACCESS | Errno::INVAL | Errno::OPNOTSUPP) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The process's umask. Read from the kernel's account of the process: asking umask(2) would change it for a
/// moment, for every thread. Where there is no such account, nobody but the owner gets anything.
fn umask() -> Mode {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let told = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    let mask = told.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok()).unwrap_or(UMASK_UNKNOWN);
    Mode::from_raw_mode(mask)
}

const UMASK_UNKNOWN: u32 = 0o077;

/// Linux's own maximum of a list of names, and of one value (XATTR_LIST_MAX, XATTR_SIZE_MAX in linux/limits.h).
#[cfg(target_os = "linux")]
const ATTRIBUTE_LEN_MAX: usize = 65_536;

/// Rights and signatures that speak of the old bytes: the kernel drops them at a write as well.
#[cfg(target_os = "linux")]
const BOUND_TO_CONTENT: [&CStr; 3] = [c"security.capability", c"security.ima", c"security.evm"];

/// Whether a file system does not change modes, or not for this process.
pub fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_meant_for_others_or_for_the_old_contents_are_not_passed_on() {
        let cases = [
            // mode, group, expected
            (0o6755, Group::Kept, 0o0755),
            (0o6755, Group::Lost, 0o0755),
            (0o1644, Group::Kept, 0o1644),
            (0o0660, Group::Lost, 0o0600),
            (0o0664, Group::Lost, 0o0644),
            (0o0640, Group::Lost, 0o0600),
            (0o0606, Group::Lost, 0o0606),
        ];
        for (mode, group, expected) in cases {
            let found = without_lost_rights(Mode::from_raw_mode(mode), group);
            assert_eq!(found.as_raw_mode(), expected, "{mode:o} {group:?}");
        }
    }
}
