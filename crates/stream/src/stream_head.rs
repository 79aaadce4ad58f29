//! What a key has opened of a stream before its first segment.
//! It says nothing of the rest.

use crate::envelope::Envelope;
use crate::{Metadata, StreamId};

/// The beginning of a stream, as a key has opened it: authentic, whatever became of the rest.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct StreamHead {
    /// Names the stream.
    pub stream_id: StreamId,
    /// The pairs that whoever sealed the stream gave it, sorted by key.
    pub metadata: Metadata,
}

impl StreamHead {
    /// None without a key.
    pub(crate) fn of(envelope: &Envelope) -> Option<StreamHead> {
        envelope.schedule.as_ref()?;
        Some(StreamHead { stream_id: envelope.preamble.stream_id, metadata: envelope.metadata.clone() })
    }
}
