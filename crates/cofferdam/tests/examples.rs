//! The examples, run: each ends well, or refuses what it is to refuse.
//! Knows what each is given, and no step of it.

#![allow(clippy::unwrap_used, reason = "the functions that tests share may unwrap as they do")]

#[path = "../examples/custom_sink.rs"]
mod custom_sink;
#[path = "../examples/from_tokio.rs"]
mod from_tokio;
#[cfg(feature = "sqlite")]
#[path = "../examples/into_sqlite.rs"]
mod into_sqlite;
#[path = "../examples/list_backups.rs"]
mod list_backups;
#[path = "../examples/many_streams.rs"]
mod many_streams;
#[path = "../examples/progress_and_cancel.rs"]
mod progress_and_cancel;
#[path = "../examples/push_rows.rs"]
mod push_rows;
#[cfg(feature = "wal")]
#[path = "../examples/replay_log.rs"]
mod replay_log;
#[cfg(feature = "age")]
#[path = "../examples/restore_file.rs"]
#[allow(dead_code, reason = "its main takes the program's arguments")]
mod restore_file;
#[cfg(feature = "age")]
#[path = "../examples/seal_file.rs"]
#[allow(dead_code, reason = "its main takes the program's arguments")]
mod seal_file;

#[test]
fn a_sink_of_the_callers_own_gets_the_segments() {
    custom_sink::main().unwrap();
}

#[test]
fn a_future_that_is_dropped_stops_its_restore_and_the_next_one_ends() {
    from_tokio::main().unwrap();
}

#[cfg(feature = "sqlite")]
#[test]
fn a_stream_goes_into_an_sqlite_database() {
    into_sqlite::main().unwrap();
}

#[test]
fn metadata_is_read_without_the_streams() {
    list_backups::main().unwrap();
}

#[test]
fn fifty_streams_share_a_pool_and_a_budget() {
    many_streams::main().unwrap();
}

#[test]
fn a_closure_watches_a_restore_and_stops_it() {
    progress_and_cancel::main().unwrap();
}

#[test]
fn rows_are_sealed_as_they_are_written() {
    push_rows::main().unwrap();
}

#[cfg(feature = "wal")]
#[test]
fn a_file_that_is_held_open_is_replaced_through_a_log() {
    replay_log::main().unwrap();
}

#[cfg(feature = "age")]
#[test]
fn a_file_is_sealed_and_restored_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let identity = cofferdam::Identity::generate();
    std::fs::write(path("key.txt"), identity.file_text("2026-01-01").unwrap().as_str()).unwrap();
    std::fs::write(path("db"), "a snapshot").unwrap();
    seal_file::seal_file(&[path("db"), path("db.cfd"), identity.recipient()]).unwrap();
    let restore = || restore_file::restore_file(&[path("db.cfd"), path("db.new"), path("key.txt")]);
    restore().unwrap();
    assert_eq!(std::fs::read(path("db.new")).unwrap(), b"a snapshot");
    let refused = restore().unwrap_err();
    let refused = refused.downcast_ref::<cofferdam::Error>().unwrap();
    assert_eq!(refused.kind(), cofferdam::ErrorKind::TargetExists);
}
