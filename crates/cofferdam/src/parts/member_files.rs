//! Files of an attempt beside that of its part: one for what the part has of each large file of a tree. Whoever commits can give them to the tree as they
//! are.
//! It knows no tree; which bytes are whose the layout says.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, Ordering};

use ::parts::{AttemptName, PartLayout};
use rustix::fs::{Mode, OFlags, fchmod, openat, syncfs};

use super::attempts::member_name;

/// They are opened for each write: one part may have more of them than a process may have open.
pub(super) struct MemberFiles {
    layout: PartLayout,
    part: u64,
    attempt: AttemptName,
    /// The directory of attempts.
    directory: OwnedFd,
    /// Whether bytes may be there that were taken back: then zeros are written, too.
    is_overwriting: AtomicBool,
}

impl MemberFiles {
    /// Makes those of `layout` in `directory`, each with its length.
    pub(super) fn create(
        directory: OwnedFd,
        part: u64,
        attempt: AttemptName,
        layout: PartLayout,
    ) -> io::Result<MemberFiles> {
        let files = MemberFiles { layout, part, attempt, directory, is_overwriting: AtomicBool::new(false) };
        let made = OFlags::CREATE | OFlags::EXCL;
        files.layout.members().iter().enumerate().try_for_each(|(number, member)| {
            let file = files.open(number, made)?;
            // It is opened again for each write, whatever the umask is.
            fchmod(&file, OWNER_ALONE)?;
            file.set_len(member.file_len())
        })?;
        Ok(files)
    }

    pub(super) fn layout(&self) -> &PartLayout {
        &self.layout
    }

    pub(super) fn write(&self, number: usize, offset: u64, data: &[u8]) -> io::Result<()> {
        let file = self.open(number, OFlags::empty())?;
        // Relaxed: nothing is written while it is set.
        match data.len() < SPARSE_LEN_MIN || self.is_overwriting.load(Ordering::Relaxed) {
            true => file.write_all_at(data, offset),
            false => tree_sink::write_sparse(&file, offset, data),
        }
    }

    /// What was written may be written again, with other bytes.
    pub(super) fn roll_back(&self) {
        self.is_overwriting.store(true, Ordering::Relaxed);
    }

    /// Makes what was written durable. It is tried once: after a failed sync a second one can succeed over lost data.
    pub(super) fn sync(&self) -> io::Result<()> {
        // The descriptor is older than the first write: a failed writeback is reported to it.
        if self.layout.members().is_empty() { Ok(()) } else { Ok(syncfs(&self.directory)?) }
    }

    fn open(&self, number: usize, more: OFlags) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | more;
        let name = member_name(self.part, self.attempt, number);
        Ok(openat(&self.directory, &name, flags, OWNER_ALONE)?.into())
    }
}

const OWNER_ALONE: Mode = Mode::RUSR.union(Mode::WUSR);
/// What is shorter has no holes, as in the tree that one process makes.
const SPARSE_LEN_MIN: usize = 64 << 10;
