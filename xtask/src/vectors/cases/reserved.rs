//! Owns every reserved byte and every flag of segments and frames (FORMAT §§7 and 8), one set at a time.
//! Refuses to know those of the preamble, of key copies and of the trailer.

use super::super::case::Case;
use super::super::plan::{Plan, Record};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for at in 24..28 {
        let flag = format!("bit {} of the flags is set", 8 * (at - 24));
        cases.push(says("segment", &format!("flags-{at}"), &flag, Record::SegmentHeader(0), at, 1, "F14.5"));
    }
    for at in 28..32 {
        let what = format!("byte {at}, reserved, is 1");
        cases.push(says(
            "segment",
            &format!("reserved-{at}"),
            &what,
            Record::SegmentHeader(0),
            at,
            1,
            "F14.5",
        ));
    }
    for (frame, record, clause) in [
        ("frame", Record::Frame(0, 0), "F14.6"),
        ("digest", Record::Digest(0), "F14.7"),
        ("terminator", Record::Terminator(0), "F14.7"),
    ] {
        for (name, what, at, value) in [
            ("flags-0", "bit 0 of the flags is set", 1, 1),
            ("flags-7", "bit 7 of the flags is set", 1, 0x80),
            ("reserved-2", "byte 2, reserved, is 1", 2, 1),
            ("reserved-3", "byte 3, reserved, is 1", 3, 1),
            ("kind-4", "the kind is 4", 0, 4),
            ("kind-255", "the kind is 255", 0, 0xFF),
        ] {
            cases.push(says(frame, name, what, record, at, value, clause));
        }
    }
    for record in [Record::Digest(0), Record::Terminator(0)] {
        let frame = if record == Record::Digest(0) { "digest" } else { "terminator" };
        cases.push(says(frame, "says-plaintext", "plaintext_len is 1", record, 8, 1, "F14.7"));
        cases.push(says(frame, "body-len", "body_len is one more than it is", record, 12, 65, "F14.7"));
    }
    for (bit, at, value) in [(7, 20, 0x81), (8, 21, 1), (16, 22, 1), (31, 23, 0x80)] {
        let what = format!("flag bit {bit} of TERMINATOR is set beside LAST");
        cases.push(says(
            "terminator",
            &format!("flag-{bit}"),
            &what,
            Record::Terminator(0),
            at,
            value,
            "F14.7",
        ));
    }
    cases
}

fn says(
    record_name: &str,
    name: &str,
    comment: &str,
    record: Record,
    at: usize,
    value: u8,
    clause: &str,
) -> Case {
    let comment = format!("{record_name}: {comment}");
    let sealed = Plan::small().edit(record, at, &[value]).seal();
    Case::damaged(&format!("zero-{record_name}-{name}"), &comment, sealed).clause(clause)
}
