//! Owns the description of one stream to be sealed: its choices, its fixed randomness, and its intended faults.
//! Refuses to know bytes on the wire, keys and tags: the sealer makes those from a plan.

use super::zstd_frame::{Block, ZstdFrame};

pub(super) const STREAM_KEY: [u8; 32] = counting_from(0x40);
pub(super) const OTHER_STREAM_KEY: [u8; 32] = counting_from(0xA0);
pub(super) const CALLER_KEY: [u8; 32] = counting_from(0x10);
pub(super) const OTHER_CALLER_KEY: [u8; 32] = counting_from(0xD0);
const SLOT_SALT: [u8; 32] = counting_from(0x70);
pub(super) const FRAME_LEN: u32 = 4096;

/// Everything that decides the bytes of a stream. The edits are applied to a record's clear bytes before anything is
/// computed from them, so that a faulty record still carries right tags, digests and MACs.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) suite: Suite,
    pub(super) digest: Hash,
    pub(super) compression: Compression,
    pub(super) frames_per_segment: u32,
    pub(super) key_copy_len: u32,
    pub(super) stream_key: [u8; 32],
    pub(super) key_copies: [KeyCopy; 2],
    pub(super) slot_salt: [u8; 32],
    pub(super) metadata: Vec<u8>,
    pub(super) segments: Vec<Segment>,
    pub(super) edits: Vec<Edit>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Suite {
    Aes256Gcm = 1,
    ChaCha20Poly1305 = 2,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Blake3 = 1,
    Sha256 = 2,
    Tags = 3,
}

/// Of a stream: whether it is a compressed one. Then its DATA frames may be, and it has more records.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Zstd,
}

#[derive(Clone)]
pub(super) struct KeyCopy {
    pub(super) generation: u64,
    pub(super) slots: Vec<Slot>,
}

#[derive(Clone)]
pub(super) enum Slot {
    /// Kind 1, with an age file made beforehand: age's own randomness cannot be fixed.
    Age(Vec<u8>),
    /// Kind 2, the stream key under a caller's key.
    KeyFile([u8; 32]),
    /// Kind 2 with another key than the stream's inside.
    KeyFileTo { caller_key: [u8; 32], stream_key: [u8; 32] },
    /// Any kind, with a body that nothing checks.
    Opaque { kind: u16, body: Vec<u8> },
}

impl Slot {
    /// Bytes of it without its header.
    pub(super) fn body_len(&self) -> usize {
        match self {
            Slot::Age(body) | Slot::Opaque { body, .. } => body.len(),
            Slot::KeyFile(_) | Slot::KeyFileTo { .. } => 80,
        }
    }
}

#[derive(Clone)]
pub(super) struct Segment {
    pub(super) frames: Vec<Frame>,
    pub(super) end: End,
    /// Stands for the attempt salt: another attempt draws another salt.
    pub(super) attempt: u8,
    pub(super) records: SegmentRecords,
}

/// A DATA frame.
#[derive(Clone)]
pub(super) enum Frame {
    /// So many bytes of plaintext, as they are: each is its position in the stream, modulo 251.
    Plain(usize),
    /// `plaintext` as `text`, which is a zstd frame, or is said to be one.
    Compressed { plaintext: Vec<u8>, text: Vec<u8> },
}

/// The records of a segment and of its index entry that only compressed streams have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum SegmentRecords {
    /// Those that the stream has to have.
    Due,
    /// A TABLE, whether the stream is compressed or not.
    Table,
    NoTable,
    TableTwice,
    TableAfterDigest,
    /// A TABLE of so many frames: the lengths of those that there are, then zeros.
    TableOfFrames(usize),
    /// A TABLE with another tag, and all that is computed from it agrees.
    TableOfOtherTag,
    /// A DIGEST record of the length that it has in the other kind of stream.
    DigestOfOtherLen,
    /// An index entry of the length that it has in the other kind of stream.
    EntryOfOtherLen,
    /// A plaintext digest of other plaintext, in DIGEST and entry; all that is computed from it agrees.
    OtherPlaintextDigest,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    More,
    Last,
}

/// The records of a stream, by their places in it. `Segment` is a whole segment, header to TERMINATOR.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Record {
    Preamble,
    KeyCopy(usize),
    Metadata,
    Segment(usize),
    SegmentHeader(usize),
    Frame(usize, usize),
    Table(usize),
    Digest(usize),
    Terminator(usize),
    Page(usize),
    Directory,
    Footer,
}

/// Bytes put over a record's own.
#[derive(Clone)]
pub(super) struct Edit {
    pub(super) record: Record,
    pub(super) stage: Stage,
    pub(super) at: usize,
    pub(super) bytes: Vec<u8>,
}

/// When an edit happens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Before the record's tag, MAC or checksum is computed.
    Fields,
    /// Between a key copy's MAC and its checksum.
    BeforeChecksum,
}

impl Plan {
    /// AES-256-GCM and BLAKE3, one key-file slot, no metadata, and one short frame: the smallest whole stream.
    pub(super) fn small() -> Plan {
        Plan::of_segments(&[&[10]])
    }

    /// As `small`, with two segments of two frames and one.
    pub(super) fn framed() -> Plan {
        Plan::of_segments(&[&[FRAME_LEN as usize, 100], &[50]])
    }

    /// One segment for each list of frame lengths; the final one carries LAST.
    pub(super) fn of_segments(frame_lens: &[&[usize]]) -> Plan {
        Plan::of_frames(frame_lens.iter().map(|lens| lens.iter().map(|len| Frame::Plain(*len)).collect()))
    }

    /// The same in a compressed stream, by the frames.
    pub(super) fn compressed(segments: &[&[Frame]]) -> Plan {
        let segments = segments.iter().map(|frames| frames.to_vec());
        Plan::of_frames(segments).with(|plan| plan.compression = Compression::Zstd)
    }

    fn of_frames(segments: impl ExactSizeIterator<Item = Vec<Frame>>) -> Plan {
        let count = segments.len();
        let segment = |(index, frames): (usize, Vec<Frame>)| Segment {
            frames,
            end: if index + 1 == count { End::Last } else { End::More },
            attempt: 0,
            records: SegmentRecords::Due,
        };
        let copy = |generation| KeyCopy { generation, slots: vec![Slot::KeyFile(CALLER_KEY)] };
        Plan {
            suite: Suite::Aes256Gcm,
            digest: Hash::Blake3,
            compression: Compression::None,
            frames_per_segment: 4,
            key_copy_len: 4096,
            stream_key: STREAM_KEY,
            key_copies: [copy(1), copy(1)],
            slot_salt: SLOT_SALT,
            metadata: Vec::new(),
            segments: segments.enumerate().map(segment).collect(),
            edits: Vec::new(),
        }
    }

    /// The stream of FORMAT §15.
    pub(super) fn worked_example() -> Plan {
        Plan::of_segments(&[&[FRAME_LEN as usize, 100]]).with_examples_values()
    }

    /// The compressed stream of FORMAT §15.
    pub(super) fn compressed_worked_example() -> Plan {
        let run = ZstdFrame::of(&[Block::Run(b'c', FRAME_LEN as usize)]).frame();
        Plan::compressed(&[&[run, Frame::Plain(100)]]).with_examples_values()
    }

    /// What FORMAT §15 has in place of random values.
    fn with_examples_values(self) -> Plan {
        self.slots(&[Slot::KeyFile(counting_from(0x80))])
            .with(|plan| {
                plan.digest = Hash::Sha256;
                plan.frames_per_segment = 2048;
                plan.stream_key = counting_from(0);
                plan.slot_salt = counting_from(0xA0);
            })
            .edit(Record::Preamble, 32, &counting_from::<16>(0x20))
            .edit(Record::Preamble, 48, &counting_from::<32>(0x40))
            .edit(Record::Metadata, 0, &counting_from::<16>(0x60))
            .edit(Record::SegmentHeader(0), 32, &counting_from::<16>(0x70))
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut Plan)) -> Plan {
        change(&mut self);
        self
    }

    /// The same slots in both key copies.
    pub(super) fn slots(self, slots: &[Slot]) -> Plan {
        self.with(|plan| plan.key_copies.iter_mut().for_each(|copy| copy.slots = slots.to_vec()))
    }

    pub(super) fn edit(self, record: Record, at: usize, bytes: &[u8]) -> Plan {
        self.edit_at(Stage::Fields, record, at, bytes)
    }

    /// The same edit in both key copies: readers have none to fall back on.
    pub(super) fn edit_key_copies(self, stage: Stage, at: usize, bytes: &[u8]) -> Plan {
        self.edit_at(stage, Record::KeyCopy(0), at, bytes).edit_at(stage, Record::KeyCopy(1), at, bytes)
    }

    pub(super) fn edit_at(mut self, stage: Stage, record: Record, at: usize, bytes: &[u8]) -> Plan {
        self.edits.push(Edit { record, stage, at, bytes: bytes.to_vec() });
        self
    }
}

/// `start`, `start + 1` and so on: keys that a person recognises in a dump.
pub(super) const fn counting_from<const LEN: usize>(start: u8) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    let mut value = start;
    let mut index = 0;
    while index < bytes.len() {
        bytes[index] = value;
        value = value.wrapping_add(1);
        index += 1;
    }
    bytes
}
