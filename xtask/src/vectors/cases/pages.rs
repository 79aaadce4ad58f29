//! Owns a stream of 4097 segments, whose index has two pages, and what can be wrong between them.
//! Refuses to know faults that a stream with one page has too.

use super::super::case::{Case, Expect};
use super::super::plan::{Plan, Record};
use super::super::zstd_frame::{Block, ZstdFrame};

const SEGMENTS: usize = 4097;
const BASE: &str = "success-two-pages";

/// One whole stream; the others are written as what differs from it.
pub(super) fn cases() -> Vec<Case> {
    let lens = vec![&[1_usize][..]; SEGMENTS];
    let plan = || Plan::of_segments(&lens);
    let whole = plan().seal();
    let base = whole.bytes.clone();
    let directory = whole.record(Record::Directory).to_vec();
    let swapped = [&directory[40..], &directory[..40]].concat();
    let damaged = |name: &str, comment: &str, sealed| {
        Case::damaged(&format!("two-pages-{name}"), comment, sealed).clause("F14.8")
    };
    let says = |name, comment, record, at, bytes: &[u8]| {
        damaged(name, comment, plan().edit(record, at, bytes).seal())
    };
    let truncated = |name: &str, comment: &str, sealed| {
        Case::bad(&format!("two-pages-{name}"), Expect::Truncated, comment, sealed).clause("F14.1")
    };
    let faults = vec![
        damaged(
            "first-mac",
            "a bit of the MAC of the page between segments is wrong",
            whole.clone().flip_last(Record::Page(0)),
        ),
        says("second-number", "the second page says that it is page 0", Record::Page(1), 8, &[0]),
        says("second-first-segment", "the second page begins with segment 0", Record::Page(1), 16, &[0; 8]),
        says(
            "second-count",
            "the second page counts 4096 entries and has one",
            Record::Page(1),
            12,
            &[0, 16],
        ),
        says(
            "last-entry-offset",
            "the segment behind the first page is said to stand before it",
            Record::Page(1),
            32,
            &[0; 8],
        ),
        says(
            "directory-swapped",
            "the directory lists the pages in the other order",
            Record::Directory,
            0,
            &swapped,
        ),
        says("counted-one", "the footer counts one page", Record::Footer, 8, &[1]),
        says("counted-4096", "the footer counts 4096 segments", Record::Footer, 24, &[0, 16]),
        truncated(
            "cut-behind-first",
            "the input ends behind the first page",
            whole.clone().cut_before(Record::Segment(SEGMENTS - 1)),
        ),
        truncated(
            "cut-before-first",
            "the input ends before the first page",
            whole.clone().cut_before(Record::Page(0)),
        ),
        truncated(
            "cut-in-first",
            "the input ends inside the first page",
            whole.clone().cut(Record::Page(0), 4096),
        ),
    ];
    let faults = faults.into_iter().map(|case| case.patch_of(BASE, &base));
    let good =
        Case::good(BASE, "4097 segments of one byte: a page behind the 4096th, and one at the end", whole);
    std::iter::once(good.clause("F3.5")).chain(faults).chain(compressed()).collect()
}

/// The same of a compressed stream, whose entries are longer.
fn compressed() -> Vec<Case> {
    const BASE: &str = "success-zstd-two-pages";
    let frames = [ZstdFrame::of(&[Block::Run(b'c', 100)]).frame()];
    let segments = vec![&frames[..]; SEGMENTS];
    let plan = || Plan::compressed(&segments);
    let whole = plan().seal();
    let damaged = |name: &str, comment: &str, sealed| {
        let case = Case::damaged(&format!("zstd-two-pages-{name}"), comment, sealed).clause("F14.8");
        case.patch_of(BASE, &whole.bytes)
    };
    let first_mac = whole.clone().flip_last(Record::Page(0));
    let last_salt = plan().edit(Record::Page(1), 32 + 32, &[0; 16]).seal();
    let faults = [
        damaged("first-mac", "a bit of the MAC of the page between segments is wrong", first_mac),
        damaged("last-entry-salt", "the attempt salt is not that of the segment header", last_salt),
    ];
    let comment = "4097 compressed segments of one frame: a page behind the 4096th, and one at the end";
    let good = Case::good(BASE, comment, whole.clone()).clause("F3.5");
    std::iter::once(good).chain(faults).collect()
}
