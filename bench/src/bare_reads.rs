//! The loop that a reader cannot beat: it knows where each frame of a stream is and each segment's key, reads the frames that a
//! read needs and opens them. It knows no cache, no index and no memory budget, and compares no header.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use framing::limits::{FOOTER_LEN, FRAME_HEADER_LEN, FRAME_OVERHEAD, SEGMENT_HEADER_LEN, TAG_LEN};
use framing::{Compression, Footer, IndexPage, Preamble, SegmentHeader, SegmentIndex, page_len};
use keys::{Identities, KeySchedule, SealedSlot, WrappingKey};

use crate::KEY;

/// A sealed file of one index page whose segments are all full, under the benches' key, AES-256-GCM.
pub struct BareReads {
    file: File,
    segments: Vec<Segment>,
    frame_len: usize,
    segment_len: u64,
}

struct Segment {
    frames_at: u64,
    key: LessSafeKey,
    base_nonce: [u8; 12],
}

impl BareReads {
    /// Reads the index of the file at `path`, and derives the key of each segment.
    pub fn open(path: &Path) -> BareReads {
        let file = File::open(path).expect(WORKS);
        let mut head = vec![0; 4096 + 200];
        file.read_exact_at(&mut head, 0).expect(WORKS);
        let preamble = Preamble::parse(&head[..4096]).expect(WORKS);
        let slot = SealedSlot { kind: 2, body: head[4096 + 32 + 8..][..80].to_vec() };
        let identities = Identities::new().wrapping_key(WrappingKey::from_bytes(KEY));
        let first: &[u8; 80] = head.first_chunk().expect("it is longer");
        let stream_key = identities.unwrap(&[slot], first, &mut |_| true).expect(WORKS);
        let schedule = KeySchedule::new(&stream_key, &preamble.to_bytes());
        let segments = entries(&file, &preamble).into_iter().map(|(header, offset)| {
            let secret = schedule.segment(&header.to_bytes());
            let key = UnboundKey::new(&AES_256_GCM, secret.key()).expect("32 bytes are a key");
            let frames_at = preamble.origin() + offset + SEGMENT_HEADER_LEN as u64;
            Segment { frames_at, key: LessSafeKey::new(key), base_nonce: *secret.nonce() }
        });
        BareReads {
            segments: segments.collect(),
            file,
            frame_len: preamble.shape.frame_len() as usize,
            segment_len: preamble.shape.segment_len(),
        }
    }

    /// Room for a frame as it is read, and as it is opened.
    pub fn buffers(&self) -> [Vec<u8>; 2] {
        [vec![0; self.frame_len + FRAME_OVERHEAD], vec![0; self.frame_len]]
    }

    /// Fills `out` with the plaintext from `offset` on.
    pub fn read_at(&self, offset: u64, out: &mut [u8], [wire, plaintext]: &mut [Vec<u8>; 2]) {
        let mut done = 0;
        while done < out.len() {
            let at = offset + done as u64;
            let segment = &self.segments[(at / self.segment_len) as usize];
            let within = at % self.segment_len;
            let (frame, from) = ((within / self.frame_len as u64) as u32, within as usize % self.frame_len);
            let position = segment.frames_at + u64::from(frame) * wire.len() as u64;
            self.file.read_exact_at(wire, position).expect(WORKS);
            let (header, body) = wire.split_at(FRAME_HEADER_LEN);
            let (text, tag) = body.split_at(self.frame_len);
            assert_eq!(tag.len(), TAG_LEN);
            let nonce = nonce(segment.base_nonce, frame);
            let opened = segment.key.open_separate_gather(nonce, Aad::from(header), text, tag, plaintext);
            opened.expect("the frame was sealed at this place with this key");
            let count = (out.len() - done).min(self.frame_len - from);
            out[done..done + count].copy_from_slice(&plaintext[from..from + count]);
            done += count;
        }
    }
}

/// The header of each segment, and where it is from the origin.
fn entries(file: &File, preamble: &Preamble) -> Vec<(SegmentHeader, u64)> {
    let len = file.metadata().expect(WORKS).len();
    let mut bytes = vec![0; FOOTER_LEN];
    file.read_exact_at(&mut bytes, len - FOOTER_LEN as u64).expect(WORKS);
    let (footer, _) = Footer::parse(&bytes).expect(WORKS);
    assert_eq!(footer.pages, 1);
    let mut page = vec![0; page_len(footer.segments as u32, Compression::None)];
    let end = preamble.origin() + footer.directory_offset;
    let begin = end - page.len() as u64;
    file.read_exact_at(&mut page, begin).expect(WORKS);
    let (page, _) = IndexPage::parse(&page, Compression::None).expect(WORKS);
    let header = |(index, entry): (u64, framing::IndexEntry)| {
        let index = SegmentIndex(index);
        let (plaintext_offset, attempt_salt) = (entry.plaintext_offset, entry.attempt_salt);
        (SegmentHeader { index, plaintext_offset, attempt_salt }, entry.wire_offset)
    };
    (0..).zip(page.entries).map(header).collect()
}

/// FORMAT F8.1, of a DATA frame.
fn nonce(mut nonce: [u8; 12], frame: u32) -> Nonce {
    nonce[7] ^= 1;
    for (byte, part) in nonce[8..].iter_mut().zip(frame.to_le_bytes()) {
        *byte ^= part;
    }
    Nonce::assume_unique_for_key(nonce)
}

const WORKS: &str = "the bench has sealed the file itself";
