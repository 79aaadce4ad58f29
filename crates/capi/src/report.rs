//! What came of a stream, as a structure for C.
//! Knows nothing of calls.

use cofferdam::{Error, ErrorKind, Inspection, Restored, Sealed};

/// What was sealed, opened, verified or inspected.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct cfd_report {
    /// Names the stream.
    pub stream_id: [u8; 16],
    /// Fixes every byte of the stream but its key area, whose recipients may change: a pin for cfd_opener_expect_digest. From cfd_inspect it
    /// is what the stream says of itself.
    pub stream_digest: [u8; 32],
    /// Length of the plaintext in bytes.
    pub plaintext_len: u64,
    /// Length of the sealed stream in bytes, from sealing and from cfd_inspect; else 0.
    pub sealed_len: u64,
    /// How many segments it has.
    pub segments: u64,
    /// The number of cfd_sealer_set_sequence, where `has_sequence`.
    pub sequence: u64,
    /// Plaintext bytes that an interrupted call had left, and that proved right.
    pub resumed_bytes: u64,
    /// Plaintext bytes that a seed had, and that proved right.
    pub seeded_bytes: u64,
    /// Whether the stream has a number, and it could be read.
    pub has_sequence: bool,
    /// Zeros, for later.
    pub reserved: [u8; 63],
}

pub(crate) const EMPTY: cfd_report = cfd_report {
    stream_id: [0; 16],
    stream_digest: [0; 32],
    plaintext_len: 0,
    sealed_len: 0,
    segments: 0,
    sequence: 0,
    resumed_bytes: 0,
    seeded_bytes: 0,
    has_sequence: false,
    reserved: [0; 63],
};

impl From<&Sealed> for cfd_report {
    fn from(sealed: &Sealed) -> cfd_report {
        cfd_report {
            stream_id: sealed.stream_id.0,
            stream_digest: sealed.stream_digest.0,
            plaintext_len: sealed.plaintext_len,
            sealed_len: sealed.wire_len,
            segments: sealed.segments,
            sequence: sealed.sequence.unwrap_or(0),
            has_sequence: sealed.sequence.is_some(),
            resumed_bytes: sealed.resumed_bytes,
            ..EMPTY
        }
    }
}

impl From<&Restored> for cfd_report {
    fn from(restored: &Restored) -> cfd_report {
        cfd_report {
            stream_id: restored.stream_id.0,
            stream_digest: restored.stream_digest.0,
            plaintext_len: restored.plaintext_len,
            segments: restored.segments,
            sequence: restored.sequence().unwrap_or(0),
            has_sequence: restored.sequence().is_some(),
            resumed_bytes: restored.resumed_bytes,
            seeded_bytes: restored.seeded_bytes,
            ..EMPTY
        }
    }
}

impl TryFrom<&Inspection> for cfd_report {
    type Error = Error;

    fn try_from(inspected: &Inspection) -> Result<cfd_report, Error> {
        let Some(trailer) = inspected.trailer else {
            let what = "the stream does not end with a footer: its end is missing or damaged";
            return Err(
                Error::new(ErrorKind::Truncated, what).advise("Fetch the rest, or take another copy.")
            );
        };
        Ok(cfd_report {
            stream_id: inspected.stream_id.0,
            stream_digest: trailer.stream_digest.0,
            plaintext_len: trailer.plaintext_len,
            sealed_len: inspected.sealed_len,
            segments: trailer.segments,
            ..EMPTY
        })
    }
}
