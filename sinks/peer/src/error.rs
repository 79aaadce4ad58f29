//! What goes wrong between two ends of a connection, so that each kind can be told from the others.
//! Knows no sink; what a sink said comes here as a sentence.

use std::{error, fmt, io, time::Duration};

/// Why the other end could not do what it was asked, or could not be asked.
///
/// It travels inside an [`io::Error`]; `error.get_ref()` and `downcast_ref` give it back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PeerError {
    /// The two ends do not hold the same key, or somebody changed the greeting on its way.
    KeyRefused,
    /// One end has a key and the other has none.
    KeyOnOneSide,
    /// There is no key, and the connection leaves this machine.
    PlaintextRefused,
    /// Another sender has greeted the receiver since, and holds it under `epoch`. This one writes nothing more.
    Fenced {
        /// The epoch of the other sender.
        epoch: u64,
    },
    /// The stream that the receiver waited for has been published already.
    AlreadyPublished,
    /// The other end answered that it did not do it, and said why.
    NotDone(String),
    /// The other end answered that it does not know whether it was done, and said why.
    OutcomeUnknown(String),
    /// No connection came about; what the system said. A host without an address has no kind of its own.
    Unreachable {
        /// The nearest kind.
        kind: io::ErrorKind,
        /// In words.
        said: String,
    },
    /// The connection broke.
    Lost(io::ErrorKind),
    /// Nothing came for this long, with an answer due or in the middle of a message.
    Silent(Duration),
    /// What came is not what the protocol allows there; or its bytes were changed on the way.
    Protocol(&'static str),
    /// The receiver lives, and has not got the commits that this sender made: it started again meanwhile.
    CommitsLost,
}

impl PeerError {
    /// The nearest kind of [`io::Error`].
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            Self::KeyRefused | Self::KeyOnOneSide | Self::PlaintextRefused => io::ErrorKind::PermissionDenied,
            Self::Fenced { .. } | Self::CommitsLost => io::ErrorKind::ConnectionAborted,
            Self::AlreadyPublished => io::ErrorKind::AlreadyExists,
            Self::NotDone(_) | Self::OutcomeUnknown(_) => io::ErrorKind::Other,
            Self::Lost(kind) | Self::Unreachable { kind, .. } => *kind,
            Self::Silent(_) => io::ErrorKind::TimedOut,
            Self::Protocol(_) => io::ErrorKind::InvalidData,
        }
    }

    /// What the other end answered: it stands, and asking again would not change it.
    pub(super) fn is_answer(&self) -> bool {
        matches!(
            self,
            Self::Fenced { .. } | Self::AlreadyPublished | Self::NotDone(_) | Self::OutcomeUnknown(_)
        )
    }
}

impl fmt::Display for PeerError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyRefused => {
                out.write_str("the other end does not hold the same key; give both the same key file")
            }
            Self::KeyOnOneSide => {
                out.write_str("one end has a key and the other has none; give both the same key file")
            }
            Self::PlaintextRefused => out.write_str(
                "without a key nothing goes over a network; give both ends the same key file, \
                 or say on both that plaintext is wanted",
            ),
            Self::Fenced { epoch } => {
                write!(out, "another sender has taken the receiver over, under epoch {epoch}")
            }
            Self::AlreadyPublished => out.write_str("the receiver has published its target already"),
            Self::NotDone(said) => write!(out, "the other end refused: {said}"),
            Self::OutcomeUnknown(said) => write!(out, "the other end does not know the outcome: {said}"),
            Self::Unreachable { said, .. } => out.write_str(said),
            Self::Lost(kind) => write!(out, "the connection failed: {kind}"),
            Self::Silent(limit) => write!(out, "nothing has come from the other end for {limit:?}"),
            Self::Protocol(what) => write!(out, "the other end broke the protocol: {what}"),
            Self::CommitsLost => out.write_str(
                "the receiver started again and kept what was durable alone; run the restore again",
            ),
        }
    }
}

impl error::Error for PeerError {}

impl From<PeerError> for io::Error {
    fn from(error: PeerError) -> io::Error {
        io::Error::new(error.kind(), error)
    }
}

/// A failure of the connection itself.
impl From<io::Error> for PeerError {
    fn from(error: io::Error) -> PeerError {
        PeerError::Lost(error.kind())
    }
}
