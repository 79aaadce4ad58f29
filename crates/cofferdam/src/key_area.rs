//! The key area of a stream: from two copies to the stream key, and whether both copies are well (FORMAT §5).
//! It knows no segment.

use frame_worker::digests_equal;
use framing::limits::PREAMBLE_BLOCK_LEN;
use framing::{KeyCopy, Preamble};
use keys::{Identities, KeySchedule, SealedSlot, StreamKey, UnwrapError, check_slots};
use sha2::{Digest as _, Sha256};

use crate::{Error, Warning};

/// Both copies as they stand in the stream.
pub(crate) struct KeyArea<'a> {
    preamble: &'a [u8; 128],
    bytes: [&'a [u8]; 2],
    copies: [Option<KeyCopy>; 2],
}

/// A key area that has been opened.
pub(crate) struct Unlocked {
    pub(crate) stream_key: StreamKey,
    pub(crate) schedule: KeySchedule,
    /// The copy that served.
    pub(crate) taken: usize,
    pub(crate) warnings: Vec<Warning>,
}

impl<'a> KeyArea<'a> {
    /// Parses both copies. An error if neither is usable, or the one to take is whole and still wrong.
    pub(crate) fn parse(preamble: &'a [u8; 128], area: &'a [u8]) -> Result<KeyArea<'a>, Error> {
        let (first, second) = area.split_at(area.len() / 2);
        let bytes = [first, second];
        let position = |copy: usize| (PREAMBLE_BLOCK_LEN + copy * first.len()) as u64;
        let mut copies = [None, None];
        let mut fault = None;
        for (index, copy) in bytes.iter().enumerate() {
            match KeyCopy::parse(copy, sha256) {
                Ok(copy) => copies[index] = copy,
                Err(error) => fault = Some(Error::framing(error, position(index))),
            }
        }
        if let Some(fault) = fault {
            return Err(fault);
        }
        if copies.iter().all(Option::is_none) {
            return Err(Error::damaged("both key copies are damaged").at(position(0)));
        }
        Ok(KeyArea { preamble, bytes, copies })
    }

    /// The copies to try, best first: usable ones, the higher generation before the lower, copy 0 on a tie.
    pub(crate) fn order(&self) -> impl Iterator<Item = (usize, &KeyCopy)> {
        let mut usable: Vec<_> = self
            .copies
            .iter()
            .enumerate()
            .filter_map(|(index, copy)| Some((index, copy.as_ref()?)))
            .collect();
        usable.sort_by_key(|(index, copy)| (std::cmp::Reverse(copy.generation), *index));
        usable.into_iter()
    }

    /// The generation of the copy `index`; 0 for one that is not usable.
    pub(crate) fn generation(&self, index: usize) -> u64 {
        self.copies[index].as_ref().map_or(0, |copy| copy.generation)
    }

    /// What is wrong with the area as far as it shows without a key.
    pub(crate) fn warnings(&self) -> Vec<Warning> {
        match &self.copies {
            [None, _] => vec![Warning::KeyCopyDamaged { copy: 0 }],
            [_, None] => vec![Warning::KeyCopyDamaged { copy: 1 }],
            [Some(first), Some(second)] if first.generation != second.generation => {
                vec![Warning::RewrapUnfinished]
            }
            [Some(_), Some(_)] if self.bytes[0] != self.bytes[1] => vec![Warning::KeyCopyDamaged { copy: 1 }],
            _ => Vec::new(),
        }
    }

    /// Checks the shape of every slot of the copy that would be taken, for readers without a key.
    pub(crate) fn check_shape(&self) -> Result<(), Error> {
        let Some((_, copy)) = self.order().next() else { return Ok(()) };
        check_slots(&slots(copy)).map_err(|error| Error::unwrap(&error).at(PREAMBLE_BLOCK_LEN as u64))
    }

    /// The stream key, checked against the commitment and the copy's MAC.
    pub(crate) fn unlock(&self, identities: &Identities) -> Result<Unlocked, Error> {
        let mut warnings = self.warnings();
        for (taken, copy) in self.order() {
            let (stream_key, schedule) = self.unwrap(copy, identities)?;
            let mac = schedule.key_area_mac(self.preamble, KeyCopy::authenticated(self.bytes[taken]));
            if digests_equal(&mac, &copy.mac) {
                self.check_other(taken, &schedule, &mut warnings);
                return Ok(Unlocked { stream_key, schedule, taken, warnings });
            }
            warnings = vec![Warning::KeyCopyDamaged { copy: taken as u8 }];
        }
        Err(Error::damaged("no key copy is authentic").at(PREAMBLE_BLOCK_LEN as u64))
    }

    /// The copy that did not serve may be whole and not authentic: that shows with the key alone.
    fn check_other(&self, taken: usize, schedule: &KeySchedule, warnings: &mut Vec<Warning>) {
        let other = 1 - taken;
        let Some(copy) = &self.copies[other] else { return };
        let mac = schedule.key_area_mac(self.preamble, KeyCopy::authenticated(self.bytes[other]));
        let damaged = Warning::KeyCopyDamaged { copy: other as u8 };
        if !digests_equal(&mac, &copy.mac) && !warnings.contains(&damaged) {
            warnings.push(damaged);
        }
    }

    fn unwrap(&self, copy: &KeyCopy, identities: &Identities) -> Result<(StreamKey, KeySchedule), Error> {
        let mut head = [0; 80];
        head.copy_from_slice(&self.preamble[..80]);
        let mut commitment = [0; 32];
        commitment.copy_from_slice(&self.preamble[80..112]);
        let mut schedule = None;
        let key = identities.unwrap(&slots(copy), &head, &mut |key| {
            let derived = KeySchedule::new(key, self.preamble);
            let matches = derived.matches_commitment(&commitment);
            schedule = Some(derived);
            matches
        });
        let key = key.map_err(|error| {
            let position = PREAMBLE_BLOCK_LEN as u64;
            if let UnwrapError::Mismatch { .. } = error {
                return Error::damaged("a key opens, and the stream is not committed to it").at(position);
            }
            Error::unwrap(&error).at(position)
        })?;
        let schedule = schedule.unwrap_or_else(|| KeySchedule::new(&key, self.preamble));
        Ok((key, schedule))
    }
}

/// One key copy with `slots`; both copies of a stream are equal.
pub(crate) fn encode_copy(
    preamble: &Preamble,
    schedule: &KeySchedule,
    slots: &[SealedSlot],
    generation: u64,
) -> Result<Vec<u8>, Error> {
    let slots = framing_slots(slots);
    let mac = |covered: &[u8]| schedule.key_area_mac(&preamble.to_bytes(), covered);
    KeyCopy::encode(generation, &slots, preamble.key_copy_len, mac, sha256)
        .map_err(|error| Error::framing(error, PREAMBLE_BLOCK_LEN as u64))
}

/// Slots as the format writes them.
pub(crate) fn framing_slots(slots: &[SealedSlot]) -> Vec<framing::Slot> {
    slots.iter().map(|slot| framing::Slot { kind: slot.kind, body: slot.body.clone() }).collect()
}

fn slots(copy: &KeyCopy) -> Vec<SealedSlot> {
    copy.slots.iter().map(|slot| SealedSlot { kind: slot.kind, body: slot.body.clone() }).collect()
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
