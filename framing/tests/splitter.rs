//! The splitter over a whole made-up stream: the same pieces however the bytes arrive.
//! It knows no key: tags and MACs are zeros here.

#![allow(clippy::unwrap_used)] // A test fails by panicking.

use framing::{
    Compression, DigestFrame, DigestKind, Fault, FrameHeader, FrameIndex, FramingError, MetadataHead, Piece,
    Preamble, Record, SegmentHeader, SegmentIndex, Shape, Splitter, StreamId, Suite, Terminator, limits,
    page_len,
};

/// A stream of segments with the given frame counts, all frames full, the last segment LAST.
fn stream(frame_counts: &[u32]) -> Vec<u8> {
    let shape = Shape::new(4096, 2).unwrap();
    let preamble = Preamble {
        suite: Suite::Aes256Gcm,
        digest: DigestKind::Blake3,
        shape,
        stream_id: StreamId([1; 16]),
        salt: [2; 32],
        commitment: [3; 32],
        key_copy_len: 4096,
    };
    let mut wire = preamble.to_bytes().to_vec();
    wire.resize(4096 + 2 * 4096, 0);
    wire.extend(MetadataHead { salt: [4; 16], body_len: 16 }.to_bytes());
    wire.extend([0; 16]);
    for (index, frame_count) in frame_counts.iter().copied().enumerate() {
        let index = SegmentIndex(index as u64);
        wire.extend(SegmentHeader { index, plaintext_offset: 0, attempt_salt: [5; 16] }.to_bytes());
        for frame in 0..frame_count {
            wire.extend(FrameHeader::data(FrameIndex(frame), 4096).to_bytes());
            wire.extend([6; 4096 + 16]);
        }
        let last = index.0 + 1 == frame_counts.len() as u64;
        let plaintext_len = u64::from(frame_count) * 4096;
        wire.extend(DigestFrame { frame_count, digest: [7; 32], plaintext_digest: None }.clear_bytes());
        wire.extend([0; 16]);
        wire.extend(Terminator { frame_count, last, plaintext_len, chain_before: [8; 32] }.clear_bytes());
        wire.extend([0; 16]);
        if last || (index.0 + 1).is_multiple_of(4096) {
            wire.resize(wire.len() + page_len(index.0 as u32 % 4096 + 1, Compression::None), 0);
        }
    }
    wire.resize(wire.len() + frame_counts.len().div_ceil(4096) * 40 + limits::FOOTER_LEN, 0);
    wire
}

/// Feeds `wire` in blocks of `block` bytes, keeping what is not yet a whole piece.
fn pieces(wire: &[u8], block: usize) -> Vec<(u64, Piece, usize)> {
    let mut splitter = Splitter::new();
    let mut seen = Vec::new();
    let mut kept = Vec::new();
    for arrived in wire.chunks(block) {
        kept.extend_from_slice(arrived);
        loop {
            let offset = splitter.offset();
            let Some((piece, len)) = splitter.next_piece(&kept).unwrap() else { break };
            seen.push((offset, piece, len));
            kept.drain(..len);
        }
    }
    assert!(kept.is_empty());
    splitter.finish().unwrap();
    seen
}

#[test]
fn blocks_of_any_size_give_the_same_pieces() {
    let wire = stream(&[2, 1, 0]);
    let whole = pieces(&wire, wire.len());
    let kinds: Vec<_> = whole.iter().map(|(_, piece, _)| std::mem::discriminant(piece)).collect();
    let data = Piece::Data(FrameHeader::data(FrameIndex(0), 1));
    let expected = [
        Piece::Preamble,
        Piece::KeyArea,
        Piece::Metadata,
        Piece::SegmentHeader,
        data,
        data,
        Piece::Closing,
        Piece::SegmentHeader,
        data,
        Piece::Closing,
        Piece::SegmentHeader,
        Piece::Closing,
        Piece::IndexPage,
        Piece::Directory,
        Piece::Footer,
    ];
    assert_eq!(kinds, expected.iter().map(std::mem::discriminant).collect::<Vec<_>>());
    assert_eq!(whole.iter().map(|(_, _, len)| len).sum::<usize>(), wire.len());
    for block in [1, 2, 15, 16, 17, 4095, 4096, 4097, 10_000] {
        assert_eq!(pieces(&wire, block), whole, "blocks of {block}");
    }
}

#[test]
fn every_cut_is_truncated_and_every_longer_stream_damaged() {
    let wire = stream(&[1, 1]);
    for len in (0..wire.len()).step_by(13) {
        assert_eq!(refusal(&wire[..len]).fault, Fault::Truncated, "cut at {len}");
    }
    let error = refusal(&[&wire[..], &[0]].concat());
    assert_eq!(
        (error.fault, error.record, error.offset),
        (Fault::Damaged, Record::Footer, wire.len() as u64)
    );
}

/// What is wrong with `wire`, all of which has arrived.
fn refusal(wire: &[u8]) -> FramingError {
    let mut splitter = Splitter::new();
    let mut at = 0;
    loop {
        match splitter.next_piece(&wire[at..]) {
            Ok(Some((_, len))) => at += len,
            Ok(None) => return splitter.finish().expect_err("a wire with a fault"),
            Err(error) => return error,
        }
    }
}

#[test]
fn an_index_page_stands_after_4096_segments() {
    let last = pieces(&stream(&[1; 4096]), 10_000).into_iter().rev().take(3).collect::<Vec<_>>();
    assert_eq!(last[2].1, Piece::IndexPage);
    assert_eq!(last[2].2, 64 + 4096 * 80);
    assert_eq!(last[1].2, 40);
}

/// FORMAT F3.1, F3.5: the page of 4096 segments stands before the 4097th, and that one has a page of its own.
#[test]
fn a_stream_goes_on_after_its_first_index_page() {
    for segments in [4097, 8192] {
        let wire = stream(&vec![1; segments]);
        let pieces = pieces(&wire, 10_000);
        let pages: Vec<_> = pieces.iter().filter(|(_, piece, _)| *piece == Piece::IndexPage).collect();
        let first = 12_336 + 4096 * (192 + 4096 + 32);
        let lens = pages.iter().map(|(_, _, len)| *len).collect::<Vec<_>>();
        assert_eq!((pages[0].0, lens), (first, vec![64 + 4096 * 80, 64 + (segments - 4096) * 80]));
        let [.., (directory_at, Piece::Directory, 80), (_, Piece::Footer, 112)] = pieces[..] else {
            panic!("{segments} segments do not end in a directory of two pages and a footer")
        };
        assert_eq!(directory_at + 80 + 112, wire.len() as u64);
    }
}

#[test]
fn segments_and_bytes_are_counted_as_they_are_consumed() {
    let wire = stream(&[2, 1, 0]);
    let mut splitter = Splitter::new();
    let (mut at, mut closed) = (0, 0);
    while let Some((piece, len)) = splitter.next_piece(&wire[at..]).unwrap() {
        at += len;
        closed += u64::from(piece == Piece::Closing);
        assert_eq!((splitter.offset(), splitter.segments()), (at as u64, closed));
    }
    assert_eq!((at, closed), (wire.len(), 3));
}

/// Where the records of a stream of two segments, of two frames and of one, begin: FORMAT §3.
const RECORDS: [(Record, usize); 13] = [
    (Record::Preamble, 0),
    (Record::KeyCopy, 4096),
    (Record::Metadata, 12_288),
    (Record::SegmentHeader, 12_336),
    (Record::Frame, 12_384),
    (Record::Frame, 16_512),
    (Record::Frame, DIGEST_AT),
    (Record::SegmentHeader, 20_784),
    (Record::Frame, 20_832),
    (Record::Frame, 24_960),
    (Record::IndexPage, 25_104),
    (Record::Directory, 25_328),
    (Record::Footer, 25_368),
];

const DIGEST_AT: usize = 20_640;
const TERMINATOR_AT: usize = DIGEST_AT + 64;

#[test]
fn a_stream_that_ends_too_early_names_the_record_that_was_due_and_its_place() {
    let wire = stream(&[2, 1]);
    assert_eq!(wire.len(), 25_368 + 112);
    for (at, &(record, begin)) in RECORDS.iter().enumerate() {
        let end = RECORDS.get(at + 1).map_or(wire.len(), |&(_, next)| next);
        for len in [begin, begin + 1, end - 1] {
            let error = refusal(&wire[..len]);
            let found = (error.fault, error.record, error.offset);
            assert_eq!(found, (Fault::Truncated, record, begin as u64), "cut at {len}");
        }
    }
}

/// Each malformation with its record, and where the record begins.
#[test]
fn a_record_out_of_order_is_damaged_where_it_stands() {
    let terminator = |frame_count, plaintext_len| {
        let frame = Terminator { frame_count, last: false, plaintext_len, chain_before: [8; 32] };
        frame.clear_bytes()
    };
    let short = FrameHeader::data(FrameIndex(0), 4095).to_bytes();
    let cases: [(&str, usize, &[u8], Record, usize); 9] = [
        ("a frame of another kind", 12_384, &[9], Record::Frame, 12_384),
        ("the first frame says it is the second", 12_388, &[1], Record::Frame, 12_384),
        ("the second frame says it is the first", 16_516, &[0], Record::Frame, 16_512),
        (
            "a third frame where two are most",
            DIGEST_AT,
            &FrameHeader::data(FrameIndex(2), 4096).to_bytes(),
            Record::Frame,
            DIGEST_AT,
        ),
        (
            "DIGEST after one of two frames",
            16_512,
            &DigestFrame { frame_count: 2, digest: [7; 32], plaintext_digest: None }.clear_bytes(),
            Record::Frame,
            16_512,
        ),
        ("no DIGEST", DIGEST_AT, &terminator(1, 4096), Record::Digest, DIGEST_AT),
        (
            "no TERMINATOR",
            TERMINATOR_AT,
            &DigestFrame { frame_count: 2, digest: [7; 32], plaintext_digest: None }.clear_bytes(),
            Record::Terminator,
            TERMINATOR_AT,
        ),
        (
            "a TERMINATOR that counts one frame less",
            TERMINATOR_AT,
            &terminator(1, 4096),
            Record::Terminator,
            TERMINATOR_AT,
        ),
        (
            "a TERMINATOR that counts too little",
            TERMINATOR_AT,
            &terminator(2, 4096),
            Record::Terminator,
            TERMINATOR_AT,
        ),
    ];
    for (what, at, bytes, record, offset) in cases {
        let mut wire = stream(&[2, 1]);
        wire[at..at + bytes.len()].copy_from_slice(bytes);
        let error = refusal(&wire);
        assert_eq!(
            (error.fault, error.record, error.offset),
            (Fault::Damaged, record, offset as u64),
            "{what}"
        );
    }
    let mut wire = stream(&[2, 1]);
    wire.remove(16_000);
    wire[12_384..12_400].copy_from_slice(&short);
    let error = refusal(&wire);
    assert_eq!(
        (error.fault, error.record, error.offset),
        (Fault::Damaged, Record::Frame, 16_511),
        "behind a short one"
    );
}

/// FORMAT §2: what is refused by a length is refused before it has arrived.
#[test]
fn a_metadata_record_beyond_its_limits_is_refused_by_its_head() {
    for (body_len, fault) in [(15_u32, Fault::Damaged), (65_553, Fault::Limit)] {
        let mut wire = stream(&[1]);
        wire[12_304..12_308].copy_from_slice(&body_len.to_le_bytes());
        let error = refusal(&wire[..12_320]);
        assert_eq!(
            (error.fault, error.record, error.offset),
            (fault, Record::Metadata, 12_288),
            "{body_len}"
        );
    }
}

/// A header tells what is wrong with it as soon as it is there, whatever follows.
#[test]
fn a_frame_header_that_is_wrong_is_refused_before_its_frame_has_arrived() {
    let mut wire = stream(&[2, 1]);
    wire[16_512] = 9;
    assert_eq!(refusal(&wire[..16_512 + 15]).fault, Fault::Truncated);
    for len in [16_512 + 16, 16_512 + 17, wire.len()] {
        let error = refusal(&wire[..len]);
        assert_eq!(
            (error.fault, error.record, error.offset),
            (Fault::Damaged, Record::Frame, 16_512),
            "{len}"
        );
    }
}

/// FORMAT F4.2 and §14: what the preamble says is judged when it is whole, its magic from the first byte on.
#[test]
fn a_preamble_is_refused_in_the_class_of_what_is_wrong_with_it() {
    for (at, value, len, fault) in [
        (0, b'P', 1, Fault::NotAStream),
        (7, 0, 4096, Fault::NotAStream),
        (8, 2, 4096, Fault::Unsupported),
        (18, 0xFF, 4096, Fault::Limit),
        (4095, 1, 4096, Fault::Damaged),
    ] {
        let mut wire = stream(&[1]);
        wire[at] = value;
        let error = refusal(&wire[..len]);
        assert_eq!((error.fault, error.record, error.offset), (fault, Record::Preamble, 0), "byte {at}");
    }
}
