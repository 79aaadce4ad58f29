//! Trees restored: a stream that is one becomes a directory, with what an earlier attempt left of it.
//! It joins the parts and does none of their work.

use std::error::Error as _;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use contract::{IfExists, StreamingSink};
use local::{Beside, StagedFile};
use storage::{Misplaced, OnPartial, Sparse, StageOptions, TargetError, TargetKind};
#[cfg(all(feature = "parts", feature = "signatures"))]
use stream::Attributes;
use stream::{ContentKind, Envelope, Opening, PARTS_ID, ReadPlaintext, Tentative, TreeId, changed_since};
use tree::Content;
use tree_sink::{
    Attempt, Opened, Placement, Restored, Room, SharedRestored, SpooledTree, TreeLeft, TreeLeftovers,
    TreeOptions, TreeSink, TreeSinkError, attempt_beside, look,
};
#[cfg(all(feature = "parts", feature = "signatures"))]
use tree_sink::{DeviceFiles, Owners, SetIdBits};

use crate::trees::{no_tree, said_of_tree, tree_content, tree_sink_error};
use crate::{Error, ErrorKind, InTheWay, Opener, Remedy, Warning};

/// What came of a tree that was restored, to be asked for afterwards: see [`Opener::trees`].
#[derive(Clone, Default, Debug)]
pub struct TreeOutcome(Arc<Mutex<Kept>>);

#[derive(Default, Debug)]
struct Kept {
    restored: Option<SharedRestored>,
    difference: Option<Arc<AtomicBool>>,
}

impl TreeOutcome {
    /// What the published tree lacks, and what was replaced. None: the stream was no tree, or nothing was published.
    pub fn restored(&self) -> Option<Restored> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.restored.as_ref().and_then(|restored| restored.lock().clone())
    }

    fn follow(&self, restored: SharedRestored, difference: Option<Arc<AtomicBool>>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Kept { restored: Some(restored), difference };
    }

    /// The engine has ended by then, and all of its writes with it.
    fn has_difference(&self) -> bool {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.difference.as_ref().is_some_and(|difference| difference.load(Ordering::Relaxed))
    }
}

impl Opener {
    /// Has [`Opener::restore_file`] and [`Opener::restore_to`] make a directory of a stream that is a tree
    /// ([`Sealer::tree`](crate::Sealer::tree)), as `options` say; without this they make a file of its plaintext. What the opener says of existing
    /// targets and of interrupted attempts holds for the directory, too. `outcome` has what came of it.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use cofferdam::tree::{OnChange, Plan, TreeRoot, TreeSource, WalkOptions};
    /// use cofferdam::tree_sink::TreeOptions;
    /// use cofferdam::{BytesSource, Identities, MemorySink, Opener, Recipients, Sealer, TreeOutcome, WrappingKey};
    ///
    /// # let directory = tempfile::tempdir()?;
    /// # let [files, plan, target] = ["files", "plan", "target"].map(|name| directory.path().join(name));
    /// # std::fs::create_dir(&files)?;
    /// std::fs::write(files.join("note"), "of a tree")?;
    /// # let (plan, _) = Plan::create(&TreeRoot::open(&files)?, &plan, &WalkOptions::default())?;
    /// # let source = TreeSource::new(TreeRoot::open(&files)?, Arc::new(plan), OnChange::Flag)?;
    /// # let (sink, sealed) = MemorySink::new();
    /// # let key = || WrappingKey::from_bytes([7; 32]);
    /// # Sealer::new(Recipients::new().wrapping_key(key())).tree().seal(source, sink)?;
    /// let opener = Opener::new(Identities::new().wrapping_key(key()));
    /// let outcome = TreeOutcome::default();
    /// let opener = opener.trees(TreeOptions::default(), &outcome);
    /// opener.restore_to(BytesSource::new(sealed.take().unwrap()), &target)?;
    /// assert_eq!(std::fs::read(target.join("note"))?, b"of a tree");
    /// assert_eq!(outcome.restored().map(|restored| restored.counts.files), Some(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn trees(mut self, options: TreeOptions, outcome: &TreeOutcome) -> Opener {
        self.trees = Some(Trees { options, outcome: outcome.clone(), others: Others::Restore });
        self
    }

    /// After [`Opener::trees`]: refuses a stream that is no tree, as [`ErrorKind::Usage`], before anything is made.
    #[must_use]
    pub fn only_trees(mut self) -> Opener {
        self.trees.iter_mut().for_each(|trees| trees.others = Others::Refuse);
        self
    }

    /// The sealed file is not removed with a directory that is replaced.
    pub(crate) fn refuse_sealed_within(&self, sealed: &Path, target: &Path) -> Result<(), Error> {
        match &self.trees {
            Some(Trees { options, .. })
                if self.if_exists == IfExists::Replace && options.removes_old() && target.is_dir() =>
            {
                refuse_within(target, sealed)
            }
            _ => Ok(()),
        }
    }

    /// Whether a tree is moved into the target, which is a directory.
    pub(crate) fn moves_into(&self) -> bool {
        self.trees.as_ref().is_some_and(|trees| trees.options.placement_of() == Placement::Into)
    }

    /// How trees become directories in place of others, if they do, and whether what is none is refused.
    #[cfg(feature = "parts")]
    pub(crate) fn planned_tree(&self) -> Result<Option<(TreeOptions, bool)>, Error> {
        if self.moves_into() {
            let what = "a plan is for a directory that is new, or replaced as a whole";
            return Err(Error::new(ErrorKind::Usage, what)
                .advise("Restore into a directory that is there by one process, without a plan."));
        }
        Ok(self.trees.as_ref().map(|trees| (trees.options, trees.others == Others::Refuse)))
    }

    /// The sink of a stream that is a tree, if it is one and is to be a directory.
    pub(crate) fn tree_into<S>(
        &self,
        path: &Path,
        if_exists: IfExists,
        envelope: &Envelope,
        read: ReadPlaintext<'_>,
    ) -> Result<TreeInto<S>, Error> {
        let Some(Trees { options, outcome, others }) = &self.trees else { return Ok(TreeInto::File) };
        match (ContentKind::of_metadata(envelope.metadata())?, others) {
            (Some(ContentKind::Tree), _) => {}
            (_, Others::Restore) => {
                refuse_over_tree(path)?;
                return Ok(TreeInto::File);
            }
            (_, Others::Refuse) => return Err(no_tree()),
        }
        self.refuse_seed("the stream is a tree")?;
        let options = options.if_exists(if_exists).on_partial(self.on_partial);
        let id = TreeId::new(envelope, path)?;
        let Some(plaintext) = read()?.map(Arc::new) else {
            return self
                .spool(path, options, *others, &id)
                .map(|sink| TreeInto::Sink(of_pipe(sink, outcome, envelope)));
        };
        if let Content::PlainFile { tar_len } = tree_content(&plaintext)? {
            return match others {
                Others::Restore => Ok(TreeInto::CutFile(tar_len)),
                Others::Refuse => Err(no_tree()),
            };
        }
        let new = id.attempt_id();
        let attempt = Attempt { id: &new, is_ours: &|found| id.check(found).is_ok() };
        for _ in 0..ATTEMPTS_MAX {
            let opened =
                self.open_with_room(|room| TreeSink::open(path, &*plaintext, &options.room(room), &attempt));
            let (sink, found) = match opened.map_err(tree_sink_error)? {
                Opened::Fresh(sink) => (sink, new.clone()),
                Opened::Resumable { sink, attempt_id } => (sink, attempt_id),
                Opened::Published { sink, attempt_id }
                    if id.check(&attempt_id).is_ok() && !sink.has_other_options() =>
                {
                    outcome.follow(sink.restored(), Some(sink.difference()));
                    let sink: Box<dyn StreamingSink> = Box::new(sink);
                    return Ok(TreeInto::Sink(Tentative::Boxed(Opening::plain(sink, envelope))));
                }
                Opened::Published { sink, .. } => {
                    // Another restore, by its stream or its options, was done and had not tidied up. Now it is tidy, and the target like any other.
                    sink.tidy().map_err(unfinished)?;
                    continue;
                }
            };
            outcome.follow(sink.restored(), Some(sink.difference()));
            return id.resume(Box::new(sink), &found).map(TreeInto::Sink);
        }
        Err(Error::new(ErrorKind::TargetLocked, "other restores of the same target keep coming in between"))
    }

    /// What was left beside the target is of this tree, or refused before a byte is read.
    fn spool(
        &self,
        path: &Path,
        options: TreeOptions,
        others: Others,
        id: &TreeId<'_>,
    ) -> Result<SpooledTree, Error> {
        let found = match self.on_partial {
            OnPartial::Resume => attempt_beside(path, options.placement_of()).map_err(Error::target)?,
            OnPartial::Discard => None,
        };
        found.iter().try_for_each(|found| id.check(found))?;
        // How much room the tree needs is known when it has come.
        let options = options.room(if self.sparse == Sparse::Never { Room::Check } else { Room::Assume });
        let as_file = (others == Others::Restore).then(|| StageOptions::default().sparse(self.sparse));
        SpooledTree::create(path, &options, as_file, &id.attempt_id(), found).map_err(Error::target)
    }

    /// How much of a tree are holes is not known before: where it may not fit that is said, unless no holes are wanted.
    pub(crate) fn open_with_room<T>(
        &self,
        open: impl Fn(Room) -> Result<T, TreeSinkError>,
    ) -> Result<T, TreeSinkError> {
        match open(Room::Check) {
            Err(TreeSinkError::Target(TargetError::NoRoom { needed, free: Some(free), .. }))
                if self.sparse != Sparse::Never && needed > free =>
            {
                if let Some(observer) = &self.resources.observer {
                    observer.warning(&Warning::MayNotFit { needed, free });
                }
                open(Room::Assume)
            }
            opened => opened,
        }
    }

    /// An error of a restore that compared the target, or moved the tree into it.
    pub(crate) fn of_tree(&self, error: Error) -> Error {
        let Some(Trees { options, outcome, .. }) = &self.trees else { return error };
        if outcome.has_difference() {
            return changed_since();
        }
        match options.placement_of() {
            Placement::Into => stopped_move(error, None),
            Placement::Whole if is_misplaced(&error) && error.kind() != ErrorKind::DurabilityUnknown => {
                Error::new(
                    ErrorKind::Io,
                    "nothing was put in place: the target's directory is another one than at the start",
                )
                .advise(
                    "Move that directory back and run the same command again, or discard what is kept in it.",
                )
                .because(error)
            }
            Placement::Whole if is_replaced_meanwhile(&error, self.if_exists) => error.advise(
                "What has come there meanwhile is as it was. The same command takes it for what is to be replaced.",
            ),
            Placement::Whole => said_of_tree(error),
        }
    }

    /// How trees and files are restored, as the line that MANIFEST M3.4 has for it: it differs where what is restored may.
    #[cfg(all(feature = "parts", feature = "signatures"))]
    pub(crate) fn choices(&self) -> String {
        let trees = self.trees.as_ref().map_or("no-trees".to_owned(), |Trees { options, .. }| {
            let owners = match options.owners_of() {
                Owners::ByName => "by-name",
                Owners::ByNumber => "by-number",
                Owners::Ours => "ours",
            };
            let set_id = match options.set_id_bits_of() {
                SetIdBits::LeaveOut => "no-set-id",
                SetIdBits::Restore => "set-id",
            };
            let devices = match options.device_files_of() {
                DeviceFiles::LeaveOut => "no-devices",
                DeviceFiles::Restore => "devices",
            };
            format!("{owners} {set_id} {devices}")
        });
        let attributes = if self.attributes == Attributes::Restore { "preserve" } else { "no-preserve" };
        format!("options {trees} {attributes}\n")
    }
}

/// Whether a target that was to be replaced is another one by now.
fn is_replaced_meanwhile(error: &Error, if_exists: IfExists) -> bool {
    if_exists == IfExists::Replace
        && error.kind() == ErrorKind::TargetExists
        && error.remedy() == Some(Remedy::Replace(InTheWay::File))
}

/// An error after the tree had been put at `path`: as long as it is known what is left to do, the same call does it.
pub(crate) fn still_to_tidy(error: Error, path: &Path) -> Error {
    if error.kind() != ErrorKind::DurabilityUnknown || is_misplaced(&error) {
        return error;
    }
    match look(path, Placement::Whole) {
        Ok(Some(TreeLeftovers { found: TreeLeft::Published { .. }, .. })) => error.advise(
            "It may not have its owner, mode and time yet, and what it replaced may be beside it. Run the same command again: it does what was left to do.",
        ),
        _ => error,
    }
}

/// Refuses a file where a directory is at the private name beside the target: what an interrupted restore of a tree has left, for one.
fn refuse_over_tree(path: &Path) -> Result<(), Error> {
    let Ok(Beside { staging: Some((staging, _)), .. }) = StagedFile::beside(path) else { return Ok(()) };
    let is_directory = |path: &Path| path.symlink_metadata().is_ok_and(|found| found.is_dir());
    match (is_directory(&staging), is_directory(path)) {
        (false, _) => Ok(()),
        (true, true) => {
            Err(Error::target(TargetError::NotAFile { path: path.to_owned(), kind: TargetKind::Directory }))
        }
        (true, false) => {
            let what = format!("{}: a directory is kept there, and the stream is a file", staging.display());
            let kept = match attempt_beside(path, Placement::Whole) {
                Ok(Some(attempt)) if attempt.as_bytes().starts_with(PARTS_ID) => crate::Kept::PlanCommit,
                _ => crate::Kept::Restore,
            };
            Err(Error::new(ErrorKind::JournalMismatch, what).remedied(Remedy::ResumeOrDiscard(kept)))
        }
    }
}

/// An error of a tree that was to be moved into a directory: what of it is where. Without a remedy the same command brings it to its end.
pub(crate) fn stopped_move(error: Error, remedy: Option<Remedy>) -> Error {
    match (is_misplaced(&error), error.kind()) {
        (true, ErrorKind::DurabilityUnknown) => Error::new(
            ErrorKind::DurabilityUnknown,
            "the tree was moved into the directory that the target was at the start, and the target is another one now",
        )
        .advise("Look at both directories. Nothing of the tree is in the one that is the target now.")
        .because(error),
        (true, _) => Error::new(
            ErrorKind::Io,
            "nothing was moved into the target, which is another directory than at the start",
        )
        .advise("Move that directory back and run the same command again, or discard what is kept in it.")
        .because(error),
        (false, ErrorKind::DurabilityUnknown) => {
            let what = "some of the tree has been moved into the target, and perhaps not all of it";
            let stopped = Error::new(ErrorKind::DurabilityUnknown, what);
            match remedy {
                Some(remedy) => stopped.remedied(remedy),
                None => stopped
                    .advise("The same command brings it to its end, as soon as nothing is in its way."),
            }
            .because(error)
        }
        (false, _) => said_of_tree(error),
    }
}

fn is_misplaced(error: &Error) -> bool {
    let mut cause = error.source();
    while let Some(under) = cause {
        let inner = under.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if inner.is_some_and(|inner| inner.is::<Misplaced>()) {
            return true;
        }
        cause = under.source();
    }
    false
}

/// How streams that are trees are restored.
#[derive(Clone, Debug)]
pub(crate) struct Trees {
    options: TreeOptions,
    outcome: TreeOutcome,
    others: Others,
}

/// What becomes of streams that are none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Others {
    Restore,
    Refuse,
}

/// What a stream is restored into.
pub(crate) enum TreeInto<S> {
    /// It is a file.
    File,
    /// It is a tree without a catalog: a file of its first bytes, so many.
    CutFile(u64),
    Sink(Tentative<S>),
}

fn of_pipe<S>(sink: SpooledTree, outcome: &TreeOutcome, envelope: &Envelope) -> Tentative<S> {
    outcome.follow(sink.restored(), None);
    let sink: Box<dyn StreamingSink> = Box::new(sink);
    Tentative::Boxed(Opening::plain(sink, envelope))
}

/// Refuses `directory`, which is to be replaced and then removed, if the file at `read` lies in it: that would be gone, too. What cannot be looked at
/// is left to whoever opens it.
///
/// # Errors
/// [`ErrorKind::Usage`].
pub fn refuse_within(directory: impl AsRef<Path>, read: impl AsRef<Path>) -> Result<(), Error> {
    let read = read.as_ref();
    let (Ok(within), Ok(file)) = (fs::canonicalize(directory), fs::canonicalize(read)) else { return Ok(()) };
    if !file.starts_with(&within) {
        return Ok(());
    }
    let what = format!(
        "{} lies in the directory that is to be replaced, and would be removed with it",
        read.display()
    );
    Err(Error::new(ErrorKind::Usage, what)
        .advise("Move it away first, or have the directory that is replaced kept."))
}

fn unfinished(error: std::io::Error) -> Error {
    let what = "an earlier run has put the target in place, but it may not survive a power cut";
    Error::new(ErrorKind::DurabilityUnknown, what)
        .advise("Run `sync` on its file system and look at the system's log; then verify the target.")
        .because(error)
}

/// How often other restores may come in between.
const ATTEMPTS_MAX: usize = 3;
