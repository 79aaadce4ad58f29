//! The frame worker: seals and opens the frames of one segment.
//! It keeps nothing between frames, so that any thread may do any frame, and knows no order.

use framing::limits::{FRAME_HEADER_LEN, FRAME_OVERHEAD, TAG_LEN};
use framing::{DigestKind, Fault, FrameHeader, FrameIndex, FrameKind, FramingError, Record, Shape, Suite};
use zeroize::Zeroize;

use crate::cipher::NONCE_LEN;
use crate::{Backend, Cipher, Fragment, FrameError};

/// Seals and opens the frames of one segment, under that segment's key.
pub struct FrameWorker {
    key_mode: KeyMode,
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
        let key_mode = KeyMode::Keyed { cipher: Cipher::new(backend, suite, key), base_nonce: *base_nonce };
        FrameWorker { key_mode, digest, shape }
    }

    /// A worker that has no key: it checks structure and makes fragments, and yields no plaintext. There is none for
    /// tags, which mean nothing without the key.
    pub fn keyless(digest: DigestKind, shape: Shape) -> Option<FrameWorker> {
        (digest != DigestKind::Tags).then_some(FrameWorker { key_mode: KeyMode::Keyless, digest, shape })
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
        let plaintext_len = self.plaintext_len(due, frame)?;
        self.open_whole(due, plaintext_len, frame, plaintext)
    }

    /// Opens a `frame` whose header has been found to be that of DATA frame `due`, of `plaintext_len` bytes.
    fn open_whole(
        &self,
        due: FrameIndex,
        plaintext_len: u32,
        frame: &[u8],
        plaintext: &mut [u8],
    ) -> Result<OpenedFrame, FrameError> {
        let (header, body) = frame.split_at(FRAME_HEADER_LEN);
        // Hashed first: that brings the frame into the cache, which a cipher waits for more than a hash does.
        let fragment = Fragment::new(self.digest, header, body);
        if let KeyMode::Keyed { cipher, .. } = &self.key_mode {
            let forged = FrameError::Authentication { frame: due };
            let Some((text, tag)) = body.split_last_chunk::<TAG_LEN>() else { return Err(forged) };
            let Some(out) = plaintext.get_mut(..text.len()) else { return Err(FrameError::NotDue { due }) };
            cipher.open(self.nonce(FrameKind::Data, due), header, text, tag, out).map_err(|_| forged)?;
        }
        Ok(OpenedFrame { index: due, plaintext_len, fragment })
    }

    /// Plaintext bytes of `frame`, which has to be DATA frame `due`, all of it and nothing else.
    ///
    /// A header says nothing that is not known here, so it is compared with the only right one. Another one is parsed
    /// to say what is wrong with it.
    fn plaintext_len(&self, due: FrameIndex, frame: &[u8]) -> Result<u32, FrameError> {
        if let Some(plaintext_len) = self.is_due(due, frame) {
            return Ok(plaintext_len);
        }
        FrameHeader::parse(frame, self.shape)?;
        Err(FrameError::NotDue { due })
    }

    /// Plaintext bytes of `frame`, if its length is one that a frame may have and its header is that of DATA frame `due`
    /// of this length.
    fn is_due(&self, due: FrameIndex, frame: &[u8]) -> Option<u32> {
        let (shape, plaintext_len) = (self.shape, frame.len().checked_sub(FRAME_OVERHEAD)?);
        let fits =
            (1..=shape.frame_len() as usize).contains(&plaintext_len) && due.0 < shape.frames_per_segment();
        let plaintext_len = plaintext_len as u32;
        (fits && frame.starts_with(&FrameHeader::data(due, plaintext_len).to_bytes()))
            .then_some(plaintext_len)
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
        let mut opened = Vec::with_capacity(wire.len().div_ceil(self.shape.frame_wire_len() as usize));
        let (mut rest, mut at, mut due) = (plaintext, 0, first);
        while at < wire.len() {
            let (frame, plaintext_len) = self.next_frame(due, &wire[at..], at as u64)?;
            let frame_opened = self.open_whole(due, plaintext_len, frame, rest)?;
            if self.yields_plaintext() {
                rest = &mut rest[plaintext_len as usize..];
            }
            opened.push(frame_opened);
            at += frame.len();
            due.0 = due.0.saturating_add(1);
        }
        Ok(opened)
    }

    /// The frame that the `rest` of a run, which lies `at` bytes from its beginning, begins with, and its plaintext bytes.
    /// All frames of a segment are full but the last, so it ends where a full one does, or with the run. One that does not
    /// is cut as its header says.
    fn next_frame<'w>(
        &self,
        due: FrameIndex,
        rest: &'w [u8],
        at: u64,
    ) -> Result<(&'w [u8], u32), FrameError> {
        let full = &rest[..rest.len().min(self.shape.frame_wire_len() as usize)];
        if let Some(plaintext_len) = self.is_due(due, full) {
            return Ok((full, plaintext_len));
        }
        let header = FrameHeader::parse(rest, self.shape).map_err(|error| error.moved(at))?;
        let Some(frame) = rest.get(..header.frame_len()) else {
            let problem = "is cut short";
            let error = FramingError { fault: Fault::Truncated, record: Record::Frame, offset: at, problem };
            return Err(error.into());
        };
        Ok((frame, self.plaintext_len(due, frame)?))
    }

    /// Bytes on the wire of `plaintext_len` bytes in frames that are full but for the last.
    pub fn run_wire_len(shape: Shape, plaintext_len: usize) -> usize {
        plaintext_len + plaintext_len.div_ceil(shape.frame_len() as usize) * FRAME_OVERHEAD
    }

    /// Whether it has a key.
    pub fn yields_plaintext(&self) -> bool {
        matches!(self.key_mode, KeyMode::Keyed { .. })
    }

    /// How the stream is cut.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    pub(crate) fn digest_kind(&self) -> DigestKind {
        self.digest
    }

    pub(crate) fn keyed_cipher(&self) -> Option<&Cipher> {
        match &self.key_mode {
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
        let KeyMode::Keyed { base_nonce, .. } = &self.key_mode else { return [0; NONCE_LEN] };
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
        if let KeyMode::Keyed { base_nonce, .. } = &mut self.key_mode {
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

    /// Frames of these lengths, one behind the other, from index 2 on.
    fn run_of(worker: &FrameWorker, lens: &[usize]) -> (Vec<u8>, Vec<OpenedFrame>) {
        let mut wire = Vec::new();
        let frames = (2..).zip(lens).map(|(index, len)| {
            let at = wire.len();
            wire.resize(at + len + FRAME_OVERHEAD, 0);
            worker.seal(FrameIndex(index), &vec![index as u8; *len], &mut wire[at..])
        });
        let frames = frames.collect();
        (wire, frames)
    }

    #[test]
    fn a_run_is_cut_into_full_frames_and_where_it_is_none_as_its_headers_say() {
        let worker = worker(Backend::Fast, Suite::Aes256Gcm, DigestKind::Blake3);
        for lens in
            [&[][..], &[1], &[4096], &[4096, 1], &[4096, 4096], &[1, 4096], &[7, 7, 7], &[4095, 4096, 9]]
        {
            let (wire, frames) = run_of(&worker, lens);
            let mut out = vec![0; lens.iter().sum()];
            assert_eq!(worker.open_run(FrameIndex(2), &wire, &mut out), Ok(frames), "{lens:?}");
        }
    }

    #[test]
    fn a_wrong_header_in_a_run_says_what_is_wrong_with_it_and_where_it_lies() {
        let worker = worker(Backend::Fast, Suite::Aes256Gcm, DigestKind::Blake3);
        let (wire, _) = run_of(&worker, &[4096, 4096, 100]);
        let not_due = |due| FrameError::NotDue { due: FrameIndex(due) };
        let problem = |error: FrameError| match error {
            FrameError::Framing(error) => (error.problem, error.offset),
            error => panic!("{error:?}"),
        };
        for (frame, at) in (2..).zip([0, 4128, 8256]) {
            let damaged = |byte: usize, bits: u8| {
                let mut wire = wire.clone();
                wire[at + byte] ^= bits;
                worker.open_run(FrameIndex(2), &wire, &mut [0; 3 * 4096]).unwrap_err()
            };
            assert_eq!(problem(damaged(0, 0x80)), ("is of an unknown kind", at as u64));
            assert_eq!(problem(damaged(1, 1)), ("has a flag that this stream does not allow", at as u64));
            assert_eq!(damaged(4, 1), not_due(frame), "another index within the segment");
            assert_eq!(problem(damaged(5, 1)), ("has an index beyond its segment", at as u64));
            assert_eq!(problem(damaged(12, 1)).1, at as u64, "a body length that does not follow");
        }
        for cut in [8257, 8300, 8387] {
            let error = worker.open_run(FrameIndex(2), &wire[..cut], &mut [0; 3 * 4096]).unwrap_err();
            assert_eq!(problem(error), ("is cut short", 8256), "{cut}");
        }
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
