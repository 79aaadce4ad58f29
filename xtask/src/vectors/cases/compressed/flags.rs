//! Owns the faults of the flags that say what is compressed: the preamble's, and those of frames with the lengths that follow.
//! Refuses to know what is inside of a compressed frame.

use super::super::super::case::{Case, CaseKey, Expect, IDENTITY};
use super::super::super::plan::{Compression, Frame, Plan, Record, Slot};
use super::super::super::zstd_frame::{Block, ZstdFrame};
use super::super::key_area::STREAM_KEY_AGE;
use super::{FIRST, FRAME, of_text, run, small};

const PREAMBLE_FLAGS: usize = 12;
const KIND: usize = 0;
const FLAGS: usize = 1;

pub(super) fn cases() -> Vec<Case> {
    let preamble = preamble().into_iter().map(|case| case.clause("F14.2"));
    let flipped = flipped().into_iter().map(|case| case.clause("F10.2"));
    let frames = [frames(), lengths()].into_iter().flatten().map(|case| case.clause("F14.6"));
    preamble.chain(flipped).chain(frames).chain(closing()).collect()
}

fn preamble() -> Vec<Case> {
    let unsupported = |name: &str, comment: &str, flags: &[u8]| {
        let sealed = small().edit(Record::Preamble, PREAMBLE_FLAGS, flags).seal();
        Case::bad(name, Expect::Unsupported, comment, sealed)
    };
    vec![
        unsupported("zstd-preamble-flag-0-and-1", "flag bit 1 of the preamble is set beside bit 0", &[3]),
        unsupported("zstd-preamble-flag-1-alone", "flag bit 1 of the preamble is set, bit 0 is not", &[2]),
    ]
}

/// The preamble's flag is another after sealing: the keys are, too.
fn flipped() -> Vec<Case> {
    let flip = |plan: Plan| plan.seal().flip(Record::Preamble, PREAMBLE_FLAGS);
    let age = |plan: Plan| plan.slots(&[Slot::Age(STREAM_KEY_AGE.to_vec())]);
    let shut = |name: &str, comment: &str, sealed| {
        Case::bad(name, Expect::NoKey, comment, sealed).keyless(Expect::Damaged)
    };
    vec![
        shut("zstd-flag-taken", "the preamble's flag was taken from a compressed stream: a kind-2 slot shuts", flip(small())),
        shut("zstd-flag-given", "the preamble's flag was given to a plain stream: a kind-2 slot shuts", flip(Plan::small())),
        Case::damaged(
            "zstd-flag-taken-age",
            "the preamble's flag was taken from a compressed stream: an age slot opens, and the commitment differs",
            flip(age(small())),
        )
        .key(CaseKey::Identity(IDENTITY)),
        Case::damaged(
            "zstd-flag-given-age",
            "the preamble's flag was given to a plain stream: an age slot opens, and the commitment differs",
            flip(age(Plan::small())),
        )
        .key(CaseKey::Identity(IDENTITY)),
    ]
}

fn frames() -> Vec<Case> {
    let says = |name, comment, record, at, byte| {
        Case::damaged(name, comment, small().edit(record, at, &[byte]).seal())
    };
    let plain_stream = small().with(|plan| plan.compression = Compression::None);
    let second = Record::Frame(0, 1);
    vec![
        says("zstd-frame-flag-1", "a frame that is not compressed has flag bit 1", second, FLAGS, 2),
        says("zstd-frame-flag-0-and-1", "a compressed frame has flag bit 1 as well", FIRST, FLAGS, 3),
        says("zstd-frame-flag-7", "a compressed frame has flag bit 7 as well", FIRST, FLAGS, 0x81),
        says("zstd-frame-reserved", "a reserved byte of a compressed frame is 1", FIRST, 2, 1),
        says(
            "zstd-frame-flag-missing",
            "a compressed frame without its flag: the body is shorter",
            FIRST,
            FLAGS,
            0,
        ),
        says("zstd-frame-kind-5", "a frame of kind 5", second, KIND, 5),
        Case::damaged(
            "zstd-frame-in-a-plain-stream",
            "a compressed frame with its flag in a stream that does not announce it",
            plain_stream.seal(),
        ),
    ]
}

/// F8.5: 17 to plaintext_len + 15.
fn lengths() -> Vec<Case> {
    let damaged = |name, comment, plan: Plan| Case::damaged(name, comment, plan.seal());
    let as_long = ZstdFrame::of(&[Block::Raw(vec![b'a'; 7]), Block::Run(b'c', 13)]).frame();
    let longer = ZstdFrame::of(&[Block::Raw(vec![b'a'; 100])]).frame();
    let empty = ZstdFrame::of(&[Block::Raw(Vec::new())]).frame();
    let above = ZstdFrame::of(&[Block::Run(b'c', FRAME + 1)]).frame();
    let two = Plan::compressed(&[&[run(100), run(100)]]);
    let five = Plan::compressed(&[&[run(FRAME), run(FRAME), run(FRAME), run(FRAME), run(FRAME)]]);
    vec![
        damaged(
            "zstd-frame-not-shorter",
            "a compressed frame as long as its plaintext",
            Plan::compressed(&[&[as_long]]),
        ),
        damaged(
            "zstd-frame-longer",
            "a compressed frame longer than its plaintext",
            Plan::compressed(&[&[longer]]),
        ),
        damaged(
            "zstd-frame-without-text",
            "a compressed frame without any text: body_len is 16",
            of_text(100, Vec::new()),
        ),
        damaged(
            "zstd-frame-flag-on-plaintext",
            "a frame has the flag, and its plaintext as it is",
            Plan::compressed(&[&[Frame::Compressed { plaintext: vec![b'c'; 50], text: vec![b'c'; 50] }]]),
        ),
        damaged(
            "zstd-frame-without-plaintext",
            "a compressed frame of no plaintext",
            Plan::compressed(&[&[empty]]),
        ),
        damaged(
            "zstd-frame-above-frame-len",
            "a compressed frame of frame_len + 1 bytes",
            Plan::compressed(&[&[above]]),
        ),
        damaged("zstd-frame-short-not-last", "a short compressed frame before another", two),
        damaged("zstd-frame-one-too-many", "five compressed frames where frames_per_segment is 4", five),
        damaged(
            "zstd-frame-body-len-15",
            "body_len of a compressed frame is 15",
            small().edit(FIRST, 12, &[15]),
        ),
        damaged(
            "zstd-frame-lengths-wrap",
            "plaintext_len of a compressed frame is 2^32 - 1, so that plaintext_len + 16 is 15 in 32 bits",
            small().edit(FIRST, 8, &[0xFF; 4]),
        ),
    ]
}

/// The flag is for DATA frames alone.
fn closing() -> Vec<Case> {
    [("table", Record::Table(0)), ("digest", Record::Digest(0)), ("terminator", Record::Terminator(0))]
        .map(|(name, record)| {
            Case::damaged(
                &format!("zstd-{name}-flag-0"),
                &format!("the {} frame has the flag of a compressed one", name.to_uppercase()),
                small().edit(record, FLAGS, &[1]).seal(),
            )
            .clause("F14.7")
        })
        .into()
}
