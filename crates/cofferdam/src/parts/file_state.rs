//! What a file system says of an attempt's file that nobody writes to any more: whether it is still the same one, down to its bytes.
//! It reads none of them.

use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use ::parts::{FileState, FileStates};

use super::attempts::AttemptsDir;

/// What is said of an open file now; `None` where the file system is none of those whose word is taken.
#[cfg(target_os = "linux")]
pub(super) fn state_of(file: impl AsFd) -> Option<FileState> {
    use rustix::fs::{AtFlags, StatxFlags, fstatfs, statx};

    if !TRUSTED.contains(&fstatfs(&file).ok()?.f_type) {
        return None;
    }
    // Of a server it is the server's word, and not that of a cache.
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC;
    let asked = StatxFlags::INO | StatxFlags::SIZE | StatxFlags::CTIME;
    let told = statx(&file, c"", flags, asked).ok()?;
    if !StatxFlags::from_bits_retain(told.stx_mask).contains(asked) {
        return None;
    }
    let seconds = u64::try_from(told.stx_ctime.tv_sec).ok()?;
    let changed = seconds.checked_mul(NANOS)?.checked_add(told.stx_ctime.tv_nsec.into())?;
    Some(FileState { inode: told.stx_ino, len: told.stx_size, changed })
}

#[cfg(not(target_os = "linux"))]
pub(super) fn state_of(_file: impl AsFd) -> Option<FileState> {
    None
}

/// What is said of the files of an attempt that has closed them, the part's own last, once the clock by which the file system stamps files is past their last change.
/// Whatever is changed after this returns has a later time then. `None` where that clock is too coarse to wait for, or anything fails: it can be done without.
pub(super) fn closed(
    own: impl Fn() -> Option<FileState>,
    members: impl Fn() -> Option<Vec<FileState>>,
    attempts: &AttemptsDir,
) -> Option<FileStates> {
    for _ in 0..LOOKS_MAX {
        // In this order: what was changed before is seen, and what is changed later is stamped by this time at least.
        let now = attempts.file_system_time()?;
        let own = own()?;
        if own.changed < now {
            let members = members()?;
            let are_older = members.iter().all(|member| member.changed < now);
            return are_older.then_some(FileStates { own, members });
        }
        thread::sleep(TICK);
    }
    None
}

/// Magic numbers from linux/magic.h. They keep the number of a file as long as it is there, and stamp each change with a clock of the kernel's or the
/// server's own, which no call sets: ext2 to ext4, XFS, btrfs, tmpfs, and NFS. What FUSE and SMB say is some program's word, or another system's.
#[cfg(target_os = "linux")]
const TRUSTED: [rustix::fs::FsWord; 5] = [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994, 0x6969];
#[cfg(target_os = "linux")]
const NANOS: u64 = 1_000_000_000;
/// The clock goes on once in this time, or less often.
const TICK: Duration = Duration::from_millis(1);
/// A clock that goes on ten times a second is waited for, and one that does it once is not.
const LOOKS_MAX: u32 = 100;
