//! Owns the streams that end too early: at every edge between records, and inside each of them.
//! Refuses to know any other fault.

use super::super::case::{Case, Expect};
use super::super::plan::{Plan, Record};

pub(super) fn cases() -> Vec<Case> {
    let last_segment_missing = Plan::of_segments(&[&[10], &[20]]).seal().cut_before(Record::Segment(1));
    inside()
        .into_iter()
        .chain(at_edges())
        .map(|(name, comment, record, at)| truncated(name, comment, Plan::small().seal().cut(record, at)))
        .chain([
            truncated("nothing", "no byte at all", Plan::small().seal().cut(Record::Preamble, 0)),
            truncated(
                "after-segment",
                "a segment that is not LAST, and nothing behind it",
                last_segment_missing,
            ),
            truncated("last-byte", "the last byte of the stream is not there", {
                let sealed = Plan::small().seal();
                let len = sealed.record(Record::Footer).len();
                sealed.cut(Record::Footer, len - 1)
            }),
        ])
        .collect()
}

type Cut = (&'static str, &'static str, Record, usize);

fn inside() -> Vec<Cut> {
    vec![
        ("magic", "inside the magic", Record::Preamble, 4),
        ("preamble", "inside the preamble", Record::Preamble, 100),
        ("preamble-padding", "one byte before the end of the preamble's block", Record::Preamble, 4095),
        ("key-copy", "inside the first key copy", Record::KeyCopy(0), 2000),
        ("second-key-copy", "one byte before the end of the second key copy", Record::KeyCopy(1), 4095),
        ("metadata-header", "inside the metadata header", Record::Metadata, 31),
        ("metadata-body", "inside the metadata's tag", Record::Metadata, 40),
        ("segment-header", "inside a segment header", Record::SegmentHeader(0), 47),
        ("frame-header", "inside a frame header", Record::Frame(0, 0), 15),
        ("frame-body", "inside a ciphertext", Record::Frame(0, 0), 20),
        ("digest", "inside DIGEST", Record::Digest(0), 40),
        ("terminator", "inside TERMINATOR", Record::Terminator(0), 79),
        ("page", "inside an index page", Record::Page(0), 100),
        ("directory", "inside the directory", Record::Directory, 39),
    ]
}

fn at_edges() -> Vec<Cut> {
    vec![
        ("before-key-area", "after the preamble", Record::KeyCopy(0), 0),
        ("before-page", "after the LAST segment", Record::Page(0), 0),
        ("before-directory", "after the last page", Record::Directory, 0),
        ("before-footer", "after the directory", Record::Footer, 0),
    ]
}

fn truncated(name: &str, comment: &str, sealed: super::super::sealed::Sealed) -> Case {
    Case::bad(&format!("truncated-{name}"), Expect::Truncated, &format!("the input ends: {comment}"), sealed)
}
