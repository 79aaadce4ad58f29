//! Owns the faults of DATA frames: header fields, bodies, lengths and order.
//! Refuses to know the records that close a segment.

use super::super::case::Case;
use super::super::plan::{FRAME_LEN, Hash, Plan, Record, Suite};

const FRAME: usize = FRAME_LEN as usize;
const KIND: usize = 0;
const FLAGS: usize = 1;
const RESERVED: usize = 2;
const INDEX: usize = 4;
const PLAINTEXT_LEN: usize = 8;
const BODY_LEN: usize = 12;
const BODY: usize = 16;
const FIRST: Record = Record::Frame(0, 0);

pub(super) fn cases() -> Vec<Case> {
    [headers(), lengths(), bodies(), order()].into_iter().flatten().collect()
}

fn headers() -> Vec<Case> {
    let says = |name, comment, at, bytes: &[u8]| {
        Case::damaged(name, comment, Plan::small().edit(FIRST, at, bytes).seal())
    };
    vec![
        says("frame-kind-0", "kind 0", KIND, &[0]),
        says("frame-flag-zstd", "the compression flag in a stream that has not announced it", FLAGS, &[1]),
        says("frame-reserved", "a reserved byte is 1", RESERVED, &[1]),
        says("frame-index", "the first frame has frame_index 1", INDEX, &[1]),
        says("frame-body-len-above", "body_len is plaintext_len + 17", BODY_LEN, &[27]),
        says("frame-body-len-huge", "body_len is 2^32 - 1", BODY_LEN, &[0xFF; 4]),
        says(
            "frame-lengths-wrap",
            "plaintext_len 2^32 - 1 and body_len 15, which agree in 32 bits alone",
            PLAINTEXT_LEN,
            &[0xFF, 0xFF, 0xFF, 0xFF, 15, 0, 0, 0],
        ),
    ]
}

fn lengths() -> Vec<Case> {
    let two_of_one = Plan::of_segments(&[&[FRAME, 10]]).with(|plan| plan.frames_per_segment = 1);
    vec![
        Case::damaged("frame-empty", "a DATA frame without plaintext", Plan::of_segments(&[&[0]]).seal()),
        Case::damaged(
            "frame-above-frame-len",
            "a frame of frame_len + 1 bytes",
            Plan::of_segments(&[&[FRAME + 1]]).seal(),
        ),
        Case::damaged(
            "frame-short-not-last",
            "a short frame before another",
            Plan::of_segments(&[&[10, 10]]).seal(),
        ),
        Case::damaged("frame-one-too-many", "two frames where frames_per_segment is 1", two_of_one.seal()),
    ]
}

fn bodies() -> Vec<Case> {
    vec![
        Case::damaged(
            "frame-ciphertext",
            "a bit of a ciphertext is wrong",
            Plan::small().seal().flip(FIRST, BODY),
        ),
        Case::damaged("frame-tag", "a bit of a tag is wrong", Plan::small().seal().flip_last(FIRST)),
        Case::damaged(
            "frame-tags-digest-tag",
            "a bit of a tag is wrong in a stream whose digest is made of tags",
            Plan::small().with(|plan| plan.digest = Hash::Tags).seal().flip_last(FIRST),
        ),
        Case::damaged(
            "frame-chacha20-poly1305-tag",
            "a bit of a tag of the second suite is wrong",
            Plan::small().with(|plan| plan.suite = Suite::ChaCha20Poly1305).seal().flip_last(FIRST),
        ),
    ]
}

fn order() -> Vec<Case> {
    let full = || Plan::of_segments(&[&[FRAME, FRAME]]).seal();
    let framed = || Plan::framed().seal();
    let two_segments = Plan::of_segments(&[&[10], &[10]]).seal();
    let foreign = two_segments.record(Record::Frame(1, 0)).to_vec();
    let [first, second] = [FIRST, Record::Frame(0, 1)];
    vec![
        Case::damaged("frames-swapped", "two full frames have changed places", full().swapped(first, second)),
        Case::damaged("frame-first-dropped", "the first of two frames is not there", framed().without(first)),
        Case::damaged("frame-doubled", "the last DATA frame twice", Plan::small().seal().doubled(FIRST)),
        Case::damaged(
            "frame-of-another-segment",
            "DATA 0 of segment 1 in the place of DATA 0 of segment 0",
            two_segments.replace(FIRST, &foreign),
        ),
    ]
}
