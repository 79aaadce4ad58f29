//! Owns the compressed streams that open: suites, digests, sizes, and what an encoder may choose.
//! Refuses to know faults.

use super::super::super::case::{Case, CaseKey};
use super::super::super::plan::{Frame, Hash, Plan, Suite, counting_from};
use super::super::super::zstd_frame::{Block, ContentSize, ZstdFrame};
use super::{FRAME, run};

/// What libzstd 1.5.7 makes of byte i being i mod 251, 4096 of them, at level 19.
const COUNTING: &[u8] = include_bytes!("../../zstd-frames/counting.zst");
/// What it makes of [`letters`] at level 3: literals under a Huffman code.
const LETTERS: &[u8] = include_bytes!("../../zstd-frames/letters.zst");

pub(super) fn cases() -> Vec<Case> {
    [suites_and_digests(), sizes(), encoders(), headers()].into_iter().flatten().collect()
}

fn suites_and_digests() -> Vec<Case> {
    let suites = [(Suite::Aes256Gcm, "aes-256-gcm"), (Suite::ChaCha20Poly1305, "chacha20-poly1305")];
    let digests = [(Hash::Blake3, "blake3"), (Hash::Sha256, "sha-256"), (Hash::Tags, "tags")];
    let mut cases = Vec::new();
    for (suite, suite_name) in suites {
        for (digest, digest_name) in digests {
            let plan = Plan::compressed(&[&[run(FRAME), Frame::Plain(100)], &[run(50)]]);
            let case = Case::good(
                &format!("success-zstd-{suite_name}-{digest_name}"),
                &format!(
                    "compressed, {suite_name} with the digest {digest_name}; two segments, of two frames and of one"
                ),
                plan.with(|plan| (plan.suite, plan.digest) = (suite, digest)).seal(),
            );
            cases
                .push(if digest == Hash::Tags { case.refused_without_a_key() } else { case }.clause("F11.5"));
        }
    }
    cases
}

fn sizes() -> Vec<Case> {
    let good = |name: &str, comment: &str, segments: &[&[Frame]]| {
        Case::good(&format!("success-zstd-{name}"), comment, Plan::compressed(segments).seal())
    };
    vec![
        good("empty", "compressed and empty: a TABLE of no lengths (FORMAT F3.1)", &[&[]]),
        good("one-byte", "compressed, one byte, which stays as it is (FORMAT F8.5)", &[&[Frame::Plain(1)]]),
        good(
            "full-segment",
            "four full frames, all compressed",
            &[&[run(FRAME), run(FRAME), run(FRAME), run(FRAME)]],
        ),
        good(
            "short-segments",
            "segments may end early: three of one short frame (FORMAT F8.6)",
            &[&[run(11)], &[Frame::Plain(20)], &[run(30)]],
        ),
        good(
            "empty-last-segment",
            "a sealer that did not know the end adds an empty LAST segment, with a TABLE (FORMAT F3.1)",
            &[&[run(10 * 10)], &[]],
        ),
        good(
            "plaintext-beyond-wire",
            "16 384 bytes of plaintext in a stream whose wire_len is a twentieth of that (FORMAT F14.8)",
            &[&[run(FRAME), run(FRAME), run(FRAME), run(FRAME)], &[Frame::Plain(1)]],
        ),
        Case::good(
            "success-zstd-worked-example",
            "the compressed stream of FORMAT §15, byte for byte",
            Plan::compressed_worked_example().seal(),
        )
        .key(CaseKey::KeyFile(counting_from(0x80))),
    ]
}

/// Which frames are compressed, and by whom, is the writer's affair (F8.10, F12.12).
fn encoders() -> Vec<Case> {
    let counting = (0..FRAME).map(|at| (at % 251) as u8).collect();
    let good = |name: &str, comment: &str, frames: &[Frame]| {
        Case::good(&format!("success-zstd-{name}"), comment, Plan::compressed(&[frames]).seal())
            .clause("F8.10")
    };
    let by_library = |text: &[u8], plaintext| Frame::Compressed { plaintext, text: text.to_vec() };
    let one_shorter = ZstdFrame::of(&[Block::Raw(vec![b'a'; 7]), Block::Run(b'c', 14)]).frame();
    vec![
        good(
            "left-plain",
            "two full frames that could be shorter and are left as they are",
            &[Frame::Plain(FRAME), Frame::Plain(FRAME)],
        ),
        good(
            "one-byte-shorter",
            "a text one byte shorter than its plaintext: body_len is plaintext_len + 15",
            &[one_shorter],
        ),
        good("library-level-19", "a frame made by libzstd at level 19", &[by_library(COUNTING, counting)]),
        good(
            "library-huffman",
            "a frame made by libzstd at level 3, with literals under a Huffman code",
            &[by_library(LETTERS, letters())],
        ),
    ]
}

/// Headers and blocks that an encoder may choose, though none does at any level.
fn headers() -> Vec<Case> {
    let good = |name: &str, comment: &str, frame: &ZstdFrame<'_>| {
        let sealed = Plan::compressed(&[&[frame.frame()]]).seal();
        Case::good(&format!("success-zstd-{name}"), comment, sealed).clause("F8.10")
    };
    let hundred = [Block::Run(b'c', 100)];
    let many =
        [Block::Raw(b"abc".to_vec()), Block::Run(b'c', 60), Block::Raw(Vec::new()), Block::Run(b'd', 40)];
    let last_empty = [Block::Run(b'c', 100), Block::Raw(Vec::new())];
    let sized = |content_size| ZstdFrame { content_size, ..ZstdFrame::of(&hundred) };
    vec![
        good(
            "content-size-4",
            "the content size in four bytes where one would do",
            &sized(ContentSize::Four(100)),
        ),
        good(
            "content-size-8",
            "the content size in eight bytes where one would do",
            &sized(ContentSize::Eight(100)),
        ),
        good("blocks", "four blocks, of which one is empty", &ZstdFrame::of(&many)),
        good("last-block-empty", "the last block is empty", &ZstdFrame::of(&last_empty)),
    ]
}

/// A few letters, some of them often, in an order without repetitions of much length.
fn letters() -> Vec<u8> {
    let letter = |at: u32| {
        let place = (u64::from(at.wrapping_mul(2_654_435_761)) * 20) >> 32;
        b"aaaaaaaabbbbccdefghi"[place as usize]
    };
    (0..4096).map(letter).collect()
}
