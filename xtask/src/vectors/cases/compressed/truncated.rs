//! Owns compressed streams that end inside or after a record that only they have: which are judged, and which are not whole.
//! Refuses to know ends inside of other records.

use super::super::super::case::{Case, Expect};
use super::super::super::plan::{Plan, Record, SegmentRecords};
use super::super::super::sealed::Sealed;
use super::{FIRST, of_text, small};

const TABLE: Record = Record::Table(0);
const DIGEST: Record = Record::Digest(0);

pub(super) fn cases() -> Vec<Case> {
    let cases = [preamble(), frames(), tables(), digests()];
    cases.into_iter().flatten().map(|case| case.clause("F14.1")).collect()
}

fn truncated(name: &str, comment: &str, sealed: Sealed) -> Case {
    Case::bad(&format!("zstd-cut-{name}"), Expect::Truncated, comment, sealed)
}

fn damaged(name: &str, comment: &str, sealed: Sealed) -> Case {
    Case::damaged(&format!("zstd-cut-{name}"), comment, sealed)
}

fn preamble() -> Vec<Case> {
    let sealed = small().seal().cut_after(Record::Preamble);
    vec![truncated("after-preamble", "a compressed stream ends after its preamble", sealed)]
}

fn frames() -> Vec<Case> {
    let no_zstd = || of_text(100, vec![b'c'; 50]).seal();
    vec![
        truncated("in-bad-frame", "half of a compressed frame that is no zstd", no_zstd().cut(FIRST, 40)),
        damaged(
            "after-bad-frame",
            "a compressed frame that is no zstd, and nothing after it",
            no_zstd().cut_after(FIRST),
        )
        .keyless(Expect::Truncated),
        damaged(
            "after-bad-frame-header",
            "a header of a compressed frame with body_len 16, and no body",
            of_text(100, Vec::new()).seal().cut(FIRST, 16),
        ),
    ]
}

fn tables() -> Vec<Case> {
    let says = |at, byte| small().edit(TABLE, at, &[byte]).seal();
    vec![
        truncated(
            "before-table",
            "the input ends where the TABLE is expected",
            small().seal().cut_before(TABLE),
        ),
        truncated(
            "in-bad-table-header",
            "15 bytes of a TABLE with frame_index 3 after two",
            says(4, 3).cut(TABLE, 15),
        ),
        damaged(
            "after-bad-table-header",
            "the header of a TABLE with frame_index 3 after two",
            says(4, 3).cut(TABLE, 16),
        ),
        truncated(
            "in-bad-table",
            "a TABLE with a wrong length that is cut in its tag",
            says(16, 0).cut(TABLE, 39),
        ),
        damaged(
            "after-bad-table",
            "a TABLE with a wrong length, and nothing after it",
            says(16, 0).cut_after(TABLE),
        ),
        truncated("after-table", "the input ends after a right TABLE", small().seal().cut_after(TABLE)),
    ]
}

fn digests() -> Vec<Case> {
    let other = |records| small().with(|plan: &mut Plan| plan.segments[0].records = records).seal();
    vec![
        damaged(
            "after-bad-digest-header",
            "the header of a DIGEST of 64 bytes, and nothing after it",
            other(SegmentRecords::DigestOfOtherLen).cut(DIGEST, 16),
        ),
        truncated(
            "after-bad-digest",
            "a DIGEST with another plaintext digest and no TERMINATOR: the two are one unit",
            other(SegmentRecords::OtherPlaintextDigest).cut_after(DIGEST),
        ),
    ]
}
