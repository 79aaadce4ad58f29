//! A sink around another one that digests what goes through it in pieces of one length, in order.
//! It knows no store and no receipt.

use std::io;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use ::parts::{Piece, PieceDigester, PieceHasher};
use cofferdam_io::{ReadAt, WriteAt};
use contract::{Checkpoint, CommitError, SinkCapabilities, StreamingSink, SyncTo};

/// Passes everything on. What has been published can be asked from its [`PublishedPieces`].
pub(super) struct PieceSink<S> {
    sink: S,
    digests: Digests,
    /// As they were where the open segment begins.
    before: Digests,
    published: PublishedPieces,
}

/// The pieces of what was published.
#[derive(Clone, Default)]
pub(super) struct PublishedPieces(Arc<Mutex<Vec<Piece>>>);

impl PublishedPieces {
    /// All of them, once; none before.
    pub(super) fn take(&self) -> Vec<Piece> {
        mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Pieces that are whole, and the one that is not.
#[derive(Clone)]
struct Digests {
    hasher: PieceHasher,
    piece_len: u64,
    whole: Vec<Piece>,
    digester: PieceDigester,
    /// Bytes in it.
    len: u64,
}

impl Digests {
    fn take(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let room = (self.piece_len - self.len).min(data.len() as u64);
            let (now, later) = data.split_at(room as usize);
            self.digester.update(now);
            self.len += room;
            data = later;
            if self.len == self.piece_len {
                self.end_piece();
            }
        }
    }

    fn end_piece(&mut self) {
        if self.len > 0 {
            self.whole.push(Piece { len: self.len, digest: self.digester.digest() });
            (self.digester, self.len) = (self.hasher.begin(), 0);
        }
    }
}

impl<S: StreamingSink> PieceSink<S> {
    pub(super) fn new(sink: S, hasher: PieceHasher, piece_len: u64) -> (PieceSink<S>, PublishedPieces) {
        let digests = Digests { digester: hasher.begin(), hasher, piece_len, whole: Vec::new(), len: 0 };
        let published = PublishedPieces::default();
        (PieceSink { sink, before: digests.clone(), digests, published: published.clone() }, published)
    }
}

impl<S: StreamingSink> StreamingSink for PieceSink<S> {
    fn capabilities(&self) -> SinkCapabilities {
        // Bytes that are kept did not come through here.
        let mut capabilities = self.sink.capabilities();
        capabilities.confirms = false;
        capabilities
    }

    fn last_commit(&mut self) -> io::Result<Option<Checkpoint>> {
        self.sink.last_commit()
    }

    fn begin_segment(&mut self, index: u64, at: u64) -> io::Result<()> {
        self.before = self.digests.clone();
        self.sink.begin_segment(index, at)
    }

    fn write_tentative(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        self.sink.write_tentative(at, data)?;
        self.digests.take(data);
        Ok(())
    }

    fn rollback_segment(&mut self) -> io::Result<()> {
        self.sink.rollback_segment()?;
        self.digests = self.before.clone();
        Ok(())
    }

    fn commit_segment(&mut self, checkpoint: &Checkpoint) -> Result<(), CommitError> {
        self.sink.commit_segment(checkpoint)
    }

    fn publish(&mut self, plain_len: u64) -> Result<(), CommitError> {
        self.sink.publish(plain_len)?;
        self.digests.end_piece();
        let whole = mem::take(&mut self.digests.whole);
        *self.published.0.lock().unwrap_or_else(PoisonError::into_inner) = whole;
        Ok(())
    }

    fn discard(&mut self) -> io::Result<()> {
        self.sink.discard()
    }

    /// In order alone.
    fn positioned(&self) -> Option<Arc<dyn WriteAt>> {
        None
    }

    fn durability(&self) -> Option<Arc<dyn SyncTo>> {
        self.sink.durability()
    }

    fn resumable(&self) -> Option<Arc<dyn ReadAt>> {
        None
    }
}
