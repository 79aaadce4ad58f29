//! Owns the faults of index page, directory and footer, and what stands behind the end.
//! Refuses to know how a reader uses the index.

use super::super::case::{Case, Expect};
use super::super::plan::{Plan, Record};

const ENTRY: usize = 32;

pub(super) fn cases() -> Vec<Case> {
    let faults = [pages(), entries(), footers(), after_the_end()].into_iter().flatten();
    faults.map(|case| case.clause("F14.8")).chain([page_missing()]).collect()
}

/// The record says this from the beginning, under a right MAC.
fn says(name: &str, comment: &str, record: Record, at: usize, bytes: &[u8]) -> Case {
    Case::damaged(name, comment, Plan::small().edit(record, at, bytes).seal())
}

fn pages() -> Vec<Case> {
    let says = |name, comment, at, bytes: &[u8]| says(name, comment, Record::Page(0), at, bytes);
    vec![
        says("page-magic", "another magic", 0, b"X"),
        says("page-number", "the first page has number 1", 8, &[1]),
        says("page-count-huge", "count 2^32 - 1", 12, &[0xFF; 4]),
        says("page-first-segment", "the first page begins with segment 1", 16, &[1]),
        says("page-reserved", "a reserved byte is 1", 24, &[1]),
        Case::damaged(
            "page-mac",
            "a bit of the MAC is wrong",
            Plan::small().seal().flip_last(Record::Page(0)),
        ),
    ]
}

fn entries() -> Vec<Case> {
    let says = |name, comment, at, bytes: &[u8]| says(name, comment, Record::Page(0), ENTRY + at, bytes);
    vec![
        says("entry-wire-offset", "wire_offset is one byte further than the segment", 0, &[49]),
        says("entry-wire-len", "wire_len is 0", 8, &[0]),
        says("entry-plaintext-offset", "plaintext_offset 1 for the first segment", 16, &[1]),
        says("entry-plaintext-len", "plaintext_len 11 for 10 bytes", 24, &[11]),
        says("entry-frames", "N 2 for one frame", 28, &[2]),
        says("entry-attempt-salt", "the attempt salt is not that of the segment header", 32, &[0; 16]),
        says("entry-digest", "the digest is not that of the DIGEST frame", 48, &[0; 32]),
    ]
}

fn footers() -> Vec<Case> {
    let says = |name, comment, at, bytes: &[u8]| says(name, comment, Record::Footer, at, bytes);
    vec![
        Case::damaged(
            "directory-offset",
            "the directory says another offset of the page, under a right MAC",
            Plan::small().edit(Record::Directory, 0, &[0]).seal(),
        ),
        says("footer-magic", "another magic", 0, b"X"),
        says("footer-pages", "two pages where there is one", 8, &[2]),
        says("footer-reserved", "a reserved byte is 1", 12, &[1]),
        says("footer-directory-offset", "directory_offset is 0", 16, &[0; 8]),
        says("footer-segments", "two segments where there is one", 24, &[2]),
        says("footer-plaintext-len", "plaintext_len 11 for 10 bytes", 32, &[11]),
        says("footer-wire-len", "wire_len is 0", 40, &[0; 8]),
        says("footer-stream-digest", "the stream digest is another", 48, &[0; 32]),
        Case::damaged(
            "footer-mac",
            "a bit of the MAC is wrong",
            Plan::small().seal().flip_last(Record::Footer),
        ),
    ]
}

fn after_the_end() -> Vec<Case> {
    let sealed = Plan::small().seal().append(&[0]);
    vec![Case::damaged("after-the-footer", "one zero byte behind the footer", sealed)]
}

/// What is left is shorter than a page, and half a record is never judged.
fn page_missing() -> Case {
    Case::bad(
        "page-missing",
        Expect::Truncated,
        "the directory follows the last segment: 120 bytes are left where a page has 144",
        Plan::small().seal().without(Record::Page(0)),
    )
    .clause("F14.1")
}
