//! The commit of a plan for an object: what the store has is compared with the receipts, and put together once.
//! It reads no byte of the object: that the store has what it was sent is the store's word, by tags that it gave each piece.

use std::collections::BTreeMap;
use std::ffi::OsStr;

use ::parts::{AttemptName, Completing, NOTE_LEN_MAX, PartReceipt, PlanTarget};
use remote::upload::{ObjectState, PublishError, StoredPart, UploadFault, UploadFaultKind};
use segment_worker::CancelToken;

use super::attempts::AttemptsDir;
use super::commit::{Outcome, PUBLISHING};
use super::object::{store_error, upload_gone};
use super::{GivenUp, PlannedRestore, Receipts};
use crate::{Error, ErrorKind, upload_error};

impl PlannedRestore {
    /// Whether a commit before this one has put the object in place.
    ///
    /// # Errors
    /// [`ErrorKind::JournalMismatch`]: the store was asked for it, has its upload no more, and something else stands there, or nothing: it may have
    /// been the object, and what stands there now is somebody's later work.
    pub(super) fn is_completed(&self, attempts: &AttemptsDir, cancel: &CancelToken) -> Result<bool, Error> {
        if !self.is_completing(attempts)? {
            return Ok(false);
        }
        let upload = self.upload(cancel)?;
        if upload.look().map_err(store_error)? == ObjectState::Ours {
            return Ok(true);
        }
        if upload.parts().map_err(store_error)?.is_some() {
            return Ok(false);
        }
        // It may have come between the two.
        match upload.look().map_err(store_error)? {
            ObjectState::Ours => Ok(true),
            ObjectState::Unchanged | ObjectState::Others => Err(self.replaced_since()),
        }
    }

    /// What has come of giving up, once the store has the upload no more; `before` is what was known until then. What a commit that was killed has asked
    /// for may have been on its way still, and have come between the look and the end of the upload. From now on it cannot come.
    pub(super) fn look_after_abort(&self, attempts: &AttemptsDir, before: GivenUp) -> Result<GivenUp, Error> {
        if !self.is_completing(attempts)? {
            return Ok(before);
        }
        match self.upload(&CancelToken::new())?.look().map_err(store_error)? {
            ObjectState::Ours => self.note_committed().map(|()| GivenUp::WasInPlace),
            ObjectState::Unchanged => Ok(before),
            ObjectState::Others => Ok(GivenUp::MayHaveBeenInPlace),
        }
    }

    /// Whether a commit has noted that it asks the store. Whoever has not the key has not written it; then it says nothing.
    fn is_completing(&self, attempts: &AttemptsDir) -> Result<bool, Error> {
        let text = attempts.read(OsStr::new(PUBLISHING), NOTE_LEN_MAX)?;
        Ok(text.is_some_and(|text| Completing::parse(&text, &self.key, self.plan.id()).is_ok()))
    }

    pub(super) fn complete_upload(
        &self,
        attempts: &AttemptsDir,
        receipts: &Receipts,
        cancel: &CancelToken,
    ) -> Result<Outcome, Error> {
        let mut upload = self.upload(cancel)?;
        let mut is_noted_here = false;
        for _ in 0..LISTINGS_MAX {
            let Some(stored) = upload.parts().map_err(store_error)? else {
                // What a commit before this one has asked for may have come since.
                let is_done = self.is_completed(attempts, cancel)?;
                return is_done.then_some(Outcome::AlreadyCommitted).ok_or_else(upload_gone);
            };
            let (tags, missing) = self.tags_of(attempts, receipts, stored)?;
            if !missing.is_empty() {
                return Ok(Outcome::Wrong(missing));
            }
            if !self.is_completing(attempts)? {
                attempts.remove(OsStr::new(PUBLISHING))?;
                let note = Completing.to_text(&self.key, self.plan.id());
                attempts.put(OsStr::new(PUBLISHING), note.as_bytes())?;
                is_noted_here = true;
            }
            let kind = |error: &std::io::Error| UploadFault::within(error).map(UploadFault::kind);
            match upload.complete(tags) {
                Ok(()) => return Ok(Outcome::Published),
                Err(PublishError::NotDone(error)) => match kind(&error) {
                    // An attempt has just sent a piece again, and the store calls it by another tag.
                    Some(UploadFaultKind::PartsChanged) => {}
                    Some(UploadFaultKind::UploadGone) => return Err(upload_gone()),
                    refused @ Some(UploadFaultKind::Replaced | UploadFaultKind::Exists) => {
                        if is_noted_here {
                            // The store has done nothing: nobody is to be told that the object may have been put in place.
                            attempts.remove(OsStr::new(PUBLISHING))?;
                        }
                        let is_another = refused == Some(UploadFaultKind::Replaced);
                        return Err(if is_another {
                            self.not_what_was_planned()
                        } else {
                            upload_error(error)
                        });
                    }
                    _ => return Err(store_error(error)),
                },
                Err(PublishError::Unknown(error)) => {
                    let what = "whether the object is in place is not known";
                    let unknown = Error::new(ErrorKind::DurabilityUnknown, what).because(error);
                    return Err(unknown.advise("Commit again: that finds out."));
                }
            }
        }
        let what = "parts of the object are sent again while it is put in place";
        Err(Error::new(ErrorKind::TargetLocked, what)
            .advise("Wait until no part is being run, then commit again."))
    }

    /// What the store calls the pieces, all in order; and the parts of which it has others, or none, than a receipt says. Their receipts are removed.
    fn tags_of(
        &self,
        attempts: &AttemptsDir,
        receipts: &Receipts,
        stored: Vec<StoredPart>,
    ) -> Result<(Vec<String>, Vec<u64>), Error> {
        let stored: BTreeMap<u64, StoredPart> = stored.into_iter().map(|part| (part.number, part)).collect();
        let (mut tags, mut missing) = (Vec::new(), Vec::new());
        for (part, names) in (0..).zip(&receipts.by_part) {
            match self.tags_of_part(part, &self.receipts_of(attempts, part, names)?, &stored) {
                Some(found) => tags.extend(found),
                None => {
                    names.iter().try_for_each(|name| attempts.remove_attempt(part, *name))?;
                    missing.push(part);
                }
            }
        }
        Ok((tags, missing))
    }

    fn receipts_of(
        &self,
        attempts: &AttemptsDir,
        part: u64,
        names: &[AttemptName],
    ) -> Result<Vec<PartReceipt>, Error> {
        let read = names.iter().map(|name| self.read_receipt(attempts, part, *name));
        read.filter_map(Result::transpose).collect()
    }

    /// Each piece is there as one of the receipts says, whichever attempt has sent it last. Attempts that have opened other bytes are none.
    fn tags_of_part(
        &self,
        part: u64,
        receipts: &[PartReceipt],
        stored: &BTreeMap<u64, StoredPart>,
    ) -> Option<Vec<String>> {
        let (_, planned) = self.object().ok()?;
        let first = receipts.first()?;
        if receipts.iter().any(|receipt| receipt.pieces() != first.pieces()) {
            return None;
        }
        let pieces = planned.cuts[part as usize].pieces(first.extent().len());
        let piece_tag = |(index, (number, len)): (usize, (u64, u64))| {
            let there = stored.get(&number).filter(|there| there.len == len)?;
            let tags = receipts.iter().map(|receipt| &receipt.tags()[index]);
            tags.into_iter().find(|tag| bare(tag) == bare(&there.tag)).cloned()
        };
        pieces.enumerate().map(piece_tag).collect()
    }

    /// Refuses to call nothing kept, where no directory of attempts is found here, while the store has what was sent.
    pub(super) fn refuse_kept_upload(&self) -> Result<(), Error> {
        let PlanTarget::Object { .. } = self.plan.target() else { return Ok(()) };
        match self.upload(&CancelToken::new())?.parts().map_err(store_error)? {
            None => Ok(()),
            Some(_) => {
                let what =
                    "the plan's directory of attempts is not here, but the store still has what was sent";
                Err(Error::new(ErrorKind::JournalMismatch, what).advise(
                    "Give the plan up where its directory is; or, if nobody has that any more, have the store abort its open upload.",
                ))
            }
        }
    }

    fn replaced_since(&self) -> Error {
        let what = format!(
            "a commit that was interrupted may have put {} in place, and something else stands there since, or nothing",
            self.plan.target().name().display()
        );
        Error::new(ErrorKind::JournalMismatch, what).advise(
            "It is not replaced: look whether it is what you want. Then give the plan up; if it is not, make another plan, under another name.",
        )
    }

    fn not_what_was_planned(&self) -> Error {
        let what =
            format!("{} is another object than when it was planned", self.plan.target().name().display());
        Error::new(ErrorKind::TargetExists, what).advise(
            "It is not replaced: look who has written it. Then give the plan up, and make another, under another name.",
        )
    }
}

/// A tag without the quotes that a header has and not every list.
fn bare(tag: &str) -> &str {
    tag.trim_matches('"')
}

/// How often the store is asked what it has, while attempts send pieces again.
const LISTINGS_MAX: usize = 8;
