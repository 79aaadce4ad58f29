//! Why a stream was not finished.
//! The feed's own error passes through untouched; where in the input something lies is said in its bytes.

use std::{fmt, io};

use contract::CommitError;
use frame_worker::{FrameError, FrameIndex, SegmentIndex};

use crate::NoMemory;

/// Why a stream was not finished. Nothing was published unless it says so.
#[derive(Debug)]
pub enum StreamError<E> {
    /// The feed failed: its input, or what it found there.
    Feed(E),
    /// A frame was refused.
    Frame {
        /// Its segment.
        segment: SegmentIndex,
        /// Which frame, as far as it is known: the first of its run.
        first: FrameIndex,
        /// Where its run begins in the input, in bytes, or the closing frames do.
        offset: u64,
        /// Why.
        source: FrameError,
    },
    /// Another header than the segment's stands before its frames.
    Header {
        /// Its segment.
        segment: SegmentIndex,
        /// Where in the input, in bytes.
        offset: u64,
    },
    /// All frames of a segment are authentic, and the segment is not.
    Segment {
        /// Which.
        segment: SegmentIndex,
        /// Why.
        fault: SegmentFault,
    },
    /// The trailer says something else than the segments.
    Trailer,
    /// The input could not be read.
    Read {
        /// The segment that was being read.
        segment: SegmentIndex,
        /// Where in the input, in bytes.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// The sink did not take bytes.
    Sink {
        /// The segment they belong to.
        segment: SegmentIndex,
        /// Why.
        source: io::Error,
    },
    /// The sink did not commit a segment.
    Commit {
        /// Which.
        segment: SegmentIndex,
        /// Whether it is known not to have committed.
        source: CommitError,
    },
    /// The sink did not publish, or may have.
    Publish(CommitError),
    /// A job panicked. The panic's message went to the panic hook.
    Panicked {
        /// The segment it worked on.
        segment: SegmentIndex,
    },
    /// The budget is below what the stream cannot do without.
    Budget {
        /// Bytes it cannot do without.
        needed: usize,
        /// Bytes of the budget.
        total: usize,
    },
    /// The machine has less memory than the budget allows.
    NoMemory(NoMemory),
    /// The operating system gave no thread to make commits durable in.
    NoThread(io::Error),
    /// The cancel token was used.
    Cancelled,
}

/// What is wrong with a segment as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SegmentFault {
    /// Frames are missing, duplicated, or of a wrong length.
    Frames,
    /// The TERMINATOR counts other frames or bytes than came.
    Count,
    /// The TABLE is missing, or says other lengths than its frames have.
    Table,
    /// The digest of the plaintext differs.
    PlaintextDigest,
    /// The digest differs.
    Digest,
    /// It does not follow the segment before it: one is missing, duplicated, moved, or from another attempt.
    Chain,
}

impl fmt::Display for SegmentFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SegmentFault::Frames => "frames are missing, doubled or of a wrong length",
            SegmentFault::Count => "its TERMINATOR counts other frames or bytes than came",
            SegmentFault::Table => "its TABLE says other lengths than its frames have",
            SegmentFault::PlaintextDigest => "the digest of its plaintext does not match",
            SegmentFault::Digest => "its digest does not match",
            SegmentFault::Chain => "it does not follow the segment before it",
        })
    }
}

impl<E: fmt::Display> fmt::Display for StreamError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StreamError::Feed(error) => error.fmt(f),
            StreamError::Frame { segment, offset, source, .. } => {
                write!(f, "segment {}, in the run at byte {offset}: {source}", segment.0)
            }
            StreamError::Header { segment, offset } => {
                write!(f, "segment {}: the header at byte {offset} is another one", segment.0)
            }
            StreamError::Segment { segment, fault } => write!(f, "segment {}: {fault}", segment.0),
            StreamError::Trailer => f.write_str("the trailer does not say what the segments say"),
            StreamError::Read { segment, offset, source } => {
                write!(f, "segment {}: reading at byte {offset}: {source}", segment.0)
            }
            StreamError::Sink { segment, source } => write!(f, "segment {}: writing: {source}", segment.0),
            StreamError::Commit { segment, source } => {
                write!(f, "segment {}: committing: {source}", segment.0)
            }
            StreamError::Publish(source) => write!(f, "publishing: {source}"),
            StreamError::Panicked { segment } => write!(f, "segment {}: a worker panicked", segment.0),
            StreamError::Budget { needed, total } => {
                write!(
                    f,
                    "the memory budget of {total} bytes is below the {needed} bytes that this stream needs"
                )
            }
            StreamError::NoMemory(source) => source.fmt(f),
            StreamError::NoThread(source) => write!(f, "the operating system gave no thread: {source}"),
            StreamError::Cancelled => f.write_str("cancelled"),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for StreamError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StreamError::Feed(error) => Some(error),
            StreamError::Frame { source, .. } => Some(source),
            StreamError::Read { source, .. }
            | StreamError::Sink { source, .. }
            | StreamError::NoThread(source) => Some(source),
            StreamError::Commit { source, .. } | StreamError::Publish(source) => Some(source),
            _ => None,
        }
    }
}
