//! The commit of a plan whose target is a directory: the parts' bytes go into the sink of the tree, and each piece is compared as it goes.
//! It knows no lock and no note that a plan is done: whoever commits has them.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use ::parts::{AttemptName, MemberRange, PartPlace, Piece, PieceHasher, TreeTarget};
use cofferdam_io::{WriteAt, share};
use contract::{AttemptId, CommitError, StreamingSink as _};
use rustix::fs::{AtFlags, unlinkat};
use rustix::io::Errno;
use storage::TargetError;
use tree_sink::{
    Attempt, Finished, Opened, Placement, Restored, Room, Taken, TreeLeft, TreeSink, WrittenFile,
};

use super::attempts::member_name;
use super::commit::{Committing, Outcome, PUBLISHING, other_attempt};
use super::comparison::{Comparison, Found, PartBytes, Stopped, interrupted, places_of};
use super::part_files::PartFiles;
use super::planning::exists;
use super::tree_target::options_of;
use super::whole::WholePlaintext;
use super::{PlannedRestore, Receipts};
use crate::trees::{said_of_tree, tree_sink_error};
use crate::{Error, ErrorKind};

impl PlannedRestore {
    /// Makes the tree of the parts, and gives it the target's name.
    pub(super) fn make_tree(&self, run: &Committing<'_>, tree: TreeTarget) -> Result<Outcome, Error> {
        let hasher = PieceHasher::new(&self.key, self.plan.id());
        let comparison = Comparison { hasher, threads: run.threads, cancel: run.cancel, reads: run.reads };
        let mut candidates = Candidates::of(run.receipts);
        // Each round but the last finds an attempt that is wrong.
        loop {
            let Some(chosen) = candidates.chosen() else {
                self.check_rest(run, &comparison, &mut candidates)?;
                return Ok(Outcome::Wrong(candidates.missing()));
            };
            let last = std::sync::Mutex::default();
            let whole = WholePlaintext {
                planned: self,
                attempts: run.attempts,
                chosen: &chosen,
                comparison: &comparison,
                last,
            };
            // A commit before this one has published nothing. What it has noted stays true as long as its directory is gone on with, which may have the only names
            // of what attempts have made. Any other may be given up from now on; not before, also where this fails.
            if !self.goes_on()? {
                run.attempts.remove(OsStr::new(PUBLISHING))?;
            }
            let mut sink = match self.tree_sink(&whole, tree) {
                Ok(Some(sink)) => sink,
                Ok(None) => return Ok(Outcome::AlreadyCommitted),
                Err(error) => match whole.wrong() {
                    Some(part) => {
                        candidates.refuse(run, part)?;
                        continue;
                    }
                    None => return Err(error),
                },
            };
            if let Some(linked) = self.fill(run, &comparison, &mut candidates, &sink)? {
                if !linked.is_empty() {
                    // The tree is to be alone with its files when it is seen.
                    let directory = run.attempts.directory().try_clone_to_owned();
                    let directory = directory
                        .map_err(|error| Error::io("the directory of attempts could not be kept", error))?;
                    sink.before_rename(move || remove_names(&directory, &linked));
                }
                return self.publish_tree(sink, run).map(Outcome::TreePublished);
            }
            run.attempts.remove(OsStr::new(PUBLISHING))?;
            let discarded = sink.discard();
            discarded.map_err(|error| Error::io("what was put together could not be removed", error))?;
        }
    }

    /// Whether a directory that a commit of this plan has filled is there to be filled again.
    fn goes_on(&self) -> Result<bool, Error> {
        let found = tree_sink::look(self.target_path(), Placement::Whole).map_err(Error::target)?;
        Ok(found.is_some_and(|found| match found.found {
            TreeLeft::Unfinished(attempt_id) => attempt_id == self.attempt_id(),
            _ => false,
        }))
    }

    /// What there is of parts where one is missing: all that is wrong is found.
    fn check_rest(
        &self,
        run: &Committing<'_>,
        comparison: &Comparison<'_>,
        candidates: &mut Candidates,
    ) -> Result<(), Error> {
        for part in 0..self.plan.parts().len() as u64 {
            while let Some(attempt) = candidates.first(part) {
                let found = match self.open_files(run.attempts, part, attempt)? {
                    Some(files) => comparison.check_alone(&files)?,
                    None => Found::Wrong,
                };
                if found == Found::Right {
                    break;
                }
                candidates.refuse(run, part)?;
            }
        }
        Ok(())
    }

    /// The tree's sink, over nothing or over what a commit before this one has left. None: that one has put the tree in place.
    fn tree_sink(&self, whole: &WholePlaintext<'_>, tree: TreeTarget) -> Result<Option<TreeSink>, Error> {
        let (target, ours) = (self.target_path(), self.attempt_id());
        let options = options_of(tree, self.plan.content().replaces).room(Room::Assume);
        let is_ours = |found: &AttemptId| *found == ours;
        let attempt = Attempt { id: &ours, is_ours: &is_ours };
        for _ in 0..ATTEMPTS_MAX {
            match TreeSink::open(target, whole, &options, &attempt).map_err(tree_sink_error)? {
                Opened::Fresh(sink) => return Ok(Some(sink)),
                Opened::Resumable { mut sink, attempt_id } if is_ours(&attempt_id) => {
                    let begun = sink.last_commit().and_then(|_| sink.resume_at(0, 0));
                    begun
                        .map_err(|error| Error::io("what a commit has left could not be given up", error))?;
                    return Ok(Some(sink));
                }
                Opened::Resumable { attempt_id, .. } => return Err(other_attempt(&attempt_id)),
                Opened::Published { sink, attempt_id } => {
                    sink.tidy().map_err(|error| Error::publish(CommitError::Unknown(error)))?;
                    if is_ours(&attempt_id) {
                        return Ok(None);
                    }
                    if !self.plan.content().replaces {
                        return Err(exists(target));
                    }
                }
            }
        }
        Err(Error::new(ErrorKind::TargetLocked, "other restores of the same target keep coming in between"))
    }

    /// Gives the sink all parts. Where one is wrong, nothing more is written, and all that is wrong is found. Gives the names in the directory of attempts of
    /// files that are the tree's now, if nothing is wrong.
    fn fill(
        &self,
        run: &Committing<'_>,
        comparison: &Comparison<'_>,
        candidates: &mut Candidates,
        sink: &TreeSink,
    ) -> Result<Option<Vec<OsString>>, Error> {
        let (mut all, mut linked) = (Found::Right, Vec::new());
        for (part, extent) in (0..).zip(self.plan.parts()) {
            let Some(attempt) = candidates.first(part) else { continue };
            let found = match (self.open_files(run.attempts, part, attempt)?, all) {
                (None, _) => Found::Wrong,
                (Some(files), Found::Right) => {
                    let files = files.beside(sink.resumable());
                    give(comparison, &files, sink, extent.plaintext.start, &mut linked)?
                }
                (Some(files), Found::Wrong) => comparison.check_alone(&files)?,
            };
            if found == Found::Wrong {
                candidates.refuse(run, part)?;
                all = Found::Wrong;
            }
        }
        Ok((all == Found::Right).then_some(linked))
    }

    /// Notes which directory it is that gets the name, then gives it the name. From then on the note says that it is done.
    fn publish_tree(&self, mut sink: TreeSink, run: &Committing<'_>) -> Result<Restored, Error> {
        let staged = sink.staging_path();
        // Before the directory goes: that it is nowhere is not to say that it may have been the target.
        let take_back = || drop(run.attempts.remove(OsStr::new(PUBLISHING)));
        // What could not be made durable may be there all the same.
        self.note_publishing(run, staged.file_name().unwrap_or_default()).inspect_err(|_| take_back())?;
        let restored = sink.restored();
        sink.publish(self.plan.plaintext_len()).map_err(|error| {
            // What stays beside the target may have the only names of what it is made of, and is to be removed by none but the plan's own steps.
            if let CommitError::NotCommitted(_) = error
                && !sink.is_kept()
            {
                take_back();
            }
            said_of_tree(Error::publish(error))
        })?;
        let restored = restored.lock().clone();
        restored.ok_or_else(|| Error::new(ErrorKind::Io, "nothing was restored"))
    }

    /// Of a tree that has the target's name: what is left to do.
    pub(super) fn finish_tree(&self, tree: TreeTarget) -> Result<Finished, Error> {
        let options = options_of(tree, self.plan.content().replaces);
        let finished = tree_sink::finish_published(self.target_path(), &options, &self.attempt_id());
        finished.map_err(|error| match error {
            TargetError::Held { .. } => Error::target(error),
            error => {
                let what =
                    "the target is in place, but what a commit has left beside it could not be put away";
                Error::new(ErrorKind::DurabilityUnknown, what)
                    .advise("Run this again, as soon as nothing is in its way.")
                    .because(Error::target(error))
            }
        })
    }

    /// Removes what a commit of this plan has left beside the target. Of one that has put the tree in place, it does what is left to do.
    pub(super) fn discard_tree(&self, tree: TreeTarget) -> Result<(), Error> {
        if let Finished::Done(_) = self.finish_tree(tree)? {
            return Ok(());
        }
        tree_sink::remove_attempt(self.target_path(), &self.attempt_id()).map(drop).map_err(Error::target)
    }

    /// The name of what is staged beside the target, if anything is.
    pub(super) fn staged_tree(&self) -> Result<Option<OsString>, Error> {
        let found = tree_sink::look(self.target_path(), Placement::Whole).map_err(Error::target)?;
        Ok(found.and_then(|found| found.staging).and_then(|(path, _)| path.file_name().map(OsStr::to_owned)))
    }
}

/// Attempts that have left a receipt, by part: the first of each is taken, as long as it is right.
struct Candidates(Vec<Vec<AttemptName>>);

impl Candidates {
    fn of(receipts: &Receipts) -> Candidates {
        let mut by_part = receipts.by_part.clone();
        by_part.iter_mut().for_each(|attempts| attempts.reverse());
        Candidates(by_part)
    }

    fn first(&self, part: u64) -> Option<AttemptName> {
        self.0[part as usize].last().copied()
    }

    /// One for each part; none if a part has none.
    fn chosen(&self) -> Option<Vec<AttemptName>> {
        self.0.iter().map(|attempts| attempts.last().copied()).collect()
    }

    /// Removes the attempt that was taken of `part`.
    fn refuse(&mut self, run: &Committing<'_>, part: u64) -> Result<(), Error> {
        match self.0[part as usize].pop() {
            Some(attempt) => run.attempts.remove_attempt(part, attempt),
            None => Ok(()),
        }
    }

    fn missing(&self) -> Vec<u64> {
        (0..).zip(&self.0).filter(|(_, attempts)| attempts.is_empty()).map(|(part, _)| part).collect()
    }
}

/// Gives the tree all of a part, which begins at `at`: members that are in files of their own as they are, as far as the file system vouches for them and
/// the tree takes them, and all else as it is read.
fn give(
    comparison: &Comparison<'_>,
    files: &PartFiles<'_>,
    sink: &TreeSink,
    at: u64,
    linked: &mut Vec<OsString>,
) -> Result<Found, Error> {
    let number = files.receipt().part();
    let failed = |error| Error::io(format!("part {number} could not be put in its place"), error);
    let layout = files.receipt().layout();
    let taken = take_members(comparison, files, sink, at)?;
    let names = (0..).zip(&taken).filter(|(_, taken)| **taken == Taken::Linked);
    linked.extend(names.map(|(member, _)| member_name(number, files.receipt().attempt(), member)));
    let is_due = |(start, piece): &(u64, &Piece)| {
        layout.places(*start..start + piece.len).any(|(_, place)| match place {
            PartPlace::Own { .. } => true,
            PartPlace::Member { number, .. } => taken[number] == Taken::No,
        })
    };
    let places: Vec<_> = places_of(files.receipt().pieces()).into_iter().filter(is_due).collect();
    let tree = sink.positioned().expect("a tree takes bytes at any place");
    match comparison.check(&Given { files, tree, at }, &places) {
        Ok(found) => Ok(found),
        // A file is shorter by now, or gone.
        Err(Stopped::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Found::Wrong),
        Err(Stopped::Io(error)) => Err(failed(error)),
        Err(Stopped::Cancelled) => Err(interrupted()),
    }
}

/// What the tree takes of members as they are, by their numbers.
fn take_members(
    comparison: &Comparison<'_>,
    files: &PartFiles<'_>,
    sink: &TreeSink,
    at: u64,
) -> Result<Vec<Taken>, Error> {
    let part = files.receipt().part();
    let members = files.receipt().layout().members();
    let take = |number: usize| {
        comparison.check_cancelled().map_err(|_| interrupted())?;
        let Some(file) = files.member(number)? else { return Ok(Taken::No) };
        let is_unchanged = || comparison.is_vouched_for(&file, files.member_state(number));
        // Before it is opened in the tree: where it is not vouched for now, it need not be written twice.
        if !is_unchanged() {
            return Ok(Taken::No);
        }
        let MemberRange { range, pad } = &members[number];
        let written = WrittenFile { file: &file, from: *pad, is_unchanged: &is_unchanged };
        let taken = sink.take_file(at + range.start..at + range.end, &written);
        taken.map_err(|error| Error::io(format!("part {part} could not be put in its place"), error))
    };
    let threads = comparison.threads.get().min(members.len().max(1));
    let taken = share(members.len() as u64, threads, Vec::new, |taken, number| {
        taken.push((number, take(number as usize)?));
        Ok::<(), Error>(())
    })?;
    let mut taken: Vec<(u64, Taken)> = taken.into_iter().flatten().collect();
    taken.sort_unstable_by_key(|(number, _)| *number);
    Ok(taken.into_iter().map(|(_, taken)| taken).collect())
}

fn remove_names(directory: &OwnedFd, names: &[OsString]) -> io::Result<()> {
    for name in names {
        match unlinkat(directory, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// A part that goes into a tree as it is read: what is compared is what was written, from the same memory.
struct Given<'a> {
    files: &'a PartFiles<'a>,
    tree: Arc<dyn WriteAt>,
    /// Where it begins.
    at: u64,
}

impl PartBytes for Given<'_> {
    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.files.read(offset, buffer)?;
        self.tree.write_all_at(self.at + offset, buffer)
    }
}

/// How often other restores may come in between.
const ATTEMPTS_MAX: usize = 3;
