//! The parts that the pipeline is made of, each alone: ciphers, digests, copies in memory.
//! It knows no file and no stream.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::Duration;

use frame_worker::{Backend, DigestKind, FRAME_OVERHEAD, Fragment, FrameIndex, FrameWorker, Shape, Suite};
use framing::limits::FRAME_HEADER_LEN;

use crate::Error;
use crate::interleaved::{Sample, Variant};
use crate::{Step, Work};
use cofferdam::FRAME_LEN_DEFAULT;

/// Every part on each of `counts` threads. Memory is copied from `plaintext`.
pub(crate) fn ways<'a>(counts: &[NonZeroUsize], plaintext: &'a [u8], lap: Duration) -> Vec<Variant<'a>> {
    let mut ways = Vec::new();
    for &threads in counts {
        for suite in [Suite::Aes256Gcm, Suite::ChaCha20Poly1305] {
            for work in [Work::Seal, Work::Open] {
                ways.push(cipher(work, suite, threads, lap));
            }
        }
        for digest in [DigestKind::Blake3, DigestKind::Sha256] {
            ways.push(fragments(digest, threads, lap));
        }
    }
    ways.extend(counts.iter().map(|&threads| copies(plaintext, threads, lap)));
    ways
}

fn cipher<'a>(work: Work, suite: Suite, threads: NonZeroUsize, lap: Duration) -> Variant<'a> {
    let run = move || {
        let workers = (0..threads.get()).map(|_| frames(work, suite)).collect();
        Ok(vec![Sample::together(lap, workers)?])
    };
    Variant { steps: vec![Step::Cipher(work, suite)], threads, run: Box::new(run) }
}

/// A worker that seals frame after frame, or opens one again and again. Tags cost no hash.
fn frames(work: Work, suite: Suite) -> Box<dyn FnMut() -> Result<u64, Error> + Send> {
    let shape = Shape::new(FRAME_LEN_DEFAULT, FRAMES).expect("the default frames are within the limits");
    let worker = FrameWorker::new(Backend::default(), suite, DigestKind::Tags, shape, &KEY, &BASE_NONCE);
    let mut plaintext = vec![1; FRAME_LEN];
    let mut frame = vec![0; FRAME_LEN + FRAME_OVERHEAD];
    worker.seal(FrameIndex(0), &plaintext, &mut frame);
    let mut next = 0;
    Box::new(move || {
        match work {
            Work::Seal => {
                next += 1;
                black_box(worker.seal(FrameIndex(next), black_box(&plaintext), &mut frame));
            }
            Work::Open => {
                let opened = worker.open(FrameIndex(0), black_box(&frame), &mut plaintext);
                black_box(opened.expect("the frame was sealed here"));
            }
        }
        Ok(FRAME_LEN as u64)
    })
}

fn fragments<'a>(digest: DigestKind, threads: NonZeroUsize, lap: Duration) -> Variant<'a> {
    let worker = move || {
        let frame = vec![1; FRAME_LEN + FRAME_OVERHEAD];
        move || {
            let (header, body) = black_box(&frame).split_at(FRAME_HEADER_LEN);
            black_box(Fragment::new(digest, header, body));
            Ok(FRAME_LEN as u64)
        }
    };
    let run = move || Ok(vec![Sample::together(lap, (0..threads.get()).map(|_| worker()).collect())?]);
    Variant { steps: vec![Step::Digest(digest)], threads, run: Box::new(run) }
}

/// Each thread has a part of both buffers to itself.
fn copies(plaintext: &[u8], threads: NonZeroUsize, lap: Duration) -> Variant<'_> {
    let part_len = plaintext.len().div_ceil(threads.get());
    let run = move || Ok(vec![Sample::together(lap, plaintext.chunks(part_len).map(copy).collect())?]);
    Variant { steps: vec![Step::CopyMemory], threads, run: Box::new(run) }
}

/// A worker that copies `from` again and again, piece by piece.
fn copy(from: &[u8]) -> impl FnMut() -> Result<u64, Error> + Send {
    let mut to = from.to_vec(); // Its pages are there before the clock runs.
    let mut at = 0;
    move || {
        let end = from.len().min(at + PIECE_LEN);
        black_box(&mut to)[at..end].copy_from_slice(black_box(&from[at..end]));
        let len = end - at;
        at = end % from.len();
        Ok(len as u64)
    }
}

const FRAME_LEN: usize = FRAME_LEN_DEFAULT as usize;
const FRAMES: u32 = 128;
const PIECE_LEN: usize = 1 << 20;
/// Nothing secret is sealed under it.
const KEY: [u8; 32] = [7; 32];
const BASE_NONCE: [u8; 12] = [3; 12];
