//! Owns what an index may claim whose every MAC is right: nothing that its entries, pages and footer do not make true.
//! Refuses to know segments: each claim is refused by the record that makes it, before what it speaks of is read.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod streams;

use cofferdam::{Error, ErrorKind};
use framing::{IndexEntry, SegmentIndex};

use streams::forge::{Claims, Forger};
use streams::{FRAME, Reading, SEGMENT, Shared, counted, opener, seal, small_sealer, verify};

const SEGMENTS: usize = 3;

fn genuine() -> Vec<u8> {
    seal(&small_sealer(), counted((SEGMENTS - 1) * SEGMENT + FRAME + 5))
}

fn refusal(edit: impl FnOnce(&mut Claims)) -> Error {
    let forged = Forger::of(&genuine()).finish_with(edit);
    let refused = verify(&opener(), Reading::Placed, Shared::new(forged)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Damaged, "{refused}");
    refused
}

fn assert_refused_by(record: &str, what: &str, edit: impl FnOnce(&mut Claims)) {
    let refused = refusal(edit);
    let due = format!("the {record} is not what the segments say");
    assert!(refused.to_string().starts_with(&due), "{what}: {refused}");
}

#[test]
fn an_index_that_claims_what_is_so_is_believed() {
    let genuine = genuine();
    assert_eq!(Forger::of(&genuine).finish(), genuine);
    verify(&opener(), Reading::Placed, Shared::new(genuine)).unwrap();
}

/// FORMAT F8.9, F9.1 and F9.2: each field of an entry follows from those before and from its own plaintext length.
#[test]
fn an_entry_that_is_off_by_one_in_any_field_is_refused_where_it_stands() {
    type Edit = fn(&mut IndexEntry, u64);
    let fields: [(&str, Edit); 5] = [
        ("wire_offset", |entry, by| entry.wire_offset = entry.wire_offset.wrapping_add(by)),
        ("wire_len", |entry, by| entry.wire_len = entry.wire_len.wrapping_add(by)),
        ("plaintext_offset", |entry, by| entry.plaintext_offset = entry.plaintext_offset.wrapping_add(by)),
        ("plaintext_len", |entry, by| entry.plaintext_len = entry.plaintext_len.wrapping_add(by as u32)),
        ("frame_count", |entry, by| entry.frame_count = entry.frame_count.wrapping_add(by as u32)),
    ];
    for index in 0..SEGMENTS {
        for (field, edit) in fields {
            for by in [1, u64::MAX] {
                let refused = refusal(|claims| edit(&mut claims.page.entries[index], by));
                let what = format!("{field} of segment {index}, {by}: {refused}");
                assert!(refused.to_string().starts_with("the index page is not"), "{what}");
                assert_eq!(refused.segment(), Some(index as u64), "{what}");
            }
        }
    }
}

/// An entry that agrees with itself, of `plaintext_len` bytes in `frame_count` frames: FORMAT F8.9.
fn resize(entry: &mut IndexEntry, plaintext_len: usize, frame_count: u32) {
    entry.plaintext_len = plaintext_len as u32;
    entry.frame_count = frame_count;
    entry.wire_len = 192 + plaintext_len as u64 + 32 * u64::from(frame_count);
}

/// FORMAT F8.8.
#[test]
fn an_empty_segment_that_is_not_the_last_is_refused_where_it_stands() {
    for index in 0..SEGMENTS - 1 {
        let refused = refusal(|claims| resize(&mut claims.page.entries[index], 0, 0));
        assert!(refused.to_string().starts_with("the index page is not"), "{refused}");
        assert_eq!(refused.segment(), Some(index as u64), "{refused}");
    }
}

/// FORMAT F8.3: frames_per_segment is the most.
#[test]
fn a_segment_longer_than_its_streams_are_is_refused_where_it_stands() {
    for (len, frames) in [(SEGMENT + 1, 5), (SEGMENT + FRAME, 5), (2 * SEGMENT, 8)] {
        let refused = refusal(|claims| resize(&mut claims.page.entries[0], len, frames));
        assert!(refused.to_string().starts_with("the index page is not"), "{len}: {refused}");
        assert_eq!(refused.segment(), Some(0), "{len}: {refused}");
    }
}

/// The page is 304 bytes long, so these reach behind it.
#[test]
fn a_last_segment_that_reaches_into_the_directory_is_refused_where_it_stands() {
    for more in [305, 345, 900] {
        let refused = refusal(|claims| {
            resize(&mut claims.page.entries[SEGMENTS - 1], FRAME + 5 + more, 2);
            claims.footer.plaintext_len += more as u64;
        });
        assert!(refused.to_string().starts_with("the index page is not"), "{more}: {refused}");
        assert_eq!(refused.segment(), Some(SEGMENTS as u64 - 1), "{more}: {refused}");
    }
}

/// FORMAT §9: page and first_segment follow from the page's place; F9.5: its MAC stands in it and in the directory.
#[test]
fn a_page_of_another_place_or_with_another_mac_is_refused() {
    assert_refused_by("index page", "page 1", |claims| claims.page.page = 1);
    assert_refused_by("index page", "segment 1 first", |claims| claims.page.first_segment = SegmentIndex(1));
    assert_refused_by("index page", "segment 4096 first", |claims| {
        claims.page.first_segment = SegmentIndex(4096);
    });
    assert_refused_by("index page", "another MAC in both places", |claims| {
        claims.page_mac = Some([0x3C; 32]);
    });
    assert_refused_by("index page", "another MAC in the directory", |claims| {
        claims.listed_mac = Some([0x3C; 32]);
    });
}

/// FORMAT F9.1: nothing lies between the last segment and its page.
#[test]
fn a_page_that_does_not_stand_where_its_segments_end_is_refused_by_the_directory() {
    assert_refused_by("directory", "eight bytes before the page", |claims| {
        claims.gap = vec![0; 8];
        claims.listed.offset += 8;
        claims.footer.directory_offset += 8;
        claims.footer.wire_len += 8;
    });
    for offset in [1, 64 + 80, u64::MAX] {
        assert_refused_by("directory", "a page that reaches into the directory", |claims| {
            claims.listed.offset = claims.listed.offset.saturating_add(offset);
        });
    }
}

/// FORMAT F9.2: the sum of all segments is the footer's plaintext_len.
#[test]
fn a_footer_that_says_more_or_less_plaintext_than_its_entries_is_refused_as_the_footer() {
    for by in [1, 2, FRAME as u64] {
        let what = format!("{by} bytes more");
        assert_refused_by("footer", &what, |claims| claims.footer.plaintext_len += by);
        let what = format!("{by} bytes less");
        assert_refused_by("footer", &what, |claims| claims.footer.plaintext_len -= by);
    }
}
