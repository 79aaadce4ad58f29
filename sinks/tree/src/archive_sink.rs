//! The archive of a tree into another sink, in order: what is behind it, the catalog, ends here.
//! Knows no member of it; where it ends is the tree crate's to say.

use std::{io, sync::Arc};

use contract::{Checkpoint, CommitError, SinkCapabilities, StreamingSink, SyncTo, Visibility, WriteAt};
use tree::{ArchiveCut, TreeError};

/// A sink in front of another one, for the plaintext of a tree: the other one gets the archive and nothing else, and is published only if the
/// plaintext ends as a tree does. Its class is the other one's, at best *incremental*: nothing is resumed, and a segment of which something has
/// been written cannot be rolled back, as it cannot with a [pipe](Visibility::Visible).
///
/// A plaintext that ends otherwise is an error of publish that carries the [`TreeError`].
#[derive(Debug)]
pub struct ArchiveSink<S> {
    sink: S,
    /// Gone after publish.
    cut: Option<ArchiveCut>,
    /// Bytes that the other sink has got.
    written: u64,
    is_touched: bool,
    /// Of the segment that comes next, and what committed the one before.
    next_index: u64,
    last: Option<Checkpoint>,
}

impl<S: StreamingSink> ArchiveSink<S> {
    /// In front of `sink`.
    pub fn new(sink: S) -> ArchiveSink<S> {
        ArchiveSink {
            sink,
            cut: Some(ArchiveCut::default()),
            written: 0,
            is_touched: false,
            next_index: 0,
            last: None,
        }
    }
}

impl<S: StreamingSink> StreamingSink for ArchiveSink<S> {
    /// Visible, whatever the other one is: segments come whole and verified.
    fn capabilities(&self) -> SinkCapabilities {
        SinkCapabilities::new(Visibility::Visible)
    }

    fn last_commit(&mut self) -> io::Result<Option<Checkpoint>> {
        Ok(None)
    }

    fn begin_segment(&mut self, index: u64, _at: u64) -> io::Result<()> {
        self.is_touched = false;
        self.next_index = index + 1;
        self.sink.begin_segment(index, self.written)
    }

    fn write_tentative(&mut self, _at: u64, data: &[u8]) -> io::Result<()> {
        self.is_touched = true;
        let (sink, written) = (&mut self.sink, &mut self.written);
        let cut = self.cut.as_mut().ok_or_else(published)?;
        cut.push(data, &mut |bytes| {
            sink.write_tentative(*written, bytes)?;
            *written += bytes.len() as u64;
            Ok(())
        })
    }

    fn rollback_segment(&mut self) -> io::Result<()> {
        if self.is_touched {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "what has been written of an archive stays written",
            ));
        }
        self.sink.rollback_segment()
    }

    fn commit_segment(&mut self, checkpoint: &Checkpoint) -> Result<(), CommitError> {
        self.sink.commit_segment(checkpoint)?;
        self.last = Some(checkpoint.clone());
        Ok(())
    }

    fn publish(&mut self, _plain_len: u64) -> Result<(), CommitError> {
        let cut = self.cut.take().ok_or_else(published).map_err(CommitError::NotCommitted)?;
        let mut rest = Vec::new();
        let finished = cut.finish(&mut |bytes| {
            rest.extend_from_slice(bytes);
            Ok(())
        });
        let of_tree = |error: TreeError| io::Error::new(io::ErrorKind::InvalidData, error);
        finished.map_err(|error| CommitError::NotCommitted(of_tree(error)))?;
        if let (false, Some(last)) = (rest.is_empty(), self.last.take()) {
            // Less than a block, of an archive without a catalog: it could have been the catalog's beginning.
            self.sink.begin_segment(self.next_index, self.written).map_err(CommitError::NotCommitted)?;
            self.sink.write_tentative(self.written, &rest).map_err(CommitError::NotCommitted)?;
            self.sink.commit_segment(&last)?;
            self.written += rest.len() as u64;
        }
        self.sink.publish(self.written)
    }

    fn discard(&mut self) -> io::Result<()> {
        self.sink.discard()
    }

    fn positioned(&self) -> Option<Arc<dyn WriteAt>> {
        None
    }

    fn durability(&self) -> Option<Arc<dyn SyncTo>> {
        None
    }
}

fn published() -> io::Error {
    io::Error::other("an archive that has been published takes no more")
}
