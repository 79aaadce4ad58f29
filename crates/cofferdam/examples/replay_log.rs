//! How do I restore over a file that others hold open, which no rename can replace? `cargo run --release -p cofferdam --features wal --example replay_log`
//! The stream goes into a log first. Once all of it is there it is replayed; after a crash, opening the log again finishes that.

use std::error::Error;
use std::fs::{self, File};
use std::path::Path;

use cofferdam::wal::{AtPublish, FileTarget, Opened, WalSink};
use cofferdam::{AttemptId, BytesSource, Identities, MemorySink, Opener, Recipients, Sealer, WrappingKey};

/// Opens the log, and finishes what an earlier process had decided. `None`: there is nothing left to do.
fn open_log(log: &Path, target: &Path) -> Result<Option<WalSink>, Box<dyn Error>> {
    let attempt_id = AttemptId::new(b"db").ok_or("too long")?;
    let replay = AtPublish::Replay(Box::new(FileTarget::open_path(target)?));
    match WalSink::open_path(log, &attempt_id, replay)? {
        Opened::Ready(sink) => Ok(Some(sink)),
        Opened::Finished(finished) => Ok(finished.replay().map(|()| None)?),
    }
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let [log, target] = ["db.log", "db"].map(|name| directory.path().join(name));
    fs::write(&target, "what was there, somewhat longer than a snapshot")?;
    let held = File::open(&target)?;
    let key = || WrappingKey::from_bytes([7; 32]); // in earnest: WrappingKey::generate()
    let (sink, sealed) = MemorySink::new();
    Sealer::new(Recipients::new().wrapping_key(key())).seal(BytesSource::new(*b"a snapshot"), sink)?;

    if let Some(sink) = open_log(&log, &target)? {
        let opener = Opener::new(Identities::new().wrapping_key(key()));
        opener.open(BytesSource::new(sealed.take().ok_or("nothing was sealed")?), sink)?;
    }
    assert_eq!(std::io::read_to_string(held)?, "a snapshot");
    assert!(!log.exists());
    println!("whoever held the file open reads the snapshot");
    Ok(())
}
