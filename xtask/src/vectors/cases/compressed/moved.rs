//! Owns whole records of compressed streams in another place: frames, TABLEs and segments, of the stream itself and of an attempt
//! that was abandoned. Refuses to know records that say something wrong.

use super::super::super::case::Case;
use super::super::super::plan::{Frame, Hash, Plan, Record, SegmentRecords};
use super::super::super::sealed::Sealed;
use super::{FIRST, FRAME, run, small};

pub(super) fn cases() -> Vec<Case> {
    let frames = frames().into_iter().map(|case| case.clause("F14.6"));
    let tables = tables().into_iter().map(|case| case.clause("F14.7"));
    let segments = segments().into_iter().map(|case| case.clause("F9.5"));
    frames.chain(tables).chain(segments).chain(tags().into_iter().map(|case| case.clause("F14.7"))).collect()
}

fn damaged(name: &str, comment: &str, sealed: Sealed) -> Case {
    Case::damaged(&format!("zstd-{name}"), comment, sealed)
}

/// Two segments of the same frames: their TABLEs say the same.
fn twins() -> Plan {
    Plan::compressed(&[&[run(FRAME), run(100)], &[run(FRAME), run(100)]])
}

fn older() -> Sealed {
    small().with(|plan| plan.segments[0].attempt = 1).seal()
}

fn frames() -> Vec<Case> {
    let full = Plan::compressed(&[&[run(FRAME), run(FRAME)]]).seal();
    vec![
        damaged(
            "frames-swapped",
            "two full compressed frames have changed places",
            full.clone().swapped(FIRST, Record::Frame(0, 1)),
        ),
        damaged(
            "frame-dropped",
            "the second of two compressed frames is not there",
            full.without(Record::Frame(0, 1)),
        ),
        damaged(
            "frame-of-another-segment",
            "DATA 0 of segment 1 in the place of DATA 0 of segment 0",
            taken(twins().seal(), FIRST, Record::Frame(1, 0)),
        ),
    ]
}

fn tables() -> Vec<Case> {
    let table = Record::Table(0);
    let old = older();
    vec![
        damaged(
            "table-of-another-segment",
            "the TABLE of segment 1, which says the same, in the place of that of segment 0",
            taken(twins().seal(), table, Record::Table(1)),
        ),
        damaged(
            "table-of-an-older-attempt",
            "the TABLE of an abandoned attempt, which says the same",
            small().seal().replace(table, old.record(table)),
        ),
    ]
}

fn segments() -> Vec<Case> {
    let old = older();
    let put = |sealed: Sealed, record| sealed.replace(record, old.record(record));
    vec![
        damaged(
            "segment-of-an-older-attempt",
            "the segment of an abandoned attempt; page, directory and footer are the final ones",
            put(small().seal(), Record::Segment(0)),
        ),
        damaged(
            "page-and-segment-of-an-older-attempt",
            "the segment of an abandoned attempt and the page that lists it; directory and footer are the final ones",
            put(put(small().seal(), Record::Page(0)), Record::Segment(0)),
        ),
    ]
}

/// Where fragments are tags, that of the TABLE is one as well.
fn tags() -> Vec<Case> {
    let tags = |records| {
        small().with(|plan| {
            plan.digest = Hash::Tags;
            plan.segments[0].records = records;
        })
    };
    let last_of_two = Plan::compressed(&[&[run(FRAME)], &[run(FRAME), Frame::Plain(100)]])
        .with(|plan| plan.segments[1].records = SegmentRecords::TableOfFrames(1));
    vec![
        damaged(
            "tags-table-tag",
            "a bit of the tag of the TABLE is wrong in a stream whose digest is made of tags",
            tags(SegmentRecords::Due).seal().flip_last(Record::Table(0)),
        )
        .refused_without_a_key(),
        damaged(
            "tags-plaintext-digest",
            "the plaintext digest is another in a stream whose digest is made of tags",
            tags(SegmentRecords::OtherPlaintextDigest).seal(),
        )
        .refused_without_a_key(),
        damaged(
            "table-one-less-in-the-last",
            "a TABLE of one frame after two, in the second segment",
            last_of_two.seal(),
        ),
    ]
}

/// `record` is replaced by a copy of `other`.
fn taken(sealed: Sealed, record: Record, other: Record) -> Sealed {
    let bytes = sealed.record(other).to_vec();
    sealed.replace(record, &bytes)
}
