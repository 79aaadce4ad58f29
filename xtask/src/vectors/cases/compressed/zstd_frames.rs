//! Owns the faults inside of compressed frames, each in a frame that is sealed rightly: only who has the key can see them.
//! Refuses to know headers of Cofferdam's own.

use super::super::super::case::{Case, Expect};
use super::super::super::zstd_frame::{Block, ContentSize, ZstdFrame};
use super::{FRAME, of_text};

/// XXH64's low half of a hundred times the letter c.
const CHECKSUM: &[u8] = &[0x41, 0x65, 0xC2, 0xB8];
const SKIPPABLE: &[u8] = &[0x50, 0x2A, 0x4D, 0x18, 0, 0, 0, 0];
const SINGLE_SEGMENT: u8 = 1 << 5;
/// The zstd frame of a hundred bytes has the magic, a descriptor and its size, and one block.
const LEN: usize = 100;
const HEADER_LEN: usize = 6;

pub(super) fn cases() -> Vec<Case> {
    let blocks = [Block::Run(b'c', LEN)];
    let right = ZstdFrame::of(&blocks);
    let all =
        [content_size(&right), descriptor(&right), around(&right), cut(&right), blocks_at_fault(), bombs()];
    all.into_iter().flatten().collect()
}

fn damaged(name: &str, comment: &str, plaintext_len: usize, text: Vec<u8>) -> Case {
    let sealed = of_text(plaintext_len, text).seal();
    Case::damaged(&format!("zstd-{name}"), comment, sealed).keyless(Expect::Success).clause("F8.10")
}

fn content_size(right: &ZstdFrame<'_>) -> Vec<Case> {
    let size = |name, comment, content_size| {
        damaged(name, comment, LEN, ZstdFrame { content_size, ..right.clone() }.text())
    };
    let windowed = |name, comment, content_size| {
        let frame = ZstdFrame { descriptor: 0, before_size: &[0], content_size, ..right.clone() };
        damaged(name, comment, LEN, frame.text())
    };
    vec![
        size(
            "content-size-above",
            "the content size is 101, plaintext_len and the blocks say 100",
            ContentSize::One(101),
        ),
        size(
            "content-size-below",
            "the content size is 99, plaintext_len and the blocks say 100",
            ContentSize::One(99),
        ),
        damaged(
            "content-of-101",
            "a right zstd frame of 101 bytes where plaintext_len is 100",
            LEN,
            ZstdFrame::of(&[Block::Run(b'c', LEN + 1)]).text(),
        ),
        damaged(
            "content-of-99",
            "a right zstd frame of 99 bytes where plaintext_len is 100",
            LEN,
            ZstdFrame::of(&[Block::Run(b'c', LEN - 1)]).text(),
        ),
        size("content-size-huge", "the content size is 2^64 - 1", ContentSize::Eight(u64::MAX)),
        size(
            "content-size-wraps",
            "the content size is 2^32 + 100, which is plaintext_len in 32 bits alone",
            ContentSize::Eight((1 << 32) + 100),
        ),
        windowed("content-size-missing", "no content size, but a window of 1 KiB", ContentSize::Absent),
        windowed("window", "a window of 1 KiB, and the right content size", ContentSize::Four(100)),
    ]
}

fn descriptor(right: &ZstdFrame<'_>) -> Vec<Case> {
    let bit = |name, comment, bit| {
        let descriptor = SINGLE_SEGMENT | bit;
        damaged(name, comment, LEN, ZstdFrame { descriptor, ..right.clone() }.text())
    };
    let dictionary = |name, comment, bits, id| {
        let frame = ZstdFrame { descriptor: SINGLE_SEGMENT | bits, before_size: id, ..right.clone() };
        damaged(name, comment, LEN, frame.text())
    };
    let summed = ZstdFrame { descriptor: SINGLE_SEGMENT | 1 << 2, after_blocks: CHECKSUM, ..right.clone() };
    vec![
        bit("unused-bit", "the unused bit of the descriptor is set, which decoders pass over", 1 << 4),
        bit("reserved-bit", "the reserved bit of the descriptor is set", 1 << 3),
        damaged("checksum", "a content checksum, and a right one", LEN, summed.text()),
        dictionary("dictionary-id-0", "a dictionary id of one byte, 0, which means none", 1, &[0]),
        dictionary("dictionary-id-1", "a dictionary id of one byte, 1", 1, &[1]),
        dictionary("dictionary-id-long", "a dictionary id of four bytes", 3, &[1, 2, 3, 4]),
    ]
}

fn around(right: &ZstdFrame<'_>) -> Vec<Case> {
    let (text, skippable) = (right.text(), SKIPPABLE.to_vec());
    let half_blocks = [Block::Run(b'c', LEN / 2)];
    let half = ZstdFrame::of(&half_blocks).text();
    let nothing = ZstdFrame::of(&[Block::Raw(Vec::new())]).text();
    let magic =
        |name, comment, magic| damaged(name, comment, LEN, ZstdFrame { magic, ..right.clone() }.text());
    vec![
        damaged("trailing-byte", "a zero byte after the frame", LEN, [&text[..], &[0]].concat()),
        damaged(
            "second-frame",
            "a second frame, of nothing, after the first",
            LEN,
            [&text[..], &nothing].concat(),
        ),
        damaged("two-frames", "two frames of half the plaintext each", LEN, half.repeat(2)),
        damaged(
            "skippable-before",
            "a skippable frame before the frame",
            LEN,
            [&skippable, &text[..]].concat(),
        ),
        damaged(
            "skippable-after",
            "a skippable frame after the frame",
            LEN,
            [&text[..], &skippable].concat(),
        ),
        damaged("skippable-only", "a skippable frame and nothing else", LEN, skippable),
        magic("magic-older", "the magic of zstd 0.7", 0xFD2F_B527),
        magic("magic-dictionary", "the magic of a dictionary", 0xEC30_A437),
        damaged("no-zstd", "the text is half of the plaintext, as it is", LEN, vec![b'c'; LEN / 2]),
    ]
}

fn cut(right: &ZstdFrame<'_>) -> Vec<Case> {
    let text = right.text();
    let mut not_last = text.clone();
    not_last[HEADER_LEN] ^= 1;
    let cut = |name, comment, len: usize| damaged(name, comment, LEN, text[..len].to_vec());
    vec![
        cut("one-byte", "the text is the first byte of the magic: the shortest there is, body_len 17", 1),
        cut("magic-alone", "the text is the magic alone", 4),
        cut("header-cut", "the text ends after the descriptor", 5),
        cut("no-block", "the text ends after the content size", HEADER_LEN),
        cut("block-header-cut", "the text ends inside of the block's header", HEADER_LEN + 2),
        cut("block-cut", "the text ends before the block does", text.len() - 1),
        damaged("no-last-block", "no block says that it is the last", LEN, not_last),
    ]
}

fn blocks_at_fault() -> Vec<Case> {
    let blocks = |name, comment, blocks: &[Block]| {
        let content_size = ContentSize::One(LEN as u8);
        damaged(name, comment, LEN, ZstdFrame { content_size, ..ZstdFrame::of(blocks) }.text())
    };
    let other =
        |block_type, size, content: &[u8]| Block::Other { block_type, size, content: content.to_vec() };
    vec![
        blocks("block-type-reserved", "a block of the reserved type", &[other(3, 1, b"c")]),
        blocks("block-malformed", "a compressed block of one zero byte", &[other(2, 1, &[0])]),
        blocks("block-raw-cut", "a raw block of 100 bytes that has 50", &[other(0, LEN, &[b'c'; LEN / 2])]),
        blocks(
            "blocks-short",
            "the blocks say one byte less than the content size",
            &[Block::Run(b'c', LEN - 1)],
        ),
        blocks("blocks-none", "one block, of no bytes", &[Block::Raw(Vec::new())]),
    ]
}

/// What a reader would write beyond the frame's plaintext if it believed the blocks.
fn bombs() -> Vec<Case> {
    let sized = |blocks: &[Block], content_size| ZstdFrame { content_size, ..ZstdFrame::of(blocks) }.text();
    let hundred = ContentSize::One(LEN as u8);
    let many = vec![Block::Run(b'c', 128 << 10); 200];
    vec![
        damaged(
            "bomb-by-one",
            "a run of one byte more than the content size",
            LEN,
            sized(&[Block::Run(b'c', LEN + 1)], hundred),
        ),
        damaged(
            "bomb-raw",
            "a raw block that reaches beyond the content size",
            LEN,
            sized(&[Block::Run(b'c', LEN - 5), Block::Raw(vec![b'c'; 10])], hundred),
        ),
        damaged(
            "bomb-runs",
            "25 MiB of runs in 806 bytes that say they are 4096",
            FRAME,
            sized(&many, ContentSize::shortest(FRAME)),
        ),
        damaged(
            "bomb-longest-run",
            "a run of 2^21 - 1 bytes, as long as a block can say, in a frame of 100",
            LEN,
            sized(&[Block::Run(b'c', (1 << 21) - 1)], hundred),
        ),
    ]
}
