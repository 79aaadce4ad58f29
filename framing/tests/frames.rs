//! Frame headers and closing frames at the edges of FORMAT §8: what each field may be, and what it may not.
//! It knows no cipher: tags are zeros here.

#![allow(clippy::unwrap_used)] // A test fails by panicking.

use framing::{DigestFrame, Fault, FrameHeader, FrameIndex, FrameKind, Record, Shape, Terminator};

const FRAME_LEN: u32 = 4096;
const FRAMES: u32 = 4;

fn shape() -> Shape {
    Shape::new(FRAME_LEN, FRAMES).unwrap()
}

/// The 16 bytes of the table of FORMAT §8.
fn header(kind: u8, index: u32, plaintext_len: u32, body_len: u32) -> [u8; 16] {
    let mut bytes = [kind, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes[4..8].copy_from_slice(&index.to_le_bytes());
    bytes[8..12].copy_from_slice(&plaintext_len.to_le_bytes());
    bytes[12..16].copy_from_slice(&body_len.to_le_bytes());
    bytes
}

/// FORMAT §8, F8.3 to F8.5, F8.7: DATA stands at 0 to N - 1 with 1 to frame_len bytes; DIGEST at N, TERMINATOR at N + 1.
#[test]
fn a_header_is_taken_at_the_edges_of_its_kind_and_not_beyond() {
    let taken: [(u8, u32, u32, u32); 8] = [
        (1, 0, 1, 17),
        (1, 0, 4095, 4111),
        (1, 0, 4096, 4112),
        (1, 3, 4096, 4112),
        (2, 0, 0, 48),
        (2, 4, 0, 48),
        (3, 1, 0, 64),
        (3, 5, 0, 64),
    ];
    for (kind, index, plaintext_len, body_len) in taken {
        let parsed = FrameHeader::parse(&header(kind, index, plaintext_len, body_len), shape()).unwrap();
        assert_eq!(parsed.kind as u8, kind);
        assert_eq!(
            (parsed.index, parsed.plaintext_len, parsed.body_len),
            (FrameIndex(index), plaintext_len, body_len)
        );
    }
    let refused: [(u8, u32, u32, u32); 21] = [
        (0, 0, 1, 17),
        (4, 0, 1, 17),
        (1, 0, 0, 16),
        (1, 0, 4097, 4113),
        (1, 0, 4096, 4111),
        (1, 0, 4096, 4113),
        (1, 0, 4096, 4096),
        (1, 4, 4096, 4112),
        (1, 5, 4096, 4112),
        (1, u32::MAX - 1, 4096, 4112),
        (1, u32::MAX, 4096, 4112),
        (2, 4, 1, 48),
        (2, 4, 0, 47),
        (2, 4, 0, 64),
        (2, 5, 0, 48),
        (2, 6, 0, 48),
        (3, 5, 1, 64),
        (3, 5, 0, 48),
        (3, 6, 0, 64),
        (3, 7, 0, 64),
        (3, u32::MAX, 0, 64),
    ];
    for (kind, index, plaintext_len, body_len) in refused {
        let error = FrameHeader::parse(&header(kind, index, plaintext_len, body_len), shape()).unwrap_err();
        let what = format!("kind {kind}, index {index}, {plaintext_len} and {body_len} bytes");
        assert_eq!((error.fault, error.record), (Fault::Damaged, Record::Frame), "{what}");
    }
}

/// FORMAT §8: flags and reserved are 0; F1.3: whichever bytes are not, and however they sum up.
#[test]
fn flags_and_reserved_bytes_of_a_header_are_zero() {
    let good = header(1, 0, 4096, 4112);
    for nonzero in [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0x80, 0x80], [0, 1, 0xFF], [0x80, 0, 0]] {
        let mut bytes = good;
        bytes[1..4].copy_from_slice(&nonzero);
        let error = FrameHeader::parse(&bytes, shape()).unwrap_err();
        assert_eq!((error.fault, error.record), (Fault::Damaged, Record::Frame), "{nonzero:?}");
    }
}

#[test]
fn the_length_of_a_frame_counts_its_header_and_its_tag() {
    assert_eq!(FrameHeader::data(FrameIndex(0), 1).frame_len(), 33);
    assert_eq!(FrameHeader::data(FrameIndex(0), 4096).frame_len(), 4128);
    assert_eq!(FrameHeader::parse(&header(2, 4, 0, 48), shape()).unwrap().frame_len(), 64);
    assert_eq!(FrameHeader::parse(&header(3, 5, 0, 64), shape()).unwrap().frame_len(), 80);
}

/// FORMAT §8, the tables of DIGEST and TERMINATOR, put together here by hand.
#[test]
fn closing_frames_have_the_bytes_of_their_tables() {
    let digest = [&header(2, 3, 0, 48)[..], &[0xD1; 32]].concat();
    assert_eq!(
        DigestFrame { frame_count: 3, digest: [0xD1; 32], plaintext_digest: None }.clear_bytes()[..],
        digest
    );
    let terminator = |last: u8| {
        let fields = [[3, 0, 0, 0, last, 0, 0, 0], [0xFF, 0x2F, 0, 0, 0, 0, 0, 0]].concat();
        [&header(3, 4, 0, 64)[..], &fields, &[0xC4; 32]].concat()
    };
    for last in [false, true] {
        let frame = Terminator { frame_count: 3, last, plaintext_len: 0x2FFF, chain_before: [0xC4; 32] };
        assert_eq!(frame.clear_bytes()[..], terminator(u8::from(last)));
        let parsed = Terminator::parse(&[&terminator(u8::from(last))[..], &[0; 16]].concat(), shape());
        assert_eq!(parsed, Ok(frame));
    }
}

#[test]
fn a_closing_frame_of_the_other_kind_is_missing() {
    let digest = [
        &DigestFrame { frame_count: 3, digest: [0; 32], plaintext_digest: None }.clear_bytes()[..],
        &[0; 16 + 16],
    ]
    .concat();
    let frame = Terminator { frame_count: 3, last: false, plaintext_len: 3 * 4096, chain_before: [0; 32] };
    let terminator = [&frame.clear_bytes()[..], &[0; 16]].concat();
    let error = DigestFrame::parse(&terminator, shape()).unwrap_err();
    assert_eq!((error.fault, error.record), (Fault::Damaged, Record::Digest));
    let error = Terminator::parse(&digest, shape()).unwrap_err();
    assert_eq!((error.fault, error.record), (Fault::Damaged, Record::Terminator));
    assert_eq!(FrameHeader::parse(&terminator, shape()).unwrap().kind, FrameKind::Terminator);
}

/// FORMAT §8: bit 0 of a TERMINATOR's flags is LAST, all others are 0; its header's index is N + 1.
#[test]
fn a_terminator_with_an_unknown_flag_or_another_index_is_damaged() {
    let frame = Terminator { frame_count: 3, last: false, plaintext_len: 3 * 4096, chain_before: [0; 32] };
    let good = [&frame.clear_bytes()[..], &[0; 16]].concat();
    assert_eq!(Terminator::parse(&good, shape()), Ok(frame));
    for (at, value) in [(20, 2), (20, 3), (20, 0xFF), (21, 1), (23, 0x80), (4, 3), (4, 5), (16, 2), (16, 4)] {
        let mut bytes = good.clone();
        bytes[at] = value;
        let error = Terminator::parse(&bytes, shape()).unwrap_err();
        assert_eq!((error.fault, error.record), (Fault::Damaged, Record::Terminator), "byte {at} is {value}");
    }
}
