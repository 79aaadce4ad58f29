//! A sink that writes a file beside its target and puts it in the target's place at publish.
//! Knows nothing of what the bytes mean, and sees files through the storage seam alone.

mod copy_on_read;
mod holes;
mod leftovers;
mod locked_file;
mod names;
mod notice;
mod opening;
mod probe;
mod progress;
mod published;
mod recovery;
mod staging;

use std::{fmt, fs::File, io, path::PathBuf, sync::Arc};

pub use self::{
    copy_on_read::CopyOnRead,
    leftovers::{Beside, PathsBeside},
    notice::TargetNotice,
    opening::{Opened, Seen},
    published::Published,
};
use contract::{
    Checkpoint, CommitError, IfExists, ReadAt, SinkCapabilities, StreamingSink, SyncTo, Visibility, WriteAt,
    cursor::Cursor, written::Closing,
};
use storage::{CopiedMetadata, FileTime, Seed, Sparse, TargetDir, TargetError, Writeback, free_space};

use self::{
    locked_file::LockedFile,
    notice::Notices,
    progress::Progress,
    staging::{Kept, Staging, Written},
};
use crate::journal::{Journal, WriterId};

/// A file that becomes the target as a whole, or not at all. Its class is *atomic*.
///
/// The staging file is `.NAME.cofferdam-staging` in the target's directory, readable by its owner alone, and locked
/// as long as the sink lives: a second writer of the same target is refused. At publish it gets its exact length and
/// the owner, attributes and mode of the file that it replaces, is synced, and gets the target's name; then file and
/// directory are synced.
///
/// A new target gets mode 0666 less the umask, or [another](Self::set_mode), once it has its name: until then nobody but its
/// owner can read it, whatever stops the publish. A replaced one keeps its mode, its extended attributes, and its owner
/// and group where this process may give them. Other hard links of a replaced file keep the old contents.
///
/// # Without a journal
///
/// [`create`](Self::create) makes a sink that is durable at publish and not before: there is no [`SyncTo`] and no
/// [`last_commit`](StreamingSink::last_commit). A drop before publish removes the staging file. A crash leaves one
/// that the next writer of the same target removes; it is never built upon.
///
/// # With a journal
///
/// [`open`](Self::open) keeps a journal, `.NAME.cofferdam-journal`, that names the attempt by a [`AttemptId`](contract::AttemptId) and
/// holds its newest durable checkpoint. Such an attempt survives a crash, and the next `open` of the same target finds it:
///
/// - [`Opened::Resumable`] gives the staging file back through [`kept`](StreamingSink::resumable), with or without a
///   checkpoint. What is kept is a claim to be proved; [`resume_at`](StreamingSink::resume_at) then continues after it, and
///   segments that stand behind gaps count once they are [confirmed](StreamingSink::confirm_segment).
///   `resume_at(0, 0)` discards the checkpoint, durably, and compares before it writes, so that bytes that are
///   already right are not written again.
/// - [`Opened::Published`]: the crash came after the rename, and the target is that attempt's.
///
/// A drop keeps staging file and journal if anything was committed, by this attempt or an earlier one, and else
/// removes both. A sink that was resumable and is dropped unused leaves everything as it was. The sink does not
/// interpret the attempt id: whoever opens the sink compares it, and drops the sink if it is another's.
///
/// Nothing is synced before the first checkpoint. For each checkpoint the staging file is synced, then the checkpoint
/// is written, then the journal is synced. A failed sync ends the sink and is not retried; when reopened, the staging
/// file is read from the medium, not from a page cache that may hold more than the medium does.
pub struct StagedFile {
    staging: Arc<Staging>,
    /// Only with a journal.
    progress: Option<Arc<Progress>>,
    target_dir: TargetDir,
    claims: LockedFiles,
    writer: WriterId,
    /// Of a new target, where it is not to be any new file's.
    mode: Option<u32>,
    /// Whose owner, attributes and mode it gets, where that is not left to the target's name.
    model: Option<File>,
    /// The same of its time of modification.
    modified: Option<FileTime>,
    notices: Notices,
    found: Option<Found>,
    at_drop: AtDrop,
    cursor: Cursor,
    writeback: Writeback,
}

impl StagedFile {
    /// Where the bytes are until publish.
    pub fn staging_path(&self) -> PathBuf {
        self.target_dir.sibling(&self.claims.staging.name)
    }

    /// Where the progress is, with a journal.
    pub fn journal_path(&self) -> Option<PathBuf> {
        self.claims.journal.as_ref().map(|journal| self.target_dir.sibling(&journal.name))
    }

    /// Records who writes what is published: the journal keeps it, and [`Published::writer`] returns it after a
    /// crash. It is not interpreted here.
    pub fn set_writer(&mut self, writer: WriterId) {
        self.writer = writer;
    }

    /// Overwrites kept bytes that are wrong and can be computed from others, before the sink resumes after them.
    ///
    /// # Errors
    /// There are no kept bytes, or the sink has already resumed; the medium's own, which is final.
    pub fn mend(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        let found_len = self.found.as_ref().map_or(0, |found| found.len);
        self.staging.mend(at, data, found_len)
    }

    /// Gives `seed` to be read, and to be copied into the staging file by that, in the places of what was there. Before the sink
    /// resumes, and before the first write. Once all reads have been waited for, [`keep_copied`](Self::keep_copied) follows.
    pub fn copy_on_read(&self, seed: Arc<Seed>) -> CopyOnRead {
        CopyOnRead::new(seed, self.staging.clone())
    }

    /// Counts what was [copied](Self::copy_on_read) among the [kept bytes](StreamingSink::resumable): claims like those, and with a
    /// journal a drop keeps them.
    ///
    /// # Errors
    /// The sink has begun or resumed; the medium's own, which is final: also of a write that a read brought with it.
    pub fn keep_copied(&mut self) -> io::Result<()> {
        self.staging.check_unbegun()?;
        let len = self.staging.file.len()?;
        match &mut self.found {
            Some(found) => found.len = len,
            None if len == 0 => return Ok(()),
            None => self.found = Some(Found { checkpoint: None, len }),
        }
        if self.progress.is_some() {
            // They may have taken long to copy.
            self.at_drop = AtDrop::Keep;
        }
        Ok(())
    }

    /// As [`write_tentative`](StreamingSink::write_tentative) of the first of `len` bytes that `seed` has at `from`, by the file
    /// system's own means: see [`StorageFile::clone_range`](storage::StorageFile::clone_range). Gives how many it took; with 0 or
    /// an error nothing has changed, and they are to be written.
    ///
    /// # Errors
    /// The file system has no such means between these two files; the sink takes nothing more.
    pub fn clone_tentative(&mut self, seed: &Seed, from: u64, at: u64, len: u64) -> io::Result<u64> {
        self.staging.written.lock().check_live()?;
        let taken = self.staging.file.clone_range(seed, from, at, len.min(Seed::CLONE_LEN_MAX))?;
        let count = usize::try_from(taken).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.cursor.write(at, count)?;
        self.staging.claim_shared(at, count)?;
        Ok(taken)
    }

    /// The same beside positioned writes, of no segment, where the file system may share the bytes. Where it would copy them it takes none: those
    /// who write can do that on many threads.
    ///
    /// # Errors
    /// As of [`clone_tentative`](StagedFile::clone_tentative).
    pub fn share_at(&self, seed: &Seed, from: u64, at: u64, len: u64) -> io::Result<u64> {
        self.staging.written.lock().check_live()?;
        if !self.staging.file.may_share(seed) {
            return Ok(0);
        }
        let taken = self.staging.file.clone_range(seed, from, at, len.min(Seed::CLONE_LEN_MAX))?;
        let count = usize::try_from(taken).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.staging.claim_shared(at, count)?;
        Ok(taken)
    }

    /// Forgets what positioned writes have left from `at` on, with no segment open.
    ///
    /// # Errors
    /// A segment is open.
    pub fn roll_back_to(&mut self, at: u64) -> io::Result<()> {
        self.cursor.check_closed()?;
        self.staging.roll_back(at);
        Ok(())
    }

    /// What has been written so far, to be read back before it is published. What lies behind its end reads as zeros: those that a
    /// file ends with are left out until then.
    pub fn tentative(&self) -> Arc<dyn ReadAt> {
        Arc::new(Written { file: self.staging.file.clone() })
    }

    /// Refuses a target of `len` bytes for which there is no room, beside what the staging file has already.
    ///
    /// # Errors
    /// [`TargetError::NoRoom`], [`TargetError::TooLarge`]; the medium's own.
    pub fn prepare_room(&mut self, len: u64) -> Result<(), TargetError> {
        let taken = self.staging.file.allocated();
        let taken = taken.map_err(|error| TargetError::io(&self.staging_path(), "examine", error))?;
        match free_space::check(&self.target_dir, len, taken) {
            Ok(()) if self.staging.sparse() == Sparse::Never => {
                free_space::take(&self.target_dir, &*self.staging.file, len)
            }
            Err(TargetError::NoRoom { needed, free: Some(free), .. })
                if self.staging.sparse() != Sparse::Never =>
            {
                self.notices.add(TargetNotice::MayNotFit { needed, free });
                Ok(())
            }
            checked => checked,
        }
    }

    /// Gives a new target this mode instead of 0666 less the umask.
    pub fn set_mode(&mut self, mode: u32) {
        self.mode = Some(mode);
    }

    /// Gives a new target this time of modification.
    pub fn set_modified(&mut self, modified: FileTime) {
        self.modified = Some(modified);
    }

    /// Reports to `listener` what the target's file system cannot do: immediately what is already known, and the rest
    /// at publish.
    pub fn on_notice(&mut self, listener: impl Fn(TargetNotice) + Send + Sync + 'static) {
        self.notices.listen(Box::new(listener));
    }

    /// Makes the staging file the target. Gives the mode that is due then.
    fn put(&mut self, len: u64) -> Result<Option<u32>, CommitError> {
        let mode_due = self.finish(len).map_err(CommitError::NotCommitted)?;
        self.target_dir.put(&self.claims.staging.name, self.claims.staging.id)?;
        Ok(mode_due)
    }

    /// Everything that is done to the staging file while it is one. Gives the mode that it gets once it is the target.
    fn finish(&mut self, len: u64) -> io::Result<Option<u32>> {
        let file = &self.staging.file;
        file.set_len(len)?;
        let replacing = self.target_dir.if_exists == IfExists::Replace
            && self.progress.is_some()
            && self.target_dir.storage.id_at(&self.target_dir.name)?.is_some();
        if replacing {
            // Announced first: once the metadata is copied, its owner and rights do not tell any more that it is ours.
            file.sync_all()?;
            self.intend(None)?;
        }
        let copied = match &self.model {
            Some(model) => file.copy_metadata_of(model)?,
            None => file.copy_metadata_from(&self.target_dir.name, self.target_dir.if_exists)?,
        };
        let mode_due = match copied {
            CopiedMetadata::New { mode } => {
                // Behind the last change of its contents, and before what the journal notes of the file.
                if self.modified.is_some_and(|modified| file.set_modified(modified).is_err()) {
                    self.notices.add(TargetNotice::TimesNotKept);
                }
                Some(self.mode.unwrap_or(mode))
            }
            CopiedMetadata::Taken => None,
            CopiedMetadata::WithoutMode => {
                self.notices.add(TargetNotice::ModesNotKept);
                None
            }
        };
        // Once: after a failed sync a second one can succeed over lost data.
        file.sync_all()?;
        if !replacing || mode_due.is_some() {
            self.intend(mode_due)?;
        }
        Ok(mode_due)
    }

    fn intend(&self, mode_due: Option<u32>) -> io::Result<()> {
        match &self.progress {
            Some(progress) => progress.intend(self.writer, mode_due),
            None => Ok(()),
        }
    }

    /// The target has its name: it gets its mode and is made durable, and the files beside it are removed. An error
    /// in the last of these steps may be the first sign that an earlier one did not reach the medium.
    fn settle(&mut self, mode_due: Option<u32>) -> io::Result<()> {
        if let Some(mode) = mode_due {
            self.notices.of_mode(self.staging.file.give_mode(mode))?;
        }
        // The directory's sync alone is not enough: XFS that has shut down says yes to it, and no to the file's.
        self.staging.file.sync_all()?;
        self.target_dir.storage.sync()?;
        if let Some(journal) = &self.claims.journal {
            journal.remove(&self.target_dir)?;
            self.target_dir.storage.sync()?;
        }
        self.target_dir.check_path()
    }

    fn remove_all(&self) -> io::Result<()> {
        if let Some(journal) = &self.claims.journal {
            if self.found.is_some() {
                // It may hold an intent, which must not outlive the file that it names.
                Journal::erase(&*journal.file)?;
            }
            self.claims.staging.remove(&self.target_dir)?;
            return journal.remove(&self.target_dir);
        }
        self.claims.staging.remove(&self.target_dir)
    }

    fn close(&self, at_close: AtDrop) -> io::Result<()> {
        match (self.staging.written.lock().close(), at_close) {
            (Closing::Again, _) | (Closing::First, AtDrop::Keep) => Ok(()),
            (Closing::First, AtDrop::Remove) => self.remove_all(),
        }
    }
}

impl StreamingSink for StagedFile {
    fn capabilities(&self) -> SinkCapabilities {
        SinkCapabilities::new(Visibility::Private).confirming()
    }

    fn last_commit(&mut self) -> io::Result<Option<Checkpoint>> {
        Ok(self.found.as_ref().and_then(|found| found.checkpoint.clone()))
    }

    fn resumable(&self) -> Option<Arc<dyn ReadAt>> {
        let found = self.found.as_ref()?;
        Some(Arc::new(Kept { file: self.staging.file.clone(), len: found.len }))
    }

    fn resume_at(&mut self, index: u64, at: u64) -> io::Result<()> {
        let Some(found) = &mut self.found else {
            let message = format!("no earlier attempt was found: nothing to go on from at byte {at}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        };
        self.staging.resume_at(at, found.len)?;
        if (index, at) == (0, 0)
            && let Some(progress) = &self.progress
        {
            // The bytes that it stands for may be written over, with another stream's.
            progress.forget()?;
            found.checkpoint = None;
        }
        self.cursor = Cursor::resuming_at(index, at);
        self.writeback = Writeback::behind(at);
        Ok(())
    }

    fn confirm_segment(&mut self, index: u64, at: u64, len: u64) -> io::Result<()> {
        let found_len = self.found.as_ref().map_or(0, |found| found.len);
        self.staging.confirm(at, len, found_len)?;
        self.cursor.pass(index, at, len)
    }

    fn begin_segment(&mut self, index: u64, at: u64) -> io::Result<()> {
        self.cursor.begin(index, at)
    }

    fn write_tentative(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        self.cursor.write(at, data.len())?;
        self.staging.write_all_at(at, data)
    }

    fn rollback_segment(&mut self) -> io::Result<()> {
        let start = self.cursor.roll_back()?;
        self.staging.roll_back(start);
        Ok(())
    }

    fn commit_segment(&mut self, _mark: &Checkpoint) -> Result<(), CommitError> {
        let written = self.staging.written.lock();
        written.check_live().map_err(CommitError::NotCommitted)?;
        let whole_to = written.whole_to();
        drop(written);
        if let Some(progress) = &self.progress {
            self.at_drop = AtDrop::Keep;
            self.writeback.pass(progress.synced_to());
        }
        self.writeback.follow(&*self.staging.file, whole_to);
        self.cursor.commit();
        Ok(())
    }

    fn publish(&mut self, plain_len: u64) -> Result<(), CommitError> {
        self.cursor.check_closed().map_err(CommitError::NotCommitted)?;
        self.staging.written.lock().check_complete(plain_len).map_err(CommitError::NotCommitted)?;
        // Whatever fails from here on, nothing more is written and the sync is not tried again.
        self.staging.written.lock().fail();
        if self.progress.is_some() {
            self.at_drop = AtDrop::Keep;
        }
        let mode_due = self.put(plain_len).inspect_err(|error| {
            if let CommitError::NotCommitted(_) = error {
                // It may look like the target already, and is read under another name now. What fails here is tried again
                // when the next attempt goes on.
                let _ = self.staging.file.make_private();
            }
        })?;
        self.staging.written.lock().close();
        self.settle(mode_due).map_err(CommitError::Unknown)
    }

    fn discard(&mut self) -> io::Result<()> {
        self.close(AtDrop::Remove)
    }

    fn positioned(&self) -> Option<Arc<dyn WriteAt>> {
        Some(self.staging.clone())
    }

    fn durability(&self) -> Option<Arc<dyn SyncTo>> {
        self.progress.clone().map(|progress| progress as Arc<dyn SyncTo>)
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        let durable = self.progress.as_ref().is_some_and(|progress| progress.has_slot());
        // Nobody is there to hear of a failure, and the next writer of the target removes the files as well.
        let _ = self.close(if durable { AtDrop::Keep } else { self.at_drop });
    }
}

impl fmt::Debug for StagedFile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("StagedFile").field("target", &self.target_dir.path()).finish_non_exhaustive()
    }
}

/// The files that are locked as long as the sink lives. The journal, where there is one, was locked first.
#[derive(Debug)]
struct LockedFiles {
    staging: LockedFile,
    journal: Option<LockedFile>,
}

/// What an earlier attempt left.
struct Found {
    checkpoint: Option<Checkpoint>,
    /// Length of the staging file in bytes.
    len: u64,
}

/// What a drop does with staging file and journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum AtDrop {
    Keep,
    Remove,
}

#[cfg(test)]
mod attempts;
#[cfg(test)]
mod attributes_tests;
#[cfg(test)]
mod copy_metadata_tests;
#[cfg(test)]
mod copy_on_read_tests;
#[cfg(test)]
mod faulty;
#[cfg(test)]
mod holes_tests;
#[cfg(test)]
mod leftovers_tests;
#[cfg(test)]
mod others_tests;
#[cfg(test)]
mod resume_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod writeback_tests;
