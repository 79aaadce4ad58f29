//! Checks for the fuzzer: what closes segments and streams: DIGEST, TERMINATOR, index pages, directory, footer.
//! It knows no key: MACs and tags are whatever the fuzzer wrote.

use framing::limits::{DIRECTORY_ENTRY_LEN, FOOTER_LEN, PAGE_ENTRIES_MAX, SEGMENT_HEADER_LEN, TAG_LEN};
use framing::{
    Compression, DigestFrame, Footer, IndexPage, SegmentHeader, Shape, Table, Terminator, decode_directory,
    encode_directory, page_len,
};

/// Everything below, for one input. Panics on a fault.
pub(crate) fn check(data: &[u8]) {
    for compression in [Compression::None, Compression::Zstd] {
        closing_frames(data, compression);
        index_page(data, compression);
        backwards(data, compression);
    }
    segment_header(data);
    footer(data);
}

/// A closing frame that parses says what its bytes say, the tag apart.
fn closing_frames(data: &[u8], compression: Compression) {
    let shape = Shape::new(4096, 4).expect("4096 and 4 are within the limits").with_compression(compression);
    for frame_count in 0..=shape.frames_per_segment() {
        if let Ok(table) = Table::parse(data, frame_count, shape) {
            assert_eq!(data[..data.len() - TAG_LEN], table.clear_bytes());
            assert_eq!(data.len(), shape.table_len(frame_count));
        }
    }
    if let Ok(digest) = DigestFrame::parse(data, shape) {
        assert!(data.starts_with(&digest.clear_bytes()));
        assert!(data.len() >= digest.clear_bytes().len() + TAG_LEN);
        assert!(digest.frame_count <= shape.frames_per_segment());
    }
    if let Ok(terminator) = Terminator::parse(data, shape) {
        assert!(data.starts_with(&terminator.clear_bytes()));
        assert!(terminator.plaintext_len <= shape.segment_len());
        assert!(terminator.last || terminator.frame_count > 0);
    }
}

fn segment_header(data: &[u8]) {
    if let Ok(header) = SegmentHeader::parse(data) {
        assert_eq!(header.to_bytes(), data[..SEGMENT_HEADER_LEN]);
    }
}

/// A page that parses is the only encoding of its entries.
fn index_page(data: &[u8], compression: Compression) {
    let Ok((page, mac)) = IndexPage::parse(data, compression) else { return };
    let count = u32::try_from(page.entries.len()).expect("a page has at most 4096 entries");
    assert!((1..=PAGE_ENTRIES_MAX).contains(&count));
    assert_eq!(page_len(count, compression), data.len());
    assert_eq!([&page.to_bytes()[..], &mac].concat(), data);
}

/// A footer that parses says what its bytes say, and its numbers agree with each other.
fn footer(data: &[u8]) {
    let Ok((footer, mac)) = Footer::parse(data) else { return };
    assert_eq!([&footer.to_bytes()[..], &mac].concat(), data[..FOOTER_LEN]);
    assert_eq!(u64::from(footer.pages), footer.segments.div_ceil(u64::from(PAGE_ENTRIES_MAX)));
    assert!(footer.segments > 0);
    assert_eq!(footer.directory_offset + (footer.directory_len() + FOOTER_LEN) as u64, footer.wire_len);
}

/// Reads the input from its end, as a reader with random access does: footer, directory, pages.
fn backwards(data: &[u8], compression: Compression) {
    let Some((before, last)) = data.split_at_checked(data.len().saturating_sub(FOOTER_LEN)) else { return };
    let Ok((footer, _)) = Footer::parse(last) else { return };
    let Some((before, directory)) =
        before.len().checked_sub(footer.directory_len()).map(|at| before.split_at(at))
    else {
        return;
    };
    let entries = decode_directory(directory);
    assert_eq!(entries.len() * DIRECTORY_ENTRY_LEN, directory.len());
    assert_eq!(encode_directory(&entries), directory);
    // The directory's place in the stream fixes the origin from which the pages' offsets count.
    let Some(origin) = (before.len() as u64).checked_sub(footer.directory_offset) else { return };
    for (number, listed) in entries.iter().enumerate() {
        let left = footer.segments - number as u64 * u64::from(PAGE_ENTRIES_MAX);
        let entries = left.min(u64::from(PAGE_ENTRIES_MAX)) as u32;
        let start = origin.checked_add(listed.offset).and_then(|start| usize::try_from(start).ok());
        let page = start.and_then(|start| before.get(start..)?.get(..page_len(entries, compression)));
        if let Some(Ok((page, _))) = page.map(|page| IndexPage::parse(page, compression)) {
            assert_eq!(page.entries.len(), entries as usize);
        }
    }
}
