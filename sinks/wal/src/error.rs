//! Why a log cannot be opened, read or replayed, and why it is not all at its target.
//! Knows no path: whoever named the log puts its name before the message.

use std::{error, fmt, io};

use super::Lsn;

/// What is wrong with a log, where, and what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum WalError {
    /// A record that was durable, or the log's own bookkeeping, is damaged. Nothing was cut.
    Damaged {
        /// Where.
        lsn: Lsn,
        /// What was found there.
        what: &'static str,
    },
    /// What stands at the name does not begin as a log does.
    NotALog,
    /// The log was written by another version of this library.
    OtherVersion {
        /// The version it names.
        version: u32,
    },
    /// The log belongs to another user.
    SomeoneElses {
        /// The number of that user.
        owner: u32,
    },
    /// The log has a second name.
    Shared,
    /// Others than its owner may read or write the log: none of ours, which are made for their owner alone.
    OpenToOthers,
    /// Another writer is at work on the log.
    Held,
    /// Reading was to begin where no record begins.
    NoRecordAt {
        /// Where.
        lsn: Lsn,
    },
    /// Reading, writing or syncing the log failed.
    Io {
        /// What was tried: `open`, `read`, `sync`.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl WalError {
    pub(super) fn io(action: &'static str) -> impl Fn(io::Error) -> WalError {
        move |source| WalError::Io { action, source }
    }

    fn kind(&self) -> io::ErrorKind {
        match self {
            WalError::Damaged { .. } | WalError::NotALog => io::ErrorKind::InvalidData,
            WalError::OtherVersion { .. } => io::ErrorKind::Unsupported,
            WalError::SomeoneElses { .. } | WalError::Shared | WalError::OpenToOthers => {
                io::ErrorKind::PermissionDenied
            }
            WalError::Held => io::ErrorKind::WouldBlock,
            WalError::NoRecordAt { .. } => io::ErrorKind::InvalidInput,
            WalError::Io { source, .. } => source.kind(),
        }
    }
}

impl fmt::Display for WalError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WalError::Damaged { lsn, what } => write!(
                out,
                "the log is damaged at byte {lsn}, where it was durable: {what}; it was left as it is. Bring it \
                 back from elsewhere, or remove it and start over"
            ),
            WalError::NotALog => out.write_str(
                "this is not a log, or its first sector is damaged; nothing was changed. Name another file, or remove \
                 this one and start over",
            ),
            WalError::OtherVersion { version } => {
                write!(out, "the log has version {version}, which this program does not know; use one that does")
            }
            WalError::SomeoneElses { owner } => write!(
                out,
                "the log belongs to user {owner}, and only one of this user's own is used; nothing was changed. Remove it, \
                 or keep the log in a directory that others cannot write to"
            ),
            WalError::Shared => out.write_str(
                "the log has a second name, a hard link; nothing was changed. Remove it, or keep the log in a directory \
                 that others cannot write to",
            ),
            WalError::OpenToOthers => out.write_str(
                "others may read or write this log, and one is made for its owner alone: it is another file, and not believed; \
                 nothing was changed. Remove it, or name another file",
            ),
            WalError::Held => out.write_str("another process is writing this log; wait for it to end"),
            WalError::NoRecordAt { lsn } => {
                write!(out, "no record begins at byte {lsn} of the log; begin at one that it gave")
            }
            WalError::Io { action, source } => write!(out, "cannot {action} the log: {source}"),
        }
    }
}

impl error::Error for WalError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            WalError::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<WalError> for io::Error {
    fn from(error: WalError) -> io::Error {
        io::Error::new(error.kind(), error)
    }
}

/// Why a stream that is in its log, whole and durable, is not done.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReplayError {
    /// The target could not be written or synced, or the log not read again: until a replay completes, the target is a mixture of
    /// old and new. The log stays.
    Target(io::Error),
    /// The target has all of the stream, durably, and the log could not be removed.
    LogLeft(io::Error),
}

impl fmt::Display for ReplayError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReplayError::Target(source) => {
                write!(
                    out,
                    "the log could not be replayed, and the target is a mixture of old and new: {source}"
                )
            }
            ReplayError::LogLeft(source) => {
                write!(out, "the target is complete, and its log could not be removed: {source}")
            }
        }
    }
}

impl error::Error for ReplayError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            ReplayError::Target(source) | ReplayError::LogLeft(source) => Some(source),
        }
    }
}

impl From<ReplayError> for io::Error {
    fn from(error: ReplayError) -> io::Error {
        let (ReplayError::Target(source) | ReplayError::LogLeft(source)) = &error;
        io::Error::new(source.kind(), error)
    }
}

/// A finished log that was compared with a stream is not of it.
#[derive(Debug)]
pub struct LogDiffers;

impl fmt::Display for LogDiffers {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the log does not hold this stream")
    }
}

impl error::Error for LogDiffers {}
