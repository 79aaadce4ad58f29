//! Trees restored: a stream that is one becomes a directory, with what an earlier attempt left of it.
//! It joins the parts and does none of their work.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use contract::{IfExists, StreamingSink};
use storage::{Sparse, TargetError};
use stream::{ContentKind, Envelope, Opening, ReadPlaintext, Tentative, TreeId, changed_since};
use tree_sink::{Opened, Restored, Room, TreeOptions, TreeSink, TreeSinkError};

use crate::trees::tree_sink_error;
use crate::{Error, ErrorKind, Opener, Warning};

/// What came of a tree that was restored, to be asked for afterwards: see [`Opener::trees`].
#[derive(Clone, Default, Debug)]
pub struct TreeOutcome(Arc<Mutex<Kept>>);

#[derive(Default, Debug)]
struct Kept {
    restored: Option<tree_sink::SharedRestored>,
    difference: Option<Arc<AtomicBool>>,
}

impl TreeOutcome {
    /// What the published tree lacks, and what was replaced. None: the stream was no tree, or nothing was published.
    pub fn restored(&self) -> Option<Restored> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.restored.as_ref().and_then(|restored| restored.lock().clone())
    }

    fn follow(&self, sink: &TreeSink) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Kept { restored: Some(sink.restored()), difference: Some(sink.difference()) };
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

    /// The sink of a stream that is a tree, if it is one and is to be a directory.
    pub(crate) fn tree_into<S>(
        &self,
        path: &Path,
        if_exists: IfExists,
        envelope: &Envelope,
        read: ReadPlaintext<'_>,
    ) -> Result<Option<Tentative<S>>, Error> {
        let Some(Trees { options, outcome, others }) = &self.trees else { return Ok(None) };
        match (ContentKind::of_metadata(envelope.metadata())?, others) {
            (Some(ContentKind::Tree), _) => {}
            (_, Others::Restore) => return Ok(None),
            (_, Others::Refuse) => return Err(no_tree()),
        }
        self.refuse_seed("the stream is a tree")?;
        let options = options.if_exists(if_exists).on_partial(self.on_partial);
        let id = TreeId::new(envelope, path)?;
        let Some(plaintext) = read()? else { return Err(in_order()) };
        for _ in 0..ATTEMPTS_MAX {
            let opened = self.open_with_room(|room| {
                TreeSink::open(path, &plaintext, &options.room(room), &id.attempt_id())
            });
            let (sink, found) = match opened.map_err(tree_sink_error)? {
                Opened::Fresh(sink) => (sink, id.attempt_id()),
                Opened::Resumable { sink, attempt_id } => (sink, attempt_id),
                Opened::Published { sink, attempt_id } if id.accepts(&attempt_id) => {
                    outcome.follow(&sink);
                    let sink: Box<dyn StreamingSink> = Box::new(sink);
                    return Ok(Some(Tentative::Boxed(Opening::plain(sink, envelope))));
                }
                Opened::Published { sink, .. } => {
                    // Another stream's restore was done and had not tidied up. Now it is tidy, and the target like any other.
                    sink.tidy().map_err(unfinished)?;
                    continue;
                }
            };
            outcome.follow(&sink);
            return id.resume(Box::new(sink), &found).map(Some);
        }
        Err(Error::new(ErrorKind::TargetLocked, "other restores of the same target keep coming in between"))
    }

    /// How much of a tree are holes is not known before: where it may not fit that is said, unless no holes are wanted.
    fn open_with_room(
        &self,
        open: impl Fn(Room) -> Result<Opened, TreeSinkError>,
    ) -> Result<Opened, TreeSinkError> {
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

    /// An error of a restore that compared the target.
    pub(crate) fn tree_compared(&self, error: Error) -> Error {
        match &self.trees {
            Some(trees) if trees.outcome.has_difference() => changed_since(),
            _ => error,
        }
    }
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

fn no_tree() -> Error {
    Error::new(ErrorKind::Usage, "an option is for directories, and the stream is a file")
        .advise("Leave the option out.")
}

fn in_order() -> Error {
    Error::new(ErrorKind::Usage, "a tree is restored from a source with offsets, and this one comes in order")
        .advise(
            "Give the sealed stream as a file, or restore it to standard output and extract that with tar.",
        )
}

fn unfinished(error: std::io::Error) -> Error {
    let what = "an earlier run has put the target in place, but it may not survive a power cut";
    Error::new(ErrorKind::DurabilityUnknown, what)
        .advise("Run `sync` on its file system and look at the system's log; then verify the target.")
        .because(error)
}

/// How often other restores may come in between.
const ATTEMPTS_MAX: usize = 3;
