//! An object in a store as what a plan makes: how it is reached, the upload that is begun with the plan, and its end without an object.
//! It sends no byte of a stream, and puts nothing in place.

use std::ffi::OsStr;
use std::io;
use std::num::NonZeroU64;
use std::path::Path;

use ::parts::{PartCut, Plan, PlanTarget, PlannedUpload, UPLOAD_PIECE_LEN_MIN};
use contract::IfExists;
use object::RangeCut;
use remote::Place;
use remote::upload::{IfThere, SharedUpload, Upload, UploadFault, UploadFaultKind, UploadName};
use segment_worker::CancelToken;
use sources::Source;
use storage::TargetDir;
use stream::{ChainedSegments, Partition};

use super::planning::{Planning, content_of, refuse_noted, unusable};
use super::{PlanKeyFile, Planned, PlannedRestore};
use crate::object_target::{refused, upload_memory};
use crate::{Error, ErrorKind, ObjectTarget, Opener, upload_error};

impl PlannedRestore {
    /// As [`PlannedRestore::create`], for an object in a store: S3 and what speaks its protocol, Google Cloud Storage. One upload is begun, on the
    /// condition that nothing is there, or with [`IfExists::Replace`] still what is there now; attempts send to it, and the commit puts it
    /// together. The directory of attempts, with small files alone, is beside the plan, on a file system that all processes share.
    ///
    /// Parts that are shorter than stores take (5 MiB, but for the last) are joined with the next one: there may be fewer than `parts`. If it is
    /// killed, an upload may stay at the store that [`UnfinishedUploads`](crate::remote::upload::UnfinishedUploads) finds.
    ///
    /// # Errors
    /// As [`PlannedRestore::create`], and of an upload that is begun. [`ErrorKind::Unsupported`] too for an empty stream. [`ErrorKind::Usage`]
    /// too for Azure, whose uploads have no names.
    pub fn create_for_object(
        path: impl AsRef<Path>,
        mut key: PlanKeyFile,
        opener: &Opener,
        source: impl Source,
        described: &OsStr,
        target: &ObjectTarget,
        parts: NonZeroU64,
    ) -> Result<(PlannedRestore, Planned), Error> {
        let path = path.as_ref();
        opener.require_identities()?;
        opener.refuse_seed("what parts take over is their own")?;
        Upload::check(target.place()).map_err(|error| refused(error, target.place()))?;
        refuse_same_object(described, target.place())?;
        let beside = TargetDir::resolve(path, IfExists::Refuse).map_err(Error::target)?;
        let found = PlannedRestore::find_planned(path, &mut key)?;
        if found.is_none() {
            refuse_noted(path)?;
            beside.check_writable().map_err(Error::target)?;
        }
        let mut partition = opener.stream().partition(parts, source)?;
        refuse_tree(&partition)?;
        partition.parts = joined(partition.parts);
        let cuts = cuts_of(&partition.parts, upload_memory(&opener.resources))?;
        let upload = PlannedUpload { id: String::new(), attempt: [0; 16], replaces: None, cuts };
        let planned = PlanTarget::Object { url: target.place().to_string(), upload };
        let mut content = content_of(partition, Planning::File { len: None }, opener, described, planned);
        if let Some(found) = found {
            // Its parts were joined from more: whoever counts them finds it by their number, too.
            if found.plan.parts().len() as u64 == parts.get() {
                content.parts = found.plan.parts().to_vec();
            }
            return found.if_the_same(&content)?.with_object(target.clone())?.planned_before();
        }
        let mut options = target.upload_options(&opener.resources.cancel);
        options.if_exists = match opener.if_exists {
            IfExists::Refuse => IfThere::Refuse,
            IfExists::Replace => IfThere::Replace,
        };
        let begun = SharedUpload::begin(target.place(), &options);
        let begun = begun.map_err(|error| refused(error, target.place()))?;
        if let PlanTarget::Object { upload, .. } = &mut content.target {
            let UploadName { id, attempt, replaces } = begun.name();
            (upload.id, upload.attempt, upload.replaces) = (id, attempt, replaces);
        }
        let mut may_be_there = false;
        let written = Plan::new(content).map_err(unusable).and_then(|plan| {
            let ours = PlannedRestore::of(path, plan, key.put()?);
            let written = ours.clone().write(&beside);
            // One that is there, and only not durable, is found by the next run.
            may_be_there = written.is_err() && ours.may_be_there();
            written
        });
        let has_plan = may_be_there || matches!(written, Ok((_, Planned::Now)));
        if !has_plan {
            begun.abort().unwrap_or_else(|error| target.tell_left(&error));
        }
        let (planned, made) = written?;
        Ok((planned.with_object(target.clone())?, made))
    }

    /// Says how the target is reached, where that is an object: credentials are not in the plan.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`]: `target` is another object than the plan's, or the plan is for a file.
    pub fn with_object(mut self, target: ObjectTarget) -> Result<PlannedRestore, Error> {
        let planned = self.object_url().map(|url| Place::parse(url, []));
        let planned = planned.transpose().map_err(upload_error)?;
        if !planned.is_some_and(|planned| planned.is_same_object(target.place())) {
            let what = format!(
                "the plan's target is {}, not {}",
                self.plan.target().name().display(),
                target.place()
            );
            return Err(Error::new(ErrorKind::Usage, what));
        }
        self.object = Some(target);
        Ok(self)
    }

    /// The target and the upload.
    pub(super) fn object(&self) -> Result<(&ObjectTarget, &PlannedUpload), Error> {
        match (&self.object, self.plan.target()) {
            (Some(target), PlanTarget::Object { upload, .. }) => Ok((target, upload)),
            _ => Err(Error::new(
                ErrorKind::Usage,
                "the plan's target is an object: it has to be said how that is reached",
            )),
        }
    }

    /// The upload, as this process reaches it until `cancel`.
    pub(super) fn upload(&self, cancel: &CancelToken) -> Result<SharedUpload, Error> {
        let (target, PlannedUpload { id, attempt, replaces, .. }) = self.object()?;
        let name = UploadName { id: id.clone(), attempt: *attempt, replaces: replaces.clone() };
        SharedUpload::of(target.place(), &target.upload_options(cancel), &name)
            .map_err(|error| refused(error, target.place()))
    }

    /// Has the store forget what it has of the upload. If that has become the object, it stays.
    pub(super) fn abort_upload(&self) -> Result<(), Error> {
        self.upload(&CancelToken::new())?.abort().map_err(store_error)
    }

    /// After the commit: not every store refuses what comes then, and what it has taken is in no object.
    pub(super) fn sweep_upload(&self) {
        if self.object.is_some() {
            let _ = self.abort_upload();
        }
    }
}

/// Why a store could not be asked about a plan's upload.
pub(super) fn store_error(error: io::Error) -> Error {
    let kind = UploadFault::within(&error).map(UploadFault::kind);
    let error = upload_error(error);
    match kind {
        Some(UploadFaultKind::NoBucket) => error.advise(
            "Look at the bucket's name, and at the endpoint that the environment names. If the bucket was removed, what was sent has gone with it: remove the plan, its key, and the directory .PLAN.cofferdam-parts-… beside it.",
        ),
        _ => error,
    }
}

/// The upload of a plan that the store has no more, and which has not become the object.
pub(super) fn upload_gone() -> Error {
    let what =
        "the store has no upload of this plan any more: somebody gave it up, or a rule of the store did";
    Error::new(ErrorKind::JournalMismatch, what)
        .advise("Give the plan up, and make another, under another name.")
}

/// An archive that stands where a directory is expected is not what was sealed.
fn refuse_tree(partition: &Partition) -> Result<(), Error> {
    match partition.content {
        None => Ok(()),
        // Of another kind than a tree, what is made of it is not known either.
        Some(_) => {
            let what = "a stream that is a tree is not restored into an object";
            Err(Error::new(ErrorKind::Unsupported, what)
                .advise("Restore it to a directory, or pipe it into a program that uploads it."))
        }
    }
}

/// Refuses to replace an object by what is made from it: it may be the only copy.
fn refuse_same_object(described: &OsStr, target: &Place) -> Result<(), Error> {
    let source = described.to_str().filter(|text| Place::is_url(text));
    match source.and_then(|url| Place::parse(url, []).ok()) {
        Some(source) if source.is_same_object(target) => {
            Err(Error::new(ErrorKind::Usage, "the input and the output are the same object")
                .advise("Give the output another name. The input is then yours to remove."))
        }
        _ => Ok(()),
    }
}

/// The same parts, in which those that are too short for a store are joined with the next one.
fn joined(parts: Vec<ChainedSegments>) -> Vec<ChainedSegments> {
    let mut joined: Vec<ChainedSegments> = Vec::new();
    for part in parts {
        match joined.last_mut() {
            Some(last) if last.plaintext.end - last.plaintext.start < UPLOAD_PIECE_LEN_MIN => {
                (last.segments.end, last.plaintext.end) = (part.segments.end, part.plaintext.end);
                last.chain_after = part.chain_after;
            }
            _ => joined.push(part),
        }
    }
    joined
}

/// How each part is cut for the store, by programs that have as much memory as this one.
fn cuts_of(parts: &[ChainedSegments], memory: usize) -> Result<Vec<PartCut>, Error> {
    let lens: Vec<u64> = parts.iter().map(|part| part.plaintext.end - part.plaintext.start).collect();
    if lens.last() == Some(&0) {
        let what = "an object without a byte, or whose last part is none, is not made by parts";
        return Err(
            Error::new(ErrorKind::Unsupported, what).advise("Restore it by one process, without a plan.")
        );
    }
    let cuts = RangeCut::of_ranges(&lens, memory).map_err(upload_error)?;
    let mut next = 1;
    let cut = |RangeCut { part_len, count }| {
        let numbers = next..next + count;
        next = numbers.end;
        PartCut { numbers, piece_len: part_len }
    };
    Ok(cuts.into_iter().map(cut).collect())
}
