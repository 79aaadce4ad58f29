//! Where plaintext goes before it is published, made once the stream is known, and what of it outlives a failure.
//! It knows labels and paths; the bytes are the engine's.

use sinks::StreamingSink;

use crate::checkpoint::CheckpointMaker;
use crate::envelope::Envelope;

/// A sink for a stream that is known.
pub(crate) enum Tentative<S> {
    /// To be written, from the start or from where an earlier attempt ended.
    Open(Opening<S>),
    /// An earlier attempt has published it, and was cut off while it tidied up.
    #[allow(dead_code)]
    Published,
}

/// A sink to be written.
pub(crate) struct Opening<S> {
    pub(crate) sink: S,
    pub(crate) marks: CheckpointMaker,
    pub(crate) keeps: Keeps,
}

/// What stays after a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Keeps {
    /// Nothing, or what the sink's owner knows of.
    Nothing,
    /// Committed segments, beside the target.
    Progress,
}

impl<S: StreamingSink> Opening<S> {
    /// A sink that somebody else made. The stream's id names its journal, if it has one.
    pub(crate) fn plain(sink: S, envelope: &Envelope) -> Opening<S> {
        let marks = CheckpointMaker::of_stream(envelope.schedule.as_ref(), envelope.preamble.stream_id);
        Opening { sink, marks, keeps: Keeps::Nothing }
    }
}

impl<S> From<Opening<S>> for Tentative<S> {
    fn from(opening: Opening<S>) -> Tentative<S> {
        Tentative::Open(opening)
    }
}
