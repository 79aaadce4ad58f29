//! Every bit flipped and every truncation of a small log: is it damage, is it a tear, and where?
//! Expects what follows from where the byte stands, by the byte tables and the calls that were made.

use std::ffi::OsStr;

use contract::StreamingSink;

use super::{
    super::{AtPublish, Opened, Reader, WalError, WalSink},
    recorded_disk::RecordedDisk,
    stream::{LOG, Reached, Stream, attempt_id, checkpoint, committed, open, try_open},
};

/// A log of four segments: the first and the second are durable, the third has committed, the fourth is open.
struct Small {
    bytes: Vec<u8>,
    /// Where each record begins, and where the last one ends.
    edges: Vec<u64>,
    stream: Stream,
}

const HEAD: u64 = 40;
const COMMIT: u64 = HEAD + 208;
const RECORDS_AT: u64 = 12_288;
const SECTOR: u64 = 512;
/// The record at which the durable lsn stands, the one after the third COMMIT, and the end.
const DURABLE_EDGE: usize = 6;
const THIRD_EDGE: usize = 8;

impl Small {
    fn write() -> Small {
        let stream = Stream::of(b"bytes of a log", &[7, 9, 4, 6]);
        let disk = RecordedDisk::new();
        let mut sink = open(&disk);
        stream.write(&mut sink, 0, 1).unwrap();
        sink.begin_segment(1, 7).unwrap();
        sink.write_tentative(7, b"no!").unwrap();
        sink.rollback_segment().unwrap();
        stream.write(&mut sink, 1, 2).unwrap();
        sink.durability().unwrap().make_durable(&checkpoint(1)).unwrap();
        stream.write(&mut sink, 2, 3).unwrap();
        sink.begin_segment(3, 20).unwrap();
        sink.write_tentative(20, &stream.bytes[20..]).unwrap();
        // Pieces of five bytes, the one that was rolled back, and the open segment in one.
        let lengths =
            [HEAD + 5, HEAD + 2, COMMIT, HEAD + 3, HEAD + 5, HEAD + 4, COMMIT, HEAD + 4, COMMIT, HEAD + 6];
        let mut edges = vec![RECORDS_AT];
        for len in lengths {
            edges.push(edges[edges.len() - 1] + len);
        }
        let bytes = disk.bytes(LOG).unwrap();
        assert_eq!(bytes.len() as u64, edges[edges.len() - 1]);
        Small { bytes, edges, stream }
    }

    fn durable(&self) -> u64 {
        self.edges[DURABLE_EDGE + 1]
    }

    /// Where the third segment's COMMIT record ends.
    fn third(&self) -> u64 {
        self.edges[THIRD_EDGE + 1]
    }

    /// Where the record with this byte begins.
    fn record_with(&self, at: u64) -> u64 {
        self.edges.iter().copied().rfind(|edge| *edge <= at).unwrap()
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Found {
    Anew,
    NotALog,
    Damaged(u64),
    /// Goes on behind this segment.
    Commit(u8),
}

/// What opening to write finds. What opening to read finds must be the same.
fn look(bytes: &[u8]) -> (Found, RecordedDisk) {
    let disk = RecordedDisk::new();
    disk.put(LOG, bytes);
    let read = Reader::open(&*disk.storage(), OsStr::new(LOG));
    let written = WalSink::open(disk.storage(), OsStr::new(LOG), &attempt_id(b"new"), AtPublish::Keep);
    let found = match (written, read) {
        (Ok(Opened::Ready(mut sink)), Ok(None)) => {
            assert_eq!(sink.last_commit().unwrap(), None);
            assert_eq!(sink.attempt_id(), &attempt_id(b"new"));
            Found::Anew
        }
        (Ok(Opened::Ready(mut sink)), Ok(Some(reader))) => {
            let last = reader.last_commit().unwrap().checkpoint.clone();
            assert_eq!(sink.last_commit().unwrap().as_ref(), Some(&last));
            Found::Commit(last.to_bytes()[0])
        }
        (Err(WalError::NotALog), Err(WalError::NotALog)) => Found::NotALog,
        (Err(WalError::Damaged { lsn, .. }), Err(WalError::Damaged { lsn: same, .. })) => {
            assert_eq!(lsn, same);
            Found::Damaged(lsn.to_u64())
        }
        other => panic!("{other:?}"),
    };
    if let Found::NotALog | Found::Damaged(_) = found {
        assert!(disk.bytes(LOG).unwrap() == bytes, "a log that was refused was changed");
    }
    (found, disk)
}

#[test]
fn every_bit_flipped_is_damage_where_it_was_durable_and_a_tear_behind_that() {
    let small = Small::write();
    let mut checked = 0;
    for at in 0..small.bytes.len() as u64 {
        let expected = match at {
            _ if at < SECTOR => Found::NotALog,
            // One slot of two, or what lies between header, slots and records.
            _ if at < RECORDS_AT => Found::Commit(2),
            _ if at < small.durable() => Found::Damaged(small.record_with(at)),
            _ if at < small.third() => Found::Commit(1),
            _ => Found::Commit(2),
        };
        for bit in 0..8 {
            let mut bytes = small.bytes.clone();
            bytes[at as usize] ^= 1 << bit;
            assert_eq!(look(&bytes).0, expected, "bit {bit} of byte {at}");
            checked += 1;
        }
    }
    println!("{checked} bits flipped");
}

#[test]
fn every_truncation_is_damage_up_to_the_durable_lsn_and_a_tear_behind_it() {
    let small = Small::write();
    for len in 0..=small.bytes.len() as u64 {
        let expected = match len {
            0 => Found::Anew,
            _ if len < SECTOR => Found::NotALog,
            // No slot is whole.
            _ if len < 4096 + SECTOR => Found::Damaged(0),
            // A slot is, and says that there was more.
            _ if len < RECORDS_AT => Found::Damaged(RECORDS_AT),
            _ if len < small.durable() => Found::Damaged(small.record_with(len)),
            _ if len < small.third() => Found::Commit(1),
            _ => Found::Commit(2),
        };
        let (found, disk) = look(&small.bytes[..len as usize]);
        assert_eq!(found, expected, "{len} bytes");
        let Found::Commit(last) = found else { continue };
        // From a tear at any place the stream is completed, to the same bytes.
        let end = if last == 1 { small.durable() } else { small.third() };
        assert_eq!(disk.bytes(LOG).unwrap().len() as u64, end, "{len} bytes: cut behind the last commit");
        disk.start_again();
        let mut sink = open(&disk);
        small.stream.complete(&mut sink).unwrap();
        assert_eq!(disk.bytes("target").unwrap(), small.stream.bytes, "{len} bytes");
    }
    println!("{} truncations", small.bytes.len() + 1);
}

#[test]
fn two_unreadable_slots_are_refused() {
    let mut bytes = Small::write().bytes;
    bytes[4096] ^= 1;
    bytes[8192] ^= 1;
    assert_eq!(look(&bytes).0, Found::Damaged(0));
}

#[test]
fn a_slot_that_leaves_no_room_to_count_on_is_an_unreadable_one() {
    for (place, generation, epoch) in [(4096, u64::MAX - 1, 1), (8192, 9, u64::MAX - 1)] {
        let mut bytes = Small::write().bytes;
        let slot = &mut bytes[place..place + SECTOR as usize];
        slot[..8].copy_from_slice(&u64::to_le_bytes(generation));
        slot[8..16].copy_from_slice(&u64::to_le_bytes(epoch));
        let crc = crc32fast::hash(&slot[..508]);
        slot[508..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(look(&bytes).0, Found::Commit(2), "generation {generation}, epoch {epoch}");
    }
}

#[test]
fn a_file_that_is_no_log_is_never_overwritten() {
    for contents in [&b"notes"[..], &[0x89; 512], &[1; 20_000], &[0; 20_000]] {
        let (found, _) = look(contents);
        assert!(matches!(found, Found::NotALog | Found::Damaged(0)), "{found:?}");
    }
    // What a crash leaves of a log that is being made: no byte of a header, and no record.
    for len in [0, 1, 511, 512, 8704, RECORDS_AT as usize] {
        assert_eq!(look(&vec![0; len]).0, Found::Anew, "{len} zeros");
    }
}

/// After a tear the log is written on with records of the same lengths. Then a crash keeps a part of the new ones, and
/// brings the old tail back behind them.
#[test]
fn a_stale_tail_is_never_taken_for_a_new_one() {
    let small = Small::write();
    let old = &small.bytes;
    let mut torn = old.clone();
    torn[small.durable() as usize] ^= 1;
    let disk = RecordedDisk::new();
    disk.put(LOG, &torn);
    let mut sink = open(&disk);
    let other = Stream::of(b"other contents!", &[7, 9, 4, 6, 0]);
    for index in [2, 3, 4] {
        other.write_marked(&mut sink, index, 10 + index as u8).unwrap();
    }
    let new = disk.bytes(LOG).unwrap();
    drop(sink);
    // The same records as before up to there, then the fourth segment in two pieces and two more commits.
    let ends = [small.third(), small.third() + HEAD + 5 + HEAD + 1 + COMMIT];
    for kept in small.durable()..=new.len() as u64 {
        let mut bytes = new[..kept as usize].to_vec();
        bytes.extend_from_slice(old.get(kept as usize..).unwrap_or_default());
        let disk = RecordedDisk::new();
        disk.put(LOG, &bytes);
        let (expected, reached) = match kept {
            _ if kept < ends[0] => (1, 16),
            _ if kept < ends[1] => (12, 20),
            _ if kept < new.len() as u64 => (13, 26),
            _ => (14, 26),
        };
        assert_eq!(Reached::of(&disk), Reached::Commit(expected), "{kept} bytes of the new log");
        let mut contents = small.stream.bytes[..16].to_vec();
        contents.extend_from_slice(&other.bytes[16..26]);
        assert_eq!(committed(&disk).unwrap(), contents[..reached], "{kept} bytes of the new log");
    }
}

#[test]
fn bytes_behind_a_finish_record_are_not_looked_at() {
    let stream = Stream::new();
    let disk = RecordedDisk::new();
    let mut sink = super::ready(&disk, b"");
    stream.write(&mut sink, 0, 4).unwrap();
    sink.publish(stream.bytes.len() as u64).unwrap();
    let mut bytes = disk.bytes(LOG).unwrap();
    bytes.extend_from_slice(b"a tail that a cut did not take, for the cut was lost");
    let disk = RecordedDisk::new();
    disk.put(LOG, &bytes);
    assert!(matches!(try_open(&disk), Ok(Opened::Finished(_))));
}
