//! Resuming after an earlier attempt, or over a seed: what a sink has kept, authenticated, and proved if it can be read back.
//! It knows no file; a sink says what it has.

use std::io;
use std::sync::Arc;

use contract::{Checkpoint, Durability, ReadAt, StreamingSink};
use frame_worker::ChainValue;
use framing::{IndexEntry, SegmentIndex};
use local::NullSink;
use segment_worker::{Committed, ProvedSegments, ReleasePolicy, Settings};

use crate::checkpoint::CheckpointMaker;
use crate::envelope::Envelope;
use crate::feed::proof::KeptPlaintext;
use crate::index::Walk;
use crate::index_chain::{chain_behind, check_entries};
use crate::open::RunContext;
use crate::pin::ExpectedPin;
use crate::seeding::Seeding;
use crate::stream_metrics::{Operation, StreamMetrics};
use crate::{Error, ErrorKind, Kept, Observer, Remedy, Warning};

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

    /// Finds what of a stream whose segments can be read in any order need not be read, tells the sink where it resumes, and
    /// moves `walk` there. What an earlier attempt left is proved first; only where it has gaps, `seeding` fills them.
    pub(crate) fn resume_placed<S: StreamingSink>(
        self,
        sink: &mut S,
        seeding: Option<Seeding<S>>,
        walk: &mut Walk<'_>,
        context: &RunContext<'_>,
    ) -> Result<Resumed, Error> {
        if self.kept.is_none() && self.checkpoint.is_none() && seeding.is_none() {
            return Ok(Resumed::nothing(context.envelope));
        }
        // From here on the index stands for segments that are not read, and the sink is told to forget.
        let any = ExpectedPin::any(context.envelope.preamble.digest);
        check_entries(walk, any, context.budget, context.cancel())?;
        if let (None, None, Some((_, committed))) = (&self.kept, &seeding, &self.checkpoint) {
            return resume_at_checkpoint(sink, committed, walk, context);
        }
        let total = walk.index.footer.segments;
        let mut proved = none_of(total)?;
        let mut already = AlreadyThere::nothing(context.envelope);
        if let Some(kept) = &self.kept {
            let known = clone_of(&proved)?;
            let candidates = Candidates { walk: walk.clone(), known: &known, len: kept.len() };
            prove(kept, candidates, &mut proved, context, &|_| ())?;
            if !sink.capabilities().confirms {
                let mut behind = walk.clone();
                chain_behind(&mut behind, proved.prefix(), context.budget, context.cancel())?;
                proved.keep_prefix(behind.plaintext_offset());
            }
            already.kept = Amount::of(&proved);
            already.warnings.extend(self.lost(&proved, total));
            already.tell_kept(context.observer());
        }
        if let Some(seeding) = seeding {
            let unreadable = prove_seed(&seeding, sink, walk, &mut proved, context)?;
            already.seeded = Amount::of(&proved).less(already.kept);
            already.warnings.extend(unreadable);
            already.tell_seeded(unreadable, context.observer());
        }
        if sink.resumable().is_none() {
            return Ok(Resumed { already, proved }); // There was no gap for the seed to fill.
        }
        let chain = chain_behind(walk, proved.prefix(), context.budget, context.cancel())?;
        let len = walk.plaintext_offset();
        already.start = Committed {
            segments: walk.segments(),
            plaintext_len: len,
            sink_len: len,
            chain,
            // What lies behind the checkpoint is there, but no sync has said so.
            durable_len: self.checkpoint.as_ref().map_or(0, |(_, checkpoint)| checkpoint.sink_len.min(len)),
        };
        sink.resume_at(already.start.segments, len).map_err(unreadable)?;
        Ok(Resumed { already, proved })
    }

    /// For a stream of which nothing kept can be proved: tells the sink to begin anew, over what it has. One that can read that back
    /// compares by itself, and writes what differs.
    #[cfg(feature = "foreign")]
    pub(crate) fn start_over(self, sink: &mut impl StreamingSink) -> Result<(), Error> {
        match (self.kept, self.checkpoint) {
            (None, None) => Ok(()),
            _ => sink.resume_at(0, 0).map_err(unreadable),
        }
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
    fn lost(&self, proved: &ProvedSegments, total: u64) -> Option<Warning> {
        let (_, committed) = self.checkpoint.as_ref()?;
        // The stream's last segment is not proved, but opened again: it may well be there.
        let durable = 0..committed.segments.min(total.saturating_sub(1));
        let mut lost = durable.filter(|index| !proved.contains(SegmentIndex(*index)));
        let first = lost.next()?;
        Some(Warning::KeptSegmentsLost { first, segments: 1 + lost.count() as u64 })
    }
}

/// A sink that keeps a checkpoint alone resumes there.
fn resume_at_checkpoint(
    sink: &mut impl StreamingSink,
    committed: &Committed,
    walk: &mut Walk<'_>,
    context: &RunContext<'_>,
) -> Result<Resumed, Error> {
    let chain = chain_behind(walk, committed.segments, context.budget, context.cancel())?;
    check_agrees(walk, chain, committed)?;
    sink.resume_at(committed.segments, committed.sink_len).map_err(unreadable)?;
    let mut resumed = Resumed::nothing(context.envelope);
    resumed.already.start = *committed;
    resumed.already.kept = Amount { bytes: committed.plaintext_len, segments: committed.segments };
    resumed.already.tell_kept(context.observer());
    Ok(resumed)
}

/// Plaintext of some segments.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Amount {
    pub(crate) bytes: u64,
    pub(crate) segments: u64,
}

impl Amount {
    fn of(proved: &ProvedSegments) -> Amount {
        Amount { bytes: proved.plaintext_len(), segments: proved.count() }
    }

    fn less(self, part: Amount) -> Amount {
        Amount { bytes: self.bytes - part.bytes, segments: self.segments - part.segments }
    }
}

/// Where a stream resumes, and what of it need not be read.
pub(crate) struct Resumed {
    pub(crate) already: AlreadyThere,
    /// With those before the start.
    pub(crate) proved: ProvedSegments,
}

impl Resumed {
    fn nothing(envelope: &Envelope) -> Resumed {
        Resumed { already: AlreadyThere::nothing(envelope), proved: ProvedSegments::none() }
    }
}

/// What is in a sink before the first byte of a stream is read: for those who want to know.
pub(crate) struct AlreadyThere {
    /// All before this has been committed.
    pub(crate) start: Committed,
    /// Of an earlier attempt, anywhere in the stream.
    pub(crate) kept: Amount,
    /// Of a seed, beside that.
    pub(crate) seeded: Amount,
    /// What was wrong with either.
    pub(crate) warnings: Vec<Warning>,
}

impl AlreadyThere {
    pub(crate) fn nothing(envelope: &Envelope) -> AlreadyThere {
        let (start, nothing) = (Committed::at_start(envelope.chain), Amount::default());
        AlreadyThere { start, kept: nothing, seeded: nothing, warnings: Vec::new() }
    }

    fn tell_kept(&self, observer: Option<&dyn Observer>) {
        let Some(observer) = observer else { return };
        self.warnings.iter().for_each(|warning| observer.warning(warning));
        if self.kept.segments > 0 {
            observer.resumed(self.kept.bytes, self.kept.segments);
        }
    }

    fn tell_seeded(&self, unreadable: Option<Warning>, observer: Option<&dyn Observer>) {
        let Some(observer) = observer else { return };
        unreadable.iter().for_each(|warning| observer.warning(warning));
        if self.seeded.segments > 0 {
            observer.seeded(self.seeded.bytes, self.seeded.segments);
        }
    }
}

/// Proves what of a seed lies where nothing is `proved` yet, as it is copied into the sink: one read serves both.
fn prove_seed<S>(
    seeding: &Seeding<S>,
    sink: &mut S,
    walk: &Walk<'_>,
    proved: &mut ProvedSegments,
    context: &RunContext<'_>,
) -> Result<Option<Warning>, Error> {
    let known = clone_of(proved)?;
    let (copy, len) = (seeding.copy_on_read(sink), walk.index.footer.plaintext_len);
    let may_share = copy.may_share();
    if !may_share {
        seeding.prepare_room(sink, len)?;
    }
    let candidates = Candidates { walk: walk.clone(), known: &known, len: copy.len() };
    let candidates = candidates.take_while(|_| !copy.has_failed()).inspect(|candidate| {
        if let Ok((_, entry)) = candidate {
            copy.announce(entry.plaintext_offset..entry.plaintext_offset + u64::from(entry.plaintext_len));
        }
    });
    let tell = |observer: &dyn Observer| observer.seeding(copy.copied());
    let place: Arc<dyn ReadAt> = copy.clone();
    let done = prove(&place, candidates, proved, context, &tell);
    // Whatever stopped it, what was copied is there.
    seeding.keep_copied(sink)?;
    done?;
    if may_share {
        // Before that, nobody knew how much of it would need none.
        seeding.prepare_room(sink, len)?;
    }
    Ok(copy.unreadable().map(|at| Warning::SeedUnreadable { at }))
}

/// Adds to `proved` those of `candidates` whose plaintext at `place` is what was sealed, and tells of each. The last segment is never among them, but
/// opened anew: so the chain over those that are not read meets a TERMINATOR that is. No checkpoint is needed.
fn prove(
    place: &Arc<dyn ReadAt>,
    candidates: impl Iterator<Item = Result<(SegmentIndex, IndexEntry), Error>>,
    proved: &mut ProvedSegments,
    context: &RunContext<'_>,
    tell: &dyn Fn(&dyn Observer),
) -> Result<(), Error> {
    let frames_per_run = context.plan.frames_per_run;
    let mut feed = KeptPlaintext::new(place.clone(), context.envelope, candidates, frames_per_run);
    let already =
        Committed { plaintext_len: proved.plaintext_len(), ..Committed::at_start(ChainValue([0; 32])) };
    let metrics = StreamMetrics::new(Operation::Prove, context.id(), context.budget, &already, 0);
    let settings = Settings {
        executor: context.workers.executor(),
        budget: context.budget,
        release: ReleasePolicy::AtOnce,
        durability: Durability::AtFinish,
        cancel: context.cancel(),
        demand: context.plan.demand,
        shape: context.envelope.shape(),
        stages: metrics.stages(),
        checkpoint: &|_| Checkpoint::from_bytes([0; Checkpoint::LEN]),
        observe: &mut |committed| {
            metrics.committed(committed);
            context.resources.watch_memory(context.budget);
            if let Some(observer) = context.observer() {
                tell(observer);
                observer.proving(committed.plaintext_len);
            }
        },
    };
    // Whoever lets it run is opening a stream, and what a stream needs is a limit then.
    let outcome = segment_worker::prove(&mut feed, NullSink::new(), proved, settings);
    metrics.ended(outcome).map_err(Error::opening)
}

fn clone_of(proved: &ProvedSegments) -> Result<ProvedSegments, Error> {
    proved.try_clone().map_err(|_| no_memory(proved.segments()))
}

fn none_of(segments: u64) -> Result<ProvedSegments, Error> {
    ProvedSegments::none_of(segments).map_err(|_| no_memory(segments))
}

fn no_memory(segments: u64) -> Error {
    Error::no_memory("the set of proved segments", usize::try_from(segments / 8).unwrap_or(usize::MAX))
}

/// The segments that may have been kept, and are not known to be: those that lie within the bytes there are.
struct Candidates<'a> {
    walk: Walk<'a>,
    known: &'a ProvedSegments,
    len: u64,
}

impl Candidates<'_> {
    fn find(&mut self) -> Result<Option<(SegmentIndex, IndexEntry)>, Error> {
        while !self.walk.is_at_end() && !self.walk.is_at_last() {
            let index = SegmentIndex(self.walk.segments());
            let entry = self.walk.entry()?;
            self.walk.pass(&entry)?;
            if self.walk.plaintext_offset() > self.len {
                return Ok(None);
            }
            if !self.known.contains(index) {
                return Ok(Some((index, entry)));
            }
        }
        Ok(None)
    }
}

impl Iterator for Candidates<'_> {
    type Item = Result<(SegmentIndex, IndexEntry), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.find().transpose()
    }
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
