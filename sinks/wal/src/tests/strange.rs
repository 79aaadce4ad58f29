//! Records with right checksums where they do not belong: made here, byte by byte, from the byte table.
//! Expects damage where no crash could have put them there, and a tear where one could.

use std::ffi::OsStr;

use super::{
    super::{Reader, WalError},
    recorded_disk::RecordedDisk,
    stream::{LOG, Stream, checkpoint, ready},
};

const DATA: u32 = 1;
const COMMIT: u32 = 2;
const FINISH: u32 = 3;
const FIRST: u64 = 12_288;
/// Behind the DATA and the COMMIT record of the first segment, three bytes long.
const END: u64 = FIRST + 43 + 248;

fn record(kind: u32, epoch: u64, lsn: u64, at: u64, body: &[u8]) -> Vec<u8> {
    let mut record = vec![0; 4];
    record.extend(kind.to_le_bytes());
    for number in [epoch, lsn, at] {
        record.extend(number.to_le_bytes());
    }
    record.extend((body.len() as u32).to_le_bytes());
    record.extend([0; 4]);
    record.extend(body);
    seal(&mut record);
    record
}

fn seal(record: &mut [u8]) {
    let crc = crc32fast::hash(&record[4..]);
    record[..4].copy_from_slice(&crc.to_le_bytes());
}

fn commit_body(segment: u64, first: u64) -> Vec<u8> {
    let mut body = segment.to_le_bytes().to_vec();
    body.extend(first.to_le_bytes());
    body.extend(checkpoint(9).to_bytes());
    body
}

/// A log of epoch 1 with one segment of three bytes, of which no slot says that it is durable.
fn log() -> Vec<u8> {
    let disk = RecordedDisk::new();
    let mut sink = ready(&disk, b"");
    Stream::of(b"abc", &[3]).write(&mut sink, 0, 1).unwrap();
    disk.bytes(LOG).unwrap()
}

#[derive(PartialEq, Eq, Debug)]
enum Found {
    Segments(u64),
    Finished(u64),
    Damaged(u64),
}

fn look(bytes: &[u8]) -> Found {
    let disk = RecordedDisk::new();
    disk.put(LOG, bytes);
    match Reader::open(&*disk.storage(), OsStr::new(LOG)) {
        Ok(reader) => {
            let reader = reader.unwrap();
            let segments = reader.last_commit().map_or(0, |last| last.segment + 1);
            reader.finished().map_or(Found::Segments(segments), Found::Finished)
        }
        Err(WalError::Damaged { lsn, .. }) => Found::Damaged(lsn.to_u64()),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_record_that_no_crash_can_leave_is_damage_also_where_tears_are_expected() {
    let data = record(DATA, 1, END, 3, b"def");
    let second = END + data.len() as u64;
    let after_data = |kind, at, body: &[u8]| [data.clone(), record(kind, 1, second, at, body)].concat();
    let cases = [
        ("a second segment", after_data(COMMIT, 6, &commit_body(1, END)), Found::Segments(2)),
        ("its end elsewhere", after_data(COMMIT, 5, &commit_body(1, END)), Found::Damaged(second)),
        ("another number", after_data(COMMIT, 6, &commit_body(2, END)), Found::Damaged(second)),
        ("the first one's number", after_data(COMMIT, 6, &commit_body(0, END)), Found::Damaged(second)),
        ("another first record", after_data(COMMIT, 6, &commit_body(1, FIRST)), Found::Damaged(second)),
        ("its own lsn, with bytes", after_data(COMMIT, 6, &commit_body(1, second)), Found::Damaged(second)),
        ("bytes rolled back, none after", after_data(COMMIT, 3, &commit_body(1, second)), Found::Segments(2)),
        ("an empty one", record(COMMIT, 1, END, 3, &commit_body(1, END)), Found::Segments(2)),
        ("bytes that are not there", record(COMMIT, 1, END, 6, &commit_body(1, END)), Found::Damaged(END)),
        ("a gap", record(DATA, 1, END, 4, b"def"), Found::Damaged(END)),
        ("a gap within", after_data(DATA, 7, b"g"), Found::Damaged(second)),
        ("going on", after_data(DATA, 6, b"g"), Found::Segments(1)),
        ("once more from the start", after_data(DATA, 3, b"g"), Found::Segments(1)),
        ("the end", record(FINISH, 1, END, 3, b""), Found::Finished(3)),
        ("too early an end", record(FINISH, 1, END, 2, b""), Found::Damaged(END)),
        ("an end within a segment", after_data(FINISH, 6, b""), Found::Damaged(second)),
        ("a later epoch", record(DATA, 2, END, 3, b"def"), Found::Damaged(END)),
    ];
    for (what, tail, expected) in cases {
        assert_eq!(look(&[log(), tail].concat()), expected, "{what}");
    }
}

#[test]
fn what_is_no_record_or_an_old_one_ends_the_log() {
    let of_an_earlier_epoch = [
        record(DATA, 0, END, 3, b"def"),
        record(DATA, 0, END, 77, b"def"),
        record(COMMIT, 0, END, 3, &commit_body(1, END)),
        record(FINISH, 0, END, 3, b""),
    ];
    let mut reserved = record(DATA, 1, END, 3, b"def");
    reserved[36] = 1;
    seal(&mut reserved);
    let no_records = [
        record(DATA, 1, FIRST, 0, b"abc"),
        record(DATA, 1, END + 1, 3, b"def"),
        record(DATA, 1, END, 3, b""),
        record(DATA, 1, END, 3, &vec![0; super::DATA_LEN_MAX + 1]),
        record(COMMIT, 1, END, 3, b"short"),
        record(FINISH, 1, END, 3, b"long"),
        record(0, 1, END, 3, b"def"),
        record(4, 1, END, 3, b"def"),
        reserved,
        vec![0; 100],
    ];
    for (number, tail) in of_an_earlier_epoch.into_iter().chain(no_records).enumerate() {
        assert_eq!(look(&[log(), tail].concat()), Found::Segments(1), "case {number}");
    }
}

#[test]
fn a_durable_record_of_the_wrong_epoch_or_that_does_not_follow_is_damage() {
    let disk = RecordedDisk::new();
    disk.put(LOG, &log());
    ready(&disk, b""); // epoch 2 now, and everything is durable
    let log = disk.bytes(LOG).unwrap();
    assert_eq!(look(&log), Found::Segments(1));
    let commit = FIRST + 43;
    let edits = [
        ("an epoch that ends within a segment", commit, 8, 2, commit),
        ("an epoch that goes back", commit, 8, 0, commit),
        ("an epoch to come", commit, 8, 3, commit),
        ("an epoch to come", FIRST, 8, 3, FIRST),
        ("another place in the stream", FIRST, 24, 1, FIRST),
        ("another end", commit, 24, 2, commit),
        ("another number", commit, 40, 1, commit),
    ];
    for (what, lsn, at, number, expected) in edits {
        let mut edited = log.clone();
        let end = if lsn == FIRST { commit } else { END };
        let record = &mut edited[lsn as usize..end as usize];
        record[at] = number;
        seal(record);
        assert_eq!(look(&edited), Found::Damaged(expected), "{what}");
    }
}
