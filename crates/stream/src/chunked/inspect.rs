//! What a file of another format says of itself, without a key.
//! It checks structure alone: what it reports is a claim.

use foreign::{Detected, Fault, Format, inspect_head};
use sources::Source;

use super::head;
use super::peeked_source::PeekedSource;
use crate::resources::Resources;
use crate::{Error, ErrorKind, Remedy};

/// What a file of another format says of itself. Nothing of it is authenticated.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ForeignInspection {
    /// What it is.
    pub format: Format,
    /// Whether it is armored. Then nothing more is known of it.
    pub armored: bool,
    /// Bytes before its chunks.
    pub head_len: usize,
    /// Of an age file, the kinds of its recipients' stanzas (`X25519`, `scrypt`, …).
    pub notes: Vec<String>,
    /// Bytes of the file.
    pub sealed_len: u64,
}

/// Looks at a file of another format in `source`; `None` of any other.
///
/// # Errors
/// It cannot be read, or its head is wrong; [`ErrorKind::Usage`] where the source has no offsets.
pub fn inspect_foreign(source: impl Source) -> Result<Option<ForeignInspection>, Error> {
    let resources = Resources::default();
    let place = source.positioned().ok_or_else(|| {
        Error::new(ErrorKind::Usage, "a stream can be inspected only where the source has offsets")
            .remedied(Remedy::GiveFile)
    })?;
    let (_, detected) = PeekedSource::peek(source, &resources)?;
    let sealed_len = place.len();
    match detected {
        None => Ok(None),
        Some(Detected::Armored) => Ok(Some(ForeignInspection {
            format: Format::Age,
            armored: true,
            head_len: 0,
            notes: Vec::new(),
            sealed_len,
        })),
        Some(Detected::Binary(format)) => {
            let step = |bytes: &[u8], is_all| {
                inspect_head(format, bytes, is_all).map_err(|fault: Fault| Error::foreign(fault))
            };
            let found = head::read_until(&*place, step, &mut Vec::new(), &resources)?;
            let (head_len, notes) = (found.head_len, found.notes);
            Ok(Some(ForeignInspection { format, armored: false, head_len, notes, sealed_len }))
        }
    }
}
