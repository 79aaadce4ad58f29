//! How do I restore into something of my own? `cargo run --release -p cofferdam --example custom_sink`
//! A sink that shows its records, one a segment, at publish; a storage engine would append them to its log.

use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex};

use cofferdam::{
    BytesSource, Checkpoint, CommitError, Identities, MemorySink, Opener, Recipients, Sealer,
    SinkCapabilities, StreamingSink, SyncTo, Visibility, WrappingKey, WriteAt,
};

/// What was published: the stream's segments, oldest first.
type Log = Arc<Mutex<Option<Vec<Vec<u8>>>>>;

#[derive(Default)]
struct LogSink {
    open: Vec<u8>,
    committed: Vec<Vec<u8>>,
    log: Log,
}

impl StreamingSink for LogSink {
    fn capabilities(&self) -> SinkCapabilities {
        // Nobody sees a segment before publish, so the engine need not hold it back until it has been verified.
        SinkCapabilities::new(Visibility::Private)
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
    fn commit_segment(&mut self, _checkpoint: &Checkpoint) -> Result<(), CommitError> {
        self.committed.push(std::mem::take(&mut self.open));
        Ok(())
    }
    fn publish(&mut self, plaintext_len: u64) -> Result<(), CommitError> {
        // An error of any other kind would say that nobody knows whether the records are there.
        let refused = |why: &str| CommitError::NotCommitted(io::Error::other(why));
        let len: usize = self.committed.iter().map(Vec::len).sum();
        if len as u64 != plaintext_len {
            return Err(refused("the segments do not make the length that is published"));
        }
        let mut log = self.log.lock().map_err(|_| refused("the log's lock is poisoned"))?;
        *log = Some(std::mem::take(&mut self.committed));
        Ok(())
    }
    fn discard(&mut self) -> io::Result<()> {
        self.committed.clear();
        Ok(())
    }
    fn positioned(&self) -> Option<Arc<dyn WriteAt>> {
        None // bytes come in order, on one thread
    }
    fn durability(&self) -> Option<Arc<dyn SyncTo>> {
        None
    }
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let key = WrappingKey::generate()?;
    let same_key = WrappingKey::parse(key.to_hex().as_bytes())?;
    let (sink, sealed) = MemorySink::new();
    let sealer = Sealer::new(Recipients::new().wrapping_key(key)).frame_len(4096).segment_len(16384);
    sealer.seal(BytesSource::new(vec![7; 40_000]), sink)?;

    let log = Log::default();
    let sink = LogSink { log: log.clone(), ..LogSink::default() };
    let opener = Opener::new(Identities::new().wrapping_key(same_key));
    opener.open(BytesSource::new(sealed.take().ok_or("nothing was sealed")?), sink)?;
    let records = log.lock().map_err(|_| "poisoned")?.take().ok_or("nothing was published")?;
    let lengths: Vec<usize> = records.iter().map(Vec::len).collect();
    println!("segments published, in bytes: {lengths:?}");
    assert_eq!(lengths, [16384, 16384, 7232]);
    Ok(())
}
