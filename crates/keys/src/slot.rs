//! Owns the slots of the key area and their limits (FORMAT §5).
//! Refuses to know how slots are laid out in a key copy and how any kind of slot is opened.

use crate::age_header;
use crate::error::UnwrapError;
use crate::external_slot::ExternalSlot;
use crate::wrapping_key::WRAPPED_LEN;

/// One way to the stream key, as the key area holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSlot {
    /// What the body is; readers skip a kind that they do not know.
    pub kind: u16,
    /// The slot's bytes, without its header.
    pub body: Vec<u8>,
}

/// Kind 1: an age v1 file with the 32-byte stream key as payload.
pub const KIND_AGE: u16 = 1;
/// Kind 2: the stream key under a uniform key that the caller holds.
pub const KIND_WRAPPING_KEY: u16 = 2;
/// Kind 3: the stream key as an external service wrapped it.
pub const KIND_EXTERNAL: u16 = 3;

/// Most slots of a key area.
pub const SLOT_COUNT_MAX: usize = 16;
/// Length of a slot's header in the key area, in bytes.
pub const SLOT_HEADER_LEN: usize = 8;
/// Most bytes that the slots take together, headers counted: a key copy of 256 KiB less its own fields.
pub const SLOTS_LEN_MAX: usize = 256 * 1024 - 32 - 64;
/// Most bytes of one slot's body.
pub const SLOT_BODY_LEN_MAX: usize = SLOTS_LEN_MAX - SLOT_HEADER_LEN;

const _: () = assert!(WRAPPED_LEN <= SLOT_BODY_LEN_MAX);

/// Checks counts and sizes first, then the structure of every slot of a known kind (FORMAT F5.2). It needs no key and
/// does no expensive work, so a keyless reader refuses what [`Identities::unwrap`](crate::Identities::unwrap)
/// refuses before it tries an identity.
///
/// # Errors
/// [`UnwrapError::Limit`] for too many slots, bytes or age stanzas; [`UnwrapError::Malformed`] for a slot of
/// a known kind that is not built as FORMAT says.
pub fn check_slots(slots: &[SealedSlot]) -> Result<(), UnwrapError> {
    check_sizes(slots)?;
    for (index, slot) in slots.iter().enumerate() {
        match slot.kind {
            KIND_AGE => {
                age_header::parse(&slot.body).map_err(|fault| fault.at(index))?;
            }
            KIND_WRAPPING_KEY if slot.body.len() != WRAPPED_LEN => {
                return Err(SlotFault::Malformed("a wrapped key is 80 bytes long").at(index));
            }
            KIND_EXTERNAL => {
                ExternalSlot::parse(&slot.body).map_err(|fault| fault.at(index))?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_sizes(slots: &[SealedSlot]) -> Result<(), UnwrapError> {
    let limit = |slot, what, found: usize, max: usize| {
        if found <= max {
            Ok(())
        } else {
            Err(UnwrapError::Limit { slot, what, found: found as u64, max: max as u64 })
        }
    };
    limit(None, "slots", slots.len(), SLOT_COUNT_MAX)?;
    let mut total = 0;
    for (index, slot) in slots.iter().enumerate() {
        limit(Some(index), "bytes", slot.body.len(), SLOT_BODY_LEN_MAX)?;
        total += SLOT_HEADER_LEN + slot.body.len();
    }
    limit(None, "bytes of slots", total, SLOTS_LEN_MAX)
}

/// Why one identity did not open a slot.
#[cfg_attr(
    not(feature = "age"),
    expect(dead_code, reason = "only age closes a slot or lacks memory for one")
)]
pub(crate) enum Refusal {
    /// It is not one of the slot's.
    Closed,
    /// It may be, but something it depends on failed.
    Noted(String),
    /// There was not as much memory as trying it takes.
    Memory(usize),
    /// The slot is at fault.
    Fault(SlotFault),
}

/// What is wrong with one slot, before it is known which slot it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SlotFault {
    Malformed(&'static str),
    Limit { what: &'static str, found: u64, max: u64 },
}

impl SlotFault {
    pub(crate) fn at(self, slot: usize) -> UnwrapError {
        match self {
            Self::Malformed(problem) => UnwrapError::Malformed { slot, problem },
            Self::Limit { what, found, max } => UnwrapError::Limit { slot: Some(slot), what, found, max },
        }
    }
}
