//! How a staged file begins: over nothing, over what an earlier attempt left, or not at all because that one was done.
//! Knows no row of the recovery table: it gathers the evidence and does what the table says.

use std::{ffi::OsStr, fs::File, io, os::unix::fs::MetadataExt as _, path::Path, sync::Arc};

use contract::{AttemptId, Checkpoint, IfExists, cursor::Cursor};
use storage::{
    FileId, OnPartial, Ownership, Room, Sparse, StageOptions, Storage, StorageFile, TargetDir, TargetError,
    Writeback, free_space,
};

use super::{
    AtDrop, Found, LockedFiles, StagedFile,
    holes::Holes,
    locked_file::{LockedFile, held},
    names::Names,
    notice::{Notices, TargetNotice},
    probe,
    progress::Progress,
    published::Published,
    recovery::{self, Evidence, Recovery, decide},
    staging::Staging,
};
use crate::journal::{Announced, Intent, Journal, WriterId};

/// What [`StagedFile::open`] found.
#[derive(Debug)]
pub enum Opened {
    /// Nothing to resume: a new attempt with the given id has begun.
    Fresh(StagedFile),
    /// An earlier attempt that was not published.
    Resumable {
        /// Resumes it. Dropped unused, it leaves everything as it was.
        sink: StagedFile,
        /// Its attempt id, which may differ from the one given.
        attempt_id: AttemptId,
    },
    /// An earlier attempt that was published: only its leftovers remain.
    Published(Published),
}

/// What is beside a target, examined without a lock and without changing anything.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Seen {
    /// No attempt that could be resumed.
    Nothing,
    /// An attempt that was not published, or is at work now.
    Unfinished {
        /// Its label.
        attempt_id: AttemptId,
        /// Its newest durable checkpoint.
        checkpoint: Option<Checkpoint>,
    },
    /// An attempt that was published: the target is its file.
    Published {
        /// Its label.
        attempt_id: AttemptId,
        /// Its newest durable checkpoint.
        checkpoint: Option<Checkpoint>,
    },
}

impl StagedFile {
    /// Resolves `target`, refuses what could not be published to, and makes its staging file. There is no journal, and an
    /// earlier attempt that has one is discarded.
    ///
    /// # Errors
    /// Everything about the target that would fail at the end and can be detected at the start: see [`TargetError`].
    /// The target and its directory are then as they were, save for stale files of earlier attempts that may be gone.
    pub fn create(target: impl AsRef<Path>, options: &StageOptions) -> Result<Self, TargetError> {
        let target = target.as_ref();
        Site::new(TargetDir::resolve(target, options.if_exists)?).create(options)
    }

    /// As [`create`](Self::create), to replace the file at `target` that the caller has opened as `standing`, and has looked at: it gets that
    /// file's owner, attributes and mode, whatever comes to the name until then.
    ///
    /// # Errors
    /// As there; [`TargetError::Exists`] if another file is at the name by now.
    pub fn create_over(
        target: impl AsRef<Path>,
        options: &StageOptions,
        standing: File,
    ) -> Result<Self, TargetError> {
        let target_dir = TargetDir::resolve(target.as_ref(), IfExists::Replace)?;
        let path = target_dir.path().to_owned();
        let metadata = standing.metadata().map_err(|error| TargetError::io(&path, "examine", error))?;
        if target_dir.target_id()? != Some(FileId { device: metadata.dev(), inode: metadata.ino() }) {
            return Err(TargetError::Exists { path });
        }
        let mut sink = Site::new(target_dir).create(options)?;
        sink.model = Some(standing);
        Ok(sink)
    }

    /// [`create`](Self::create) in a directory that need not be a real one. What can be seen of a real one alone is not
    /// checked.
    ///
    /// # Errors
    /// As there.
    pub fn create_in(
        storage: Arc<dyn Storage>,
        name: &OsStr,
        options: &StageOptions,
    ) -> Result<Self, TargetError> {
        Site::new(TargetDir::within(storage, name, options.if_exists)).create(options)
    }

    /// Resolves `target` and resumes what an earlier attempt left there, or begins a new one with the id
    /// `attempt_id`.
    ///
    /// A target that exists and must not be replaced is refused only after the journal has been read: if an earlier
    /// attempt published it, that is [`Opened::Published`].
    ///
    /// # Errors
    /// As [`create`](Self::create); [`TargetError::Journal`] where an earlier attempt's journal cannot be used. What that
    /// attempt left is then as it was.
    pub fn open(
        target: impl AsRef<Path>,
        options: &StageOptions,
        attempt_id: &AttemptId,
    ) -> Result<Opened, TargetError> {
        let target = target.as_ref();
        Site::new(TargetDir::resolve(target, options.if_exists)?).open(options, attempt_id)
    }

    /// [`open`](Self::open) of a target that was resolved before: a link that stands at its name now leads nowhere else, and is refused.
    ///
    /// # Errors
    /// As there.
    pub fn open_at(
        target_dir: TargetDir,
        options: &StageOptions,
        attempt_id: &AttemptId,
    ) -> Result<Opened, TargetError> {
        Site::new(target_dir).open(options, attempt_id)
    }

    /// [`open`](Self::open) in a directory that need not be a real one. What can be seen of a real one alone is not
    /// checked.
    ///
    /// # Errors
    /// As there.
    pub fn open_in(
        storage: Arc<dyn Storage>,
        name: &OsStr,
        options: &StageOptions,
        attempt_id: &AttemptId,
    ) -> Result<Opened, TargetError> {
        Site::new(TargetDir::within(storage, name, options.if_exists)).open(options, attempt_id)
    }

    /// Removes what is beside `target` and useless to any attempt: a journal whose target has changed since it was
    /// put in place, and the staging file's name where it is a second name of the target, because a publish by a link
    /// was cut off.
    ///
    /// # Errors
    /// [`TargetError::Held`] where a writer is at work; whatever keeps the directory from being read or changed.
    pub fn tidy(target: impl AsRef<Path>) -> Result<(), TargetError> {
        let target = target.as_ref();
        Site::new(TargetDir::resolve(target, IfExists::Refuse)?).tidy()
    }

    /// Examines what is beside `target`. The answer can be outdated immediately: only [`open`](Self::open) decides.
    ///
    /// # Errors
    /// [`TargetError::Journal`] where a journal is there that cannot be used; whatever keeps it from being read.
    pub fn examine(target: impl AsRef<Path>, if_exists: IfExists) -> Result<Seen, TargetError> {
        let target = target.as_ref();
        Site::new(TargetDir::resolve(target, if_exists)?).look()
    }

    /// [`examine`](Self::examine) of a target that was resolved before.
    ///
    /// # Errors
    /// As there.
    pub fn examine_at(target_dir: TargetDir) -> Result<Seen, TargetError> {
        Site::new(target_dir).look()
    }
}

/// A target's place and the names beside it.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) target_dir: TargetDir,
    pub(super) names: Names,
}

impl Site {
    pub(super) fn new(target_dir: TargetDir) -> Self {
        let names = Names::beside(&target_dir.name, target_dir.name_len_max());
        Self { target_dir, names }
    }

    fn create(self, options: &StageOptions) -> Result<StagedFile, TargetError> {
        self.remove_second_name()?;
        self.check(options)?;
        let on_partial = match self.find_journal(options.on_partial)? {
            Journalled::Ours(journal) => Some(journal),
            Journalled::Nothing | Journalled::Unknowable => None,
        };
        if let Some(journal) = &on_partial {
            self.clear(journal)?;
        }
        let staging = self.stage()?;
        let mut sink = self.sink(LockedFiles { staging, journal: None }, options, None, None);
        protect(&mut sink)?;
        if let Some(journal) = &on_partial {
            let path = sink.target_dir.sibling(&journal.name);
            journal.remove(&sink.target_dir).map_err(|error| TargetError::io(&path, "remove", error))?;
        }
        prepare_space(&mut sink, options)?;
        Ok(sink)
    }

    fn open(self, options: &StageOptions, attempt_id: &AttemptId) -> Result<Opened, TargetError> {
        for _ in 0..LockedFile::ATTEMPTS_MAX {
            match self.find_journal(options.on_partial)? {
                Journalled::Ours(journal) => return self.recover(journal, options, attempt_id),
                Journalled::Unknowable => return self.begin_unkept(options),
                Journalled::Nothing => {}
            }
            self.check(options)?;
            if let Some(journal) = LockedFile::create(&self.target_dir, &self.names.journal)? {
                return self.begin(journal, options, attempt_id);
            }
        }
        Err(held(&self.target_dir, &self.names.journal))
    }

    fn look(self) -> Result<Seen, TargetError> {
        let path = self.target_dir.sibling(&self.names.journal);
        let file = match self.target_dir.storage.open(&self.names.journal) {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(Seen::Nothing),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                return Err(TargetError::InTheWay { staging: path });
            }
            Err(error) => return Err(TargetError::io(&path, "open", error)),
        };
        self.target_dir.check_ours(&self.names.journal, &*file)?;
        match decide(&self.evidence(&*file)?) {
            Recovery::StartAnew => Ok(Seen::Nothing),
            Recovery::Resume { attempt_id, newest } => {
                Ok(Seen::Unfinished { attempt_id, checkpoint: newest.and_then(|(_, checkpoint)| checkpoint) })
            }
            Recovery::Published { attempt_id, checkpoint, .. } => {
                Ok(Seen::Published { attempt_id, checkpoint })
            }
            Recovery::Refuse(problem) => Err(TargetError::Journal { path, problem }),
        }
    }

    /// Does what the table says. The journal is locked. What memory holds of it may be better than the medium.
    fn recover(
        self,
        journal: LockedFile,
        options: &StageOptions,
        attempt_id: &AttemptId,
    ) -> Result<Opened, TargetError> {
        let path = self.target_dir.sibling(&journal.name);
        journal.file.drop_page_cache().map_err(|error| TargetError::io(&path, "examine", error))?;
        let evidence = self.evidence(&*journal.file)?;
        let recovery = match (options.on_partial, decide(&evidence)) {
            (OnPartial::Resume, recovery) => recovery,
            // What was published is no attempt any more: it is a target, and is discarded where targets are replaced.
            (OnPartial::Discard, published @ Recovery::Published { .. })
                if self.target_dir.if_exists == IfExists::Refuse =>
            {
                published
            }
            (OnPartial::Discard, _) => Recovery::StartAnew,
        };
        match recovery {
            Recovery::StartAnew => {
                self.check(options)?;
                self.clear(&journal)?;
                self.begin(journal, options, attempt_id)
            }
            Recovery::Resume { attempt_id: found, newest } => {
                let Some(staging) = self.find_staging(&evidence.intent)? else {
                    // What the target was to hold is not for others to read, whatever is refused now.
                    self.clear(&journal)?;
                    self.check(options)?;
                    return self.begin(journal, options, attempt_id);
                };
                self.resume(journal, staging, options, found, newest)
            }
            Recovery::Published { attempt_id, checkpoint, announced } => {
                Ok(Opened::Published(Published { site: self, journal, attempt_id, checkpoint, announced }))
            }
            Recovery::Refuse(problem) => Err(TargetError::Journal { path, problem }),
        }
    }

    /// Begins an attempt in an empty journal.
    fn begin(
        self,
        journal: LockedFile,
        options: &StageOptions,
        attempt_id: &AttemptId,
    ) -> Result<Opened, TargetError> {
        let ownership = journal.file.ownership();
        let path = self.target_dir.sibling(&journal.name);
        if let Ownership::SomeoneElses { .. } =
            ownership.map_err(|error| TargetError::io(&path, "examine", error))?
        {
            journal.remove(&self.target_dir).map_err(|error| TargetError::io(&path, "remove", error))?;
            return self.begin_unkept(options);
        }
        let staging = match self.stage() {
            Ok(staging) => staging,
            Err(error) => {
                // It says nothing yet, and would do no harm.
                let _ = journal.remove(&self.target_dir);
                return Err(error);
            }
        };
        // From here on a drop removes both files.
        let mut sink = self.sink(LockedFiles { staging, journal: Some(journal) }, options, None, None);
        protect(&mut sink)?;
        if let Some(progress) = &sink.progress {
            progress.begin(attempt_id).map_err(|error| TargetError::io(&path, "write", error))?;
        }
        prepare_space(&mut sink, options)?;
        Ok(Opened::Fresh(sink))
    }

    /// Begins where files of ours cannot be told from another's: with nothing that a later attempt could build upon.
    fn begin_unkept(self, options: &StageOptions) -> Result<Opened, TargetError> {
        self.check(options)?;
        let staging = self.stage()?;
        let mut sink = self.sink(LockedFiles { staging, journal: None }, options, None, None);
        sink.notices.add(TargetNotice::OwnersNotKept);
        protect(&mut sink)?;
        prepare_space(&mut sink, options)?;
        Ok(Opened::Fresh(sink))
    }

    /// A new staging file, where it can be published. Its lock comes first: under it nobody else tries the same names.
    fn stage(&self) -> Result<LockedFile, TargetError> {
        let staging = LockedFile::replace(&self.target_dir, &self.names.staging)?;
        let [probe, second] = &self.names.probes;
        probe::check_publish(&self.target_dir, probe, second).inspect_err(|_| {
            // Empty, and removed by the next writer where it cannot be removed now.
            let _ = staging.remove(&self.target_dir);
        })?;
        Ok(staging)
    }

    fn resume(
        self,
        journal: LockedFile,
        staging: LockedFile,
        options: &StageOptions,
        attempt_id: AttemptId,
        newest: Option<(u64, Option<Checkpoint>)>,
    ) -> Result<Opened, TargetError> {
        let path = self.target_dir.sibling(&self.names.staging);
        // Where modes are not changed, that is seen here.
        let protected = staging.file.make_private();
        self.target_dir.check_writable()?;
        self.check(options)?;
        let len = staging.file.drop_page_cache().and_then(|()| staging.file.len());
        let len = len.map_err(|error| TargetError::io(&path, "examine", error))?;
        let claims = LockedFiles { staging, journal: Some(journal) };
        let mut sink = self.sink(claims, options, newest, Some(len));
        sink.notices.of_mode(protected).map_err(|error| TargetError::io(&path, "protect", error))?;
        prepare_space(&mut sink, options)?;
        Ok(Opened::Resumable { sink, attempt_id })
    }
}

impl Site {
    /// Refuses what could not be published to, or has no room. What an earlier attempt's staging file takes up is room.
    fn check(&self, options: &StageOptions) -> Result<(), TargetError> {
        self.target_dir.check()?;
        let Some(needed) = options.expected_len else { return Ok(()) };
        let standing = self.target_dir.storage.open(&self.names.staging).ok().flatten();
        let taken = match options.room {
            Room::Whole => standing.and_then(|file| file.allocated().ok()).unwrap_or(0),
            // What is not shared is looked for once it is known.
            Room::Shared => needed,
        };
        match free_space::check(&self.target_dir, needed, taken) {
            // It may fit for all that: see `prepare_space`.
            Err(TargetError::NoRoom { .. }) if options.sparse != Sparse::Never => Ok(()),
            checked => checked,
        }
    }

    fn tidy(&self) -> Result<(), TargetError> {
        let Journalled::Ours(journal) = self.find_journal(OnPartial::Resume)? else {
            return self.remove_second_name();
        };
        if decide(&self.evidence(&*journal.file)?) == Recovery::StartAnew {
            self.clear(&journal)?;
            let path = self.target_dir.sibling(&journal.name);
            journal.remove(&self.target_dir).map_err(|error| TargetError::io(&path, "remove", error))?;
        }
        Ok(())
    }

    /// Where there is a journal, that says what to do.
    fn remove_second_name(&self) -> Result<(), TargetError> {
        let id_at = |name: &OsStr| {
            let found = self.target_dir.storage.id_at(name);
            found.map_err(|error| TargetError::io(&self.target_dir.sibling(name), "examine", error))
        };
        let staged = id_at(&self.names.staging)?;
        if staged.is_none()
            || staged != id_at(&self.target_dir.name)?
            || id_at(&self.names.journal)?.is_some()
        {
            return Ok(());
        }
        let Some(second) = LockedFile::find(&self.target_dir, &self.names.staging)? else { return Ok(()) };
        let path = self.target_dir.sibling(&second.name);
        second.remove(&self.target_dir).map_err(|error| TargetError::io(&path, "remove", error))
    }

    /// Finds the journal, if it is ours. Another's is refused; or replaced, unread and unchanged, where an earlier attempt is
    /// to be discarded anyway, or where nothing can be known to be ours.
    fn find_journal(&self, on_partial: OnPartial) -> Result<Journalled, TargetError> {
        let Some(journal) = LockedFile::find(&self.target_dir, &self.names.journal)? else {
            return Ok(Journalled::Nothing);
        };
        let ours = self.target_dir.check_ours(&journal.name, &*journal.file);
        let Err(not_ours) = ours.and_then(|()| self.check_closed(&journal)) else {
            return Ok(Journalled::Ours(journal));
        };
        let found = match on_partial {
            OnPartial::Discard => Journalled::Nothing,
            OnPartial::Resume if !self.keeps_owners(&not_ours)? => Journalled::Unknowable,
            OnPartial::Resume => return Err(not_ours),
        };
        let path = self.target_dir.sibling(&journal.name);
        journal.remove(&self.target_dir).map_err(|error| TargetError::io(&path, "remove", error))?;
        Ok(found)
    }

    /// A journal is created for its owner alone. One that others may write is another file, put there by someone who
    /// may rename files here, and who may hold it open.
    fn check_closed(&self, journal: &LockedFile) -> Result<(), TargetError> {
        match self.is_open(&*journal.file, &journal.name)? {
            true => Err(TargetError::OpenToOthers { path: self.target_dir.sibling(&journal.name) }),
            false => Ok(()),
        }
    }

    /// The staging file of an earlier attempt: the one that its intent announces, with whatever owner and rights it took from
    /// the target before a crash, or else one that looks like ours. `None`: others may read or write it, so that it is
    /// another file of ours that somebody has renamed, and may hold open.
    fn find_staging(&self, intent: &Intent) -> Result<Option<LockedFile>, TargetError> {
        let path = self.target_dir.sibling(&self.names.staging);
        let Some(staging) = LockedFile::find(&self.target_dir, &self.names.staging)? else {
            return Err(TargetError::io(&path, "open", io::Error::from(io::ErrorKind::NotFound)));
        };
        if self.is_announced(intent, &staging)? {
            return Ok(Some(staging));
        }
        self.target_dir.check_ours(&staging.name, &*staging.file)?;
        let is_open = self.is_open(&*staging.file, &staging.name)?;
        Ok((!is_open).then_some(staging))
    }

    /// Whether a journal of ours announces this very file. Without a creation time it could be another one with a
    /// reused inode number; and we never gave it a second name.
    pub(super) fn is_announced(&self, intent: &Intent, staging: &LockedFile) -> Result<bool, TargetError> {
        // With a mode that is due nothing is replaced, and the file has stayed its owner's alone.
        let Intent::Valid(Announced { stamp: announced, mode_due: None, .. }) = intent else {
            return Ok(false);
        };
        let failed = |error| TargetError::io(&self.target_dir.sibling(&staging.name), "examine", error);
        let found = staging.file.stamp().map_err(failed)?;
        let shared = staging.file.ownership().map_err(failed)? == Ownership::Shared;
        Ok(!shared
            && found.created.is_some()
            && announced.created.is_some()
            && found.is_of_same_file(announced))
    }

    /// Where all files are open to others, this one has to be as well.
    fn is_open(&self, file: &dyn StorageFile, name: &OsStr) -> Result<bool, TargetError> {
        let open = file.is_open_to_others();
        let open = open.map_err(|error| TargetError::io(&self.target_dir.sibling(name), "examine", error))?;
        Ok(open && probe::keeps_modes(&self.target_dir, &self.names.probes[0])?)
    }

    fn keeps_owners(&self, not_ours: &TargetError) -> Result<bool, TargetError> {
        match not_ours {
            TargetError::NotOurs { .. } => probe::keeps_owners(&self.target_dir, &self.names.probes[0]),
            _ => Ok(true),
        }
    }

    /// What is there. The journal is locked, or may be changing.
    fn evidence(&self, journal: &dyn StorageFile) -> Result<Evidence, TargetError> {
        let path = self.target_dir.sibling(&self.names.journal);
        let records = Journal::read(journal).map_err(|error| TargetError::io(&path, "read", error))?;
        let staging = self.target_dir.storage.id_at(&self.names.staging);
        let staging = staging.map_err(|error| {
            TargetError::io(&self.target_dir.sibling(&self.names.staging), "examine", error)
        })?;
        let staging = if staging.is_some() { recovery::Staging::There } else { recovery::Staging::Gone };
        let target = self.target_dir.target_stamp()?;
        let slots = records.verdict();
        Ok(Evidence { header: records.header, slots, intent: records.intent, staging, target })
    }

    /// Removes what an earlier attempt left, but for its journal, which is emptied. Durably, and first: then nothing vouches
    /// for the staging file any more, whenever a crash comes.
    fn clear(&self, journal: &LockedFile) -> Result<(), TargetError> {
        let stale = LockedFile::find(&self.target_dir, &self.names.staging)?;
        let failed = |name: &OsStr, error| TargetError::io(&self.target_dir.sibling(name), "remove", error);
        Journal::erase(&*journal.file).map_err(|error| failed(&journal.name, error))?;
        match stale {
            Some(stale) => stale.remove(&self.target_dir).map_err(|error| failed(&stale.name, error)),
            None => Ok(()),
        }
    }

    /// `found_len`: the length of a staging file that is gone on with.
    fn sink(
        self,
        claims: LockedFiles,
        options: &StageOptions,
        newest: Option<(u64, Option<Checkpoint>)>,
        found_len: Option<u64>,
    ) -> StagedFile {
        let file = claims.staging.file.clone();
        let holes = Holes::new(file.clone(), options.sparse, options.expected_len, found_len.unwrap_or(0));
        let staging = Arc::new(Staging::new(file, holes));
        let generation = newest.as_ref().map_or(0, |(generation, _)| *generation);
        let progress = claims.journal.as_ref().map(|journal| {
            let journal = Journal::new(journal.file.clone(), generation);
            Arc::new(Progress::new(staging.clone(), journal, self.target_dir.storage.clone()))
        });
        let checkpoint = newest.and_then(|(_, checkpoint)| checkpoint);
        let found = found_len.map(|len| Found { checkpoint, len });
        let at_drop = if found.is_some() { AtDrop::Keep } else { AtDrop::Remove };
        StagedFile {
            staging,
            progress,
            target_dir: self.target_dir,
            claims,
            writer: WriterId::default(),
            mode: None,
            model: None,
            modified: None,
            notices: Notices::default(),
            found,
            at_drop,
            cursor: Cursor::default(),
            writeback: Writeback::default(),
        }
    }
}

/// What stands at the journal's name.
enum Journalled {
    Nothing,
    /// Another's might have stood there as well as ours: it is gone.
    Unknowable,
    Ours(LockedFile),
}

/// The staging file was made for its owner alone; where modes are not changed, that is seen here.
fn protect(sink: &mut StagedFile) -> Result<(), TargetError> {
    let protected = sink.staging.file.make_private();
    let path = sink.staging_path();
    sink.notices.of_mode(protected).map_err(|error| TargetError::io(&path, "protect", error))
}

/// Takes the room where no holes are to be left, and nothing is to be shared. Otherwise nobody knows how much is needed: of holes, a length
/// that does not fit is reported; of what is shared, the rest is looked for once it is known.
fn prepare_space(sink: &mut StagedFile, options: &StageOptions) -> Result<(), TargetError> {
    let Some(needed) = options.expected_len else { return Ok(()) };
    match (options.room, options.sparse) {
        (Room::Shared, _) => return Ok(()),
        (Room::Whole, Sparse::Never) => {
            return free_space::take(&sink.target_dir, &*sink.staging.file, needed);
        }
        (Room::Whole, _) => {}
    }
    let taken = sink.staging.file.allocated().unwrap_or(0);
    if let Err(TargetError::NoRoom { needed, free: Some(free), .. }) =
        free_space::check(&sink.target_dir, needed, taken)
    {
        sink.notices.add(TargetNotice::MayNotFit { needed, free });
    }
    Ok(())
}
