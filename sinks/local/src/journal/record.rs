//! The bytes of a journal's records, and what is there in their place after a crash or damage.
//! Knows no file, and draws no conclusion from what it finds.
//!
//! All numbers are little-endian. Each record lies within one sector, so that a crash leaves it as it was before, as it
//! is after, or torn, and no other record with it. The last four bytes of a record are the CRC-32 (IEEE) of all before
//! them. What was never written reads as zeros, or the file ends before it.
//!
//! ```text
//!    0  header, 512 bytes: magic 8, version u32, attempt_id length u32, attempt_id, zeros, CRC-32
//!  512  intent, 128 bytes: magic 8, inode u64, length u64, modified i64, its nanoseconds u32, nanoseconds of created u32,
//!       created i64, writer 24, mode u32, zeros, CRC-32
//! 4096  slot A, 512 bytes: generation u64, checkpoint 192, kind u32, zeros, CRC-32       odd generations
//! 8192  slot B, 512 bytes: the same                                                even generations
//! ```
//!
//! Times are seconds since 1970. Where it is not known when the file was made, its nanoseconds are 0xFFFFFFFF; where no mode
//! is due after the rename, the mode is.
//!
//! A slot's kind is 0, a checkpoint, or 1, none: earlier checkpoints are given up, and the checkpoint's bytes are zeros.

use contract::{AttemptId, Checkpoint};
use storage::{
    FileStamp, FileTime, SECTOR_LEN,
    sector::{self, CRC_LEN, is_whole, u32_at, u64_at},
};

/// What stands in the header's place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Header {
    /// Nothing was ever written there.
    Absent,
    /// Something that is not a whole header.
    Torn,
    /// Something that does not begin as a header does, and more behind it. While a header is written nothing stands behind
    /// it: no crash leaves this.
    Stranger,
    /// A whole header of a version that this code does not know.
    Foreign {
        /// That version.
        version: u32,
    },
    /// The attempt's label.
    Valid(AttemptId),
}

/// What stands in the place of one slot.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::large_enum_variant, reason = "a few of them, for a moment")]
pub(crate) enum Slot {
    /// Nothing was ever written there.
    Empty,
    /// Something that is not a whole slot, or not of this place.
    Torn,
    /// A checkpoint of progress.
    Valid {
        /// Counts the slots that were written, from 1. The greater one is the newer one.
        generation: u64,
        /// The checkpoint; none where earlier ones were given up.
        checkpoint: Option<Checkpoint>,
    },
}

/// What both slots say together.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::large_enum_variant, reason = "a few of them, for a moment")]
pub(crate) enum Slots {
    /// No checkpoint was ever made durable; a first one may have been torn by a crash.
    None,
    /// The newest slot that is whole.
    Checkpoint {
        /// Its generation.
        generation: u64,
        /// The checkpoint; none where earlier ones were given up.
        checkpoint: Option<Checkpoint>,
    },
    /// Both were written and neither is whole. No crash does that.
    BothBad,
}

impl Slots {
    /// Generation and checkpoint of the newest whole slot.
    pub(crate) fn newest(&self) -> Option<(u64, Option<Checkpoint>)> {
        match self {
            Self::Checkpoint { generation, checkpoint } => Some((*generation, checkpoint.clone())),
            Self::None | Self::BothBad => None,
        }
    }
}

/// What stands in the intent's place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Intent {
    /// Nothing was ever written there.
    None,
    /// Something that is not a whole intent.
    Torn,
    /// This file was whole and durable, and about to become the target.
    Valid(Announced),
}

/// The file that an intent speaks of, and who wrote it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Announced {
    pub(crate) stamp: FileStamp,
    pub(crate) writer: WriterId,
    /// The mode that it gets once it has its name.
    pub(crate) mode_due: Option<u32>,
}

/// Who wrote what was published, as bytes that mean nothing here: a receiver names the connection by them. Zeros where
/// nobody said.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct WriterId(pub [u8; WriterId::LEN]);

impl WriterId {
    /// Its length in bytes.
    pub const LEN: usize = 24;
}

/// A journal as it was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Records {
    pub(crate) header: Header,
    pub(crate) slots: [Slot; 2],
    pub(crate) intent: Intent,
}

impl Records {
    /// Reads a journal's bytes, of which the last may be missing.
    pub(crate) fn parse(journal: &[u8]) -> Self {
        Self {
            header: parse_header(record::<RECORD_LEN>(journal, HEADER_AT), journal.get(RECORD_LEN..)),
            slots: [1, 2].map(|parity| parse_slot(record(journal, slot_at(parity)), parity)),
            intent: parse_intent(record::<INTENT_LEN>(journal, INTENT_AT)),
        }
    }

    /// What both slots say together.
    pub(crate) fn verdict(&self) -> Slots {
        match &self.slots {
            [Slot::Valid { generation, checkpoint }, Slot::Empty | Slot::Torn]
            | [Slot::Empty | Slot::Torn, Slot::Valid { generation, checkpoint }] => {
                Slots::Checkpoint { generation: *generation, checkpoint: checkpoint.clone() }
            }
            [
                Slot::Valid { generation: a, checkpoint: checkpoint_a },
                Slot::Valid { generation: b, checkpoint: checkpoint_b },
            ] => {
                let (generation, checkpoint) = if a > b { (*a, checkpoint_a) } else { (*b, checkpoint_b) };
                Slots::Checkpoint { generation, checkpoint: checkpoint.clone() }
            }
            [Slot::Torn, Slot::Torn] => Slots::BothBad,
            [Slot::Empty, Slot::Empty | Slot::Torn] | [Slot::Torn, Slot::Empty] => Slots::None,
        }
    }
}

/// Where the slot of a generation lies. Generations alternate, so that the newest whole slot is never overwritten.
pub(crate) fn slot_at(generation: u64) -> u64 {
    if generation % 2 == 1 { SLOT_A_AT } else { SLOT_B_AT }
}

/// The header of a new journal.
pub fn header(attempt_id: &AttemptId) -> [u8; RECORD_LEN] {
    let mut bytes = [0; RECORD_LEN];
    bytes[..8].copy_from_slice(&HEADER_MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    let attempt_id = attempt_id.as_bytes();
    let len = u32::try_from(attempt_id.len()).unwrap_or(u32::MAX); // at most Label::LEN_MAX
    bytes[12..LABEL_AT].copy_from_slice(&len.to_le_bytes());
    bytes[LABEL_AT..][..attempt_id.len()].copy_from_slice(attempt_id);
    sealed(bytes)
}

/// A slot.
pub(crate) fn slot(generation: u64, checkpoint: Option<&Checkpoint>) -> [u8; RECORD_LEN] {
    let mut bytes = [0; RECORD_LEN];
    bytes[..8].copy_from_slice(&generation.to_le_bytes());
    match checkpoint {
        Some(checkpoint) => bytes[8..KIND_AT].copy_from_slice(&checkpoint.to_bytes()),
        None => bytes[KIND_AT..][..4].copy_from_slice(&NO_CHECKPOINT.to_le_bytes()),
    }
    sealed(bytes)
}

/// An intent to publish this file.
pub(crate) fn intent(announced: &Announced) -> [u8; INTENT_LEN] {
    let Announced { stamp: FileStamp { inode, len, modified, created }, writer, mode_due } = announced;
    let created = created.unwrap_or(FileTime { seconds: 0, nanos: UNKNOWN });
    let mut bytes = [0; INTENT_LEN];
    bytes[..8].copy_from_slice(&INTENT_MAGIC);
    bytes[8..16].copy_from_slice(&inode.to_le_bytes());
    bytes[16..24].copy_from_slice(&len.to_le_bytes());
    bytes[24..32].copy_from_slice(&modified.seconds.to_le_bytes());
    bytes[32..36].copy_from_slice(&modified.nanos.to_le_bytes());
    bytes[36..40].copy_from_slice(&created.nanos.to_le_bytes());
    bytes[40..48].copy_from_slice(&created.seconds.to_le_bytes());
    bytes[WRITER_AT..][..WriterId::LEN].copy_from_slice(&writer.0);
    bytes[MODE_AT..][..4].copy_from_slice(&mode_due.unwrap_or(UNKNOWN).to_le_bytes());
    sealed(bytes)
}

impl Header {
    /// What stands there in a journal that begins with these bytes.
    pub fn of_journal(journal: &[u8]) -> Header {
        Records::parse(journal).header
    }
}

fn parse_header(found: [u8; RECORD_LEN], behind: Option<&[u8]>) -> Header {
    if is_blank(&found) {
        return Header::Absent;
    }
    if found[..8] != HEADER_MAGIC && behind.is_some_and(|behind| !is_blank(behind)) {
        return Header::Stranger;
    }
    if !is_whole(&found) || found[..8] != HEADER_MAGIC {
        return Header::Torn;
    }
    let version = u32_at(&found, 8);
    if version != VERSION {
        return Header::Foreign { version };
    }
    let len = usize::try_from(u32_at(&found, 12)).unwrap_or(usize::MAX);
    let attempt_id = found[LABEL_AT..].get(..len).and_then(AttemptId::new);
    attempt_id.map_or(Header::Torn, Header::Valid)
}

fn parse_slot(found: [u8; RECORD_LEN], parity: u64) -> Slot {
    if is_blank(&found) {
        return Slot::Empty;
    }
    let generation = u64_at(&found, 0);
    if !is_whole(&found) || generation == 0 || slot_at(generation) != slot_at(parity) {
        return Slot::Torn;
    }
    let mut checkpoint = [0; Checkpoint::LEN];
    checkpoint.copy_from_slice(&found[8..KIND_AT]);
    match u32_at(&found, KIND_AT) {
        CHECKPOINT => Slot::Valid { generation, checkpoint: Some(Checkpoint::from_bytes(checkpoint)) },
        NO_CHECKPOINT => Slot::Valid { generation, checkpoint: None },
        _ => Slot::Torn,
    }
}

fn parse_intent(found: [u8; INTENT_LEN]) -> Intent {
    if is_blank(&found) {
        return Intent::None;
    }
    if !is_whole(&found) || found[..8] != INTENT_MAGIC {
        return Intent::Torn;
    }
    let modified = FileTime { seconds: i64_at(&found, 24), nanos: u32_at(&found, 32) };
    let created = FileTime { seconds: i64_at(&found, 40), nanos: u32_at(&found, 36) };
    let created = (created.nanos != UNKNOWN).then_some(created);
    let stamp = FileStamp { inode: u64_at(&found, 8), len: u64_at(&found, 16), modified, created };
    let mut writer = WriterId::default();
    writer.0.copy_from_slice(&found[WRITER_AT..][..WriterId::LEN]);
    let mode_due = Some(u32_at(&found, MODE_AT)).filter(|mode| *mode != UNKNOWN);
    Intent::Valid(Announced { stamp, writer, mode_due })
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    u64_at(bytes, at).cast_signed()
}

/// The record at `at`; what lies behind the end of the file reads as zeros.
fn record<const LEN: usize>(journal: &[u8], at: u64) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    let at = usize::try_from(at).unwrap_or(usize::MAX);
    for (byte, found) in bytes.iter_mut().zip(journal.iter().skip(at)) {
        *byte = *found;
    }
    bytes
}

fn sealed<const LEN: usize>(mut bytes: [u8; LEN]) -> [u8; LEN] {
    sector::close(&mut bytes);
    bytes
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// Where each record begins.
pub(crate) const HEADER_AT: u64 = 0;
pub(crate) const INTENT_AT: u64 = 512;
pub(crate) const SLOT_A_AT: u64 = 4_096;
pub(crate) const SLOT_B_AT: u64 = 8_192;
/// Length of a header and of a slot.
pub const RECORD_LEN: usize = 512;
pub(crate) const INTENT_LEN: usize = 128;
/// A journal is never longer than this; what stands behind it is not looked at.
pub const JOURNAL_LEN_MAX: usize = SLOT_B_AT as usize + RECORD_LEN;

const HEADER_MAGIC: [u8; 8] = *b"CFDJHEAD";
const INTENT_MAGIC: [u8; 8] = *b"CFDINTNT";
const VERSION: u32 = 2;
const LABEL_AT: usize = 16;
const WRITER_AT: usize = 48;
const MODE_AT: usize = WRITER_AT + WriterId::LEN;
/// Nanoseconds that no time has, and a mode that no file has.
const UNKNOWN: u32 = u32::MAX;
const KIND_AT: usize = 8 + Checkpoint::LEN;
const CHECKPOINT: u32 = 0;
const NO_CHECKPOINT: u32 = 1;

// A record that crossed a sector could be torn in the middle and have its neighbour torn with it.
const _: () = assert!(RECORD_LEN <= SECTOR_LEN && INTENT_LEN <= SECTOR_LEN);
const _: () =
    assert!(INTENT_AT as usize >= RECORD_LEN && SLOT_A_AT as usize >= INTENT_AT as usize + SECTOR_LEN);
const _: () = assert!(INTENT_AT.is_multiple_of(SECTOR_LEN as u64));
const _: () =
    assert!(SLOT_A_AT.is_multiple_of(SECTOR_LEN as u64) && SLOT_B_AT.is_multiple_of(SECTOR_LEN as u64));
const _: () = assert!(MODE_AT + 4 + CRC_LEN <= INTENT_LEN);
const _: () = assert!(LABEL_AT + AttemptId::LEN_MAX + CRC_LEN <= RECORD_LEN);
const _: () = assert!(KIND_AT + 4 + CRC_LEN <= RECORD_LEN);
