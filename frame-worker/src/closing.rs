//! The frames that close a segment: DIGEST and TERMINATOR, sealed and opened as one, and the TABLE of a compressed one
//! (FORMAT §8).
//! It says what they claim; whether the segment agrees is the segment worker's to find out.

use framing::limits::{DIGEST_LEN, FRAME_HEADER_LEN, TAG_LEN};
use framing::{DigestFrame, FrameIndex, FrameKind, Table, Terminator};

use crate::{ChainValue, Fragment, FrameError, FrameWorker};

/// What the closing frames of a segment say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClosingFields {
    /// DATA frames of the segment.
    pub frame_count: u32,
    /// Plaintext bytes of the segment.
    pub plaintext_len: u64,
    /// Digest over the frames.
    pub digest: [u8; DIGEST_LEN],
    /// Digest over their plaintext, in compressed streams.
    pub plaintext_digest: Option<[u8; DIGEST_LEN]>,
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
    /// What stands before them in a compressed stream.
    pub table: Option<OpenedTable>,
}

/// The TABLE of a compressed segment: claims about its frames, and what it adds to its digest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenedTable {
    /// `body_len` of each DATA frame, in order.
    pub body_lens: Vec<u32>,
    /// What the segment's digest has of it.
    pub fragment: Fragment,
}

impl FrameWorker {
    /// Seals the closing frames. Once under each attempt salt: the nonces are the segment's own.
    pub fn seal_closing(&self, fields: &ClosingFields) -> Vec<u8> {
        assert_eq!(
            fields.plaintext_digest.is_some(),
            self.shape().is_compressed(),
            "compressed segments have a plaintext digest, and no others have"
        );
        let (digest, terminator) = split(fields);
        let mut bytes = digest.clear_bytes();
        self.add_tag(FrameKind::Digest, FrameIndex(fields.frame_count), 0, &mut bytes);
        let begin = bytes.len();
        bytes.extend(terminator.clear_bytes());
        self.add_tag(FrameKind::Terminator, FrameIndex(fields.frame_count + 1), begin, &mut bytes);
        bytes
    }

    /// Seals the TABLE of a compressed segment whose DATA frames have bodies of `body_lens` bytes; it comes back with its
    /// fragment. Once under each attempt salt.
    pub fn seal_table(&self, body_lens: &[u32]) -> (Vec<u8>, Fragment) {
        let mut bytes = Table { body_lens: body_lens.to_vec() }.clear_bytes();
        self.add_tag(FrameKind::Table, FrameIndex(body_lens.len() as u32), 0, &mut bytes);
        let (header, body) = bytes.split_at(FRAME_HEADER_LEN);
        let fragment = Fragment::new(self.digest_kind(), header, body);
        (bytes, fragment)
    }

    /// Opens the TABLE of a segment of `frame_count` DATA frames: structure, then its tag (a keyless worker leaves that).
    pub fn open_table(&self, bytes: &[u8], frame_count: u32) -> Result<OpenedTable, FrameError> {
        let Table { body_lens } = Table::parse(bytes, frame_count, self.shape())?;
        self.check_tag(FrameKind::Table, FrameIndex(frame_count), bytes)?;
        let (header, body) = bytes.split_at(FRAME_HEADER_LEN);
        Ok(OpenedTable { body_lens, fragment: Fragment::new(self.digest_kind(), header, body) })
    }

    /// The chain value behind closing frames that say `fields`. They are made again to be compared, and are neither stored nor
    /// sent (FORMAT F12.3).
    pub fn chain_after(&self, fields: &ClosingFields) -> ChainValue {
        ChainValue::after(self.digest_kind(), &self.seal_closing(fields))
    }

    /// Opens closing frames: structure, then both tags (a keyless worker leaves those).
    ///
    /// The TABLE of a compressed segment is the caller's to add.
    pub fn open_closing(&self, bytes: &[u8]) -> Result<Closing, FrameError> {
        let digest_len = self.shape().digest_frame_len();
        assert_eq!(bytes.len(), self.shape().closing_len(), "closing frames have one length");
        let (first, second) = bytes.split_at(digest_len);
        let digest = DigestFrame::parse(first, self.shape())?;
        let terminator =
            Terminator::parse(second, self.shape()).map_err(|error| error.moved(digest_len as u64))?;
        if digest.frame_count != terminator.frame_count {
            return Err(FrameError::Closing);
        }
        self.check_tag(FrameKind::Digest, FrameIndex(digest.frame_count), first)?;
        self.check_tag(FrameKind::Terminator, FrameIndex(digest.frame_count + 1), second)?;
        let fields = ClosingFields {
            frame_count: digest.frame_count,
            plaintext_len: terminator.plaintext_len,
            digest: digest.digest,
            plaintext_digest: digest.plaintext_digest,
            last: terminator.last,
            chain_before: ChainValue(terminator.chain_before),
        };
        Ok(Closing { fields, chain_after: ChainValue::after(self.digest_kind(), bytes), table: None })
    }

    /// Adds the tag over all that `bytes` has from `begin` on.
    fn add_tag(&self, kind: FrameKind, index: FrameIndex, begin: usize, bytes: &mut Vec<u8>) {
        let tag = self.cipher().seal(self.nonce(kind, index), &bytes[begin..], &[], &mut []);
        bytes.extend(tag);
    }

    fn check_tag(&self, kind: FrameKind, index: FrameIndex, frame: &[u8]) -> Result<(), FrameError> {
        let Some(cipher) = self.keyed_cipher() else { return Ok(()) };
        let Some((clear, tag)) = frame.split_last_chunk::<TAG_LEN>() else { return Err(FrameError::Closing) };
        let nonce = self.nonce(kind, index);
        cipher.open(nonce, clear, &[], tag, &mut []).map_err(|_| FrameError::Authentication { frame: index })
    }
}

fn split(fields: &ClosingFields) -> (DigestFrame, Terminator) {
    let digest = DigestFrame {
        frame_count: fields.frame_count,
        digest: fields.digest,
        plaintext_digest: fields.plaintext_digest,
    };
    let terminator = Terminator {
        frame_count: fields.frame_count,
        last: fields.last,
        plaintext_len: fields.plaintext_len,
        chain_before: fields.chain_before.0,
    };
    (digest, terminator)
}
