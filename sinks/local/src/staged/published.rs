//! An attempt that was published, and what is left to do about it.
//! Knows nothing of how that was found out.

use std::io;

use contract::{AttemptId, Checkpoint};
use storage::{FileStamp, Misplaced, is_refusal};

use super::{locked_file::LockedFile, opening::Site};
use crate::journal::{Announced, WriterId};

/// An attempt that was published, and the crash came before its journal was removed. Dropped, it stays as it is.
#[derive(Debug)]
pub struct Published {
    pub(super) site: Site,
    pub(super) journal: LockedFile,
    pub(super) attempt_id: AttemptId,
    pub(super) checkpoint: Option<Checkpoint>,
    pub(super) announced: Announced,
}

impl Published {
    /// The label of the attempt, which may be another than the one that was given.
    pub fn attempt_id(&self) -> &AttemptId {
        &self.attempt_id
    }

    /// The last checkpoint that was made durable. The target holds the whole stream, whatever the checkpoint says.
    pub fn last_checkpoint(&self) -> Option<&Checkpoint> {
        self.checkpoint.as_ref()
    }

    /// Who wrote it, as [`StagedFile::set_writer`](super::StagedFile::set_writer) was told then.
    pub fn writer(&self) -> WriterId {
        self.announced.writer
    }

    /// Gives the target its final mode, makes its name durable and removes what is left beside it.
    ///
    /// # Errors
    /// The medium's own. The target is in place in any case.
    ///
    /// [`Misplaced::Swapped`] where another file has come to the target's name: that is left as it is, and what is beside it
    /// goes, for it vouches for nothing any more.
    pub fn finish(self) -> io::Result<()> {
        let Site { target_dir, names } = &self.site;
        let in_place = self.give_mode()?;
        target_dir.storage.sync()?;
        // A file system without a rename that replaces nothing can leave both names on the file.
        let staged = target_dir.storage.id_at(&names.staging)?;
        if staged.is_some() && staged == target_dir.storage.id_at(&target_dir.name)? {
            target_dir.storage.remove(&names.staging)?;
        }
        self.journal.remove(target_dir)?;
        target_dir.storage.sync()?;
        match in_place {
            InPlace::Yes => Ok(()),
            InPlace::No => Err(io::Error::other(Misplaced::Swapped { path: target_dir.path().into() })),
        }
    }

    /// After a crash between the rename and this step, a new target is readable by its owner alone.
    fn give_mode(&self) -> io::Result<InPlace> {
        let target_dir = &self.site.target_dir;
        let due = &self.announced.stamp;
        let stands = |found: Option<FileStamp>| found.is_some_and(|found| found.is_of_same_file(due));
        if !stands(target_dir.storage.stamp_at(&target_dir.name)?) {
            return Ok(InPlace::No);
        }
        let Some(mode) = self.announced.mode_due else { return Ok(InPlace::Yes) };
        let target = match target_dir.storage.open(&target_dir.name) {
            Ok(Some(target)) => target,
            Ok(None) => return Ok(InPlace::No),
            // Not its owner's alone any more: somebody has given it another mode, or another file.
            Err(error) if is_refusal(&error) || error.kind() == io::ErrorKind::InvalidInput => {
                return Ok(InPlace::Yes);
            }
            Err(error) => return Err(error),
        };
        // Asked of the open file: whoever can write the directory can put another one of ours there at any moment.
        if !stands(Some(target.stamp()?)) {
            return Ok(InPlace::No);
        }
        match target.give_mode(mode & PERMISSIONS) {
            Err(error) if is_refusal(&error) => {}
            given => given.and_then(|()| target.sync_all())?,
        }
        Ok(InPlace::Yes)
    }
}

/// Whether the file that was announced stands at the target's name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum InPlace {
    Yes,
    No,
}

/// The permission bits of a mode, without set-id and sticky bits.
const PERMISSIONS: u32 = 0o777;
