//! Owns the faults of what only compressed streams have beside frames: TABLE, plaintext digest, entries of 112 bytes.
//! Refuses to know frames.

use super::super::super::case::{Case, Expect};
use super::super::super::plan::{FRAME_LEN, Frame, Plan, Record, SegmentRecords};
use super::{FRAME, run, small};

const TABLE: Record = Record::Table(0);
const LENGTHS: usize = 16;
const ENTRY: usize = 32;

pub(super) fn cases() -> Vec<Case> {
    let closing = [tables_misplaced(), table_headers(), table_lengths(), digests()];
    let closing = closing.into_iter().flatten().map(|case| case.clause("F14.7"));
    closing.chain(trailer().into_iter().map(|case| case.clause("F14.8"))).collect()
}

/// A compressed stream whose first segment has these records.
fn with(name: &str, comment: &str, records: SegmentRecords) -> Case {
    let plan = small().with(|plan| plan.segments[0].records = records);
    Case::damaged(&format!("zstd-{name}"), comment, plan.seal())
}

/// The same in a stream that is not compressed.
fn plain_with(name: &str, comment: &str, records: SegmentRecords) -> Case {
    let plan = Plan::small().with(|plan| plan.segments[0].records = records);
    Case::damaged(name, comment, plan.seal())
}

fn tables_misplaced() -> Vec<Case> {
    let empty = Plan::compressed(&[&[]]).with(|plan| plan.segments[0].records = SegmentRecords::NoTable);
    vec![
        with("table-missing", "DIGEST follows the last DATA frame", SegmentRecords::NoTable),
        Case::damaged("zstd-table-missing-empty", "no TABLE in a segment without DATA frames", empty.seal()),
        with("table-twice", "the TABLE is there twice", SegmentRecords::TableTwice),
        with("table-after-digest", "the TABLE follows DIGEST", SegmentRecords::TableAfterDigest),
        plain_with(
            "zstd-table-in-a-plain-stream",
            "a TABLE in a stream that is not compressed",
            SegmentRecords::Table,
        ),
        Case::damaged(
            "zstd-table-before-a-frame",
            "the TABLE precedes the last DATA frame",
            small().seal().swapped(Record::Frame(0, 1), TABLE),
        ),
    ]
}

fn table_headers() -> Vec<Case> {
    let says = |name: &str, comment: &str, at, byte| {
        Case::damaged(&format!("zstd-table-{name}"), comment, small().edit(TABLE, at, &[byte]).seal())
    };
    vec![
        says("reserved", "a reserved byte of the TABLE is 1", 3, 1),
        says("frame-index", "the TABLE has frame_index 3 after two frames", 4, 3),
        says("plaintext-len", "plaintext_len of the TABLE is 1", 8, 1),
        says("body-len", "body_len of the TABLE is one more than 4 · N + 16", 12, 25),
        with("table-one-more", "a whole TABLE of three frames after two", SegmentRecords::TableOfFrames(3)),
        with("table-one-less", "a whole TABLE of one frame after two", SegmentRecords::TableOfFrames(1)),
    ]
}

fn table_lengths() -> Vec<Case> {
    let says = |name: &str, comment: &str, at, len: u32| {
        let plan = small().edit(TABLE, LENGTHS + at, &len.to_le_bytes());
        Case::damaged(&format!("zstd-table-{name}"), comment, plan.seal())
    };
    let swapped = Plan::compressed(&[&[run(FRAME), Frame::Plain(FRAME), Frame::Plain(100)]])
        .edit(TABLE, LENGTHS, &(FRAME_LEN + 16).to_le_bytes())
        .edit(TABLE, LENGTHS + 4, &27_u32.to_le_bytes());
    vec![
        says(
            "length-above",
            "the TABLE says one byte more than the second frame has, under a right tag",
            4,
            117,
        ),
        says(
            "length-below",
            "the TABLE says one byte less than the second frame has, under a right tag",
            4,
            115,
        ),
        says("length-0", "a length in the TABLE is 0", 0, 0),
        says("length-16", "a length in the TABLE is 16, a frame without text", 0, 16),
        says("length-huge", "a length in the TABLE is 2^32 - 1", 0, u32::MAX),
        Case::damaged(
            "zstd-table-lengths-swapped",
            "the lengths of two frames have changed places in the TABLE, so that their sum is right",
            swapped.seal(),
        ),
        Case::damaged(
            "zstd-table-length-flipped",
            "a bit of a length in the TABLE is wrong",
            small().seal().flip(TABLE, LENGTHS),
        ),
        with(
            "table-other-tag",
            "the tag of the TABLE is another, and digest and chain are made for it: only the tag shows it",
            SegmentRecords::TableOfOtherTag,
        )
        .keyless(Expect::Success),
        Case::damaged(
            "zstd-table-tag",
            "a bit of the tag of the TABLE is wrong",
            small().seal().flip_last(TABLE),
        ),
    ]
}

fn digests() -> Vec<Case> {
    let digest = Record::Digest(0);
    vec![
        with(
            "digest-without-plaintext-digest",
            "DIGEST has 64 bytes, as in a stream that is not compressed",
            SegmentRecords::DigestOfOtherLen,
        ),
        plain_with(
            "zstd-digest-in-a-plain-stream",
            "DIGEST has 96 bytes in a stream that is not compressed",
            SegmentRecords::DigestOfOtherLen,
        ),
        with(
            "plaintext-digest",
            "the plaintext digest is another, and digest, tag and entry are made for it: only the plaintext shows it",
            SegmentRecords::OtherPlaintextDigest,
        )
        .keyless(Expect::Success),
        Case::damaged(
            "zstd-plaintext-digest-alone",
            "the plaintext digest is another under a right tag, and the digest is that of the right one",
            small().edit(digest, 48, &[0x99; 32]).seal(),
        ),
        Case::damaged(
            "zstd-digest-value",
            "the digest is another under a right tag, and the plaintext digest is right",
            small().edit(digest, 16, &[0; 32]).seal(),
        ),
        Case::damaged("zstd-digest-tag", "a bit of the tag of DIGEST is wrong", small().seal().flip_last(digest)),
    ]
}

fn trailer() -> Vec<Case> {
    let entry = |name: &str, comment: &str, at, bytes: &[u8]| {
        let plan = small().edit(Record::Page(0), ENTRY + at, bytes);
        Case::damaged(&format!("zstd-entry-{name}"), comment, plan.seal())
    };
    let wire_len = |len: u32| len.to_le_bytes();
    vec![
        entry("plaintext-digest", "the plaintext digest of the entry is not that of DIGEST", 80, &[0x99; 32]),
        entry(
            "wire-len-below",
            "wire_len is one less than 256 + 37 · N, the least of two frames (FORMAT F13.8c)",
            8,
            &wire_len(256 + 37 * 2 - 1),
        ),
        entry(
            "wire-len-above",
            "wire_len is one more than 256 + plaintext_len + 36 · N, the most of two frames (FORMAT F13.8c)",
            8,
            &wire_len(256 + FRAME_LEN + 100 + 36 * 2 + 1),
        ),
        with(
            "entry-of-80-bytes",
            "an entry of 80 bytes, without the plaintext digest",
            SegmentRecords::EntryOfOtherLen,
        ),
        plain_with(
            "zstd-entry-in-a-plain-stream",
            "an entry of 112 bytes in a stream that is not compressed",
            SegmentRecords::EntryOfOtherLen,
        ),
        Case::damaged(
            "zstd-footer-plaintext-len",
            "plaintext_len of the footer is one more than a segment can have",
            small().edit(Record::Footer, 32, &(4 * FRAME_LEN + 1).to_le_bytes()).seal(),
        ),
    ]
}
