//! The one error of this library: what happened, where, and what to do next.
//! It knows no exit code; the command maps kinds to codes.

mod cancelled;
mod fetch;
#[cfg(feature = "foreign")]
mod foreign;
mod of_stream;

use std::error::Error as StdError;
use std::{fmt, io};

use contract::CommitError;
use frame_worker::{FrameError, PoolError};
use framing::{Fault, FramingError};
use keys::{KeyError, UnwrapError};
use segment_worker::{NoMemory, StreamError};
use sources::InputChanged;
use storage::{ByteCount, Misplaced, TargetError};

use crate::{GivenInstead, InTheWay, Kept, Remedy, StreamHead, Warning};

/// What kind of failure it was. Each has one exit code in the command line.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Reading, writing, or the machine failed.
    Io,
    /// The caller asked for something that is not possible.
    Usage,
    /// The sealed stream is damaged or was tampered with.
    Damaged,
    /// The stream is not the one that was pinned: its digest is another. What there is of it may be whole.
    DigestMismatch,
    /// Nobody who was named has signed this stream: no signature, somebody else's, another stream's, or a damaged one.
    NotSigned,
    /// None of the keys given opens the stream.
    NoKey,
    /// The sealed stream ends too early; everything before its end is right.
    Truncated,
    /// The target exists, and replacing it was not asked for.
    TargetExists,
    /// A size or count is beyond a limit of the format.
    Limit,
    /// The stream is of a version or has a feature that this release does not know.
    Unsupported,
    /// What is kept beside the target of an interrupted attempt belongs to another stream or target, or is damaged.
    JournalMismatch,
    /// Another process is writing the same target.
    TargetLocked,
    /// The target has been published, but whether that survives a power cut is not known.
    DurabilityUnknown,
    /// The bytes are not a Cofferdam stream: they do not begin as one does (FORMAT F14.2).
    NotAStream,
    /// The stream has been opened to its end, and published, and nothing proves that it is whole: [`Error::as_asserted`].
    Unproven,
    /// The stream is older than the one that was asked for, or its number is not known.
    Stale,
    /// The source changed after it was opened: what was read of it is inconsistent.
    SourceChanged,
    /// The store or server does not let this caller read or write, or does not know who it is.
    Denied,
    /// Nothing has come from afar, or got there, for as long as was allowed, whatever was tried.
    NoProgress,
    /// The system provided no thread or no memory: a limit of this process or its user, or everything is in use.
    Exhausted,
    /// The cancel token was used.
    Cancelled,
}

/// Why nothing was sealed, restored or verified. The target is as it was, unless the kind is [`ErrorKind::DurabilityUnknown`] or
/// [`ErrorKind::Unproven`].
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    what: String,
    segment: Option<u64>,
    frame: Option<u32>,
    position: Option<u64>,
    resumable_bytes: Option<u64>,
    opens_all_again: bool,
    /// Faults of a key copy before this on the wire, which did not prevent the stream from being opened.
    key_copy: Option<Warning>,
    head: Option<StreamHead>,
    advice: Option<&'static str>,
    remedy: Option<Remedy>,
    #[cfg(feature = "foreign")]
    asserted: Option<crate::Asserted>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    #[doc(hidden)]
    pub fn new(kind: ErrorKind, what: impl Into<String>) -> Error {
        let what = what.into();
        Error(Box::new(Inner {
            kind,
            what,
            segment: None,
            frame: None,
            position: None,
            resumable_bytes: None,
            opens_all_again: false,
            key_copy: None,
            head: None,
            advice: None,
            remedy: None,
            #[cfg(feature = "foreign")]
            asserted: None,
            source: None,
        }))
    }

    /// What kind of failure.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The segment it happened in, from 0, where there is one.
    pub fn segment(&self) -> Option<u64> {
        self.0.segment
    }

    /// The frame of that segment, from 0; the first of its run where it is not known more exactly.
    pub fn frame(&self) -> Option<u32> {
        self.0.frame
    }

    /// Where in the sealed stream, in bytes from its beginning, where that is known.
    pub fn position(&self) -> Option<u64> {
        self.0.position
    }

    /// Tentative bytes kept beside the target, from which the same call resumes: 0 if it is not known how many,
    /// `None` if nothing is kept.
    pub fn resumable_bytes(&self) -> Option<u64> {
        self.0.resumable_bytes
    }

    /// Whether the same call opens all of the stream again, though [bytes are kept](Error::resumable_bytes), and writes only those that
    /// differ: nothing in a stream of another program says which of them are right.
    pub fn opens_all_again(&self) -> bool {
        self.0.opens_all_again
    }

    /// What can be done about it, as a sentence: the one of [`Error::remedy`], where there is one.
    pub fn advice(&self) -> Option<&'static str> {
        self.0.advice.or_else(|| self.0.remedy.map(|remedy| remedy.sentence()))
    }

    /// What can be done about it, for a program that can do it, or that words it for its own users.
    pub fn remedy(&self) -> Option<Remedy> {
        self.0.remedy
    }

    pub(crate) fn damaged(what: impl Into<String>) -> Error {
        Error::new(ErrorKind::Damaged, what).remedied(Remedy::FetchAgain)
    }

    #[doc(hidden)]
    pub fn io(what: impl Into<String>, source: io::Error) -> Error {
        let what = what.into();
        let what = match Error::of_fetch(what, &source) {
            Ok(error) => return error.because(source),
            Err(what) => what,
        };
        match source.kind() {
            io::ErrorKind::OutOfMemory => {
                Error::new(ErrorKind::Exhausted, what).remedied(Remedy::LowerMemory)
            }
            _ => Error::new(ErrorKind::Io, what),
        }
        .because(source)
    }

    #[doc(hidden)]
    pub fn no_thread(source: io::Error) -> Error {
        Error::new(ErrorKind::Exhausted, "the operating system gave no thread")
            .remedied(Remedy::FewerThreads)
            .because(source)
    }

    /// `len` bytes of memory could not be allocated; `what_for` says what for.
    pub(crate) fn no_memory(what_for: &str, len: usize) -> Error {
        Error::new(ErrorKind::Exhausted, format!("there is no memory for {what_for} of {len} bytes"))
            .remedied(Remedy::LowerMemory)
    }

    #[must_use]
    pub(crate) fn in_segment(mut self, segment: u64) -> Error {
        self.0.segment = Some(segment);
        self
    }

    #[must_use]
    pub(crate) fn at(mut self, position: u64) -> Error {
        self.0.position = Some(position);
        self
    }

    #[must_use]
    pub(crate) fn keeping(mut self, bytes: Option<u64>) -> Error {
        self.0.resumable_bytes = bytes;
        self
    }

    #[cfg(feature = "foreign")]
    #[must_use]
    pub(crate) fn opening_all_again(mut self) -> Error {
        self.0.opens_all_again = true;
        self
    }

    #[must_use]
    #[doc(hidden)]
    pub fn advise(mut self, advice: &'static str) -> Error {
        (self.0.advice, self.0.remedy) = (Some(advice), None);
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub fn remedied(mut self, remedy: Remedy) -> Error {
        (self.0.advice, self.0.remedy) = (None, Some(remedy));
        self
    }

    /// As [`Error::remedied`], in words that fit this error better than the remedy's own.
    #[must_use]
    fn remedied_as(mut self, remedy: Remedy, words: &'static str) -> Error {
        (self.0.advice, self.0.remedy) = (Some(words), Some(remedy));
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub fn because(mut self, source: impl StdError + Send + Sync + 'static) -> Error {
        self.0.source = Some(Box::new(source));
        self
    }

    /// A record that does not parse; `base` is where the parsed bytes begin in the stream.
    pub(crate) fn framing(error: FramingError, base: u64) -> Error {
        let error = error.moved(base);
        let refused =
            |kind| Error::new(kind, format!("the {} {}", error.record, error.problem)).at(error.offset);
        match error.fault {
            Fault::Damaged => refused(ErrorKind::Damaged).remedied(Remedy::FetchAgain),
            Fault::NotAStream => {
                refused(ErrorKind::NotAStream).remedied(Remedy::GiveStream(GivenInstead::Unknown))
            }
            Fault::Truncated => refused(ErrorKind::Truncated).remedied(Remedy::FetchRest),
            Fault::Limit => {
                refused(ErrorKind::Limit).advise("This may be damage, or a stream made to exhaust a reader.")
            }
            Fault::Unsupported => refused(ErrorKind::Unsupported).advise("A newer release may know it."),
        }
    }

    /// A frame of `segment` that was refused; `base` is where its run begins in the stream.
    pub(crate) fn frame_refused(segment: u64, first: u32, error: &FrameError, base: u64) -> Error {
        let mut refused = match error {
            // The bytes of a run are all there: a frame that wants more is wrong, and the stream goes on.
            FrameError::Framing(error) if error.fault == Fault::Truncated => {
                Error::damaged(format!("the {} overruns its segment", error.record))
                    .in_segment(segment)
                    .at(base)
            }
            FrameError::Framing(error) => return Error::framing(*error, base).in_segment(segment),
            FrameError::NoMemory => return Error::no_memory("a zstd context", 0),
            FrameError::Chunk(fault) => return Error::damaged(error.to_string()).at(base + fault.offset),
            FrameError::NotDue { .. }
            | FrameError::Authentication { .. }
            | FrameError::Decompression { .. }
            | FrameError::Closing => Error::damaged(error.to_string()).in_segment(segment).at(base),
        };
        refused.0.frame = Some(match error {
            FrameError::NotDue { due: frame }
            | FrameError::Authentication { frame }
            | FrameError::Decompression { frame } => frame.0,
            FrameError::Closing | FrameError::Framing(_) | FrameError::NoMemory | FrameError::Chunk(_) => {
                first
            }
        });
        refused
    }

    pub(crate) fn key(error: KeyError) -> Error {
        let kind = match &error {
            KeyError::Memory { .. } => ErrorKind::Exhausted,
            KeyError::Random { .. } | KeyError::Recipient { .. } => ErrorKind::Io,
            _ => ErrorKind::Usage,
        };
        Error::new(kind, error.to_string())
    }

    pub(crate) fn unwrap(error: &UnwrapError) -> Error {
        let error_with = |kind| Error::new(kind, error.to_string());
        match error {
            UnwrapError::NoKey { .. } => error_with(ErrorKind::NoKey).remedied(Remedy::UseOtherKey),
            UnwrapError::Limit { .. } => error_with(ErrorKind::Limit),
            UnwrapError::Memory { .. } => error_with(ErrorKind::Exhausted)
                .advise("Free memory, or raise the limit on this process's memory (`ulimit -v`)."),
            UnwrapError::Cancelled => error_with(ErrorKind::Cancelled),
            _ => error_with(ErrorKind::Damaged).remedied(Remedy::FetchAgain),
        }
    }

    /// No pool: more threads than there may be were asked for, or the machine does not give them.
    pub(crate) fn pool(error: PoolError) -> Error {
        match error {
            PoolError::TooMany { .. } => Error::new(ErrorKind::Usage, error.to_string())
                .advise("As many as the machine has processors are enough; that is the default."),
            PoolError::NoThread(source) => Error::no_thread(source),
            _ => Error::new(ErrorKind::Exhausted, error.to_string()),
        }
    }

    /// The same, where its words name a place by a path that only this process knows.
    #[doc(hidden)]
    #[must_use]
    pub fn naming(mut self, known_here: &str, path: &str) -> Error {
        self.0.what = self.0.what.replace(known_here, path);
        self
    }

    #[doc(hidden)]
    pub fn target(error: TargetError) -> Error {
        Error::refused_target(&error)
    }

    /// The same, of an error that lies in another one.
    #[doc(hidden)]
    pub fn refused_target(error: &TargetError) -> Error {
        let (kind, remedy) = match error {
            TargetError::Exists { .. } | TargetError::DirectoryExists { .. } => {
                (ErrorKind::TargetExists, Some(Remedy::Replace(InTheWay::File)))
            }
            TargetError::Symlink { .. } => (ErrorKind::TargetExists, Some(Remedy::Replace(InTheWay::Link))),
            TargetError::DanglingLink { .. } | TargetError::OtherKind { .. } => {
                (ErrorKind::TargetExists, None)
            }
            TargetError::Held { .. } | TargetError::DeviceInUse { .. } => (ErrorKind::TargetLocked, None),
            TargetError::Journal { .. } => (ErrorKind::JournalMismatch, Some(Remedy::Restart(Kept::Journal))),
            TargetError::OtherOptions { .. } => {
                (ErrorKind::JournalMismatch, Some(Remedy::Replace(InTheWay::File)))
            }
            TargetError::NotOurs { .. } | TargetError::OpenToOthers { .. } => {
                (ErrorKind::JournalMismatch, Some(Remedy::Restart(Kept::NotOurs)))
            }
            TargetError::NoExclusiveRename { .. } => {
                (ErrorKind::Io, Some(Remedy::Replace(InTheWay::FileSystem)))
            }
            TargetError::NotAFile { .. }
            | TargetError::NotADirectory { .. }
            | TargetError::NoName { .. }
            | TargetError::LengthUnknown { .. } => (ErrorKind::Usage, None),
            _ => (ErrorKind::Io, None),
        };
        let refused = Error::new(kind, error.to_string());
        match remedy {
            Some(remedy) => refused.remedied(remedy),
            None if is_full(error) => {
                refused.advise("Make room there, or name a target on another file system.")
            }
            None => refused,
        }
    }

    /// A publish that failed, or whose outcome is unknown.
    #[doc(hidden)]
    pub fn publish(error: CommitError) -> Error {
        Error::commit("the output could not be published", None, error)
    }

    fn commit(what: &str, segment: Option<u64>, error: CommitError) -> Error {
        let (CommitError::NotCommitted(source) | CommitError::Unknown(source)) = &error;
        let exists = source.kind() == io::ErrorKind::AlreadyExists;
        let refused = match &error {
            CommitError::NotCommitted(_) if exists => {
                Error::new(ErrorKind::TargetExists, "another file has appeared at the target meanwhile")
                    .remedied(Remedy::Replace(InTheWay::File))
            }
            CommitError::Unknown(source) if segment.is_none() && is_remote(source) => Error::new(
                ErrorKind::DurabilityUnknown,
                "it is unknown whether the receiver has published its target",
            )
            .advise("The receiver says so itself; look there before the restore is run again."),
            CommitError::Unknown(source) if segment.is_none() && is_misplaced(source) => Error::new(
                ErrorKind::DurabilityUnknown,
                "the output was published, and does not stand where it was to be",
            )
            .advise("Somebody has moved files at the same time. Look before this is run again."),
            CommitError::Unknown(_) if segment.is_none() => Error::new(
                ErrorKind::DurabilityUnknown,
                "the target is in place, but may not survive a power cut",
            )
            .advise("Run `sync` on its file system and look at the system's log; then verify the target."),
            _ => Error::new(ErrorKind::Io, what),
        };
        let mut refused = match (segment, error) {
            // That nothing was committed is what "the output could not be written" says.
            (Some(_), CommitError::NotCommitted(source)) => refused.because(source),
            (_, error) => refused.because(error),
        };
        refused.0.segment = segment;
        refused
    }

    /// What ended an opening stream.
    pub(crate) fn opening(error: StreamError<Error>) -> Error {
        match error {
            StreamError::Read { segment, offset, source }
                if source.kind() == io::ErrorKind::UnexpectedEof =>
            {
                Error::new(ErrorKind::Truncated, "the sealed stream ended while it was read")
                    .in_segment(segment.0)
                    .at(offset)
                    .because(source)
            }
            // What a stream needs is its maker's choice: to a reader it is a limit, one of its own (FORMAT F2.2).
            budget @ StreamError::Budget { .. } => {
                let mut refused = Error::stream(budget);
                refused.0.kind = ErrorKind::Limit;
                refused
            }
            other => Error::stream(other),
        }
    }

    /// What ended a sealing stream.
    pub(crate) fn sealing(error: StreamError<Error>) -> Error {
        match error {
            StreamError::Read { source, .. } if source.kind() == io::ErrorKind::UnexpectedEof => {
                Error::input_changed()
            }
            StreamError::Read { source, .. } if InputChanged::of(&source).is_some() => {
                Error::input_changed_by(source)
            }
            other => Error::stream(other),
        }
    }

    /// What ended the reading of what an interrupted sealing has left.
    pub(crate) fn walking(error: StreamError<Error>) -> Error {
        match error {
            StreamError::Read { segment, offset, source } => {
                Error::io("what was sealed before could not be read", source).in_segment(segment.0).at(offset)
            }
            // What it is compared with.
            StreamError::Sink { source, .. } if InputChanged::of(&source).is_some() => {
                Error::input_changed_by(source)
            }
            StreamError::Sink { segment, source } => {
                Error::io("the input could not be read", source).in_segment(segment.0)
            }
            other => Error::stream(other),
        }
    }

    /// The input of a seal is not what it was when it was opened.
    pub(crate) fn input_changed() -> Error {
        Error::new(ErrorKind::SourceChanged, "the input changed while it was sealed")
            .remedied_as(Remedy::RunAgain, "Seal a snapshot, or stop what writes to it, and seal again.")
    }

    fn input_changed_by(source: io::Error) -> Error {
        Error::new(ErrorKind::SourceChanged, "the input changed while it was sealed")
            .advise("Seal a snapshot, or stop what writes to it, and seal again.")
            .because(source)
    }

    fn stream(error: StreamError<Error>) -> Error {
        match error {
            StreamError::Feed(error) => error,
            StreamError::Frame { segment, first, offset, source } => {
                Error::frame_refused(segment.0, first.0, &source, offset)
            }
            StreamError::Header { segment, offset } => {
                Error::damaged("the segment header is not what the index says")
                    .in_segment(segment.0)
                    .at(offset)
            }
            StreamError::Segment { segment, fault } => {
                Error::damaged(format!("the segment is not as it was sealed: {fault}")).in_segment(segment.0)
            }
            StreamError::Trailer => Error::damaged("the trailer does not say what the segments say"),
            StreamError::Read { segment, offset, source } => {
                Error::io("the input could not be read", source).in_segment(segment.0).at(offset)
            }
            StreamError::Sink { segment, source } => {
                Error::io("the output could not be written", source).in_segment(segment.0)
            }
            StreamError::Commit { segment, source } => {
                Error::commit("the output could not be written", Some(segment.0), source)
            }
            StreamError::Publish(source) => Error::publish(source),
            StreamError::Panicked { segment } => {
                Error::new(ErrorKind::Io, "a worker panicked: this is a fault of the program")
                    .in_segment(segment.0)
                    .advise("Please report it with the message above.")
            }
            StreamError::Budget { needed, total } => {
                Error::new(ErrorKind::Usage, budget_too_small(needed as u64, total as u64))
                    .remedied(Remedy::RaiseMemory { needed: needed as u64 })
            }
            StreamError::NoMemory(source) => source.into(),
            StreamError::NoThread(source) => Error::no_thread(source),
            StreamError::Cancelled => Error::new(ErrorKind::Cancelled, "interrupted"),
        }
    }
}

/// To the byte where both would read the same.
fn budget_too_small(needed: u64, total: u64) -> String {
    let [has, needs] = [total, needed].map(|bytes| ByteCount(bytes).to_string());
    match has == needs {
        true => format!("a memory budget of {total} bytes is too small: this stream needs {needed}"),
        false => format!("a memory budget of {has} is too small: this stream needs {needs}"),
    }
}

/// Whether there is no room, for bytes or for names.
fn is_full(error: &TargetError) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    let is_full = source.is_some_and(|source| matches!(source.kind(), QuotaExceeded | StorageFull));
    is_full || matches!(error, TargetError::NoRoom { .. })
}

fn is_misplaced(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Misplaced>())
}

/// Whether an error is about a receiver elsewhere.
#[cfg(feature = "peer")]
fn is_remote(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<peer::PeerError>())
}

#[cfg(not(feature = "peer"))]
fn is_remote(_: &io::Error) -> bool {
    false
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.what)?;
        let places = [
            self.0.segment.map(|segment| format!("segment {segment}")),
            self.0.frame.map(|frame| format!("frame {frame}")),
            self.0.position.map(|position| format!("byte {position}")),
        ];
        let places: Vec<String> = places.into_iter().flatten().collect();
        if !places.is_empty() {
            write!(f, " ({})", places.join(", "))?;
        }
        Ok(())
    }
}

/// What a program that ends with this error from `main` shows: the error, what caused it, and what to do.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        match self.advice() {
            Some(advice) => write!(f, "\n{advice}"),
            None => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<NoMemory> for Error {
    fn from(error: NoMemory) -> Error {
        Error::no_memory("a buffer", error.len)
    }
}

impl From<KeyError> for Error {
    fn from(error: KeyError) -> Error {
        Error::key(error)
    }
}

#[cfg(test)]
mod tests;
