//! Kept plaintext sealed again, in memory, under the salts of the segments it came from, and compared with their digests.
//! Nothing of what comes out is stored or sent (FORMAT F12.3): digests are looked at, and the chain goes on from them.

use std::collections::VecDeque;
use std::sync::Arc;

use cofferdam_io::ReadAt;
use frame_worker::{ChainValue, ClosingFields, Compression, FrameIndex, FrameWorker, SegmentIndex};
use framing::IndexEntry;
use segment_worker::{Buffers, Edges, Input, IsLast, Run, SealFeed, SegmentPlan, Step, TrailerOnly};

use super::segment_runs::{Cut, header_of};
use crate::Error;
use crate::envelope::Envelope;

/// Gives the entries of the segments to prove, in order; `None` behind the last of them.
pub(crate) trait Entries {
    fn next(&mut self) -> Result<Option<(SegmentIndex, IndexEntry)>, Error>;
}

/// Seals the plaintext at `place` again, segment by segment.
pub(crate) struct ProofFeed<'a, I> {
    place: Arc<dyn ReadAt>,
    envelope: &'a Envelope,
    entries: I,
    frames_per_run: u32,
    ahead: Option<(SegmentIndex, IndexEntry)>,
    segment: Option<OpenSegment>,
    expected: VecDeque<IndexEntry>,
    sink_offset: u64,
    outcome: Outcome,
}

/// What the comparisons have shown so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// All digests were the expected ones.
    Same,
    /// A segment's bytes are not those that were sealed.
    Differs,
}

struct OpenSegment {
    entry: IndexEntry,
    frames_done: u32,
}

impl<'a, I: Entries> ProofFeed<'a, I> {
    /// The segments of `entries`, one at least, whose plaintext lies at `place` at its own offsets.
    pub(crate) fn new(
        place: Arc<dyn ReadAt>,
        envelope: &'a Envelope,
        mut entries: I,
        frames_per_run: u32,
    ) -> Result<Option<ProofFeed<'a, I>>, Error> {
        let Some(first) = entries.next()? else { return Ok(None) };
        Ok(Some(ProofFeed {
            place,
            envelope,
            entries,
            frames_per_run,
            ahead: Some(first),
            segment: None,
            expected: VecDeque::new(),
            sink_offset: 0,
            outcome: Outcome::Same,
        }))
    }

    /// What ended the stream, where it ended with an error.
    pub(crate) fn outcome(&self) -> Outcome {
        self.outcome
    }

    fn begin(&mut self) -> Result<SegmentPlan, Error> {
        let (index, entry) = self.ahead.take().expect("a close that was not the last has looked ahead");
        let header = header_of(index.0, &entry);
        let (worker, digest) = self.envelope.segment(&header)?;
        self.expected.push_back(entry.clone());
        self.segment = Some(OpenSegment { entry, frames_done: 0 });
        Ok(SegmentPlan {
            index: header.index,
            worker,
            digest,
            sink_offset: self.sink_offset,
            head: Vec::new(),
        })
    }

    fn run(&mut self, segment: &OpenSegment) -> Run {
        let shape = self.envelope.shape();
        let cut = Cut::next(shape, &segment.entry, segment.frames_done, self.frames_per_run);
        // What was compressed is not sealed again, but hashed.
        let output_len = match shape.compression() {
            Compression::None => FrameWorker::run_wire_len(shape, cut.plaintext_len),
            Compression::Zstd => 0,
        };
        let sink_offset = self.sink_offset;
        self.sink_offset += output_len as u64;
        Run {
            first: FrameIndex(segment.frames_done),
            count: cut.frames,
            input: Input::Place(self.place.clone()),
            input_offset: cut.plaintext_offset,
            input_len: cut.plaintext_len,
            edges: Edges::default(),
            output_len,
            sink_offset,
        }
    }
}

impl<I: Entries> SealFeed for ProofFeed<'_, I> {
    type Error = Error;

    fn next(&mut self, _buffers: &Buffers) -> Result<Step<IsLast, TrailerOnly>, Error> {
        match self.segment.take() {
            None => self.begin().map(Step::Segment),
            Some(segment) if segment.frames_done < segment.entry.frame_count => {
                let run = self.run(&segment);
                let frames_done = segment.frames_done + run.count;
                self.segment = Some(OpenSegment { frames_done, ..segment });
                Ok(Step::Run(run))
            }
            Some(_) => {
                self.ahead = self.entries.next()?;
                Ok(Step::Close(if self.ahead.is_none() { IsLast::Yes } else { IsLast::No }))
            }
        }
    }

    fn close(
        &mut self,
        segment: SegmentIndex,
        worker: &FrameWorker,
        fields: &ClosingFields,
        _frames_len: u64,
    ) -> Result<(Vec<u8>, ChainValue), Error> {
        let expected = self.expected.pop_front().expect("a segment is closed once");
        let (found, due, digest) = match (fields.plaintext_digest, expected.plaintext_digest) {
            // What the frames were, only those who compressed them know.
            (Some(found), Some(due)) => (found, due, expected.digest),
            _ => (fields.digest, expected.digest, fields.digest),
        };
        if keys::macs_equal(&found, &due) {
            // The last one that is proved here is not the stream's last: that one is opened anew.
            let fields = ClosingFields { last: false, digest, ..*fields };
            return Ok((Vec::new(), worker.chain_after(&fields)));
        }
        self.outcome = Outcome::Differs;
        Err(Error::damaged("the kept bytes are not those that were sealed").in_segment(segment.0))
    }
}
