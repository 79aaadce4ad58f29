//! Tests of the journal's bytes: every bit of every byte, and every truncation.
//! Know the layout from its description, and the CRC-32 from its definition.

use storage::{Disk, FileStamp, FileTime};

use super::*;

/// Where records lie and end, from the table in the layout's description.
const HEADER: std::ops::Range<usize> = 0..512;
const INTENT: std::ops::Range<usize> = 512..640;
const SLOT_A: std::ops::Range<usize> = 4_096..4_608;
const SLOT_B: std::ops::Range<usize> = 8_192..8_704;

const ANNOUNCED: Announced = Announced {
    stamp: FileStamp {
        inode: 0x1112_1314_1516_1718,
        len: 0x0102_0304_0506_0708,
        modified: FileTime { seconds: -2, nanos: 0x2122_2324 },
        created: Some(FileTime { seconds: 0x4142_4344_4546_4748, nanos: 0x3132_3334 }),
    },
    writer: WriterId(*b"who wrote it, 24 letters"),
    mode_due: Some(0o640),
};

fn checkpoint(fill: u8) -> Checkpoint {
    Checkpoint::from_bytes([fill; Checkpoint::LEN])
}

fn attempt_id() -> AttemptId {
    AttemptId::new(&(1..=100).collect::<Vec<u8>>()).unwrap()
}

/// A journal written as an attempt writes it: with this many checkpoints, of which the last two stay, and maybe an intent.
fn written(checkpoints: u8, announced: Option<Announced>) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::open(directory.path()).unwrap();
    let file = disk.create("journal".as_ref()).unwrap();
    let mut journal = Journal::new(file, 0);
    journal.begin(&attempt_id()).unwrap();
    for fill in 1..=checkpoints {
        journal.keep(&checkpoint(fill), &disk).unwrap();
    }
    if let Some(announced) = announced {
        journal.intend(&announced, &disk).unwrap();
    }
    std::fs::read(directory.path().join("journal")).unwrap()
}

fn every_journal() -> Vec<Vec<u8>> {
    let checkpoints = [0, 1, 2, 3];
    checkpoints
        .iter()
        .flat_map(|checkpoints| [None, Some(ANNOUNCED)].map(|announced| written(*checkpoints, announced)))
        .collect()
}

/// CRC-32 as ISO 3309 defines it, a bit at a time.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

#[test]
fn the_bytes_are_those_of_the_description() {
    let journal = written(2, Some(ANNOUNCED));
    assert_eq!(journal.len(), SLOT_B.end);
    let mut expected = vec![0; SLOT_B.end];
    expected[..16].copy_from_slice(b"CFDJHEAD\x02\0\0\0\x64\0\0\0");
    expected[16..116].copy_from_slice(attempt_id().as_bytes());
    expected[512..520].copy_from_slice(b"CFDINTNT");
    expected[520..528].copy_from_slice(b"\x18\x17\x16\x15\x14\x13\x12\x11");
    expected[528..536].copy_from_slice(b"\x08\x07\x06\x05\x04\x03\x02\x01");
    expected[536..544].copy_from_slice(b"\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF");
    expected[544..552].copy_from_slice(b"\x24\x23\x22\x21\x34\x33\x32\x31");
    expected[552..560].copy_from_slice(b"\x48\x47\x46\x45\x44\x43\x42\x41");
    expected[560..584].copy_from_slice(b"who wrote it, 24 letters");
    expected[584..588].copy_from_slice(b"\xA0\x01\0\0");
    expected[4_096] = 1;
    expected[4_104..4_296].fill(1);
    expected[8_192] = 2;
    expected[8_200..8_392].fill(2);
    for record in [HEADER, INTENT, SLOT_A, SLOT_B] {
        let crc = crc32(&expected[record.start..record.end - 4]);
        expected[record.end - 4..record.end].copy_from_slice(&crc.to_le_bytes());
    }
    assert!(journal == expected);
}

#[test]
fn a_journal_without_checkpoints_is_a_state_file_under_a_kilobyte() {
    assert!(written(0, None).len() < 1_000);
}

#[test]
fn what_was_written_is_read_and_the_newest_checkpoint_counts() {
    for (checkpoints, newest) in [(0, None), (1, Some(1)), (2, Some(2)), (3, Some(3)), (4, Some(4))] {
        for announced in [None, Some(ANNOUNCED)] {
            let records = Records::parse(&written(checkpoints, announced));
            assert_eq!(records.header, Header::Valid(attempt_id()));
            assert_eq!(records.intent, announced.map_or(Intent::None, Intent::Valid));
            let expected = newest.map(|newest: u8| (u64::from(newest), Some(checkpoint(newest))));
            assert_eq!(records.verdict().newest(), expected);
        }
    }
}

#[test]
fn a_flipped_bit_spoils_the_record_that_it_is_in_and_no_other() {
    for journal in every_journal() {
        let whole = Records::parse(&journal);
        for bit in 0..journal.len() * 8 {
            let byte = bit / 8;
            let mut flipped = journal.clone();
            flipped[byte] ^= 1 << (bit % 8);
            let mut expected = whole.clone();
            if HEADER.contains(&byte) {
                // Without its magic a header is known by nothing behind it.
                let stranger = byte < 8 && journal.len() > HEADER.end;
                expected.header = if stranger { Header::Stranger } else { Header::Torn };
            } else if INTENT.contains(&byte) {
                expected.intent = Intent::Torn;
            } else if SLOT_A.contains(&byte) {
                expected.slots[0] = record::Slot::Torn;
            } else if SLOT_B.contains(&byte) {
                expected.slots[1] = record::Slot::Torn;
            }
            assert!(Records::parse(&flipped) == expected, "bit {bit} of {} bytes", journal.len());
        }
    }
}

#[test]
fn a_truncation_takes_what_lies_behind_it_and_spoils_the_record_that_it_is_in() {
    for journal in every_journal() {
        let whole = Records::parse(&journal);
        for len in 0..journal.len() {
            let found = Records::parse(&journal[..len]);
            // What the cut leaves of a record, if that is any of its bytes but zeros; what it takes, likewise.
            let kept = |record: &std::ops::Range<usize>| {
                journal[..len.max(record.start)]
                    .iter()
                    .skip(record.start)
                    .take(record.len())
                    .any(|byte| *byte != 0)
            };
            let cut = |record: &std::ops::Range<usize>| {
                let end = record.end.min(journal.len());
                journal[len.clamp(record.start.min(end), end)..end].iter().any(|byte| *byte != 0)
            };
            let mut expected = whole.clone();
            if cut(&HEADER) {
                expected.header = if kept(&HEADER) { Header::Torn } else { Header::Absent };
            }
            if cut(&INTENT) {
                expected.intent = if kept(&INTENT) { Intent::Torn } else { Intent::None };
            }
            for (slot, place) in [SLOT_A, SLOT_B].iter().enumerate() {
                if cut(place) {
                    let torn = kept(place);
                    expected.slots[slot] = if torn { record::Slot::Torn } else { record::Slot::Empty };
                }
            }
            assert!(found == expected, "cut to {len} of {}: {found:?}", journal.len());
        }
    }
}

#[test]
fn one_bad_slot_costs_one_checkpoint_and_two_are_not_taken_for_none() {
    use record::Slot;

    let valid = |generation: u8| Slot::Valid {
        generation: generation.into(),
        checkpoint: Some(checkpoint(generation)),
    };
    let newest = |generation: u8| Slots::Checkpoint {
        generation: generation.into(),
        checkpoint: Some(checkpoint(generation)),
    };
    let cases = [
        ([Slot::Empty, Slot::Empty], Slots::None),
        ([Slot::Torn, Slot::Empty], Slots::None),
        ([Slot::Empty, Slot::Torn], Slots::None),
        ([Slot::Torn, Slot::Torn], Slots::BothBad),
        ([valid(1), Slot::Empty], newest(1)),
        ([Slot::Empty, valid(2)], newest(2)),
        ([valid(1), Slot::Torn], newest(1)),
        ([Slot::Torn, valid(2)], newest(2)),
        ([valid(1), valid(2)], newest(2)),
        ([valid(3), valid(2)], newest(3)),
    ];
    for (slots, expected) in cases {
        let records = Records { header: Header::Absent, slots, intent: Intent::None };
        assert_eq!(records.verdict(), expected, "{records:?}");
    }
}

#[test]
fn a_slot_in_the_other_ones_place_is_not_believed() {
    let mut journal = written(2, None);
    journal.copy_within(SLOT_A, SLOT_B.start);
    let records = Records::parse(&journal);
    assert_eq!(records.slots[1], record::Slot::Torn);
    assert_eq!(records.verdict().newest(), Some((1, Some(checkpoint(1)))));
}

#[test]
fn whole_records_with_impossible_contents_are_torn_ones_and_other_versions_are_named() {
    let header = |change: fn(&mut [u8])| {
        let mut journal = written(0, None);
        change(&mut journal);
        let crc = crc32(&journal[..HEADER.end - 4]);
        journal[HEADER.end - 4..HEADER.end].copy_from_slice(&crc.to_le_bytes());
        Records::parse(&journal).header
    };
    assert_eq!(header(|_| ()), Header::Valid(attempt_id()));
    assert_eq!(header(|bytes| bytes[0] ^= 1), Header::Torn);
    assert_eq!(header(|bytes| bytes[8] = 1), Header::Foreign { version: 1 });
    assert_eq!(header(|bytes| bytes[12..14].copy_from_slice(&385_u16.to_le_bytes())), Header::Torn);
    assert_eq!(header(|bytes| bytes[12..16].fill(0xFF)), Header::Torn);
    let mut journal = written(1, None);
    journal[SLOT_A.start] = 0; // Generations count from 1.
    let crc = crc32(&journal[SLOT_A.start..SLOT_A.end - 4]);
    journal[SLOT_A.end - 4..].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(Records::parse(&journal).slots[0], record::Slot::Torn);
}

#[test]
fn what_does_not_begin_as_a_header_is_a_strangers_once_it_is_longer_than_one() {
    let header = |bytes: &[u8]| Records::parse(bytes).header;
    let words = b"somebody's notes. ".repeat(500);
    assert_eq!(header(&words[..HEADER.end]), Header::Torn);
    for len in [HEADER.end + 1, INTENT.end, 5_000, SLOT_B.end, words.len()] {
        assert_eq!(header(&words[..len]), Header::Stranger, "{len} bytes");
    }
    // A header that was torn before its first bytes were written, in a file with zeros behind it.
    let mut torn = vec![0; SLOT_B.end];
    torn[100..HEADER.end].copy_from_slice(&words[100..HEADER.end]);
    assert_eq!(header(&torn), Header::Torn);
    torn[..8].copy_from_slice(b"CFDJHEAD");
    torn[SLOT_A.start] = 1;
    assert_eq!(header(&torn), Header::Torn);
}

#[test]
fn given_up_checkpoints_are_gone_for_good_and_the_next_checkpoint_is_newer() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::open(directory.path()).unwrap();
    let file = disk.create("journal".as_ref()).unwrap();
    let newest = || Journal::read(&*file).unwrap().verdict().newest();
    let mut journal = Journal::new(file.clone(), 0);
    journal.begin(&attempt_id()).unwrap();
    journal.forget(&disk).unwrap();
    assert_eq!(newest(), None);
    for (fill, generation) in [(1, 1), (2, 4), (3, 7)] {
        journal.keep(&checkpoint(fill), &disk).unwrap();
        assert_eq!(newest(), Some((generation, Some(checkpoint(fill)))));
        journal.forget(&disk).unwrap();
        assert_eq!(newest(), Some((generation + 2, None)));
    }
    // Damage to one of the two slots brings no checkpoint back.
    let whole = std::fs::read(directory.path().join("journal")).unwrap();
    for slot in [SLOT_A, SLOT_B] {
        let mut damaged = whole.clone();
        damaged[slot.start + 20] ^= 1;
        assert!(matches!(Records::parse(&damaged).verdict().newest(), Some((8 | 9, None))));
    }
}

#[test]
fn a_slot_of_an_unknown_kind_is_a_torn_one() {
    let mut journal = written(1, None);
    journal[SLOT_A.start + 200] = 2;
    let crc = crc32(&journal[SLOT_A.start..SLOT_A.end - 4]);
    journal[SLOT_A.end - 4..].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(Records::parse(&journal).slots[0], record::Slot::Torn);
}

#[test]
fn what_is_not_known_or_not_due_is_announced_as_such() {
    let stamp = FileStamp { created: None, ..ANNOUNCED.stamp };
    let announced = Announced { stamp, writer: WriterId::default(), mode_due: None };
    assert_eq!(Records::parse(&written(1, Some(announced))).intent, Intent::Valid(announced));
}

#[test]
fn an_attempt_id_has_a_limit() {
    assert!(AttemptId::new(&[1; AttemptId::LEN_MAX]).is_some());
    assert!(AttemptId::new(&[1; AttemptId::LEN_MAX + 1]).is_none());
}

#[test]
fn the_last_generation_ends_the_journal_and_does_not_wrap() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::open(directory.path()).unwrap();
    let file = disk.create("journal".as_ref()).unwrap();
    let mut journal = Journal::new(file, u64::MAX);
    assert!(journal.keep(&checkpoint(1), &disk).is_err());
}
