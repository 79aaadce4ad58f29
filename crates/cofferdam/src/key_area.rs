//! The key area of a stream: from two copies to the stream key, and whether both copies are well (FORMAT §5).
//! It knows no segment.

use framing::limits::{
    KEY_COPY_HEAD_LEN, KEY_COPY_LEN_MAX, KEY_COPY_TAIL_LEN, PREAMBLE_BLOCK_LEN, SLOT_HEAD_LEN, SLOTS_MAX,
};
use framing::{KeyCopy, Preamble};
use keys::{Identities, KeySchedule, SealedSlot, StreamKey, UnwrapError, check_slots, macs_equal};
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
    /// Parses both copies. An error if neither is usable.
    pub(crate) fn parse(preamble: &'a [u8; 128], area: &'a [u8]) -> Result<KeyArea<'a>, Error> {
        let (first, second) = area.split_at(area.len() / 2);
        let bytes = [first, second];
        let parsed = KeyCopy::parse(first, sha256);
        // Mostly they are the same bytes, of which nothing else can be said the second time.
        let copies = match first == second {
            true => [parsed.clone(), parsed],
            false => [parsed, KeyCopy::parse(second, sha256)],
        };
        if copies.iter().all(Option::is_none) {
            return Err(Error::damaged("both key copies are damaged").at(AREA_POSITION));
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

    /// Checks the slots of the copy that would be taken, for readers without a key, and tells of the other.
    pub(crate) fn check_shape(&self) -> Result<Vec<Warning>, Error> {
        let mut warnings = self.warnings();
        for (rank, (index, copy)) in self.order().enumerate() {
            let checked =
                slots(copy).and_then(|slots| check_slots(&slots).map_err(|error| Error::unwrap(&error)));
            match checked {
                Err(error) if rank == 0 => return Err(error.at(AREA_POSITION)),
                Err(_) => warn(&mut warnings, index),
                Ok(()) => {}
            }
        }
        Ok(warnings)
    }

    /// The stream key, checked against the commitment and the copy's MAC.
    pub(crate) fn unlock(&self, identities: &Identities) -> Result<Unlocked, Error> {
        let mut warnings = self.warnings();
        for (taken, copy) in self.order() {
            let (stream_key, schedule) = self.unwrap(copy, identities)?;
            let mac = schedule.key_area_mac(self.preamble, KeyCopy::authenticated(self.bytes[taken]));
            if macs_equal(&mac, &copy.mac) {
                self.check_other(taken, &schedule, &mut warnings);
                return Ok(Unlocked { stream_key, schedule, taken, warnings });
            }
            warnings = vec![Warning::KeyCopyDamaged { copy: taken as u8 }];
        }
        Err(Error::damaged("no key copy is authentic").at(AREA_POSITION))
    }

    /// The copy that did not serve may be whole and still wrong: that shows with the key alone.
    fn check_other(&self, taken: usize, schedule: &KeySchedule, warnings: &mut Vec<Warning>) {
        let other = 1 - taken;
        let Some(copy) = &self.copies[other] else { return };
        if self.bytes[0] == self.bytes[1] {
            return;
        }
        let mac = schedule.key_area_mac(self.preamble, KeyCopy::authenticated(self.bytes[other]));
        let well = slots(copy).is_ok_and(|slots| check_slots(&slots).is_ok());
        if !macs_equal(&mac, &copy.mac) || !well {
            warn(warnings, other);
        }
    }

    fn unwrap(&self, copy: &KeyCopy, identities: &Identities) -> Result<(StreamKey, KeySchedule), Error> {
        let mut head = [0; 80];
        head.copy_from_slice(&self.preamble[..80]);
        let mut commitment = [0; 32];
        commitment.copy_from_slice(&self.preamble[80..112]);
        let mut schedule = None;
        let key = identities.unwrap(&slots(copy)?, &head, &mut |key| {
            let derived = KeySchedule::new(key, self.preamble);
            let matches = derived.matches_commitment(&commitment);
            schedule = Some(derived);
            matches
        });
        let key = key.map_err(|error| {
            if let UnwrapError::Mismatch { .. } = error {
                return Error::damaged("a key opens, and the stream is not committed to it")
                    .at(AREA_POSITION);
            }
            Error::unwrap(&error).at(AREA_POSITION)
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
        .map_err(|error| Error::framing(error, AREA_POSITION))
}

/// Slots as the format writes them.
pub(crate) fn framing_slots(slots: &[SealedSlot]) -> Vec<framing::Slot> {
    slots.iter().map(|slot| framing::Slot { kind: slot.kind, body: slot.body.clone() }).collect()
}

fn slots(copy: &KeyCopy) -> Result<Vec<SealedSlot>, Error> {
    let slots = copy.slots().map_err(|error| Error::framing(error, AREA_POSITION))?;
    Ok(slots.into_iter().map(|slot| SealedSlot { kind: slot.kind, body: slot.body }).collect())
}

/// That a copy is damaged is all there is to say: what its generation claims is not worth a warning.
fn warn(warnings: &mut Vec<Warning>, copy: usize) {
    *warnings = vec![Warning::KeyCopyDamaged { copy: copy as u8 }];
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Where the key area begins in a stream.
const AREA_POSITION: u64 = PREAMBLE_BLOCK_LEN as u64;

// The crates `framing` and `keys` know nothing of each other, and both have to keep FORMAT §2's limits.
const _: () = assert!(keys::SLOT_COUNT_MAX == SLOTS_MAX);
const _: () = assert!(keys::SLOT_HEADER_LEN == SLOT_HEAD_LEN);
const _: () = assert!(keys::SLOTS_LEN_MAX == KEY_COPY_LEN_MAX - KEY_COPY_HEAD_LEN - KEY_COPY_TAIL_LEN);
