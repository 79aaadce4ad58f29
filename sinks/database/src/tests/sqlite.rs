//! The checks on SQLite, and what holds there alone.
//! Knows the file's locks from a second session.

use std::path::{Path, PathBuf};

use rusqlite::OpenFlags;
use tempfile::TempDir;

use super::{super::on_sqlite::SqliteSession, *};

pub(super) struct File {
    _directory: TempDir,
    pub(super) path: PathBuf,
}

impl File {
    pub(super) fn new() -> Self {
        // In memory where that is possible: what is looked at here needs no disk.
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let path = directory.path().join("app.db");
        Self { _directory: directory, path }
    }
}

impl Ways for File {
    fn sink(&self, options: &DatabaseOptions) -> io::Result<DatabaseSink> {
        DatabaseSink::sqlite(&self.path, options)
    }

    fn published(&self, target: &DatabaseTarget) -> io::Result<Option<Published>> {
        Published::sqlite(&self.path, target)
    }

    fn session(&self) -> Box<dyn Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let session = SqliteSession::open(&self.path, flags).unwrap();
        session.prepare_to_write().unwrap();
        Box::new(session)
    }
}

#[test]
fn every_check_holds_with_a_rollback_journal() {
    check_all_in("delete");
}

#[test]
fn every_check_holds_with_a_log() {
    check_all_in("wal");
}

#[test]
fn nobody_waits_for_a_lock_while_no_bytes_come() {
    let file = File::new();
    let mut sink = file.sink(&options("db1")).unwrap();
    let free = || {
        let other = rusqlite::Connection::open(&file.path).unwrap();
        other.busy_timeout(std::time::Duration::ZERO).unwrap();
        other.execute_batch("BEGIN EXCLUSIVE; ROLLBACK").is_ok()
    };
    assert!(free());
    for index in 0..3 {
        sink.begin_segment(index, index).unwrap();
        assert!(free(), "an open segment without a byte holds a lock");
        sink.write_tentative(index, b"x").unwrap();
        assert!(!free(), "this test sees no lock");
        sink.commit_segment(&checkpoint(index + 1)).unwrap();
        assert!(free(), "a committed segment holds a lock");
    }
    sink.begin_segment(3, 3).unwrap();
    sink.write_tentative(3, b"x").unwrap();
    sink.rollback_segment().unwrap();
    assert!(free(), "a segment that was rolled back holds a lock");
}

#[test]
fn of_two_sinks_the_later_one_goes_on_and_the_earlier_one_changes_nothing() {
    let database = Database(Rc::new(File::new()));
    let mut early = database.sink("db1");
    write(&mut early, 0, 0, b"both, ").unwrap();
    let mut late = database.sink("db1");
    late.resume_at(1, 6).unwrap();
    early.begin_segment(1, 6).unwrap();
    early.write_tentative(6, b"early").unwrap();
    assert_eq!(not_committed(early.commit_segment(&checkpoint(2))), io::ErrorKind::ResourceBusy);
    drop(early);
    write(&mut late, 1, 6, b"late").unwrap();
    let mut latest = database.sink("db1");
    assert_eq!(not_committed(late.publish(10)), io::ErrorKind::ResourceBusy);
    drop(late);
    latest.resume_at(2, 10).unwrap();
    latest.publish(10).unwrap();
    assert_eq!(database.read("db1").unwrap(), b"both, late");
}

#[test]
fn a_database_in_memory_and_a_file_that_is_none_are_refused() {
    let file = File::new();
    let in_memory = DatabaseSink::sqlite(Path::new(":memory:"), &options("db1")).unwrap_err();
    assert_eq!(in_memory.kind(), io::ErrorKind::Unsupported);
    std::fs::write(&file.path, [0x55; 8192]).unwrap();
    let not_a_database = file.sink(&options("db1")).unwrap_err();
    assert_eq!(not_a_database.kind(), io::ErrorKind::InvalidData);
}

#[test]
fn a_commit_that_a_reader_keeps_waiting_for_too_long_has_not_happened() {
    let file = File::new();
    let mut impatient = file.session();
    impatient.first_row("PRAGMA busy_timeout = 0", &[]).unwrap();
    let mut sink = DatabaseSink::over(impatient, &options("db1")).unwrap();
    write(&mut sink, 0, 0, b"first").unwrap();
    let reader = rusqlite::Connection::open(&file.path).unwrap();
    let read = "BEGIN; SELECT COUNT(*) FROM cofferdam_chunks";
    reader.execute_batch(read).unwrap();
    assert_eq!(not_committed(write(&mut sink, 1, 5, b"second")), io::ErrorKind::ResourceBusy);
    drop(sink);
    reader.execute_batch("ROLLBACK").unwrap();
    assert_eq!(file.sink(&options("db1")).unwrap().last_commit().unwrap(), Some(checkpoint(1)));
}

#[test]
fn a_full_database_is_an_error_and_keeps_what_was_committed() {
    let file = File::new();
    let mut session = file.session();
    session.first_row("PRAGMA max_page_count = 400", &[]).unwrap();
    let mut sink = DatabaseSink::over(session, &options("db1")).unwrap();
    write(&mut sink, 0, 0, &bytes(1 << 20)).unwrap();
    sink.begin_segment(1, 1 << 20).unwrap();
    let full = sink.write_tentative(1 << 20, &bytes(1 << 20)).unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    assert!(sink.write_tentative(2 << 20, b"x").is_err());
    drop(sink);
    let mut next = file.sink(&options("db1")).unwrap();
    assert_eq!(next.last_commit().unwrap(), Some(checkpoint(1)));
    next.resume_at(1, 1 << 20).unwrap();
    next.publish(1 << 20).unwrap();
    assert!(Database(Rc::new(file)).read("db1").unwrap() == bytes(1 << 20));
}

fn check_all_in(journal_mode: &str) {
    for check in CHECKS {
        let file = File::new();
        let connection = rusqlite::Connection::open(&file.path).unwrap();
        connection.pragma_update(None, "journal_mode", journal_mode).unwrap();
        drop(connection);
        check(&Database(Rc::new(file)));
    }
}
