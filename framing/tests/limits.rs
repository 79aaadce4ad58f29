//! The sizes and counts of FORMAT as the format's tables state them, and what an error says of a record.

#![allow(clippy::unwrap_used)] // A test fails by panicking.

use framing::limits::*;
use framing::{Footer, FramingError, KeyCopy, MetadataHead, Preamble, Record, SegmentHeader, Shape};

/// FORMAT §2, the columns "least" and "most".
#[test]
fn limits_are_those_of_the_format_table() {
    assert_eq!((FRAME_LEN_MIN, FRAME_LEN_MAX), (4096, 4_194_304));
    assert_eq!((SEGMENT_LEN_MAX, FRAMES_PER_SEGMENT_MAX), (1_073_741_824, 262_144));
    assert_eq!((KEY_COPY_UNIT, KEY_COPY_LEN_MAX), (4096, 262_144));
    assert_eq!(KEY_COPY_HEAD_LEN + KEY_COPY_TAIL_LEN, 96);
    assert_eq!(SLOTS_MAX, 16);
    assert_eq!((TAG_LEN, METADATA_LEN_MAX + TAG_LEN), (16, 65_552));
    assert_eq!((PAGE_ENTRIES_MAX, PAGES_MAX, SEGMENTS_MAX), (4096, 1_048_576, 4_294_967_296));
}

/// FORMAT §§4 to 9: the tables of the records, and F2.3, F8.9.
#[test]
fn records_are_as_long_as_their_tables() {
    assert_eq!((PREAMBLE_LEN, PREAMBLE_BLOCK_LEN), (128, 4096));
    assert_eq!((KEY_COPY_HEAD_LEN, KEY_COPY_TAIL_LEN, SLOT_HEAD_LEN), (32, 64, 8));
    assert_eq!((MAC_LEN, CHECKSUM_LEN, DIGEST_LEN), (32, 32, 32));
    assert_eq!((METADATA_HEAD_LEN, SEGMENT_HEADER_LEN, FRAME_HEADER_LEN), (32, 48, 16));
    assert_eq!((DIGEST_FRAME_LEN, TERMINATOR_LEN, CLOSING_LEN), (64, 80, 144));
    assert_eq!((FRAME_OVERHEAD, SEGMENT_HEADER_LEN + CLOSING_LEN), (32, 192));
    assert_eq!((PAGE_HEAD_LEN, ENTRY_LEN, DIRECTORY_ENTRY_LEN, FOOTER_LEN), (32, 80, 40, 112));
    assert_eq!(Shape::new(65_536, 1).unwrap().frame_wire_len(), 65_568);
}

#[test]
fn an_error_names_its_record_its_place_and_its_problem() {
    let errors: [(FramingError, Record, &str); 6] = [
        (Preamble::parse(&[]).unwrap_err(), Record::Preamble, "the preamble at byte 0 is cut short"),
        (
            KeyCopy::encode(1, &[], 0, |_| [0; MAC_LEN], |_, _| [0; CHECKSUM_LEN]).unwrap_err(),
            Record::KeyCopy,
            "the key copy at byte 0 has no room for these slots",
        ),
        (MetadataHead::parse(&[]).unwrap_err(), Record::Metadata, "the metadata at byte 0 is cut short"),
        (
            SegmentHeader::parse(&[]).unwrap_err(),
            Record::SegmentHeader,
            "the segment header at byte 0 is cut short",
        ),
        (
            SegmentHeader::parse(&[1; SEGMENT_HEADER_LEN]).unwrap_err().moved(1 << 40),
            Record::SegmentHeader,
            "the segment header at byte 1099511627776 has a wrong magic",
        ),
        (Footer::parse(&[]).unwrap_err(), Record::Footer, "the footer at byte 0 is cut short"),
    ];
    for (error, record, said) in errors {
        assert_eq!((error.record, error.to_string().as_str()), (record, said));
    }
}

/// FORMAT's headings name these records.
#[test]
fn every_record_has_a_name_of_its_own() {
    let names = [
        (Record::Preamble, "preamble"),
        (Record::KeyCopy, "key copy"),
        (Record::Metadata, "metadata"),
        (Record::SegmentHeader, "segment header"),
        (Record::Frame, "frame"),
        (Record::Digest, "DIGEST frame"),
        (Record::Terminator, "TERMINATOR frame"),
        (Record::IndexPage, "index page"),
        (Record::Directory, "directory"),
        (Record::Footer, "footer"),
    ];
    for (record, name) in names {
        assert_eq!(record.to_string(), name);
    }
}
