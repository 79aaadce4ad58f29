//! How a staged file begins: over nothing, over what an earlier attempt left, or not at all because that one was done.
//! Knows no row of the recovery table: it gathers the evidence and does what the table says.

use std::{ffi::OsStr, io, path::Path, sync::Arc};

use super::{
    AtDrop, Claims, Earlier, Existing, Found, StageOptions, StagedFile,
    claim::{Claim, held},
    names::Names,
    place::Place,
    progress::Progress,
    recovery::{Evidence, Recovery, decide},
    room,
    staging::Staging,
};
use crate::{
    Checkpoint, TargetError,
    cursor::Cursor,
    journal::{Journal, Label},
    seeded::{Bug, unless},
    storage::{Ahead, FileId, Storage, StorageFile},
};

/// What [`StagedFile::open`] found.
#[derive(Debug)]
pub enum Opened {
    /// Nothing to go on from: an attempt with the label that was given has begun.
    Fresh(StagedFile),
    /// An earlier attempt that was not published.
    Resumable {
        /// Goes on with it. Dropped unused, it leaves everything as it was.
        sink: StagedFile,
        /// Its label, which may be another than the one that was given.
        label: Label,
    },
    /// An earlier attempt that was published: only its leftovers remain.
    Published(Published),
}

/// An attempt that was published, and the crash came before its journal was removed. Dropped, it stays as it is.
#[derive(Debug)]
pub struct Published {
    site: Site,
    journal: Claim,
    id: FileId,
    label: Label,
    mark: Option<Checkpoint>,
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

    /// Makes the target's name durable and removes what is left beside it.
    ///
    /// # Errors
    /// The medium's own. The target stands in any case.
    pub fn finish(self) -> io::Result<()> {
        let Site { place, names } = &self.site;
        place.storage.sync()?;
        // A file system without a rename that replaces nothing can leave both names on the file.
        if place.storage.id_at(&names.staging)? == Some(self.id) {
            place.storage.remove(&names.staging)?;
        }
        self.journal.remove(place)?;
        place.storage.sync()
    }
}

/// What stands beside a target, looked at without a lock and without changing anything.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Seen {
    /// No attempt that could be gone on with.
    Nothing,
    /// An attempt that was not published, or is at work now.
    Unfinished {
        /// Its label.
        label: Label,
        /// Its newest durable mark.
        mark: Option<Checkpoint>,
    },
    /// An attempt that was published: the target is the file it was about.
    Published {
        /// Its label.
        label: Label,
        /// Its newest durable mark.
        mark: Option<Checkpoint>,
    },
}

impl StagedFile {
    /// Resolves `target`, refuses what could not be published to, and makes its staging file. There is no journal, and an
    /// earlier attempt that has one is discarded.
    ///
    /// # Errors
    /// Everything about the target that would fail at the end, and can be seen at the start: see [`TargetError`].
    /// The target and its directory are then as they were, save for stale files of earlier attempts that may be gone.
    pub fn create(target: &Path, options: &StageOptions) -> Result<Self, TargetError> {
        Site::new(Place::resolve(target, options.existing)?).create(options)
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
        Site::new(Place::within(storage, name, options.existing)).create(options)
    }

    /// Resolves `target` and goes on with what an earlier attempt at it left, or begins one that is called `label`.
    ///
    /// A target that exists and must not be replaced is refused after the journal has been looked at: where it is what an
    /// earlier attempt published, that is [`Opened::Published`].
    ///
    /// # Errors
    /// As [`create`](Self::create); [`TargetError::Journal`] where an earlier attempt's journal cannot be used. What that
    /// attempt left is then as it was.
    pub fn open(target: &Path, options: &StageOptions, label: &Label) -> Result<Opened, TargetError> {
        Site::new(Place::resolve(target, options.existing)?).open(options, label)
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
        label: &Label,
    ) -> Result<Opened, TargetError> {
        Site::new(Place::within(storage, name, options.existing)).open(options, label)
    }

    /// Looks at what stands beside `target`. The answer can be out of date at once: only [`open`](Self::open) decides.
    ///
    /// # Errors
    /// [`TargetError::Journal`] where a journal is there that cannot be used; whatever keeps it from being read.
    pub fn look(target: &Path, existing: Existing) -> Result<Seen, TargetError> {
        Site::new(Place::resolve(target, existing)?).look()
    }
}

/// A target's place and the names beside it.
#[derive(Debug)]
struct Site {
    place: Place,
    names: Names,
}

impl Site {
    fn new(place: Place) -> Self {
        let names = Names::beside(&place.name, place.name_len_max());
        Self { place, names }
    }

    fn create(self, options: &StageOptions) -> Result<StagedFile, TargetError> {
        self.check(options)?;
        let earlier = self.find_journal()?;
        if let Some(journal) = &earlier {
            self.clear(journal)?;
        }
        let staging = Claim::replace(&self.place, &self.names.staging)?;
        let sink = self.sink(Claims { staging, journal: None }, None, None);
        if let Some(journal) = &earlier {
            let path = sink.place.sibling(&journal.name);
            journal.remove(&sink.place).map_err(|error| TargetError::io(&path, "remove", error))?;
        }
        take_room(&sink, options)?;
        Ok(sink)
    }

    fn open(self, options: &StageOptions, label: &Label) -> Result<Opened, TargetError> {
        for _ in 0..Claim::ATTEMPTS_MAX {
            if let Some(journal) = self.find_journal()? {
                return self.recover(journal, options, label);
            }
            self.check(options)?;
            if let Some(journal) = Claim::create(&self.place, &self.names.journal)? {
                return self.begin(journal, options, label);
            }
        }
        Err(held(&self.place, &self.names.journal))
    }

    fn look(self) -> Result<Seen, TargetError> {
        let path = self.place.sibling(&self.names.journal);
        let file = match self.place.storage.open(&self.names.journal) {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(Seen::Nothing),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                return Err(TargetError::InTheWay { staging: path });
            }
            Err(error) => return Err(TargetError::io(&path, "open", error)),
        };
        match decide(&self.evidence(&*file)?) {
            Recovery::StartAnew => Ok(Seen::Nothing),
            Recovery::Resume { label, newest } => {
                Ok(Seen::Unfinished { label, mark: newest.and_then(|(_, mark)| mark) })
            }
            Recovery::Published { label, mark, .. } => Ok(Seen::Published { label, mark }),
            Recovery::Refuse(problem) => Err(TargetError::Journal { path, problem }),
        }
    }

    /// Does what the table says. The journal is locked. What memory holds of it may be better than the medium.
    fn recover(self, journal: Claim, options: &StageOptions, label: &Label) -> Result<Opened, TargetError> {
        let path = self.place.sibling(&journal.name);
        journal.file.forget_cached().map_err(|error| TargetError::io(&path, "examine", error))?;
        let recovery = match options.earlier {
            Earlier::Resume => decide(&self.evidence(&*journal.file)?),
            Earlier::Discard => Recovery::StartAnew,
        };
        match recovery {
            Recovery::StartAnew => {
                self.check(options)?;
                self.clear(&journal)?;
                self.begin(journal, options, label)
            }
            Recovery::Resume { label, newest } => self.resume(journal, options, label, newest),
            Recovery::Published { id, label, mark } => {
                Ok(Opened::Published(Published { site: self, journal, id, label, mark }))
            }
            Recovery::Refuse(problem) => Err(TargetError::Journal { path, problem }),
        }
    }

    /// Begins an attempt in an empty journal.
    fn begin(self, journal: Claim, options: &StageOptions, label: &Label) -> Result<Opened, TargetError> {
        let staging = match Claim::replace(&self.place, &self.names.staging) {
            Ok(staging) => staging,
            Err(error) => {
                // It says nothing yet, and would do no harm.
                let _ = journal.remove(&self.place);
                return Err(error);
            }
        };
        let path = self.place.sibling(&journal.name);
        // From here on a drop removes both files.
        let sink = self.sink(Claims { staging, journal: Some(journal) }, None, None);
        if let Some(progress) = &sink.progress {
            progress.begin(label).map_err(|error| TargetError::io(&path, "write", error))?;
        }
        take_room(&sink, options)?;
        Ok(Opened::Fresh(sink))
    }

    fn resume(
        self,
        journal: Claim,
        options: &StageOptions,
        label: Label,
        newest: Option<(u64, Option<Checkpoint>)>,
    ) -> Result<Opened, TargetError> {
        self.check(options)?;
        self.place.check_writable()?;
        let path = self.place.sibling(&self.names.staging);
        let Some(staging) = Claim::find(&self.place, &self.names.staging)? else {
            return Err(TargetError::io(&path, "open", io::Error::from(io::ErrorKind::NotFound)));
        };
        self.place.check_ours(&staging.name, &*staging.file)?;
        // A crash on the way to publish leaves it with the target's rights.
        staging.file.make_private().map_err(|error| TargetError::io(&path, "protect", error))?;
        let len =
            unless(Bug::CacheBelieved, || staging.file.forget_cached()).and_then(|()| staging.file.len());
        let len = len.map_err(|error| TargetError::io(&path, "examine", error))?;
        let claims = Claims { staging, journal: Some(journal) };
        let sink = self.sink(claims, newest, Some(len));
        take_room(&sink, options)?;
        Ok(Opened::Resumable { sink, label })
    }
}

impl Site {
    /// Refuses what could not be published to, or has no room. What an earlier attempt's staging file takes up is room.
    fn check(&self, options: &StageOptions) -> Result<(), TargetError> {
        self.place.check()?;
        let Some(needed) = options.expected_len else { return Ok(()) };
        let standing = self.place.storage.open(&self.names.staging).ok().flatten();
        let taken = standing.and_then(|file| file.allocated().ok()).unwrap_or(0);
        room::check(&self.place, needed, taken)
    }

    fn find_journal(&self) -> Result<Option<Claim>, TargetError> {
        let journal = Claim::find(&self.place, &self.names.journal)?;
        if let Some(journal) = &journal {
            self.place.check_ours(&journal.name, &*journal.file)?;
        }
        Ok(journal)
    }

    /// What is there. The journal is locked, or may be changing.
    fn evidence(&self, journal: &dyn StorageFile) -> Result<Evidence, TargetError> {
        let path = self.place.sibling(&self.names.journal);
        let records = Journal::read(journal).map_err(|error| TargetError::io(&path, "read", error))?;
        let staging = self.place.storage.id_at(&self.names.staging);
        let staging = staging
            .map_err(|error| TargetError::io(&self.place.sibling(&self.names.staging), "examine", error))?;
        let target = self.place.target_id()?;
        let slots = records.verdict();
        Ok(Evidence { header: records.header, slots, intent: records.intent, staging, target })
    }

    /// Removes what an earlier attempt left, but for its journal, which is emptied. Durably, and first: then nothing vouches
    /// for the staging file any more, whenever a crash comes.
    fn clear(&self, journal: &Claim) -> Result<(), TargetError> {
        let stale = Claim::find(&self.place, &self.names.staging)?;
        let failed = |name: &OsStr, error| TargetError::io(&self.place.sibling(name), "remove", error);
        Journal::erase(&*journal.file).map_err(|error| failed(&journal.name, error))?;
        match stale {
            Some(stale) => stale.remove(&self.place).map_err(|error| failed(&stale.name, error)),
            None => Ok(()),
        }
    }

    /// `found_len`: the length of a staging file that is gone on with.
    fn sink(
        self,
        claims: Claims,
        newest: Option<(u64, Option<Checkpoint>)>,
        found_len: Option<u64>,
    ) -> StagedFile {
        let staging = Arc::new(Staging::new(claims.staging.file.clone()));
        let generation = newest.as_ref().map_or(0, |(generation, _)| *generation);
        let progress = claims.journal.as_ref().map(|journal| {
            let journal = Journal::new(journal.file.clone(), generation);
            Arc::new(Progress::new(staging.clone(), journal, self.place.storage.clone()))
        });
        let mark = newest.and_then(|(_, mark)| mark);
        let found = found_len.map(|len| Found { mark, len });
        let at_drop = if found.is_some() { AtDrop::Keep } else { AtDrop::Remove };
        StagedFile {
            staging,
            progress,
            place: self.place,
            claims,
            found,
            at_drop,
            cursor: Cursor::default(),
            ahead: Ahead::default(),
        }
    }
}

fn take_room(sink: &StagedFile, options: &StageOptions) -> Result<(), TargetError> {
    match options.expected_len {
        Some(needed) => room::take(&sink.place, &*sink.staging.file, needed),
        None => Ok(()),
    }
}
