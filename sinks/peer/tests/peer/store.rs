//! A sink in memory that outlives its crashes: what was made durable is there for the next one, the rest is gone.
//! Knows no peer.

use std::{
    io,
    sync::{Arc, mpsc},
};

use contract::{
    Checkpoint, CommitError, ReadAt, SinkCapabilities, StreamingSink, SyncTo, Visibility, WriteAt,
};
use parking_lot::Mutex;

/// What stands on the medium.
#[derive(Default)]
pub(crate) struct MemStore {
    pub(crate) target: Option<Vec<u8>>,
    /// Durable bytes and their checkpoint.
    pub(crate) durable: Option<(Vec<u8>, Checkpoint)>,
    /// Segments committed to any sink of this store.
    pub(crate) commits: u64,
    /// The next call of this name fails.
    pub(crate) fault: Option<Fault>,
    /// A sync says here that it has begun, and then waits to be let go on.
    pub(crate) gate: Option<(mpsc::Sender<()>, mpsc::Receiver<()>)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    Write,
    Commit,
    CommitUnknown,
    Sync,
    PublishUnknown,
}

/// A sink over a store.
pub(crate) struct MemStoreSink {
    store: Arc<Mutex<MemStore>>,
    staged: Arc<Mutex<Staged>>,
}

#[derive(Default)]
struct Staged {
    bytes: Vec<u8>,
    checkpoints: Vec<(Checkpoint, usize)>,
    committed: usize,
}

struct Sync {
    store: Arc<Mutex<MemStore>>,
    staged: Arc<Mutex<Staged>>,
}

impl MemStoreSink {
    pub(crate) fn open(store: &Arc<Mutex<MemStore>>) -> MemStoreSink {
        MemStoreSink { store: store.clone(), staged: Arc::default() }
    }

    fn fails(&self, fault: Fault) -> bool {
        take_fault(&self.store, fault)
    }
}

fn take_fault(store: &Mutex<MemStore>, fault: Fault) -> bool {
    let mut store = store.lock();
    let hit = store.fault == Some(fault);
    if hit {
        store.fault = None;
    }
    hit
}

fn broken() -> io::Error {
    io::Error::other("the store broke")
}

impl StreamingSink for MemStoreSink {
    fn capabilities(&self) -> SinkCapabilities {
        SinkCapabilities::new(Visibility::Private)
    }

    fn last_commit(&mut self) -> io::Result<Option<Checkpoint>> {
        Ok(self.store.lock().durable.as_ref().map(|(_, checkpoint)| checkpoint.clone()))
    }

    fn resumable(&self) -> Option<Arc<dyn ReadAt>> {
        None
    }

    fn resume_at(&mut self, _index: u64, at: u64) -> io::Result<()> {
        let mut store = self.store.lock();
        let at = usize::try_from(at).unwrap();
        if at == 0 {
            store.durable = None;
            return Ok(());
        }
        let (bytes, checkpoint) = store.durable.as_ref().unwrap();
        if at != bytes.len() {
            let message = "a sink without kept bytes is resumed at its checkpoint";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        *self.staged.lock() =
            Staged { bytes: bytes.clone(), checkpoints: vec![(checkpoint.clone(), at)], committed: at };
        Ok(())
    }

    fn begin_segment(&mut self, _index: u64, at: u64) -> io::Result<()> {
        assert_eq!(self.staged.lock().bytes.len() as u64, at);
        Ok(())
    }

    fn write_tentative(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        if self.fails(Fault::Write) {
            return Err(broken());
        }
        let mut staged = self.staged.lock();
        assert_eq!(staged.bytes.len() as u64, at);
        staged.bytes.extend_from_slice(data);
        Ok(())
    }

    fn rollback_segment(&mut self) -> io::Result<()> {
        let mut staged = self.staged.lock();
        let committed = staged.committed;
        staged.bytes.truncate(committed);
        Ok(())
    }

    fn commit_segment(&mut self, checkpoint: &Checkpoint) -> Result<(), CommitError> {
        if self.fails(Fault::Commit) {
            return Err(CommitError::NotCommitted(broken()));
        }
        if self.fails(Fault::CommitUnknown) {
            return Err(CommitError::Unknown(broken()));
        }
        let mut staged = self.staged.lock();
        staged.committed = staged.bytes.len();
        let committed = staged.committed;
        staged.checkpoints.push((checkpoint.clone(), committed));
        self.store.lock().commits += 1;
        Ok(())
    }

    fn publish(&mut self, plain_len: u64) -> Result<(), CommitError> {
        if self.fails(Fault::PublishUnknown) {
            return Err(CommitError::Unknown(broken()));
        }
        let staged = self.staged.lock();
        if staged.committed as u64 != plain_len {
            return Err(CommitError::NotCommitted(io::Error::other("not what was written")));
        }
        let mut store = self.store.lock();
        store.target = Some(staged.bytes.clone());
        store.durable = None;
        Ok(())
    }

    fn discard(&mut self) -> io::Result<()> {
        self.store.lock().durable = None;
        Ok(())
    }

    fn positioned(&self) -> Option<Arc<dyn WriteAt>> {
        None
    }

    fn durability(&self) -> Option<Arc<dyn SyncTo>> {
        Some(Arc::new(Sync { store: self.store.clone(), staged: self.staged.clone() }))
    }
}

impl SyncTo for Sync {
    fn make_durable(&self, checkpoint: &Checkpoint) -> io::Result<()> {
        if take_fault(&self.store, Fault::Sync) {
            return Err(broken());
        }
        let gate = self.store.lock().gate.take();
        if let Some((begun, go_on)) = gate {
            begun.send(()).unwrap();
            go_on.recv().unwrap();
        }
        let staged = self.staged.lock();
        let (_, len) =
            staged.checkpoints.iter().rev().find(|(committed, _)| committed == checkpoint).unwrap();
        self.store.lock().durable = Some((staged.bytes[..*len].to_vec(), checkpoint.clone()));
        Ok(())
    }
}
