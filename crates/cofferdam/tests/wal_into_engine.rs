//! The example that restores into a storage engine, for real: its processes are killed, and the engine gets the stream.
//! Knows no step of it.

use std::env;
use std::path::Path;
use std::process::Command;

#[path = "../examples/wal_into_engine.rs"]
#[allow(dead_code, reason = "the example's own main is not run here")]
mod example;

#[test]
fn a_process_killed_again_and_again_brings_the_whole_stream_into_the_engine() {
    let plaintext: Vec<u8> = (0..=250).cycle().take(6 << 20).collect();
    let directory = tempfile::tempdir().unwrap();
    example::prepare(directory.path(), &plaintext).unwrap();
    let kills = example::kill_and_go_on(KILLS_MAX, || {
        let mut child = Command::new(env::current_exe()?);
        child.args(["--exact", "child", "--nocapture", "--test-threads=1"]).env(DIRECTORY, directory.path());
        Ok(child)
    })
    .unwrap();
    println!("killed {kills} times");
    // A process that is to be killed says at most eleven of the hundred lines, and what it can until the signal comes.
    assert!(kills >= KILLS_MIN, "killed {kills} times");
    assert!(example::contents(directory.path()).unwrap() == plaintext);
    assert!(!directory.path().join("restore.wal").exists());
}

/// The process that is killed: another run of this test program.
#[test]
fn child() {
    let Some(directory) = env::var_os(DIRECTORY) else { return };
    println!();
    example::restore_into_engine(Path::new(&directory)).unwrap();
}

const DIRECTORY: &str = "COFFERDAM_ENGINE_DIRECTORY";
const KILLS_MAX: u64 = 20;
const KILLS_MIN: u64 = 3;
