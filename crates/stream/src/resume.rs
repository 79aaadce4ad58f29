//! Resuming after an earlier attempt: what a sink has kept, authenticated, and proved if it can be read back.
//! It knows no file; a sink says what it has.

use std::io;
use std::sync::Arc;

use contract::{
    Checkpoint, CommitError, Durability, ReadAt, SinkCapabilities, StreamingSink, SyncTo, WriteAt,
};
use frame_worker::ChainValue;
use framing::{IndexEntry, SegmentIndex};
use local::NullSink;
use segment_worker::{Committed, ReleasePolicy, Settings};

use crate::checkpoint::{CheckpointMaker, segments_of};
use crate::envelope::Envelope;
use crate::feed::proof::{Entries, Outcome, ProofFeed};
use crate::index::Walk;
use crate::index_chain::{chain_behind, check_entries};
use crate::open::RunContext;
use crate::{Error, ErrorKind, Kept, Remedy, Warning};

/// What an earlier attempt left in a sink: nothing, if there is neither a checkpoint nor bytes.
pub(crate) struct Found {
    checkpoint: Option<(Checkpoint, Committed)>,
    kept: Option<Arc<dyn ReadAt>>,
}

impl Found {
    /// Asks `sink`, and authenticates what it says.
    pub(crate) fn find(sink: &mut impl StreamingSink, marks: &CheckpointMaker) -> Result<Found, Error> {
        let checkpoint = sink.last_commit().map_err(unreadable)?;
        let checkpoint = match checkpoint {
            Some(checkpoint) => Some((marks.read(&checkpoint)?, checkpoint)),
            None => None,
        };
        Ok(Found {
            checkpoint: checkpoint.map(|(committed, checkpoint)| (checkpoint, committed)),
            kept: sink.resumable(),
        })
    }

    /// Finds where to resume a stream whose segments can be read in any order, tells the sink, and moves `walk`
    /// there.
    pub(crate) fn resume_placed(
        self,
        sink: &mut impl StreamingSink,
        walk: &mut Walk<'_>,
        means: &RunContext<'_>,
    ) -> Result<Resumed, Error> {
        if self.kept.is_none() && self.checkpoint.is_none() {
            return Ok(Resumed::nothing(means.envelope));
        }
        // From here on the index stands for segments that are not read, and the sink is told to forget.
        check_entries(walk, None, means.cancel)?;
        let start = match (&self.kept, &self.checkpoint) {
            (None, None) => Committed::at_start(means.envelope.chain),
            (Some(kept), checkpoint) => {
                let proved = prove(kept, walk, means)?;
                // What lies behind the checkpoint is there, but no sync has said so.
                let durable_len =
                    checkpoint.as_ref().map_or(0, |(_, checkpoint)| checkpoint.sink_len.min(proved.sink_len));
                Committed { durable_len, ..proved }
            }
            (None, Some((_, committed))) => {
                let chain = chain_behind(walk, committed.segments, means.cancel)?;
                check_agrees(walk, chain, committed)?;
                *committed
            }
        };
        sink.resume_at(start.segments, start.sink_len).map_err(unreadable)?;
        Ok(Resumed { start, lost: self.lost(start.segments, walk.index.footer.segments) })
    }

    /// For segments that come once, in order: tells the sink, and gives the checkpoint up to which they are passed over. A
    /// sink that can read back what it has starts over, and compares by itself.
    pub(crate) fn resume_sequential(
        self,
        sink: &mut impl StreamingSink,
    ) -> Result<Option<Checkpoint>, Error> {
        let (until, index, at) = match (self.kept, self.checkpoint) {
            (None, None) => return Ok(None),
            (Some(_), _) => (None, 0, 0),
            (None, Some((checkpoint, committed))) => {
                (Some(checkpoint), committed.segments, committed.sink_len)
            }
        };
        sink.resume_at(index, at).map_err(unreadable)?;
        Ok(until)
    }

    /// Segments that had been durable and could not be proved, of a stream of `total`.
    fn lost(&self, proved: u64, total: u64) -> Option<Warning> {
        let (_, committed) = self.checkpoint.as_ref()?;
        let segments = committed.segments.saturating_sub(proved);
        // The stream's last segment is not proved, but opened again: it may well be there.
        let unproved = u64::from(committed.segments == total);
        (segments > unproved).then_some(Warning::KeptSegmentsLost { first: proved, segments })
    }
}

/// Where a stream goes on.
pub(crate) struct Resumed {
    pub(crate) start: Committed,
    pub(crate) lost: Option<Warning>,
}

impl Resumed {
    pub(crate) fn nothing(envelope: &Envelope) -> Resumed {
        Resumed { start: Committed::at_start(envelope.chain), lost: None }
    }
}

/// Seals the kept segments again, in memory, up to the first that differs from what was sealed, and moves `walk` past
/// the good ones. It may go further than any checkpoint: what is proved needs none. The last segment is always opened
/// anew, so the chain that comes out of this always meets a TERMINATOR that is read.
fn prove(kept: &Arc<dyn ReadAt>, walk: &mut Walk<'_>, means: &RunContext<'_>) -> Result<Committed, Error> {
    let candidates = Candidates { walk: walk.clone(), len: kept.len() };
    let feed = ProofFeed::new(kept.clone(), means.envelope, candidates, means.plan.frames_per_run)?;
    let proved = match feed {
        Some(feed) => seal_again(feed, means)?,
        None => Committed::at_start(means.envelope.chain),
    };
    advance(walk, proved.segments)?;
    assert_eq!(walk.plaintext_offset(), proved.plaintext_len, "what was proved is what the entries say");
    Ok(Committed { sink_len: proved.plaintext_len, ..proved })
}

/// How far the segments of `feed` are what was sealed.
fn seal_again<I: Entries>(mut feed: ProofFeed<'_, I>, means: &RunContext<'_>) -> Result<Committed, Error> {
    let start = Committed::at_start(means.envelope.chain);
    let mut proved = start;
    let settings = Settings {
        executor: means.workers.executor(),
        budget: means.budget,
        release: ReleasePolicy::AtOnce,
        durability: Durability::AtFinish,
        cancel: means.cancel,
        demand: means.plan.demand,
        shape: means.envelope.shape(),
        checkpoint: &|_| Checkpoint::from_bytes([0; Checkpoint::LEN]),
        observe: &mut |committed| {
            proved = *committed;
            if let Some(observer) = means.observer {
                observer.proving(committed.plaintext_len);
            }
        },
    };
    match segment_worker::prove(&mut feed, NullSink::new(), start, settings) {
        Ok(_) => Ok(proved),
        Err(_) if feed.outcome() == Outcome::Differs => Ok(proved),
        // What cannot be read has not been kept: it is fetched, and written, again.
        Err(segment_worker::StreamError::Read { .. }) => Ok(proved),
        // Whoever lets it run is opening a stream, and what a stream needs is a limit then.
        Err(error) => Err(Error::opening(error)),
    }
}

/// The segments that may have been kept: those that lie within the bytes there are.
struct Candidates<'a> {
    walk: Walk<'a>,
    len: u64,
}

impl Entries for Candidates<'_> {
    fn next(&mut self) -> Result<Option<(SegmentIndex, IndexEntry)>, Error> {
        if self.walk.is_at_last() {
            return Ok(None);
        }
        let index = SegmentIndex(self.walk.segments());
        let entry = self.walk.entry()?;
        self.walk.pass(&entry)?;
        Ok((self.walk.plaintext_offset() <= self.len).then_some((index, entry)))
    }
}

fn advance(walk: &mut Walk<'_>, segments: u64) -> Result<(), Error> {
    while walk.segments() < segments && !walk.is_at_end() {
        let entry = walk.entry()?;
        walk.pass(&entry)?;
    }
    Ok(())
}

/// A trusted checkpoint must fit this stream: the segments that it covers are those of the index.
fn check_agrees(walk: &Walk<'_>, chain: ChainValue, checkpoint: &Committed) -> Result<(), Error> {
    if (walk.segments(), walk.plaintext_offset(), chain)
        == (checkpoint.segments, checkpoint.plaintext_len, checkpoint.chain)
    {
        return Ok(());
    }
    let what = "the progress that the target keeps does not fit this copy of the stream";
    Err(Error::new(ErrorKind::JournalMismatch, what).remedied(Remedy::Restart(Kept::OtherStream)))
}

fn unreadable(error: io::Error) -> Error {
    Error::io("the progress that the target keeps could not be used", error)
        .remedied(Remedy::Restart(Kept::Unreadable))
}

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
