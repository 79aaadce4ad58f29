//! The result of opening a stream: its id, its length, its digest, and warnings.
//! It knows no sink.

use frame_worker::DigestKind;
use segment_worker::Opened;

use crate::envelope::Envelope;
use crate::resume::AlreadyThere;
use crate::{Metadata, StreamDigest, StreamId, Warning, sequence};

/// What was restored or verified.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Restored {
    /// Names the stream. One of another format is named after a digest of its head.
    pub stream_id: StreamId,
    /// How many segments it has; runs of its chunks, where it is of another format.
    pub segments: u64,
    /// Length of the plaintext in bytes.
    pub plaintext_len: u64,
    /// What the stream is digested with.
    pub digest: DigestKind,
    /// Fixes every byte of preamble, metadata and segments. A stream of another format has none, and it says nothing.
    pub stream_digest: StreamDigest,
    /// The caller's pairs, sorted by key. Empty where no key was given.
    pub metadata: Metadata,
    /// Plaintext bytes that an earlier attempt had left and that proved right; all of them where it had published.
    pub resumed_bytes: u64,
    /// Plaintext bytes that a seed had and that proved right, beside those.
    pub seeded_bytes: u64,
    /// Warnings: what was wrong and did no harm.
    pub warnings: Vec<Warning>,
    /// What it is, where it is a stream of another format.
    #[cfg(feature = "foreign")]
    pub foreign: Option<crate::ForeignSummary>,
}

impl Restored {
    /// The number that `Sealer::sequence` gave the stream, where it has one and a key was given. It orders the streams of those who
    /// seal honestly, and nobody else's.
    pub fn sequence(&self) -> Option<u64> {
        sequence::sequence_of(&self.metadata)
    }

    /// For a stream that proved complete, of which some was `already` there.
    pub(crate) fn new(opened: &Opened, envelope: &Envelope, already: &AlreadyThere) -> Restored {
        Restored {
            stream_id: envelope.preamble.stream_id,
            segments: opened.segments,
            plaintext_len: opened.plaintext_len,
            digest: envelope.preamble.digest,
            stream_digest: StreamDigest(opened.stream_digest.0),
            metadata: envelope.metadata.clone(),
            resumed_bytes: already.kept.bytes,
            seeded_bytes: already.seeded.bytes,
            warnings: envelope.warnings.iter().chain(&already.warnings).copied().collect(),
            #[cfg(feature = "foreign")]
            foreign: None,
        }
    }
}
