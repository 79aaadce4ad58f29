//! Every sync and every write of a restore into SQLite fails once: what the sink says of it is true.
//! Knows the sink from outside; needs strace, and says so where there is none.

#![cfg(all(feature = "sqlite", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "a test may, and so may what only tests call")]

mod fixture;

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
};

use contract::{CommitError, StreamingSink};
use database::DatabaseSink;
use fixture::{checkpoint, options, read};

const OLD: &[u8] = b"the old target";

/// What the injured process was sure of.
#[derive(Default, PartialEq, Eq, Debug)]
struct Said {
    committed: u64,
    /// A later segment may have committed.
    unknown: bool,
    published: Option<Publish>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Publish {
    Done,
    NotDone,
    Unknown,
}

#[test]
fn whatever_call_fails_the_sink_says_what_has_happened_and_the_next_one_goes_on() {
    if !can_trace() {
        eprintln!("strace is not here or may not trace: no fault was injected");
        return;
    }
    let sweeps = [
        ("delete", "fsync,fdatasync:error=EIO"),
        ("delete", "pwrite64:error=ENOSPC"),
        ("wal", "fsync,fdatasync:error=EIO"),
        ("wal", "pwrite64:error=EIO"),
    ];
    for (mode, fault) in sweeps {
        let points = (1..).take_while(|nth| holds_at(mode, &format!("inject={fault}:when={nth}"))).count();
        println!("{mode}: {points} points of {fault}");
        assert!(points > 4, "{points} points are too few for {SEGMENTS} commits and a publish");
    }
}

/// False: the process ended before the fault came.
fn holds_at(mode: &str, fault: &str) -> bool {
    let directory = directory();
    let path = directory.path().join("app.db");
    prepare(&path, mode);
    let (said, injured) = restore_injured(&path, fault);
    if injured {
        check(&path, &said, &format!("{mode} {fault}: {said:?}"));
    } else {
        assert_eq!(said.published, Some(Publish::Done), "{mode} {fault}");
    }
    injured
}

/// In memory where that is possible: the syncs are counted, not needed.
fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Runs in a process of its own, which the test above injures.
#[test]
fn child() {
    let Ok(path) = env::var(PATH) else { return };
    println!();
    let Ok(mut sink) = DatabaseSink::sqlite(Path::new(&path), &options()) else { return };
    for index in 0..SEGMENTS {
        let at = index * SEGMENT_LEN as u64;
        let written = sink.begin_segment(index, at).and_then(|()| sink.write_tentative(at, &segment(index)));
        if written.is_err() {
            return;
        }
        match sink.commit_segment(&checkpoint(index + 1)) {
            Ok(()) => println!("committed {}", index + 1),
            Err(CommitError::NotCommitted(_)) => return,
            Err(CommitError::Unknown(_)) => return println!("unknown"),
        }
    }
    println!(
        "publish {:?}",
        match sink.publish(SEGMENTS * SEGMENT_LEN as u64) {
            Ok(()) => Publish::Done,
            Err(CommitError::NotCommitted(_)) => Publish::NotDone,
            Err(CommitError::Unknown(_)) => Publish::Unknown,
        }
    );
}

fn prepare(path: &Path, mode: &str) {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.pragma_update(None, "journal_mode", mode).unwrap();
    drop(connection);
    let mut sink = DatabaseSink::sqlite(path, &options()).unwrap();
    sink.begin_segment(0, 0).unwrap();
    sink.write_tentative(0, OLD).unwrap();
    sink.commit_segment(&checkpoint(1)).unwrap();
    sink.publish(OLD.len() as u64).unwrap();
}

/// Whether the fault was injected at all is said, too.
fn restore_injured(path: &Path, fault: &str) -> (Said, bool) {
    let log = path.with_extension("log");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", fault, "-o"]).arg(&log).arg(env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture", "--test-threads=1"]).env(PATH, path);
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    let mut said = Said::default();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        match line.split_once(' ') {
            Some(("committed", count)) => said.committed = count.parse().unwrap(),
            Some(("publish", outcome)) => {
                let all = [Publish::Done, Publish::NotDone, Publish::Unknown];
                said.published = all.into_iter().find(|known| format!("{known:?}") == outcome);
            }
            _ if line == "unknown" => said.unknown = true,
            _ => {}
        }
    }
    assert!(output.status.success(), "a child that ends by itself ends well");
    (said, fs::read_to_string(log).unwrap().contains("INJECTED"))
}

/// What another process finds is what was said, and it finishes what was begun.
fn check(path: &Path, said: &Said, when: &str) {
    let mut sink = DatabaseSink::sqlite(path, &options()).unwrap();
    let published = read(path).unwrap();
    match said.published {
        Some(Publish::Done) => assert!(published == whole(), "{when}"),
        Some(Publish::Unknown) => assert!(published == OLD || published == whole(), "{when}"),
        Some(Publish::NotDone) | None => assert!(published == OLD, "{when}"),
    }
    if published == whole() {
        assert_eq!(sink.last_commit().unwrap(), None, "{when}");
        return;
    }
    let most = said.committed + u64::from(said.unknown);
    let last = sink.last_commit().unwrap().map_or(0, |checkpoint| u64::from(checkpoint.to_bytes()[0]));
    assert!((said.committed..=most).contains(&last), "{when}: {last} segments");
    if last > 0 {
        sink.resume_at(last, last * SEGMENT_LEN as u64).unwrap();
    }
    for index in last..SEGMENTS {
        sink.begin_segment(index, index * SEGMENT_LEN as u64).unwrap();
        sink.write_tentative(index * SEGMENT_LEN as u64, &segment(index)).unwrap();
        sink.commit_segment(&checkpoint(index + 1)).unwrap();
    }
    sink.publish(SEGMENTS * SEGMENT_LEN as u64).unwrap();
    assert!(read(path).unwrap() == whole(), "{when}");
    let connection = rusqlite::Connection::open(path).unwrap();
    let intact: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(intact, "ok", "{when}");
}

fn can_trace() -> bool {
    let traced = Command::new("strace").args(["-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    traced.is_ok_and(|status| status.success())
}

fn whole() -> Vec<u8> {
    (0..SEGMENTS).flat_map(segment).collect()
}

fn segment(index: u64) -> Vec<u8> {
    (0..SEGMENT_LEN).map(|place| index as u8 ^ (place % 251) as u8).collect()
}

const SEGMENTS: u64 = 3;
const SEGMENT_LEN: usize = 5_000;
const PATH: &str = "COFFERDAM_FAULT_DATABASE";
