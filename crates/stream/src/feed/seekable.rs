//! Opening from a source that can be read at offsets: the index says where everything lies, jobs read it themselves.
//! What the index says and what the segments say is compared, record by record. The feed reads nothing but index
//! pages and, of a source from afar, has fetched what jobs will read.

use std::collections::VecDeque;

use frame_worker::{ChainValue, Closing};
use framing::{IndexEntry, SegmentIndex};
use segment_worker::{
    Budget, Buffers, Ending, Feed, Input, ProvedPlan, ProvedSegment, ProvedSegments, Run, SegmentPlan, Step,
    StreamEnd,
};

use super::fetch_ahead::{Arrival, FetchAhead};
use super::segment_runs::{SegmentRuns, closing_position, header_of};
use crate::Error;
use crate::envelope::Envelope;
use crate::far::FarSource;
use crate::index::Walk;
use crate::pin::ExpectedPin;
use crate::resources::RunPlan;

/// A sealed stream whose records lie still.
pub(crate) struct SeekableFeed<'a> {
    walk: Walk<'a>,
    frames_per_run: u32,
    expected: ExpectedPin<'a>,
    part: Option<Part>,
    /// The segments that are not read.
    proved: ProvedSegments,
    /// The segment whose runs are handed out.
    segment: Option<SegmentRuns>,
    /// Where the source is far: what was asked for.
    ahead: Option<FetchAhead<'a>>,
    /// The run that comes next, and has not arrived.
    waiting: Option<Run>,
    /// The segments in flight, whose closing frames have not come yet: as many as the engine allows.
    unclosed: VecDeque<IndexEntry>,
    chain: ChainValue,
}

/// Some segments of a stream, which go to a sink of their own.
struct Part {
    /// Where their plaintext begins in the stream's.
    plaintext_offset: u64,
    /// The segment after the last of them, and the chain value before it.
    end: (u64, ChainValue),
}

impl<'a> SeekableFeed<'a> {
    /// The segments that `walk` has not passed yet. `chain` is the chain value before them; those that are `proved` are in the
    /// sink already. Where the source is far, `budget` pays for what is fetched ahead.
    pub(crate) fn new(
        walk: Walk<'a>,
        chain: ChainValue,
        proved: ProvedSegments,
        plan: &RunPlan,
        budget: &Budget,
        expected: ExpectedPin<'a>,
    ) -> SeekableFeed<'a> {
        let (frames_per_run, end) = (plan.frames_per_run, walk.index.footer.segments);
        let ahead = FarSource::of(&walk.source)
            .map(|far| FetchAhead::new(far, walk.clone(), end, frames_per_run, budget, plan.fetch));
        SeekableFeed {
            walk,
            frames_per_run,
            expected,
            part: None,
            proved,
            segment: None,
            ahead,
            waiting: None,
            unclosed: VecDeque::new(),
            chain,
        }
    }

    /// The same, of the segments before `segment` alone, as a part: the sink begins with the first of them. `chain` is the chain
    /// value that the index has there.
    pub(crate) fn until(mut self, segment: u64, chain: ChainValue) -> SeekableFeed<'a> {
        self.part = Some(Part { plaintext_offset: self.walk.plaintext_offset(), end: (segment, chain) });
        if let Some(ahead) = &mut self.ahead {
            ahead.end_at(segment);
        }
        self
    }

    /// Where the sink begins in the stream's plaintext.
    fn sink_begin(&self) -> u64 {
        self.part.as_ref().map_or(0, |part| part.plaintext_offset)
    }

    fn is_at_end(&self) -> bool {
        let part_end = self.part.as_ref().map(|part| part.end.0);
        part_end == Some(self.walk.segments()) || self.walk.is_at_end()
    }

    /// Where a part ends, as the entries of the index have it.
    fn end_of_part(&self, part: &Part) -> Result<StreamEnd, Error> {
        if self.chain != part.end.1 {
            return Err(self.walk.footer_fault());
        }
        Ok(StreamEnd {
            segments: part.end.0,
            plaintext_len: self.walk.plaintext_offset(),
            stream_digest: part.end.1,
            ending: Ending::Proved,
        })
    }

    /// The key of a segment follows from its entry, so its frames can be opened before its header has been seen. The
    /// header is compared by the job that opens the first of them.
    fn begin(&mut self) -> Result<Step<Closing, ()>, Error> {
        let entry = self.walk.entry()?;
        if let Some(ahead) = &mut self.ahead
            && !ahead.has_head(self.walk.segments(), &entry)?
        {
            return Ok(Step::NothingYet);
        }
        let (envelope, index) = (self.walk.envelope, self.walk.segments());
        let segment =
            SegmentRuns::new(envelope, &*self.walk.source, index, entry.clone(), self.frames_per_run)?;
        let (worker, digest) = self.walk.envelope.segment(segment.header())?;
        let plan = SegmentPlan {
            index: segment.header().index,
            worker,
            digest,
            sink_offset: entry.plaintext_offset - self.sink_begin(),
            head: Vec::new(),
        };
        self.segment = Some(segment);
        self.unclosed.push_back(entry);
        Ok(Step::Segment(plan))
    }
}

impl SeekableFeed<'_> {
    /// The run that comes next of the segment that is handed out.
    fn next_run(&mut self) -> Option<Run> {
        let source = self.walk.source.clone();
        let mut run = self.segment.as_mut()?.next(Input::Place(source))?;
        run.sink_offset -= self.sink_begin();
        Some(run)
    }

    /// Hands out `run`. Where it comes from afar it has to be there: no job waits for the network.
    fn hand_out(&mut self, run: Run) -> Result<Step<Closing, ()>, Error> {
        let Some(ahead) = &mut self.ahead else { return Ok(Step::Run(run)) };
        match ahead.take(self.walk.segments(), run)? {
            Arrival::There(run) => Ok(Step::Run(run)),
            Arrival::NotYet(run) => {
                self.waiting = Some(run);
                Ok(Step::NothingYet)
            }
        }
    }

    /// The segment that comes next is not read: its entry says what its closing frames are made from.
    fn pass_proved(&mut self, proof: ProvedSegment) -> Result<ProvedPlan, Error> {
        let entry = self.walk.entry()?;
        let (worker, digest) = self.walk.envelope.segment(&header_of(proof.index().0, &entry))?;
        let plan = ProvedPlan {
            segment: SegmentPlan {
                index: proof.index(),
                worker,
                digest,
                sink_offset: entry.plaintext_offset,
                head: Vec::new(),
            },
            proof,
            frame_count: entry.frame_count,
            plaintext_len: u64::from(entry.plaintext_len),
            digest: entry.digest,
            plaintext_digest: entry.plaintext_digest,
        };
        self.walk.pass(&entry)?;
        self.unclosed.push_back(entry);
        Ok(plan)
    }
}

impl Feed for SeekableFeed<'_> {
    type Error = Error;

    fn next(&mut self, _buffers: &Buffers) -> Result<Step<Closing, ()>, Error> {
        if let Some(ahead) = &mut self.ahead {
            ahead.look(&self.walk, &self.proved);
        }
        if let Some(run) = self.waiting.take().or_else(|| self.next_run()) {
            return self.hand_out(run);
        }
        if let Some(segment) = self.segment.take() {
            self.walk.pass(&segment.into_entry())?;
        }
        if self.is_at_end() {
            return Ok(Step::End(()));
        }
        if let Some(ahead) = &mut self.ahead
            && !ahead.has_page(&self.walk)?
        {
            return Ok(Step::NothingYet);
        }
        match self.proved.proof(SegmentIndex(self.walk.segments())) {
            Some(proof) => self.pass_proved(proof).map(Step::Proved),
            None => self.begin(),
        }
    }

    fn check_closing(&mut self, segment: SegmentIndex, closing: &Closing) -> Result<(), Error> {
        let entry = self.unclosed.pop_front().expect("a segment is closed once");
        let last = segment.0 + 1 == self.walk.index.footer.segments;
        check_closing(self.walk.envelope, segment.0, &entry, last, closing)?;
        self.chain = closing.chain_after;
        Ok(())
    }

    fn end(&mut self) -> Result<StreamEnd, Error> {
        if let Some(part) = &self.part {
            return self.end_of_part(part);
        }
        self.walk.check_end()?;
        let footer = &self.walk.index.footer;
        if self.chain.0 != footer.stream_digest {
            return Err(self.walk.footer_fault());
        }
        self.expected.check(self.chain)?;
        Ok(StreamEnd {
            segments: self.walk.segments(),
            plaintext_len: footer.plaintext_len,
            stream_digest: self.chain,
            ending: Ending::Proved,
        })
    }

    fn stop(&mut self) {
        if let Some(ahead) = &mut self.ahead {
            ahead.stop();
        }
    }
}

/// The closing frames of segment `index` have to say what its entry says, and whether it is the `last`.
pub(crate) fn check_closing(
    envelope: &Envelope,
    index: u64,
    entry: &IndexEntry,
    last: bool,
    closing: &Closing,
) -> Result<(), Error> {
    let fields = &closing.fields;
    let digests = (fields.digest, fields.plaintext_digest);
    let said = (fields.frame_count, fields.plaintext_len, digests, fields.last);
    let expected = (entry.digest, entry.plaintext_digest);
    if said != (entry.frame_count, u64::from(entry.plaintext_len), expected, last) {
        return Err(Error::damaged("the closing frames are not what the index says")
            .in_segment(index)
            .at(closing_position(envelope, entry)));
    }
    Ok(())
}
