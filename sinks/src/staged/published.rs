//! An attempt that was published, and what is left to do about it.
//! Knows nothing of how that was found out.

use std::io;

use super::{claim::Claim, notice::is_refusal, opening::Site};
use crate::{
    Checkpoint,
    journal::{Announced, Label, WriterId},
};

/// An attempt that was published, and the crash came before its journal was removed. Dropped, it stays as it is.
#[derive(Debug)]
pub struct Published {
    pub(super) site: Site,
    pub(super) journal: Claim,
    pub(super) label: Label,
    pub(super) mark: Option<Checkpoint>,
    pub(super) announced: Announced,
}

impl Published {
    /// The label of the attempt, which may be another than the one that was given.
    pub fn label(&self) -> &Label {
        &self.label
    }

    /// The last mark that was made durable. The target holds the whole stream, whatever the mark says.
    pub fn last_mark(&self) -> Option<&Checkpoint> {
        self.mark.as_ref()
    }

    /// Who wrote it, as [`StagedFile::set_writer`](super::StagedFile::set_writer) was told then.
    pub fn writer(&self) -> WriterId {
        self.announced.writer
    }

    /// Gives the target the mode that is due, makes its name durable and removes what is left beside it.
    ///
    /// # Errors
    /// The medium's own. The target stands in any case.
    pub fn finish(self) -> io::Result<()> {
        let Site { place, names } = &self.site;
        self.give_mode()?;
        place.storage.sync()?;
        // A file system without a rename that replaces nothing can leave both names on the file.
        let staged = place.storage.id_at(&names.staging)?;
        if staged.is_some() && staged == place.storage.id_at(&place.name)? {
            place.storage.remove(&names.staging)?;
        }
        self.journal.remove(place)?;
        place.storage.sync()
    }

    /// A crash between the rename and this leaves a new target its owner's alone.
    fn give_mode(&self) -> io::Result<()> {
        let Some(mode) = self.announced.mode_due else { return Ok(()) };
        let place = &self.site.place;
        let target = match place.storage.open(&place.name) {
            Ok(Some(target)) => target,
            Ok(None) => return Ok(()),
            // Not its owner's alone any more: somebody has given it another mode, or another file.
            Err(error) if is_refusal(&error) || error.kind() == io::ErrorKind::InvalidInput => return Ok(()),
            Err(error) => return Err(error),
        };
        match target.give_mode(mode) {
            Err(error) if is_refusal(&error) => Ok(()),
            given => given.and_then(|()| target.sync_all()),
        }
    }
}
