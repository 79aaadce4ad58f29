//! The bytes of a log: header, slots and records, to and from values.
//! Knows no file, and not what follows from a record that stands somewhere.

use std::fmt;

use contract::{AttemptId, Checkpoint};
use storage::sector::{self, CRC_LEN, u32_at, u64_at};

/// A log sequence number: where a record begins, in bytes from the start of the log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Lsn(u64);

impl Lsn {
    /// Where the first record of any log begins.
    pub const FIRST: Lsn = Lsn(RECORDS_AT);

    /// A number that was stored.
    pub fn from_u64(lsn: u64) -> Lsn {
        Lsn(lsn)
    }

    /// The number to store.
    pub fn to_u64(self) -> u64 {
        self.0
    }

    pub(super) fn plus(self, len: usize) -> Lsn {
        Lsn(self.0.saturating_add(len as u64))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// Counts the times that a log was opened for writing: see the module's documentation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Epoch(pub(super) u64);

impl Epoch {
    pub(super) fn next(self) -> Epoch {
        Epoch(self.0 + 1)
    }
}

/// What a header sector says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Header {
    /// Zeros, or nothing.
    Absent,
    Whole {
        attempt_id: AttemptId,
    },
    Damaged,
    OtherVersion(u32),
}

impl Header {
    pub(super) fn encode(attempt_id: &AttemptId) -> [u8; SECTOR] {
        let attempt_id = attempt_id.as_bytes();
        let mut sector = [0; SECTOR];
        sector[..8].copy_from_slice(&MAGIC);
        sector[8..12].copy_from_slice(&VERSION.to_le_bytes());
        sector[12..16].copy_from_slice(&(attempt_id.len() as u32).to_le_bytes());
        sector[16..16 + attempt_id.len()].copy_from_slice(attempt_id);
        sector::close(&mut sector);
        sector
    }

    /// `sector` may be short, where the file ends in it.
    pub(super) fn parse(sector: &[u8]) -> Header {
        if sector.iter().all(|byte| *byte == 0) {
            return Header::Absent;
        }
        let Some(sector) = whole_sector(sector).filter(|sector| sector[..8] == MAGIC) else {
            return Header::Damaged;
        };
        let (version, len) = (u32_at(sector, 8), u32_at(sector, 12) as usize);
        if version != VERSION {
            return Header::OtherVersion(version);
        }
        match sector[16..SECTOR - CRC_LEN].split_at_checked(len) {
            Some((attempt_id, rest)) if rest.iter().all(|byte| *byte == 0) => {
                AttemptId::new(attempt_id).map_or(Header::Damaged, |attempt_id| Header::Whole { attempt_id })
            }
            _ => Header::Damaged,
        }
    }
}

/// How far the log was durable, and the epoch that may be written behind that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Slot {
    pub(super) generation: u64,
    pub(super) epoch: Epoch,
    pub(super) durable: Lsn,
}

impl Slot {
    pub(super) fn encode(&self) -> [u8; SECTOR] {
        let mut sector = [0; SECTOR];
        sector[..8].copy_from_slice(&self.generation.to_le_bytes());
        sector[8..16].copy_from_slice(&self.epoch.0.to_le_bytes());
        sector[16..24].copy_from_slice(&self.durable.0.to_le_bytes());
        sector::close(&mut sector);
        sector
    }

    /// None: torn, damaged or never written.
    pub(super) fn parse(sector: &[u8]) -> Option<Slot> {
        let sector = whole_sector(sector)?;
        let (generation, epoch, durable) = (u64_at(sector, 0), u64_at(sector, 8), Lsn(u64_at(sector, 16)));
        let zeros = sector[24..SECTOR - CRC_LEN].iter().all(|byte| *byte == 0);
        // Both are counted up from here, more than once an opening.
        let counts = generation <= COUNT_MAX && epoch <= COUNT_MAX;
        (zeros && counts && durable >= Lsn::FIRST).then_some(Slot {
            generation,
            epoch: Epoch(epoch),
            durable,
        })
    }
}

/// What a record is, by the number that stands for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Data,
    Commit,
    Finish,
}

/// The first bytes of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) epoch: Epoch,
    pub(super) lsn: Lsn,
    /// DATA: where its bytes begin in the stream. COMMIT: where the segment ends. FINISH: the stream's length.
    pub(super) at: u64,
    pub(super) body_len: usize,
}

impl Head {
    /// What stands at `lsn`, as far as its head tells: kind and length are within their limits, the checksum is not
    /// looked at.
    pub(super) fn parse(bytes: &[u8; HEAD_LEN], lsn: Lsn) -> Option<Head> {
        let body_len = u32_at(bytes, 32) as usize;
        let kind = match (u32_at(bytes, 4), body_len) {
            (DATA, 1..=DATA_LEN_MAX) => Kind::Data,
            (COMMIT, COMMIT_LEN) => Kind::Commit,
            (FINISH, 0) => Kind::Finish,
            _ => return None,
        };
        let head = Head { kind, epoch: Epoch(u64_at(bytes, 8)), lsn, at: u64_at(bytes, 24), body_len };
        (u64_at(bytes, 16) == lsn.0 && u32_at(bytes, 36) == 0).then_some(head)
    }

    /// Where the next record begins.
    pub(super) fn end(&self) -> Lsn {
        self.lsn.plus(HEAD_LEN + self.body_len)
    }

    /// Puts a whole record into `buffer`, in place of what was there. `body_len` is that of `body`.
    pub(super) fn encode(&self, body: &[&[u8]], buffer: &mut Vec<u8>) {
        let kind = match self.kind {
            Kind::Data => DATA,
            Kind::Commit => COMMIT,
            Kind::Finish => FINISH,
        };
        buffer.clear();
        buffer.extend_from_slice(&[0; CRC_LEN]);
        buffer.extend_from_slice(&kind.to_le_bytes());
        buffer.extend_from_slice(&self.epoch.0.to_le_bytes());
        buffer.extend_from_slice(&self.lsn.0.to_le_bytes());
        buffer.extend_from_slice(&self.at.to_le_bytes());
        buffer.extend_from_slice(&(self.body_len as u32).to_le_bytes());
        buffer.extend_from_slice(&[0; 4]);
        body.iter().for_each(|part| buffer.extend_from_slice(part));
        assert_eq!(
            buffer.len(),
            HEAD_LEN + self.body_len,
            "a record's body has another length than its head says"
        );
        let crc = crc32fast::hash(&buffer[CRC_LEN..]);
        buffer[..CRC_LEN].copy_from_slice(&crc.to_le_bytes());
    }
}

/// Whether the checksum of a whole record is right.
pub(super) fn is_whole(record: &[u8]) -> bool {
    u32_at(record, 0) == crc32fast::hash(&record[CRC_LEN..])
}

/// The body of a COMMIT record.
pub(super) struct CommitBody {
    pub(super) segment: u64,
    /// The segment's first DATA record, or the COMMIT record itself where the segment has none.
    pub(super) first: Lsn,
    pub(super) checkpoint: Checkpoint,
}

impl CommitBody {
    pub(super) fn encode(&self) -> [u8; COMMIT_LEN] {
        let mut body = [0; COMMIT_LEN];
        body[..8].copy_from_slice(&self.segment.to_le_bytes());
        body[8..16].copy_from_slice(&self.first.0.to_le_bytes());
        body[16..].copy_from_slice(&self.checkpoint.to_bytes());
        body
    }

    /// `body` has [`COMMIT_LEN`] bytes.
    pub(super) fn parse(body: &[u8]) -> CommitBody {
        let mut checkpoint = [0; Checkpoint::LEN];
        checkpoint.copy_from_slice(&body[16..COMMIT_LEN]);
        CommitBody {
            segment: u64_at(body, 0),
            first: Lsn(u64_at(body, 8)),
            checkpoint: Checkpoint::from_bytes(checkpoint),
        }
    }
}

fn whole_sector(sector: &[u8]) -> Option<&[u8]> {
    (sector.len() == SECTOR && sector::is_whole(sector)).then_some(sector)
}

/// Most bytes of the stream in one DATA record. A longer write becomes several.
pub const DATA_LEN_MAX: usize = 1 << 20;
/// Bytes of a record before its body.
pub(super) const HEAD_LEN: usize = 40;
pub(super) const SECTOR: usize = storage::SECTOR_LEN;
pub(super) const HEADER_AT: u64 = 0;
/// A disk with sectors of 4 KiB writes header and slots apart from one another, too.
pub(super) const SLOTS_AT: [u64; 2] = [4096, 8192];
const RECORDS_AT: u64 = 12_288;
const VERSION: u32 = 1;
/// Like that of a PNG file, so that a transfer as text shows.
pub(super) const MAGIC: [u8; 8] = *b"\x89CFDWAL\n";
/// The highest generation or epoch that is believed: nobody counts so far, or from there to the end.
const COUNT_MAX: u64 = u64::MAX / 2;
const DATA: u32 = 1;
const COMMIT: u32 = 2;
const FINISH: u32 = 3;
pub(super) const COMMIT_LEN: usize = 16 + Checkpoint::LEN;
const _: () = assert!(16 + AttemptId::LEN_MAX + CRC_LEN <= SECTOR);
const _: () = assert!(SLOTS_AT[1] + SECTOR as u64 <= RECORDS_AT);
