//! Bytes of a tree that somebody else has written to a file of the same file system: they become the tree's without being read.
//! Knows nothing of what they should be.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    ops::Range,
    os::{fd::AsFd, unix::ffi::OsStrExt},
    sync::atomic::Ordering,
};

use cofferdam_io::{descriptor_path, retried};
use rustix::{
    fs::{AtFlags, CWD, copy_file_range, flistxattr, fstatfs, linkat},
    io::Errno,
    process::{getegid, geteuid},
};
use tree::{Place, TreePath};

use crate::{
    directory_id::Found,
    sink::TreeSink,
    staging::{Aim, Staging},
};

/// What has become of bytes that somebody else has written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// Nothing: they are to be written.
    No,
    /// The tree has its own, by the file system's means.
    Shared,
    /// The file itself is the tree's, and has two names until the first one is removed.
    Linked,
}

/// Bytes that somebody else has written.
pub struct WrittenFile<'a> {
    /// What they are in.
    pub file: &'a File,
    /// Where in it they begin.
    pub from: u64,
    /// Whether they are still what they should be: asked after they are shared, and before the file itself gets another name.
    pub is_unchanged: &'a dyn Fn() -> bool,
}

impl TreeSink {
    /// Takes what `written` has as the bytes `range` of the plaintext, if they are all of one file: shared where the file system shares, and else the
    /// file itself, if it has no more than the whole of a member. Nobody may write to that any more, and its first name is to be removed
    /// [before the tree gets its own](Self::before_rename).
    ///
    /// # Errors
    /// The medium's own, after which nothing more is written.
    pub fn take_file(&self, range: Range<u64>, written: &WrittenFile<'_>) -> io::Result<Taken> {
        self.staging.take(range, written).inspect_err(|error| self.staging.written.lock().fail_for(error))
    }
}

impl Staging {
    fn take(&self, range: Range<u64>, written: &WrittenFile<'_>) -> io::Result<Taken> {
        let len = range.end - range.start;
        let mut taken = Taken::No;
        self.layout.for_each_piece(range.clone(), &mut |piece| {
            if let Place::File { number, entry, offset } = piece.place
                && piece.len == len
                && self.aim == Aim::Write
            {
                let is_whole = (offset, written.from, entry.size) == (0, 0, len);
                if shares(&self.root) {
                    let file = self.file(number, entry)?;
                    if self.share(&file, offset, len, written) {
                        taken = Taken::Shared;
                    }
                } else if is_whole && self.link(number, &entry.path, len, written)? {
                    taken = Taken::Linked;
                }
            }
            Ok(())
        })?;
        if taken != Taken::No {
            let count = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
            self.written.lock().claim(range.start, count)?;
        }
        Ok(taken)
    }

    /// False: something else may be there now.
    fn share(&self, file: &File, at: u64, len: u64, written: &WrittenFile<'_>) -> bool {
        let is_shared = share(written.file, written.from, file, at, len).is_ok() && (written.is_unchanged)();
        if !is_shared {
            // Zeros, too, are to be written over that.
            self.is_overwriting.store(true, Ordering::Relaxed);
        }
        is_shared
    }

    fn link(&self, number: u64, path: &TreePath, len: u64, written: &WrittenFile<'_>) -> io::Result<bool> {
        if self.is_kept(number) || !is_as_made_here(written.file, len)? || !(written.is_unchanged)() {
            return Ok(false);
        }
        let Some(parent) = path.parent() else { return Ok(false) };
        let name = OsStr::from_bytes(path.name());
        let from = descriptor_path(written.file);
        let link = || linkat(CWD, &*from, &self.root.directory_at(&parent)?, name, AtFlags::SYMLINK_FOLLOW);
        let linked = match link() {
            Err(Errno::NOENT) => {
                self.make_parents(path)?;
                link()
            }
            linked => linked,
        };
        match linked {
            Ok(()) => {
                self.note_linked(number);
                Ok(true)
            }
            // Whatever keeps it from that, its bytes can be written, or that says what is wrong.
            Err(_) => Ok(false),
        }
    }
}

/// Whether files of a directory's file system may share bytes.
fn shares(directory: &impl AsFd) -> bool {
    fstatfs(directory).is_ok_and(|found| SHARING.contains(&found.f_type))
}

/// Has `to` share the bytes of `from`, or the system copy what is no whole block. Both begin at the same byte of one.
fn share(from: &File, mut from_at: u64, to: &File, mut at: u64, len: u64) -> io::Result<()> {
    let end = from_at + len;
    // By itself: a call that does not begin with a block copies all.
    let head = from_at.next_multiple_of(BLOCK_LEN_MAX).min(end);
    for stop in [head, end] {
        while from_at < stop {
            let count = usize::try_from(stop - from_at).unwrap_or(usize::MAX).min(SHARED_LEN_MAX);
            let mut offsets = (from_at, at);
            let taken = retried(|| {
                offsets = (from_at, at);
                copy_file_range(from, Some(&mut offsets.0), to, Some(&mut offsets.1), count)
            })?;
            if taken == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            (from_at, at) = (from_at + taken as u64, at + taken as u64);
        }
    }
    Ok(())
}

/// Whether a file is as one would be that is made here: this user's alone, with one name and no attributes.
fn is_as_made_here(file: &File, len: u64) -> io::Result<bool> {
    let found = Found::of(file)?;
    let is_plain = found.is_file() && found.links == 1 && found.len == len;
    let is_ours = found.owner == (geteuid().as_raw(), getegid().as_raw()) && found.mode & 0o7177 == 0;
    if !is_plain || !is_ours {
        return Ok(false);
    }
    let mut names = [0; XATTR_NAMES_LEN];
    Ok(match flistxattr(file, &mut names[..]) {
        // The system itself labels each file so.
        Ok(len) => names[..len].split(|byte| *byte == 0).all(|name| name.is_empty() || name == LABEL),
        Err(Errno::NOTSUP) => true,
        Err(_) => false,
    })
}

/// Magic numbers of XFS and btrfs, and of NFS, whose server may, from linux/magic.h.
const SHARING: [i64; 3] = [0x5846_5342, 0x9123_683E, 0x6969];
/// Blocks of file systems are no longer.
const BLOCK_LEN_MAX: u64 = 64 << 10;
/// What is shared in one call: a copy that a signal is to stop takes no longer.
const SHARED_LEN_MAX: usize = 128 << 20;
/// Room for the names of attributes that a new file has.
const XATTR_NAMES_LEN: usize = 256;
const LABEL: &[u8] = b"security.selinux";
