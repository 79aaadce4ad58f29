//! An attempt at a part: its segments into a file that is the attempt's alone, or to the store, then the receipt.
//! It touches no target.

use std::io;

use ::parts::{
    AttemptName, PartExtent, PartReceipt, PieceHasher, PlanTarget, RECEIPT_PIECES_MAX, RecordError,
};
use local::StagedFile;
use sources::Source;
use storage::{ByteCount, StageOptions, TargetError};
use stream::{Receipt, tell_notices};

use super::PlannedRestore;
use super::attempts::{AttemptsDir, part_name, receipt_name};
use super::digested_sink::DigestedSink;
use super::file_state::closed_state_of;
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
        let options = StageOptions::default().expected_len(extent.len()).sparse(opener.sparse);
        let name = part_name(part, attempt);
        let staged = StagedFile::create_in(attempts.storage(), &name, &options);
        let mut staged = staged.map_err(|error| refused(part, attempts, error))?;
        staged.set_mode(OWNER_ALONE);
        if let Some(ours) = staged.staging_path().file_name() {
            attempts.remove_dead(part, ours)?;
        }
        tell_notices(&mut staged, opener.resources.observer.clone());
        let (sink, pieces) = DigestedSink::new(staged, PieceHasher::new(&self.key, self.plan.id()));
        let opened = self.expecting(opener)?.open_segments(extent.segments.clone(), source, sink);
        let opened = opened.map_err(|error| match error.kind() {
            _ if pieces.are_too_many() => too_long(part),
            _ if self.is_of_another_stream(&error) => not_planned(),
            // Of a target it would be in place; a part without a receipt is nothing.
            ErrorKind::DurabilityUnknown => {
                let _ = attempts.remove(&name);
                Error::io(format!("part {part} could not be made durable"), first_cause(&error))
            }
            _ => error,
        })?;
        let receipt = pieces.in_order().ok_or(RecordError::Contradictory);
        let receipt = receipt.and_then(|pieces| PartReceipt::new(&self.plan, part, attempt, pieces));
        match receipt_of(&opened, extent, part, receipt) {
            Ok(receipt) => {
                let receipt = of_closed_file(receipt, attempts);
                let put = attempts.put(&receipt_name(part, attempt), receipt.to_text(&self.key).as_bytes());
                // A whole part that nothing tells of is not to be in the way of the next attempt.
                put.inspect_err(|_| _ = attempts.remove_attempt(part, attempt))
            }
            Err(error) => {
                attempts.remove(&name)?;
                Err(error)
            }
        }
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

    /// Whether there is a receipt of `part` that is right, and a file as long as it says.
    fn has_receipt(&self, attempts: &AttemptsDir, part: u64) -> Result<bool, Error> {
        for (of, attempt) in attempts.receipts()?.into_iter().filter(|(of, _)| *of == part) {
            if self.read_receipt(attempts, of, attempt)?.is_some() && self.has_file(attempts, of, attempt)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether what an attempt has written is there, as long as it should be. What the store has of an object is looked at by the commit.
    pub(super) fn has_file(
        &self,
        attempts: &AttemptsDir,
        part: u64,
        attempt: AttemptName,
    ) -> Result<bool, Error> {
        if let PlanTarget::Object { .. } = self.plan.target() {
            return Ok(true);
        }
        let file = attempts.open_part(part, attempt)?;
        let len = file.and_then(|file| file.metadata().ok()).map(|metadata| metadata.len());
        Ok(len == Some(self.extent_of(part)?.len()))
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

/// The receipt of a file that has been closed, with what the file system says of it.
fn of_closed_file(receipt: PartReceipt, attempts: &AttemptsDir) -> PartReceipt {
    let file = attempts.open_part(receipt.part(), receipt.attempt());
    let state = file.ok().flatten().and_then(|file| closed_state_of(&file, attempts));
    // A file of another length is found by whoever commits.
    state.and_then(|state| receipt.clone().of_file(state).ok()).unwrap_or(receipt)
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

/// Mode of an attempt's file.
const OWNER_ALONE: u32 = 0o600;
