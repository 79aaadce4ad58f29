//! Owns streams that end inside or behind a record that is wrong, and streams with two faults: which of them is reported.
//! Refuses to know streams with one fault.

use super::super::case::{Case, Expect};
use super::super::plan::{Hash, Plan, Record, Stage};
use super::super::sealed::Sealed;

const METADATA: Record = Record::Metadata;
const HEADER: Record = Record::SegmentHeader(0);
const FRAME: Record = Record::Frame(0, 0);
const MAC: usize = 4096 - 64;

pub(super) fn cases() -> Vec<Case> {
    [halves(), wholes(), two_faults(), behind_a_bad_key_copy(), refused_early()]
        .into_iter()
        .flatten()
        .collect()
}

/// A record that is not whole is not judged: *truncated*, whatever its bytes.
fn halves() -> Vec<Case> {
    let case = |name: &str, comment: &str, plan: Plan, record, at| {
        Case::bad(&format!("unit-half-{name}"), Expect::Truncated, comment, plan.seal().cut(record, at))
    };
    let bad_copies = Plan::small().edit_key_copies(Stage::Fields, 0, b"X");
    let text = "half a record that is wrong:";
    vec![
        case("preamble", &format!("{text} the preamble"), bad(Record::Preamble, 8), Record::Preamble, 4095),
        case("key-area", &format!("{text} the key area"), bad_copies, Record::KeyCopy(1), 4095),
        case("metadata-head", &format!("{text} the metadata's head"), bad(METADATA, 20), METADATA, 31),
        case(
            "metadata-body",
            "half a metadata body whose entries are wrong",
            Plan::small().with(|plan| plan.metadata = vec![1, 0, 0, 0, 0, 0]),
            METADATA,
            32 + 6,
        ),
        case("segment-header", &format!("{text} a segment header"), bad(HEADER, 0), HEADER, 47),
        case("frame-header", &format!("{text} a frame header"), bad(FRAME, 0), FRAME, 15),
        case(
            "digest",
            "a DIGEST with another digest, and no TERMINATOR: the two are one unit",
            bad(Record::Digest(0), 16),
            Record::Terminator(0),
            0,
        ),
        case(
            "terminator-kind",
            "a TERMINATOR of the wrong kind that is cut in its tag",
            bad(Record::Terminator(0), 0),
            Record::Terminator(0),
            79,
        ),
        case("page", &format!("{text} a page"), bad(Record::Page(0), 0), Record::Page(0), 143),
        case("directory", &format!("{text} the directory"), bad(Record::Directory, 0), Record::Directory, 39),
        case("footer", &format!("{text} the footer"), bad(Record::Footer, 0), Record::Footer, 111),
    ]
}

/// A record that is whole is judged, though the input ends behind it.
fn wholes() -> Vec<Case> {
    let case = |name: &str, comment: &str, plan: Plan, record, at| {
        Case::damaged(&format!("unit-whole-{name}"), comment, plan.seal().cut(record, at))
    };
    let bad_copies = Plan::small().edit_key_copies(Stage::Fields, 0, b"X");
    vec![
        case("key-area", "two wrong key copies and nothing behind them", bad_copies, METADATA, 0),
        case(
            "metadata-head",
            "a wrong head of the metadata without its body",
            bad(METADATA, 20),
            METADATA,
            32,
        ),
        case("segment-header", "a wrong segment header and nothing behind it", bad(HEADER, 0), FRAME, 0),
        case("frame-header", "a wrong frame header without its body", bad(FRAME, 2), FRAME, 16),
        case(
            "digest-header",
            "a wrong frame header of DIGEST, without the rest of it",
            bad(Record::Digest(0), 1),
            Record::Digest(0),
            16,
        ),
        case(
            "closing",
            "a wrong DIGEST, its TERMINATOR, and nothing behind them",
            bad(Record::Digest(0), 1),
            Record::Page(0),
            0,
        ),
        case("page", "a wrong page and nothing behind it", bad(Record::Page(0), 0), Record::Directory, 0),
        case("directory", "a wrong directory and no footer", bad(Record::Directory, 0), Record::Footer, 0),
    ]
}

/// Of two faults the first on the wire is reported.
fn two_faults() -> Vec<Case> {
    vec![
        case(
            "version-and-frame-len",
            Expect::Unsupported,
            "version 255, and frame_len 0: the preamble's fields in their order",
            bad(Record::Preamble, 8).edit(Record::Preamble, 16, &[0; 4]).seal().cut_after(Record::Preamble),
        ),
        case(
            "reserved-and-key-copy-len",
            Expect::Limit,
            "a reserved byte of the preamble is 255, and L is 4096 bytes above 256 KiB: reserved bytes come last",
            bad(Record::Preamble, 24)
                .edit(Record::Preamble, 112, &((256_u32 << 10) + 4096).to_le_bytes())
                .seal()
                .cut_after(Record::Preamble),
        ),
        case(
            "key-area-and-metadata",
            Expect::Damaged,
            "the MAC of both key copies is wrong, and body_len of the metadata is 2^32 - 1",
            limit(Plan::small().edit_key_copies(Stage::BeforeChecksum, MAC, &[0; 32])).seal(),
        )
        .keyless(Expect::Limit),
        case(
            "metadata-and-frame",
            Expect::Limit,
            "body_len of the metadata is 2^32 - 1, and a frame is of kind 255",
            limit(bad(FRAME, 0)).seal(),
        ),
        case(
            "frame-and-cut",
            Expect::Damaged,
            "a bit of a frame's tag is wrong, and the input ends inside TERMINATOR",
            Plan::small().seal().flip_last(FRAME).cut(Record::Terminator(0), 40),
        )
        .keyless(Expect::Truncated),
        case(
            "footer-and-behind-it",
            Expect::Damaged,
            "the footer's magic is another, and a byte stands behind it",
            bad(Record::Footer, 0).seal().append(&[0]),
        ),
    ]
}

/// A bad key copy that a restore can do without, and a fault behind it: to a complete verification the first is the first.
fn behind_a_bad_key_copy() -> Vec<Case> {
    let first_copy_bad = |plan: Plan| plan.seal().flip_last(Record::KeyCopy(0));
    vec![
        case(
            "cut-and-first-key-copy",
            Expect::Truncated,
            "the checksum of the first key copy is wrong, and the input ends inside a segment header: to a restore the \
             first is a warning, to a complete verification the first fault (FORMAT F5.16)",
            first_copy_bad(Plan::small()).cut(HEADER, 12),
        )
        .verifies_as_damaged(),
        case(
            "metadata-cut-and-first-key-copy",
            Expect::Truncated,
            "the checksum of the first key copy is wrong, and the input ends inside the metadata (FORMAT F5.16)",
            first_copy_bad(Plan::small()).cut(METADATA, 40),
        )
        .verifies_as_damaged(),
        case(
            "limit-and-first-key-copy",
            Expect::Limit,
            "the checksum of the first key copy is wrong, and body_len of the metadata is 2^32 - 1 (FORMAT F5.16)",
            first_copy_bad(limit(Plan::small())),
        )
        .verifies_as_damaged(),
    ]
}

fn case(name: &str, expect: Expect, comment: &str, sealed: Sealed) -> Case {
    Case::bad(&format!("two-faults-{name}"), expect, comment, sealed)
}

/// The metadata's body_len is 2^32 - 1 besides.
fn limit(plan: Plan) -> Plan {
    plan.edit(METADATA, 16, &[0xFF; 4])
}

/// A reader without a key refuses *tags* as soon as the preamble has said so (F13.12).
fn refused_early() -> Vec<Case> {
    let tags = || Plan::small().with(|plan| plan.digest = Hash::Tags);
    vec![
        Case::damaged(
            "tags-metadata-reserved",
            "the digest is tags, and a reserved byte of the metadata is 1",
            tags().edit(METADATA, 20, &[1]).seal(),
        )
        .keyless(Expect::Unsupported),
        Case::bad(
            "tags-cut-behind-preamble",
            Expect::Truncated,
            "the digest is tags, and the input ends behind the preamble",
            tags().seal().cut_after(Record::Preamble),
        )
        .keyless(Expect::Unsupported),
        Case::damaged(
            "tags-preamble-reserved",
            "the digest is tags, and a reserved byte of the preamble is 1: the preamble is judged whole",
            tags().edit(Record::Preamble, 24, &[1]).seal().cut_after(Record::Preamble),
        ),
    ]
}

/// The record says 0xFF there: a version, a kind, a magic, a flag or a reserved byte that it must not have.
fn bad(record: Record, at: usize) -> Plan {
    Plan::small().edit(record, at, &[0xFF])
}
