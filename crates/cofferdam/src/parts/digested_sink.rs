//! A sink around that of a part's file: what goes through it is digested, piece by piece, as it is written, and large members of a tree go into
//! files of their own.
//! It knows no receipt.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::parts::{PartPlace, Piece, PieceHasher, RECEIPT_PIECES_MAX};
use cofferdam_io::{ReadAt, WriteAt};
use contract::{Checkpoint, CommitError, SinkCapabilities, StreamingSink, SyncTo};

use super::member_files::MemberFiles;

/// Passes on what is in no file of a member, one behind the other. What has been written can be asked from its [`Pieces`].
pub(super) struct DigestedSink<S> {
    sink: S,
    members: Arc<MemberFiles>,
    pieces: Arc<Pieces>,
    /// Where the open segment begins, in ordered mode.
    open_at: u64,
}

/// The pieces that were written, by their offsets: as many as a receipt takes.
pub(super) struct Pieces {
    hasher: PieceHasher,
    written: Mutex<BTreeMap<u64, Piece>>,
    are_too_many: AtomicBool,
}

impl<S: StreamingSink> DigestedSink<S> {
    pub(super) fn new(sink: S, members: MemberFiles, pieces: Arc<Pieces>) -> DigestedSink<S> {
        DigestedSink { sink, members: Arc::new(members), pieces, open_at: 0 }
    }
}

impl Pieces {
    /// None so far.
    pub(super) fn new(hasher: PieceHasher) -> Arc<Pieces> {
        Arc::new(Pieces { hasher, written: Mutex::default(), are_too_many: AtomicBool::new(false) })
    }

    /// All of them, in order. `None` if there is a gap.
    pub(super) fn in_order(&self) -> Option<Vec<Piece>> {
        let written = self.lock();
        let mut end = 0;
        for (at, piece) in &*written {
            if *at != end {
                return None;
            }
            end = at.checked_add(piece.len)?;
        }
        Some(written.values().copied().collect())
    }

    /// Whether a write was refused, since no receipt could have told of it.
    pub(super) fn are_too_many(&self) -> bool {
        // Relaxed: it is asked when those who write have ended.
        self.are_too_many.load(Ordering::Relaxed)
    }

    /// Writes `data` to the file of a member, or has `write` write it to the part's own, cut where a piece would be in two, and notes what was written.
    fn write(
        &self,
        members: &MemberFiles,
        at: u64,
        data: &[u8],
        mut write: impl FnMut(u64, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        for (piece, place) in members.layout().places(at..at + data.len() as u64) {
            let data = &data[(piece.start - at) as usize..(piece.end - at) as usize];
            match place {
                PartPlace::Own { offset } => write(offset, data)?,
                PartPlace::Member { number, offset } => members.write(number, offset, data)?,
            }
            self.note(piece.start, data)?;
        }
        Ok(())
    }

    /// Digests before the lock is taken: many threads write.
    fn note(&self, at: u64, data: &[u8]) -> io::Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        let piece = Piece { len: data.len() as u64, digest: self.hasher.digest_of(data) };
        let mut written = self.lock();
        written.insert(at, piece);
        if written.len() > RECEIPT_PIECES_MAX {
            // Relaxed: as above.
            self.are_too_many.store(true, Ordering::Relaxed);
            return Err(io::Error::other("it was written in more pieces than a receipt takes"));
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Piece>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: StreamingSink> StreamingSink for DigestedSink<S> {
    fn capabilities(&self) -> SinkCapabilities {
        // Bytes that are kept did not come through here.
        let mut capabilities = self.sink.capabilities();
        capabilities.confirms = false;
        capabilities
    }

    fn last_commit(&mut self) -> io::Result<Option<Checkpoint>> {
        self.sink.last_commit()
    }

    fn resumable(&self) -> Option<Arc<dyn ReadAt>> {
        self.sink.resumable()
    }

    fn resume_at(&mut self, index: u64, at: u64) -> io::Result<()> {
        if (index, at) != (0, 0) {
            let message = "what was not written here has no digest: it begins anew";
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        }
        self.sink.resume_at(index, at)
    }

    fn begin_segment(&mut self, index: u64, at: u64) -> io::Result<()> {
        self.open_at = at;
        self.sink.begin_segment(index, self.members.layout().own_offset(at))
    }

    fn write_tentative(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        let sink = &mut self.sink;
        self.pieces.write(&self.members, at, data, |offset, data| sink.write_tentative(offset, data))
    }

    fn rollback_segment(&mut self) -> io::Result<()> {
        self.sink.rollback_segment()?;
        self.members.roll_back();
        self.pieces.lock().split_off(&self.open_at);
        Ok(())
    }

    fn commit_segment(&mut self, checkpoint: &Checkpoint) -> Result<(), CommitError> {
        self.sink.commit_segment(checkpoint)
    }

    fn publish(&mut self, plain_len: u64) -> Result<(), CommitError> {
        self.members.sync().map_err(CommitError::NotCommitted)?;
        self.sink.publish(self.members.layout().own_offset(plain_len))
    }

    fn discard(&mut self) -> io::Result<()> {
        self.sink.discard()
    }

    fn positioned(&self) -> Option<Arc<dyn WriteAt>> {
        let sink = self.sink.positioned()?;
        Some(Arc::new(DigestedWrites { sink, members: self.members.clone(), pieces: self.pieces.clone() }))
    }

    fn durability(&self) -> Option<Arc<dyn SyncTo>> {
        self.sink.durability()
    }
}

struct DigestedWrites {
    sink: Arc<dyn WriteAt>,
    members: Arc<MemberFiles>,
    pieces: Arc<Pieces>,
}

impl WriteAt for DigestedWrites {
    /// No memory is lent: what is made there would not be seen.
    fn write_all_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let write = |offset, data: &[u8]| self.sink.write_all_at(offset, data);
        self.pieces.write(&self.members, offset, data, write)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails by panicking.
mod tests {
    use std::fs::File;

    use ::parts::{AttemptName, PartLayout, PlanId, PlanKey};

    use super::*;

    /// In whatever way they come.
    #[test]
    fn more_pieces_than_a_receipt_takes_are_refused_while_they_are_written() {
        let hasher = PieceHasher::new(&PlanKey::generate().unwrap(), PlanId([1; 16]));
        let layout = PartLayout::new(RECEIPT_PIECES_MAX as u64 + 2, Vec::new()).unwrap();
        let directory = File::open(".").unwrap().into();
        let members = MemberFiles::create(directory, 0, AttemptName([0; 16]), layout).unwrap();
        let pieces = Pieces::new(hasher);
        let mut sink = DigestedSink::new(local::NullSink::new(), members, pieces.clone());
        sink.begin_segment(0, 0).unwrap();
        let written = (0..).take_while(|at| sink.write_tentative(*at, b"x").is_ok()).count();
        assert_eq!((written, pieces.are_too_many()), (RECEIPT_PIECES_MAX, true));
        let writer = sink.positioned().unwrap();
        writer.write_all_at(RECEIPT_PIECES_MAX as u64 + 1, b"x").unwrap_err();
    }
}
