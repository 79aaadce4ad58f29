//! A part of a stream: whole segments of a range, opened into a sink of their own, and a receipt of what was proved.
//! It knows no plan and no other part; receipts that meet say that their parts do.

use std::ops::Range;
use std::sync::Arc;

use contract::{Checkpoint, StreamingSink};
use segment_worker::{Committed, Opened, ProvedSegments, Settings};
use sources::{ReadAt, Source};

use crate::envelope::Envelope;
use crate::feed::paced::PacedFeed;
use crate::feed::seekable::SeekableFeed;
use crate::index::{Index, Walk};
use crate::index_chain::{ChainedRange, check_entries_around};
use crate::open::{OpenOptions, of_place};
use crate::pin::ExpectedPin;
use crate::progress::Meter;
use crate::stream_metrics::{Operation, StreamMetrics};
use crate::{ContentKind, Error, ErrorKind, Reader, Remedy, StreamDigest, StreamHead, StreamId};

/// What was proved of a part of a stream: its segments were opened whole, each next in the chain, and published.
///
/// The chain before and after them is that over the entries of the index, which makes the stream digest. So parts whose
/// receipts name one stream digest, and of which each begins [where another ends](Receipt::meets), tile the stream from the first
/// that begins at segment 0 to the one that [reaches its end](Receipt::reaches_end).
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Receipt {
    /// Names the stream.
    pub stream_id: StreamId,
    /// Fixes every byte of its preamble, metadata and segments.
    pub stream_digest: StreamDigest,
    /// The segments of the part; the end is excluded.
    pub segments: Range<u64>,
    /// Which bytes of the stream's plaintext they are. The sink has them from its offset 0 on.
    pub plaintext: Range<u64>,
    /// The chain value before the first of them.
    pub chain_before: [u8; 32],
    /// The chain value after the last of them.
    pub chain_after: [u8; 32],
    /// Whether the last of them ends the stream.
    pub reaches_end: bool,
}

impl Receipt {
    /// Whether `next` is of the same stream and begins where this part ends: in segments, in plaintext, and in the chain.
    pub fn meets(&self, next: &Receipt) -> bool {
        let end = (self.segments.end, self.plaintext.end, self.chain_after);
        (self.stream_id, self.stream_digest) == (next.stream_id, next.stream_digest)
            && end == (next.segments.start, next.plaintext.start, next.chain_before)
    }
}

impl OpenOptions<'_> {
    /// Opens the `segments` of `source`, all of them whole, into `sink` from its offset 0 on, and publishes them as a part.
    ///
    /// # Errors
    /// As of a stream that is opened; the first fault in the part, not in the stream. [`ErrorKind::Usage`] if the source cannot be
    /// read at offsets, or `segments` are none, or not there; [`ErrorKind::NoKey`] without a key.
    pub fn open_segments<S: StreamingSink>(
        &self,
        segments: Range<u64>,
        source: impl Source,
        sink: S,
    ) -> Result<Receipt, Error> {
        let mut receipts = self.open_parts(vec![(segments, sink)], source)?;
        Ok(receipts.remove(0))
    }

    /// As [`OpenOptions::open_segments`], into the sink that `sink` makes. It is given what reads the stream at any place, where its plaintext is more than the
    /// bytes of a file, and memory suffices; nothing of the stream's digest has been compared by then.
    ///
    /// # Errors
    /// As [`OpenOptions::open_segments`], and those of `sink`.
    pub fn open_segments_into<S: StreamingSink>(
        &self,
        segments: Range<u64>,
        source: impl Source,
        sink: impl FnOnce(Option<Reader>) -> Result<S, Error>,
    ) -> Result<Receipt, Error> {
        let mut receipts = self.open_made(source, |reader| Ok(vec![(segments, sink(reader())?)]))?;
        Ok(receipts.remove(0))
    }

    /// As [`OpenOptions::open_segments`], of several parts of one stream, each with a sink of its own. What stands before and after
    /// the segments is read once, for all of them. One after the other is opened, and a receipt given for each.
    ///
    /// # Errors
    /// As [`OpenOptions::open_segments`], of the first part with a fault: those before it have been published.
    /// [`ErrorKind::Usage`] too if a part does not begin where the one before it ends, or later.
    pub fn open_parts<S: StreamingSink>(
        &self,
        parts: Vec<(Range<u64>, S)>,
        source: impl Source,
    ) -> Result<Vec<Receipt>, Error> {
        self.open_made(source, |_| Ok(parts))
    }

    fn open_made<S: StreamingSink>(
        &self,
        source: impl Source,
        make: impl FnOnce(MakeReader<'_>) -> Result<Vec<(Range<u64>, S)>, Error>,
    ) -> Result<Vec<Receipt>, Error> {
        self.resources.check()?;
        let place = source.positioned().ok_or_else(|| {
            Error::new(ErrorKind::Usage, "a part of a stream can be opened only where the source has offsets")
                .remedied(Remedy::GiveFile)
        })?;
        self.open_each(make, source, place.clone()).map_err(|error| of_place(error, Some(place)))
    }

    fn open_each<S: StreamingSink>(
        &self,
        make: impl FnOnce(MakeReader<'_>) -> Result<Vec<(Range<u64>, S)>, Error>,
        in_order: impl Source,
        source: Arc<dyn ReadAt>,
    ) -> Result<Vec<Receipt>, Error> {
        let (envelope, index) = self.read_around_segments(in_order, &source)?;
        let envelope = Arc::new(envelope);
        if envelope.schedule.is_none() {
            return Err(Error::new(
                ErrorKind::NoKey,
                "without a key a stream can be verified and not opened",
            ));
        }
        let opened = self.open_between(make, source, &envelope, index);
        opened.map_err(|error| error.of_stream(StreamHead::of(&envelope)))
    }

    fn open_between<S: StreamingSink>(
        &self,
        make: impl FnOnce(MakeReader<'_>) -> Result<Vec<(Range<u64>, S)>, Error>,
        source: Arc<dyn ReadAt>,
        envelope: &Arc<Envelope>,
        index: Index,
    ) -> Result<Vec<Receipt>, Error> {
        let walk = Walk::new(source, envelope, index);
        let parts = make(&|| {
            ContentKind::of_metadata(&envelope.metadata).ok()??;
            self.reader_of(&walk.source, envelope, &walk.index).ok()
        })?;
        let ranges = || parts.iter().map(|(segments, _)| segments.clone());
        check_ranges(ranges(), walk.index.footer.segments)?;
        let chained = check_entries_around(
            &walk,
            ranges(),
            self.expected(envelope),
            &self.resources.budget_from(&*walk.source),
            &self.resources.cancel,
        )?;
        let parts = parts.into_iter().zip(chained);
        parts.map(|((segments, sink), chained)| self.open_part(chained, segments, sink)).collect()
    }

    fn open_part<S: StreamingSink>(
        &self,
        chained: ChainedRange<'_>,
        segments: Range<u64>,
        mut sink: S,
    ) -> Result<Receipt, Error> {
        let footer = &chained.walk.index.footer;
        let (stream_digest, count) = (StreamDigest(footer.stream_digest), footer.segments);
        let stream_id = chained.walk.envelope.preamble.stream_id;
        start_over(&mut sink)?;
        let start = Committed {
            segments: segments.start,
            plaintext_len: chained.walk.plaintext_offset(),
            ..Committed::at_start(chained.before)
        };
        let before = chained.before;
        let opened = self.run_part(chained, segments.clone(), sink, start)?;
        Ok(Receipt {
            stream_id,
            stream_digest,
            plaintext: start.plaintext_len..opened.plaintext_len,
            chain_before: before.0,
            chain_after: opened.stream_digest.0,
            reaches_end: segments.end == count,
            segments,
        })
    }

    /// The same pipeline as of a whole stream; the feed ends where the part does.
    fn run_part<S: StreamingSink>(
        &self,
        ChainedRange { walk, before, after, plaintext_end }: ChainedRange<'_>,
        segments: Range<u64>,
        sink: S,
        start: Committed,
    ) -> Result<Opened, Error> {
        let envelope = walk.envelope;
        let len = Some(plaintext_end - start.plaintext_len);
        let budget = self.resources.budget_from(&*walk.source);
        let plan = self.resources.plan_along(&walk, &budget, len)?;
        let workers = self.resources.workers_for(plan, envelope.shape(), len)?;
        let mut meter = Meter::new(self.resources.observer.clone(), len, 0);
        // Its chain is over a part of the stream; the whole was compared before.
        let any = ExpectedPin::any(envelope.preamble.digest);
        let feed = SeekableFeed::new(walk, before, ProvedSegments::none(), &plan, &budget, any)
            .until(segments.end, after);
        let metrics = StreamMetrics::new(Operation::Open, envelope.preamble.stream_id, &budget, &start, 0);
        let mut feed = PacedFeed::new(feed, self.resources, &budget, plan.demand.run_len, &metrics);
        let settings = Settings {
            executor: workers.executor(),
            budget: &budget,
            release: self.release,
            durability: self.durability,
            cancel: &self.resources.cancel,
            demand: plan.demand,
            shape: envelope.shape(),
            stages: metrics.stages(),
            // A part is not resumed, and what says so is no checkpoint of a stream.
            checkpoint: &|_| Checkpoint::from_bytes([0; Checkpoint::LEN]),
            observe: &mut |committed| {
                // What is told is of the part, as the sink has it.
                let segments = committed.segments - start.segments;
                let of_part = Committed { segments, plaintext_len: committed.sink_len, ..*committed };
                meter.committed(&of_part, committed.durable_len, 0);
                metrics.committed(committed);
            },
        };
        metrics.ended(segment_worker::open_part(&mut feed, sink, start, settings)).map_err(Error::opening)
    }
}

/// Gives what reads the stream at any place.
type MakeReader<'a> = &'a dyn Fn() -> Option<Reader>;

/// Each has a segment at least, all of them are there, and they are in order.
fn check_ranges(ranges: impl Iterator<Item = Range<u64>>, count: u64) -> Result<(), Error> {
    let mut end = 0;
    for range in ranges {
        check_range(&range, count)?;
        if range.start < end {
            let what = format!("segment {} comes after a part that ends with {end}", range.start);
            return Err(Error::new(ErrorKind::Usage, what));
        }
        end = range.end;
    }
    Ok(())
}

/// There is at least one segment, and all of them are there.
fn check_range(segments: &Range<u64>, count: u64) -> Result<(), Error> {
    if segments.is_empty() {
        let what = format!("there is no segment in {}..{}", segments.start, segments.end);
        return Err(Error::new(ErrorKind::Usage, what));
    }
    if segments.end > count {
        let what = format!("there is no segment {}: the stream has {count}", segments.end - 1);
        return Err(Error::new(ErrorKind::Usage, what));
    }
    Ok(())
}

/// What an earlier attempt left in the sink is forgotten: nothing says which part it was of.
fn start_over(sink: &mut impl StreamingSink) -> Result<(), Error> {
    let failed = |error| Error::io("what the target keeps could not be given up", error);
    if sink.last_commit().map_err(failed)?.is_some() || sink.resumable().is_some() {
        sink.resume_at(0, 0).map_err(failed)?;
    }
    Ok(())
}
