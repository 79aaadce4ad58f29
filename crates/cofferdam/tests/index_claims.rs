//! Owns what an index may claim whose every MAC is right: nothing that its entries, pages and footer do not make true.
//! Refuses to know segments: each claim is refused by the record that makes it, before what it speaks of is read.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod streams;

use cofferdam::{Error, ErrorKind};
use framing::{IndexEntry, SegmentIndex};

use streams::forge::{Claims, Forger};
use streams::map::{Kind, ranges, segments};
use streams::{FRAME, Reading, SEGMENT, Shared, counted, open, opener, seal, small_sealer, verify};

const SEGMENTS: usize = 3;
/// Of the one page: FORMAT §9.
const PAGE_LEN: usize = 64 + 80 * SEGMENTS;

fn genuine() -> Vec<u8> {
    seal(&small_sealer(), counted((SEGMENTS - 1) * SEGMENT + FRAME + 5))
}

fn refusal(edit: impl FnOnce(&mut Claims)) -> Error {
    let forged = Forger::of(&genuine()).finish_with(edit);
    let refused = verify(&opener(), Reading::Seekable, Shared::new(forged)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Damaged, "{refused}");
    refused
}

/// Refused by the entry of segment `index`, where that segment begins.
fn assert_entry_refused(index: usize, what: &str, edit: impl FnOnce(&mut Claims)) {
    let position = segments(&genuine())[index].start as u64;
    let refused = refusal(edit);
    assert!(refused.to_string().starts_with("the index page is not"), "{what}: {refused}");
    let place = (refused.segment(), refused.position());
    assert_eq!(place, (Some(index as u64), Some(position)), "{what}: {refused}");
}

/// Refused by the record, where it stands in the forged stream.
fn assert_refused_by(kind: Kind, what: &str, edit: impl FnOnce(&mut Claims)) {
    let forged = Forger::of(&genuine()).finish_with(edit);
    let (record, from_end) = match kind {
        Kind::Page => ("index page", 112 + 40 + PAGE_LEN),
        Kind::Directory => ("directory", 112 + 40),
        Kind::Footer => ("footer", 112),
        other => panic!("{other:?} is no record of the trailer"),
    };
    let position = (forged.len() - from_end) as u64;
    let refused = verify(&opener(), Reading::Seekable, Shared::new(forged)).unwrap_err();
    assert_eq!(
        (refused.kind(), refused.position()),
        (ErrorKind::Damaged, Some(position)),
        "{what}: {refused}"
    );
    let due = format!("the {record} is not what the segments say");
    assert!(refused.to_string().starts_with(&due), "{what}: {refused}");
}

#[test]
fn an_index_that_claims_what_is_so_is_believed() {
    let genuine = genuine();
    assert_eq!(Forger::of(&genuine).finish(), genuine);
    verify(&opener(), Reading::Seekable, Shared::new(genuine)).unwrap();
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
                let what = format!("{field} of segment {index}, {by}");
                assert_entry_refused(index, &what, |claims| edit(&mut claims.page.entries[index], by));
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
        assert_entry_refused(index, "empty", |claims| resize(&mut claims.page.entries[index], 0, 0));
    }
}

/// FORMAT F8.3: frames_per_segment is the most.
#[test]
fn a_segment_longer_than_its_streams_are_is_refused_where_it_stands() {
    for (len, frames) in [(SEGMENT + 1, 5), (SEGMENT + FRAME, 5), (2 * SEGMENT, 8)] {
        let what = format!("{len} bytes");
        assert_entry_refused(0, &what, |claims| resize(&mut claims.page.entries[0], len, frames));
    }
}

/// The page is 304 bytes long, so these reach behind it.
#[test]
fn a_last_segment_that_reaches_into_the_directory_is_refused_where_it_stands() {
    for more in [305, 345, 900] {
        assert_entry_refused(SEGMENTS - 1, &format!("{more} bytes more"), |claims| {
            resize(&mut claims.page.entries[SEGMENTS - 1], FRAME + 5 + more, 2);
            claims.footer.plaintext_len += more as u64;
        });
    }
}

/// FORMAT §9: page and first_segment follow from the page's place; F9.5: its MAC stands in it and in the directory.
#[test]
fn a_page_of_another_place_or_with_another_mac_is_refused() {
    assert_refused_by(Kind::Page, "page 1", |claims| claims.page.page = 1);
    assert_refused_by(Kind::Page, "segment 1 first", |claims| claims.page.first_segment = SegmentIndex(1));
    assert_refused_by(Kind::Page, "segment 4096 first", |claims| {
        claims.page.first_segment = SegmentIndex(4096);
    });
    assert_refused_by(Kind::Page, "another MAC in both places", |claims| {
        claims.page_mac = Some([0x3C; 32]);
    });
    assert_refused_by(Kind::Page, "another MAC in the directory", |claims| {
        claims.listed_mac = Some([0x3C; 32]);
    });
}

/// FORMAT F9.1: nothing lies between the last segment and its page.
#[test]
fn a_page_that_does_not_stand_where_its_segments_end_is_refused_by_the_directory() {
    assert_refused_by(Kind::Directory, "eight bytes before the page", |claims| {
        claims.gap = vec![0; 8];
        claims.listed.offset += 8;
        claims.footer.directory_offset += 8;
        claims.footer.wire_len += 8;
    });
    for offset in [1, 64 + 80, u64::MAX] {
        assert_refused_by(Kind::Directory, "a page that reaches into the directory", |claims| {
            claims.listed.offset = claims.listed.offset.saturating_add(offset);
        });
    }
}

/// FORMAT F9.2: the sum of all segments is the footer's plaintext_len.
#[test]
fn a_footer_that_says_more_or_less_plaintext_than_its_entries_is_refused_as_the_footer() {
    for by in [1, 2, FRAME as u64] {
        let what = format!("{by} bytes more");
        assert_refused_by(Kind::Footer, &what, |claims| claims.footer.plaintext_len += by);
        let what = format!("{by} bytes less");
        assert_refused_by(Kind::Footer, &what, |claims| claims.footer.plaintext_len -= by);
    }
}

/// All plaintext is on the wire: a longer one is refused before room is made for it, and no other length is.
#[test]
fn a_plaintext_that_is_longer_than_the_wire_is_refused_before_any_entry_is_read() {
    let edit = |by: u64| {
        move |claims: &mut Claims| {
            claims.footer.plaintext_len = claims.footer.wire_len + by;
            claims.page.entries[1].wire_len += 1;
        }
    };
    assert_entry_refused(1, "as long as the wire", edit(0));
    for by in [1, 2, 1 << 40] {
        assert_refused_by(Kind::Footer, &format!("{by} bytes longer than the wire"), edit(by));
    }
}

/// FORMAT F9.3: wire_len is the length of the stream less O. A footer that belongs to another length is no footer to begin
/// with, and the stream is judged from its front.
#[test]
fn a_footer_of_another_length_is_not_believed_and_the_first_fault_is_found_before_it() {
    let forged = Forger::of(&genuine()).finish_with(|claims| claims.gap = vec![0; 8]);
    let page = ranges(&genuine(), Kind::Page)[0].start as u64;
    let refused = verify(&opener(), Reading::Seekable, Shared::new(forged)).unwrap_err();
    assert_eq!((refused.kind(), refused.position()), (ErrorKind::Damaged, Some(page)), "{refused}");
}

/// FORMAT F13.4: what is wrong with the footer comes after what is wrong with a segment.
#[test]
fn a_footer_that_is_wrong_does_not_hide_what_is_wrong_before_it() {
    let genuine = genuine();
    let (data, footer) = (ranges(&genuine, Kind::Data), ranges(&genuine, Kind::Footer)[0].clone());
    for at in [footer.start, footer.start + 12] {
        let mut damaged = genuine.clone();
        damaged[data[5].start + 100] ^= 1;
        damaged[at] ^= 1;
        let refused = verify(&opener(), Reading::Seekable, Shared::new(damaged)).unwrap_err();
        assert_eq!((refused.segment(), refused.frame()), (Some(1), Some(1)), "{refused}");
    }
}

/// FORMAT F3.5, F9.1: the second page begins behind the first segment that it names.
#[test]
fn a_stream_of_two_index_pages_is_read_by_both() {
    let plaintext = counted(4097 * FRAME);
    let sealed = Shared::new(seal(&small_sealer().segment_len(FRAME as u64), plaintext.clone()));
    assert_eq!(ranges(sealed.as_ref(), Kind::Page).len(), 2);
    let (restored, opened) = open(&opener(), Reading::Seekable, sealed).unwrap();
    assert_eq!(restored.segments, 4097);
    assert!(opened == plaintext, "the plaintext came back otherwise");
}
