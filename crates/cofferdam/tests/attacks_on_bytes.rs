//! Owns one test for each attack on the sealed bytes that was seen to work against a published program.
//! Refuses to know the inside of the engine: an attacker has the file and the public interface.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod streams;

use std::collections::HashSet;
use std::ops::Range;

use cofferdam::{DigestKind, Opener};
use sha2::{Digest, Sha256};

use streams::map::{Kind, ranges, records, segments};
use streams::{
    FRAME, READINGS, SEGMENT, SUITES, Shared, class_of, counted, open, opener, seal, small_sealer, verify,
};

/// Both readers refuse `sealed`, for restoring and for verifying, in the class `due`.
fn assert_refused(sealed: &[u8], due: &str, what: &str) {
    let sealed = Shared::new(sealed.to_vec());
    for reading in READINGS {
        assert_eq!(class_of(&open(&opener(), reading, sealed.clone())), due, "{what}, {reading:?}");
        assert_eq!(
            class_of(&verify(&opener(), reading, sealed.clone())),
            due,
            "{what}, {reading:?}, verified"
        );
    }
}

fn three_segments() -> (Vec<u8>, Vec<u8>) {
    let plaintext = counted(3 * SEGMENT);
    (seal(&small_sealer(), plaintext.clone()), plaintext)
}

fn without(sealed: &[u8], range: Range<usize>) -> Vec<u8> {
    [&sealed[..range.start], &sealed[range.end..]].concat()
}

#[test]
fn attack_1_no_two_frames_of_equal_plaintext_have_a_keystream_in_common() {
    for suite in SUITES {
        let mut starts = HashSet::new();
        let mut frames = 0;
        for _stream in 0..3 {
            let sealed = seal(&small_sealer().suite(suite), vec![0; 3 * SEGMENT]);
            for frame in ranges(&sealed, Kind::Data) {
                // The plaintext is zero, so this is the keystream itself: every block of it is another one.
                for block in sealed[frame.start + 16..frame.end - 16].chunks_exact(16) {
                    frames += 1;
                    assert!(starts.insert(block.to_vec()), "a block of keystream came again");
                }
            }
        }
        assert_eq!(frames, 3 * 12 * FRAME / 16);
    }
}

#[test]
fn attack_1_the_xor_of_two_ciphertexts_is_never_that_of_their_plaintexts() {
    let plaintext = counted(3 * SEGMENT);
    let streams = [0, 1].map(|_| seal(&small_sealer(), plaintext.clone()));
    let frames: Vec<(Vec<u8>, &[u8])> = streams
        .iter()
        .flat_map(|sealed| {
            let bodies =
                ranges(sealed, Kind::Data).into_iter().map(|frame| sealed[frame.start + 16..][..32].to_vec());
            bodies.zip(plaintext.chunks(FRAME))
        })
        .collect();
    let xor = |a: &[u8], b: &[u8]| a.iter().zip(b).map(|(a, b)| a ^ b).collect::<Vec<u8>>();
    for (at, (body, text)) in frames.iter().enumerate() {
        for (other_body, other_text) in &frames[at + 1..] {
            assert_ne!(xor(body, other_body), xor(&text[..32], &other_text[..32]));
        }
    }
}

#[test]
fn attack_2_a_stream_cut_at_any_edge_is_truncated_and_never_complete() {
    let (sealed, _) = three_segments();
    assert_refused(&[], "truncated", "cut to nothing");
    for record in records(&sealed) {
        if record.range.end < sealed.len() {
            assert_refused(&sealed[..record.range.end], "truncated", &format!("cut behind {record:?}"));
        }
    }
}

#[test]
fn attack_2_a_forged_last_flag_does_not_end_a_stream() {
    let (sealed, _) = three_segments();
    let terminators = ranges(&sealed, Kind::Terminator);
    let trailer = ranges(&sealed, Kind::Page)[0].start;
    for terminator in &terminators[..2] {
        let mut forged = sealed[..terminator.end].to_vec();
        forged[terminator.start + 20] = 1;
        assert_refused(&forged, "damaged", "LAST is set, and the stream ends there");
        forged.extend(&sealed[trailer..]);
        assert_refused(&forged, "damaged", "LAST is set, and the trailer follows");
    }
    let mut forged = sealed.clone();
    forged[terminators[2].start + 20] = 0;
    assert_refused(&forged, "damaged", "LAST is taken away");
}

/// A trailer for `beginning`, the first `count` segments of `sealed`, right in all that needs no key. Its MACs are
/// nonsense.
fn forged_trailer(sealed: &[u8], beginning: &[u8], count: usize) -> Vec<u8> {
    let origin = ranges(sealed, Kind::Metadata)[0].start;
    let end = beginning.len() - origin;
    let page = &sealed[ranges(sealed, Kind::Page)[0].clone()];
    let mut trailer = page[..32 + 80 * count].to_vec();
    trailer[12..16].copy_from_slice(&(count as u32).to_le_bytes());
    trailer.extend([0xAA; 32]);
    let directory_offset = end + trailer.len();
    trailer.extend((end as u64).to_le_bytes());
    trailer.extend([0xAA; 32]);
    let closing = &beginning[beginning.len() - 64 - 80..];
    let chain = blake3::hash(&[b"cofferdam/v1/chain\0", closing].concat());
    let plaintext_len = count * SEGMENT;
    let wire_len = directory_offset + 40 + 112;
    trailer.extend(b"CFDEND1\0\x01\0\0\0\0\0\0\0");
    for number in [directory_offset, count, plaintext_len, wire_len] {
        trailer.extend((number as u64).to_le_bytes());
    }
    trailer.extend(chain.as_bytes());
    trailer.extend([0xAA; 32]);
    trailer
}

#[test]
fn attack_2_a_shorter_stream_with_a_trailer_of_its_own_fools_nobody_who_has_a_key_or_a_pin() {
    let (sealed, _) = three_segments();
    let pin = verify(&opener(), READINGS[0], sealed.clone()).unwrap().stream_digest;
    for count in [1, 2] {
        let end = segments(&sealed)[count - 1].end;
        let mut forged = sealed[..end].to_vec();
        forged[end - 80 + 20] = 1;
        forged.extend(forged_trailer(&sealed, &forged, count));
        assert_refused(&forged, "damaged", "a shorter stream");
        for reading in READINGS {
            // Without a key it is consistent, and that is all that is said of it; against a pin it is another stream.
            let keyless = verify(&Opener::keyless(), reading, forged.clone()).unwrap();
            assert_eq!(keyless.segments, count as u64);
            let pinned = verify(&Opener::keyless().expect_digest(pin), reading, forged.clone());
            assert_eq!(class_of(&pinned), "damaged");
        }
    }
}

#[test]
fn attack_3_segments_deleted_doubled_and_swapped() {
    let (sealed, _) = three_segments();
    let segments = segments(&sealed);
    for segment in &segments {
        assert_refused(&without(&sealed, segment.clone()), "damaged", "a segment is deleted");
        let twice = [&sealed[..segment.end], &sealed[segment.start..]].concat();
        assert_refused(&twice, "damaged", "a segment is doubled");
    }
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        let mut swapped = sealed.clone();
        swapped[segments[a].clone()].copy_from_slice(&sealed[segments[b].clone()]);
        swapped[segments[b].clone()].copy_from_slice(&sealed[segments[a].clone()]);
        assert_refused(&swapped, "damaged", "two segments are swapped");
        // With headers that say the new places.
        let place = |segment: &Range<usize>| segment.start + 8..segment.start + 24;
        swapped[place(&segments[a])].copy_from_slice(&sealed[place(&segments[a])]);
        swapped[place(&segments[b])].copy_from_slice(&sealed[place(&segments[b])]);
        assert_refused(&swapped, "damaged", "two segments are swapped and renumbered");
    }
}

#[test]
fn attack_4_edited_header_fields() {
    let (sealed, _) = three_segments();
    let start = |kind, nth: usize| ranges(&sealed, kind)[nth].start;
    let edits: [(&str, usize, &[u8], &str); 14] = [
        // A slot under a caller's key is bound to these fields, and no longer opens.
        ("frame_len 8192", 16, &[0, 0x20, 0, 0], "no key"),
        ("frames_per_segment 8", 20, &[8, 0, 0, 0], "no key"),
        ("digest SHA-256", 11, &[2], "no key"),
        ("digest tags: the checksum flag", 11, &[3], "no key"),
        ("the other suite", 10, &[if sealed[10] == 1 { 2 } else { 1 }], "no key"),
        ("preamble flag zstd", 12, &[1], "no key"),
        ("a preamble flag that nobody knows", 12, &[2], "unsupported"),
        ("version 0", 8, &[0, 0], "unsupported"),
        ("segment index 1", start(Kind::SegmentHeader, 0) + 8, &[1], "damaged"),
        ("plaintext offset 1", start(Kind::SegmentHeader, 0) + 16, &[1], "damaged"),
        ("frame index 1", start(Kind::Data, 0) + 4, &[1], "damaged"),
        ("frame flag zstd", start(Kind::Data, 0) + 1, &[1], "damaged"),
        ("a frame one byte shorter", start(Kind::Data, 3) + 8, &[0xFF, 0x0F, 0, 0, 0x0F, 0x10], "damaged"),
        ("five frames in the TERMINATOR", start(Kind::Terminator, 0) + 16, &[5], "damaged"),
    ];
    for (what, at, bytes, due) in edits {
        let mut edited = sealed.clone();
        edited[at..at + bytes.len()].copy_from_slice(bytes);
        assert_refused(&edited, due, what);
    }
}

/// The bytes of a stream that are not fixed by its shape: random values, ciphertexts, digests and MACs.
fn unfixed(sealed: &[u8]) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    for record in records(sealed) {
        let Range { start, end } = record.range;
        match record.kind {
            Kind::KeyCopy => parts.extend([start + 40..start + 120, end - 64..end]),
            Kind::Metadata => parts.extend([start..start + 16, start + 32..end]),
            Kind::SegmentHeader => parts.push(start + 32..end),
            Kind::Data | Kind::Table | Kind::Digest => parts.push(start + 16..end),
            Kind::Terminator => parts.push(start + 32..end),
            Kind::Page => {
                let entries = (start + 32..end - 32).step_by(80);
                parts.extend(entries.map(|entry| entry + 32..entry + 80));
                parts.push(end - 32..end);
            }
            Kind::Directory => parts.extend((start..end).step_by(40).map(|entry| entry + 8..entry + 40)),
            Kind::Footer => parts.push(start + 48..end),
            Kind::Preamble => parts.push(start + 32..start + 112),
        }
    }
    parts
}

#[test]
fn attack_5_two_streams_of_one_plaintext_have_nothing_in_common() {
    for digest in streams::DIGESTS {
        let sealer = || small_sealer().digest(digest).metadata("host", "db1");
        let [one, other] = [0, 1].map(|_| seal(&sealer(), counted(3 * SEGMENT)));
        let seen: HashSet<&[u8]> = unfixed(&one).into_iter().flat_map(|part| one[part].windows(16)).collect();
        for window in other.windows(16) {
            assert!(!seen.contains(window), "16 bytes of one stream stand in the other");
        }
    }
}

#[test]
fn attack_5_no_hash_of_the_plaintext_stands_in_the_stream() {
    let plaintext = counted(3 * SEGMENT);
    let whole = [&plaintext[..]];
    let pieces = whole.into_iter().chain(plaintext.chunks(SEGMENT)).chain(plaintext.chunks(FRAME));
    let hashes: HashSet<Vec<u8>> = pieces
        .flat_map(|piece| {
            [blake3::hash(piece).as_bytes()[..16].to_vec(), Sha256::digest(piece)[..16].to_vec()]
        })
        .collect();
    for digest in [DigestKind::Blake3, DigestKind::Sha256] {
        let sealed = seal(&small_sealer().digest(digest), plaintext.clone());
        assert!(!sealed.windows(16).any(|window| hashes.contains(window)), "{digest:?}");
    }
}

/// Where a stream says a length or a count, with the bytes that each takes.
fn length_fields(sealed: &[u8]) -> Vec<(&'static str, Range<usize>)> {
    let start = |kind| ranges(sealed, kind)[0].start;
    let field = |name, at: usize, len: usize| (name, at..at + len);
    let copy = start(Kind::KeyCopy);
    let page = start(Kind::Page);
    let footer = start(Kind::Footer);
    vec![
        field("frame_len", 16, 4),
        field("frames_per_segment", 20, 4),
        field("L", 112, 4),
        field("slots_len", copy + 16, 4),
        field("slot_count", copy + 20, 2),
        field("len of a slot", copy + 36, 4),
        field("body_len of the metadata", start(Kind::Metadata) + 16, 4),
        field("segment index", start(Kind::SegmentHeader) + 8, 8),
        field("plaintext_offset", start(Kind::SegmentHeader) + 16, 8),
        field("frame_index", start(Kind::Data) + 4, 4),
        field("plaintext_len of a frame", start(Kind::Data) + 8, 4),
        field("body_len of a frame", start(Kind::Data) + 12, 4),
        field("N", start(Kind::Terminator) + 16, 4),
        field("plaintext_len of a segment", start(Kind::Terminator) + 24, 8),
        field("count of a page", page + 12, 4),
        field("wire_offset of an entry", page + 32, 8),
        field("wire_len of an entry", page + 40, 8),
        field("plaintext_len of an entry", page + 56, 4),
        field("N of an entry", page + 60, 4),
        field("offset of a page", start(Kind::Directory), 8),
        field("pages", footer + 8, 4),
        field("directory_offset", footer + 16, 8),
        field("segments", footer + 24, 8),
        field("plaintext_len", footer + 32, 8),
        field("wire_len", footer + 40, 8),
    ]
}

/// The most address space that this process has had, in bytes.
#[cfg(target_os = "linux")]
fn peak_address_space() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// The checksums of both key copies, made right: anybody can.
fn with_checksums(mut sealed: Vec<u8>) -> Vec<u8> {
    for copy in [4096..8192, 8192..12_288] {
        let checksum = Sha256::digest(&sealed[copy.start..copy.end - 32]);
        sealed[copy.end - 32..copy.end].copy_from_slice(&checksum);
    }
    sealed
}

#[test]
#[cfg(target_os = "linux")]
fn attack_10_no_length_field_is_allocated_for_before_it_is_checked() {
    let (sealed, _) = three_segments();
    let before = peak_address_space();
    for (name, field) in length_fields(&sealed) {
        for value in [&[0xFF; 8][..], &[0xFF, 0xFF, 0xFF, 0x7F, 0, 0, 0, 0], &[0, 0, 0, 0x80, 0, 0, 0, 0]] {
            let mut edited = sealed.clone();
            edited[field.clone()].copy_from_slice(&value[..field.len()]);
            // The same field of the other key copy, so that none is left to take.
            if (4096..8192).contains(&field.start) {
                let other = field.start + 4096..field.end + 4096;
                edited[other].copy_from_slice(&value[..field.len()]);
            }
            let edited = Shared::new(with_checksums(edited));
            for reading in READINGS {
                for opener in [opener(), Opener::keyless()] {
                    let refused = verify(&opener, reading, edited.clone());
                    let class = class_of(&refused);
                    let due = ["damaged", "limit", "no key", "truncated"];
                    assert!(due.contains(&class), "{name}: {class}, {reading:?}");
                }
            }
        }
    }
    // Threads reserve address space for their stacks and heaps; 2 GiB of it is far less than one such field says.
    let grown = peak_address_space() - before;
    assert!(grown < 2 << 30, "the address space grew by {grown} bytes");
}

#[test]
fn attack_11_a_removed_frame_is_damage_and_no_panic() {
    let (sealed, _) = three_segments();
    for kind in [Kind::Data, Kind::Digest, Kind::Terminator] {
        for frame in ranges(&sealed, kind) {
            assert_refused(
                &without(&sealed, frame.clone()),
                "damaged",
                &format!("{kind:?} {frame:?} is removed"),
            );
        }
    }
}

#[test]
fn a_segment_of_another_stream_for_the_same_recipient_is_refused() {
    let (sealed, _) = three_segments();
    let (other, _) = three_segments();
    for ours in segments(&sealed) {
        for theirs in segments(&other) {
            let mut spliced = sealed.clone();
            spliced[ours.clone()].copy_from_slice(&other[theirs.clone()]);
            assert_refused(&spliced, "damaged", "a segment of another stream");
            // With the place that the header is expected to name.
            spliced[ours.start + 8..ours.start + 24]
                .copy_from_slice(&sealed[ours.start + 8..ours.start + 24]);
            assert_refused(&spliced, "damaged", "a segment of another stream, renumbered");
        }
    }
}
