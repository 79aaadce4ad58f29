//! How do I restore into something of my own? `cargo run --release --example custom_sink`
//! A sink that keeps each committed segment as a record; a storage engine would append it to its log.

use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex};

use cofferdam::{
    BytesSource, Checkpoint, CommitError, Identities, MakeDurable, MemorySink, Opener, PositionedWrite,
    Profile, Recipients, Sealer, StreamingSink, Visibility, WrappingKey,
};

/// Segments that have committed, oldest first.
type Log = Arc<Mutex<Vec<Vec<u8>>>>;

struct LogSink {
    open: Vec<u8>,
    log: Log,
}

impl StreamingSink for LogSink {
    fn profile(&self) -> Profile {
        // Nobody sees `open` before it commits, so the engine need not hold segments back.
        Profile { visibility: Visibility::Private, reserve_bytes: 0 }
    }
    fn last_commit(&mut self) -> io::Result<Option<Checkpoint>> {
        Ok(None)
    }
    fn begin_segment(&mut self, _index: u64, _at: u64) -> io::Result<()> {
        self.open.clear();
        Ok(())
    }
    fn write_tentative(&mut self, _at: u64, data: &[u8]) -> io::Result<()> {
        self.open.extend_from_slice(data);
        Ok(())
    }
    fn rollback_segment(&mut self) -> io::Result<()> {
        self.open.clear();
        Ok(())
    }
    fn commit_segment(&mut self, _mark: &Checkpoint) -> Result<(), CommitError> {
        let mut log = self.log.lock().map_err(|_| io::Error::other("the log's lock is poisoned"))?;
        log.push(std::mem::take(&mut self.open));
        Ok(())
    }
    fn publish(&mut self, _plaintext_len: u64) -> Result<(), CommitError> {
        Ok(())
    }
    fn discard(&mut self) -> io::Result<()> {
        Ok(())
    }
    fn positioned(&self) -> Option<Arc<dyn PositionedWrite>> {
        None // bytes come in order, on one thread
    }
    fn durability(&self) -> Option<Arc<dyn MakeDurable>> {
        None
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let key = WrappingKey::generate()?;
    let same_key = WrappingKey::parse(key.to_hex().as_bytes())?;
    let (sink, sealed) = MemorySink::new();
    let sealer = Sealer::new(Recipients::new().wrapping_key(key)).frame_len(4096).segment_len(16384);
    sealer.seal(BytesSource::new(vec![7; 40_000]), sink)?;

    let log = Log::default();
    let sink = LogSink { open: Vec::new(), log: log.clone() };
    let opener = Opener::new(Identities::new().wrapping_key(same_key));
    opener.open(BytesSource::new(sealed.take().ok_or("nothing was sealed")?), sink)?;
    let lengths: Vec<usize> = log.lock().map_err(|_| "poisoned")?.iter().map(Vec::len).collect();
    println!("segments committed, in bytes: {lengths:?}");
    assert_eq!(lengths, [16384, 16384, 7232]);
    Ok(())
}
