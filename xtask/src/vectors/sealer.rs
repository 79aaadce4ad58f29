//! Owns the turning of a plan into a sealed stream, one record after another, and the map of where each record lies.
//! Refuses to know which plans are faulty and what a reader says of them; no code comes from Cofferdam's crates.

use super::crypto::{AeadSecret, StreamKeys, TAG_LEN, mac, plaintext_hash, sha256};
use super::plan::{
    Compression, End, FRAME_LEN, Frame, Hash, Plan, Record, Segment, SegmentRecords, Slot, Stage, Suite,
};
use super::sealed::Sealed;
use std::collections::BTreeMap;

const MAGIC: &[u8; 8] = b"\x89CFD\r\n\x1a\n";
const PREAMBLE_LEN: usize = 128;
const PREAMBLE_BLOCK_LEN: usize = 4096;
const ENTRIES_PER_PAGE: usize = 4096;
const FOOTER_LEN: usize = 112;
const DATA: u8 = 1;
const DIGEST: u8 = 2;
const TERMINATOR: u8 = 3;
const TABLE: u8 = 4;
/// The flag of a DATA frame.
const COMPRESSED: u8 = 1;

pub(super) fn seal(plan: &Plan) -> Sealed {
    let block = preamble_block(plan);
    let keys = StreamKeys::derive(&plan.stream_key, &block[48..80], &block[..48]);
    let mut sealing = Sealing {
        plan,
        pre: block[..PREAMBLE_LEN].to_vec(),
        keys,
        bytes: Vec::new(),
        layout: BTreeMap::new(),
        origin: PREAMBLE_BLOCK_LEN + 2 * plan.key_copy_len as usize,
        chain: [0; 32],
        plaintext: Vec::new(),
        entries: Vec::new(),
        pages: Vec::new(),
    };
    sealing.put(Record::Preamble, &block);
    sealing.key_copy(0);
    sealing.key_copy(1);
    sealing.metadata();
    for (index, segment) in plan.segments.iter().enumerate() {
        sealing.segment(index, segment);
        if (index + 1) % ENTRIES_PER_PAGE == 0 || index + 1 == plan.segments.len() {
            sealing.page();
        }
    }
    sealing.end();
    Sealed {
        bytes: sealing.bytes,
        layout: sealing.layout,
        plaintext: sealing.plaintext,
        stream_digest: sealing.chain,
    }
}

struct Sealing<'a> {
    plan: &'a Plan,
    pre: Vec<u8>,
    keys: StreamKeys,
    bytes: Vec<u8>,
    layout: BTreeMap<Record, std::ops::Range<usize>>,
    origin: usize,
    chain: [u8; 32],
    plaintext: Vec<u8>,
    entries: Vec<Vec<u8>>,
    /// Where each page stands, from the origin, and its MAC.
    pages: Vec<(usize, [u8; 32])>,
}

impl Sealing<'_> {
    fn key_copy(&mut self, which: usize) {
        let record = Record::KeyCopy(which);
        let copy = &self.plan.key_copies[which];
        let slots: Vec<u8> = copy.slots.iter().flat_map(|slot| self.slot(slot)).collect();
        let mut bytes = Fields::new()
            .bytes(b"CFDKEY1\0")
            .u64(copy.generation)
            .u32(number(slots.len()))
            .u16(u16::try_from(copy.slots.len()).expect("a vector has few slots"))
            .zeros(10)
            .bytes(&slots)
            .0;
        let (len, used) = (self.plan.key_copy_len as usize, bytes.len());
        assert!(bytes.len() <= len - 64, "the slots overrun the key copy");
        bytes.resize(len, 0);
        self.edit(record, Stage::Fields, &mut bytes);
        let tag = mac(&self.keys.key_area, "keys-mac", &[&self.pre, &bytes[..used]]);
        bytes[len - 64..len - 32].copy_from_slice(&tag);
        self.edit(record, Stage::BeforeChecksum, &mut bytes);
        let checksum = sha256(&[&bytes[..used], &bytes[len - 64..len - 32]].concat());
        bytes[len - 32..].copy_from_slice(&checksum);
        self.put(record, &bytes);
    }

    fn slot(&self, slot: &Slot) -> Vec<u8> {
        let (kind, body) = match slot {
            Slot::Age(file) => (1, file.clone()),
            Slot::KeyFile(caller_key) => (2, self.key_file_slot(caller_key, &self.plan.stream_key)),
            Slot::KeyFileTo { caller_key, stream_key } => (2, self.key_file_slot(caller_key, stream_key)),
            Slot::Opaque { kind, body } => (*kind, body.clone()),
        };
        Fields::new().u16(kind).zeros(2).u32(number(body.len())).bytes(&body).0
    }

    fn key_file_slot(&self, caller_key: &[u8; 32], stream_key: &[u8; 32]) -> Vec<u8> {
        let salt = self.plan.slot_salt;
        let secret = AeadSecret::of_slot(&salt, caller_key, &self.pre[..80]);
        [&salt[..], &secret.seal(Suite::Aes256Gcm, b"", stream_key)].concat()
    }

    fn metadata(&mut self) {
        let plaintext = &self.plan.metadata;
        let mut header =
            Fields::new().bytes(&fixed(0x3E, 16)).u32(number(plaintext.len() + TAG_LEN)).zeros(12).0;
        self.edit(Record::Metadata, Stage::Fields, &mut header);
        let secret = AeadSecret::of_metadata(&self.keys.stream, &header);
        let record = [&header[..], &secret.seal(self.plan.suite, b"", plaintext)].concat();
        self.chain = self.plan.digest.of("stream", &[&self.pre[..112], &record]);
        self.put(Record::Metadata, &record);
    }

    fn segment(&mut self, index: usize, segment: &Segment) {
        let (start, plaintext_start) = (self.bytes.len(), self.plaintext.len());
        let mut header = Fields::new()
            .bytes(b"CFDSEG1\0")
            .u64(index as u64)
            .u64(plaintext_start as u64)
            .zeros(8)
            .bytes(&attempt_salt(index, segment.attempt))
            .0;
        self.edit(Record::SegmentHeader(index), Stage::Fields, &mut header);
        let secret = AeadSecret::of_segment(&self.keys.stream, &header);
        self.put(Record::SegmentHeader(index), &header);
        let mut sums = Sums::default();
        for (frame, data) in segment.frames.iter().enumerate() {
            self.data_frame(Record::Frame(index, frame), &secret, data, &mut sums);
        }
        let frames = number(segment.frames.len());
        let digest_record = self.table_and_digest(index, segment, &secret, &header, sums);
        let terminator_fields = frame_header(TERMINATOR, frames + 1, 0, 64)
            .u32(frames)
            .u32(u32::from(segment.end == End::Last))
            .u64((self.plaintext.len() - plaintext_start) as u64)
            .bytes(&self.chain)
            .0;
        let terminator = self.tagged(Record::Terminator(index), &secret, terminator_fields);
        self.chain = self.plan.digest.of("chain", &[&digest_record, &terminator]);
        self.layout.insert(Record::Segment(index), start..self.bytes.len());
        // The entry repeats the records as they were written, so that a fault in one of them is the only fault.
        let mut entry = Fields::new()
            .u64((start - self.origin) as u64)
            .u64((self.bytes.len() - start) as u64)
            .bytes(&header[16..24])
            .bytes(&terminator[24..28])
            .bytes(&terminator[16..20])
            .bytes(&header[32..48])
            .bytes(&digest_record[16..digest_record.len() - TAG_LEN])
            .0;
        if segment.records == SegmentRecords::EntryOfOtherLen {
            entry.resize(192 - entry.len(), 0);
        }
        self.entries.push(entry);
    }

    /// Writes one DATA frame and adds it up.
    fn data_frame(&mut self, record: Record, secret: &AeadSecret, frame: &Frame, sums: &mut Sums) {
        let Record::Frame(_, index) = record else { unreachable!("DATA frames alone come here") };
        let start = self.plaintext.len();
        let (flags, plaintext, text) = match frame {
            Frame::Plain(len) => {
                let plaintext: Vec<u8> = (start..start + len).map(plaintext_byte).collect();
                (0, plaintext.clone(), plaintext)
            }
            Frame::Compressed { plaintext, text } => (COMPRESSED, plaintext.clone(), text.clone()),
        };
        let (index, body_len) = (number(index), number(text.len() + TAG_LEN));
        let mut header = frame_header(DATA, index, number(plaintext.len()), body_len).0;
        header[1] = flags;
        self.edit(record, Stage::Fields, &mut header);
        let body = secret.for_frame(header[0], le32(&header[4..8])).seal(self.plan.suite, &header, &text);
        self.put(record, &[&header[..], &body].concat());
        sums.fragments.extend(self.fragment(&header, &body));
        let parts = [&index.to_le_bytes()[..], &plaintext];
        sums.plain_fragments.extend(plaintext_hash(&self.keys.plaintext, "plain-frame", &parts));
        sums.body_lens.extend(body_len.to_le_bytes());
        self.plaintext.extend(plaintext);
    }

    fn fragment(&self, header: &[u8], body: &[u8]) -> Vec<u8> {
        match self.plan.digest {
            Hash::Tags => body[body.len() - TAG_LEN..].to_vec(),
            hash => hash.of("frame", &[header, body]).to_vec(),
        }
    }

    /// Writes TABLE and DIGEST, where they are due or where the plan has them, and returns the DIGEST.
    fn table_and_digest(
        &mut self,
        index: usize,
        segment: &Segment,
        secret: &AeadSecret,
        header: &[u8],
        mut sums: Sums,
    ) -> Vec<u8> {
        let frames = number(segment.frames.len());
        let compressed = self.plan.compression == Compression::Zstd;
        let (before, after) = match segment.records {
            SegmentRecords::NoTable => (0, 0),
            SegmentRecords::Table => (1, 0),
            SegmentRecords::TableTwice => (2, 0),
            SegmentRecords::TableAfterDigest => (0, 1),
            _ => (usize::from(compressed), 0),
        };
        for _ in 0..before {
            let table = match segment.records {
                SegmentRecords::TableOfFrames(frames) => self.table(index, frames, secret, &sums),
                _ => self.table(index, segment.frames.len(), secret, &sums),
            };
            sums.fragments.extend(self.fragment(&table[..16], &table[16..]));
        }
        let parts = [header, &sums.plain_fragments, &frames.to_le_bytes()];
        let mut plain = plaintext_hash(&self.keys.plaintext, "plain", &parts).to_vec();
        if segment.records == SegmentRecords::OtherPlaintextDigest {
            plain = vec![0x99; 32];
        }
        let digest_is_long = compressed != (segment.records == SegmentRecords::DigestOfOtherLen);
        let in_digest = if compressed { &plain[..] } else { &[] };
        let parts = [&self.pre[..112], header, &sums.fragments, in_digest, &frames.to_le_bytes()];
        let in_record = if digest_is_long { &plain[..] } else { &[] };
        let fields = frame_header(DIGEST, frames, 0, number(48 + in_record.len()))
            .bytes(&self.plan.digest.of("digest", &parts))
            .bytes(in_record)
            .0;
        let record = self.tagged(Record::Digest(index), secret, fields);
        for _ in 0..after {
            self.table(index, segment.frames.len(), secret, &sums);
        }
        record
    }

    fn table(&mut self, index: usize, frames: usize, secret: &AeadSecret, sums: &Sums) -> Vec<u8> {
        let mut body_lens = sums.body_lens.clone();
        body_lens.resize(4 * frames, 0);
        let body_len = number(body_lens.len() + TAG_LEN);
        let fields = frame_header(TABLE, number(frames), 0, body_len).bytes(&body_lens).0;
        let mut table = self.tagged(Record::Table(index), secret, fields);
        if self.plan.segments[index].records == SegmentRecords::TableOfOtherTag {
            *table.last_mut().expect("a TABLE has a tag") ^= 1;
            *self.bytes.last_mut().expect("the TABLE was put there") ^= 1;
        }
        table
    }

    /// Writes a TABLE, DIGEST or TERMINATOR: clear fields, and a tag over them.
    fn tagged(&mut self, record: Record, secret: &AeadSecret, mut fields: Vec<u8>) -> Vec<u8> {
        self.edit(record, Stage::Fields, &mut fields);
        let tag = secret.for_frame(fields[0], le32(&fields[4..8])).seal(self.plan.suite, &fields, b"");
        let whole = [fields, tag].concat();
        self.put(record, &whole);
        whole
    }

    /// Writes the page of the entries since the page before.
    fn page(&mut self) {
        let page = self.pages.len();
        let first = page * ENTRIES_PER_PAGE;
        let mut fields = Fields::new()
            .bytes(b"CFDIDX1\0")
            .u32(number(page))
            .u32(number(self.entries.len() - first))
            .u64(first as u64)
            .zeros(8)
            .bytes(&self.entries[first..].concat())
            .0;
        self.edit(Record::Page(page), Stage::Fields, &mut fields);
        let tag = mac(&self.keys.index, "page", &[&fields]);
        self.pages.push((self.bytes.len() - self.origin, tag));
        self.put(Record::Page(page), &[&fields[..], &tag].concat());
    }

    /// Directory and footer.
    fn end(&mut self) {
        let directory_offset = self.bytes.len() - self.origin;
        let entry = |(offset, mac): &(usize, [u8; 32])| Fields::new().u64(*offset as u64).bytes(mac).0;
        let mut directory: Vec<u8> = self.pages.iter().flat_map(entry).collect();
        self.edit(Record::Directory, Stage::Fields, &mut directory);
        self.put(Record::Directory, &directory);
        let mut fields = Fields::new()
            .bytes(b"CFDEND1\0")
            .u32(number(self.pages.len()))
            .zeros(4)
            .u64(directory_offset as u64)
            .u64(self.entries.len() as u64)
            .u64(self.plaintext.len() as u64)
            .u64((self.bytes.len() + FOOTER_LEN - self.origin) as u64)
            .bytes(&self.chain)
            .0;
        self.edit(Record::Footer, Stage::Fields, &mut fields);
        let tag = mac(&self.keys.index, "footer", &[&directory, &fields]);
        self.put(Record::Footer, &[&fields[..], &tag].concat());
    }

    fn edit(&self, record: Record, stage: Stage, bytes: &mut [u8]) {
        apply_edits(self.plan, record, stage, bytes);
    }

    fn put(&mut self, record: Record, bytes: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.layout.insert(record, start..self.bytes.len());
    }
}

/// The preamble's block of 4096 bytes. Edits come before the commitment, which follows from most of them, and once more
/// after it, so that the commitment itself can be wrong.
fn preamble_block(plan: &Plan) -> Vec<u8> {
    let mut block = Fields::new()
        .bytes(MAGIC)
        .u16(1)
        .bytes(&[plan.suite as u8, plan.digest as u8])
        .u32(u32::from(plan.compression == Compression::Zstd))
        .u32(FRAME_LEN)
        .u32(plan.frames_per_segment)
        .zeros(8)
        .bytes(&fixed(0x1D, 16))
        .bytes(&fixed(0x5A, 32))
        .zeros(32)
        .u32(plan.key_copy_len)
        .0;
    block.resize(PREAMBLE_BLOCK_LEN, 0);
    apply_edits(plan, Record::Preamble, Stage::Fields, &mut block);
    let keys = StreamKeys::derive(&plan.stream_key, &block[48..80], &block[..48]);
    block[80..112].copy_from_slice(&keys.commitment);
    apply_edits(plan, Record::Preamble, Stage::Fields, &mut block);
    block
}

fn apply_edits(plan: &Plan, record: Record, stage: Stage, bytes: &mut [u8]) {
    for edit in plan.edits.iter().filter(|edit| edit.record == record && edit.stage == stage) {
        bytes[edit.at..edit.at + edit.bytes.len()].copy_from_slice(&edit.bytes);
    }
}

/// What the DATA frames of a segment add up to.
#[derive(Default)]
struct Sums {
    fragments: Vec<u8>,
    plain_fragments: Vec<u8>,
    /// The lengths of a TABLE.
    body_lens: Vec<u8>,
}

/// A record under construction: little-endian fields, one after the other.
struct Fields(Vec<u8>);

impl Fields {
    fn new() -> Fields {
        Fields(Vec::new())
    }

    fn bytes(mut self, bytes: &[u8]) -> Fields {
        self.0.extend_from_slice(bytes);
        self
    }

    fn zeros(self, count: usize) -> Fields {
        self.bytes(&vec![0; count])
    }

    fn u16(self, value: u16) -> Fields {
        self.bytes(&value.to_le_bytes())
    }

    fn u32(self, value: u32) -> Fields {
        self.bytes(&value.to_le_bytes())
    }

    fn u64(self, value: u64) -> Fields {
        self.bytes(&value.to_le_bytes())
    }
}

fn frame_header(kind: u8, frame_index: u32, plaintext_len: u32, body_len: u32) -> Fields {
    Fields::new().bytes(&[kind, 0, 0, 0]).u32(frame_index).u32(plaintext_len).u32(body_len)
}

fn number(count: usize) -> u32 {
    u32::try_from(count).expect("a vector is small")
}

fn le32(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().expect("4 bytes"))
}

/// `count` bytes that stand for random ones: the same for the same seed.
fn fixed(seed: u8, count: usize) -> Vec<u8> {
    sha256(&[seed])[..count].to_vec()
}

fn attempt_salt(segment: usize, attempt: u8) -> Vec<u8> {
    sha256(&[&(segment as u64).to_le_bytes()[..], &[attempt]].concat())[..16].to_vec()
}

/// 251 is prime, so that no two frames hold the same bytes.
fn plaintext_byte(at: usize) -> u8 {
    u8::try_from(at % 251).expect("below 251")
}
