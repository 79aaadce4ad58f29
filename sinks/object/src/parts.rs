//! How long the parts of an object are, how many are held at once, and where.
//! Arithmetic alone: knows no store and no byte.

use std::{error, fmt, io};

use remote::upload::CONNECTION_LEN;

/// What is known of an object's length before it is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExpectedLen {
    /// It has so many bytes.
    Exactly(u64),
    /// It has no more bytes than that.
    AtMost(u64),
    /// Nothing.
    Unknown,
}

/// How an object is cut into parts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartPlan {
    /// Bytes of each part but the last.
    pub part_len: usize,
    /// Parts that are held at once, the one that is being filled among them.
    pub held: usize,
    /// Where they are held.
    pub holds_in: HoldsIn,
    /// The longest object that it is for, in bytes.
    pub len_max: u64,
}

/// How a range of an object is cut that others send the rest of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RangeCut {
    /// Bytes of each part but the last.
    pub part_len: u64,
    /// How many there are.
    pub count: u64,
}

impl RangeCut {
    /// Cuts an object that is sent in ranges of `lens` bytes, by programs that may use `memory` bytes each. Every part but the object's last is
    /// as long as stores demand, and there are no more of them than stores take: unless a range that is not the last is too short by itself.
    ///
    /// # Errors
    /// [`io::ErrorKind::FileTooLarge`] of an object that is longer than stores take. [`io::ErrorKind::InvalidInput`]: a range is shorter than a
    /// part can be, or there are more ranges than an object has parts.
    pub fn of_ranges(lens: &[u64], memory: usize) -> io::Result<Vec<RangeCut>> {
        let len = lens.iter().try_fold(0_u64, |sum, len| sum.checked_add(*len));
        let len = len.filter(|len| *len <= OBJECT_LEN_MAX).ok_or_else(|| {
            let message = format!("an object has at most {OBJECT_LEN_MAX} bytes, and this one has more");
            io::Error::new(io::ErrorKind::FileTooLarge, message)
        })?;
        let others = lens.split_last().map_or(&[][..], |(_, others)| others);
        if lens.len() as u64 > PARTS_MAX || others.iter().any(|len| *len < PART_LEN_MIN) {
            let message = format!(
                "an object is sent in at most {PARTS_MAX} ranges, each but the last of {PART_LEN_MIN} bytes at least"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let mut part_len = round_up(len.div_ceil(PARTS_MAX)).max(wanted(memory));
        loop {
            let is_last = |index: usize| index + 1 == lens.len();
            let cut = |(index, len): (usize, &u64)| RangeCut::of(*len, part_len, is_last(index));
            let cuts: Vec<RangeCut> = lens.iter().enumerate().map(cut).collect();
            // Each range ends with a part that may be short: with longer ones there are fewer of them, and in the end one for each range.
            if cuts.iter().map(|cut| cut.count).sum::<u64>() <= PARTS_MAX {
                return Ok(cuts);
            }
            part_len *= 2;
        }
    }

    /// In parts of `part_len` where that leaves no short one; else of one length, as near to it as can be.
    fn of(len: u64, part_len: u64, is_last: bool) -> RangeCut {
        let last_len = len % part_len;
        if is_last || last_len == 0 || last_len >= PART_LEN_MIN {
            return RangeCut { part_len, count: len.div_ceil(part_len).max(1) };
        }
        let mut count = len.div_ceil(part_len);
        loop {
            let part_len = len.div_ceil(count);
            let last_len = len - (count - 1) * part_len;
            if count == 1 || (last_len >= PART_LEN_MIN && len.div_ceil(part_len) == count) {
                return RangeCut { part_len, count };
            }
            count -= 1;
        }
    }
}

/// Where parts are until the store has them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HoldsIn {
    /// In memory.
    Memory,
    /// In a file without a name.
    Spool,
}

/// The parts do not fit into the memory that there is, and there is no directory for a spool file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoRoom {
    /// Bytes of one part.
    pub part_len: usize,
    /// Bytes of memory that the sink would need.
    pub needed: usize,
    /// Whether parts are so long since the object's length is not known.
    pub len_is_unknown: bool,
}

impl PartPlan {
    /// The plan for an object of that length, for a sink that may use `memory` bytes; `spools` says that there is a directory for what
    /// memory does not hold.
    ///
    /// # Errors
    /// [`NoRoom`] in an error, and [`io::ErrorKind::FileTooLarge`] for an object that is longer than stores take.
    pub fn new(expected: ExpectedLen, memory: usize, spools: bool) -> io::Result<PartPlan> {
        let bound = match expected {
            ExpectedLen::Exactly(len) | ExpectedLen::AtMost(len) => Some(len),
            ExpectedLen::Unknown => None,
        };
        if bound.is_some_and(|len| len > OBJECT_LEN_MAX) {
            let message = format!("an object has at most {OBJECT_LEN_MAX} bytes, and this one may have more");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        let needed = bound.map_or(PART_LEN_UNKNOWN, |len| round_up(len.div_ceil(PARTS_MAX)));
        PartPlan::hold(needed.max(wanted(memory)) as usize, bound, memory, spools)
    }

    /// The plan for `len` bytes of an object that others send the rest of, in parts of `part_len` bytes, the last one shorter.
    ///
    /// # Errors
    /// [`NoRoom`] in an error.
    pub fn of_range(part_len: usize, len: u64, memory: usize, spools: bool) -> io::Result<PartPlan> {
        PartPlan::hold(part_len, Some(len), memory, spools)
    }

    fn hold(part_len: usize, bound: Option<u64>, memory: usize, spools: bool) -> io::Result<PartPlan> {
        let len_max = bound.unwrap_or(part_len as u64 * PARTS_MAX).min(OBJECT_LEN_MAX);
        let plan = |part_len, held, holds_in| PartPlan { part_len, held, holds_in, len_max };
        // One that is a single part is filled and sent, and no other waits for room.
        let (room_len, held_min) = match bound.and_then(|len| usize::try_from(len).ok()) {
            Some(len) if len <= part_len => (len, 1),
            _ => (part_len, HELD_MIN),
        };
        let held = memory / (room_len + CONNECTION_LEN);
        if held >= held_min {
            let held_max = if held_min == 1 { 1 } else { HELD_MAX };
            return Ok(plan(part_len, held.min(held_max), HoldsIn::Memory));
        }
        let streams = (memory / CONNECTION_LEN).min(HELD_WANTED);
        if spools && streams >= HELD_MIN {
            return Ok(plan(part_len, streams, HoldsIn::Spool));
        }
        Err(NoRoom {
            part_len,
            needed: if spools { HELD_MIN * CONNECTION_LEN } else { held_min * (room_len + CONNECTION_LEN) },
            len_is_unknown: bound.is_none(),
        }
        .into())
    }

    /// Memory that the parts take, and the connections that they are sent over.
    pub fn memory_len(&self) -> usize {
        let part_len = match self.holds_in {
            HoldsIn::Memory => usize::try_from(self.len_max).unwrap_or(usize::MAX).min(self.part_len),
            HoldsIn::Spool => 0,
        };
        self.held * (part_len + CONNECTION_LEN)
    }

    /// Whether the object may have more than one part.
    pub fn is_in_parts(&self) -> bool {
        self.len_max > self.part_len as u64
    }
}

impl NoRoom {
    /// What is within `error`, if it is one.
    pub fn within(error: &io::Error) -> Option<&NoRoom> {
        error.get_ref().and_then(|inner| inner.downcast_ref())
    }
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NoRoom { part_len, needed, len_is_unknown } = self;
        let why = if *len_is_unknown { ", since its length is not known" } else { "" };
        write!(
            f,
            "the object is sent in parts of {} MiB{why}, and they take {} MiB of memory",
            part_len.div_ceil(MIB as usize),
            needed.div_ceil(MIB as usize)
        )
    }
}

impl error::Error for NoRoom {}

impl From<NoRoom> for io::Error {
    fn from(no_room: NoRoom) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidInput, no_room)
    }
}

/// How long parts are that several fit into `memory`.
fn wanted(memory: usize) -> u64 {
    let of_memory = (memory / HELD_WANTED).saturating_sub(CONNECTION_LEN);
    round_down(of_memory as u64).clamp(PART_LEN_MIN, PART_LEN_WANTED)
}

fn round_up(len: u64) -> u64 {
    len.div_ceil(MIB) * MIB
}

fn round_down(len: u64) -> u64 {
    len / MIB * MIB
}

const MIB: u64 = 1 << 20;
/// The most parts of an object of S3 (Azure takes 50,000 blocks).
pub(crate) const PARTS_MAX: u64 = 10_000;
/// The shortest part of S3 and of Google, but for the last.
pub(crate) const PART_LEN_MIN: u64 = 5 * MIB;
/// Longer ones gain nothing where they are not needed.
const PART_LEN_WANTED: u64 = 16 * MIB;
/// Of an object of unknown length: it may then have 625 GiB.
pub(crate) const PART_LEN_UNKNOWN: u64 = 64 * MIB;
/// The longest object that all stores take.
const OBJECT_LEN_MAX: u64 = 5 << 40;
/// One is filled, one is on its way.
const HELD_MIN: usize = 2;
/// One is filled, three are on their way.
const HELD_WANTED: usize = 4;
/// More connections than that are one too many for most links.
const HELD_MAX: usize = 17;
const _: () = assert!(OBJECT_LEN_MAX.div_ceil(PARTS_MAX) < 4000 * MIB, "the longest block of Azure");
const _: () = assert!(HELD_MIN <= HELD_WANTED && HELD_WANTED <= HELD_MAX && PART_LEN_MIN <= PART_LEN_WANTED);

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;
    const TIB: u64 = 1 << 40;

    /// Amazon S3 User Guide, "Amazon S3 multipart upload limits": parts 1 to 10,000, of 5 MiB to 5 GiB but for the last.
    #[test]
    fn parts_are_within_the_limits_of_the_store_whatever_the_length() {
        for len in [
            0,
            1,
            5 * MIB,
            5 * MIB + 1,
            GIB,
            48 * GIB,
            49 * GIB,
            80 * GIB,
            TIB,
            TIB + 1,
            5 * TIB - 1,
            5 * TIB,
        ] {
            for memory in [24 << 20, 64 << 20, 1 << 30, 8 << 30] {
                for expected in [ExpectedLen::Exactly(len), ExpectedLen::AtMost(len)] {
                    let plan = PartPlan::new(expected, memory, true).unwrap();
                    let part_len = plan.part_len as u64;
                    assert!((5 * MIB..=5 * GIB).contains(&part_len), "{len}: {plan:?}");
                    assert!(len.div_ceil(part_len) <= 10_000, "{len}: {plan:?}");
                    assert!(plan.memory_len() <= memory, "{len}: {plan:?}");
                    assert_eq!(plan.len_max, len);
                }
            }
        }
        let error = PartPlan::new(ExpectedLen::Exactly(5 * TIB + 1), 8 << 30, true).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }

    /// By hand, with half a MiB for each connection: 24 MiB are four times 6, 40 four times 10; 192 MiB hold eleven parts of 16 MiB.
    #[test]
    fn parts_are_as_long_as_keeps_several_on_their_way() {
        let plan =
            |len, memory: usize| PartPlan::new(ExpectedLen::Exactly(len), memory << 20, false).unwrap();
        for (len, memory, part_mib, held) in [
            (GIB, 24, 5, 4),
            (GIB, 20, 5, 3),
            (GIB, 40, 9, 4),
            (GIB, 11, 5, 2),
            (GIB, 192, 16, 11),
            (GIB, 4096, 16, 17),
            (100 * GIB, 192, 16, 11),
            (200 * GIB, 192, 21, 8),
        ] {
            let plan = plan(len, memory);
            assert_eq!(
                (plan.part_len as u64, plan.held, plan.holds_in),
                (part_mib * MIB, held, HoldsIn::Memory),
                "{len} in {memory}"
            );
        }
        // A single part is held once, and no longer than it is.
        let short = plan(1000, 1);
        assert_eq!((short.held, short.memory_len()), (1, 1000 + CONNECTION_LEN));
        assert!(!short.is_in_parts() && plan(GIB, 24).is_in_parts());
    }

    /// The same limits, where each range is cut by itself.
    #[test]
    fn ranges_are_cut_within_the_limits_whatever_their_lengths() {
        let lens = [5 * MIB, 5 * MIB + 1, 6 * MIB, 9 * MIB, 10 * MIB - 1, 10 * MIB, 16 * MIB, 17 * MIB];
        let longer = [21 * MIB - 1, 21 * MIB, 32 * MIB + 5, 33 * MIB, 127 * MIB + 3, GIB, 100 * GIB + 1];
        let lens = [&lens[..], &longer].concat();
        for memory in [8 << 20, 24 << 20, 64 << 20, 1 << 30] {
            for last in [0, 1, 4 * MIB, 5 * MIB, 16 * MIB + 1, 40 * MIB] {
                let ranges = [&lens[..], &[last]].concat();
                let cuts = RangeCut::of_ranges(&ranges, memory).unwrap();
                assert_eq!(cuts.len(), ranges.len());
                assert!(cuts.iter().map(|cut| cut.count).sum::<u64>() <= 10_000);
                for (index, (len, RangeCut { part_len, count })) in ranges.iter().zip(&cuts).enumerate() {
                    let parts: Vec<u64> =
                        (0..*count).map(|at| (len - at * part_len).min(*part_len)).collect();
                    assert_eq!(parts.iter().sum::<u64>(), *len, "{len} {part_len} {count}");
                    assert!(parts.iter().all(|part| *part <= 5 * GIB));
                    let limited = if index + 1 == ranges.len() { &parts[..parts.len() - 1] } else { &parts };
                    assert!(limited.iter().all(|part| *part >= 5 * MIB), "{len}: {parts:?}");
                }
            }
        }
        // As many ranges as an object has parts: each is one. By hand: 10,000 times 17 MiB are 166 GiB, which 16 MiB would cut in 20,000.
        let cuts = RangeCut::of_ranges(&vec![17 * MIB; 10_000], 1 << 30).unwrap();
        assert!(cuts.iter().all(|cut| cut.count == 1));
        for (ranges, kind) in [
            (vec![5 * MIB - 1, 9], io::ErrorKind::InvalidInput),
            (vec![5 * MIB; 10_001], io::ErrorKind::InvalidInput),
            (vec![4 * TIB, TIB + 1], io::ErrorKind::FileTooLarge),
            (vec![u64::MAX, 2], io::ErrorKind::FileTooLarge),
        ] {
            assert_eq!(RangeCut::of_ranges(&ranges, 1 << 30).unwrap_err().kind(), kind);
        }
    }

    #[test]
    fn what_memory_does_not_hold_is_spooled_or_refused_with_what_it_would_need() {
        let unknown = |memory: usize, spools| PartPlan::new(ExpectedLen::Unknown, memory << 20, spools);
        let spooled = unknown(24, true).unwrap();
        assert_eq!((spooled.part_len as u64, spooled.holds_in), (64 * MIB, HoldsIn::Spool));
        assert!(spooled.memory_len() <= 24 << 20);
        assert_eq!(spooled.len_max, 10_000 * 64 * MIB);
        assert_eq!(unknown(129, false).unwrap().holds_in, HoldsIn::Memory);
        let error = unknown(128, false).unwrap_err();
        let expected = NoRoom { part_len: 64 << 20, needed: 129 << 20, len_is_unknown: true };
        assert_eq!(NoRoom::within(&error), Some(&expected));
        // What it asks for is enough.
        let refused = PartPlan::new(ExpectedLen::Exactly(GIB), 3 << 20, false).unwrap_err();
        let needed = NoRoom::within(&refused).unwrap().needed;
        assert!(PartPlan::new(ExpectedLen::Exactly(GIB), needed, false).is_ok());
        assert!(PartPlan::new(ExpectedLen::Exactly(GIB), needed - 1, false).is_err());
    }
}
