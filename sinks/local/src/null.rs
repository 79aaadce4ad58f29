//! A sink that counts bytes and drops them: what a verification writes to.
//! Knows nothing of the bytes but how many there were.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use contract::{
    Checkpoint, CommitError, SinkCapabilities, StreamingSink, SyncTo, Visibility, WriteAt, cursor::Cursor,
    written::WrittenRanges,
};
use parking_lot::Mutex;

/// Takes a stream and keeps nothing of it. Publish still demands that every byte was written once.
#[derive(Debug)]
pub struct NullSink {
    shared: Arc<Shared>,
    cursor: Cursor,
}

impl NullSink {
    /// A sink for one stream.
    pub fn new() -> Self {
        let shared =
            Shared { written: Mutex::new(WrittenRanges::new(u64::MAX)), count: NullCount::default() };
        Self { shared: Arc::new(shared), cursor: Cursor::default() }
    }

    /// The count of bytes, to be kept where the sink is given away.
    pub fn count(&self) -> NullCount {
        self.shared.count.clone()
    }
}

impl Default for NullSink {
    fn default() -> Self {
        Self::new()
    }
}

/// How many bytes a [`NullSink`] has taken so far, rolled back ones included.
#[derive(Clone, Default, Debug)]
pub struct NullCount {
    bytes: Arc<AtomicU64>,
}

impl NullCount {
    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        // Partner: the add in `write_all_at`. A count for people and tests: nothing else is read on its strength.
        self.bytes.load(Ordering::Relaxed)
    }
}

impl StreamingSink for NullSink {
    fn capabilities(&self) -> SinkCapabilities {
        SinkCapabilities::new(Visibility::Private)
    }

    fn last_commit(&mut self) -> io::Result<Option<Checkpoint>> {
        Ok(None)
    }

    fn begin_segment(&mut self, index: u64, at: u64) -> io::Result<()> {
        self.cursor.begin(index, at)
    }

    fn write_tentative(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        self.cursor.write(at, data.len())?;
        self.shared.write_all_at(at, data)
    }

    fn rollback_segment(&mut self) -> io::Result<()> {
        let start = self.cursor.roll_back()?;
        self.shared.written.lock().cut(start);
        Ok(())
    }

    fn commit_segment(&mut self, _mark: &Checkpoint) -> Result<(), CommitError> {
        self.shared.written.lock().check_live().map_err(CommitError::NotCommitted)?;
        self.cursor.commit();
        Ok(())
    }

    fn publish(&mut self, plain_len: u64) -> Result<(), CommitError> {
        self.cursor.check_closed().map_err(CommitError::NotCommitted)?;
        let mut written = self.shared.written.lock();
        written.check_complete(plain_len).map_err(CommitError::NotCommitted)?;
        written.close();
        Ok(())
    }

    fn discard(&mut self) -> io::Result<()> {
        self.shared.written.lock().close();
        Ok(())
    }

    fn positioned(&self) -> Option<Arc<dyn WriteAt>> {
        Some(self.shared.clone())
    }

    fn durability(&self) -> Option<Arc<dyn SyncTo>> {
        None
    }
}

impl Drop for NullSink {
    fn drop(&mut self) {
        self.shared.written.lock().close();
    }
}

#[derive(Debug)]
struct Shared {
    written: Mutex<WrittenRanges>,
    count: NullCount,
}

impl WriteAt for Shared {
    fn write_all_at(&self, at: u64, data: &[u8]) -> io::Result<()> {
        self.written.lock().claim(at, data.len())?;
        // Partner: the load in `NullCount::bytes`.
        self.count.bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_counted_from_any_thread() {
        let mut sink = NullSink::new();
        let count = sink.count();
        let writer = sink.positioned().unwrap();
        std::thread::scope(|scope| {
            for part in 0..4 {
                let writer = writer.clone();
                scope.spawn(move || writer.write_all_at(part * 10, &[0; 10]).unwrap());
            }
        });
        assert_eq!(count.bytes(), 40);
        sink.publish(40).unwrap();
    }

    #[test]
    fn a_hole_is_not_published() {
        let mut sink = NullSink::new();
        sink.positioned().unwrap().write_all_at(10, &[0; 10]).unwrap();
        assert!(matches!(sink.publish(20), Err(CommitError::NotCommitted(_))));
    }
}
