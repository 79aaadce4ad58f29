//! The preamble: what a stream is made of, fixed when it is sealed (FORMAT §4).
//! It knows no key: salt and commitment are bytes to it.

use std::fmt;
use std::str::FromStr;

use crate::field::{array, exact, put, u16_at, u32_at, zeros};
use crate::limits::{
    FRAME_LEN_MAX, FRAME_LEN_MIN, KEY_COPY_LEN_MAX, KEY_COPY_UNIT, PREAMBLE_BLOCK_LEN, PREAMBLE_LEN,
    SEGMENT_LEN_MAX,
};
use crate::{Fault, FramingError, ParseHexError, Record, parse_hex, write_hex};

/// The AEAD of all frames of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Suite {
    /// AES-256-GCM, RFC 5116.
    Aes256Gcm,
    /// ChaCha20-Poly1305, RFC 8439.
    ChaCha20Poly1305,
}

/// What a segment's digest is made with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DigestKind {
    /// BLAKE3 over frame headers and ciphertext.
    Blake3,
    /// SHA-256 over the same.
    Sha256,
    /// The AEAD tags themselves: no hashing, and nothing to check without the key.
    Tags,
}

/// What is done to the plaintext of a frame before it is encrypted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compression {
    /// Nothing.
    None,
    /// Zstandard, RFC 8878, frame by frame and where it pays.
    Zstd,
}

/// The 16 random bytes that name a stream. As text they are 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct StreamId(
    /// The bytes, as the preamble has them.
    pub [u8; 16],
);

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl FromStr for StreamId {
    type Err = ParseHexError;

    fn from_str(text: &str) -> Result<StreamId, ParseHexError> {
        parse_hex(text).map(StreamId)
    }
}

/// How plaintext becomes frames: bytes per frame, frames per segment, and whether frames may be compressed. Within the
/// limits by construction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    frame_len: u32,
    frames_per_segment: u32,
    compression: Compression,
}

impl Shape {
    /// An uncompressed shape. Checks both against FORMAT §2: `frame_len` a multiple of 4 KiB up to 4 MiB, a segment at most 1 GiB.
    pub fn new(frame_len: u32, frames_per_segment: u32) -> Result<Shape, FramingError> {
        if !(FRAME_LEN_MIN..=FRAME_LEN_MAX).contains(&frame_len) {
            return Err(FramingError::limit(Record::Preamble, "has a frame length outside 4 KiB to 4 MiB"));
        }
        if !frame_len.is_multiple_of(FRAME_LEN_MIN) {
            return Err(FramingError::damaged(
                Record::Preamble,
                "has a frame length that is no multiple of 4 KiB",
            ));
        }
        if frames_per_segment == 0 {
            return Err(FramingError::damaged(Record::Preamble, "has no frames in a segment"));
        }
        if u64::from(frame_len) * u64::from(frames_per_segment) > SEGMENT_LEN_MAX {
            return Err(FramingError::limit(Record::Preamble, "has segments longer than 1 GiB"));
        }
        Ok(Shape { frame_len, frames_per_segment, compression: Compression::None })
    }

    /// The same cut, with frames that are compressed or not.
    pub fn with_compression(self, compression: Compression) -> Shape {
        Shape { compression, ..self }
    }

    /// Whether frames may be compressed.
    pub fn compression(self) -> Compression {
        self.compression
    }

    /// Whether segments have what compressed streams alone have: a TABLE and a plaintext digest.
    pub fn is_compressed(self) -> bool {
        self.compression != Compression::None
    }

    /// Plaintext bytes of a full frame.
    pub fn frame_len(self) -> u32 {
        self.frame_len
    }

    /// DATA frames of a full segment.
    pub fn frames_per_segment(self) -> u32 {
        self.frames_per_segment
    }

    /// Plaintext bytes of a full segment.
    pub fn segment_len(self) -> u64 {
        u64::from(self.frame_len) * u64::from(self.frames_per_segment)
    }
}

/// The first record of a stream. All of it but `key_copy_len` is bound into every key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Preamble {
    /// The AEAD.
    pub suite: Suite,
    /// The digest.
    pub digest: DigestKind,
    /// Frame and segment length.
    pub shape: Shape,
    /// Names the stream.
    pub stream_id: StreamId,
    /// Salt of the key schedule.
    pub salt: [u8; 32],
    /// Commits to the stream key.
    pub commitment: [u8; 32],
    /// Bytes of one key copy.
    pub key_copy_len: u32,
}

impl Preamble {
    /// The fields, without the padding to a block.
    pub fn to_bytes(&self) -> [u8; PREAMBLE_LEN] {
        let mut bytes = [0; PREAMBLE_LEN];
        put(&mut bytes, 0, &MAGIC);
        put(&mut bytes, 8, &VERSION.to_le_bytes());
        bytes[10] = self.suite as u8 + 1;
        bytes[11] = self.digest as u8 + 1;
        put(&mut bytes, 12, &flags(self.shape.compression).to_le_bytes());
        put(&mut bytes, 16, &self.shape.frame_len.to_le_bytes());
        put(&mut bytes, 20, &self.shape.frames_per_segment.to_le_bytes());
        put(&mut bytes, 32, &self.stream_id.0);
        put(&mut bytes, 48, &self.salt);
        put(&mut bytes, 80, &self.commitment);
        put(&mut bytes, 112, &self.key_copy_len.to_le_bytes());
        bytes
    }

    /// Parses a whole preamble block. A file of something else is told apart from a stream that ends early, by its
    /// first byte if need be.
    pub fn parse(block: &[u8]) -> Result<Preamble, FramingError> {
        let begin = block.len().min(MAGIC.len());
        if block[..begin] != MAGIC[..begin] {
            return Err(FramingError::new(
                Fault::NotAStream,
                Record::Preamble,
                "is not a Cofferdam stream's",
            ));
        }
        let block: &[u8; PREAMBLE_BLOCK_LEN] = exact(block, Record::Preamble)?;
        if u16_at(block, 8) != VERSION {
            return Err(unsupported("has a version that this release does not know"));
        }
        let suite = match block[10] {
            1 => Suite::Aes256Gcm,
            2 => Suite::ChaCha20Poly1305,
            _ => return Err(unsupported("has a cipher suite that this release does not know")),
        };
        let digest = match block[11] {
            1 => DigestKind::Blake3,
            2 => DigestKind::Sha256,
            3 => DigestKind::Tags,
            _ => return Err(unsupported("has a digest that this release does not know")),
        };
        let compression = match u32_at(block, 12) {
            0 => Compression::None,
            FLAG_ZSTD => Compression::Zstd,
            _ => return Err(unsupported("asks for a feature that this release does not have")),
        };
        let shape = Shape::new(u32_at(block, 16), u32_at(block, 20))?.with_compression(compression);
        let key_copy_len = parse_key_copy_len(u32_at(block, 112))?;
        zeros(&block[24..32], Record::Preamble)?;
        zeros(&block[116..], Record::Preamble)?;
        Ok(Preamble {
            suite,
            digest,
            shape,
            stream_id: StreamId(array(block, 32)),
            salt: array(block, 48),
            commitment: array(block, 80),
            key_copy_len,
        })
    }
}

fn parse_key_copy_len(len: u32) -> Result<u32, FramingError> {
    const UNIT: u32 = KEY_COPY_UNIT as u32;
    const MAX: u32 = KEY_COPY_LEN_MAX as u32;
    if len == 0 || !len.is_multiple_of(UNIT) {
        return Err(damaged("has a key copy length that is no multiple of 4 KiB"));
    }
    if len > MAX {
        return Err(FramingError::limit(Record::Preamble, "has key copies longer than 256 KiB"));
    }
    Ok(len)
}

fn flags(compression: Compression) -> u32 {
    match compression {
        Compression::None => 0,
        Compression::Zstd => FLAG_ZSTD,
    }
}

fn damaged(problem: &'static str) -> FramingError {
    FramingError::damaged(Record::Preamble, problem)
}

fn unsupported(problem: &'static str) -> FramingError {
    FramingError::new(Fault::Unsupported, Record::Preamble, problem)
}

/// PNG's idea: a high bit, a carriage return with line feed, an end-of-file and a line feed show a transfer in
/// text mode.
const MAGIC: [u8; 8] = [0x89, b'C', b'F', b'D', 0x0D, 0x0A, 0x1A, 0x0A];
/// The version of the format (FORMAT F4.1) that this crate reads and writes.
pub const VERSION: u16 = 1;
/// The preamble's flag bit 0 (FORMAT F4.5).
const FLAG_ZSTD: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Preamble {
        Preamble {
            suite: Suite::ChaCha20Poly1305,
            digest: DigestKind::Sha256,
            shape: Shape::new(65536, 128).unwrap(),
            stream_id: StreamId([7; 16]),
            salt: [8; 32],
            commitment: [9; 32],
            key_copy_len: 8192,
        }
    }

    fn block(preamble: &Preamble) -> Vec<u8> {
        let mut block = preamble.to_bytes().to_vec();
        block.resize(PREAMBLE_BLOCK_LEN, 0);
        block
    }

    #[test]
    fn the_bytes_are_those_of_the_format_table() {
        let bytes = sample().to_bytes();
        assert_eq!(&bytes[..16], b"\x89CFD\r\n\x1a\n\x01\x00\x02\x02\x00\x00\x00\x00");
        assert_eq!(&bytes[16..24], [0, 0, 1, 0, 128, 0, 0, 0]);
        assert_eq!(&bytes[112..116], [0, 0x20, 0, 0]);
    }

    #[test]
    fn what_was_written_is_read() {
        assert_eq!(Preamble::parse(&block(&sample())), Ok(sample()));
    }

    #[test]
    fn each_malformation_has_its_fault() {
        let cases: [(usize, u8, Fault); 14] = [
            (0, 0x88, Fault::NotAStream),
            (7, 0x0D, Fault::NotAStream),
            (8, 2, Fault::Unsupported),
            (10, 0, Fault::Unsupported),
            (11, 4, Fault::Unsupported),
            (12, 2, Fault::Unsupported),
            (15, 0x80, Fault::Unsupported),
            (18, 0, Fault::Limit),
            (17, 1, Fault::Damaged),
            (19, 1, Fault::Limit),
            (22, 1, Fault::Limit),
            (113, 0, Fault::Damaged),
            (115, 1, Fault::Limit),
            (4095, 1, Fault::Damaged),
        ];
        for (at, value, fault) in cases {
            let mut bytes = block(&sample());
            bytes[at] = value;
            assert_eq!(Preamble::parse(&bytes).unwrap_err().fault, fault, "byte {at}");
        }
    }

    #[test]
    fn a_short_block_is_truncated_and_what_begins_otherwise_is_no_stream() {
        let bytes = block(&sample());
        for len in [0, 1, 7, 8, 9, 4095] {
            assert_eq!(Preamble::parse(&bytes[..len]).unwrap_err().fault, Fault::Truncated, "{len} bytes");
        }
        for other in [&b"P"[..], b"\x89P", b"\x89CFD\r\n\x1a\r", b"PK\x03\x04\x14\0\0\0", &[0; 4096]] {
            assert_eq!(Preamble::parse(other).unwrap_err().fault, Fault::NotAStream, "{other:02x?}");
        }
    }
}
