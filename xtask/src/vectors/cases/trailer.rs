//! Owns the faults of index page, directory and footer, and what stands behind the end.
//! Refuses to know how a reader uses the index.

use super::super::case::{Case, Expect};
use super::super::plan::{Plan, Record};
use super::super::sealed::Sealed;

const ENTRY: usize = 32;
/// In an entry of the directory.
const PAGE_MAC: usize = 8;

pub(super) fn cases() -> Vec<Case> {
    let faults = [pages(), entries(), directories(), footers(), after_the_end()].into_iter().flatten();
    let faults = faults.map(|case| case.clause("F14.8"));
    faults.chain(pages_missing().map(|case| case.clause("F14.1"))).chain(abandoned()).collect()
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

fn directories() -> Vec<Case> {
    let says = |name, comment, at, bytes: &[u8]| says(name, comment, Record::Directory, at, bytes);
    vec![
        says("directory-offset", "the directory says another offset of the page, under a right MAC", 0, &[0]),
        says(
            "directory-page-mac",
            "the directory says another MAC than the page's, under a right MAC of the footer",
            PAGE_MAC,
            &[0; 32],
        ),
    ]
}

fn footers() -> Vec<Case> {
    let says = |name, comment, at, bytes: &[u8]| says(name, comment, Record::Footer, at, bytes);
    vec![
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

/// What is left decides: a whole record is judged, half a one never.
fn pages_missing() -> [Case; 2] {
    let page_missing = Plan::small().seal().without(Record::Page(0));
    let both_missing = Plan::small().seal().without(Record::Directory).without(Record::Page(0));
    [
        Case::damaged(
            "page-missing",
            "the directory follows the last segment: 152 bytes are left, and the first 144 are no page",
            page_missing,
        ),
        Case::bad(
            "page-and-directory-missing",
            Expect::Truncated,
            "the footer follows the last segment: 112 bytes are left where a page has 144",
            both_missing,
        ),
    ]
}

/// What an attempt leaves that sealed the segment under another salt and was abandoned: all of it is authentic, and
/// none of it belongs to the stream.
fn abandoned() -> Vec<Case> {
    let older = Plan::small().with(|plan| plan.segments[0].attempt = 1).seal();
    let put = |sealed: Sealed, record| sealed.replace(record, older.record(record));
    let with_page = put(Plan::small().seal(), Record::Page(0));
    let with_both = put(put(Plan::small().seal(), Record::Page(0)), Record::Segment(0));
    let damaged = |name, comment, sealed| Case::damaged(name, comment, sealed).clause("F9.5");
    vec![
        damaged(
            "page-of-an-older-attempt",
            "a page of an abandoned attempt, whose own MAC is right; directory and footer are the final ones",
            with_page,
        ),
        damaged(
            "page-and-segment-of-an-older-attempt",
            "the segment of an abandoned attempt and the page that lists it; directory and footer are the final ones",
            with_both,
        ),
        damaged(
            "footer-of-another-attempt",
            "all is of one attempt but the footer, which is of another",
            put(Plan::small().seal(), Record::Footer),
        ),
    ]
}
