//! Kept plaintext on its way to be proved: each segment with what its entry in the index says that it was sealed as.
//! Nothing of what comes of it is stored or sent (FORMAT F12.3); the segment worker compares.

use std::sync::Arc;

use cofferdam_io::ReadAt;
use frame_worker::{Compression, FrameIndex, FrameWorker, SegmentIndex};
use framing::IndexEntry;
use segment_worker::{
    Buffers, Edges, ExpectedDigest, ExpectedSegment, Input, ProofFeed, Run, SegmentPlan, Step,
};

use super::segment_runs::{Cut, header_of};
use crate::Error;
use crate::envelope::Envelope;

/// The plaintext of some segments, which lies at `place` at its own offsets.
pub(crate) struct KeptPlaintext<'a, I> {
    place: Arc<dyn ReadAt>,
    envelope: &'a Envelope,
    /// The segments to prove, in order, with their entries.
    candidates: I,
    frames_per_run: u32,
    segment: Option<OpenSegment>,
    begun: u64,
}

struct OpenSegment {
    index: SegmentIndex,
    entry: IndexEntry,
    frames_done: u32,
}

impl<'a, I: Iterator<Item = Result<(SegmentIndex, IndexEntry), Error>>> KeptPlaintext<'a, I> {
    /// That of `candidates`, in runs of `frames_per_run`.
    pub(crate) fn new(
        place: Arc<dyn ReadAt>,
        envelope: &'a Envelope,
        candidates: I,
        frames_per_run: u32,
    ) -> KeptPlaintext<'a, I> {
        KeptPlaintext { place, envelope, candidates, frames_per_run, segment: None, begun: 0 }
    }

    fn begin(&mut self, index: SegmentIndex, entry: IndexEntry) -> Result<SegmentPlan, Error> {
        let (worker, digest) = self.envelope.segment(&header_of(index.0, &entry))?;
        let plan = SegmentPlan {
            index: SegmentIndex(self.begun),
            worker,
            digest,
            sink_offset: entry.plaintext_offset,
            head: Vec::new(),
        };
        self.begun += 1;
        self.segment = Some(OpenSegment { index, entry, frames_done: 0 });
        Ok(plan)
    }

    fn run(&self, segment: &OpenSegment) -> Run {
        let shape = self.envelope.shape();
        let cut = Cut::next(shape, &segment.entry, segment.frames_done, self.frames_per_run);
        // What was compressed is not sealed again, but hashed.
        let output_len = match shape.compression() {
            Compression::None => FrameWorker::run_wire_len(shape, cut.plaintext_len),
            Compression::Zstd => 0,
        };
        Run {
            first: FrameIndex(segment.frames_done),
            count: cut.frames,
            input: Input::Place(self.place.clone()),
            input_offset: cut.plaintext_offset,
            input_len: cut.plaintext_len,
            edges: Edges::default(),
            output_len,
            sink_offset: cut.plaintext_offset,
        }
    }
}

impl<I: Iterator<Item = Result<(SegmentIndex, IndexEntry), Error>>> ProofFeed for KeptPlaintext<'_, I> {
    type Error = Error;

    fn next(&mut self, _buffers: &Buffers) -> Result<Step<ExpectedSegment, ()>, Error> {
        match self.segment.take() {
            None => match self.candidates.next().transpose()? {
                None => Ok(Step::End(())),
                Some((index, entry)) => self.begin(index, entry).map(Step::Segment),
            },
            Some(segment) if segment.frames_done < segment.entry.frame_count => {
                let run = self.run(&segment);
                let frames_done = segment.frames_done + run.count;
                self.segment = Some(OpenSegment { frames_done, ..segment });
                Ok(Step::Run(run))
            }
            Some(OpenSegment { index, entry, .. }) => Ok(Step::Close(ExpectedSegment {
                index,
                plaintext_len: u64::from(entry.plaintext_len),
                digest: match entry.plaintext_digest {
                    Some(digest) => ExpectedDigest::Plaintext(digest),
                    None => ExpectedDigest::Frames(entry.digest),
                },
            })),
        }
    }
}
