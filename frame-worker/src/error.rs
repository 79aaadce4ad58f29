//! Why a frame was refused.
//! It names the frame, not the segment or the file: those are known further up.

use std::fmt;

use framing::{FrameIndex, FramingError};

use crate::{ChunkFault, CodecError};

/// A frame that was not opened. None of its bytes may be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FrameError {
    /// Its header or structure is wrong. The offset is within the bytes that were given.
    Framing(FramingError),
    /// It is another frame than the one that is due.
    NotDue {
        /// The one that is due.
        due: FrameIndex,
    },
    /// Its tag does not match: the frame is damaged, forged, or belongs elsewhere.
    Authentication {
        /// Which frame; DIGEST and TERMINATOR count on after the last DATA frame.
        frame: FrameIndex,
    },
    /// It is authentic, and does not decompress to the plaintext that its header says.
    Decompression {
        /// Which frame.
        frame: FrameIndex,
    },
    /// There is no memory to compress or decompress with.
    NoMemory,
    /// The DIGEST and the TERMINATOR of a segment contradict each other.
    Closing,
    /// A chunk of a stream of another format is not what it has to be.
    Chunk(ChunkFault),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::Framing(error) => error.fmt(f),
            FrameError::NotDue { due } => write!(f, "frame {} is missing or out of place", due.0),
            FrameError::Authentication { frame } => write!(f, "frame {} fails authentication", frame.0),
            FrameError::Decompression { frame } => {
                write!(f, "frame {} is no zstd frame of the length that it says", frame.0)
            }
            FrameError::NoMemory => f.write_str("there is no memory for a zstd context"),
            FrameError::Closing => f.write_str("the closing frames contradict each other"),
            FrameError::Chunk(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for FrameError {}

impl From<CodecError> for FrameError {
    /// A worker has a codec, so that zstd is built in.
    fn from(_: CodecError) -> FrameError {
        FrameError::NoMemory
    }
}

impl From<FramingError> for FrameError {
    fn from(error: FramingError) -> FrameError {
        FrameError::Framing(error)
    }
}
