//! The guard: the only way to a sink, and the one place that turns proofs into commits.
//! It knows no frame. Poison is its own: sinks need no such logic.

use std::io;
use std::sync::Arc;

use contract::{CommitError, SinkCapabilities, StreamingSink, SyncTo, WriteAt};

use crate::proof::{Asserted, Complete, PartComplete, Verified};
use crate::{Stage, Stages};

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Open,
    Poisoned,
}

/// A sink under guard. Poisoned while a call runs, so that an error or a panic in it leaves it so.
pub(crate) struct Guard<S: StreamingSink> {
    sink: S,
    state: State,
    next: u64,
    /// The segment that the sink knows as its first.
    first: u64,
    stages: Arc<Stages>,
}

impl<S: StreamingSink> Guard<S> {
    /// `next` is the segment that comes first.
    pub(crate) fn new(sink: S, next: u64, stages: Arc<Stages>) -> Guard<S> {
        Guard { sink, state: State::Idle, next, first: 0, stages }
    }

    /// The sink gets a part of a stream: to it, the segment that comes first is its own first.
    pub(crate) fn begin_with_part(&mut self) {
        self.first = self.next;
    }

    pub(crate) fn capabilities(&self) -> SinkCapabilities {
        self.sink.capabilities()
    }

    pub(crate) fn positioned(&self) -> Option<Arc<dyn WriteAt>> {
        self.sink.positioned()
    }

    pub(crate) fn durability(&self) -> Option<Arc<dyn SyncTo>> {
        self.sink.durability()
    }

    /// Whether a segment is open, in ordered mode.
    pub(crate) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    pub(crate) fn begin(&mut self, at: u64) -> io::Result<()> {
        assert!(self.state != State::Open, "one segment is open at a time");
        let index = self.next - self.first;
        self.call(State::Open, |sink, _| sink.begin_segment(index, at))
    }

    pub(crate) fn write(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        assert!(self.state != State::Idle, "bytes belong to an open segment");
        self.call(State::Open, |sink, stages| {
            stages.time(Stage::Write, data.len(), || sink.write_tentative(at, data))
        })
    }

    pub(crate) fn confirm(&mut self, at: u64, len: u64) -> io::Result<()> {
        assert!(self.state != State::Open, "an open segment is written");
        let index = self.next;
        self.call(State::Idle, |sink, _| sink.confirm_segment(index, at, len))
    }

    pub(crate) fn commit(&mut self, proof: Verified) -> Result<(), CommitError> {
        assert_eq!(proof.index, self.next, "segments commit in order");
        self.call(State::Idle, |sink, stages| {
            stages.time(Stage::Commit, 0, || sink.commit_segment(&proof.checkpoint))
        })?;
        self.next += 1;
        Ok(())
    }

    pub(crate) fn publish(&mut self, proof: Complete) -> Result<(), CommitError> {
        self.publish_bytes(proof.sink_len)
    }

    pub(crate) fn publish_asserted(&mut self, proof: Asserted) -> Result<(), CommitError> {
        if self.sink.capabilities().proved_only {
            self.poison();
            let what = "nothing proves that the stream is whole, and the sink publishes only what is proved";
            return Err(CommitError::NotCommitted(io::Error::new(io::ErrorKind::Unsupported, what)));
        }
        self.publish_bytes(proof.sink_len)
    }

    pub(crate) fn publish_part(&mut self, proof: PartComplete) -> Result<(), CommitError> {
        self.publish_bytes(proof.sink_len)
    }

    fn publish_bytes(&mut self, sink_len: u64) -> Result<(), CommitError> {
        assert!(self.state != State::Open, "nothing tentative is published");
        self.call(State::Idle, |sink, stages| stages.time(Stage::Publish, 0, || sink.publish(sink_len)))
    }

    /// The sink has failed elsewhere: nothing is asked of it any more.
    pub(crate) fn poison(&mut self) {
        self.state = State::Poisoned;
    }

    fn call<T, E: From<io::Error>>(
        &mut self,
        after: State,
        call: impl FnOnce(&mut S, &Stages) -> Result<T, E>,
    ) -> Result<T, E> {
        if self.state == State::Poisoned {
            return Err(io::Error::other("the sink failed before").into());
        }
        self.state = State::Poisoned;
        let value = call(&mut self.sink, &self.stages)?;
        self.state = after;
        Ok(value)
    }
}

impl<S: StreamingSink> Drop for Guard<S> {
    fn drop(&mut self) {
        if self.state == State::Open {
            // There is nobody left to tell, and the sink is dropped next: a roll-back that fails is a crash to it.
            let _ = self.sink.rollback_segment();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use contract::{Checkpoint, Visibility};

    use super::*;

    /// Notes each call; the commit's reply is lost.
    struct Lossy {
        log: Arc<Mutex<Vec<&'static str>>>,
        proved_only: bool,
    }

    impl Lossy {
        fn new(log: &Arc<Mutex<Vec<&'static str>>>) -> Lossy {
            Lossy { log: log.clone(), proved_only: false }
        }

        fn note(&self, call: &'static str) -> io::Result<()> {
            self.log.lock().unwrap().push(call);
            Ok(())
        }
    }

    impl StreamingSink for Lossy {
        fn capabilities(&self) -> SinkCapabilities {
            let capabilities = SinkCapabilities::new(Visibility::Visible);
            if self.proved_only { capabilities.proved_only() } else { capabilities }
        }
        fn last_commit(&mut self) -> io::Result<Option<Checkpoint>> {
            Ok(None)
        }
        fn begin_segment(&mut self, _: u64, _: u64) -> io::Result<()> {
            self.note("begin")
        }
        fn write_tentative(&mut self, _: u64, _: &[u8]) -> io::Result<()> {
            self.note("write")
        }
        fn rollback_segment(&mut self) -> io::Result<()> {
            self.note("roll back")
        }
        fn commit_segment(&mut self, _: &Checkpoint) -> Result<(), CommitError> {
            self.note("commit")?;
            Err(CommitError::Unknown(io::Error::other("the reply was lost")))
        }
        fn publish(&mut self, _: u64) -> Result<(), CommitError> {
            Ok(self.note("publish")?)
        }
        fn discard(&mut self) -> io::Result<()> {
            self.note("discard")
        }
        fn positioned(&self) -> Option<Arc<dyn WriteAt>> {
            None
        }
        fn durability(&self) -> Option<Arc<dyn SyncTo>> {
            None
        }
    }

    fn proof() -> Verified {
        Verified { index: 0, checkpoint: Checkpoint::from_bytes([0; Checkpoint::LEN]) }
    }

    #[test]
    fn an_unknown_commit_is_followed_by_nothing() {
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut guard = Guard::new(Lossy::new(&log), 0, Arc::default());
        guard.begin(0).unwrap();
        assert!(matches!(guard.commit(proof()), Err(CommitError::Unknown(_))));
        assert!(guard.write(0, b"x").is_err());
        assert!(guard.publish(Complete { sink_len: 0 }).is_err());
        assert_eq!(*log.lock().unwrap(), ["begin", "commit"]);
    }

    #[test]
    fn an_open_segment_is_rolled_back_when_its_guard_goes() {
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut guard = Guard::new(Lossy::new(&log), 0, Arc::default());
        guard.begin(0).unwrap();
        guard.write(0, b"x").unwrap();
        drop(guard);
        assert_eq!(*log.lock().unwrap(), ["begin", "write", "roll back"]);
    }

    #[test]
    fn a_sink_that_publishes_only_what_is_proved_is_not_asked_to_publish_what_is_asserted() {
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut guard = Guard::new(Lossy { log: log.clone(), proved_only: true }, 0, Arc::default());
        let refused = guard.publish_asserted(Asserted { sink_len: 0 });
        assert!(matches!(refused, Err(CommitError::NotCommitted(_))), "{refused:?}");
        assert!(guard.publish(Complete { sink_len: 0 }).is_err(), "nothing follows an error");
        assert!(log.lock().unwrap().is_empty());
        let mut guard = Guard::new(Lossy::new(&log), 0, Arc::default());
        guard.publish_asserted(Asserted { sink_len: 0 }).unwrap();
        assert_eq!(*log.lock().unwrap(), ["publish"]);
    }

    #[test]
    #[should_panic(expected = "segments commit in order")]
    fn a_proof_of_another_segment_is_not_spent() {
        let mut guard = Guard::new(Lossy::new(&Arc::default()), 0, Arc::default());
        guard.begin(0).unwrap();
        let _ = guard.commit(Verified { index: 1, ..proof() });
    }
}
