//! The commit of a plan: once, whoever tries, and whatever a commit before it has left.
//! It needs the plan's key, and none of the stream.

use std::ffi::{OsStr, OsString};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use ::parts::{Committed, FileIdentity, NOTE_LEN_MAX, PieceHasher, PlanTarget, Publishing};
use contract::{AttemptId, CommitError, IfExists, StreamingSink as _};
use local::{Opened, Seen, StagedFile};
use rustix::fs::{Access, AtFlags, CWD, FileType, accessat, statat};
use storage::{FileStamp, FileTime, OnPartial, Room, StageOptions, TargetDir, TargetError};
use stream::PARTS_ID;

use super::assembly::Assembly;
use super::attempts::AttemptsDir;
use super::comparison::{Comparison, Found, Reads};
use super::planning::exists;
use super::{PlannedRestore, Receipts, committed_path, put, sync_beside};
use crate::private_dir::PrivateDir;
use crate::{CancelToken, Error, ErrorKind, Kept, Remedy};

/// What came of a commit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The target, a file, is in place.
    Published,
    /// The target, a directory, is in place.
    #[cfg(feature = "tree")]
    TreePublished(tree_sink::Restored),
    /// A commit before this one has put the target, a directory, in place, and was interrupted: what it had left to do is done. What it had made,
    /// and where the directory is that it has replaced, as far as it had noted that.
    #[cfg(feature = "tree")]
    TreeFinished(Option<tree_sink::Restored>),
    /// It had been put in place before. Whatever has become of it since is not looked at.
    AlreadyCommitted,
    /// These parts have no receipt; they are to be run, and then this again. The target is as it was.
    Missing(Vec<u64>),
    /// All parts had a receipt, and the files of these, or what the store has of them, are not what it says: they were changed since, and have been
    /// removed. They are to be run, and then this again. The target is as it was.
    Wrong(Vec<u64>),
}

impl PlannedRestore {
    /// Puts the target in place, if there is a receipt for each part, and all that is written is as the receipts say.
    ///
    /// Each part's bytes are taken over from its attempt's file into the target's own, shared where the file system can (XFS, btrfs) and copied
    /// elsewhere, on as many `threads`, and have to have the digests of the receipt. Those that are copied are compared as they are written. Those that are shared are not read where the
    /// file system vouches for them: it says of the attempt's file, once they are shared, what it has said when the receipt was made (number, length, time of the last change). Where it
    /// does not they are read back and compared; all are by [`commit_compared`](PlannedRestore::commit_compared). An attempt whose file is wrong is
    /// removed, and another one of the same part is taken. Of a tree the bytes are written to the directory's files, and what is written is what was compared.
    /// Then the target gets its name, durably, and the plan is noted as committed in
    /// a file beside it. All that attempts have written is then removed, as far as it can be: see [`left_beside`](PlannedRestore::left_beside).
    ///
    /// Of an object, the store is asked what it has of each part, which has to be what a receipt says; then it puts that together, on the
    /// condition that there stands what stood there when it was planned. `threads` do nothing then.
    ///
    /// It may be killed at any moment, and run again: what it finds tells it whether the target is in place.
    ///
    /// # Errors
    /// [`ErrorKind::TargetLocked`]: somebody else is committing. [`ErrorKind::TargetExists`]: a target has appeared that is not to be
    /// replaced. [`ErrorKind::JournalMismatch`]: the plan was given up, or is not the one that was made; something else is kept beside the
    /// target; or a commit that was killed may have put it in place, and something else stands there since.
    /// [`ErrorKind::DurabilityUnknown`]: the target is in place, and may not survive a power cut, or could not be noted. [`ErrorKind::Cancelled`] after `cancel`.
    pub fn commit(&self, threads: NonZeroUsize, cancel: &CancelToken) -> Result<Outcome, Error> {
        self.commit_reading(threads, cancel, Reads::Unvouched)
    }

    /// The same, and of a file all that is put together is read back and compared, whatever the file system says: also what was lost where a disk has told of a sync that was none.
    ///
    /// # Errors
    /// As [`commit`](PlannedRestore::commit). [`ErrorKind::Usage`]: the target is an object, of which nothing is read.
    pub fn commit_compared(&self, threads: NonZeroUsize, cancel: &CancelToken) -> Result<Outcome, Error> {
        match self.plan.target() {
            PlanTarget::Path(_) => self.commit_reading(threads, cancel, Reads::All),
            PlanTarget::Object { .. } => Err(Error::new(
                ErrorKind::Usage,
                "the target is an object, of which nothing is read back: the store says what it has",
            )
            .advise("Commit without comparing.")),
        }
    }

    fn commit_reading(
        &self,
        threads: NonZeroUsize,
        cancel: &CancelToken,
        reads: Reads,
    ) -> Result<Outcome, Error> {
        let target_dir = self.target_dir()?;
        let Some(attempts) = self.attempts_left(&target_dir)? else {
            return if self.is_committed()? {
                Ok(Outcome::AlreadyCommitted)
            } else {
                Err(self.nothing_kept())
            };
        };
        let lock = match attempts.lock() {
            // Whoever was faster is removing the directory.
            Err(_) if self.is_committed()? => return Ok(Outcome::AlreadyCommitted),
            locked => locked?,
        };
        // Now nobody else commits: what is noted stays so.
        let done = match (self.is_committed()?, self.plan.target()) {
            (true, _) => Some(Outcome::AlreadyCommitted),
            (false, PlanTarget::Path(_)) => self.published(&target_dir, &attempts)?,
            (false, PlanTarget::Object { .. }) => {
                self.is_completed(&attempts, cancel)?.then_some(Outcome::AlreadyCommitted)
            }
        };
        let outcome = match done {
            Some(done) => done,
            None => {
                if !attempts.has_plan()? {
                    return Err(self.nothing_kept());
                }
                self.check_note_place()?;
                let receipts = self.receipts(&attempts)?;
                let missing = missing(&receipts);
                if !missing.is_empty() {
                    return Ok(Outcome::Missing(missing));
                }
                let run = Committing {
                    target_dir: &target_dir,
                    attempts: &attempts,
                    receipts: &receipts,
                    threads,
                    cancel,
                    reads,
                };
                self.refuse_newcomer(&target_dir)?;
                match (self.plan.target(), self.plan.content().tree) {
                    (PlanTarget::Path(_), None) => self.assemble(&run)?,
                    (PlanTarget::Path(_), Some(tree)) => self.make_tree(&run, tree)?,
                    (PlanTarget::Object { .. }, _) => self.complete_upload(&attempts, &receipts, cancel)?,
                }
            }
        };
        if let Outcome::Missing(_) | Outcome::Wrong(_) = outcome {
            return Ok(outcome);
        }
        self.note_committed()?;
        // What cannot be removed is in nobody's way, and found by `left_beside`.
        let _ = attempts.remove_all(&target_dir, self.plan.id(), Some(lock));
        Ok(outcome)
    }

    /// The directory of attempts, if it is still there: after a commit, it could not be removed.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub fn left_beside(&self) -> Result<Option<PathBuf>, Error> {
        Ok(AttemptsDir::open(&self.target_dir()?, self.plan.id())?.map(|attempts| attempts.path().to_owned()))
    }

    #[cfg(not(feature = "remote"))]
    pub(super) fn is_completed(&self, _: &AttemptsDir, _: &CancelToken) -> Result<bool, Error> {
        Err(super::no_stores())
    }

    #[cfg(not(feature = "remote"))]
    pub(super) fn refuse_kept_upload(&self) -> Result<(), Error> {
        Ok(())
    }

    #[cfg(not(feature = "remote"))]
    fn complete_upload(&self, _: &AttemptsDir, _: &Receipts, _: &CancelToken) -> Result<Outcome, Error> {
        Err(super::no_stores())
    }

    /// The target, of a plan for a file or a directory.
    pub(super) fn target_path(&self) -> &Path {
        match self.plan.target() {
            PlanTarget::Path(path) => path,
            PlanTarget::Object { .. } => unreachable!("what an object needs is done elsewhere"),
        }
    }

    fn assemble(&self, run: &Committing<'_>) -> Result<Outcome, Error> {
        let Some(sink) = self.stage()? else { return Ok(Outcome::AlreadyCommitted) };
        let attempts = run.attempts;
        // A commit before this one has published nothing, and its file may be given up from now on.
        attempts.remove(OsStr::new(PUBLISHING))?;
        let hasher = PieceHasher::new(&self.key, self.plan.id());
        let comparison = Comparison { hasher, threads: run.threads, cancel: run.cancel, reads: run.reads };
        let mut assembly = Assembly { sink, comparison };
        let mut missing = Vec::new();
        for (part, extent) in (0..).zip(self.plan.parts()) {
            let mut is_there = false;
            for attempt in &run.receipts.by_part[part as usize] {
                let found = match self.open_files(attempts, part, *attempt)? {
                    None => Found::Wrong,
                    // After a gap nothing is taken any more, and all that is wrong is found.
                    Some(files) if !missing.is_empty() => assembly.comparison.check_alone(&files)?,
                    Some(files) => assembly.take(extent.plaintext.start, &files)?,
                };
                if found == Found::Right {
                    is_there = true;
                    break;
                }
                attempts.remove_attempt(part, *attempt)?;
            }
            if !is_there {
                missing.push(part);
            }
        }
        if missing.is_empty() {
            self.publish(assembly.sink, run)?;
            return Ok(Outcome::Published);
        }
        let discarded = assembly.sink.discard();
        discarded.map_err(|error| Error::io("what was put together could not be removed", error))?;
        Ok(Outcome::Wrong(missing))
    }

    /// The target's file, empty. `None`: a commit before this one has put it in place, and had not tidied up.
    fn stage(&self) -> Result<Option<StagedFile>, Error> {
        let content = self.plan.content();
        for _ in 0..ATTEMPTS_MAX {
            match self.open_staged().map_err(Error::target)? {
                Opened::Fresh(mut sink) => {
                    self.dress(&mut sink);
                    return Ok(Some(sink));
                }
                Opened::Resumable { mut sink, attempt_id } if attempt_id == self.attempt_id() => {
                    let begun = sink.resume_at(0, 0);
                    begun
                        .map_err(|error| Error::io("what a commit has left could not be given up", error))?;
                    self.dress(&mut sink);
                    return Ok(Some(sink));
                }
                Opened::Resumable { attempt_id, .. } => return Err(other_attempt(&attempt_id)),
                Opened::Published(published) => {
                    let is_ours = *published.attempt_id() == self.attempt_id();
                    published.finish().map_err(|error| Error::publish(CommitError::Unknown(error)))?;
                    if is_ours {
                        return Ok(None);
                    }
                    if !content.replaces {
                        return Err(exists(self.target_path()));
                    }
                }
            }
        }
        Err(Error::new(ErrorKind::TargetLocked, "other restores of the same target keep coming in between"))
    }

    /// When it was planned, nothing stood there, or what can be replaced. The plan has the path that links led to: one that is there now leads to what
    /// nobody has planned.
    fn refuse_newcomer(&self, target_dir: &TargetDir) -> Result<(), Error> {
        let (PlanTarget::Path(target), Some(directory)) = (self.plan.target(), target_dir.directory()) else {
            return Ok(());
        };
        // What keeps it from being looked at, whoever stages says.
        let Ok(stat) = statat(directory, &target_dir.name, AtFlags::SYMLINK_NOFOLLOW) else { return Ok(()) };
        let is_tree = self.plan.content().tree.is_some();
        let noun = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile if !is_tree => return Ok(()),
            FileType::Directory if is_tree => return Ok(()),
            FileType::RegularFile => "a file",
            FileType::Directory => "a directory",
            FileType::Symlink => "a symbolic link",
            _ => "no file",
        };
        let what = format!("{} is {noun}, which has come there since it was planned", target.display());
        Err(Error::new(ErrorKind::TargetExists, what)
            .advise("Move it away and commit again, or make another plan."))
    }

    /// What is beside the target that was planned, wherever its name leads by now.
    fn open_staged(&self) -> Result<Opened, TargetError> {
        let mut target_dir = TargetDir::resolve(self.target_path(), IfExists::Refuse)?;
        let options = self.options();
        target_dir.if_exists = options.if_exists;
        StagedFile::open_at(target_dir, &options, &self.attempt_id())
    }

    fn dress(&self, sink: &mut StagedFile) {
        let content = self.plan.content();
        if let Some(mode) = content.mode {
            sink.set_mode(mode);
        }
        if let Some(modified) = content.modified {
            sink.set_modified(FileTime { seconds: modified.seconds, nanos: modified.nanos });
        }
    }

    /// Notes which file it is that gets the name, then gives it the name. From then on the note says that it is done.
    fn publish(&self, mut sink: StagedFile, run: &Committing<'_>) -> Result<(), Error> {
        self.note_publishing(run, sink.staging_path().file_name().unwrap_or_default())?;
        let len = self.plan.target_len();
        if len < self.plan.plaintext_len() {
            let cut = sink.roll_back_to(len);
            cut.map_err(|error| Error::io("the target's file could not be cut to its length", error))?;
        }
        sink.publish(len).map_err(Error::publish)
    }

    /// Notes what is `staged` beside the target as what is about to get its name.
    pub(super) fn note_publishing(&self, run: &Committing<'_>, staged: &OsStr) -> Result<(), Error> {
        let stamp = run.target_dir.storage.stamp_at(staged);
        let stamp = stamp.map_err(|error| Error::io("what was put together could not be examined", error))?;
        let Some(stamp) = stamp else {
            return Err(Error::io(
                "what was put together was taken away",
                std::io::ErrorKind::NotFound.into(),
            ));
        };
        let note = Publishing { file: identity_of(&stamp) };
        let noted = run.attempts.read(OsStr::new(PUBLISHING), NOTE_LEN_MAX)?;
        let noted = noted.and_then(|text| Publishing::parse(&text, &self.key, self.plan.id()).ok());
        if noted == Some(note) {
            return Ok(());
        }
        run.attempts.remove(OsStr::new(PUBLISHING))?;
        run.attempts.put(OsStr::new(PUBLISHING), note.to_text(&self.key, self.plan.id()).as_bytes())
    }

    /// What has come of it, if what a commit was about to publish has the target's name.
    ///
    /// # Errors
    /// [`ErrorKind::JournalMismatch`]: it stands nowhere any more. A rename alone takes its first name from it, so it may have been the target,
    /// and what stands there now is somebody's later work.
    pub(super) fn published(
        &self,
        target_dir: &TargetDir,
        attempts: &AttemptsDir,
    ) -> Result<Option<Outcome>, Error> {
        let is_published = self.stands_published(target_dir, attempts)?;
        is_published.then(|| self.finish_published()).transpose()
    }

    /// The same, and nothing is changed.
    pub(super) fn stands_published(
        &self,
        target_dir: &TargetDir,
        attempts: &AttemptsDir,
    ) -> Result<bool, Error> {
        let Some(text) = attempts.read(OsStr::new(PUBLISHING), NOTE_LEN_MAX)? else { return Ok(false) };
        // Whoever has not the key has not written it; then it says nothing.
        let Ok(note) = Publishing::parse(&text, &self.key, self.plan.id()) else { return Ok(false) };
        let standing = target_dir.target_stamp().map_err(Error::target)?;
        let is_empty = standing.is_none();
        if standing.map(|stamp| identity_of(&stamp)) == Some(note.file) {
            return Ok(true);
        }
        let staged = self.staged_name(target_dir)?;
        let stamp = staged.map(|staged| target_dir.storage.stamp_at(&staged)).transpose();
        let stamp =
            stamp.map_err(|error| Error::io("what is beside the target could not be examined", error))?;
        match stamp.flatten().map(|stamp| identity_of(&stamp)) == Some(note.file) {
            true => Ok(false),
            false => Err(replaced_since(self.target_path(), is_empty)),
        }
    }

    /// The name of what is staged beside the target, or of what would be.
    fn staged_name(&self, target_dir: &TargetDir) -> Result<Option<OsString>, Error> {
        #[cfg(feature = "tree")]
        if self.plan.content().tree.is_some() {
            return self.staged_tree();
        }
        Ok(Some(StagedFile::staging_name(target_dir)))
    }

    /// Of what stands at the target: its mode may be due, and its journal is in the way of others.
    fn finish_published(&self) -> Result<Outcome, Error> {
        #[cfg(feature = "tree")]
        if let Some(tree) = self.plan.content().tree {
            return Ok(match self.finish_tree(tree)? {
                tree_sink::Finished::Done(restored) => Outcome::TreeFinished(restored),
                tree_sink::Finished::Nothing => Outcome::AlreadyCommitted,
            });
        }
        self.finish_published_file().map(|()| Outcome::AlreadyCommitted)
    }

    fn finish_published_file(&self) -> Result<(), Error> {
        // A look first: where nothing is left, opening would make files, and a kill would leave them.
        match StagedFile::examine_at(self.target_dir()?).map_err(Error::target)? {
            Seen::Published { .. } => {}
            // Empty, of a step that was killed as it opened them: the target is in place.
            Seen::Unfinished { attempt_id, .. } if attempt_id == self.attempt_id() => {
                return StagedFile::remove_at(self.target_dir()?).map(drop).map_err(Error::target);
            }
            // Nothing is left; or it is another's, and none of ours to judge.
            Seen::Unfinished { .. } | Seen::Nothing => return Ok(()),
        }
        match self.open_staged() {
            Ok(Opened::Published(published)) => {
                published.finish().map_err(|error| Error::publish(CommitError::Unknown(error)))
            }
            // Somebody else has put it away meanwhile.
            Ok(Opened::Fresh(_) | Opened::Resumable { .. }) | Err(TargetError::Exists { .. }) => Ok(()),
            Err(error) => Err(Error::target(error)),
        }
    }

    /// Removes what a commit of this plan has left beside the target.
    pub(super) fn discard_staged(&self) -> Result<(), Error> {
        #[cfg(feature = "tree")]
        if let Some(tree) = self.plan.content().tree {
            return self.discard_tree(tree);
        }
        let beside = self.target_dir()?;
        match StagedFile::examine_at(self.target_dir()?).map_err(Error::target)? {
            Seen::Unfinished { attempt_id, .. } if attempt_id != self.attempt_id() => Ok(()),
            Seen::Published { .. } => Ok(()),
            // Whatever stands at the target's name.
            Seen::Unfinished { .. } => StagedFile::remove_at(beside).map(drop).map_err(Error::target),
            Seen::Nothing => match StagedFile::remove_at(beside) {
                // What is no file, no commit of this plan has put there.
                Err(TargetError::InTheWay { .. }) => Ok(()),
                removed => removed.map(drop).map_err(Error::target),
            },
        }
    }

    /// What could not be noted is not published: the next commit would not know.
    fn check_note_place(&self) -> Result<(), Error> {
        let path = committed_path(&self.path);
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        accessat(CWD, parent, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).map_err(|error| {
            let what = format!("{} could not be written, so nothing was put in place", path.display());
            Error::io(what, error.into())
                .advise("See to it that this user may write there, and commit again.")
        })
    }

    pub(super) fn note_committed(&self) -> Result<(), Error> {
        let path = committed_path(&self.path);
        let put = put(&path, Committed::of(&self.plan).to_text(&self.key, self.plan.id()).as_bytes());
        let noted = match put {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => match self.is_committed() {
                // Whoever has put it there may have been stopped before its name was durable.
                Ok(true) => sync_beside(&path),
                Ok(false) => Err(error),
                Err(why) => Err(std::io::Error::other(why)),
            },
            put => put,
        };
        noted.map_err(|error| {
            let what = format!("the target is in place, but {} could not be written", path.display());
            let error = Error::new(ErrorKind::DurabilityUnknown, what).because(error);
            error.advise("Look what stands there, and remove it if it is not yours; then run this again: it finds the target in place, and notes it.")
        })
    }

    fn options(&self) -> StageOptions {
        let if_exists = if self.plan.content().replaces { IfExists::Replace } else { IfExists::Refuse };
        StageOptions::default()
            .if_exists(if_exists)
            .on_partial(OnPartial::Resume)
            .expected_len(self.plan.plaintext_len())
            .room(Room::Shared)
    }

    #[cfg(not(feature = "tree"))]
    fn make_tree(&self, _run: &Committing<'_>, _tree: ::parts::TreeTarget) -> Result<Outcome, Error> {
        Err(super::no_trees())
    }

    pub(super) fn attempt_id(&self) -> AttemptId {
        let label = [PARTS_ID, &self.key.target_label(self.plan.id())].concat();
        AttemptId::new(&label).expect("a label of ours is within the limit")
    }
}

/// A commit that has the lock.
pub(super) struct Committing<'a> {
    pub(super) target_dir: &'a TargetDir,
    pub(super) attempts: &'a AttemptsDir,
    pub(super) receipts: &'a Receipts,
    pub(super) threads: NonZeroUsize,
    pub(super) cancel: &'a CancelToken,
    pub(super) reads: Reads,
}

fn missing(receipts: &Receipts) -> Vec<u64> {
    (0..).zip(&receipts.by_part).filter(|(_, found)| found.is_empty()).map(|(part, _)| part).collect()
}

fn replaced_since(target: &Path, is_empty: bool) -> Error {
    let target = target.display();
    let (what, advice) = match is_empty {
        false => (
            format!(
                "a commit that was interrupted may have put {target} in place, and something else stands there since"
            ),
            "It is not replaced: look whether it is what you want. Then give the plan up; if it is not, make another plan, under another name.",
        ),
        true => (
            format!(
                "a commit that was interrupted may have put {target} in place; nothing stands there any more, and what it had staged is gone"
            ),
            "Look who has removed it. Then give the plan up, and make another, under another name.",
        ),
    };
    Error::new(ErrorKind::JournalMismatch, what).advise(advice)
}

fn identity_of(stamp: &FileStamp) -> FileIdentity {
    let nanos = |time: FileTime| {
        u64::try_from(time.seconds).ok()?.checked_mul(1_000_000_000)?.checked_add(time.nanos.into())
    };
    FileIdentity { inode: stamp.inode, created: stamp.created.and_then(nanos) }
}

/// The directory of a plan that is about to give the target's name to what is called `staged` beside it. No key is needed to find it: whoever asks leaves that alone.
pub(crate) fn plan_that_stages(target_dir: &TargetDir, staged: &OsStr) -> Result<Option<PathBuf>, Error> {
    let Ok(Some(stamp)) = target_dir.storage.stamp_at(staged) else { return Ok(None) };
    for path in super::beside(target_dir)? {
        // One that is not ours stages nothing of ours.
        let Ok(Some(private)) = PrivateDir::open(target_dir, path.file_name().unwrap_or_default()) else {
            continue;
        };
        let note = private.read(OsStr::new(PUBLISHING), NOTE_LEN_MAX)?;
        if note.and_then(|note| Publishing::claim(&note)) == Some(identity_of(&stamp)) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// What is kept beside the target is of something else.
pub(super) fn other_attempt(attempt_id: &AttemptId) -> Error {
    if attempt_id.as_bytes().starts_with(PARTS_ID) {
        let what = "the commit of another plan has left something beside the target";
        return Error::new(ErrorKind::JournalMismatch, what)
            .remedied(Remedy::ResumeOrDiscard(Kept::PlanCommit));
    }
    let what = "an interrupted restore of something else is kept beside the target";
    Error::new(ErrorKind::JournalMismatch, what).remedied(Remedy::ResumeOrDiscard(Kept::Restore))
}

/// The note of what is about to be published, in the directory of attempts.
pub(super) const PUBLISHING: &str = "publishing";
/// How often other restores may come in between.
const ATTEMPTS_MAX: usize = 3;
