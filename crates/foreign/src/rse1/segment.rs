//! The header of a segment of an `RSE1` stream: how many bytes follow it, and what they are digested with.
//! It opens nothing.

use sha2::{Digest as _, Sha256, Sha512};

use crate::bytes::{le16_at, le32_at};
use crate::{Fault, FaultKind};

/// What the header of a segment says.
#[derive(Clone, Copy)]
pub(super) struct Segment {
    pub(super) index: u32,
    /// Plaintext bytes with what is wrapped around them.
    pub(super) wrapped_len: usize,
    /// Bytes of its frames, of whichever kind.
    pub(super) frames_len: usize,
    /// The checksum of these.
    pub(super) crc: u32,
    /// Its DATA frames.
    pub(super) frames: usize,
    pub(super) digest: DigestKind,
    pub(super) is_final: bool,
}

/// What the ciphertext of a segment is digested with, without a key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum DigestKind {
    Sha256,
    Sha512,
    Blake3,
}

impl Segment {
    /// Parses the header at the beginning of `bytes`, in a stream of chunks of `chunk_len`.
    pub(super) fn parse(bytes: &[u8], chunk_len: usize, due: u64) -> Result<Segment, Fault> {
        let damaged = |what: &str| Fault::damaged(what).in_chunk(due);
        let header = bytes.first_chunk::<SEGMENT_LEN>();
        let bytes = header.ok_or_else(|| Fault::truncated("the stream ends in the header of a segment"))?;
        if crc32fast::hash(&bytes[..CRC_OF_HEADER_AT]) != le32_at(bytes, CRC_OF_HEADER_AT) {
            return Err(damaged("the checksum of a segment's header is wrong"));
        }
        let digest = DigestKind::parse(le16_at(bytes, DIGEST_AT), due)?;
        let flags = le16_at(bytes, FLAGS_AT);
        if flags & !IS_FINAL != 0 {
            let what = format!("a segment has the flags {flags:#x}, which are not all known");
            return Err(Fault::new(FaultKind::Unsupported, what).in_chunk(due));
        }
        let segment = Segment {
            index: le32_at(bytes, 0),
            wrapped_len: le32_at(bytes, WRAPPED_LEN_AT) as usize,
            frames_len: le32_at(bytes, FRAMES_LEN_AT) as usize,
            crc: le32_at(bytes, CRC_OF_FRAMES_AT),
            frames: le32_at(bytes, FRAMES_AT) as usize,
            digest,
            is_final: flags & IS_FINAL != 0,
        };
        segment.check(chunk_len).map(|()| segment).map_err(damaged)
    }

    /// That its lengths go together, and are within what its stream can have.
    fn check(&self, chunk_len: usize) -> Result<(), &'static str> {
        if self.frames == 0 {
            let is_empty = self.wrapped_len == 0 && self.frames_len == 0 && self.crc == 0;
            return if is_empty && self.is_final {
                Ok(())
            } else {
                Err("a segment has no frame, and is not the final one")
            };
        }
        let is_possible = (WRAPPING_LEN + 1..=chunk_len + WRAPPING_LEN).contains(&self.wrapped_len)
            && self.frames <= frames_max(self.wrapped_len)
            && self.frames_len == frames_len(self.wrapped_len, self.frames, self.digest);
        if is_possible { Ok(()) } else { Err("a segment says that it has an impossible length") }
    }

    /// Its plaintext bytes.
    pub(super) fn plaintext_len(&self) -> usize {
        self.wrapped_len.saturating_sub(WRAPPING_LEN)
    }
}

impl DigestKind {
    fn parse(number: u16, due: u64) -> Result<DigestKind, Fault> {
        match number {
            SHA256 => Ok(DigestKind::Sha256),
            SHA512 => Ok(DigestKind::Sha512),
            BLAKE3 => Ok(DigestKind::Blake3),
            other => {
                let what =
                    format!("a segment has the digest {other:#x}: SHA-256, SHA-512 and BLAKE3 are read");
                Err(Fault::new(FaultKind::Unsupported, what).in_chunk(due))
            }
        }
    }

    /// Its number in the format.
    pub(super) fn number(self) -> u16 {
        match self {
            DigestKind::Sha256 => SHA256,
            DigestKind::Sha512 => SHA512,
            DigestKind::Blake3 => BLAKE3,
        }
    }

    /// Its bytes.
    pub(super) fn len(self) -> usize {
        if self == DigestKind::Sha512 { DIGEST_LEN_MAX } else { 32 }
    }

    /// The digest of all `parts`.
    pub(super) fn of<'a>(self, parts: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
        match self {
            DigestKind::Sha256 => {
                parts.fold(Sha256::new(), |hasher, part| hasher.chain_update(part)).finalize().to_vec()
            }
            DigestKind::Sha512 => {
                parts.fold(Sha512::new(), |hasher, part| hasher.chain_update(part)).finalize().to_vec()
            }
            DigestKind::Blake3 => {
                let mut hasher = blake3::Hasher::new();
                parts.for_each(|part| {
                    hasher.update(part);
                });
                hasher.finalize().as_bytes().to_vec()
            }
        }
    }
}

/// Bytes of all frames of a segment: DATA, the digest with its kind and length, the terminator.
fn frames_len(wrapped_len: usize, frames: usize, digest: DigestKind) -> usize {
    wrapped_len + frames * (FRAME_LEN + TAG_LEN) + FRAME_LEN + DIGEST_HEAD_LEN + digest.len() + FRAME_LEN
}

/// The most bytes that the frames of such a segment have.
pub(super) fn frames_len_max(wrapped_len: usize) -> usize {
    frames_len(wrapped_len, frames_max(wrapped_len), DigestKind::Sha512)
}

/// The library halves a chunk of 16 KiB, and cuts longer ones into more; nobody needs frames as short as these.
fn frames_max(wrapped_len: usize) -> usize {
    wrapped_len.div_ceil(FRAME_PLAINTEXT_MIN) + 1
}

/// Bytes of a segment's header.
pub(super) const SEGMENT_LEN: usize = 28;
const WRAPPED_LEN_AT: usize = 4;
const FRAMES_LEN_AT: usize = 8;
const CRC_OF_FRAMES_AT: usize = 12;
const FRAMES_AT: usize = 16;
const DIGEST_AT: usize = 20;
const FLAGS_AT: usize = 22;
const CRC_OF_HEADER_AT: usize = 24;
const IS_FINAL: u16 = 1;

/// What is wrapped around the plaintext of a segment: its length before, its checksum behind.
pub(super) const WRAPPING_LEN: usize = 8;
/// Bytes of a frame's header.
pub(super) const FRAME_LEN: usize = 22;
pub(super) const TAG_LEN: usize = 16;
/// What stands before a digest: its kind and its length.
pub(super) const DIGEST_HEAD_LEN: usize = 4;
const FRAME_PLAINTEXT_MIN: usize = 1024;
const DIGEST_LEN_MAX: usize = 64;
const SHA256: u16 = 0x0002;
const SHA512: u16 = 0x0004;
const BLAKE3: u16 = 0x0201;
