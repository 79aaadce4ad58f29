//! An attempt at a part: its segments into files that are the attempt's alone, or to the store, then the receipt.
//! It touches no target.

use std::fs::File;
use std::io;
use std::sync::Arc;

use ::parts::{
    AttemptName, MemberRange, PAD_MAX, PartExtent, PartLayout, PartReceipt, PieceHasher, PlanTarget,
    RECEIPT_MEMBERS_MAX, RECEIPT_PIECES_MAX, RecordError,
};
use local::StagedFile;
use sources::Source;
use storage::{ByteCount, StageOptions, TargetError};
use stream::{Reader, Receipt, tell_notices};
use tree::{Content, EntryKind};

use super::PlannedRestore;
use super::attempts::{AttemptsDir, part_name, receipt_name};
use super::digested_sink::{DigestedSink, Pieces};
use super::file_state::{closed, state_of};
use super::member_files::MemberFiles;
use crate::trees::tree_content;
use crate::{Error, ErrorKind, Opener, StreamDigest};

/// What came of running a part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PartRun {
    /// It was opened, and there is a receipt.
    Written,
    /// There was a receipt before, and nothing was done.
    AlreadyWritten,
    /// The plan has been committed, and nothing is to be done.
    AlreadyCommitted,
}

impl PlannedRestore {
    /// Runs `part`, counted from 0: opens its segments of `source` into a file of this attempt's own, durably, or sends them to the upload of an
    /// object, and leaves a receipt. Any number
    /// of attempts at one part may be at work at once, and each may be killed: none disturbs another, and one receipt is enough.
    ///
    /// `source` may be anywhere: that it is the planned stream is proved. An attempt is not resumed; the next one begins anew, and removes
    /// what dead ones have left.
    ///
    /// # Errors
    /// As [`Opener::open_segments`]. [`ErrorKind::Usage`]: there is no such part. [`ErrorKind::DigestMismatch`]: it is another stream.
    /// [`ErrorKind::JournalMismatch`]: the plan was given up, or its directory is not this user's alone.
    pub fn run_part(&self, opener: &Opener, part: u64, source: impl Source) -> Result<PartRun, Error> {
        let extent = self.extent_of(part)?;
        opener.require_identities()?;
        opener.refuse_seed("what parts take over is their own")?;
        if self.is_committed()? {
            return Ok(PartRun::AlreadyCommitted);
        }
        let run = self.attempts(&self.target_dir()?).and_then(|attempts| {
            if self.has_receipt(&attempts, part)? {
                return Ok(PartRun::AlreadyWritten);
            }
            match self.plan.target() {
                PlanTarget::Path(_) => self.attempt(opener, part, extent, source, &attempts)?,
                PlanTarget::Object { .. } => self.attempt_sent(opener, part, extent, source, &attempts)?,
            }
            Ok(PartRun::Written)
        });
        match run {
            // Of a commit that came in between nothing is left but its note.
            Err(_) if self.is_committed().unwrap_or(false) => {
                self.sweep_upload();
                Ok(PartRun::AlreadyCommitted)
            }
            // What an attempt had is removed when its plan is given up.
            Err(error) => match self.attempts(&self.target_dir()?) {
                Err(given_up) if given_up.kind() == ErrorKind::JournalMismatch => Err(given_up),
                _ => Err(error),
            },
            run => run,
        }
    }

    fn attempt(
        &self,
        opener: &Opener,
        part: u64,
        extent: &PartExtent,
        source: impl Source,
        attempts: &AttemptsDir,
    ) -> Result<(), Error> {
        let attempt = attempt_name()?;
        let receipt = self.write_files(opener, part, attempt, extent, source, attempts);
        receipt
            .and_then(|receipt| {
                let receipt = of_closed_files(receipt, attempts);
                attempts.put(&receipt_name(part, attempt), receipt.to_text(&self.key).as_bytes())
            })
            // Files that nothing tells of are not to be in the way of the next attempt.
            .inspect_err(|_| _ = attempts.remove_attempt(part, attempt))
    }

    /// Writes the files of an attempt, durably. The receipt says nothing of what the file system says of them.
    fn write_files(
        &self,
        opener: &Opener,
        part: u64,
        attempt: AttemptName,
        extent: &PartExtent,
        source: impl Source,
        attempts: &AttemptsDir,
    ) -> Result<PartReceipt, Error> {
        let pieces = Pieces::new(PieceHasher::new(&self.key, self.plan.id()));
        let mut members = Vec::new();
        let opener = self.expecting(opener)?;
        let opened = opener.stream().open_segments_into(extent.segments.clone(), source, |reader| {
            let layout = self.layout(extent, attempts, reader);
            members = layout.members().to_vec();
            let staged = stage(&opener, part, attempt, &layout, attempts)?;
            let files = attempts.directory().try_clone_to_owned();
            let files = files.and_then(|directory| MemberFiles::create(directory, part, attempt, layout));
            let files = files.map_err(|error| Error::io(no_files(part, attempts), error))?;
            Ok(DigestedSink::new(staged, files, pieces.clone()))
        });
        let opened = opened.map_err(|error| match error.kind() {
            _ if pieces.are_too_many() => too_long(part),
            _ if self.is_of_another_stream(&error) => not_planned(),
            // Of a target it would be in place; a part without a receipt is nothing.
            ErrorKind::DurabilityUnknown => {
                Error::io(format!("part {part} could not be made durable"), first_cause(&error))
            }
            _ => error,
        })?;
        let receipt = pieces.in_order().ok_or(RecordError::Contradictory);
        let receipt = receipt.and_then(|pieces| PartReceipt::new(&self.plan, part, attempt, pieces));
        let receipt = receipt.and_then(|receipt| receipt.of_members(&self.plan, members));
        receipt_of(&opened, extent, part, receipt)
    }

    /// What of a part is to be in which file: large files of a tree in files of their own, which a commit can give to the tree as they are, if the file
    /// system vouches for them then.
    fn layout(&self, extent: &PartExtent, attempts: &AttemptsDir, reader: Option<Reader>) -> PartLayout {
        let is_vouching = state_of(attempts.directory()).is_some();
        let reader = reader.filter(|_| is_vouching && self.plan.content().tree.is_some());
        // What cannot be found out is in one file.
        let members = reader.and_then(|reader| members_in(reader, extent)).unwrap_or_default();
        PartLayout::new(extent.len(), members).expect("members of a catalog follow one another")
    }

    #[cfg(not(feature = "remote"))]
    fn attempt_sent(
        &self,
        _: &Opener,
        _: u64,
        _: &PartExtent,
        _: impl Source,
        _: &AttemptsDir,
    ) -> Result<(), Error> {
        Err(super::no_stores())
    }

    #[cfg(not(feature = "remote"))]
    fn sweep_upload(&self) {}

    /// Whether what has failed is that another stream was given. One that is shorter has no such segments.
    pub(super) fn is_of_another_stream(&self, error: &Error) -> bool {
        let planned = self.plan.content().stream_id;
        let is_another = error.head().is_some_and(|head| head.stream_id.0 != planned);
        error.kind() == ErrorKind::DigestMismatch || error.kind() == ErrorKind::Usage && is_another
    }

    /// The same opener, for the planned stream and no other.
    pub(super) fn expecting(&self, opener: &Opener) -> Result<Opener, Error> {
        let planned = StreamDigest(self.plan.content().stream_digest);
        match opener.expected {
            Some(expected) if expected != planned => {
                Err(Error::new(ErrorKind::DigestMismatch, "the planned stream is not the expected one")
                    .advise("It is another stream than the one that was pinned, or an older one."))
            }
            _ => Ok(opener.clone().expect_digest(planned)),
        }
    }

    fn extent_of(&self, part: u64) -> Result<&PartExtent, Error> {
        let parts = self.plan.parts();
        usize::try_from(part).ok().and_then(|part| parts.get(part)).ok_or_else(|| {
            let what = format!("there is no part {part}: the plan has {} of them, from 0 on", parts.len());
            Error::new(ErrorKind::Usage, what)
        })
    }

    /// Whether there is a receipt of `part` that is right, and files as long as it says.
    fn has_receipt(&self, attempts: &AttemptsDir, part: u64) -> Result<bool, Error> {
        for (of, attempt) in attempts.receipts()?.into_iter().filter(|(of, _)| *of == part) {
            if let Some(receipt) = self.read_receipt(attempts, of, attempt)?
                && self.has_files(attempts, &receipt)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether what an attempt has written is there, as long as it should be. What the store has of an object is looked at by the commit.
    pub(super) fn has_files(&self, attempts: &AttemptsDir, receipt: &PartReceipt) -> Result<bool, Error> {
        if let PlanTarget::Object { .. } = self.plan.target() {
            return Ok(true);
        }
        let (part, attempt, layout) = (receipt.part(), receipt.attempt(), receipt.layout());
        let is_as_long = |file: Option<File>, len| {
            file.and_then(|file| file.metadata().ok()).is_some_and(|metadata| metadata.len() == len)
        };
        if !is_as_long(attempts.open_part(part, attempt)?, layout.own_len()) {
            return Ok(false);
        }
        for (number, member) in layout.members().iter().enumerate() {
            if !is_as_long(attempts.open_member(part, attempt, number)?, member.file_len()) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

pub(super) fn attempt_name() -> Result<AttemptName, Error> {
    AttemptName::generate().map_err(|error| Error::io("no attempt could be named", io::Error::other(error)))
}

/// The receipt of what was opened, if that is the planned part.
pub(super) fn receipt_of(
    opened: &Receipt,
    extent: &PartExtent,
    part: u64,
    receipt: Result<PartReceipt, RecordError>,
) -> Result<PartReceipt, Error> {
    receipt.ok().filter(|_| is_of(opened, extent)).ok_or_else(|| {
        let what = format!("what was opened as part {part} is not what was planned");
        Error::new(ErrorKind::DigestMismatch, what).advise("Look which stream the plan was made of.")
    })
}

/// Another stream than the planned one was given.
pub(super) fn not_planned() -> Error {
    Error::new(ErrorKind::DigestMismatch, "this is not the planned stream: its digest is another one")
        .advise("Give the stream that the plan was made of; it may lie elsewhere.")
}

/// Why no file could be made for an attempt. It is no target that would have to be another one.
fn refused(part: u64, attempts: &AttemptsDir, error: TargetError) -> Error {
    match error {
        TargetError::NoRoom { needed, .. } => {
            let what = format!(
                "{} has no room for part {part}, which takes {}",
                attempts.path().display(),
                ByteCount(needed)
            );
            Error::io(what, io::ErrorKind::StorageFull.into())
        }
        error => Error::target(error),
    }
}

/// The file of a part, without what its members have.
fn stage(
    opener: &Opener,
    part: u64,
    attempt: AttemptName,
    layout: &PartLayout,
    attempts: &AttemptsDir,
) -> Result<StagedFile, Error> {
    let options = StageOptions::default().expected_len(layout.own_len()).sparse(opener.sparse);
    let staged = StagedFile::create_in(attempts.storage(), &part_name(part, attempt), &options);
    let mut staged = staged.map_err(|error| refused(part, attempts, error))?;
    staged.set_mode(OWNER_ALONE);
    if let Some(ours) = staged.staging_path().file_name() {
        attempts.remove_dead(part, ours)?;
    }
    tell_notices(&mut staged, opener.resources.observer.clone());
    Ok(staged)
}

/// What a part has of large files of a tree, as ranges in the part. Before bytes that are not the first of their file there are as many as let both begin
/// at the same byte of a block. None: the catalog cannot be read, of which whoever commits will tell.
fn members_in(reader: Reader, extent: &PartExtent) -> Option<Vec<MemberRange>> {
    let Content::Tree(catalog) = tree_content(&Arc::new(reader)).ok()? else { return None };
    let plaintext = &extent.plaintext;
    // No more than a receipt takes have room in the part.
    let len_min = MEMBER_LEN_MIN.max(extent.len() / RECEIPT_MEMBERS_MAX as u64 + 1);
    let mut members = Vec::new();
    let mut number = catalog.entry_at(plaintext.start).ok()?.map_or(catalog.entries(), |entry| entry.number);
    while let Some(located) = catalog.entry(number).ok()?.filter(|entry| entry.header_at < plaintext.end) {
        let data = located.data_at()..located.data_at().checked_add(located.entry.size)?;
        let (start, end) = (data.start.max(plaintext.start), data.end.min(plaintext.end));
        if located.entry.kind == EntryKind::File && end.saturating_sub(start) >= len_min {
            let range = start - plaintext.start..end - plaintext.start;
            members.push(MemberRange { range, pad: (start - data.start) % PAD_MAX });
        }
        number += 1;
    }
    Some(members)
}

/// The receipt of files that have been closed, with what the file system says of them.
fn of_closed_files(receipt: PartReceipt, attempts: &AttemptsDir) -> PartReceipt {
    let (part, attempt) = (receipt.part(), receipt.attempt());
    let own = || state_of(attempts.open_part(part, attempt).ok()??);
    let member = |number| state_of(attempts.open_member(part, attempt, number).ok()??);
    let members = || (0..receipt.layout().members().len()).map(member).collect();
    // A file of another length is found by whoever commits.
    closed(own, members, attempts).and_then(|states| receipt.clone().of_files(states).ok()).unwrap_or(receipt)
}

/// What the system said, without what was made of it on the way.
fn first_cause(error: &Error) -> io::Error {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    match causes.last() {
        Some(last) => match last.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::other(last.to_string()),
        },
        None => io::ErrorKind::Other.into(),
    }
}

fn too_long(part: u64) -> Error {
    let what =
        format!("part {part} is written in more than {RECEIPT_PIECES_MAX} pieces, which no receipt takes");
    Error::new(ErrorKind::Limit, what).advise(
        "Plan it again in more parts; or give more memory, or a higher rate, which makes pieces longer.",
    )
}

fn is_of(opened: &Receipt, extent: &PartExtent) -> bool {
    (&opened.segments, &opened.plaintext, opened.chain_before, opened.chain_after)
        == (&extent.segments, &extent.plaintext, extent.chain_before, extent.chain_after)
}

fn no_files(part: u64, attempts: &AttemptsDir) -> String {
    format!("{} takes no files of part {part}", attempts.path().display())
}

/// Mode of an attempt's file.
const OWNER_ALONE: u32 = 0o600;
/// Bytes of a member that has a file of its own, at least. Of a shorter one the commit writes the bytes as fast as it would give the file its place.
const MEMBER_LEN_MIN: u64 = 64 << 10;
