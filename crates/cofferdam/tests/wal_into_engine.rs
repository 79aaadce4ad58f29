//! The example that restores into a storage engine, for real: its processes are killed, and the engine gets the stream.
//! Knows no step of it.

use std::env;
use std::error::Error;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

#[path = "../examples/wal_into_engine.rs"]
#[allow(dead_code, reason = "the example's own main is not run here")]
mod example;

#[test]
fn a_process_killed_again_and_again_brings_the_whole_stream_into_the_engine() {
    let plaintext: Vec<u8> = (0..=250).cycle().take(6 << 20).collect();
    // A busy machine may let a process come to its end before the signal comes: then another stream is restored.
    let often_enough = (0..STREAMS_MAX).any(|_| {
        let directory = tempfile::tempdir().unwrap();
        example::prepare(directory.path(), &plaintext).unwrap();
        let kills = kill_and_go_on(KILLS_MAX, || {
            let mut child = Command::new(env::current_exe()?);
            child.args(["--exact", "child", "--nocapture", "--test-threads=1"]);
            child.env(DIRECTORY, directory.path());
            Ok(child)
        })
        .unwrap();
        println!("killed {kills} times");
        assert!(example::contents(directory.path()).unwrap() == plaintext);
        assert!(!directory.path().join("restore.wal").exists());
        kills >= KILLS_MIN
    });
    // A process that is to be killed says at most eleven of the hundred lines, and what it can until the signal comes.
    assert!(often_enough, "no stream had {KILLS_MIN} processes killed");
}

/// The process that is killed: another run of this test program.
#[test]
fn child() {
    let Some(directory) = env::var_os(DIRECTORY) else { return };
    println!();
    example::restore_into_engine(Path::new(&directory)).unwrap();
}

/// Kills one process after another once it has said a random number of lines, and lets one after that come to its end.
fn kill_and_go_on(
    kills_max: u64,
    child: impl Fn() -> Result<Command, Box<dyn Error>>,
) -> Result<u64, Box<dyn Error>> {
    let mut kills = 0;
    loop {
        let lines_max = if kills < kills_max { RandomState::new().hash_one(kills) % 12 } else { u64::MAX };
        let mut running = child()?.stdout(Stdio::piped()).spawn()?;
        let said = BufReader::new(running.stdout.take().ok_or("no pipe")?).lines();
        let steps = said.map_while(Result::ok).filter(|line| line == "committed" || line == "applied");
        if steps.zip(1..).any(|(_, count)| count >= lines_max) {
            running.kill()?;
        }
        let status = running.wait()?;
        match status.code() {
            Some(0) => return Ok(kills),
            Some(code) => return Err(format!("the process failed with code {code}").into()),
            None => kills += 1,
        }
    }
}

const DIRECTORY: &str = "COFFERDAM_ENGINE_DIRECTORY";
const KILLS_MAX: u64 = 20;
const KILLS_MIN: u64 = 3;
const STREAMS_MAX: usize = 10;
