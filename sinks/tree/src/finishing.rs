//! What is left to do when a tree is the target: its root gets its attributes, the tree that it replaced goes, and the journal after it.
//! Knows nothing of what else is in the tree.

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use contract::AttemptId;
use local::journal_header::Header;
use rustix::fs::{fchmod, fsync};
use storage::{Misplaced, TargetError};
use tree::Member;

use crate::{
    attributes::{Attributes, LeftOut},
    directory_id::{DirectoryId, Found},
    file_sync::FileSync,
    journal::{Journal, RootNote},
    made::Made,
    members::IMPLICIT_MODE,
    options::{OldTree, Placement, TreeOptions},
    owner_numbers::OwnerNumbers,
    recovery::{Evidence, Recovery, decide},
    sink::Restored,
    target::Target,
};

/// What came of [`finish_published`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Finished {
    /// The attempt has not put its tree in place, or has tidied up: nothing was done.
    Nothing,
    /// What was left to do is done. What the attempt had made, as it had noted that, and where the tree is that it replaced, if that is still there.
    Done(Option<Restored>),
}

/// Does what the attempt `attempt_id` at `target` has left to do, if it has put its tree in place: the root gets its attributes, and what it replaced
/// is removed or kept, as it was to be. Whatever has become of the rest of the tree since is not looked at. Another's attempt is not waited for.
///
/// # Errors
/// [`TargetError::Held`] where a writer is at work on the same attempt. The tree is in place, whatever fails.
pub fn finish_published(
    target: impl AsRef<Path>,
    options: &TreeOptions,
    attempt_id: &AttemptId,
) -> Result<Finished, TargetError> {
    let target = Target::open(target.as_ref(), Placement::Whole)?;
    let ours = Header::Valid(attempt_id.clone());
    // Without the lock, which another attempt may hold for long.
    if target.read_journal()?.is_none_or(|records| records.header != ours) {
        return Ok(Finished::Nothing);
    }
    let Some(journal) = target.find_journal()? else { return Ok(Finished::Nothing) };
    let fault = |error: io::Error| TargetError::io(&target.journal_path(), "read", error);
    let (records, made) = (journal.read().map_err(fault)?, journal.made().map_err(fault)?);
    if records.header != ours {
        return Ok(Finished::Nothing);
    }
    let [staging, at_target] = target.ids()?;
    let found = decide(&Evidence { records, staging, target: at_target });
    let (Recovery::Published { intent, is_old_tree_there, .. }, Some(place)) = (found, at_target) else {
        return Ok(Finished::Nothing);
    };
    let directory = target.open_published(place)?;
    let in_place = InPlace { target: &target, journal: &journal, directory: &directory, options };
    let finished = in_place.settle_noted_root().and_then(|of_root| {
        let replaced = intent.replaced.filter(|_| is_old_tree_there);
        let (old_tree, not_removed) = in_place.put_away(intent.old_tree, replaced)?;
        Ok(made.map(|Made { counts, mut left_out }| {
            left_out.add(&of_root);
            Restored { counts, left_out, old_tree, not_removed }
        }))
    });
    finished.map(Finished::Done).map_err(|error| TargetError::io(&target.path, "tidy up beside", error))
}

/// A tree that has the target's name.
pub(crate) struct InPlace<'a> {
    pub(crate) target: &'a Target,
    pub(crate) journal: &'a Journal,
    pub(crate) directory: &'a OwnedFd,
    pub(crate) options: &'a TreeOptions,
}

impl Target {
    /// Whether the directory `ours` has the target's name: a rename goes by names, and whoever may write beside the target can change what they lead to.
    /// `replaced` is the directory that was the target before.
    ///
    /// # Errors
    /// [`Misplaced::SwappedTree`].
    pub(crate) fn check_stands(&self, ours: DirectoryId, replaced: Option<DirectoryId>) -> io::Result<()> {
        let found = |name| Ok::<_, io::Error>(Found::at(&self.parent, name)?.map(|found| found.id));
        if found(&self.name)? == Some(ours) {
            return Ok(());
        }
        let is_beside = replaced.is_some() && found(&self.staging_name)? == replaced;
        let replaced = is_beside.then(|| self.staging_path());
        Err(io::Error::other(Misplaced::SwappedTree { path: self.path.clone(), replaced }))
    }
}

impl InPlace<'_> {
    /// Gives the root what its header says, and makes all names durable.
    pub(crate) fn settle_root(&self, root: Option<Member>) -> io::Result<LeftOut> {
        let numbers = OwnerNumbers::new();
        let mut attributes = Attributes::new(self.options, &numbers, FileSync::of(self.directory));
        match root {
            Some(root) => attributes.set(self.directory, ".".as_ref(), &root)?,
            None => fchmod(self.directory, IMPLICIT_MODE.into())?,
        }
        fsync(self.directory)?;
        self.target.sync()?;
        // The syncs of directories are not enough: XFS that has shut down says yes to them, and no to a file's.
        self.journal.sync()?;
        Ok(attributes.left_out())
    }

    /// The same, by what the journal says. Where it is not known what the root is to have, it stays its owner's alone.
    pub(crate) fn settle_noted_root(&self) -> io::Result<LeftOut> {
        match self.journal.root()? {
            RootNote::Unknown => Ok(LeftOut::default()),
            RootNote::Implicit => self.settle_root(None),
            RootNote::Member(root) => self.settle_root(Some(*root)),
        }
    }

    /// The old tree goes, unless this run or the one that replaced it keeps it, and the journal after it: as long as that is there, it is known what is at
    /// the private directory's name.
    ///
    /// # Errors
    /// [`Misplaced`]: the target is not the new tree any more, or its directory not where it was. Then nothing goes.
    pub(crate) fn put_away(
        &self,
        old_tree: OldTree,
        replaced: Option<DirectoryId>,
    ) -> io::Result<(Option<PathBuf>, Option<String>)> {
        self.target.check_stands(DirectoryId::of(self.directory)?, replaced)?;
        self.target.check_path()?;
        let old_tree = if self.options.old_tree == OldTree::Keep { OldTree::Keep } else { old_tree };
        let old = match replaced {
            Some(replaced) => self.target.dispose_of(replaced, old_tree),
            None => (None, None),
        };
        self.target.sync()?;
        self.journal.remove(&self.target.parent)?;
        self.target.sync()?;
        self.target.unlock(self.directory)?;
        Ok(old)
    }
}
