//! The parts that the pipeline is made of, each alone: ciphers and the digest.
//! It knows no file and no stream.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::Duration;

use cofferdam::FRAME_LEN_DEFAULT;
use frame_worker::{Backend, DigestKind, FRAME_OVERHEAD, Fragment, FrameIndex, FrameWorker, Shape, Suite};
use framing::limits::FRAME_HEADER_LEN;

use crate::samples::{Sample, Variant};
use crate::{Error, Recipe, Step, Work};

/// Every part on `threads` threads, each sample `at_least` so long.
pub(crate) fn variants(threads: NonZeroUsize, at_least: Duration) -> Vec<Variant<'static>> {
    let suites = [Suite::Aes256Gcm, Suite::ChaCha20Poly1305];
    let ciphers = suites.into_iter().flat_map(|suite| [Work::Seal, Work::Open].map(|work| (work, suite)));
    let ciphers = ciphers.map(|(work, suite)| {
        variant(Step::Cipher(work, suite), threads, at_least, move || frames(work, suite))
    });
    let digest = Recipe::default_here().digest;
    ciphers.chain([variant(Step::Digest(digest), threads, at_least, move || fragments(digest))]).collect()
}

/// A worker's step, which tells its bytes.
type Worker = Box<dyn FnMut() -> Result<u64, Error> + Send>;

fn variant(
    step: Step,
    threads: NonZeroUsize,
    at_least: Duration,
    worker: impl Fn() -> Worker + 'static,
) -> Variant<'static> {
    let run = move || Ok(vec![Sample::together(at_least, (0..threads.get()).map(|_| worker()).collect())?]);
    Variant { steps: vec![step], threads, run: Box::new(run) }
}

/// Seals frame after frame, or opens one again and again. Tags cost no hash.
fn frames(work: Work, suite: Suite) -> Worker {
    let shape = Shape::new(FRAME_LEN_DEFAULT, FRAMES).expect("the default frames are within the limits");
    let worker = FrameWorker::new(Backend::default(), suite, DigestKind::Tags, shape, &KEY, &BASE_NONCE);
    let mut plaintext = vec![1; FRAME_LEN];
    let mut frame = vec![0; FRAME_LEN + FRAME_OVERHEAD];
    worker.seal(FrameIndex(0), &plaintext, &mut frame).expect("what is not compressed takes no memory");
    let mut next = 0;
    Box::new(move || {
        match work {
            Work::Seal => {
                next += 1;
                let sealed = worker.seal(FrameIndex(next), black_box(&plaintext), &mut frame);
                _ = black_box(sealed);
            }
            Work::Open => {
                let opened = worker.open(FrameIndex(0), black_box(&frame), &mut plaintext);
                black_box(opened.expect("the frame was sealed here"));
            }
        }
        Ok(FRAME_LEN as u64)
    })
}

fn fragments(digest: DigestKind) -> Worker {
    let frame = vec![1; FRAME_LEN + FRAME_OVERHEAD];
    Box::new(move || {
        let (header, body) = black_box(&frame).split_at(FRAME_HEADER_LEN);
        black_box(Fragment::new(digest, header, body));
        Ok(FRAME_LEN as u64)
    })
}

const FRAME_LEN: usize = FRAME_LEN_DEFAULT as usize;
const FRAMES: u32 = 128;
/// Nothing secret is sealed under it.
const KEY: [u8; 32] = [7; 32];
const BASE_NONCE: [u8; 12] = [3; 12];
