//! Owns the faults of segments: their headers, their closing records, their order, and segments from elsewhere.
//! Refuses to know single DATA frames.

use super::super::case::Case;
use super::super::plan::{End, Plan, Record};

const DIGEST_FIELD: usize = 16;
const FRAMES: usize = 16;
const FLAGS: usize = 20;
const PLAINTEXT_LEN: usize = 24;
const CHAIN: usize = 32;

pub(super) fn cases() -> Vec<Case> {
    let headers = [headers(), order()].into_iter().flatten().map(|case| case.clause("F14.5"));
    let closing = [digests(), terminators(), last()].into_iter().flatten().map(|case| case.clause("F14.7"));
    headers.chain(closing).chain(elsewhere()).collect()
}

/// The record of a small stream says this from the beginning; tags, page and footer agree.
fn says(name: &str, comment: &str, record: Record, at: usize, bytes: &[u8]) -> Case {
    Case::damaged(name, comment, Plan::small().edit(record, at, bytes).seal())
}

fn headers() -> Vec<Case> {
    let says = |name, comment, at, bytes: &[u8]| says(name, comment, Record::SegmentHeader(0), at, bytes);
    vec![
        says("segment-magic", "another magic", 0, b"X"),
        says("segment-index", "the first segment has index 1", 8, &[1]),
        says("segment-plaintext-offset", "the first segment begins at plaintext offset 1", 16, &[1]),
        Case::damaged(
            "segment-attempt-salt",
            "a bit of the attempt salt is wrong, so every key of the segment is",
            Plan::small().seal().flip(Record::SegmentHeader(0), 32),
        ),
    ]
}

fn digests() -> Vec<Case> {
    let says = |name, comment, at, bytes: &[u8]| says(name, comment, Record::Digest(0), at, bytes);
    vec![
        says("digest-reserved", "a reserved byte of the DIGEST frame is 1", 2, &[1]),
        says("digest-frame-index", "DIGEST has frame_index 2 after one frame", 4, &[2]),
        says(
            "digest-value",
            "the digest is another, under a right tag, and the index page repeats it",
            DIGEST_FIELD,
            &[0; 32],
        ),
        Case::damaged(
            "digest-tag",
            "a bit of the tag of DIGEST is wrong",
            Plan::small().seal().flip_last(Record::Digest(0)),
        ),
        Case::damaged(
            "digest-missing",
            "TERMINATOR follows the last DATA frame",
            Plan::small().seal().without(Record::Digest(0)),
        ),
    ]
}

fn terminators() -> Vec<Case> {
    let says = |name, comment, at, bytes: &[u8]| says(name, comment, Record::Terminator(0), at, bytes);
    let wrong_chain = Plan::of_segments(&[&[10], &[20]]).edit(Record::Terminator(1), CHAIN, &[0; 32]);
    vec![
        says("terminator-kind", "DATA after DIGEST where TERMINATOR must stand", 0, &[1]),
        says("terminator-frame-index", "TERMINATOR has frame_index 1 after one frame", 4, &[1]),
        says("terminator-frames", "N is 2 after one frame, and the index page repeats it", FRAMES, &[2]),
        says("terminator-flag-1", "flag bit 1 is set beside LAST", FLAGS, &[3]),
        says(
            "terminator-plaintext-len",
            "the length is 11 after 10 bytes, and the index page repeats it",
            PLAINTEXT_LEN,
            &[11],
        ),
        Case::damaged(
            "terminator-chain",
            "chain(0) is another in the second segment, under a right tag",
            wrong_chain.seal(),
        ),
        Case::damaged(
            "terminator-tag",
            "a bit of the tag of TERMINATOR is wrong",
            Plan::small().seal().flip_last(Record::Terminator(0)),
        ),
    ]
}

fn last() -> Vec<Case> {
    let two = |first, second| {
        Plan::of_segments(&[&[10], &[20]]).with(|plan| {
            plan.segments[0].end = first;
            plan.segments[1].end = second;
        })
    };
    let empty = Plan::of_segments(&[&[], &[10]]);
    vec![
        Case::damaged(
            "last-too-early",
            "LAST on both segments: the second stands behind the end",
            two(End::Last, End::Last).seal(),
        ),
        Case::damaged(
            "last-missing",
            "no segment is LAST, and the index page follows all the same",
            two(End::More, End::More).seal(),
        ),
        Case::damaged("segment-empty", "a segment without DATA that is not LAST", empty.seal()),
    ]
}

fn order() -> Vec<Case> {
    let three = || Plan::of_segments(&[&[10], &[10], &[10]]).seal();
    vec![
        Case::damaged(
            "segments-swapped",
            "segments 0 and 1 have changed places",
            three().swapped(Record::Segment(0), Record::Segment(1)),
        ),
        Case::damaged("segment-first-dropped", "segment 0 is not there", three().without(Record::Segment(0))),
        Case::damaged(
            "segment-last-dropped",
            "the index page follows segment 1, which is not LAST",
            three().without(Record::Segment(2)),
        ),
    ]
}

fn elsewhere() -> Vec<Case> {
    let two = || Plan::of_segments(&[&[10], &[20]]);
    let attempt = |segment: usize| two().with(|plan| plan.segments[segment].attempt = 1).seal();
    let foreign = two().edit(Record::Preamble, 32, &[0xEE; 16]).seal();
    let second = Record::Segment(1);
    vec![
        Case::damaged(
            "segment-of-another-stream",
            "segment 1 of a stream of the same key and another stream_id",
            two().seal().replace(second, foreign.record(second)),
        )
        .clause("F14.6"),
        Case::damaged(
            "segment-of-an-older-attempt",
            "segment 1 of an attempt whose segment 0 had another salt: its chain(0) differs",
            two().seal().replace(second, attempt(0).record(second)),
        )
        .clause("F14.7"),
        Case::damaged(
            "segment-last-of-an-older-attempt",
            "a LAST segment that was sealed again and fits the chain: the index page has the other salt and digest",
            two().seal().replace(second, attempt(1).record(second)),
        )
        .clause("F14.8"),
    ]
}
