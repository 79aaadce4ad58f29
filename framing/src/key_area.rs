//! The key area: two copies of the slots that hold the stream key (FORMAT §5).
//! It knows no key and no hash: checksum and MAC are functions that the caller brings.

use crate::field::{array, put, to_usize, u16_at, u32_at, u64_at, zeros};
use crate::limits::{
    CHECKSUM_LEN, KEY_COPY_HEAD_LEN, KEY_COPY_LEN_MAX, KEY_COPY_TAIL_LEN, KEY_COPY_UNIT, MAC_LEN,
    SLOT_HEAD_LEN, SLOTS_MAX,
};
use crate::{FramingError, Record};

/// One way to the stream key. Kinds are FORMAT §5's; an unknown one is carried along unread.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Slot {
    /// How the body is to be read.
    pub kind: u16,
    /// The wrapped key.
    pub body: Vec<u8>,
}

impl Slot {
    /// Bytes that it takes in a key copy.
    pub fn encoded_len(&self) -> usize {
        SLOT_HEAD_LEN + self.body.len()
    }
}

/// One of the two copies, usable as a whole; its slots have yet to be looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyCopy {
    /// Counts re-wraps; readers take the higher one.
    pub generation: u64,
    /// HMAC over preamble and copy, for whoever gets to the key.
    pub mac: [u8; MAC_LEN],
    slot_count: u16,
    slot_bytes: Vec<u8>,
}

impl KeyCopy {
    /// The least multiple of 4 KiB that holds `slots` and `room` bytes more, or an error where none holds the slots.
    pub fn len_for(slots: &[Slot], room: usize) -> Result<u32, FramingError> {
        let len = KEY_COPY_HEAD_LEN + slots_len(slots) + KEY_COPY_TAIL_LEN;
        if slots.len() > SLOTS_MAX {
            return Err(FramingError::limit(Record::KeyCopy, "has more than 16 slots"));
        }
        if len > KEY_COPY_LEN_MAX {
            return Err(FramingError::limit(Record::KeyCopy, "is longer than 256 KiB"));
        }
        Ok((len + room).min(KEY_COPY_LEN_MAX).next_multiple_of(KEY_COPY_UNIT) as u32)
    }

    /// A copy of `len` bytes. `mac` sees the used part: all before the zeros. `sha256` sees that, and the MAC.
    pub fn encode(
        generation: u64,
        slots: &[Slot],
        len: u32,
        mac: impl FnOnce(&[u8]) -> [u8; MAC_LEN],
        sha256: impl FnOnce(&[u8], &[u8; MAC_LEN]) -> [u8; CHECKSUM_LEN],
    ) -> Result<Vec<u8>, FramingError> {
        if KeyCopy::len_for(slots, 0)? > len {
            return Err(FramingError::limit(Record::KeyCopy, "has no room for these slots"));
        }
        let len = to_usize(len);
        let mut bytes = vec![0; len];
        put(&mut bytes, 0, MAGIC);
        put(&mut bytes, 8, &generation.to_le_bytes());
        put(&mut bytes, 16, &(slots_len(slots) as u32).to_le_bytes());
        put(&mut bytes, 20, &(slots.len() as u16).to_le_bytes());
        let mut at = KEY_COPY_HEAD_LEN;
        for slot in slots {
            put(&mut bytes, at, &slot.kind.to_le_bytes());
            put(&mut bytes, at + 4, &(slot.body.len() as u32).to_le_bytes());
            put(&mut bytes, at + SLOT_HEAD_LEN, &slot.body);
            at += SLOT_HEAD_LEN + slot.body.len();
        }
        let mac = mac(&bytes[..at]);
        let checksum = sha256(&bytes[..at], &mac);
        put(&mut bytes, len - KEY_COPY_TAIL_LEN, &mac);
        put(&mut bytes, len - CHECKSUM_LEN, &checksum);
        Ok(bytes)
    }

    /// The bytes of this copy that its MAC covers, after the preamble: all before the zeros.
    pub fn used<'a>(&self, copy: &'a [u8]) -> &'a [u8] {
        &copy[..KEY_COPY_HEAD_LEN + self.slot_bytes.len()]
    }

    /// Whether `copy` is one of an earlier draft of the format, which no release has written.
    pub fn is_of_earlier_draft(copy: &[u8]) -> bool {
        copy.starts_with(MAGIC_OF_EARLIER_DRAFT)
    }

    /// Parses a whole copy. `None` for one that is not usable (FORMAT F5.1), so that the other is taken. The MAC is
    /// the caller's to check, once it has the key.
    pub fn parse(
        copy: &[u8],
        sha256: impl FnOnce(&[u8], &[u8; MAC_LEN]) -> [u8; CHECKSUM_LEN],
    ) -> Option<KeyCopy> {
        if copy.len() < KEY_COPY_UNIT || !copy.len().is_multiple_of(KEY_COPY_UNIT) {
            return None;
        }
        if copy[..8] != *MAGIC {
            return None;
        }
        let tail = copy.len() - KEY_COPY_TAIL_LEN;
        let room = &copy[KEY_COPY_HEAD_LEN..tail];
        let (slots, fill) = room.split_at_checked(to_usize(u32_at(copy, 16)))?;
        let mac = array(copy, tail);
        if sha256(&copy[..KEY_COPY_HEAD_LEN + slots.len()], &mac) != copy[tail + MAC_LEN..] {
            return None;
        }
        zeros(&copy[22..KEY_COPY_HEAD_LEN], Record::KeyCopy).ok()?;
        zeros(fill, Record::KeyCopy).ok()?;
        Some(KeyCopy {
            generation: u64_at(copy, 8),
            mac,
            slot_count: u16_at(copy, 20),
            slot_bytes: slots.to_vec(),
        })
    }

    /// The slots, in the order in which they are tried. A fault in them is final for whoever takes this copy
    /// (FORMAT F5.2).
    pub fn slots(&self) -> Result<Vec<Slot>, FramingError> {
        parse_slots(&self.slot_bytes, self.slot_count)
    }
}

fn parse_slots(bytes: &[u8], count: u16) -> Result<Vec<Slot>, FramingError> {
    if usize::from(count) > SLOTS_MAX {
        return Err(FramingError::limit(Record::KeyCopy, "has more than 16 slots"));
    }
    let mut slots = Vec::with_capacity(usize::from(count));
    let mut rest = bytes;
    for _ in 0..count {
        let (slot, after) = parse_slot(rest)?;
        slots.push(slot);
        rest = after;
    }
    if !rest.is_empty() {
        return Err(damaged("has bytes behind its slots"));
    }
    Ok(slots)
}

fn parse_slot(bytes: &[u8]) -> Result<(Slot, &[u8]), FramingError> {
    let overrun = || damaged("has a slot that overruns it");
    let (head, rest) = bytes.split_at_checked(SLOT_HEAD_LEN).ok_or_else(overrun)?;
    zeros(&head[2..4], Record::KeyCopy)?;
    let (body, rest) = rest.split_at_checked(to_usize(u32_at(head, 4))).ok_or_else(overrun)?;
    Ok((Slot { kind: u16_at(head, 0), body: body.to_vec() }, rest))
}

fn slots_len(slots: &[Slot]) -> usize {
    slots.iter().map(Slot::encoded_len).sum()
}

fn damaged(problem: &'static str) -> FramingError {
    FramingError::damaged(Record::KeyCopy, problem)
}

const MAGIC: &[u8; 8] = b"CFDKEY1\0";
const MAGIC_OF_EARLIER_DRAFT: &[u8; 8] = b"CFDKEYS\0";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fault;

    /// Not a hash, but enough to see which bytes are covered.
    fn sum_of(used: &[u8], mac: &[u8; 32]) -> [u8; 32] {
        sum(&[used, mac].concat())
    }

    fn sum(bytes: &[u8]) -> [u8; 32] {
        let sum: u64 = bytes.iter().enumerate().map(|(at, byte)| (at as u64 + 1) * u64::from(*byte)).sum();
        let mut out = [0; 32];
        out[..8].copy_from_slice(&sum.to_le_bytes());
        out
    }

    fn slots() -> Vec<Slot> {
        vec![Slot { kind: 2, body: vec![7; 80] }, Slot { kind: 900, body: vec![] }]
    }

    fn resealed(mut copy: Vec<u8>, edit: impl FnOnce(&mut [u8])) -> Vec<u8> {
        edit(&mut copy);
        let at = copy.len() - CHECKSUM_LEN;
        let used = KEY_COPY_HEAD_LEN + to_usize(u32_at(&copy, 16)).min(copy.len() - 96);
        let checksum = sum_of(&copy[..used], &array(&copy, at - MAC_LEN));
        copy[at..].copy_from_slice(&checksum);
        copy
    }

    #[test]
    fn a_copy_is_read_back_with_unknown_slots_kept() {
        let copy = KeyCopy::encode(4, &slots(), 4096, sum, sum_of).unwrap();
        let parsed = KeyCopy::parse(&copy, sum_of).unwrap();
        assert_eq!((parsed.generation, parsed.slots()), (4, Ok(slots())));
        assert_eq!(parsed.mac, sum(parsed.used(&copy)));
    }

    #[test]
    fn slots_that_overrun_or_fall_short_are_damaged_and_too_many_a_limit() {
        let copy = KeyCopy::encode(4, &slots(), 4096, |_| [0; 32], sum_of).unwrap();
        for (at, value, fault) in [
            (20, 1, Fault::Damaged),
            (20, 3, Fault::Damaged),
            (20, 17, Fault::Limit),
            (34, 1, Fault::Damaged),
            (36, 81, Fault::Damaged),
        ] {
            let bytes = resealed(copy.clone(), |copy| copy[at] = value);
            assert_eq!(
                KeyCopy::parse(&bytes, sum_of).unwrap().slots().unwrap_err().fault,
                fault,
                "byte {at}"
            );
        }
    }

    #[test]
    fn a_copy_that_is_not_whole_is_not_usable() {
        let copy = KeyCopy::encode(4, &slots(), 4096, |_| [0; 32], sum_of).unwrap();
        for at in [0, 16, 17, 22, 200] {
            let bytes = resealed(copy.clone(), |copy| copy[at] ^= 0x20);
            assert_eq!(KeyCopy::parse(&bytes, sum_of), None, "byte {at}");
        }
        let mut bytes = copy;
        bytes[4095] ^= 1;
        assert_eq!(KeyCopy::parse(&bytes, sum_of), None);
    }

    #[test]
    fn the_length_is_the_least_that_holds_the_slots() {
        let slot = |len| [Slot { kind: 2, body: vec![0; len] }];
        assert_eq!(KeyCopy::len_for(&slot(4096 - 96 - 8), 0), Ok(4096));
        assert_eq!(KeyCopy::len_for(&slot(4096 - 96 - 7), 0), Ok(8192));
        assert_eq!(KeyCopy::len_for(&slot(4096 - 96 - 8), 1), Ok(8192));
        assert_eq!(KeyCopy::len_for(&slot(256 * 1024 - 96 - 8), 1000), Ok(256 * 1024));
        assert_eq!(KeyCopy::len_for(&slot(256 * 1024), 0).unwrap_err().fault, Fault::Limit);
    }
}
