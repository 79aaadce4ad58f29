//! The key area of a stream: from two copies to the stream key, and whether both copies are well (FORMAT §5).
//! It knows no segment.

mod decision;

use framing::limits::{
    KEY_COPY_HEAD_LEN, KEY_COPY_LEN_MAX, KEY_COPY_TAIL_LEN, PREAMBLE_BLOCK_LEN, SLOT_HEAD_LEN, SLOTS_MAX,
};
use framing::{KeyCopy, Preamble};
use keys::{Identities, KeySchedule, SealedSlot, StreamKey, UnwrapError, check_slots, macs_equal};
use segment_worker::CancelToken;
use sha2::{Digest as _, Sha256};

use self::decision::{Decision, Other, Pair, Remark, Taken, decide};
use crate::{Error, ErrorKind, Warning};

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

/// What a copy is judged with.
#[derive(Clone, Copy)]
enum With<'a> {
    /// Keys to try.
    Keys(&'a Identities, &'a CancelToken),
    /// The key, which the other copy has yielded.
    Key(&'a KeySchedule),
    /// Nothing: what shows without a key counts.
    Nothing,
}

/// What the slots of a copy yield.
type CopyKey = (StreamKey, KeySchedule);

/// What was found in a copy.
enum Judged {
    Unusable,
    Fault(Error),
    MacWrong,
    /// With the key, if it was tried for one.
    Good(Option<CopyKey>),
}

impl<'a> KeyArea<'a> {
    /// Parses both copies. Whether one of them is usable shows when it is opened or checked.
    pub(crate) fn parse(preamble: &'a [u8; 128], area: &'a [u8]) -> KeyArea<'a> {
        let (first, second) = area.split_at(area.len() / 2);
        let bytes = [first, second];
        let parsed = KeyCopy::parse(first, checksum);
        // Mostly they are the same bytes, of which nothing else can be said the second time.
        let copies = match first == second {
            true => [parsed.clone(), parsed],
            false => [parsed, KeyCopy::parse(second, checksum)],
        };
        KeyArea { preamble, bytes, copies }
    }

    /// The usable copies with their numbers.
    pub(crate) fn usable(&self) -> impl Iterator<Item = (usize, &KeyCopy)> {
        self.copies.iter().enumerate().filter_map(|(number, copy)| Some((number, copy.as_ref()?)))
    }

    /// The generation of the copy `number`; 0 for one that is not usable.
    pub(crate) fn generation(&self, number: usize) -> u64 {
        self.copies[number].as_ref().map_or(0, |copy| copy.generation)
    }

    /// Which copy serves, as far as that can be said without a key.
    pub(crate) fn serving(&self) -> Result<(usize, Vec<Warning>), Error> {
        let (taken, _, warnings) = self.judge_both(With::Nothing)?;
        Ok((taken, warnings))
    }

    /// The slots of the copy `number`, which has been judged.
    pub(crate) fn slots(&self, number: usize) -> Result<Vec<SealedSlot>, Error> {
        let copy = self.copies[number].as_ref().ok_or_else(|| Error::damaged("the key copy is damaged"))?;
        well_formed_slots(copy, self.position(number))
    }

    fn position(&self, number: usize) -> u64 {
        AREA_POSITION + (number * self.bytes[0].len()) as u64
    }

    /// Checks both copies as far as that goes without a key, and tells what is wrong with the one that would not serve.
    pub(crate) fn check_shape(&self) -> Result<Vec<Warning>, Error> {
        Ok(self.serving()?.1)
    }

    /// The stream key, checked against the commitment and a copy's MAC. `cancel` is looked at before each slot.
    pub(crate) fn unlock(&self, identities: &Identities, cancel: &CancelToken) -> Result<Unlocked, Error> {
        let (taken, key, warnings) = self.judge_both(With::Keys(identities, cancel))?;
        let (stream_key, schedule) = key.expect("keys were tried, and a copy that is good yields one");
        Ok(Unlocked { stream_key, schedule, taken, warnings })
    }

    /// By the table of [`decide`]: which copy serves, the key where keys were tried, and what is to be told.
    fn judge_both(&self, with: With<'_>) -> Result<(usize, Option<CopyKey>, Vec<Warning>), Error> {
        let (taken, other) = self.ranked();
        let first = self.judge(taken, with);
        let mut second = None;
        let mut decision = decide(first.taken(), Other::NotLookedAt);
        if decision == Decision::LookAtOther {
            let found = self.judge_other(other, &first, with);
            decision = decide(first.taken(), found.other(self.pair()));
            second = Some(found);
        }
        let damaged = |copy: usize| vec![Warning::KeyCopyDamaged { copy: copy as u8 }];
        match (decision, first, second) {
            (Decision::OpenByTaken(remark), Judged::Good(key), _) => Ok((
                taken,
                key,
                match remark {
                    Remark::Nothing => Vec::new(),
                    Remark::RewrapUnfinished => vec![Warning::RewrapUnfinished],
                    Remark::NotGood => damaged(other),
                },
            )),
            (Decision::OpenByOther, _, Some(Judged::Good(key))) => Ok((other, key, damaged(taken))),
            (Decision::FaultOfTaken, Judged::Fault(fault), _) => Err(fault),
            (Decision::FaultOfOther, _, Some(Judged::Fault(fault))) => Err(fault),
            (Decision::Damaged, Judged::Unusable, _)
                if self.bytes.iter().any(|bytes| KeyCopy::is_of_earlier_draft(bytes)) =>
            {
                Err(of_earlier_draft())
            }
            (Decision::Damaged, Judged::Unusable, _) => {
                Err(Error::damaged("both key copies are damaged").at(AREA_POSITION))
            }
            _ => Err(Error::damaged("no key copy is authentic").at(AREA_POSITION)),
        }
    }

    /// The copy to take, and the other: usable before not usable, the higher generation before the lower, copy 0 on a tie.
    fn ranked(&self) -> (usize, usize) {
        let rank = |number: usize| self.copies[number].as_ref().map(|copy| copy.generation);
        if rank(1) > rank(0) { (1, 0) } else { (0, 1) }
    }

    fn pair(&self) -> Pair {
        match self.bytes[0] == self.bytes[1] {
            true => Pair::Equal,
            false if self.generation(0) == self.generation(1) => Pair::Differ,
            false => Pair::Apart,
        }
    }

    /// The copy that would not serve, judged as `first` was; and if that is good, with its key.
    fn judge_other(&self, other: usize, first: &Judged, with: With<'_>) -> Judged {
        match first {
            Judged::Good(_) if self.pair() == Pair::Equal => Judged::Good(None),
            // The same bytes: no slot of them is tried twice.
            Judged::MacWrong if self.pair() == Pair::Equal => Judged::MacWrong,
            Judged::Good(Some((_, schedule))) => self.judge(other, With::Key(schedule)),
            _ => self.judge(other, with),
        }
    }

    fn judge(&self, number: usize, with: With<'_>) -> Judged {
        let Some(copy) = &self.copies[number] else { return Judged::Unusable };
        let position = self.position(number);
        let slots = match well_formed_slots(copy, position) {
            Ok(slots) => slots,
            Err(fault) => return Judged::Fault(fault),
        };
        let has_mac_of = |schedule: &KeySchedule| {
            let mac = schedule.key_area_mac(self.preamble, copy.used(self.bytes[number]));
            macs_equal(&mac, &copy.mac)
        };
        match with {
            With::Nothing => Judged::Good(None),
            With::Key(schedule) if has_mac_of(schedule) => Judged::Good(None),
            With::Key(_) => Judged::MacWrong,
            With::Keys(identities, cancel) => match self.unwrap(&slots, identities, cancel) {
                Err(fault) => Judged::Fault(fault.at(position)),
                Ok((_, schedule)) if !has_mac_of(&schedule) => Judged::MacWrong,
                Ok(key) => Judged::Good(Some(key)),
            },
        }
    }

    fn unwrap(
        &self,
        slots: &[SealedSlot],
        identities: &Identities,
        cancel: &CancelToken,
    ) -> Result<CopyKey, Error> {
        let mut head = [0; 80];
        head.copy_from_slice(&self.preamble[..80]);
        let mut commitment = [0; 32];
        commitment.copy_from_slice(&self.preamble[80..112]);
        let mut schedule = None;
        let mut accept = |key: &StreamKey| {
            let derived = KeySchedule::new(key, self.preamble);
            let matches = derived.matches_commitment(&commitment);
            schedule = Some(derived);
            matches
        };
        let key = identities.unwrap_unless(slots, &head, &mut accept, &|| cancel.is_cancelled());
        let key = key.map_err(|error| match error {
            UnwrapError::Mismatch { .. } => {
                Error::damaged("a key opens, and the stream is not committed to it")
            }
            other => Error::unwrap(&other),
        })?;
        let schedule = schedule.unwrap_or_else(|| KeySchedule::new(&key, self.preamble));
        Ok((key, schedule))
    }
}

impl Judged {
    fn taken(&self) -> Taken {
        match self {
            Judged::Unusable => Taken::Unusable,
            Judged::Fault(_) => Taken::Fault,
            Judged::MacWrong => Taken::MacWrong,
            Judged::Good(_) => Taken::Good,
        }
    }

    fn other(&self, pair: Pair) -> Other {
        match self {
            Judged::Unusable => Other::Unusable,
            Judged::Fault(_) => Other::Fault,
            Judged::MacWrong => Other::MacWrong,
            Judged::Good(_) => Other::Good(pair),
        }
    }
}

fn of_earlier_draft() -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "the stream was sealed by an earlier draft of the format, before any release",
    )
    .at(AREA_POSITION)
    .advise("Open it with the version that sealed it, and seal it again.")
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
    KeyCopy::encode(generation, &slots, preamble.key_copy_len, mac, checksum)
        .map_err(|error| Error::framing(error, AREA_POSITION))
}

/// Slots as the format writes them.
pub(crate) fn framing_slots(slots: &[SealedSlot]) -> Vec<framing::Slot> {
    slots.iter().map(|slot| framing::Slot { kind: slot.kind, body: slot.body.clone() }).collect()
}

/// The slots of a copy that stands at `position`, checked as far as that goes without a key (FORMAT F5.2).
fn well_formed_slots(copy: &KeyCopy, position: u64) -> Result<Vec<SealedSlot>, Error> {
    let slots = copy.slots().map_err(|error| Error::framing(error, position))?;
    let slots: Vec<_> =
        slots.into_iter().map(|slot| SealedSlot { kind: slot.kind, body: slot.body }).collect();
    check_slots(&slots).map_err(|error| Error::unwrap(&error).at(position))?;
    Ok(slots)
}

fn checksum(used: &[u8], mac: &[u8; 32]) -> [u8; 32] {
    Sha256::new().chain_update(used).chain_update(mac).finalize().into()
}

/// Where the key area begins in a stream.
const AREA_POSITION: u64 = PREAMBLE_BLOCK_LEN as u64;

// The crates `framing` and `keys` know nothing of each other, and both have to keep FORMAT §2's limits.
const _: () = assert!(keys::SLOT_COUNT_MAX == SLOTS_MAX);
const _: () = assert!(keys::SLOT_HEADER_LEN == SLOT_HEAD_LEN);
const _: () = assert!(keys::SLOTS_LEN_MAX == KEY_COPY_LEN_MAX - KEY_COPY_HEAD_LEN - KEY_COPY_TAIL_LEN);
