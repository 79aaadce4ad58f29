//! Who can open a stream, as far as its key area says who that is.
//! It touches no byte after the key area, and changes none.

use framing::limits::PREAMBLE_BLOCK_LEN;
use keys::{Identities, KeySchedule, ListedRecipient, StreamKey};
use segment_worker::CancelToken;
use sources::{ReadAt, Source};

use crate::index::read;
use crate::key_area::KeyArea;
use crate::not_a_stream::parse_preamble;
use crate::open::of_place;
use crate::{Error, ErrorKind, Remedy, StreamId, Warning, memory};

/// Those who can open a stream.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RecipientList {
    /// Names the stream.
    pub stream_id: StreamId,
    /// Counts re-wraps.
    pub generation: u64,
    /// Everybody, in the order in which their slots are tried.
    pub recipients: Vec<ListedRecipient>,
    /// Whether a key has opened the stream, by which the list is authentic: made by somebody who had the stream's key.
    pub is_authentic: bool,
    /// What is not as it should be.
    pub warnings: Vec<Warning>,
}

/// Lists who can open the stream in `source`, which has to have offsets. With `identities` the list is authenticated, and says which of
/// them those open; without it is a claim, as all that [`inspect_source`](crate::inspect_source) says. Once `cancel` is cancelled no further key is tried.
///
/// # Errors
/// What stands before the metadata is damaged, truncated, of something else or not supported; [`ErrorKind::NoKey`] if none of
/// `identities` opens the stream.
pub fn list_recipients(
    source: impl Source,
    identities: Option<&Identities>,
    cancel: &CancelToken,
) -> Result<RecipientList, Error> {
    let place = source.positioned().ok_or_else(|| {
        Error::new(ErrorKind::Usage, "a stream can be inspected only where the source has offsets")
            .remedied(Remedy::Verify)
    })?;
    list(&*place, identities, cancel).map_err(|error| of_place(error, Some(place)))
}

fn list(
    source: &dyn ReadAt,
    identities: Option<&Identities>,
    cancel: &CancelToken,
) -> Result<RecipientList, Error> {
    let block_len = source.len().min(PREAMBLE_BLOCK_LEN as u64) as usize;
    let mut block = vec![0; block_len];
    read(source, 0, &mut block)?;
    let preamble = parse_preamble(&block)?;
    let bytes = preamble.to_bytes();
    let mut area = memory::zeroed("the key copies", 2 * preamble.key_copy_len as usize)?;
    read(source, PREAMBLE_BLOCK_LEN as u64, &mut area)?;
    let area = KeyArea::parse(&bytes, &area);
    let (taken, warnings) = match identities {
        Some(identities) => {
            let unlocked = area.unlock(identities, cancel)?;
            (unlocked.taken, unlocked.warnings)
        }
        None => area.serving()?,
    };
    let slots = area.slots(taken)?;
    let mut recipients = keys::list_recipients(&slots);
    if let Some(identities) = identities {
        let mut head = [0; 80];
        head.copy_from_slice(&bytes[..80]);
        let mut is_committed =
            |key: &StreamKey| KeySchedule::new(key, &bytes).matches_commitment(&preamble.commitment);
        let cancelled = || cancel.is_cancelled();
        identities.mark_opened(&slots, &mut recipients, &head, &mut is_committed, &cancelled);
        if cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "interrupted"));
        }
    }
    Ok(RecipientList {
        stream_id: preamble.stream_id,
        generation: area.generation(taken),
        recipients,
        is_authentic: identities.is_some(),
        warnings,
    })
}
