//! The records that compressed streams alone have (FORMAT §8, §9): bytes by the tables, and what is no such record.
//! It knows no zstd: bodies, tags and MACs are what a test says they are.

#![allow(clippy::unwrap_used)] // A test fails by panicking.

use framing::{
    Compression, DigestFrame, DigestKind, Encoding, Fault, FrameHeader, FrameIndex, FramingError, IndexEntry,
    IndexPage, MetadataHead, Piece, Preamble, Record, SegmentHeader, SegmentIndex, Shape, Splitter, StreamId,
    Suite, Table, Terminator, limits, page_len, split_frames,
};

fn plain() -> Shape {
    Shape::new(4096, 4).unwrap()
}

fn shape() -> Shape {
    plain().with_compression(Compression::Zstd)
}

fn header(kind: u8, flags: u8, index: u32, plaintext_len: u32, body_len: u32) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[0] = kind;
    bytes[1] = flags;
    for (at, value) in [(4, index), (8, plaintext_len), (12, body_len)] {
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    bytes
}

/// FORMAT F8.5: the flag if and only if the body is shorter, and one byte of zstd at least.
#[test]
fn a_compressed_frame_is_shorter_than_its_plaintext_and_says_so() {
    let compressed = FrameHeader::compressed(FrameIndex(1), 4096, 1000);
    assert_eq!(compressed.to_bytes(), header(1, 1, 1, 4096, 1016));
    for (flags, plaintext_len, body_len, holds) in [
        (1, 4096, 4111, true),
        (1, 4096, 17, true),
        (1, 2, 17, true),
        (1, 4096, 16, false),
        (1, 4096, 0, false),
        (1, 4096, 4112, false),
        (1, 4096, 4113, false),
        (1, 1, 17, false),
        (1, 0, 17, false),
        (1, 4097, 1000, false),
        (0, 4096, 4112, true),
        (0, 4096, 4111, false),
        (0, 1, 17, true),
        (2, 4096, 4112, false),
        (3, 4096, 1000, false),
        (0xFF, 4096, 1000, false),
    ] {
        let parsed = FrameHeader::parse(&header(1, flags, 0, plaintext_len, body_len), shape());
        assert_eq!(parsed.is_ok(), holds, "flags {flags}, {plaintext_len} in {body_len}");
        if let Ok(parsed) = parsed {
            assert_eq!(parsed.encoding == Encoding::Zstd, flags == 1);
        }
    }
}

#[test]
fn what_compressed_streams_have_is_damage_in_others() {
    for bytes in [header(1, 1, 0, 4096, 1000), header(4, 0, 1, 0, 20), header(2, 0, 1, 0, 80)] {
        assert!(FrameHeader::parse(&bytes, shape()).is_ok());
        let error = FrameHeader::parse(&bytes, plain()).unwrap_err();
        assert_eq!((error.fault, error.record), (Fault::Damaged, Record::Frame));
    }
    assert!(FrameHeader::parse(&header(2, 0, 1, 0, 48), shape()).is_err());
    for kind in [2, 3, 4] {
        let body_len = [80, 64, 20][usize::from(kind) - 2];
        let index = if kind == 3 { 2 } else { 1 };
        assert!(FrameHeader::parse(&header(kind, 0, index, 0, body_len), shape()).is_ok());
        assert!(FrameHeader::parse(&header(kind, 1, index, 0, body_len), shape()).is_err(), "kind {kind}");
    }
}

/// FORMAT §8, the table of TABLE, put together here by hand.
#[test]
fn a_table_has_the_bytes_of_its_table() {
    for body_lens in [vec![], vec![17], vec![4112, 17, 4112, 100]] {
        let count = body_lens.len() as u32;
        let mut expected = header(4, 0, count, 0, 4 * count + 16).to_vec();
        expected.extend(body_lens.iter().flat_map(|len: &u32| len.to_le_bytes()));
        let table = Table { body_lens };
        assert_eq!(table.clear_bytes(), expected);
        expected.extend([9; 16]);
        assert_eq!(expected.len(), shape().table_len(count));
        assert_eq!(Table::parse(&expected, count, shape()), Ok(table));
    }
    assert_eq!(plain().table_len(7), 0);
}

#[test]
fn a_table_of_other_frames_is_damaged() {
    let table = [&Table { body_lens: vec![4112, 17] }.clear_bytes()[..], &[0; 16]].concat();
    for count in [0, 1, 3, 4] {
        let error = Table::parse(&table, count, shape()).unwrap_err();
        assert_eq!((error.fault, error.record), (Fault::Damaged, Record::Table), "{count} frames");
    }
    for wrong in [0_u32, 16, 4113, u32::MAX] {
        let mut bytes = table.clone();
        bytes[20..24].copy_from_slice(&wrong.to_le_bytes());
        assert_eq!(Table::parse(&bytes, 2, shape()).unwrap_err().record, Record::Table, "{wrong}");
    }
    for (at, value) in [(4, 5), (12, 25)] {
        let mut bytes = table.clone();
        bytes[at] = value;
        assert!(Table::parse(&bytes, 2, shape()).is_err());
    }
}

#[test]
fn a_digest_frame_has_both_digests() {
    let expected = [&header(2, 0, 3, 0, 80)[..], &[0xD1; 32], &[0xD2; 32]].concat();
    let frame = DigestFrame { frame_count: 3, digest: [0xD1; 32], plaintext_digest: Some([0xD2; 32]) };
    assert_eq!(frame.clear_bytes(), expected);
    let bytes = [&expected[..], &[0; 16]].concat();
    assert_eq!((bytes.len(), shape().digest_frame_len(), shape().closing_len()), (96, 96, 176));
    assert_eq!(DigestFrame::parse(&bytes, shape()), Ok(frame));
    for len in [0, 16, 64, 95] {
        assert_eq!(DigestFrame::parse(&bytes[..len], shape()).unwrap_err().fault, Fault::Truncated, "{len}");
    }
}

#[test]
fn an_entry_has_the_plaintext_digest_behind_all_else() {
    let entry = IndexEntry {
        wire_offset: 1,
        wire_len: 2,
        plaintext_offset: 3,
        plaintext_len: 4,
        frame_count: 5,
        attempt_salt: [6; 16],
        digest: [7; 32],
        plaintext_digest: Some([8; 32]),
    };
    let page = IndexPage { page: 0, first_segment: SegmentIndex(0), entries: vec![entry; 3] };
    let bytes = [page.to_bytes(), vec![0; 32]].concat();
    assert_eq!((bytes.len(), page_len(3, Compression::Zstd)), (64 + 3 * 112, 64 + 3 * 112));
    assert_eq!(bytes[32 + 80..32 + 112], [8; 32]);
    assert_eq!(IndexPage::parse(&bytes, Compression::Zstd), Ok((page, [0; 32])));
    assert_eq!(IndexPage::parse(&bytes, Compression::None).unwrap_err().fault, Fault::Damaged);
}

/// FORMAT §4: bit 0 of the flags, and no other.
#[test]
fn the_preamble_says_that_frames_may_be_compressed() {
    let mut block = preamble().to_bytes().to_vec();
    block.resize(4096, 0);
    assert_eq!(block[12..16], [1, 0, 0, 0]);
    assert_eq!(Preamble::parse(&block), Ok(preamble()));
    for flags in [2_u32, 3, 0x8000_0001, u32::MAX] {
        block[12..16].copy_from_slice(&flags.to_le_bytes());
        assert_eq!(Preamble::parse(&block).unwrap_err().fault, Fault::Unsupported, "{flags:#x}");
    }
}

fn preamble() -> Preamble {
    Preamble {
        suite: Suite::Aes256Gcm,
        digest: DigestKind::Blake3,
        shape: shape(),
        stream_id: StreamId([1; 16]),
        salt: [2; 32],
        commitment: [3; 32],
        key_copy_len: 4096,
    }
}

/// A stream of one segment with the DATA frames `frames` and then `rest`, up to where its page would begin.
fn one_segment(frames: &[FrameHeader], rest: &[Vec<u8>]) -> Vec<u8> {
    let mut wire = preamble().to_bytes().to_vec();
    wire.resize(4096 + 2 * 4096, 0);
    wire.extend(MetadataHead { salt: [4; 16], body_len: 16 }.to_bytes());
    wire.extend([0; 16]);
    let header = SegmentHeader { index: SegmentIndex(0), plaintext_offset: 0, attempt_salt: [5; 16] };
    wire.extend(header.to_bytes());
    for frame in frames {
        wire.extend(frame.to_bytes());
        wire.resize(wire.len() + frame.body_len as usize, 6);
    }
    wire.extend(rest.concat());
    wire
}

fn frames() -> [FrameHeader; 3] {
    [
        FrameHeader::compressed(FrameIndex(0), 4096, 10),
        FrameHeader::data(FrameIndex(1), 4096),
        FrameHeader::compressed(FrameIndex(2), 100, 99),
    ]
}

fn table(frames: &[FrameHeader]) -> Vec<u8> {
    let body_lens = frames.iter().map(|frame| frame.body_len).collect();
    [Table { body_lens }.clear_bytes(), vec![0; 16]].concat()
}

fn closing(frame_count: u32, plaintext_len: u64) -> Vec<u8> {
    let digest = DigestFrame { frame_count, digest: [7; 32], plaintext_digest: Some([8; 32]) };
    let terminator = Terminator { frame_count, last: true, plaintext_len, chain_before: [9; 32] };
    [digest.clear_bytes(), vec![0; 16], terminator.clear_bytes().to_vec(), vec![0; 16]].concat()
}

/// The pieces of `wire`, and what is wrong with it if anything is.
fn pieces(wire: &[u8]) -> (Vec<(Piece, usize)>, Result<(), FramingError>) {
    let mut splitter = Splitter::new();
    let (mut at, mut seen) = (0, Vec::new());
    loop {
        match splitter.next_piece(&wire[at..]) {
            Ok(Some((piece, len))) => {
                seen.push((piece, len));
                at += len;
            }
            Ok(None) => return (seen, splitter.finish()),
            Err(error) => return (seen, Err(error)),
        }
    }
}

#[test]
fn frames_of_any_length_then_the_table_then_the_closing_frames() {
    let frames = frames();
    let mut wire = one_segment(&frames, &[table(&frames), closing(3, 2 * 4096 + 100)]);
    wire.resize(wire.len() + page_len(1, Compression::Zstd) + 40 + limits::FOOTER_LEN, 0);
    let (seen, end) = pieces(&wire);
    assert_eq!(end, Ok(()));
    let expected = [(Piece::SegmentHeader, 48)]
        .into_iter()
        .chain(frames.map(|frame| (Piece::Data(frame), 16 + frame.body_len as usize)))
        .chain([(Piece::Table, 32 + 12), (Piece::Closing, 176), (Piece::IndexPage, 64 + 112)]);
    assert_eq!(seen[3..10], expected.collect::<Vec<_>>());
    assert_eq!(seen.iter().map(|(_, len)| len).sum::<usize>(), wire.len());
    for len in 0..wire.len() {
        assert_eq!(pieces(&wire[..len]).1.unwrap_err().fault, Fault::Truncated, "cut at {len}");
    }
    let data_at = 4096 + 2 * 4096 + 48 + 48;
    let ranges = split_frames(&wire[data_at..data_at + 42 + 4128 + 131], shape()).unwrap();
    assert_eq!(ranges, [0..42, 42..42 + 4128, 42 + 4128..42 + 4128 + 131]);
}

#[test]
fn an_empty_stream_has_a_table_too() {
    let wire = one_segment(&[], &[table(&[]), closing(0, 0)]);
    let (seen, _) = pieces(&wire);
    assert_eq!(seen[4..], [(Piece::Table, 32), (Piece::Closing, 176)]);
}

#[test]
fn a_table_stands_once_and_between_the_frames_and_the_digest() {
    let frames = frames();
    let (table, closing) = (table(&frames), closing(3, 2 * 4096 + 100));
    let data = [&FrameHeader::data(FrameIndex(3), 4096).to_bytes()[..], &[0; 4112]].concat();
    for (rest, record) in [
        (vec![closing.clone()], Record::Table),
        (vec![table.clone(), table.clone(), closing.clone()], Record::Table),
        (vec![table.clone(), data], Record::Frame),
        (vec![table.clone(), closing[96..].to_vec()], Record::Frame),
        (vec![closing, table], Record::Table),
    ] {
        let error = pieces(&one_segment(&frames, &rest)).1.unwrap_err();
        assert_eq!((error.fault, error.record), (Fault::Damaged, record));
    }
}
