//! What binds the frames of a segment, and the segments of a stream: fragments, digests, chain (FORMAT §11).
//! It knows no key, and nothing of how the fragments came to be in order.

use framing::DigestKind;
use framing::limits::{DIGEST_LEN, FRAME_HEADER_LEN, SEGMENT_HEADER_LEN, TAG_LEN};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::OpenedFrame;

/// What one DATA frame adds to its segment's digest: a hash of the frame, or its tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fragment([u8; DIGEST_LEN]);

impl Fragment {
    /// The fragment of a frame: `header`, of [`FRAME_HEADER_LEN`] bytes, with `body`, whose last bytes are the tag.
    pub fn new(kind: DigestKind, header: &[u8], body: &[u8]) -> Fragment {
        match kind {
            DigestKind::Blake3 => Fragment::of_blake3(header, body),
            DigestKind::Sha256 => {
                let hasher = Sha256::new().chain_update(LABEL_FRAME).chain_update(header);
                Fragment(hasher.chain_update(body).finalize().into())
            }
            DigestKind::Tags => Fragment::of_tag(body),
        }
    }

    /// A fragment of given bytes, for tests of what consumes fragments.
    pub fn from_bytes(bytes: [u8; DIGEST_LEN]) -> Fragment {
        Fragment(bytes)
    }

    /// BLAKE3 hashes many of its chunks of 1 KiB side by side, but only such as begin at a multiple of their number. Label
    /// and header, given by themselves, would shift all that follows; so the first chunks are put together here. For
    /// 64 KiB that makes 8.3 GB/s of 4.9 (docs/DESIGN.md §10).
    fn of_blake3(header: &[u8], body: &[u8]) -> Fragment {
        let mut head = [0; BLAKE3_HEAD_LEN];
        let body_at = LABEL_FRAME.len() + FRAME_HEADER_LEN;
        let (begin, rest) = body.split_at(body.len().min(head[body_at..].len()));
        let len = body_at + begin.len();
        head[..LABEL_FRAME.len()].copy_from_slice(LABEL_FRAME);
        head[LABEL_FRAME.len()..body_at].copy_from_slice(header);
        head[body_at..len].copy_from_slice(begin);
        Fragment(blake3::Hasher::new().update(&head[..len]).update(rest).finalize().into())
    }

    fn of_tag(body: &[u8]) -> Fragment {
        let mut bytes = [0; DIGEST_LEN];
        bytes[..TAG_LEN].copy_from_slice(&body[body.len() - TAG_LEN..]);
        Fragment(bytes)
    }
}

/// What a frame's plaintext adds to the plaintext digest of its segment, in compressed streams.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PlaintextFragment([u8; DIGEST_LEN]);

impl PlaintextFragment {
    /// The fragment of frame `index`, under the stream's key for plaintext digests (FORMAT §11).
    pub(crate) fn new(key: &[u8; 32], index: u32, plaintext: &[u8]) -> PlaintextFragment {
        // As for fragments of frames: what comes before the plaintext must not shift it against BLAKE3's chunks.
        let mut head = [0; BLAKE3_HEAD_LEN];
        let plaintext_at = LABEL_PLAIN_FRAME.len() + 4;
        let (begin, rest) = plaintext.split_at(plaintext.len().min(head[plaintext_at..].len()));
        let len = plaintext_at + begin.len();
        head[..LABEL_PLAIN_FRAME.len()].copy_from_slice(LABEL_PLAIN_FRAME);
        head[LABEL_PLAIN_FRAME.len()..plaintext_at].copy_from_slice(&index.to_le_bytes());
        head[plaintext_at..len].copy_from_slice(begin);
        let mut hasher = blake3::Hasher::new_keyed(key);
        let digest = hasher.update(&head[..len]).update(rest).finalize().into();
        hasher.zeroize();
        PlaintextFragment(digest)
    }
}

/// A segment's digest in the making. Frames go in by index, without gaps.
pub struct SegmentDigest {
    hasher: Hasher,
    fragment_len: usize,
    body_lens: Option<Vec<u32>>,
    plaintext: Option<PlaintextDigest>,
}

/// What a compressed segment's digest has in it after its DATA frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentEnd {
    /// Of the TABLE.
    pub table: Fragment,
    /// As in the DIGEST frame.
    pub plaintext_digest: [u8; DIGEST_LEN],
}

struct PlaintextDigest(Box<blake3::Hasher>);

impl Drop for PlaintextDigest {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl SegmentDigest {
    /// The digest of the segment with `header`, in the stream that begins with `preamble`.
    pub fn new(
        kind: DigestKind,
        preamble: &[u8; BOUND_LEN],
        header: &[u8; SEGMENT_HEADER_LEN],
    ) -> SegmentDigest {
        let mut hasher = Hasher::outer(kind);
        hasher.update(LABEL_DIGEST);
        hasher.update(preamble);
        hasher.update(header);
        let fragment_len = if kind == DigestKind::Tags { TAG_LEN } else { DIGEST_LEN };
        SegmentDigest { hasher, fragment_len, body_lens: None, plaintext: None }
    }

    /// That of a segment whose frames are all the proof there is, for the format has no digest: nothing is absorbed, and it is zeros.
    pub fn none() -> SegmentDigest {
        SegmentDigest { hasher: Hasher::None, fragment_len: 0, body_lens: None, plaintext: None }
    }

    /// The digest of a compressed segment. With the stream's key for plaintext digests, that of the plaintext is made too.
    pub fn with_table(
        self,
        plaintext_key: Option<&[u8; 32]>,
        header: &[u8; SEGMENT_HEADER_LEN],
    ) -> SegmentDigest {
        let plaintext = plaintext_key.map(|key| {
            let mut hasher = Box::new(blake3::Hasher::new_keyed(key));
            hasher.update(LABEL_PLAIN).update(header);
            PlaintextDigest(hasher)
        });
        SegmentDigest { body_lens: Some(Vec::new()), plaintext, ..self }
    }

    /// Takes the next frame.
    pub fn absorb(&mut self, frame: &OpenedFrame) {
        self.hasher.update(&frame.fragment.0[..self.fragment_len]);
        if let Some(body_lens) = &mut self.body_lens {
            body_lens.push(frame.body_len);
        }
        if let (Some(digest), Some(fragment)) = (&mut self.plaintext, &frame.plaintext) {
            digest.0.update(&fragment.0);
        }
    }

    /// What the TABLE has to say; `None` in a stream that has none.
    pub fn body_lens(&self) -> Option<&[u32]> {
        self.body_lens.as_deref()
    }

    /// The digest of the plaintext of `frame_count` frames; `None` in a stream that has none, and without the key.
    pub fn plaintext_digest(&self, frame_count: u32) -> Option<[u8; DIGEST_LEN]> {
        let mut digest = PlaintextDigest(self.plaintext.as_ref()?.0.clone());
        Some(digest.0.update(&frame_count.to_le_bytes()).finalize().into())
    }

    /// The digest over `frame_count` frames and, in a compressed stream, what comes after them.
    pub fn finish(mut self, frame_count: u32, end: Option<&SegmentEnd>) -> [u8; DIGEST_LEN] {
        assert_eq!(
            end.is_some(),
            self.body_lens.is_some(),
            "a compressed segment has a TABLE, and no other has"
        );
        if let Some(SegmentEnd { table, plaintext_digest }) = end {
            self.hasher.update(&table.0[..self.fragment_len]);
            self.hasher.update(plaintext_digest);
        }
        self.hasher.update(&frame_count.to_le_bytes());
        self.hasher.finish()
    }
}

/// The hash over all segments so far. The last one is the stream digest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChainValue(pub [u8; DIGEST_LEN]);

impl ChainValue {
    /// Before the first segment.
    pub fn start(kind: DigestKind, preamble: &[u8; BOUND_LEN], metadata: &[u8]) -> ChainValue {
        let mut hasher = Hasher::outer(kind);
        hasher.update(LABEL_STREAM);
        hasher.update(preamble);
        hasher.update(metadata);
        ChainValue(hasher.finish())
    }

    /// After the segment that `closing` ends. The value before is in its TERMINATOR.
    pub fn after(kind: DigestKind, closing: &[u8]) -> ChainValue {
        let mut hasher = Hasher::outer(kind);
        hasher.update(LABEL_CHAIN);
        hasher.update(closing);
        ChainValue(hasher.finish())
    }
}

/// Compares in constant time.
pub fn digests_equal(left: &[u8; DIGEST_LEN], right: &[u8; DIGEST_LEN]) -> bool {
    left.ct_eq(right).into()
}

enum Hasher {
    Blake3(Box<blake3::Hasher>),
    Sha256(Sha256),
    None,
}

impl Hasher {
    /// The hash over whole records. Tags have none of their own and use SHA-256.
    fn outer(kind: DigestKind) -> Hasher {
        match kind {
            DigestKind::Blake3 => Hasher::Blake3(Box::default()),
            DigestKind::Sha256 | DigestKind::Tags => Hasher::Sha256(Sha256::new()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Hasher::Blake3(hasher) => {
                hasher.update(bytes);
            }
            Hasher::Sha256(hasher) => hasher.update(bytes),
            Hasher::None => {}
        }
    }

    fn finish(self) -> [u8; DIGEST_LEN] {
        match self {
            Hasher::Blake3(hasher) => hasher.finalize().into(),
            Hasher::Sha256(hasher) => hasher.finalize().into(),
            Hasher::None => [0; DIGEST_LEN],
        }
    }
}

/// The bytes of the preamble that digests bind: all but the key copies' length and the padding.
const BOUND_LEN: usize = 112;
/// As many chunks as BLAKE3 does at once with the widest vectors: 16, of 1 KiB.
const BLAKE3_HEAD_LEN: usize = 16 * blake3::CHUNK_LEN;
const LABEL_FRAME: &[u8] = b"cofferdam/v1/frame\0";
const LABEL_PLAIN_FRAME: &[u8] = b"cofferdam/v1/plain-frame\0";
const LABEL_PLAIN: &[u8] = b"cofferdam/v1/plain\0";
const LABEL_DIGEST: &[u8] = b"cofferdam/v1/digest\0";
const LABEL_STREAM: &[u8] = b"cofferdam/v1/stream\0";
const LABEL_CHAIN: &[u8] = b"cofferdam/v1/chain\0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_hashes_label_header_and_body_as_one_whatever_their_lengths() {
        let header = [7; FRAME_HEADER_LEN];
        let at_head = BLAKE3_HEAD_LEN - LABEL_FRAME.len() - FRAME_HEADER_LEN;
        for len in [TAG_LEN, 4112, at_head - 1, at_head, at_head + 1, 2 * BLAKE3_HEAD_LEN, 65_552, 1 << 20] {
            let body: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
            let whole = [LABEL_FRAME, &header, &body].concat();
            let expected = Fragment(blake3::hash(&whole).into());
            assert_eq!(Fragment::new(DigestKind::Blake3, &header, &body), expected, "{len} bytes");
            let expected = Fragment(Sha256::digest(&whole).into());
            assert_eq!(Fragment::new(DigestKind::Sha256, &header, &body), expected, "{len} bytes");
        }
    }
}
