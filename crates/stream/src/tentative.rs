//! Where plaintext goes before it is published, made once the stream is known, and what of it outlives a failure.
//! It knows labels and paths; the bytes are the engine's.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use contract::{AttemptId, IfExists, StreamingSink};
use keys::KeySchedule;
use local::{Opened, Seen, StagedFile};
use storage::{Seed, StageOptions};

use crate::checkpoint::{CheckpointMaker, sink_len_of};
use crate::compare_sink::CompareSink;
use crate::cut_sink::CutSink;
use crate::envelope::Envelope;
use crate::file_attributes::{self, Malformed};
use crate::progress::tell_notices;
use crate::restore_id::{Mismatch, RestoreId};
use crate::seeding::Seeding;
use crate::{Attributes, Error, ErrorKind, Observer, Warning};

/// A sink for a stream that is known.
pub enum Tentative<S> {
    /// To be written, from the start or from where an earlier attempt ended.
    Open(Opening<S>),
    /// The same of another kind.
    Boxed(Opening<Box<dyn StreamingSink>>),
    /// An earlier attempt has published it, and was cut off while it tidied up: to be compared.
    CompareSink(CompareSink),
}

/// A sink to be written.
pub struct Opening<S> {
    pub(crate) sink: S,
    pub(crate) marks: CheckpointMaker,
    pub(crate) keeps: Retention,
    pub(crate) seeding: Option<Seeding<S>>,
}

/// What stays after a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Retention {
    /// Nothing, or what the sink's owner knows of.
    Nothing,
    /// Committed segments, beside the target.
    Progress,
}

impl<S: StreamingSink> Opening<S> {
    /// A sink that somebody else made. The stream's id names its journal, if it has one.
    pub fn plain(sink: S, envelope: &Envelope) -> Opening<S> {
        let marks = CheckpointMaker::of_stream(envelope.schedule.as_ref(), envelope.preamble.stream_id);
        Opening { sink, marks, keeps: Retention::Nothing, seeding: None }
    }
}

impl Tentative<StagedFile> {
    /// Of a file that gets the first `len` bytes of the stream. One that an earlier attempt has published is compared with all of it.
    pub fn cut(self, len: u64) -> Tentative<StagedFile> {
        match self {
            Tentative::Open(Opening { sink, marks, keeps, .. }) => {
                let sink: Box<dyn StreamingSink> = Box::new(CutSink::new(sink, len));
                Tentative::Boxed(Opening { sink, marks, keeps, seeding: None })
            }
            other => other,
        }
    }
}

impl<S> From<Opening<S>> for Tentative<S> {
    fn from(opening: Opening<S>) -> Tentative<S> {
        Tentative::Open(opening)
    }
}

/// Mode and time for a target that is new, and who hears what its file system cannot do.
pub struct OfSource {
    /// Whether it is to have those of the file that was sealed.
    pub attributes: Attributes,
    /// Who hears it.
    pub observer: Option<Arc<dyn Observer>>,
}

impl OfSource {
    fn give(self, sink: &mut StagedFile, envelope: &Envelope) {
        match (self.attributes, file_attributes::find(&envelope.metadata)) {
            (Attributes::Ignore, _) | (_, None) => {}
            (Attributes::Restore, Some(Ok(found))) => {
                sink.set_mode(found.permissions());
                sink.set_modified(found.modified);
            }
            (Attributes::Restore, Some(Err(Malformed))) => {
                if let Some(observer) = &self.observer {
                    observer.warning(&Warning::FileAttributesMalformed);
                }
            }
        }
        tell_notices(sink, self.observer);
    }
}

/// Names a restore that goes through a log: the stream, and the device that the log is for.
#[derive(Debug)]
pub struct LogId<'a> {
    id: RestoreId,
    attempt_id: AttemptId,
    schedule: &'a KeySchedule,
}

impl LogId<'_> {
    /// For a restore that begins. `device` says which device it goes to, in whatever words a later run finds again.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn new<'a>(envelope: &'a Envelope, device: &[u8]) -> Result<LogId<'a>, Error> {
        let schedule = envelope.schedule.as_ref().expect("who restores has the key");
        // No name of a file has a NUL: an id of a file's journal is never one of a device's log.
        let target = [b"device\0", device].concat();
        let id = RestoreId::new(&envelope.preamble, OsStr::from_bytes(&target))?;
        let attempt_id = AttemptId::new(&id.to_bytes(schedule)).expect("a label of ours is within the limit");
        Ok(LogId { id, attempt_id, schedule })
    }

    /// What a new log is called.
    pub fn attempt_id(&self) -> AttemptId {
        self.attempt_id.clone()
    }

    /// Whether a log under the id `found` is of a restore, whichever it is: all that can be said without its key.
    pub fn is_one(found: &AttemptId) -> bool {
        RestoreId::is_one(found.as_bytes())
    }

    /// Whether a log under the id `found` is of this restore.
    ///
    /// # Errors
    /// As [`LogId::resume`].
    pub fn check(&self, found: &AttemptId) -> Result<(), Error> {
        self.id.accept(found.as_bytes(), self.schedule).map(|_| ()).map_err(Mismatch::in_log)
    }

    /// Goes on with `sink`, a log that was found under the id `found`, or that was made under this one.
    ///
    /// # Errors
    /// [`ErrorKind::JournalMismatch`]: the log is of something else, or somebody has changed what it says.
    pub fn resume<S>(self, sink: S, found: &AttemptId) -> Result<Tentative<S>, Error> {
        let id = self.id.accept(found.as_bytes(), self.schedule).map_err(Mismatch::in_log)?;
        Ok(Tentative::Open(Opening {
            sink,
            marks: id.marks(self.schedule),
            keeps: Retention::Progress,
            seeding: None,
        }))
    }
}

/// Names a restore of a tree, by the stream and by the target's name, as the restore of a file is named.
#[derive(Debug)]
pub struct TreeId<'a> {
    id: RestoreId,
    schedule: &'a KeySchedule,
}

impl TreeId<'_> {
    /// For a restore to `target` that begins.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn new<'a>(envelope: &'a Envelope, target: &Path) -> Result<TreeId<'a>, Error> {
        let schedule = envelope.schedule.as_ref().expect("who restores has the key");
        let id = RestoreId::new(&envelope.preamble, target.file_name().unwrap_or_default())?;
        Ok(TreeId { id, schedule })
    }

    /// What a new attempt is called.
    pub fn attempt_id(&self) -> AttemptId {
        AttemptId::new(&self.id.to_bytes(self.schedule)).expect("a label of ours is within the limit")
    }

    /// Whether what was found under the id `found` is of this restore.
    ///
    /// # Errors
    /// As [`resume`](Self::resume).
    pub fn check(&self, found: &AttemptId) -> Result<(), Error> {
        self.id.accept(found.as_bytes(), self.schedule).map(|_| ()).map_err(Mismatch::beside_target)
    }

    /// Goes on with `sink`, which was found under the id `found`, or was made under this one.
    ///
    /// # Errors
    /// [`ErrorKind::JournalMismatch`]: what is beside the target is of something else, or somebody has changed what it says.
    pub fn resume<S>(self, sink: Box<dyn StreamingSink>, found: &AttemptId) -> Result<Tentative<S>, Error> {
        let id = self.id.accept(found.as_bytes(), self.schedule).map_err(Mismatch::beside_target)?;
        let marks = id.marks(self.schedule);
        Ok(Tentative::Boxed(Opening { sink, marks, keeps: Retention::Progress, seeding: None }))
    }
}

/// Stages a file for `path`, or goes on with what an earlier restore of the same stream left there. What neither that nor the
/// stream has to bring comes from `seed`.
pub fn restore_into(
    path: &Path,
    options: &StageOptions,
    of_source: OfSource,
    seed: Option<Seed>,
    envelope: &Envelope,
) -> Result<Tentative<StagedFile>, Error> {
    let schedule = envelope.schedule.as_ref().expect("who restores has the key");
    let attempt_id = RestoreId::new(&envelope.preamble, resolved(path).file_name().unwrap_or_default())?;
    let fresh = AttemptId::new(&attempt_id.to_bytes(schedule)).expect("a label of ours is within the limit");
    for _ in 0..ATTEMPTS_MAX {
        match StagedFile::open(path, options, &fresh).map_err(Error::target)? {
            Opened::Fresh(mut sink) => {
                of_source.give(&mut sink, envelope);
                return Ok(journalled(sink, &attempt_id, schedule, seed));
            }
            Opened::Resumable { mut sink, attempt_id: found } => {
                let attempt_id =
                    attempt_id.accept(found.as_bytes(), schedule).map_err(Mismatch::beside_target)?;
                of_source.give(&mut sink, envelope);
                return Ok(journalled(sink, &attempt_id, schedule, seed));
            }
            Opened::Published(published) => {
                let ours = attempt_id.accept(published.attempt_id().as_bytes(), schedule).is_ok();
                if ours && has_len(path, options) {
                    return Ok(Tentative::CompareSink(CompareSink::over(published, &resolved(path))?));
                }
                published.finish().map_err(unfinished)?;
                // Another stream's restore was done and had not tidied up, or the target is no longer what it was then.
                // Now it is tidy, and the target like any other.
            }
        }
    }
    Err(Error::new(ErrorKind::TargetLocked, "other restores of the same target keep coming in between"))
}

fn journalled(
    sink: StagedFile,
    attempt_id: &RestoreId,
    schedule: &KeySchedule,
    seed: Option<Seed>,
) -> Tentative<StagedFile> {
    let seeding = seed.map(|seed| Seeding {
        seed: Arc::new(seed),
        copy_on_read: StagedFile::copy_on_read,
        keep_copied: StagedFile::keep_copied,
        prepare_room: StagedFile::prepare_room,
    });
    Opening { sink, marks: attempt_id.marks(schedule), keeps: Retention::Progress, seeding }.into()
}

/// Makes a failure say what is kept beside `path`: where the attempt ended before it had proved any of that, and where there
/// is nothing any more.
pub fn tell_kept(error: Error, path: &Path, if_exists: IfExists) -> Error {
    use ErrorKind::{
        Cancelled, Damaged, Denied, DigestMismatch, Io, Limit, NoProgress, NotSigned, SourceChanged,
        Truncated,
    };
    let of_stream =
        matches!(error.kind(), Damaged | DigestMismatch | Limit | NotSigned | SourceChanged | Truncated);
    let goes_on = of_stream || matches!(error.kind(), Cancelled | Denied | Io | NoProgress);
    if !goes_on && error.resumable_bytes().is_none() {
        return error;
    }
    match StagedFile::examine(path, if_exists) {
        Ok(Seen::Unfinished { checkpoint, .. }) if error.resumable_bytes().is_none() => {
            error.keeping(Some(checkpoint.as_ref().map_or(0, sink_len_of)))
        }
        Ok(Seen::Unfinished { .. }) | Err(_) => error,
        // Whatever was kept, somebody has taken it away.
        Ok(Seen::Nothing | Seen::Published { .. }) => error.keeping(None),
    }
}

/// Whether the target is as long as the stream, where that is known.
fn has_len(path: &Path, options: &StageOptions) -> bool {
    let found = fs::metadata(path).map(|metadata| metadata.len()).ok();
    options.expected_len.is_none_or(|expected| found == Some(expected))
}

/// Where a symbolic link leads to: that is what is replaced, and what a journal is beside.
pub fn resolved(path: &Path) -> PathBuf {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()),
        _ => path.to_owned(),
    }
}

pub(crate) fn unfinished(error: std::io::Error) -> Error {
    Error::new(
        ErrorKind::DurabilityUnknown,
        "an earlier run has put the target in place, but it may not survive a power cut",
    )
    .advise("Run `sync` on its file system and look at the system's log; then verify the target.")
    .because(error)
}

/// How often other restores may come in between.
const ATTEMPTS_MAX: usize = 3;
