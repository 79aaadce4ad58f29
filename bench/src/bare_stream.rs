//! A stream of one frame, sealed and opened straight through: every record that the format demands, and nothing else.
//! It knows no pipeline, no source, no sink and no error: what does not hold ends the bench.

use frame_worker::{Backend, ChainValue, Cipher, ClosingFields, FrameWorker, SegmentDigest, digests_equal};
use framing::limits::{
    CLOSING_LEN, DIGEST_FRAME_LEN, FOOTER_LEN, FRAME_HEADER_LEN, FRAME_OVERHEAD, METADATA_HEAD_LEN,
    PREAMBLE_BLOCK_LEN, SEGMENT_HEADER_LEN, TAG_LEN, TERMINATOR_LEN,
};
use framing::{
    DigestKind, DirectoryEntry, Footer, FrameIndex, IndexEntry, IndexPage, KeyCopy, MetadataHead, Preamble,
    SegmentHeader, SegmentIndex, Shape, Slot, StreamId, Suite, encode_directory, encode_entries, page_len,
};
use keys::{Identities, KeySchedule, Recipients, SealedSlot, StreamKey, WrappingKey, macs_equal, random};
use sha2::{Digest as _, Sha256};

/// Seals and opens streams of one frame under one wrapping key: AES-256-GCM, BLAKE3, no metadata.
pub struct BareStream {
    recipients: Recipients,
    identities: Identities,
}

impl BareStream {
    /// With this wrapping key.
    pub fn new(key: [u8; 32]) -> BareStream {
        BareStream {
            recipients: Recipients::new().wrapping_key(WrappingKey::from_bytes(key)),
            identities: Identities::new().wrapping_key(WrappingKey::from_bytes(key)),
        }
    }

    /// A whole stream of `plaintext`, which is a byte at least and a frame at most.
    pub fn seal(&self, plaintext: &[u8]) -> Vec<u8> {
        let (preamble, schedule, mut wire) = self.begin();
        let record = metadata_record(&schedule);
        wire.extend(&record);
        let (entry, chain) = seal_segment(&preamble, &schedule, plaintext, &record, &mut wire);
        seal_trailer(&schedule, entry, chain, &mut wire);
        wire
    }

    /// Opens a stream of [`BareStream::seal`], or of a sealer with the same choices, into `plaintext`.
    ///
    /// # Panics
    /// The stream is not what it should be.
    pub fn open(&self, wire: &[u8], plaintext: &mut [u8]) {
        let preamble = Preamble::parse(&wire[..PREAMBLE_BLOCK_LEN]).expect(HOLDS);
        let (area, body) = wire[PREAMBLE_BLOCK_LEN..].split_at(2 * preamble.key_copy_len as usize);
        let schedule = self.unlock(&preamble, area);
        let head = MetadataHead::parse(body).expect(HOLDS);
        let (record, rest) = body.split_at(head.record_len());
        open_metadata(&schedule, &head, record);
        let segment_len = SEGMENT_HEADER_LEN + plaintext.len() + FRAME_OVERHEAD + CLOSING_LEN;
        let (segment, trailer) = rest.split_at(segment_len);
        let stream_digest = open_trailer(&schedule, trailer);
        let chain = open_segment(&preamble, &schedule, record, segment, plaintext);
        assert!(digests_equal(&chain.0, &stream_digest), "{HOLDS}");
    }

    /// Keys, preamble and key area of a new stream.
    fn begin(&self) -> (Preamble, KeySchedule, Vec<u8>) {
        let stream_key = StreamKey::generate().expect(HOLDS);
        let mut preamble = Preamble {
            suite: SUITE,
            digest: DIGEST,
            shape: Shape::new(FRAME_LEN, FRAMES_PER_SEGMENT).expect(HOLDS),
            stream_id: StreamId(random().expect(HOLDS)),
            salt: random().expect(HOLDS),
            commitment: [0; 32],
            key_copy_len: 0,
        };
        let schedule = KeySchedule::new(&stream_key, &preamble.to_bytes());
        preamble.commitment = schedule.commitment();
        let slots = self.recipients.wrap(&stream_key, &first(&preamble.to_bytes())).expect(HOLDS);
        let slots: Vec<_> = slots.into_iter().map(|slot| Slot { kind: slot.kind, body: slot.body }).collect();
        preamble.key_copy_len = KeyCopy::len_for(&slots, 0).expect(HOLDS);
        let mut wire = preamble.to_bytes().to_vec();
        wire.resize(PREAMBLE_BLOCK_LEN, 0);
        let mac = |covered: &[u8]| schedule.key_area_mac(&preamble.to_bytes(), covered);
        let copy = KeyCopy::encode(1, &slots, preamble.key_copy_len, mac, sha256).expect(HOLDS);
        wire.extend(&copy);
        wire.extend(&copy);
        (preamble, schedule, wire)
    }

    /// The key schedule, from both key copies, which are both checked.
    fn unlock(&self, preamble: &Preamble, area: &[u8]) -> KeySchedule {
        let bytes = preamble.to_bytes();
        let (one, other) = area.split_at(area.len() / 2);
        let [copy, second] = [one, other].map(|copy| KeyCopy::parse(copy, sha256).expect(HOLDS));
        let slots = copy.slots().expect(HOLDS).into_iter();
        let slots: Vec<_> = slots.map(|slot| SealedSlot { kind: slot.kind, body: slot.body }).collect();
        let mut schedule = None;
        let unwrapped = self.identities.unwrap(&slots, &first(&bytes), &mut |key| {
            let derived = schedule.insert(KeySchedule::new(key, &bytes));
            derived.matches_commitment(&preamble.commitment)
        });
        drop(unwrapped.expect(HOLDS));
        let schedule = schedule.expect(HOLDS);
        for (copy, bytes_of_copy) in [(&copy, one), (&second, other)] {
            let mac = schedule.key_area_mac(&bytes, KeyCopy::authenticated(bytes_of_copy));
            assert!(macs_equal(&mac, &copy.mac), "{HOLDS}");
        }
        schedule
    }
}

fn metadata_record(schedule: &KeySchedule) -> Vec<u8> {
    let text = encode_entries(&[]).expect(HOLDS);
    let mut ciphertext = vec![0; text.len()];
    let head = MetadataHead { salt: random().expect(HOLDS), body_len: (text.len() + TAG_LEN) as u32 };
    let head = head.to_bytes();
    let secret = schedule.metadata(&head);
    let cipher = Cipher::new(Backend::Fast, SUITE, secret.key());
    let tag = cipher.seal(*secret.nonce(), &[], &text, &mut ciphertext);
    [&head[..], &ciphertext, &tag].concat()
}

fn open_metadata(schedule: &KeySchedule, head: &MetadataHead, record: &[u8]) {
    let secret = schedule.metadata(&head.to_bytes());
    let (text, tag) = record[METADATA_HEAD_LEN..].split_last_chunk::<TAG_LEN>().expect(HOLDS);
    let cipher = Cipher::new(Backend::Fast, SUITE, secret.key());
    cipher.open(*secret.nonce(), &[], text, tag, &mut vec![0; text.len()]).expect(HOLDS);
}

fn seal_segment(
    preamble: &Preamble,
    schedule: &KeySchedule,
    plaintext: &[u8],
    record: &[u8],
    wire: &mut Vec<u8>,
) -> (IndexEntry, ChainValue) {
    let header =
        SegmentHeader { index: SegmentIndex(0), plaintext_offset: 0, attempt_salt: random().expect(HOLDS) };
    let (worker, mut digest) = segment(preamble, schedule, &header);
    let mut frame = vec![0; plaintext.len() + FRAME_OVERHEAD];
    digest.absorb(&worker.seal(FrameIndex(0), plaintext, &mut frame).fragment);
    let digest = digest.finish(1);
    let fields = ClosingFields {
        frame_count: 1,
        plaintext_len: plaintext.len() as u64,
        digest,
        last: true,
        chain_before: ChainValue::start(DIGEST, &first(&preamble.to_bytes()), record),
    };
    let closing = worker.seal_closing(&fields);
    let segment = [&header.to_bytes()[..], &frame, &closing].concat();
    wire.extend(&segment);
    let entry = IndexEntry {
        wire_offset: record.len() as u64,
        wire_len: segment.len() as u64,
        plaintext_offset: 0,
        plaintext_len: plaintext.len() as u32,
        frame_count: 1,
        attempt_salt: header.attempt_salt,
        digest,
    };
    (entry, ChainValue::after(DIGEST, &closing))
}

fn open_segment(
    preamble: &Preamble,
    schedule: &KeySchedule,
    record: &[u8],
    bytes: &[u8],
    plaintext: &mut [u8],
) -> ChainValue {
    let (worker, mut digest) = segment(preamble, schedule, &SegmentHeader::parse(bytes).expect(HOLDS));
    let (frame, closing) = bytes[SEGMENT_HEADER_LEN..].split_last_chunk::<CLOSING_LEN>().expect(HOLDS);
    digest.absorb(&worker.open(FrameIndex(0), frame, plaintext).expect(HOLDS).fragment);
    let closing = worker.open_closing(closing).expect(HOLDS);
    let chain = ChainValue::start(DIGEST, &first(&preamble.to_bytes()), record);
    assert!(digests_equal(&closing.fields.chain_before.0, &chain.0), "{HOLDS}");
    assert!(digests_equal(&closing.fields.digest, &digest.finish(1)), "{HOLDS}");
    closing.chain_after
}

/// The worker of a segment, and its digest with nothing absorbed.
fn segment(
    preamble: &Preamble,
    schedule: &KeySchedule,
    header: &SegmentHeader,
) -> (FrameWorker, SegmentDigest) {
    let bytes = header.to_bytes();
    let secret = schedule.segment(&bytes);
    let shape = preamble.shape;
    let worker = FrameWorker::new(Backend::Fast, SUITE, DIGEST, shape, secret.key(), secret.nonce());
    (worker, SegmentDigest::new(DIGEST, &first(&preamble.to_bytes()), &bytes))
}

fn seal_trailer(schedule: &KeySchedule, entry: IndexEntry, chain: ChainValue, wire: &mut Vec<u8>) {
    let page_at = entry.wire_offset + entry.wire_len;
    let plaintext_len = u64::from(entry.plaintext_len);
    let mut page = IndexPage { page: 0, first_segment: SegmentIndex(0), entries: vec![entry] }.to_bytes();
    let mac = schedule.page_mac(&page);
    page.extend(mac);
    let directory = encode_directory(&[DirectoryEntry { offset: page_at, mac }]);
    let directory_offset = page_at + page.len() as u64;
    let footer = Footer {
        pages: 1,
        directory_offset,
        segments: 1,
        plaintext_len,
        wire_len: directory_offset + (directory.len() + FOOTER_LEN) as u64,
        stream_digest: chain.0,
    };
    let footer = footer.to_bytes();
    let mac = schedule.footer_mac(&directory, &footer);
    for part in [&page[..], &directory, &footer, &mac] {
        wire.extend(part);
    }
}

/// The stream digest that the trailer says.
fn open_trailer(schedule: &KeySchedule, trailer: &[u8]) -> [u8; 32] {
    let (rest, footer) = trailer.split_at(trailer.len() - FOOTER_LEN);
    let (page, directory) = rest.split_at(page_len(1));
    let (footer, mac) = Footer::parse(footer).expect(HOLDS);
    assert!(macs_equal(&schedule.footer_mac(directory, &footer.to_bytes()), &mac), "{HOLDS}");
    let (_, mac) = IndexPage::parse(page).expect(HOLDS);
    assert!(macs_equal(&schedule.page_mac(&page[..page.len() - mac.len()]), &mac), "{HOLDS}");
    footer.stream_digest
}

/// The cipher's share of a stream of one frame: the same keys set up, the same lengths sealed or opened, fixed nonces.
pub struct CipherCalls {
    /// By key: what is sealed under it.
    sealed: Vec<Vec<SealedPiece>>,
}

struct SealedPiece {
    bound: Vec<u8>,
    text: Vec<u8>,
    tag: [u8; TAG_LEN],
}

impl CipherCalls {
    /// For a plaintext of `plaintext_len` bytes.
    pub fn new(plaintext_len: usize) -> CipherCalls {
        let no_entries = encode_entries(&[]).expect(HOLDS).len();
        let slot = vec![(0, 32)];
        let metadata = vec![(0, no_entries)];
        let segment = vec![
            (FRAME_HEADER_LEN, plaintext_len),
            (DIGEST_FRAME_LEN - TAG_LEN, 0),
            (TERMINATOR_LEN - TAG_LEN, 0),
        ];
        let piece = |(bound, text): (usize, usize)| {
            let (bound, plaintext, mut text) = (vec![1; bound], vec![2; text], vec![0; text]);
            let tag = cipher().seal(NONCE, &bound, &plaintext, &mut text);
            SealedPiece { bound, text, tag }
        };
        let pieces = |lens: Vec<_>| lens.into_iter().map(piece).collect();
        CipherCalls { sealed: [slot, metadata, segment].map(pieces).into() }
    }

    /// The calls that sealing makes. `room` is as long as the plaintext.
    pub fn seal(&self, room: &mut [u8]) {
        for pieces in &self.sealed {
            let cipher = cipher();
            for piece in pieces {
                let SealedPiece { bound, text, .. } = piece;
                std::hint::black_box(cipher.seal(NONCE, bound, text, &mut room[..text.len()]));
            }
        }
    }

    /// The calls that opening makes. `room` is as long as the plaintext.
    pub fn open(&self, room: &mut [u8]) {
        for pieces in &self.sealed {
            let cipher = cipher();
            for SealedPiece { bound, text, tag } in pieces {
                cipher.open(NONCE, bound, text, tag, &mut room[..text.len()]).expect(HOLDS);
            }
        }
    }
}

fn cipher() -> Cipher {
    Cipher::new(Backend::Fast, SUITE, std::hint::black_box(&[7; 32]))
}

/// The first `N` bytes of the preamble: what one or another key or digest binds.
fn first<const N: usize>(preamble: &[u8; 128]) -> [u8; N] {
    *preamble.first_chunk().expect("no more than all")
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

const SUITE: Suite = Suite::Aes256Gcm;
const DIGEST: DigestKind = DigestKind::Blake3;
const FRAME_LEN: u32 = 64 << 10;
const FRAMES_PER_SEGMENT: u32 = 128;
const NONCE: [u8; 12] = [3; 12];
const HOLDS: &str = "what was sealed so opens so";

#[cfg(test)]
mod tests {
    use cofferdam::{BytesSource, MemorySink, NullSink, Opener, Sealer};

    use super::*;
    use crate::bytes;

    const KEY: [u8; 32] = [7; 32];

    fn bare() -> BareStream {
        BareStream::new(KEY)
    }

    fn opener() -> Opener {
        Opener::new(Identities::new().wrapping_key(WrappingKey::from_bytes(KEY)))
    }

    #[test]
    fn the_opener_opens_what_was_sealed_straight_through() {
        for len in [1, 1024, FRAME_LEN as usize] {
            let (sink, plaintext) = MemorySink::new();
            opener().open(BytesSource::new(bare().seal(&bytes(len))), sink).unwrap();
            assert!(plaintext.take().unwrap() == bytes(len), "{len}");
        }
    }

    #[test]
    fn what_the_sealer_sealed_is_opened_straight_through() {
        for len in [1, 1024, FRAME_LEN as usize] {
            let (sink, wire) = MemorySink::new();
            let recipients = Recipients::new().wrapping_key(WrappingKey::from_bytes(KEY));
            let sealer = Sealer::new(recipients).suite(SUITE);
            sealer.seal(BytesSource::new(bytes(len)), sink).unwrap();
            let mut plaintext = vec![0; len];
            bare().open(&wire.take().unwrap(), &mut plaintext);
            assert!(plaintext == bytes(len), "{len}");
        }
    }

    /// The opener refuses the same, so what is checked straight through is what the format demands.
    #[test]
    fn every_flipped_byte_ends_what_opens_straight_through_where_it_ends_the_opener() {
        let wire = bare().seal(&bytes(10));
        for at in 0..wire.len() {
            let mut wire = wire.clone();
            wire[at] ^= 1;
            let restored = opener().open(BytesSource::new(wire.clone()), NullSink::new());
            let refused = restored.map_or(true, |restored| !restored.warnings.is_empty());
            let opened = std::panic::catch_unwind(|| bare().open(&wire, &mut [0; 10]));
            assert_eq!(opened.is_err(), refused, "byte {at}");
        }
    }

    #[test]
    fn the_cipher_calls_open_what_they_sealed() {
        let calls = CipherCalls::new(1024);
        calls.open(&mut [0; 1024]);
        calls.seal(&mut [0; 1024]);
    }
}
