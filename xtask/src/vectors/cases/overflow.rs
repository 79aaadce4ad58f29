//! Owns numbers that overflow 32 or 64 bits if they are added or multiplied, and the largest that are allowed.
//! Refuses to know the limits of the preamble and of slots.

use super::super::case::{Case, Expect};
use super::super::plan::{Plan, Record};

pub(super) fn cases() -> Vec<Case> {
    [sums(), limits(), largest()].into_iter().flatten().map(|case| case.clause("F1.10")).collect()
}

fn says(name: &str, comment: &str, record: Record, at: usize, bytes: &[u8]) -> Case {
    Case::damaged(name, comment, Plan::small().edit(record, at, bytes).seal())
}

fn sums() -> Vec<Case> {
    let (page, directory, footer) = (Record::Page(0), Record::Directory, Record::Footer);
    let most = [0xFF; 8];
    let wrapped = (0_u64.wrapping_sub(152)).to_le_bytes();
    vec![
        says("overflow-plaintext-offset", "plaintext_offset 2^64 - 1", Record::SegmentHeader(0), 16, &most),
        says("overflow-segment-index", "segment index 2^64 - 1", Record::SegmentHeader(0), 8, &most),
        says("overflow-terminator-len", "plaintext_len 2^64 - 1", Record::Terminator(0), 24, &most),
        says("overflow-terminator-frames", "N 2^32 - 1", Record::Terminator(0), 16, &[0xFF; 4]),
        says(
            "overflow-frame-index",
            "frame_index 2^32 - 1 in a DATA frame",
            Record::Frame(0, 0),
            4,
            &[0xFF; 4],
        ),
        says("overflow-digest-index", "frame_index 2^32 - 1 in DIGEST", Record::Digest(0), 4, &[0xFF; 4]),
        says("overflow-entry-wire-offset", "wire_offset 2^64 - 1 in an entry", page, 32, &most),
        says("overflow-entry-wire-len", "wire_len 2^64 - 1 in an entry", page, 40, &most),
        says("overflow-entry-plaintext-offset", "plaintext_offset 2^64 - 1 in an entry", page, 48, &most),
        says("overflow-entry-counts", "plaintext_len and N 2^32 - 1 in an entry", page, 56, &most),
        says("overflow-page-number", "page 2^32 - 1", page, 8, &[0xFF; 4]),
        says("overflow-page-first-segment", "first_segment 2^64 - 1", page, 16, &most),
        says("overflow-directory-offset", "a page at offset 2^64 - 1", directory, 0, &most),
        says(
            "overflow-directory-offset-wraps",
            "a page at an offset that comes to 0 where the page's length is added",
            directory,
            0,
            &(0_u64.wrapping_sub(144)).to_le_bytes(),
        ),
        says("overflow-footer-directory-offset", "directory_offset 2^64 - 1", footer, 16, &most),
        Case::damaged(
            "overflow-footer-wraps",
            "directory_offset 2^64 - 152 and wire_len 0, which agree in 64 bits that wrap",
            Plan::small().edit(footer, 16, &wrapped).edit(footer, 40, &[0; 8]).seal(),
        ),
        says("overflow-footer-plaintext-len", "plaintext_len 2^64 - 1", footer, 32, &most),
        says("overflow-footer-wire-len", "wire_len 2^64 - 1", footer, 40, &most),
    ]
}

/// Counts beyond a limit that contradict the real length: damage, for whoever reads in whatever order (F2.4).
fn limits() -> Vec<Case> {
    let footer = Record::Footer;
    vec![
        says("footer-pages-above-limit", "2^24 + 1 pages where there is one", footer, 8, &[1, 0, 0, 1]),
        says("footer-pages-0", "no page", footer, 8, &[0; 4]),
        says("footer-segments-0", "no segment", footer, 24, &[0; 8]),
        says("footer-segments-above-limit", "2^32 + 1 segments where there is one", footer, 28, &[1]),
        says("overflow-footer-segments", "2^64 - 1 segments", footer, 24, &[0xFF; 8]),
        says("overflow-footer-pages", "2^32 - 1 pages", footer, 8, &[0xFF; 4]),
        says("page-count-above-limit", "8193 entries where there is one", Record::Page(0), 13, &[0x20]),
        says("page-count-0", "no entry where there is one", Record::Page(0), 12, &[0]),
    ]
}

fn largest() -> Vec<Case> {
    let entry = |value_len: usize| {
        let mut entry = 1_u16.to_le_bytes().to_vec();
        entry.extend(u32::try_from(value_len).expect("a vector's values are short").to_le_bytes());
        entry.push(b'k');
        entry.extend(vec![b'v'; value_len]);
        entry
    };
    let value_len = (64 << 10) - 7;
    let value = "v".repeat(value_len);
    let overrun = b"\x01\0\xff\xff\xff\xffk".to_vec();
    let key_overrun = b"\xff\xff\0\0\0\0k".to_vec();
    vec![
        Case::good(
            "success-largest-metadata",
            "body_len is 64 KiB and a tag, the limit itself",
            Plan::small().with(|plan| plan.metadata = entry(value_len)).seal(),
        )
        .metadata(&[("k", &value)]),
        Case::damaged(
            "overflow-metadata-value",
            "a value of 2^32 - 1 bytes",
            Plan::small().with(|plan| plan.metadata = overrun).seal(),
        )
        .keyless(Expect::Success),
        Case::damaged(
            "overflow-metadata-key",
            "a key of 65535 bytes where there is one",
            Plan::small().with(|plan| plan.metadata = key_overrun).seal(),
        )
        .keyless(Expect::Success),
        Case::bad(
            "overflow-metadata-body-len",
            Expect::Limit,
            "body_len 2^32 - 1",
            Plan::small().edit(Record::Metadata, 16, &[0xFF; 4]).seal(),
        ),
    ]
}
