//! The frame worker: seals and opens the frames of one segment.
//! It keeps nothing between frames, so that any thread may do any frame, and knows no order.

use framing::limits::{FRAME_HEADER_LEN, FRAME_OVERHEAD, TAG_LEN};
use framing::{DigestKind, FrameHeader, FrameIndex, FrameKind, Shape, Suite, split_frames};
use zeroize::Zeroize;

use crate::cipher::NONCE_LEN;
use crate::{Backend, Cipher, Fragment, FrameError};

/// Seals and opens the frames of one segment, under that segment's key.
pub struct FrameWorker {
    sight: KeyMode,
    digest: DigestKind,
    shape: Shape,
}

/// Whether a worker can look into frames, or only at them.
enum KeyMode {
    Keyed { cipher: Cipher, base_nonce: [u8; NONCE_LEN] },
    Keyless,
}

/// A DATA frame that has been sealed or opened: all that its segment needs to know of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenedFrame {
    /// Its place in the segment.
    pub index: FrameIndex,
    /// Bytes of plaintext.
    pub plaintext_len: u32,
    /// What it adds to the segment's digest.
    pub fragment: Fragment,
}

impl FrameWorker {
    /// A worker for the segment whose key and base nonce these are (FORMAT F10.4).
    pub fn new(
        backend: Backend,
        suite: Suite,
        digest: DigestKind,
        shape: Shape,
        key: &[u8; 32],
        base_nonce: &[u8; NONCE_LEN],
    ) -> FrameWorker {
        let sight = KeyMode::Keyed { cipher: Cipher::new(backend, suite, key), base_nonce: *base_nonce };
        FrameWorker { sight, digest, shape }
    }

    /// A worker that has no key: it checks structure and makes fragments, and yields no plaintext. There is none for
    /// tags, which mean nothing without the key.
    pub fn keyless(digest: DigestKind, shape: Shape) -> Option<FrameWorker> {
        (digest != DigestKind::Tags).then_some(FrameWorker { sight: KeyMode::Keyless, digest, shape })
    }

    /// Seals `plaintext` as frame `index` into `frame`, which is [`FRAME_OVERHEAD`] bytes longer. Once for each
    /// index: the nonce follows from it.
    pub fn seal(&self, index: FrameIndex, plaintext: &[u8], frame: &mut [u8]) -> OpenedFrame {
        assert_eq!(frame.len(), plaintext.len() + FRAME_OVERHEAD, "a frame has room for header and tag");
        assert!(
            (1..=self.shape.frame_len() as usize).contains(&plaintext.len()),
            "a frame is neither empty nor over-long"
        );
        let plaintext_len = plaintext.len() as u32;
        let (header, body) = frame.split_at_mut(FRAME_HEADER_LEN);
        header.copy_from_slice(&FrameHeader::data(index, plaintext_len).to_bytes());
        let (text, tag) = body.split_at_mut(plaintext.len());
        tag.copy_from_slice(&self.cipher().seal(self.nonce(FrameKind::Data, index), header, plaintext, text));
        OpenedFrame { index, plaintext_len, fragment: Fragment::new(self.digest, header, body) }
    }

    /// Opens `frame`, which has to be DATA frame `due`, into the first bytes of `plaintext`.
    ///
    /// A keyless worker writes nothing. After an error `plaintext` holds nothing of use.
    pub fn open(
        &self,
        due: FrameIndex,
        frame: &[u8],
        plaintext: &mut [u8],
    ) -> Result<OpenedFrame, FrameError> {
        let parsed = FrameHeader::parse(frame, self.shape)?;
        if parsed.kind != FrameKind::Data || parsed.index != due || parsed.frame_len() != frame.len() {
            return Err(FrameError::NotDue { due });
        }
        let (header, body) = frame.split_at(FRAME_HEADER_LEN);
        // Hashed first: that brings the frame into the cache, which a cipher waits for more than a hash does.
        let fragment = Fragment::new(self.digest, header, body);
        if let KeyMode::Keyed { cipher, .. } = &self.sight {
            let forged = FrameError::Authentication { frame: due };
            let Some((text, tag)) = body.split_last_chunk::<TAG_LEN>() else { return Err(forged) };
            let Some(out) = plaintext.get_mut(..text.len()) else { return Err(FrameError::NotDue { due }) };
            cipher.open(self.nonce(FrameKind::Data, due), header, text, tag, out).map_err(|_| forged)?;
        }
        Ok(OpenedFrame { index: due, plaintext_len: parsed.plaintext_len, fragment })
    }

    /// Seals `plaintext` as consecutive frames from `first` on, full but for the last, into `wire`, whose length is
    /// [`FrameWorker::run_wire_len`].
    pub fn seal_run(&self, first: FrameIndex, plaintext: &[u8], wire: &mut [u8]) -> Vec<OpenedFrame> {
        let frame_len = self.shape.frame_len() as usize;
        let texts = plaintext.chunks(frame_len);
        let frames = wire.chunks_mut(frame_len + FRAME_OVERHEAD);
        (first.0..)
            .zip(texts.zip(frames))
            .map(|(index, (text, frame))| self.seal(FrameIndex(index), text, frame))
            .collect()
    }

    /// Opens the consecutive DATA frames in `wire`, the first of which has to be `first`, one behind the other into
    /// `plaintext`.
    pub fn open_run(
        &self,
        first: FrameIndex,
        wire: &[u8],
        plaintext: &mut [u8],
    ) -> Result<Vec<OpenedFrame>, FrameError> {
        let frames = split_frames(wire, self.shape)?;
        let mut opened = Vec::with_capacity(frames.len());
        let mut rest = plaintext;
        for (due, frame) in (first.0..).zip(frames) {
            let frame = self.open(FrameIndex(due), &wire[frame], rest)?;
            if self.yields_plaintext() {
                rest = &mut rest[frame.plaintext_len as usize..];
            }
            opened.push(frame);
        }
        Ok(opened)
    }

    /// Bytes on the wire of `plaintext_len` bytes in frames that are full but for the last.
    pub fn run_wire_len(shape: Shape, plaintext_len: usize) -> usize {
        plaintext_len + plaintext_len.div_ceil(shape.frame_len() as usize) * FRAME_OVERHEAD
    }

    /// Whether it has a key.
    pub fn yields_plaintext(&self) -> bool {
        matches!(self.sight, KeyMode::Keyed { .. })
    }

    /// How the stream is cut.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    pub(crate) fn digest_kind(&self) -> DigestKind {
        self.digest
    }

    pub(crate) fn keyed_cipher(&self) -> Option<&Cipher> {
        match &self.sight {
            KeyMode::Keyed { cipher, .. } => Some(cipher),
            KeyMode::Keyless => None,
        }
    }

    /// For sealing, which a keyless worker is never asked for.
    pub(crate) fn cipher(&self) -> &Cipher {
        self.keyed_cipher().expect("only a worker with a key seals")
    }

    /// The base nonce with the frame's kind and index in it: unique for each frame under one segment key (FORMAT F8.1).
    pub(crate) fn nonce(&self, kind: FrameKind, index: FrameIndex) -> [u8; NONCE_LEN] {
        let KeyMode::Keyed { base_nonce, .. } = &self.sight else { return [0; NONCE_LEN] };
        let mut nonce = *base_nonce;
        nonce[7] ^= kind as u8;
        for (byte, part) in nonce[8..].iter_mut().zip(index.0.to_le_bytes()) {
            *byte ^= part;
        }
        nonce
    }
}

impl Drop for FrameWorker {
    fn drop(&mut self) {
        if let KeyMode::Keyed { base_nonce, .. } = &mut self.sight {
            base_nonce.zeroize();
        }
    }
}

#[cfg(test)]
#[cfg(all(feature = "fast", feature = "portable"))]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::{ChainValue, ClosingFields};

    fn worker(backend: Backend, suite: Suite, digest: DigestKind) -> FrameWorker {
        FrameWorker::new(backend, suite, digest, Shape::new(4096, 8).unwrap(), &[3; 32], &[9; 12])
    }

    fn kinds() -> impl Iterator<Item = (Suite, DigestKind)> {
        [Suite::Aes256Gcm, Suite::ChaCha20Poly1305].into_iter().flat_map(|suite| {
            [DigestKind::Blake3, DigestKind::Sha256, DigestKind::Tags].map(|digest| (suite, digest))
        })
    }

    #[test]
    fn runs_of_either_backend_are_the_same_bytes_and_open_with_the_other() {
        for (suite, digest) in kinds() {
            let (fast, portable) =
                (worker(Backend::Fast, suite, digest), worker(Backend::Portable, suite, digest));
            for len in [1, 4095, 4096, 4097, 3 * 4096] {
                let mut plaintext = vec![0; len];
                getrandom::fill(&mut plaintext).unwrap();
                let mut wires = [&fast, &portable].map(|worker| {
                    let mut wire = vec![0; FrameWorker::run_wire_len(worker.shape(), len)];
                    (worker.seal_run(FrameIndex(2), &plaintext, &mut wire), wire)
                });
                assert_eq!(wires[0], wires[1]);
                let (sealed, wire) = &mut wires[0];
                let mut out = vec![0; len];
                assert_eq!(portable.open_run(FrameIndex(2), wire, &mut out).as_ref(), Ok(&*sealed));
                assert_eq!(out, plaintext);
            }
        }
    }

    #[test]
    fn a_frame_opens_at_its_own_place_only() {
        let worker = worker(Backend::Fast, Suite::Aes256Gcm, DigestKind::Blake3);
        let mut frame = vec![0; 10 + FRAME_OVERHEAD];
        worker.seal(FrameIndex(1), &[5; 10], &mut frame);
        let mut out = [0; 10];
        assert_eq!(
            worker.open(FrameIndex(0), &frame, &mut out),
            Err(FrameError::NotDue { due: FrameIndex(0) })
        );
        frame[4] = 0;
        assert_eq!(
            worker.open(FrameIndex(0), &frame, &mut out),
            Err(FrameError::Authentication { frame: FrameIndex(0) })
        );
    }

    #[test]
    fn every_flipped_bit_of_a_frame_is_refused() {
        for (suite, digest) in kinds() {
            let worker = worker(Backend::Fast, suite, digest);
            let mut frame = vec![0; 33 + FRAME_OVERHEAD];
            worker.seal(FrameIndex(0), &[5; 33], &mut frame);
            for bit in 0..frame.len() * 8 {
                frame[bit / 8] ^= 1 << (bit % 8);
                assert!(worker.open(FrameIndex(0), &frame, &mut [0; 4096]).is_err(), "bit {bit}");
                frame[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }

    #[test]
    fn a_keyless_worker_makes_the_same_fragments_and_no_plaintext() {
        let keyed = worker(Backend::Fast, Suite::Aes256Gcm, DigestKind::Sha256);
        let keyless = FrameWorker::keyless(DigestKind::Sha256, keyed.shape()).unwrap();
        let mut wire = vec![0; FrameWorker::run_wire_len(keyed.shape(), 5000)];
        let sealed = keyed.seal_run(FrameIndex(0), &[1; 5000], &mut wire);
        assert_eq!(keyless.open_run(FrameIndex(0), &wire, &mut []), Ok(sealed));
        assert!(FrameWorker::keyless(DigestKind::Tags, keyed.shape()).is_none());
    }

    #[test]
    fn every_flipped_bit_of_the_closing_frames_is_refused() {
        let worker = worker(Backend::Fast, Suite::Aes256Gcm, DigestKind::Blake3);
        let fields = ClosingFields {
            frame_count: 2,
            plaintext_len: 5000,
            digest: [1; 32],
            last: true,
            chain_before: ChainValue([2; 32]),
        };
        let mut closing = worker.seal_closing(&fields);
        assert_eq!(worker.open_closing(&closing).unwrap().fields, fields);
        for bit in 0..closing.len() * 8 {
            closing[bit / 8] ^= 1 << (bit % 8);
            assert!(worker.open_closing(&closing).is_err(), "bit {bit}");
            closing[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn nonces_of_all_kinds_and_indices_of_a_segment_differ() {
        let worker = worker(Backend::Fast, Suite::Aes256Gcm, DigestKind::Blake3);
        let frames = framing::limits::FRAMES_PER_SEGMENT_MAX;
        let mut seen = HashSet::new();
        for kind in [FrameKind::Data, FrameKind::Digest, FrameKind::Terminator] {
            for index in 0..frames + 2 {
                assert!(seen.insert(worker.nonce(kind, FrameIndex(index))), "{kind:?} {index}");
            }
        }
        assert_eq!(seen.len(), 3 * (frames as usize + 2));
    }
}
