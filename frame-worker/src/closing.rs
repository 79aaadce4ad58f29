//! The two frames that close a segment: DIGEST and TERMINATOR, sealed and opened as one (FORMAT §8).
//! It says what they claim; whether the segment agrees is the segment worker's to find out.

use framing::limits::{CLOSING_LEN, DIGEST_FRAME_LEN, DIGEST_LEN, TAG_LEN, TERMINATOR_LEN};
use framing::{DigestFrame, FrameIndex, FrameKind, Terminator};

use crate::{ChainValue, FrameError, FrameWorker};

/// What the closing frames of a segment say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClosingFields {
    /// DATA frames of the segment.
    pub frame_count: u32,
    /// Plaintext bytes of the segment.
    pub plaintext_len: u64,
    /// Digest over the frames.
    pub digest: [u8; DIGEST_LEN],
    /// Whether the stream ends here.
    pub last: bool,
    /// The chain value of the segment before.
    pub chain_before: ChainValue,
}

/// Closing frames with the chain value that follows from them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Closing {
    /// What they say.
    pub fields: ClosingFields,
    /// The chain value of this segment.
    pub chain_after: ChainValue,
}

impl FrameWorker {
    /// Seals the closing frames. Once under each attempt salt: the nonces are the segment's own.
    pub fn seal_closing(&self, fields: &ClosingFields) -> [u8; CLOSING_LEN] {
        let (digest, terminator) = split(fields);
        let mut bytes = [0; CLOSING_LEN];
        let (first, second) = bytes.split_at_mut(DIGEST_FRAME_LEN);
        self.tag(FrameKind::Digest, FrameIndex(fields.frame_count), &digest.clear_bytes(), first);
        self.tag(
            FrameKind::Terminator,
            FrameIndex(fields.frame_count + 1),
            &terminator.clear_bytes(),
            second,
        );
        bytes
    }

    /// The chain value behind closing frames that say `fields`. They are made again to be compared, and are neither stored nor
    /// sent (FORMAT F12.3).
    pub fn chain_after(&self, fields: &ClosingFields) -> ChainValue {
        ChainValue::after(self.digest_kind(), &self.seal_closing(fields))
    }

    /// Opens closing frames: structure, then both tags (a keyless worker leaves those).
    pub fn open_closing(&self, bytes: &[u8; CLOSING_LEN]) -> Result<Closing, FrameError> {
        let (first, second) = bytes.split_at(DIGEST_FRAME_LEN);
        let digest = DigestFrame::parse(first, self.shape())?;
        let terminator =
            Terminator::parse(second, self.shape()).map_err(|error| error.moved(DIGEST_FRAME_LEN as u64))?;
        if digest.frame_count != terminator.frame_count {
            return Err(FrameError::Closing);
        }
        self.check_tag(FrameKind::Digest, FrameIndex(digest.frame_count), first)?;
        self.check_tag(FrameKind::Terminator, FrameIndex(digest.frame_count + 1), second)?;
        let fields = ClosingFields {
            frame_count: digest.frame_count,
            plaintext_len: terminator.plaintext_len,
            digest: digest.digest,
            last: terminator.last,
            chain_before: ChainValue(terminator.chain_before),
        };
        Ok(Closing { fields, chain_after: ChainValue::after(self.digest_kind(), bytes) })
    }

    fn tag(&self, kind: FrameKind, index: FrameIndex, clear: &[u8], frame: &mut [u8]) {
        let tag = self.cipher().seal(self.nonce(kind, index), clear, &[], &mut []);
        frame[..clear.len()].copy_from_slice(clear);
        frame[clear.len()..].copy_from_slice(&tag);
    }

    fn check_tag(&self, kind: FrameKind, index: FrameIndex, frame: &[u8]) -> Result<(), FrameError> {
        let Some(cipher) = self.keyed_cipher() else { return Ok(()) };
        let Some((clear, tag)) = frame.split_last_chunk::<TAG_LEN>() else { return Err(FrameError::Closing) };
        let nonce = self.nonce(kind, index);
        cipher.open(nonce, clear, &[], tag, &mut []).map_err(|_| FrameError::Authentication { frame: index })
    }
}

fn split(fields: &ClosingFields) -> (DigestFrame, Terminator) {
    let digest = DigestFrame { frame_count: fields.frame_count, digest: fields.digest };
    let terminator = Terminator {
        frame_count: fields.frame_count,
        last: fields.last,
        plaintext_len: fields.plaintext_len,
        chain_before: fields.chain_before.0,
    };
    (digest, terminator)
}

const _: () = assert!(CLOSING_LEN == DIGEST_FRAME_LEN + TERMINATOR_LEN);
