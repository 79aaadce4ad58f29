//! How a tree's sink begins: over nothing, over what an earlier attempt left, or over the target, because that attempt was done.
//! Knows no row of the recovery table: it gathers the evidence and does what the table says.

use std::{
    fmt, io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    sync::Arc,
};

use cofferdam_io::ReadAt;
use contract::{AttemptId, IfExists, cursor::Cursor};
use local::journal_header::Header;
use parking_lot::Mutex;
use storage::{OnPartial, TargetError};
use tree::{Catalog, Content, Layout, TreeRoot};

use crate::{
    directory_id::DirectoryId,
    error::TreeSinkError,
    journal::{Journal, Locked, MOVING, NAMELESS, nameless},
    merging,
    options::{DeviceFiles, TreeOptions},
    recovery::{Evidence, Recovery, decide},
    sink::{AtDrop, CatalogCopy, StartedOver, TreeSink},
    staging::{Aim, Staging},
    target::{Target, unnamed_file},
};

/// An attempt that may begin, and which ones that were left are of the same restore: their ids differ, each is random.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    /// What a new one is called.
    pub id: &'a AttemptId,
    /// Whether one that is found under an id is of the same tree and the same target, and nobody has changed the id.
    pub is_ours: &'a dyn Fn(&AttemptId) -> bool,
}

impl Attempt<'_> {
    /// One that has no name is nobody's: it may be of another tree.
    fn owns(&self, found: &AttemptId) -> bool {
        found.as_bytes() != NAMELESS && (self.is_ours)(found)
    }
}

impl fmt::Debug for Attempt<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Attempt").field("id", self.id).finish_non_exhaustive()
    }
}

/// What [`TreeSink::open`] found.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "one of them, for a moment")]
pub enum Opened {
    /// Nothing to resume: a new attempt with the given id has begun.
    Fresh(TreeSink),
    /// An earlier attempt that was not published.
    Resumable {
        /// Resumes it. Dropped unused, it leaves all bytes as they were.
        sink: TreeSink,
        /// Its attempt id, which may differ from the one given.
        attempt_id: AttemptId,
    },
    /// An earlier attempt that was published, and had not tidied up.
    Published {
        /// Compares what is written with the target, and does at publish what was left to do; unless it [has other options](TreeSink::has_other_options), with
        /// which it is refused where the target may not be replaced.
        sink: TreeSink,
        /// Its attempt id, which may differ from the one given.
        attempt_id: AttemptId,
    },
}

impl TreeSink {
    /// As [`open`](Self::open), of an attempt that nobody goes on with: what an earlier one left is discarded, and so is this one by a drop.
    ///
    /// # Errors
    /// See [`TreeSinkError`]. The target and its directory are then as they were, save for what earlier attempts had left.
    pub fn create(
        target: impl AsRef<Path>,
        plaintext: &dyn ReadAt,
        options: &TreeOptions,
    ) -> Result<TreeSink, TreeSinkError> {
        let options = options.on_partial(OnPartial::Discard);
        let attempt_id = nameless();
        let attempt = Attempt { id: &attempt_id, is_ours: &|_| false };
        for _ in 0..ATTEMPTS_MAX {
            match TreeSink::open(target.as_ref(), plaintext, &options, &attempt)? {
                Opened::Fresh(mut sink) | Opened::Resumable { mut sink, .. } => {
                    sink.at_drop = AtDrop::Remove;
                    return Ok(sink);
                }
                Opened::Published { sink, .. } => {
                    let tidied = sink.tidy();
                    tidied.map_err(|error| TargetError::io(target.as_ref(), "tidy up beside", error))?;
                }
            }
        }
        let path = target.as_ref().to_owned();
        Err(TargetError::Held { staging: path.clone(), path }.into())
    }

    /// Reads the catalog of `plaintext`, looks at all of it, and goes on with what an earlier attempt at `target` has left; or refuses what could not be
    /// published to, and begins `attempt`. Nothing else of `plaintext` is read.
    ///
    /// Whoever calls compares the id of what is found: what was left is of the tree that it says. A move into the target that is not known to be of
    /// this tree gives no right to replace files.
    ///
    /// # Errors
    /// See [`TreeSinkError`]. The target and its directory are then as they were, save for what was of no use to anybody.
    pub fn open(
        target: impl AsRef<Path>,
        plaintext: &dyn ReadAt,
        options: &TreeOptions,
        attempt: &Attempt<'_>,
    ) -> Result<Opened, TreeSinkError> {
        let target = Target::open(target.as_ref(), options.placement)?;
        let fault = |error: io::Error| TargetError::io(&target.path, "restore to", error);
        let catalog = Arc::new(CatalogCopy::read(plaintext, unnamed_file(&target).map_err(fault)?)?);
        let Content::Tree(opened) = Catalog::open(catalog.clone())? else {
            return Err(TreeSinkError::PlainFile);
        };
        let layout = Layout::new(Arc::new(opened.check()?));
        let plain_len = plaintext.len();
        let opening = Opening { target, layout, catalog, plain_len, options: *options, is_moving: false };
        match opening.target.lock_journal(options.on_partial)? {
            Locked::New(journal) => opening.begin(journal, attempt.id, Before::Nothing),
            Locked::Found(journal) => opening.recover(journal, attempt),
        }
    }
}

/// What was at the journal's name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Before {
    /// Nothing, or a journal that vouches for nothing.
    Nothing,
    /// One that vouches for this directory, which is at the private one's name.
    Journal { stale: Option<DirectoryId> },
}

/// A tree whose catalog is right, and where it goes.
struct Opening {
    target: Target,
    layout: Layout,
    catalog: Arc<CatalogCopy>,
    plain_len: u64,
    options: TreeOptions,
    /// Whether an earlier attempt has begun to move the tree into the target.
    is_moving: bool,
}

impl Opening {
    /// Does what the table says. The journal is locked.
    fn recover(mut self, journal: Journal, attempt: &Attempt<'_>) -> Result<Opened, TreeSinkError> {
        let path = self.target.journal_path();
        let records = journal.read().map_err(|error| TargetError::io(&path, "read", error))?;
        let [staging, target] = self.target.ids()?;
        let is_discarded = self.options.on_partial == OnPartial::Discard;
        if staging.is_some() && !self.target.is_directory_staged()? {
            // What a restore of a file has left: its journal vouches for it.
            return Err(TargetError::InTheWay { staging: self.target.staging_path() }.into());
        }
        let is_ours = matches!(&records.header, Header::Valid(found) if attempt.owns(found));
        if self.target.is_merged() && records.intent.is_some() && is_ours {
            // What is there may be this tree's already.
            self.options.if_exists = IfExists::Replace;
            self.is_moving = true;
        }
        match decide(&Evidence { records, staging, target }) {
            // It vouches for nothing: an attempt died before it had anything, and one that is refused leaves no trace.
            Recovery::StartAnew { .. } if staging.is_none() => {
                self.begin(journal, attempt.id, Before::Nothing)
            }
            Recovery::Resume(found) if is_discarded || found.as_bytes() == NAMELESS => {
                self.begin(journal, attempt.id, Before::Journal { stale: staging })
            }
            Recovery::StartAnew { stale } => self.begin(journal, attempt.id, Before::Journal { stale }),
            Recovery::Resume(found) => {
                self.check()?;
                let place = staging.ok_or_else(|| self.target.held())?;
                let directory = self.target.stage_again(place)?;
                self.try_devices(&directory)?;
                let begun = StartedOver::Resumable { is_taken_back: false };
                let sink = self.sink(journal, directory, begun, AtDrop::Keep)?;
                Ok(Opened::Resumable { sink, attempt_id: found })
            }
            Recovery::Published { attempt_id: found, intent, is_old_tree_there } => {
                let place = target.ok_or_else(|| self.target.held())?;
                let differences = match intent.options {
                    Some(options) if attempt.owns(&found) => {
                        options.differences(&self.options.attribute_options())
                    }
                    _ => String::new(),
                };
                if !differences.is_empty() && self.options.if_exists == IfExists::Refuse {
                    let path = self.target.path.clone();
                    return Err(TargetError::OtherOptions { path, differences }.into());
                }
                if is_old_tree_there && (!attempt.owns(&found) || !differences.is_empty()) {
                    // Whoever replaces this tree tidies up after it first. A run that is refused takes no old tree away.
                    self.target.look(self.options.if_exists)?;
                }
                let directory = self.target.open_published(place)?;
                let replaced = intent.replaced.filter(|_| is_old_tree_there);
                let begun = StartedOver::Published { intent, replaced };
                let sink = self.sink(journal, directory, begun, AtDrop::RemoveUnused)?;
                Ok(Opened::Published { sink, attempt_id: found })
            }
            // Whatever it said, nothing is beside it that could be lost.
            Recovery::Refuse(_) if is_discarded && staging.is_none() => {
                self.begin(journal, attempt.id, Before::Journal { stale: None })
            }
            Recovery::InTheWay => Err(TargetError::InTheWay { staging: self.target.staging_path() }.into()),
            Recovery::Refuse(problem) => Err(TargetError::Journal { path, problem }.into()),
        }
    }

    /// Begins an attempt in a journal that nobody needs. A target that is refused leaves what was there before.
    fn begin(
        mut self,
        journal: Journal,
        attempt_id: &AttemptId,
        before: Before,
    ) -> Result<Opened, TreeSinkError> {
        if let Err(refused) = self.check() {
            if before == Before::Nothing {
                let _ = journal.remove(&self.target.parent);
            }
            return Err(refused);
        }
        // What no journal vouches for may be anybody's only copy.
        let stale = match before {
            Before::Journal { stale } => stale,
            Before::Nothing => None,
        };
        match self.make_place(&journal, attempt_id, stale) {
            Ok(directory) => {
                let sink = self.sink(journal, directory, StartedOver::Fresh, AtDrop::RemoveUnused)?;
                Ok(Opened::Fresh(sink))
            }
            Err(error) => {
                // It vouches for nothing.
                let _ = journal.remove(&self.target.parent);
                Err(error)
            }
        }
    }

    /// The private directory, which the journal names.
    fn make_place(
        &self,
        journal: &Journal,
        attempt_id: &AttemptId,
        stale: Option<DirectoryId>,
    ) -> Result<OwnedFd, TreeSinkError> {
        let fault = |error| TargetError::io(&self.target.journal_path(), "write", error);
        if let Some(stale) = stale {
            // As long as some of it is there, the journal vouches for it.
            journal.give_up().map_err(fault)?;
            self.target.remove_stale(stale)?;
        }
        journal.begin(attempt_id).map_err(fault)?;
        let directory = self.target.stage()?;
        let place = DirectoryId::of(&directory).map_err(fault)?;
        journal.fill(place, &self.target.parent).and_then(|()| self.note_moving(journal)).map_err(fault)?;
        if let Err(refused) = self.try_place(&directory) {
            // Nothing is in it but what was tried.
            let _ = self.target.remove_staging(&directory);
            return Err(refused);
        }
        Ok(directory)
    }

    /// Refuses what could not be made or published there.
    fn try_place(&self, directory: &OwnedFd) -> Result<(), TreeSinkError> {
        // The catalog is read once more only where it has to be.
        if !self.target.tells_case(directory)?
            && let Some(path) = self.layout.checked().same_but_for_case()?
        {
            return Err(TargetError::CaseIsLost { path: self.target.path.join(path.as_path()) }.into());
        }
        self.target.probe(directory)?;
        self.try_devices(directory)
    }

    /// Refuses a tree whose device files are to be made where none can be.
    fn try_devices(&self, directory: &OwnedFd) -> Result<(), TreeSinkError> {
        let has_devices = self.layout.checked().counts().devices > 0;
        match has_devices && self.options.device_files == DeviceFiles::Restore {
            true => Ok(self.target.try_devices(directory)?),
            false => Ok(()),
        }
    }

    /// Some of the tree may be in the target by now: that is not forgotten before all of it is.
    fn note_moving(&self, journal: &Journal) -> io::Result<()> {
        match self.is_moving {
            true => journal.intend(&MOVING, &self.target.parent),
            false => Ok(()),
        }
    }

    fn check(&mut self) -> Result<(), TreeSinkError> {
        self.target.check(self.options.if_exists)?;
        if self.target.is_merged() {
            let directory = self.target.directory();
            let directory =
                directory.map_err(|error| TargetError::io(&self.target.path, "restore to", error))?;
            let widened = match self.is_moving {
                true => merging::let_in(&directory, &self.layout)?,
                false => Vec::new(),
            };
            let checked = merging::check(&directory, &self.target.path, &self.layout, self.options.if_exists);
            checked.inspect_err(|_| merging::close_again(&directory, &widened))?;
        }
        // What an earlier attempt takes up is room: how much that is would take a walk.
        match self.target.ids()? {
            [None, _] => {
                let entries = self.layout.catalog().entries();
                Ok(self.target.check_room(self.plain_len, entries, self.options.room)?)
            }
            [Some(_), _] => Ok(()),
        }
    }

    fn sink(
        self,
        journal: Journal,
        directory: OwnedFd,
        begun: StartedOver,
        at_drop: AtDrop,
    ) -> Result<TreeSink, TargetError> {
        let again = |it: &OwnedFd| {
            let again = it.as_fd().try_clone_to_owned();
            again.map_err(|error| TargetError::io(&self.target.path, "restore to", error))
        };
        let (root, file_system) = (again(&directory)?, again(&directory)?);
        let aim = match begun {
            StartedOver::Published { .. } => Aim::Compare,
            StartedOver::Fresh | StartedOver::Resumable { .. } => Aim::Write,
        };
        let root = TreeRoot::of(root);
        let staging = Staging::new(root, self.layout, journal.skeleton(), self.plain_len, aim);
        Ok(TreeSink {
            staging: Arc::new(staging),
            directory,
            file_system,
            target: self.target,
            journal,
            options: self.options,
            catalog: self.catalog,
            cursor: Cursor::default(),
            begun,
            at_drop,
            before_rename: None,
            restored: Arc::new(Mutex::new(None)),
        })
    }
}

/// Published attempts of others that are tidied up after, one after the other.
const ATTEMPTS_MAX: usize = 3;
