//! The frame worker: seals and opens the frames of one segment.
//! It keeps nothing between frames, so that any thread may do any frame, and knows no order.

use std::sync::Arc;

use framing::limits::{FRAME_HEADER_LEN, FRAME_OVERHEAD, TAG_LEN};
use framing::{
    DigestKind, Encoding, Fault, FrameHeader, FrameIndex, FrameKind, FramingError, Record, Shape, Suite,
};
use zeroize::Zeroize;

use crate::chunks::ChunkRun;
use crate::cipher::NONCE_LEN;
use crate::codec::Decompressed;
use crate::{Backend, Cipher, Codec, Fragment, FrameError, PlaintextFragment};

/// Seals and opens the frames of one segment, under that segment's key.
pub struct FrameWorker {
    pub(crate) key_mode: KeyMode,
    pub(crate) compressed: Option<Compressed>,
    pub(crate) digest: DigestKind,
    pub(crate) shape: Shape,
}

/// What a worker with a key has in a compressed stream.
pub(crate) struct Compressed {
    codec: Arc<Codec>,
    plaintext_key: [u8; 32],
}

/// Whether a worker can look into frames, or only at them; or does the chunks of another format.
pub(crate) enum KeyMode {
    Keyed { cipher: Cipher, base_nonce: [u8; NONCE_LEN] },
    Keyless,
    Chunks(Arc<dyn ChunkRun>),
}

/// A DATA frame that has been sealed or opened: all that its segment needs to know of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenedFrame {
    /// Its place in the segment.
    pub index: FrameIndex,
    /// Bytes of plaintext.
    pub plaintext_len: u32,
    /// Bytes on the wire after its header.
    pub body_len: u32,
    /// What it adds to the segment's digest.
    pub fragment: Fragment,
    /// What it adds to the digest of the segment's plaintext, where there is one.
    pub plaintext: Option<PlaintextFragment>,
}

impl OpenedFrame {
    /// A frame of a stream that is not compressed.
    pub fn plain(index: FrameIndex, plaintext_len: u32, fragment: Fragment) -> OpenedFrame {
        OpenedFrame {
            index,
            plaintext_len,
            body_len: plaintext_len + TAG_LEN as u32,
            fragment,
            plaintext: None,
        }
    }

    /// Bytes on the wire.
    pub fn wire_len(&self) -> usize {
        FRAME_HEADER_LEN + self.body_len as usize
    }
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
        FrameWorker { key_mode, compressed: None, digest, shape }
    }

    /// The same worker in a compressed stream: `plaintext_key` is the stream's, for plaintext digests (FORMAT F10.1).
    pub fn with_codec(mut self, codec: Arc<Codec>, plaintext_key: &[u8; 32]) -> FrameWorker {
        assert!(self.shape.is_compressed(), "other streams compress nothing");
        self.compressed = Some(Compressed { codec, plaintext_key: *plaintext_key });
        self
    }

    /// A worker that has no key: it checks structure and makes fragments, and yields no plaintext. There is none for
    /// tags, which mean nothing without the key.
    pub fn keyless(digest: DigestKind, shape: Shape) -> Option<FrameWorker> {
        (digest != DigestKind::Tags).then_some(FrameWorker {
            key_mode: KeyMode::Keyless,
            compressed: None,
            digest,
            shape,
        })
    }

    /// Seals `plaintext` as frame `index` into the first bytes of `frame`, which is [`FRAME_OVERHEAD`] bytes longer or
    /// more; how many it took is [`OpenedFrame::wire_len`]. Once for each index: the nonce follows from it.
    ///
    /// # Errors
    /// [`FrameError::NoMemory`], in a compressed stream alone.
    pub fn seal(
        &self,
        index: FrameIndex,
        plaintext: &[u8],
        frame: &mut [u8],
    ) -> Result<OpenedFrame, FrameError> {
        assert!(frame.len() >= plaintext.len() + FRAME_OVERHEAD, "a frame has room for header and tag");
        assert!(
            (1..=self.shape.frame_len() as usize).contains(&plaintext.len()),
            "a frame is neither empty nor over-long"
        );
        let plaintext_len = plaintext.len() as u32;
        let Some(Compressed { codec, plaintext_key }) = &self.compressed else {
            assert!(!self.shape.is_compressed(), "in a compressed stream a worker that seals has a codec");
            return Ok(self.seal_text(FrameHeader::data(index, plaintext_len), plaintext, frame));
        };
        let mut sealed = codec.compress(plaintext, |text| match text {
            Some(text) => {
                let header = FrameHeader::compressed(index, plaintext_len, text.len() as u32);
                self.seal_text(header, text, frame)
            }
            None => self.seal_text(FrameHeader::data(index, plaintext_len), plaintext, frame),
        })?;
        sealed.plaintext = Some(PlaintextFragment::new(plaintext_key, index.0, plaintext));
        Ok(sealed)
    }

    /// Seals `text`, which is what `header` says of a plaintext.
    fn seal_text(&self, header: FrameHeader, text: &[u8], frame: &mut [u8]) -> OpenedFrame {
        let FrameHeader { index, plaintext_len, body_len, .. } = header;
        let (head, body) = frame[..header.frame_len()].split_at_mut(FRAME_HEADER_LEN);
        head.copy_from_slice(&header.to_bytes());
        let (ciphertext, tag) = body.split_at_mut(text.len());
        tag.copy_from_slice(&self.cipher().seal(self.nonce(FrameKind::Data, index), head, text, ciphertext));
        let fragment = Fragment::new(self.digest, head, body);
        OpenedFrame { index, plaintext_len, body_len, fragment, plaintext: None }
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
        let header = self.due_header(due, frame)?;
        self.open_whole(header, frame, plaintext)
    }

    /// Opens `frame`, which has to be DATA frame `due`, by itself, into all of `plaintext`: as many bytes as such a frame has
    /// at its place (FORMAT F13.9). Nothing is made for its segment's digest, which nobody compares here. The worker has a
    /// key.
    ///
    /// # Errors
    /// As [`FrameWorker::open`]; [`FrameError::NotDue`] for a frame of another length.
    pub fn open_alone(&self, due: FrameIndex, frame: &[u8], plaintext: &mut [u8]) -> Result<(), FrameError> {
        let header = self.due_header(due, frame)?;
        if header.plaintext_len as usize != plaintext.len() {
            return Err(FrameError::NotDue { due });
        }
        self.open_text(self.cipher(), &header, frame, plaintext)
    }

    /// Opens a `frame` that has been found to be the one that is due, and whose header this is.
    fn open_whole(
        &self,
        parsed: FrameHeader,
        frame: &[u8],
        plaintext: &mut [u8],
    ) -> Result<OpenedFrame, FrameError> {
        // Hashed first: that brings the frame into the cache, which a cipher waits for more than a hash does.
        let (header, body) = frame.split_at(FRAME_HEADER_LEN);
        let fragment = Fragment::new(self.digest, header, body);
        let FrameHeader { index, plaintext_len, body_len, .. } = parsed;
        let mut opened = OpenedFrame { index, plaintext_len, body_len, fragment, plaintext: None };
        if let KeyMode::Keyed { cipher, .. } = &self.key_mode {
            let Some(out) = plaintext.get_mut(..plaintext_len as usize) else {
                return Err(FrameError::NotDue { due: index });
            };
            self.open_text(cipher, &parsed, frame, out)?;
            opened.plaintext = self
                .compressed
                .as_ref()
                .map(|held| PlaintextFragment::new(&held.plaintext_key, index.0, out));
        }
        Ok(opened)
    }

    /// The header of `frame`, which has to be DATA frame `due`, all of it and nothing else.
    ///
    /// Where nothing is compressed a header says nothing that is not known here, so it is compared with the only right one.
    /// Another one is parsed, to find that the frame is compressed, or to say what is wrong.
    fn due_header(&self, due: FrameIndex, frame: &[u8]) -> Result<FrameHeader, FrameError> {
        if let Some(header) = self.plain_header(due, frame) {
            return Ok(header);
        }
        let header = FrameHeader::parse(frame, self.shape)?;
        let is_due =
            (header.kind, header.index) == (FrameKind::Data, due) && header.frame_len() == frame.len();
        if is_due { Ok(header) } else { Err(FrameError::NotDue { due }) }
    }

    /// The header of DATA frame `due`, if it has as many bytes as `frame`, is not compressed, and is what `frame` begins with.
    fn plain_header(&self, due: FrameIndex, frame: &[u8]) -> Option<FrameHeader> {
        let (shape, plaintext_len) = (self.shape, frame.len().checked_sub(FRAME_OVERHEAD)?);
        let fits =
            (1..=shape.frame_len() as usize).contains(&plaintext_len) && due.0 < shape.frames_per_segment();
        let header = fits.then(|| FrameHeader::data(due, plaintext_len as u32))?;
        frame.starts_with(&header.to_bytes()).then_some(header)
    }

    /// Opens the body of `frame` into all of `plaintext`.
    fn open_text(
        &self,
        cipher: &Cipher,
        parsed: &FrameHeader,
        frame: &[u8],
        plaintext: &mut [u8],
    ) -> Result<(), FrameError> {
        let (header, body) = frame.split_at(FRAME_HEADER_LEN);
        let forged = FrameError::Authentication { frame: parsed.index };
        let Some((ciphertext, tag)) = body.split_last_chunk::<TAG_LEN>() else { return Err(forged) };
        let nonce = self.nonce(FrameKind::Data, parsed.index);
        if parsed.encoding == Encoding::Plain {
            return cipher.open(nonce, header, ciphertext, tag, plaintext).map_err(|_| forged);
        }
        let held = self.compressed.as_ref().expect("in a compressed stream a worker with a key has a codec");
        let open = |text: &mut [u8]| cipher.open(nonce, header, ciphertext, tag, text).is_ok();
        match held.codec.decompress(plaintext, ciphertext.len(), open)? {
            Decompressed::Whole => Ok(()),
            Decompressed::NoText => Err(forged),
            Decompressed::Malformed => Err(FrameError::Decompression { frame: parsed.index }),
        }
    }

    /// Hashes `plaintext`, of consecutive frames from `first` on, full but for the last, as sealing it would. So plaintext
    /// of a compressed stream is compared with a digest without compressing it again. What the frames are on the wire is
    /// left zero.
    pub fn hash_run(&self, first: FrameIndex, plaintext: &[u8]) -> Vec<OpenedFrame> {
        let held = self.compressed.as_ref().expect("in a compressed stream a worker with a key has a codec");
        let texts = plaintext.chunks(self.shape.frame_len() as usize);
        let hash = |(index, text): (u32, &[u8])| OpenedFrame {
            index: FrameIndex(index),
            plaintext_len: text.len() as u32,
            body_len: 0,
            fragment: Fragment::from_bytes([0; 32]),
            plaintext: Some(PlaintextFragment::new(&held.plaintext_key, index, text)),
        };
        (first.0..).zip(texts).map(hash).collect()
    }

    /// Seals `plaintext` as consecutive frames from `first` on, full but for the last, one after another into `wire`, whose
    /// length is [`FrameWorker::run_wire_len`]. That many bytes they take, or fewer in a compressed stream.
    ///
    /// # Errors
    /// As [`FrameWorker::seal`].
    pub fn seal_run(
        &self,
        first: FrameIndex,
        plaintext: &[u8],
        wire: &mut [u8],
    ) -> Result<Vec<OpenedFrame>, FrameError> {
        if let KeyMode::Chunks(chunks) = &self.key_mode {
            return Ok(FrameWorker::seal_chunks(&**chunks, plaintext, wire));
        }
        let mut rest = wire;
        let texts = plaintext.chunks(self.shape.frame_len() as usize);
        let seal = |(index, text)| {
            let sealed = self.seal(FrameIndex(index), text, rest)?;
            rest = &mut std::mem::take(&mut rest)[sealed.wire_len()..];
            Ok(sealed)
        };
        (first.0..).zip(texts).map(seal).collect()
    }

    /// Opens the consecutive DATA frames in `wire`, the first of which has to be `first`, one behind the other into
    /// `plaintext`.
    pub fn open_run(
        &self,
        first: FrameIndex,
        wire: &[u8],
        plaintext: &mut [u8],
    ) -> Result<Vec<OpenedFrame>, FrameError> {
        if let KeyMode::Chunks(chunks) = &self.key_mode {
            return FrameWorker::open_chunks(&**chunks, wire, plaintext);
        }
        let mut opened = Vec::with_capacity(wire.len().div_ceil(self.shape.frame_wire_len() as usize));
        let (mut rest, mut at, mut due) = (plaintext, 0, first);
        while at < wire.len() {
            let (frame, header) = self.next_frame(due, &wire[at..], at as u64)?;
            let frame_opened = self.open_whole(header, frame, rest)?;
            if self.yields_plaintext() {
                rest = &mut rest[header.plaintext_len as usize..];
            }
            opened.push(frame_opened);
            at += frame.len();
            due.0 = due.0.saturating_add(1);
        }
        Ok(opened)
    }

    /// The frame that the `rest` of a run, which lies `at` bytes from its beginning, begins with, and its header. All frames of
    /// a segment are full but the last, so one that is not compressed ends where a full one does, or with the run. Any
    /// other is cut as its header says.
    fn next_frame<'w>(
        &self,
        due: FrameIndex,
        rest: &'w [u8],
        at: u64,
    ) -> Result<(&'w [u8], FrameHeader), FrameError> {
        let full = &rest[..rest.len().min(self.shape.frame_wire_len() as usize)];
        if let Some(header) = self.plain_header(due, full) {
            return Ok((full, header));
        }
        let header = FrameHeader::parse(rest, self.shape).map_err(|error| error.moved(at))?;
        let Some(frame) = rest.get(..header.frame_len()) else {
            let problem = "is cut short";
            let error = FramingError { fault: Fault::Truncated, record: Record::Frame, offset: at, problem };
            return Err(error.into());
        };
        Ok((frame, self.due_header(due, frame)?))
    }

    /// Bytes on the wire of `plaintext_len` bytes in frames that are full but for the last; at most, where they are
    /// compressed.
    pub fn run_wire_len(shape: Shape, plaintext_len: usize) -> usize {
        plaintext_len + plaintext_len.div_ceil(shape.frame_len() as usize) * FRAME_OVERHEAD
    }

    /// Whether it has a key.
    pub fn yields_plaintext(&self) -> bool {
        !matches!(self.key_mode, KeyMode::Keyless)
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
            KeyMode::Keyless | KeyMode::Chunks(_) => None,
        }
    }

    /// For what a keyless worker is never asked for: sealing, and plaintext of a single frame.
    pub(crate) fn cipher(&self) -> &Cipher {
        self.keyed_cipher().expect("only a worker with a key is asked for this")
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
        if let Some(Compressed { plaintext_key, .. }) = &mut self.compressed {
            plaintext_key.zeroize();
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
                    (worker.seal_run(FrameIndex(2), &plaintext, &mut wire).unwrap(), wire)
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
        worker.seal(FrameIndex(1), &[5; 10], &mut frame).unwrap();
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
            worker.seal(FrameIndex(index), &vec![index as u8; *len], &mut wire[at..]).unwrap()
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
            worker.seal(FrameIndex(0), &[5; 33], &mut frame).unwrap();
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
        let sealed = keyed.seal_run(FrameIndex(0), &[1; 5000], &mut wire).unwrap();
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
            plaintext_digest: None,
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
