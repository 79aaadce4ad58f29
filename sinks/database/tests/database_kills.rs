//! Restores into SQLite that are killed anywhere and gone on with, until the whole is published.
//! Knows the sink from outside: what a killed process leaves is looked at by another one.

#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "a test may, and so may what only tests call")]

mod fixture;

use std::{
    env,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use contract::StreamingSink;
use database::DatabaseSink;
use fixture::{checkpoint, options, read};

#[test]
fn a_restore_that_is_killed_anywhere_goes_on_and_is_published_whole() {
    for mode in ["delete", "wal"] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.db");
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.pragma_update(None, "journal_mode", mode).unwrap();
        drop(connection);
        let mut rng = fastrand::Rng::with_seed(1);
        let mut kills = 0;
        for stream in 0..STREAMS {
            let mut committed = 0;
            loop {
                let (ended, said) = run_and_kill(&path, stream, rng.u64(..1 << 31));
                let last = look(&path, stream);
                if last == Found::Published {
                    break;
                }
                assert_eq!(ended, Ended::Killed, "the child ended by itself without publishing");
                let Found::Committed(segments) = last else { panic!("neither old nor new") };
                committed = committed.max(said);
                assert!(segments >= committed, "{segments} segments where {committed} were committed");
                committed = segments;
                kills += 1;
            }
        }
        println!("{mode}: {kills} kills, {STREAMS} streams");
        assert!(kills >= STREAMS, "too few kills to say anything: {kills}");
    }
}

/// Runs in a process of its own, which the test above kills.
#[test]
fn child() {
    let (Ok(path), Ok(stream)) = (env::var(PATH), env::var(STREAM)) else { return };
    let stream = stream.parse().unwrap();
    let mut sink = DatabaseSink::sqlite(Path::new(&path), &options()).unwrap();
    println!("\nopened");
    let mut next = 0;
    if let Some(checkpoint) = sink.last_commit().unwrap() {
        next = u64::from(checkpoint.to_bytes()[0]);
        sink.resume_at(next, next * SEGMENT_LEN as u64).unwrap();
    }
    for index in next..SEGMENTS {
        let at = index * SEGMENT_LEN as u64;
        println!("begins {index}");
        sink.begin_segment(index, at).unwrap();
        for (piece, place) in segment(stream, index).chunks(PIECE_LEN).zip((at..).step_by(PIECE_LEN)) {
            sink.write_tentative(place, piece).unwrap();
        }
        println!("commits {index}");
        sink.commit_segment(&checkpoint(index + 1)).unwrap();
    }
    println!("publishes");
    sink.publish(SEGMENTS * SEGMENT_LEN as u64).unwrap();
    println!("published");
}

#[derive(PartialEq, Eq, Debug)]
enum Ended {
    Killed,
    ByItself,
}

/// Kills the child somewhere behind one of its lines. Gives how many segments it said to have committed, too.
fn run_and_kill(path: &Path, stream: u64, random: u64) -> (Ended, u64) {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture", "--test-threads=1"]);
    command.env(PATH, path).env(STREAM, stream.to_string());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = 0;
    for line in lines.by_ref().take((random % LINES) as usize) {
        if let Some(index) = line.unwrap().strip_prefix("begins ") {
            said = index.parse().unwrap();
        }
    }
    for _ in 0..random / LINES % SPINS {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
    let ended = if child.wait().unwrap().success() { Ended::ByItself } else { Ended::Killed };
    (ended, said)
}

#[derive(PartialEq, Eq, Debug)]
enum Found {
    Committed(u64),
    Published,
    Mixed,
}

/// What the next process finds: an intact database, the stream before or this one, and a checkpoint that fits the
/// rows.
fn look(path: &Path, stream: u64) -> Found {
    let connection = rusqlite::Connection::open(path).unwrap();
    let intact: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(intact, "ok");
    let published = read(path);
    if published.as_deref() == Some(&whole(stream)[..]) {
        return Found::Published;
    }
    let before = stream.checked_sub(1).map(whole);
    if published != before {
        return Found::Mixed;
    }
    let growing = "FROM cofferdam_restores WHERE state = 'growing'";
    let segments = connection
        .query_row(&format!("SELECT segments {growing}"), [], |row| row.get::<_, u32>(0).map(u64::from));
    let Ok(segments) = segments else { return Found::Committed(0) }; // killed before it had begun
    let rows =
        format!("SELECT bytes FROM cofferdam_chunks WHERE restore = (SELECT id {growing}) ORDER BY position");
    let mut statement = connection.prepare(&rows).unwrap();
    let rows: Result<Vec<Vec<u8>>, _> = statement.query_map([], |row| row.get(0)).unwrap().collect();
    let expected: Vec<u8> = (0..segments).flat_map(|index| segment(stream, index)).collect();
    assert!(rows.unwrap().concat() == expected, "the rows are not the {segments} segments that committed");
    Found::Committed(segments)
}

fn whole(stream: u64) -> Vec<u8> {
    (0..SEGMENTS).flat_map(|index| segment(stream, index)).collect()
}

/// Bytes that no other segment has, of this stream or the ones before and after it.
fn segment(stream: u64, index: u64) -> Vec<u8> {
    let tag = (stream * SEGMENTS + index) as u8;
    (0..SEGMENT_LEN).map(|place| tag ^ (place % 251) as u8).collect()
}

const STREAMS: u64 = 20;
const SEGMENTS: u64 = 6;
const SEGMENT_LEN: usize = 300_001;
const PIECE_LEN: usize = 65_537;
/// What a child says at most, its test program's own lines included.
const LINES: u64 = 2 * SEGMENTS + 6;
/// About a millisecond: a commit and its sync.
const SPINS: u64 = 100_000;
const PATH: &str = "COFFERDAM_KILL_DATABASE";
const STREAM: &str = "COFFERDAM_KILL_STREAM";
