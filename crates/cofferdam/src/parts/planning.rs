//! Making a plan: once, whoever tries.
//! It opens no segment.

use std::ffi::OsStr;
use std::io;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use ::parts::{
    Modified, NewPlan, PLAN_LEN_MAX, Plan, PlanTarget, RECEIPT_PIECES_MAX, TreeTarget, UnusablePlan,
};
use contract::IfExists;
use sources::Source;
use storage::{FileTime, TargetDir};
use stream::{ChainedSegments, Partition};

use super::attempts::AttemptsDir;
use super::{PartExtent, PlanKeyFile, PlannedRestore, committed_path, put, sync_beside};
use crate::files::refuse_same_file;
use crate::{Attributes, Error, ErrorKind, InTheWay, Opener, Reader, Remedy, record_file};

/// What came of making a plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Planned {
    /// It is new.
    Now,
    /// The same had been planned already, and stays as it is.
    Before,
}

impl PlannedRestore {
    /// Plans the restore of `source` to `target` in so many `parts`, and writes the plan to a file at `path`, where nothing may be yet.
    /// `described` is where workers find the stream: whoever runs them reads it from the plan.
    ///
    /// `opener` has what is demanded of the stream (a pin, a signature, a sequence number), whether a target that exists is replaced, and
    /// whether a new one gets mode and time of the file that was sealed. All entries of the stream's index are read and their chain is
    /// compared with its digest; the plan has the chain around each part.
    ///
    /// A stream that is a tree becomes a directory as the opener says (`Opener::trees`): new, or in place of one that is there, as a whole. One without a
    /// catalog becomes a file of its archive.
    ///
    /// If a plan is at `path` already that says the same, that is the plan. The key's file is made with a plan that is new, and not where that is refused.
    ///
    /// # Errors
    /// As of a stream that is opened, for what stands before and after its segments. [`ErrorKind::Usage`]: the stream has fewer segments
    /// than `parts`, or cannot be read at offsets; `target` is no file; a tree is to be moved into a directory, or the directory that it replaces has the
    /// plan or the stream in it. [`ErrorKind::TargetExists`]. [`ErrorKind::JournalMismatch`]: what is at `path` says something else, or was
    /// given up; or nothing is there but the note that an earlier plan of that name was committed. [`ErrorKind::Unsupported`]: the stream's digest fixes nothing (FORMAT F11.4), or it is a tree and `opener` does not say what becomes of those.
    pub fn create(
        path: impl AsRef<Path>,
        mut key: PlanKeyFile,
        opener: &Opener,
        source: impl Source,
        described: &OsStr,
        target: impl AsRef<Path>,
        parts: NonZeroU64,
    ) -> Result<(PlannedRestore, Planned), Error> {
        let path = path.as_ref();
        opener.require_identities()?;
        opener.refuse_seed("what parts take over is their own")?;
        refuse_same_file(Path::new(described), target.as_ref())?;
        let (partition, reader) = opener.stream().partition_read(parts, source)?;
        let lens = |part: &ChainedSegments| {
            (part.segments.end - part.segments.start, part.plaintext.end - part.plaintext.start)
        };
        refuse_untold(partition.parts.iter().map(lens), partition.run_len_max)?;
        let planning = planning_of(opener, &partition, reader)?;
        let target_dir = planning.resolve(target.as_ref(), opener)?;
        let found = PlannedRestore::find_planned(path, &mut key)?;
        if found.is_none() {
            refuse_noted(path)?;
            planning.check(&target_dir, opener, path, Path::new(described))?;
        }
        let target = PlanTarget::Path(absolute(target_dir.path())?);
        let content = content_of(partition, planning, opener, described, target);
        if let Some(found) = found {
            return found.if_the_same(&content)?.planned_before();
        }
        let plan = Plan::new(content).map_err(unusable)?;
        PlannedRestore::of(path, plan, key.put()?).write(&target_dir)
    }

    /// The plan at `path`, if one is there, whose key may have come with it.
    pub(super) fn find_planned(path: &Path, key: &mut PlanKeyFile) -> Result<Option<PlannedRestore>, Error> {
        match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            // What keeps it from being looked at, whoever opens it says.
            _ => PlannedRestore::find(path, key.of_found_plan()?),
        }
    }

    /// Makes the directory of attempts in `beside`, and then the plan's file. Where somebody else's plan is there by now, nothing stays.
    pub(super) fn write(self, beside: &TargetDir) -> Result<(PlannedRestore, Planned), Error> {
        let PlannedRestore { path, plan, key, .. } = &self;
        // Before the plan: whoever finds a plan finds its directory, unless it has been committed or given up.
        let text = plan.to_text(key);
        let attempts = AttemptsDir::create(beside, plan.id(), &text)?;
        let Err(error) = put(path, text.as_bytes()) else { return Ok((self, Planned::Now)) };
        if error.kind() != io::ErrorKind::AlreadyExists && self.may_be_there() {
            let what = format!("the plan is at {}, but may not survive a power cut", path.display());
            return Err(
                Error::io(what, error).advise("Run this again: it finds the plan, and makes it durable.")
            );
        }
        attempts.remove_all(beside, plan.id(), None)?;
        match error.kind() {
            // Somebody was faster.
            io::ErrorKind::AlreadyExists => {
                let found = PlannedRestore::open(path, key.clone())?;
                found.if_the_same(plan.content()).map(|found| (found, Planned::Before))
            }
            _ => Err(Error::io(format!("the plan could not be written to {}", path.display()), error)),
        }
    }

    /// Whether the plan's file may be this plan, though it could not be written as it should: then what belongs to it is not removed.
    pub(super) fn may_be_there(&self) -> bool {
        match record_file::read(&self.path, PLAN_LEN_MAX) {
            Ok(found) => found.is_some_and(|found| found == self.plan.to_text(&self.key).as_bytes()),
            // What stands there is no file.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => false,
            Err(_) => true,
        }
    }

    /// That the plan was found, by whoever plans the same: who has written it may have been stopped before its name was durable.
    pub(super) fn planned_before(self) -> Result<(PlannedRestore, Planned), Error> {
        self.state()?;
        let synced = sync_beside(&self.path);
        synced.map_err(|error| {
            let what = format!("the plan is at {}, but may not survive a power cut", self.path.display());
            Error::io(what, error).advise("Run this again, as soon as its directory can be synced.")
        })?;
        Ok((self, Planned::Before))
    }

    pub(super) fn if_the_same(self, content: &NewPlan) -> Result<PlannedRestore, Error> {
        if self.plan.content().plans_as(content) {
            return Ok(self);
        }
        let what = format!("{} plans something else already", self.path.display());
        Err(Error::new(ErrorKind::JournalMismatch, what)
            .advise("Give another name, or finish that plan or give it up, and remove its files."))
    }
}

/// What the plaintext becomes.
pub(super) enum Planning {
    /// A file, of so many bytes where it has not all of them.
    File { len: Option<u64> },
    #[cfg_attr(not(feature = "tree"), allow(dead_code, reason = "there are no trees"))]
    Tree(TreeTarget),
}

impl Planning {
    fn resolve(&self, target: &Path, opener: &Opener) -> Result<TargetDir, Error> {
        let resolved = match self {
            Planning::File { .. } => TargetDir::resolve(target, opener.if_exists),
            // As whoever names a directory may: a slash at the end is none of its name. A link there is never replaced.
            Planning::Tree(_) => TargetDir::resolve(target.components().as_path(), IfExists::Refuse),
        };
        resolved.map_err(Error::target)
    }

    fn check(
        &self,
        target_dir: &TargetDir,
        _opener: &Opener,
        _plan: &Path,
        _source: &Path,
    ) -> Result<(), Error> {
        #[cfg(feature = "tree")]
        if let Planning::Tree(_) = self {
            return _opener.check_tree_target(target_dir, _plan, _source);
        }
        target_dir.check().and_then(|()| target_dir.check_writable()).map_err(Error::target)
    }

    fn tree(&self) -> Option<TreeTarget> {
        match self {
            Planning::File { .. } => None,
            Planning::Tree(tree) => Some(*tree),
        }
    }
}

pub(super) fn content_of(
    partition: Partition,
    planning: Planning,
    opener: &Opener,
    described: &OsStr,
    target: PlanTarget,
) -> NewPlan {
    let is_file = matches!(target, PlanTarget::Path(_)) && planning.tree().is_none();
    let keeps = is_file && opener.attributes == Attributes::Restore;
    NewPlan {
        stream_id: partition.stream_id.0,
        stream_digest: partition.stream_digest.0,
        source: described.to_owned(),
        target,
        replaces: opener.if_exists == IfExists::Replace,
        mode: partition.mode.filter(|_| keeps),
        modified: partition
            .modified
            .filter(|_| keeps)
            .map(|FileTime { seconds, nanos }| Modified { seconds, nanos }),
        tree: planning.tree(),
        len: match planning {
            Planning::File { len } => len,
            Planning::Tree(_) => None,
        },
        parts: partition.parts.into_iter().map(extent_of).collect(),
    }
}

#[cfg(feature = "tree")]
fn planning_of(opener: &Opener, partition: &Partition, reader: Option<Reader>) -> Result<Planning, Error> {
    opener.planned_content(partition, reader)
}

/// An archive that stands where a directory is expected is not what was sealed.
#[cfg(not(feature = "tree"))]
fn planning_of(_opener: &Opener, partition: &Partition, _reader: Option<Reader>) -> Result<Planning, Error> {
    match partition.content {
        None => Ok(Planning::File { len: None }),
        Some(_) => Err(super::no_trees()),
    }
}

/// Refuses parts whose receipts would be too long, however they are run: whoever runs one would have worked for nothing. Of each part there is given how
/// many segments it has, and how many bytes.
fn refuse_untold(parts: impl IntoIterator<Item = (u64, u64)>, run_len_max: u64) -> Result<(), Error> {
    let pieces = parts.into_iter().map(|(segments, len)| segments.max(len.div_ceil(run_len_max)));
    let (most, all) = pieces.fold((0, 0), |(most, all), pieces| (pieces.max(most), all + pieces));
    if most <= RECEIPT_PIECES_MAX as u64 {
        return Ok(());
    }
    let least = all.div_ceil(RECEIPT_PIECES_MAX as u64);
    let what = format!(
        "a part would be written in {most} pieces at least, and a receipt takes {RECEIPT_PIECES_MAX}: this stream takes {least} parts or more"
    );
    Err(Error::new(ErrorKind::Limit, what).advise("Plan it in more parts, or restore it by one process."))
}

fn extent_of(chained: ChainedSegments) -> PartExtent {
    PartExtent {
        segments: chained.segments,
        plaintext: chained.plaintext,
        chain_before: chained.chain_before,
        chain_after: chained.chain_after,
    }
}

/// Refuses a name at which the note of an earlier plan is: each step of another plan would take that for somebody's else.
pub(super) fn refuse_noted(path: &Path) -> Result<(), Error> {
    let note = committed_path(path);
    match note.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io(format!("{} could not be examined", note.display()), error)),
        Ok(_) => {
            let what = format!("an earlier plan of this name was committed: {} is there", note.display());
            Err(Error::new(ErrorKind::JournalMismatch, what)
                .advise("Remove that note, or give another name."))
        }
    }
}

/// The same for workers that start elsewhere.
fn absolute(path: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(path).map_err(|error| Error::io("this process's directory could not be found", error))
}

pub(super) fn unusable(error: UnusablePlan) -> Error {
    match error {
        UnusablePlan::Random(error) => Error::io("the plan could not be made", io::Error::other(error)),
        UnusablePlan::TooManyParts => Error::new(ErrorKind::Limit, error.to_string()),
        // What the index says was compared with the stream's digest, and still does not fit together.
        error => Error::new(ErrorKind::Usage, error.to_string()),
    }
}

/// A target that exists, where the plan does not replace.
pub(super) fn exists(path: &Path) -> Error {
    Error::new(ErrorKind::TargetExists, format!("{} exists", path.display()))
        .remedied(Remedy::Replace(InTheWay::File))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails by panicking.
mod tests {
    use super::*;

    #[test]
    fn a_part_of_which_no_receipt_could_tell_is_not_planned() {
        let (pieces, run) = (RECEIPT_PIECES_MAX as u64, 512 << 10);
        let cases = [
            // How many segments and bytes the longer of two parts has, how many parts it takes.
            (pieces, 4096 * pieces, None),
            (pieces + 1, 4096 * pieces, Some(2)),
            (10, run * pieces, None),
            (10, run * pieces + 1, Some(2)),
            (10, 10 * run * pieces, Some(11)),
        ];
        for (segments, len, takes) in cases {
            let told = refuse_untold([(1, 1), (segments, len)], run);
            match takes {
                None => told.unwrap(),
                Some(parts) => {
                    let refused = told.unwrap_err();
                    assert_eq!(refused.kind(), ErrorKind::Limit);
                    assert!(refused.to_string().contains(&format!("takes {parts} parts")), "{refused}");
                }
            }
        }
    }
}
