//! The loop that the pipeline cannot beat: the same cipher and hash calls on the same frames, and nothing else.
//! It knows no pipeline, no order, no sink and no memory budget, and parses nothing.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use aws_lc_rs::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use framing::limits::{FRAME_HEADER_LEN, FRAME_OVERHEAD, TAG_LEN};
use framing::{DigestKind, FrameHeader, FrameIndex, FrameKind, Suite};
use sha2::{Digest as _, Sha256};

use crate::Setting;

/// Seals or opens frames in runs as long as the facade's, on some threads.
///
/// Each thread takes the next run, copies it into a buffer of its own, works into another one, and forgets the result. All frames have one key.
pub struct BareLoop {
    key: LessSafeKey,
    digest: DigestKind,
    frame_len: usize,
    threads: NonZeroUsize,
}

impl BareLoop {
    /// A loop over the frames of `setting`, on its threads. Segments it knows none.
    pub fn new(setting: &Setting) -> BareLoop {
        let algorithm = match setting.suite {
            Suite::Aes256Gcm => &AES_256_GCM,
            Suite::ChaCha20Poly1305 => &CHACHA20_POLY1305,
        };
        let key = UnboundKey::new(algorithm, &KEY).expect("32 bytes are a key of either suite");
        let Setting { digest, frame_len, threads, .. } = *setting;
        BareLoop { key: LessSafeKey::new(key), digest, frame_len, threads }
    }

    /// Opens the frames that [`BareLoop::sealed`] made.
    pub fn open(&self, wire: &[u8]) {
        let (wire_len, len) = (self.run_wire_len(), self.run_len());
        self.over_runs(wire, wire_len, len, |run, wire, out| self.open_run(run, wire, out));
    }

    /// Opens them into `plaintext`, where it is to stay.
    pub fn open_into(&self, wire: &[u8], plaintext: &mut [u8]) {
        let (wire_len, len) = (self.run_wire_len(), self.run_len());
        let runs = Mutex::new(wire.chunks(wire_len).zip(plaintext.chunks_mut(len)).enumerate());
        let one_thread = || {
            let mut copy = vec![0; wire_len];
            loop {
                let next = runs.lock().expect("no thread panics with it").next();
                let Some((run, (lying, out))) = next else { break };
                copy[..lying.len()].copy_from_slice(lying);
                self.open_run(run, &copy[..lying.len()], out);
            }
        };
        self.on_threads(one_thread);
    }

    /// Seals `plaintext`.
    pub fn seal(&self, plaintext: &[u8]) {
        let (len, wire_len) = (self.run_len(), self.run_wire_len());
        self.over_runs(plaintext, len, wire_len, |run, text, out| self.seal_run(run, text, out));
    }

    /// Seals `plaintext` on this thread, and keeps it.
    pub fn sealed(&self, plaintext: &[u8]) -> Vec<u8> {
        let mut wire = vec![0; plaintext.len() + plaintext.len().div_ceil(self.frame_len) * FRAME_OVERHEAD];
        let runs = plaintext.chunks(self.run_len()).zip(wire.chunks_mut(self.run_wire_len()));
        runs.enumerate().for_each(|(run, (text, out))| self.seal_run(run, text, out));
        wire
    }

    /// Gives each run of `input` to `work`, with its number and room for `output_len` bytes.
    fn over_runs(
        &self,
        input: &[u8],
        input_len: usize,
        output_len: usize,
        work: impl Fn(usize, &[u8], &mut [u8]) + Sync,
    ) {
        let next = AtomicUsize::new(0);
        let one_thread = || {
            let mut copy = vec![0; input_len];
            let mut output = vec![0; output_len];
            loop {
                // Partner: the same line on the other threads. The number alone is shared, no memory with it.
                let run = next.fetch_add(1, Ordering::Relaxed);
                let start = run * input_len;
                if start >= input.len() {
                    break;
                }
                let lying = &input[start..input.len().min(start + input_len)];
                // As the pipeline reads from a source.
                copy[..lying.len()].copy_from_slice(lying);
                work(run, &copy[..lying.len()], &mut output);
                black_box(&mut output);
            }
        };
        self.on_threads(one_thread);
    }

    fn on_threads(&self, work: impl Fn() + Sync) {
        thread::scope(|scope| {
            for _ in 0..self.threads.get() {
                scope.spawn(&work);
            }
        });
    }

    /// Opens the frames of the run of this number into `plaintext`, on this thread.
    pub fn open_run(&self, run: usize, wire: &[u8], plaintext: &mut [u8]) {
        let frames = wire.chunks(self.frame_len + FRAME_OVERHEAD).zip(plaintext.chunks_mut(self.frame_len));
        for (index, (frame, out)) in (run * self.frames_per_run()..).zip(frames) {
            let (header, body) = frame.split_at(FRAME_HEADER_LEN);
            black_box(self.fragment(header, body));
            let (text, tag) = body.split_at(body.len() - TAG_LEN);
            let opened = self.key.open_separate_gather(
                nonce(index),
                Aad::from(header),
                text,
                tag,
                &mut out[..text.len()],
            );
            opened.expect("the frame was sealed at this place with this key");
        }
    }

    /// Seals `plaintext` as the run of this number into `wire`, on this thread.
    pub fn seal_run(&self, run: usize, plaintext: &[u8], wire: &mut [u8]) {
        let frames = plaintext.chunks(self.frame_len).zip(wire.chunks_mut(self.frame_len + FRAME_OVERHEAD));
        for (index, (text, frame)) in (run * self.frames_per_run()..).zip(frames) {
            let frame = &mut frame[..text.len() + FRAME_OVERHEAD];
            let (header, body) = frame.split_at_mut(FRAME_HEADER_LEN);
            header
                .copy_from_slice(&FrameHeader::data(FrameIndex(index as u32), text.len() as u32).to_bytes());
            let (room, tag) = body.split_at_mut(text.len());
            self.key
                .seal_out_of_place_scatter(nonce(index), Aad::from(&*header), text, room, &[], tag)
                .expect("a frame is within the cipher's limits");
            black_box(self.fragment(header, body));
        }
    }

    fn fragment(&self, header: &[u8], body: &[u8]) -> [u8; 32] {
        match self.digest {
            DigestKind::Blake3 => {
                let mut head = [0; 16 * blake3::CHUNK_LEN];
                let (begin, rest) = body.split_at(body.len().min(head.len() - BODY_AT));
                let len = BODY_AT + begin.len();
                head[..LABEL_FRAME.len()].copy_from_slice(LABEL_FRAME);
                head[LABEL_FRAME.len()..BODY_AT].copy_from_slice(header);
                head[BODY_AT..len].copy_from_slice(begin);
                blake3::Hasher::new().update(&head[..len]).update(rest).finalize().into()
            }
            DigestKind::Sha256 => {
                Sha256::new_with_prefix(LABEL_FRAME).chain_update(header).chain_update(body).finalize().into()
            }
            DigestKind::Tags => {
                let mut fragment = [0; 32];
                fragment[..TAG_LEN].copy_from_slice(&body[body.len() - TAG_LEN..]);
                fragment
            }
        }
    }

    fn frames_per_run(&self) -> usize {
        (RUN_LEN / self.frame_len).max(1)
    }

    fn run_len(&self) -> usize {
        self.frames_per_run() * self.frame_len
    }

    fn run_wire_len(&self) -> usize {
        self.frames_per_run() * (self.frame_len + FRAME_OVERHEAD)
    }
}

/// As in FORMAT §10: kind and index in the base nonce.
fn nonce(index: usize) -> Nonce {
    let mut nonce = BASE_NONCE;
    nonce[7] ^= FrameKind::Data as u8;
    for (byte, part) in nonce[8..].iter_mut().zip((index as u32).to_le_bytes()) {
        *byte ^= part;
    }
    Nonce::assume_unique_for_key(nonce)
}

/// Plaintext bytes of a run, unless a frame is longer.
const RUN_LEN: usize = 512 << 10;
const KEY: [u8; 32] = [7; 32];
const BASE_NONCE: [u8; 12] = [3; 12];
const BODY_AT: usize = LABEL_FRAME.len() + FRAME_HEADER_LEN;
const LABEL_FRAME: &[u8] = b"cofferdam/v1/frame\0";

#[cfg(test)]
mod tests {
    use frame_worker::{Backend, Fragment, FrameWorker, Shape};

    use super::*;
    use crate::bytes;

    fn bare(suite: Suite, digest: DigestKind, frame_len: usize) -> BareLoop {
        let setting = Setting::new(digest, NonZeroUsize::new(2).unwrap());
        BareLoop::new(&Setting { suite, frame_len, ..setting })
    }

    #[test]
    fn the_bare_loop_makes_the_frames_and_fragments_of_the_frame_worker() {
        for suite in [Suite::Aes256Gcm, Suite::ChaCha20Poly1305] {
            for digest in [DigestKind::Blake3, DigestKind::Sha256, DigestKind::Tags] {
                for frame in [4096, 64 << 10, 1 << 20] {
                    for len in [1, frame - 1, frame, frame + 1, RUN_LEN, 2 * RUN_LEN + frame + 5] {
                        compare(&bytes(len), suite, digest, frame);
                    }
                }
            }
        }
    }

    fn compare(plaintext: &[u8], suite: Suite, digest: DigestKind, frame: usize) {
        let shape = Shape::new(frame as u32, 1024).unwrap();
        let worker = FrameWorker::new(Backend::Portable, suite, digest, shape, &KEY, &BASE_NONCE);
        let mut wire = vec![0; FrameWorker::run_wire_len(shape, plaintext.len())];
        let frames = worker
            .seal_run(FrameIndex(0), plaintext, &mut wire)
            .expect("what is not compressed takes no memory");
        let bare = bare(suite, digest, frame);
        assert!(bare.sealed(plaintext) == wire, "{suite:?} {digest:?} {frame} {}", plaintext.len());
        for (frame, bytes) in frames.iter().zip(wire.chunks(frame + FRAME_OVERHEAD)) {
            let (header, body) = bytes.split_at(FRAME_HEADER_LEN);
            assert_eq!(Fragment::from_bytes(bare.fragment(header, body)), frame.fragment);
        }
    }

    #[test]
    fn every_run_is_done_once_on_any_number_of_threads() {
        let plaintext = bytes(5 * RUN_LEN + 1);
        for threads in [1, 2, 3, 8] {
            let bare = BareLoop::new(&Setting::new(DigestKind::Tags, NonZeroUsize::new(threads).unwrap()));
            let done = Mutex::new(vec![Vec::new(); 6]);
            bare.over_runs(&plaintext, RUN_LEN, RUN_LEN, |run, input, _| {
                done.lock().unwrap()[run].extend_from_slice(input);
            });
            assert!(done.into_inner().unwrap().concat() == plaintext);
        }
    }

    #[test]
    fn what_is_opened_into_memory_is_what_was_sealed() {
        for len in [1, RUN_LEN, 3 * RUN_LEN + 77] {
            let plaintext = bytes(len);
            let bare = bare(Suite::Aes256Gcm, DigestKind::Blake3, 64 << 10);
            let mut opened = vec![0; len];
            bare.open_into(&bare.sealed(&plaintext), &mut opened);
            assert!(opened == plaintext, "{len} bytes");
        }
    }

    #[test]
    #[should_panic(expected = "sealed at this place")]
    fn a_flipped_bit_does_not_pass_the_bare_loop_either() {
        let bare = bare(Suite::Aes256Gcm, DigestKind::Tags, 4096);
        let mut wire = bare.sealed(&bytes(100));
        wire[50] ^= 1;
        bare.open_run(0, &wire, &mut [0; 100]);
    }
}
