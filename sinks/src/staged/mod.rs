//! A sink that writes a file beside its target and puts it in the target's place at publish.
//! Knows nothing of what the bytes mean, and has no progress that outlives it.

pub(crate) mod likeness;
pub(crate) mod place;
pub(crate) mod room;
mod staging;

use std::{
    fmt, io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

use self::{place::Place, staging::Staging};
use crate::{
    Checkpoint, CommitError, MakeDurable, PositionedWrite, Profile, StreamingSink, TargetError, Visibility,
    cursor::Cursor,
    ledger::{Closing, Ledger},
};

/// A file that becomes the target as a whole, or not at all. Its class is *atomic*.
///
/// The staging file is `.NAME.cofferdam-staging` in the target's directory, readable by its owner alone, and locked
/// as long as the sink lives: a second writer of the same target is refused. At publish it gets its exact length,
/// mode and owner, is synced, gets the target's name, and the directory is synced. A crash before that leaves the
/// old target, and a staging file that the next writer of the same target removes; it is never built upon. A drop
/// before publish removes it at once.
///
/// A new target gets mode 0666 less the umask. A replaced one keeps its mode, its extended attributes, and its owner
/// and group where this process may give them. Other hard links of a replaced file keep the old contents.
///
/// Nothing is durable before publish, which syncs once: there is no [`MakeDurable`] and no
/// [`last_commit`](StreamingSink::last_commit) to go on from.
pub struct StagedFile {
    shared: Arc<Shared>,
    place: Place,
    cursor: Cursor,
}

/// What to do with a target that exists.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Existing {
    /// Refuse it, at the start, and again at publish if one has appeared.
    #[default]
    Refuse,
    /// Replace it at publish. A symbolic link is followed, once, at the start.
    Replace,
}

/// How to stage a file.
#[derive(Clone, Copy, Default, Debug)]
pub struct StageOptions {
    /// What to do with a target that exists.
    pub existing: Existing,
    /// Bytes that will be written, where that is known: they are checked against the room there is, and taken
    /// where that is cheap. A length that turns out otherwise does no harm.
    pub expected_len: Option<u64>,
}

impl StagedFile {
    /// Resolves `target`, refuses what could not be published to, and makes its staging file.
    ///
    /// # Errors
    /// Everything about the target that would fail at the end, and can be seen at the start: see [`TargetError`].
    /// The target and its directory are then as they were, save for a stale staging file that may be gone.
    pub fn create(target: &Path, options: &StageOptions) -> Result<Self, TargetError> {
        let place = Place::resolve(target, options.existing)?;
        if let Some(needed) = options.expected_len {
            room::check(&place, needed)?;
        }
        let staging = Staging::create(&place)?;
        let shared = Shared { staging, ledger: Mutex::new(Ledger::new(LEN_MAX)) };
        // From here on a drop removes the staging file.
        let staged = Self { shared: Arc::new(shared), place, cursor: Cursor::default() };
        if let Some(needed) = options.expected_len {
            room::take(&staged.place, &staged.shared.staging.file, needed)?;
        }
        Ok(staged)
    }

    /// Where the bytes are until publish.
    pub fn staging_path(&self) -> PathBuf {
        self.place.sibling(&self.shared.staging.name)
    }

    /// Everything that is done to the staging file while it is one.
    fn finish(&self, len: u64) -> io::Result<()> {
        let file = &self.shared.staging.file;
        file.set_len(len)?;
        likeness::apply(&self.place.directory, &self.place.name, self.place.existing, file)?;
        // Once: after a failed sync a second one can succeed over lost data.
        Ok(rustix::fs::fsync(file)?)
    }

    fn close(&self) -> io::Result<()> {
        match self.shared.ledger.lock().close() {
            Closing::First => {}
            Closing::Again => return Ok(()),
        }
        self.shared.staging.remove(&self.place)
    }
}

impl StreamingSink for StagedFile {
    fn profile(&self) -> Profile {
        Profile { visibility: Visibility::Private, reserve_bytes: 0 }
    }

    fn last_commit(&mut self) -> io::Result<Option<Checkpoint>> {
        Ok(None)
    }

    fn begin_segment(&mut self, index: u64, at: u64) -> io::Result<()> {
        self.cursor.begin(index, at)
    }

    fn write_tentative(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        self.cursor.write(at, data.len())?;
        self.shared.write_at(at, data)
    }

    fn rollback_segment(&mut self) -> io::Result<()> {
        let start = self.cursor.roll_back()?;
        self.shared.ledger.lock().cut(start);
        Ok(())
    }

    fn commit_segment(&mut self, _mark: &Checkpoint) -> Result<(), CommitError> {
        self.shared.ledger.lock().check_live().map_err(CommitError::NotCommitted)?;
        self.cursor.commit();
        Ok(())
    }

    fn publish(&mut self, plain_len: u64) -> Result<(), CommitError> {
        self.cursor.check_closed().map_err(CommitError::NotCommitted)?;
        self.shared.ledger.lock().check_complete(plain_len).map_err(CommitError::NotCommitted)?;
        // Whatever fails from here on, nothing more is written and the sync is not tried again.
        self.shared.ledger.lock().fail();
        self.finish(plain_len).map_err(CommitError::NotCommitted)?;
        self.place.put(&self.shared.staging.name)?;
        self.shared.ledger.lock().close();
        self.place.sync().map_err(CommitError::Unknown)
    }

    fn discard(&mut self) -> io::Result<()> {
        self.close()
    }

    fn positioned(&self) -> Option<Arc<dyn PositionedWrite>> {
        Some(self.shared.clone())
    }

    fn durability(&self) -> Option<Arc<dyn MakeDurable>> {
        None
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        // Nobody is there to hear of a failure, and the next writer of the target removes the file as well.
        let _ = self.close();
    }
}

impl fmt::Debug for StagedFile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("StagedFile").field("target", &self.place.path()).finish_non_exhaustive()
    }
}

/// What writers on other threads share with the sink.
struct Shared {
    staging: Staging,
    ledger: Mutex<Ledger>,
}

impl PositionedWrite for Shared {
    fn write_at(&self, at: u64, data: &[u8]) -> io::Result<()> {
        self.ledger.lock().claim(at, data.len())?;
        // Goes on after a signal and after a short write.
        self.staging.file.write_all_at(data, at).inspect_err(|error| self.ledger.lock().fail_for(error))
    }
}

/// Offsets in files are signed.
const LEN_MAX: u64 = i64::MAX as u64;

#[cfg(test)]
mod tests;
