//! An object in a store as the target of a sealing or a restore.
//! It knows no request; the sink does.

use std::error::Error as StdError;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use contract::{CommitError, IfExists};
use object::{ExpectedLen, NoRoom, ObjectOptions, ObjectSink};
#[cfg(feature = "parts")]
use object::{ObjectRange, SentTags};
#[cfg(feature = "parts")]
use remote::upload::SharedUpload;
use remote::upload::{UploadFault, UploadFaultKind, UploadNotice, UploadOptions};
use remote::{Place, PlaceKind, Retry, RetryPolicy};
use segment_worker::CancelToken;
use sources::Source;
use stream::{FileInput, Opening, Resources, SealedLen};

use crate::{Error, ErrorKind, InTheWay, Metadata, Opener, Remedy, Restored, Sealed, Sealer};

/// An object in a store, to be written: S3 and what speaks its protocol, Google Cloud Storage, Azure.
///
/// It is sent in parts while it is made, and put in place at the end: all of it or nothing, on the condition that nothing is there,
/// or with [`IfExists::Replace`] still what was there at the beginning. Google's store cannot put parts together on a condition: there it is looked
/// at right before. Whatever goes wrong before the end, the parts are given up. They are held until the store has them, in at most
/// five eighths of the memory budget; nothing is resumed by another call. What a dead machine has left is found by
/// [`UnfinishedUploads`](crate::remote::upload::UnfinishedUploads).
///
/// ```no_run
/// use cofferdam::remote::Place;
/// use cofferdam::{ObjectTarget, Recipients, Sealer};
///
/// // Credentials are those of the environment, as its caller reads it.
/// let place = Place::parse("s3://backups/db.cfd", std::env::vars())?;
/// let recipients = Recipients::new().parse("age1…")?;
/// Sealer::new(recipients).seal_file_to_object("db.img", &ObjectTarget::new(place))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ObjectTarget {
    place: Place,
    spool: Option<PathBuf>,
    len_max: Option<u64>,
    upload: UploadOptions,
}

impl ObjectTarget {
    /// The object at `place`.
    pub fn new(place: Place) -> ObjectTarget {
        ObjectTarget { place, spool: None, len_max: None, upload: UploadOptions::default() }
    }

    /// Where the object is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// A directory for parts that the memory budget does not hold. They lie there until the store has them, in a file without a name
    /// that this user alone can read, **as they are: plaintext, where plaintext is written**. Without it such an upload is refused
    /// before its first byte.
    #[must_use]
    pub fn spool(mut self, directory: impl Into<PathBuf>) -> ObjectTarget {
        self.spool = Some(directory.into());
        self
    }

    /// The most bytes that the object will have, where its length is not known: what comes through a pipe. Without it parts have
    /// 64 MiB, and the object at most 625 GiB. One that gets longer is [`ErrorKind::Limit`].
    #[must_use]
    pub fn len_max(mut self, bytes: u64) -> ObjectTarget {
        self.len_max = Some(bytes);
        self
    }

    /// How requests are made again. Default: [`RetryPolicy::default`].
    #[must_use]
    pub fn retries(mut self, policy: RetryPolicy) -> ObjectTarget {
        self.upload.retry = policy;
        self
    }

    /// Is told of each request that is made again.
    #[must_use]
    pub fn on_retry(mut self, told: Arc<dyn Fn(&Retry) + Send + Sync>) -> ObjectTarget {
        self.upload.on_retry = told;
        self
    }

    /// Is told what a call's user should know beside its outcome: that an object may be replaced unseen, that the call waits for the
    /// last answer though it was cancelled, that parts may stay at the store.
    #[must_use]
    pub fn on_notice(mut self, told: Arc<dyn Fn(&UploadNotice) + Send + Sync>) -> ObjectTarget {
        self.upload.on_notice = told;
        self
    }

    fn sink(
        &self,
        resources: &Resources,
        if_exists: IfExists,
        expected_len: ExpectedLen,
    ) -> Result<ObjectSink, Error> {
        let mut options = ObjectOptions::new(upload_memory(resources));
        options.if_exists = if_exists;
        options.expected_len = match (expected_len, self.len_max) {
            (ExpectedLen::Unknown, Some(len_max)) => ExpectedLen::AtMost(len_max),
            (expected_len, _) => expected_len,
        };
        options.spool.clone_from(&self.spool);
        options.upload = self.upload_options(&resources.cancel);
        resources.tell_staging();
        ObjectSink::open(&self.place, &options).map_err(|error| refused(error, &self.place))
    }

    /// Tells that parts may stay at the store.
    #[cfg(feature = "parts")]
    pub(crate) fn tell_left(&self, error: &io::Error) {
        (self.upload.on_notice)(&UploadNotice::Left { what: error.to_string() });
    }

    /// How its requests are made until `cancel`.
    pub(crate) fn upload_options(&self, cancel: &CancelToken) -> UploadOptions {
        let mut options = self.upload.clone();
        let cancel = cancel.clone();
        options.is_cancelled = Arc::new(move || cancel.is_cancelled());
        options
    }

    /// A sink of a range of the object that `upload` becomes.
    #[cfg(feature = "parts")]
    pub(crate) fn range_sink(
        &self,
        resources: &Resources,
        upload: SharedUpload,
        range: ObjectRange,
    ) -> Result<(ObjectSink, SentTags), Error> {
        let mut options = ObjectOptions::new(upload_memory(resources));
        options.spool.clone_from(&self.spool);
        resources.tell_staging();
        ObjectSink::join(upload, range, &options).map_err(|error| refused(error, &self.place))
    }
}

/// Of the memory budget, what an upload may take.
pub(crate) fn upload_memory(resources: &Resources) -> usize {
    resources.memory_len() / SHARE.1 * SHARE.0
}

/// Uploads.
impl Sealer {
    /// Seals the file at `input` (a FIFO or a device too) into an object, all or nothing.
    ///
    /// # Errors
    /// As [`Sealer::seal_file`]. [`ErrorKind::TargetLocked`] where somebody else has written the object meanwhile;
    /// [`ErrorKind::DurabilityUnknown`] where the store was not heard any more after the last request.
    pub fn seal_file_to_object(
        &self,
        input: impl AsRef<Path>,
        target: &ObjectTarget,
    ) -> Result<Sealed, Error> {
        let FileInput { source, metadata, .. } = FileInput::open(input.as_ref())?;
        self.seal_into_object(source, metadata, target)
    }

    /// Seals all of `source` into an object, all or nothing.
    ///
    /// # Errors
    /// As [`Sealer::seal_file_to_object`].
    pub fn seal_to_object(
        &self,
        source: impl Source + 'static,
        target: &ObjectTarget,
    ) -> Result<Sealed, Error> {
        self.seal_into_object(Box::new(source), Metadata::new(), target)
    }

    fn seal_into_object(
        &self,
        source: Box<dyn Source>,
        of_input: Metadata,
        target: &ObjectTarget,
    ) -> Result<Sealed, Error> {
        let sealed = self.stream().seal_with(source, of_input, |len| {
            let expected_len = match len {
                SealedLen::Exactly(len) => ExpectedLen::Exactly(len),
                SealedLen::AtMost(len) => ExpectedLen::AtMost(len),
                SealedLen::Unknown => ExpectedLen::Unknown,
            };
            target.sink(&self.resources, self.if_exists, expected_len)
        });
        sealed.map_err(explain)
    }
}

/// Uploads.
impl Opener {
    /// Opens all of `source` into an object, all or nothing. **The plaintext lies unencrypted in the store**, and passes through it
    /// while it is uploaded. Nothing is kept of an interrupted call.
    ///
    /// # Errors
    /// As [`Opener::open`] and [`Sealer::seal_file_to_object`].
    pub fn restore_to_object(&self, source: impl Source, target: &ObjectTarget) -> Result<Restored, Error> {
        self.require_identities()?;
        self.refuse_seed("the target is an object in a store")?;
        let restored = self.stream().open_with(source, |envelope, len| {
            let expected_len = len.map_or(ExpectedLen::Unknown, ExpectedLen::Exactly);
            let sink = target.sink(&self.resources, self.if_exists, expected_len)?;
            Ok(Opening::plain(sink, envelope).into())
        });
        restored.map_err(explain)
    }
}

/// An error of [`remote::upload`](crate::remote::upload) as this library's own, with its kind and what to do.
pub fn upload_error(error: io::Error) -> Error {
    if let Some(fault) = UploadFault::within(&error) {
        return of_fault(fault);
    }
    match error.kind() {
        io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput => {
            Error::new(ErrorKind::Usage, error.to_string())
        }
        io::ErrorKind::FileTooLarge => Error::new(ErrorKind::Limit, error.to_string()),
        _ => Error::io("the store could not be used", error),
    }
}

/// Why a sink could not be opened.
pub(crate) fn refused(error: io::Error, place: &Place) -> Error {
    if let Some(no_room) = NoRoom::within(&error) {
        let needed = (no_room.needed / SHARE.0 + 1).saturating_mul(SHARE.1) as u64;
        return Error::new(ErrorKind::Usage, format!("{place}: {no_room}"))
            .remedied(Remedy::RaiseMemoryOrSpool { needed });
    }
    let is_unsupported = error.kind() == io::ErrorKind::Unsupported;
    let refused = upload_error(error);
    match place.kind() {
        PlaceKind::Http if is_unsupported => {
            refused.advise("Upload it to a store, or write it to a file and send that.")
        }
        _ => refused,
    }
}

/// An upload's fault as what it is to a caller, whichever call it ended.
pub(crate) fn explain(error: Error) -> Error {
    if let Some(fault) = fault_under(&error) {
        return of_fault(&fault);
    }
    let is_too_long = faults_under(&error).any(|cause| cause.kind() == io::ErrorKind::FileTooLarge);
    match is_too_long && error.kind() == ErrorKind::Io {
        true => Error::new(ErrorKind::Limit, "the object gets too long").because(error),
        false => error,
    }
}

/// The upload's fault among the causes.
pub(crate) fn fault_under(error: &Error) -> Option<UploadFault> {
    faults_under(error).find_map(|cause| UploadFault::within(cause).cloned())
}

/// The errors of input and output among the causes.
fn faults_under(error: &Error) -> impl Iterator<Item = &io::Error> {
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        causes.extend(cause.downcast_ref::<io::Error>());
        causes.extend(cause.downcast_ref().map(CommitError::io));
        next = cause.source();
    }
    causes.into_iter()
}

fn of_fault(fault: &UploadFault) -> Error {
    let error = |kind| Error::new(kind, fault.to_string());
    match fault.kind() {
        UploadFaultKind::Exists => {
            error(ErrorKind::TargetExists).remedied(Remedy::Replace(InTheWay::Object))
        }
        UploadFaultKind::Unversioned => error(ErrorKind::TargetExists)
            .advise("Choose another name, or remove that object if nobody needs it."),
        UploadFaultKind::Replaced | UploadFaultKind::Conflict => {
            error(ErrorKind::TargetLocked).advise("Look who else writes it, and run this again.")
        }
        UploadFaultKind::UploadGone => error(ErrorKind::Io)
            .advise("A rule of the store may remove unfinished uploads too early. Run this again."),
        UploadFaultKind::NoBucket => {
            let gone = io::Error::new(io::ErrorKind::NotFound, "there is no such bucket");
            error(ErrorKind::Io).because(gone).advise(
                "Look at the bucket's name, and at the endpoint that the environment names. A bucket that is new has to be made first.",
            )
        }
        UploadFaultKind::Denied => error(ErrorKind::Denied).advise(
            "Look at the credentials and at what they may do: uploads put objects, read their metadata, and abort what is not completed.",
        ),
        UploadFaultKind::NoProgress => {
            error(ErrorKind::NoProgress).advise("The store, or the way there, does not answer. Run this again later.")
        }
        UploadFaultKind::Cancelled => Error::new(ErrorKind::Cancelled, "interrupted"),
        UploadFaultKind::Unknown => error(ErrorKind::DurabilityUnknown)
            .advise("Look at the object before this is run again; verify it if it is there."),
        _ => error(ErrorKind::Io),
    }
}

/// Of the memory budget: what parts may take at most. The rest is for frames that are sealed or opened.
const SHARE: (usize, usize) = (5, 8);
