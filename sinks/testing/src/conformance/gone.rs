//! A sink that is no more: it stands in for one that was dropped.
//! Knows no sink, and answers every call with an error.

use std::{io, sync::Arc};

use contract::{Checkpoint, CommitError, SinkCapabilities, StreamingSink, SyncTo, Visibility, WriteAt};

/// No sink any more.
pub(super) struct Gone;

impl StreamingSink for Gone {
    fn capabilities(&self) -> SinkCapabilities {
        SinkCapabilities::new(Visibility::Private)
    }

    fn last_commit(&mut self) -> io::Result<Option<Checkpoint>> {
        Err(gone())
    }

    fn begin_segment(&mut self, _index: u64, _at: u64) -> io::Result<()> {
        Err(gone())
    }

    fn write_tentative(&mut self, _at: u64, _data: &[u8]) -> io::Result<()> {
        Err(gone())
    }

    fn rollback_segment(&mut self) -> io::Result<()> {
        Err(gone())
    }

    fn commit_segment(&mut self, _checkpoint: &Checkpoint) -> Result<(), CommitError> {
        Err(CommitError::NotCommitted(gone()))
    }

    fn publish(&mut self, _plain_len: u64) -> Result<(), CommitError> {
        Err(CommitError::NotCommitted(gone()))
    }

    fn discard(&mut self) -> io::Result<()> {
        Err(gone())
    }

    fn positioned(&self) -> Option<Arc<dyn WriteAt>> {
        None
    }

    fn durability(&self) -> Option<Arc<dyn SyncTo>> {
        None
    }
}

fn gone() -> io::Error {
    io::Error::other("the sink was dropped")
}
