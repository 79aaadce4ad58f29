//! The records of FORMAT §§5 to 7 and 9 at their edges: bytes by the tables, lengths, and what is one too many.
//! It knows no key and no hash: MACs and checksums are what a test says they are.

#![allow(clippy::unwrap_used)] // A test fails by panicking.

use framing::{
    Compression, DigestKind, DirectoryEntry, Fault, Footer, IndexEntry, IndexPage, KeyCopy, MetadataHead,
    Preamble, Record, SegmentHeader, SegmentIndex, Shape, Slot, StreamGeometry, StreamId, Suite,
    decode_directory, decode_entries, encode_directory, encode_entries, page_len,
};

const MAC: [u8; 32] = [0xAA; 32];
const CHECKSUM: [u8; 32] = [0xCC; 32];

fn encode(generation: u64, slots: &[Slot], len: u32) -> Vec<u8> {
    KeyCopy::encode(generation, slots, len, |_| MAC, |_, _| CHECKSUM).unwrap()
}

fn parse(copy: &[u8]) -> Option<KeyCopy> {
    KeyCopy::parse(copy, |_, _| CHECKSUM)
}

fn slots_of(lens: impl IntoIterator<Item = usize>) -> Vec<Slot> {
    lens.into_iter().map(|len| Slot { kind: 2, body: vec![7; len] }).collect()
}

/// FORMAT §5, the tables of key copy and slot, put together here by hand.
#[test]
fn a_key_copy_has_the_bytes_of_its_tables() {
    let slots = [Slot { kind: 1, body: b"age".to_vec() }, Slot { kind: 0x0203, body: vec![] }];
    let mut expected = b"CFDKEY1\0\x07\x06\x05\x04\x03\x02\x01\x00\x13\0\0\0\x02\0".to_vec();
    expected.resize(32, 0);
    expected.extend(b"\x01\0\0\0\x03\0\0\0age\x03\x02\0\0\0\0\0\0");
    expected.resize(8192 - 64, 0);
    expected.extend([MAC, CHECKSUM].concat());
    assert_eq!(encode(0x0001_0203_0405_0607, &slots, 8192), expected);
    let parsed = parse(&expected).unwrap();
    assert_eq!((parsed.generation, parsed.mac), (0x0001_0203_0405_0607, MAC));
    assert_eq!(parsed.slots().unwrap(), slots);
}

/// FORMAT §5: the checksum covers the used part and the MAC; F5.6: the MAC the used part.
#[test]
fn mac_and_checksum_are_over_what_is_used_and_not_over_the_zeros() {
    let mut seen = Vec::new();
    let copy = KeyCopy::encode(
        1,
        &slots_of([80]),
        4096,
        |bytes| {
            seen.push(bytes.to_vec());
            MAC
        },
        |used, mac| {
            assert_eq!((used.len(), mac), (32 + 88, &MAC));
            CHECKSUM
        },
    )
    .unwrap();
    assert_eq!(seen, [copy[..32 + 88].to_vec()]);
    let checked = |used: &[u8], mac: &[u8; 32]| {
        assert_eq!((used, mac), (&copy[..32 + 88], &MAC));
        CHECKSUM
    };
    let parsed = KeyCopy::parse(&copy, checked).unwrap();
    assert_eq!(parsed.used(&copy), &copy[..32 + 88]);
}

#[test]
fn a_copy_of_an_earlier_draft_is_known_and_not_read() {
    let mut copy = encode(1, &slots_of([80]), 4096);
    assert!(!KeyCopy::is_of_earlier_draft(&copy));
    copy[..8].copy_from_slice(b"CFDKEYS\0");
    assert!(KeyCopy::is_of_earlier_draft(&copy));
    assert_eq!(parse(&copy), None);
}

/// FORMAT §2: 16 slots at most, and L at most 256 KiB.
#[test]
fn sixteen_slots_and_256_kib_fit_and_no_more_does() {
    assert_eq!(KeyCopy::len_for(&slots_of([0; 16]), 0), Ok(4096));
    assert_eq!(KeyCopy::len_for(&slots_of([0; 17]), 0).unwrap_err().fault, Fault::Limit);
    assert_eq!(parse(&encode(1, &slots_of([0; 16]), 4096)).unwrap().slots().unwrap().len(), 16);
    let largest = 256 * 1024 - 96 - 8;
    assert_eq!(KeyCopy::len_for(&slots_of([largest]), 0), Ok(256 * 1024));
    assert_eq!(KeyCopy::len_for(&slots_of([largest + 1]), 0).unwrap_err().fault, Fault::Limit);
    let copy = encode(1, &slots_of([largest]), 256 * 1024);
    assert_eq!(parse(&copy).unwrap().slots().unwrap()[0].body.len(), largest);
}

#[test]
fn a_copy_that_is_longer_than_its_slots_need_is_written_and_a_shorter_one_is_not() {
    let slots = slots_of([4096 - 96 - 8 - 8, 0]);
    assert_eq!(KeyCopy::len_for(&slots, 0), Ok(4096));
    assert_eq!(encode(1, &slots, 4096).len(), 4096);
    assert_eq!(encode(1, &slots, 12_288).len(), 12_288);
    let slots = slots_of([4096 - 96 - 8 - 8, 1]);
    let error = KeyCopy::encode(1, &slots, 4096, |_| MAC, |_, _| CHECKSUM).unwrap_err();
    assert_eq!((error.fault, error.record), (Fault::Limit, Record::KeyCopy));
}

/// FORMAT §2 and F5.1: L is a multiple of 4096, slots_len at most L - 96, the bytes behind the slots are 0.
#[test]
fn a_copy_is_usable_up_to_its_last_byte_and_not_with_a_length_of_its_own() {
    let copy = encode(1, &slots_of([4096 - 96 - 8]), 4096);
    assert!(parse(&copy).is_some());
    let mut longer = copy.clone();
    longer[16] += 1;
    assert_eq!(parse(&longer), None);
    for len in [0, 96, 4095, 4097, 8191] {
        let mut bytes = copy.clone();
        bytes.resize(len.max(32), 0);
        let end = bytes.len();
        bytes[end - 32..].copy_from_slice(&CHECKSUM);
        assert_eq!(parse(&bytes[..len]), None, "{len} bytes");
    }
    for at in [32 + 8 + 80, 4096 - 65] {
        let mut bytes = encode(1, &slots_of([80]), 4096);
        bytes[at] = 1;
        assert_eq!(parse(&bytes), None, "byte {at}");
    }
}

/// FORMAT F5.2: slots fill slots_len exactly, and their reserved bytes are 0.
#[test]
fn a_slot_is_read_up_to_the_end_of_its_copys_slots_and_no_further() {
    let copy = encode(1, &slots_of([3, 0]), 4096);
    let fault = |edit: &dyn Fn(&mut [u8])| {
        let mut bytes = copy.clone();
        edit(&mut bytes);
        let error = parse(&bytes).unwrap().slots().unwrap_err();
        assert_eq!(error.record, Record::KeyCopy);
        error.fault
    };
    assert_eq!(fault(&|bytes| bytes[20] = 3), Fault::Damaged);
    assert_eq!(fault(&|bytes| bytes[20] = 1), Fault::Damaged);
    assert_eq!(fault(&|bytes| bytes[36] = 4), Fault::Damaged);
    assert_eq!(fault(&|bytes| bytes[36] = 2), Fault::Damaged);
    assert_eq!(fault(&|bytes| bytes[47] = 1), Fault::Damaged);
    assert_eq!(fault(&|bytes| bytes[34] = 1), Fault::Damaged);
    assert_eq!(fault(&|bytes| bytes[35] = 1), Fault::Damaged);
    assert_eq!(fault(&|bytes| bytes[34..36].fill(0x40)), Fault::Damaged);
    assert_eq!(fault(&|bytes| bytes[20] = 17), Fault::Limit);
    assert_eq!(fault(&|bytes| bytes[21] = 1), Fault::Limit);
}

/// FORMAT §6.
#[test]
fn a_metadata_head_has_the_bytes_of_its_table() {
    let head = MetadataHead { salt: [0x5A; 16], body_len: 0x0001_0010 };
    let expected = [&[0x5A; 16][..], &[0x10, 0, 1, 0], &[0; 12]].concat();
    assert_eq!(head.to_bytes()[..], expected);
    assert_eq!(MetadataHead::parse(&expected).as_ref(), Ok(&head));
    assert_eq!(head.record_len(), 32 + 65_552);
    for at in 20..32 {
        let mut bytes = expected.clone();
        bytes[at] = 1;
        assert_eq!(MetadataHead::parse(&bytes).unwrap_err().fault, Fault::Damaged, "byte {at}");
    }
    let mut bytes = expected;
    bytes[20..32].fill(0x11);
    assert_eq!(MetadataHead::parse(&bytes).unwrap_err().fault, Fault::Damaged);
}

/// FORMAT §2: 64 KiB of metadata; F6.2: keys have two bytes of length, values four.
#[test]
fn metadata_entries_are_read_up_to_64_kib_and_no_further() {
    let entry = |value_len: usize| {
        let mut bytes = vec![0, 0];
        bytes.extend((value_len as u32).to_le_bytes());
        bytes.resize(6 + value_len, b'v');
        bytes
    };
    assert_eq!(decode_entries(&entry(65_530)).unwrap(), [(vec![], vec![b'v'; 65_530])]);
    assert_eq!(encode_entries(&[(vec![], vec![b'v'; 65_530])]).unwrap(), entry(65_530));
    let error = decode_entries(&entry(65_531)).unwrap_err();
    assert_eq!((error.fault, error.record), (Fault::Limit, Record::Metadata));
    assert_eq!(encode_entries(&[(vec![], vec![b'v'; 65_531])]).unwrap_err().fault, Fault::Limit);
    assert_eq!(encode_entries(&[(vec![b'k'; 65_536], vec![])]).unwrap_err().fault, Fault::Limit);
}

/// FORMAT F6.3: the order is that of byte strings, and no key stands twice.
#[test]
fn metadata_keys_ascend_as_byte_strings() {
    let pair = |key: &[u8]| (key.to_vec(), b"v".to_vec());
    let keys: [&[u8]; 5] = [b"", b"\0", b"a", b"ab", b"\xFF"];
    let bytes = encode_entries(&[4, 2, 0, 3, 1].map(|at| pair(keys[at]))).unwrap();
    assert_eq!(decode_entries(&bytes).unwrap(), keys.map(pair));
    let twice = encode_entries(&[pair(b"a"), (b"a".to_vec(), b"w".to_vec())]).unwrap_err();
    assert_eq!((twice.fault, twice.record), (Fault::Damaged, Record::Metadata));
}

/// FORMAT §7.
#[test]
fn a_segment_header_has_the_bytes_of_its_table() {
    let header = SegmentHeader {
        index: SegmentIndex(0x0102_0304_0506_0708),
        plaintext_offset: 0x1112_1314_1516_1718,
        attempt_salt: [0x5A; 16],
    };
    let mut expected = b"CFDSEG1\0\x08\x07\x06\x05\x04\x03\x02\x01\x18\x17\x16\x15\x14\x13\x12\x11".to_vec();
    expected.extend([0; 8]);
    expected.extend([0x5A; 16]);
    assert_eq!(header.to_bytes()[..], expected);
    assert_eq!(SegmentHeader::parse(&expected), Ok(header));
    for at in (0..8).chain(24..32) {
        let mut bytes = expected.clone();
        bytes[at] ^= 1;
        assert_eq!(SegmentHeader::parse(&bytes).unwrap_err().fault, Fault::Damaged, "byte {at}");
    }
}

fn entry() -> IndexEntry {
    IndexEntry {
        wire_offset: 0x0102_0304_0506_0708,
        wire_len: 0x1112_1314_1516_1718,
        plaintext_offset: 0x2122_2324_2526_2728,
        plaintext_len: 0x3132_3334,
        frame_count: 0x4142_4344,
        attempt_salt: [0x5A; 16],
        digest: [0xD1; 32],
        plaintext_digest: None,
    }
}

/// FORMAT §9, the tables of page and entry.
#[test]
fn an_index_page_has_the_bytes_of_its_table() {
    let page =
        IndexPage { page: 0x0102, first_segment: SegmentIndex(0x0010_2000), entries: vec![entry(); 2] };
    let mut expected = b"CFDIDX1\0\x02\x01\0\0\x02\0\0\0\x00\x20\x10\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    for _ in 0..2 {
        expected.extend(0x0102_0304_0506_0708_u64.to_le_bytes());
        expected.extend(0x1112_1314_1516_1718_u64.to_le_bytes());
        expected.extend(0x2122_2324_2526_2728_u64.to_le_bytes());
        expected.extend(0x3132_3334_u32.to_le_bytes());
        expected.extend(0x4142_4344_u32.to_le_bytes());
        expected.extend([0x5A; 16]);
        expected.extend([0xD1; 32]);
    }
    assert_eq!(page.to_bytes(), expected);
    expected.extend(MAC);
    assert_eq!((expected.len(), page_len(2, Compression::None)), (224, 224));
    assert_eq!(IndexPage::parse(&expected, Compression::None), Ok((page, MAC)));
    for at in (0..8).chain(24..32) {
        let mut bytes = expected.clone();
        bytes[at] ^= 1;
        assert_eq!(
            IndexPage::parse(&bytes, Compression::None).unwrap_err().fault,
            Fault::Damaged,
            "byte {at}"
        );
    }
    for len in [223, 225, 144] {
        let mut bytes = expected.clone();
        bytes.resize(len, 0);
        assert!(IndexPage::parse(&bytes, Compression::None).is_err(), "{len} bytes");
    }
}

/// FORMAT §2: 1 to 4096 entries.
#[test]
fn a_page_has_one_entry_at_least_and_4096_at_most() {
    for (count, holds) in [(0_u32, false), (1, true), (4096, true), (4097, false)] {
        let mut bytes = b"CFDIDX1\0\0\0\0\0".to_vec();
        bytes.extend(count.to_le_bytes());
        bytes.resize(64 + 80 * count as usize, 0);
        assert_eq!(IndexPage::parse(&bytes, Compression::None).is_ok(), holds, "{count} entries");
        assert_eq!(page_len(count, Compression::None), bytes.len());
    }
}

/// FORMAT §9: 40 bytes a page.
#[test]
fn a_directory_has_the_bytes_of_its_table() {
    let pages = [(0x0102_0304_0506_0708, [0xA1; 32]), (9, [0xA2; 32])];
    let pages = pages.map(|(offset, mac)| DirectoryEntry { offset, mac });
    let mut expected = vec![8, 7, 6, 5, 4, 3, 2, 1];
    expected.extend([0xA1; 32]);
    expected.extend([9, 0, 0, 0, 0, 0, 0, 0]);
    expected.extend([0xA2; 32]);
    assert_eq!(encode_directory(&pages), expected);
    assert_eq!(decode_directory(&expected), pages);
    assert_eq!((encode_directory(&[]), decode_directory(&[])), (vec![], vec![]));
}

fn footer(pages: u32, segments: u64) -> Footer {
    let directory_offset = 0x0102_0304;
    let wire_len = directory_offset + 40 * u64::from(pages) + 112;
    Footer { pages, directory_offset, segments, plaintext_len: 0x1112, wire_len, stream_digest: [0xD1; 32] }
}

fn footer_bytes(footer: &Footer) -> Vec<u8> {
    [&footer.to_bytes()[..], &MAC].concat()
}

/// FORMAT §9.
#[test]
fn a_footer_has_the_bytes_of_its_table() {
    let mut expected = b"CFDEND1\0\x02\0\0\0\0\0\0\0\x04\x03\x02\x01\0\0\0\0\x01\x10\0\0\0\0\0\0".to_vec();
    expected.extend(0x1112_u64.to_le_bytes());
    expected.extend((0x0102_0304_u64 + 2 * 40 + 112).to_le_bytes());
    expected.extend([0xD1; 32]);
    expected.extend(MAC);
    let footer = footer(2, 4097);
    assert_eq!(footer_bytes(&footer), expected);
    assert_eq!(footer.directory_len(), 80);
    assert_eq!(Footer::parse(&expected), Ok((footer, MAC)));
}

/// FORMAT §2 and F9.3: pages follow from segments, of which there are 1 to 2^32.
#[test]
fn a_footer_has_as_many_pages_as_its_segments_need() {
    let pairs =
        [(1, 1), (1, 4096), (2, 4097), (2, 8192), (1_048_576, 1 << 32), (1_048_576, (1 << 32) - 4095)];
    for (pages, segments) in pairs {
        let footer = footer(pages, segments);
        assert_eq!(Footer::parse(&footer_bytes(&footer)), Ok((footer, MAC)), "{pages}, {segments}");
    }
    let contradictions = [(0, 0), (1, 0), (0, 1), (1, 4097), (2, 4096), (3, 4097), (1_048_576, 1)];
    for (pages, segments) in contradictions {
        let error = Footer::parse(&footer_bytes(&footer(pages, segments))).unwrap_err();
        assert_eq!((error.fault, error.record), (Fault::Damaged, Record::Footer), "{pages}, {segments}");
    }
    for (pages, segments) in [(1_048_577, (1 << 32) + 1), (1_048_577, 1 << 32), (1_048_576, (1 << 32) + 1)] {
        assert!(Footer::parse(&footer_bytes(&footer(pages, segments))).is_err(), "{pages}, {segments}");
    }
}

/// FORMAT F1.10 and F9.3: the directory and the footer end the stream, and no sum overflows.
#[test]
fn a_footer_whose_offsets_do_not_add_up_is_damaged() {
    for (directory_offset, wire_len) in
        [(1000, 1151), (1000, 1153), (1000, 1112), (u64::MAX, 151), (u64::MAX - 100, u64::MAX)]
    {
        let footer = Footer { directory_offset, wire_len, ..footer(1, 1) };
        assert_eq!(Footer::parse(&footer_bytes(&footer)).unwrap_err().fault, Fault::Damaged, "{wire_len}");
    }
    let footer = Footer { directory_offset: u64::MAX - 152, wire_len: u64::MAX, ..footer(1, 1) };
    assert_eq!(Footer::parse(&footer_bytes(&footer)), Ok((footer, MAC)));
}

fn preamble(key_copy_len: u32) -> Preamble {
    Preamble {
        suite: Suite::Aes256Gcm,
        digest: DigestKind::Tags,
        shape: Shape::new(4096, 3).unwrap(),
        stream_id: StreamId([0x1D; 16]),
        salt: [0x5A; 32],
        commitment: [0xC0; 32],
        key_copy_len,
    }
}

/// FORMAT §4.
#[test]
fn a_preamble_has_the_bytes_of_its_table() {
    let mut expected =
        b"\x89CFD\r\n\x1A\n\x01\0\x01\x03\0\0\0\0\0\x10\0\0\x03\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    expected.extend([0x1D; 16]);
    expected.extend([0x5A; 32]);
    expected.extend([0xC0; 32]);
    expected.extend([0, 0, 4, 0]);
    expected.resize(128, 0);
    let preamble = preamble(262_144);
    assert_eq!(preamble.to_bytes()[..], expected);
    expected.resize(4096, 0);
    assert_eq!(Preamble::parse(&expected), Ok(preamble));
}

/// FORMAT §4: the ids of suites and digests.
#[test]
fn suites_and_digests_have_the_ids_of_the_table_and_no_others() {
    let suites = [(1, Suite::Aes256Gcm), (2, Suite::ChaCha20Poly1305)];
    let digests = [(1, DigestKind::Blake3), (2, DigestKind::Sha256), (3, DigestKind::Tags)];
    for (suite_id, suite) in suites {
        for (digest_id, digest) in digests {
            let preamble = Preamble { suite, digest, ..preamble(4096) };
            let mut block = preamble.to_bytes().to_vec();
            assert_eq!(block[10..12], [suite_id, digest_id]);
            block.resize(4096, 0);
            assert_eq!(Preamble::parse(&block), Ok(preamble));
        }
    }
    for (at, id) in [(10, 0), (10, 3), (11, 0), (11, 4)] {
        let mut block = preamble(4096).to_bytes().to_vec();
        block.resize(4096, 0);
        block[at] = id;
        assert_eq!(Preamble::parse(&block).unwrap_err().fault, Fault::Unsupported, "byte {at} is {id}");
    }
}

/// FORMAT §2, F3.2: L is a multiple of 4096, 256 KiB at most, and moves the origin.
#[test]
fn key_copies_have_4_to_256_kib_and_end_at_the_origin() {
    for len in [4096, 8192, 262_144] {
        let mut block = preamble(len).to_bytes().to_vec();
        block.resize(4096, 0);
        assert_eq!(Preamble::parse(&block).unwrap().origin(), 4096 + 2 * u64::from(len));
    }
    let cases =
        [(0, Fault::Damaged), (4095, Fault::Damaged), (4097, Fault::Damaged), (266_240, Fault::Limit)];
    for (len, fault) in cases {
        let mut block = preamble(len).to_bytes().to_vec();
        block.resize(4096, 0);
        let error = Preamble::parse(&block).unwrap_err();
        assert_eq!((error.fault, error.record), (fault, Record::Preamble), "{len}");
    }
}

/// FORMAT §2 and F4.3.
#[test]
fn a_shape_is_taken_at_its_edges_and_not_beyond() {
    for (frame_len, frames) in
        [(4096, 1), (4096, 262_144), (4_194_304, 1), (4_194_304, 256), (65_536, 16_384)]
    {
        let shape = Shape::new(frame_len, frames).unwrap();
        assert_eq!((shape.frame_len(), shape.frames_per_segment()), (frame_len, frames));
        assert_eq!(shape.segment_len(), u64::from(frame_len) * u64::from(frames));
    }
    let refused = [
        (0, 1, Fault::Limit),
        (4095, 1, Fault::Limit),
        (4097, 1, Fault::Damaged),
        (4_194_305, 1, Fault::Limit),
        (4_198_400, 1, Fault::Limit),
        (4096, 0, Fault::Damaged),
        (4096, 262_145, Fault::Limit),
        (4_194_304, 257, Fault::Limit),
        (4_194_304, u32::MAX, Fault::Limit),
    ];
    for (frame_len, frames, fault) in refused {
        assert_eq!(Shape::new(frame_len, frames).unwrap_err().fault, fault, "{frame_len} times {frames}");
    }
}

/// FORMAT F2.3 as it is written there, less O.
#[test]
fn a_stream_is_as_long_as_the_formula_says() {
    for (frame_len, frames) in [(4096_u64, 1_u64), (4096, 3), (65_536, 2)] {
        let geometry = StreamGeometry::new(Shape::new(frame_len as u32, frames as u32).unwrap(), 32 + 77);
        let segment_len = frame_len * frames;
        let lens = [0, 1, frame_len - 1, frame_len, frame_len + 1, segment_len, segment_len + 1];
        let long = [4095, 4096, 4097, 8192, 8193].map(|segments| segments * segment_len);
        for len in lens.into_iter().chain(long).chain(long.map(|len| len + 1)) {
            let segments = len.div_ceil(segment_len).max(1);
            let pages = segments.div_ceil(4096);
            let expected = (32 + 77)
                + 192 * segments
                + 32 * len.div_ceil(frame_len)
                + len
                + (64 * pages + 80 * segments)
                + 40 * pages
                + 112;
            assert_eq!(geometry.wire_len(len), expected, "{len} bytes in frames of {frame_len}");
        }
    }
}

/// FORMAT F3.1, F9.1, F9.2: segments and pages stand side by side.
#[test]
fn a_segment_begins_where_the_one_before_or_its_page_ends() {
    let shape = Shape::new(4096, 3).unwrap();
    let geometry = StreamGeometry::new(shape, 48);
    let mut wire_offset = 48;
    for index in 0..8194 {
        let place = geometry.segment(SegmentIndex(index), 12_288);
        assert_eq!((place.wire_offset, place.wire_len), (wire_offset, 192 + 12_288 + 3 * 32), "{index}");
        assert_eq!((place.plaintext_offset, place.plaintext_len), (index * 12_288, 12_288), "{index}");
        wire_offset += place.wire_len;
        if (index + 1) % 4096 == 0 {
            wire_offset += 64 + 80 * 4096;
        }
    }
    assert_eq!(geometry.segment(SegmentIndex(1), 4097).wire_len, 192 + 4097 + 2 * 32);
}
