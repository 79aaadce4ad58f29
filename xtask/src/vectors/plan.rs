//! Owns the description of one stream to be sealed: its choices, its fixed randomness, and its intended faults.
//! Refuses to know bytes on the wire, keys and tags: the sealer makes those from a plan.

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

/// A segment by the plaintext lengths of its frames.
#[derive(Clone)]
pub(super) struct Segment {
    pub(super) frame_lens: Vec<usize>,
    pub(super) end: End,
    /// Stands for the attempt salt: another attempt draws another salt.
    pub(super) attempt: u8,
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
        let segment = |(index, lens): (usize, &&[usize])| Segment {
            frame_lens: lens.to_vec(),
            end: if index + 1 == frame_lens.len() { End::Last } else { End::More },
            attempt: 0,
        };
        let copy = |generation| KeyCopy { generation, slots: vec![Slot::KeyFile(CALLER_KEY)] };
        Plan {
            suite: Suite::Aes256Gcm,
            digest: Hash::Blake3,
            frames_per_segment: 4,
            key_copy_len: 4096,
            stream_key: STREAM_KEY,
            key_copies: [copy(1), copy(1)],
            slot_salt: SLOT_SALT,
            metadata: Vec::new(),
            segments: frame_lens.iter().enumerate().map(segment).collect(),
            edits: Vec::new(),
        }
    }

    /// The stream of FORMAT §15.
    pub(super) fn worked_example() -> Plan {
        let plan =
            Plan::of_segments(&[&[FRAME_LEN as usize, 100]]).slots(&[Slot::KeyFile(counting_from(0x80))]);
        plan.with(|plan| {
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
