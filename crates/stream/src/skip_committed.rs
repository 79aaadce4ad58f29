//! A sink that has the first segments of a stream already: they are passed over, up to its checkpoint.
//! It knows no byte of them; the stream is opened all the same.

use std::io;
use std::sync::Arc;

use contract::{Checkpoint, CommitError, SinkCapabilities, StreamingSink, SyncTo, WriteAt};

use crate::checkpoint::segments_of;

/// A sink adapter that drops the segments that the sink already has: for streams that can be read only once, in
/// order.
pub(crate) struct SkipCommitted<S> {
    sink: S,
    until: Option<Checkpoint>,
    passed: u64,
}

impl<S: StreamingSink> SkipCommitted<S> {
    /// Passes over everything up to `until`, if that is given.
    pub(crate) fn new(sink: S, until: Option<Checkpoint>) -> SkipCommitted<S> {
        SkipCommitted { sink, until, passed: 0 }
    }

    fn passes(&self) -> bool {
        self.until.is_some()
    }
}

impl<S: StreamingSink> StreamingSink for SkipCommitted<S> {
    fn capabilities(&self) -> SinkCapabilities {
        self.sink.capabilities()
    }

    fn last_commit(&mut self) -> io::Result<Option<Checkpoint>> {
        self.sink.last_commit()
    }

    fn begin_segment(&mut self, index: u64, at: u64) -> io::Result<()> {
        if self.passes() { Ok(()) } else { self.sink.begin_segment(index, at) }
    }

    fn write_tentative(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        if self.passes() { Ok(()) } else { self.sink.write_tentative(at, data) }
    }

    fn rollback_segment(&mut self) -> io::Result<()> {
        if self.passes() { Ok(()) } else { self.sink.rollback_segment() }
    }

    fn commit_segment(&mut self, checkpoint: &Checkpoint) -> Result<(), CommitError> {
        let Some(until) = &self.until else { return self.sink.commit_segment(checkpoint) };
        self.passed += 1;
        if self.passed == segments_of(until) {
            if checkpoint != until {
                let message = "the stream is not the one that the target keeps the progress of";
                return Err(CommitError::NotCommitted(io::Error::new(io::ErrorKind::InvalidData, message)));
            }
            self.until = None;
        }
        Ok(())
    }

    fn publish(&mut self, plain_len: u64) -> Result<(), CommitError> {
        if self.passes() {
            let message = "the stream ends before what the target has of it";
            return Err(CommitError::NotCommitted(io::Error::new(io::ErrorKind::InvalidData, message)));
        }
        self.sink.publish(plain_len)
    }

    fn discard(&mut self) -> io::Result<()> {
        self.sink.discard()
    }

    fn positioned(&self) -> Option<Arc<dyn WriteAt>> {
        if self.passes() { None } else { self.sink.positioned() }
    }

    fn durability(&self) -> Option<Arc<dyn SyncTo>> {
        let durable = self.sink.durability()?;
        let from = self.until.as_ref().map_or(0, segments_of);
        Some(Arc::new(DurableBehind { durable, from }))
    }
}

/// Passes on only checkpoints after those that the sink already has.
struct DurableBehind {
    durable: Arc<dyn SyncTo>,
    from: u64,
}

impl SyncTo for DurableBehind {
    fn make_durable(&self, checkpoint: &Checkpoint) -> io::Result<()> {
        if segments_of(checkpoint) <= self.from { Ok(()) } else { self.durable.make_durable(checkpoint) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    struct Noted(Mutex<Vec<u64>>);

    impl SyncTo for Noted {
        fn make_durable(&self, checkpoint: &Checkpoint) -> io::Result<()> {
            self.0.lock().expect("nobody panics with it").push(segments_of(checkpoint));
            Ok(())
        }
    }

    #[test]
    fn a_sink_is_asked_to_make_durable_what_lies_behind_its_own_checkpoint_alone() {
        let noted = Arc::new(Noted(Mutex::default()));
        let behind = DurableBehind { durable: noted.clone(), from: 3 };
        for segments in [1_u64, 2, 3, 4, 5] {
            let mut bytes = [0; Checkpoint::LEN];
            bytes[24..32].copy_from_slice(&segments.to_le_bytes());
            assert!(behind.make_durable(&Checkpoint::from_bytes(bytes)).is_ok());
        }
        assert_eq!(*noted.0.lock().expect("nobody panics with it"), [4, 5]);
    }
}
