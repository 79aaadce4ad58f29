//! One segment of a stream that lies still, once it is known where: read run by run, opened, and checked as a whole.
//! It knows no index; who asks says what the segment has to be.

use std::sync::Arc;
use std::time::Instant;

use cofferdam_io::ReadAt;
use contract::Checkpoint;
use frame_worker::{ChainValue, FrameWorker, SegmentIndex};
use framing::IndexEntry;
use segment_worker::{
    CancelToken, Edges, Input, OpenedRun, Run, RunContents, SegmentFault, Sequencer, Stage, StreamError,
};

use crate::envelope::Envelope;
use crate::feed::seekable::check_closing;
use crate::feed::segment_runs::{SegmentRanges, SegmentRuns};
use crate::segment_fetch::SegmentFetch;
use crate::stream_metrics::Operation;
use crate::{Error, ErrorKind, memory};

/// A segment that has been opened or verified.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct OpenedSegment {
    /// Its number, from 0.
    pub index: u64,
    /// Where its plaintext begins in the stream's, in bytes.
    pub plaintext_offset: u64,
    /// Plaintext bytes.
    pub plaintext_len: u64,
    /// The chain value before it, as its TERMINATOR says; compared with the index where there is a key.
    pub chain_before: ChainValue,
    /// The chain value after it.
    pub chain_after: ChainValue,
}

/// What a segment has to be.
#[derive(Clone)]
pub(crate) struct Located {
    pub(crate) entry: IndexEntry,
    pub(crate) last: bool,
    /// The chain before it, where that is known.
    pub(crate) chain: Option<ChainValue>,
}

/// Opens segments of one stream, each by itself, from any thread.
pub(crate) struct SegmentOpener {
    pub(crate) source: Arc<dyn ReadAt>,
    /// Where the source is far: what is fetched of it.
    pub(crate) fetch: Option<SegmentFetch>,
    pub(crate) envelope: Envelope,
    pub(crate) frames_per_run: u32,
    pub(crate) cancel: CancelToken,
    /// As what it counts.
    pub(crate) operation: Operation,
}

impl SegmentOpener {
    /// Says that this segment will be opened after all that were announced before it. What is fetched of a far source is fetched now.
    pub(crate) fn announce(&self, located: &Located) {
        let Some(fetch) = &self.fetch else { return };
        let ranges = self.ranges(&located.entry);
        if fetch.announce(ranges.whole().start) {
            ranges.in_order().for_each(|range| fetch.push(range));
        }
    }

    /// What segments are read from: where the source is far, what was fetched of it.
    pub(crate) fn source(&self) -> &dyn ReadAt {
        match &self.fetch {
            Some(fetch) => fetch,
            None => &*self.source,
        }
    }

    /// Opens segment `index` into `plaintext`, which is as long as the segment's plaintext.
    pub(crate) fn open_into(
        &self,
        index: u64,
        located: &Located,
        plaintext: &mut [u8],
    ) -> Result<OpenedSegment, Error> {
        let mut rest = plaintext;
        self.pass(index, located, |run, worker, bytes| {
            let (out, after) = std::mem::take(&mut rest).split_at_mut(run.output_len);
            rest = after;
            open_run(index, run, worker, bytes, out)
        })
    }

    /// Opens segment `index` run by run: `each` gets the bytes of a run and their offset in the stream's plaintext.
    pub(crate) fn open_each(
        &self,
        index: u64,
        located: &Located,
        mut each: impl FnMut(u64, &[u8]) -> Result<(), Error>,
    ) -> Result<OpenedSegment, Error> {
        let mut out = memory::zeroed("a run of plaintext", self.run_plaintext_len(&located.entry))?;
        self.pass(index, located, |run, worker, bytes| {
            let out = &mut out[..run.output_len];
            let contents = open_run(index, run, worker, bytes, out)?;
            if !out.is_empty() {
                each(run.sink_offset, out)?;
            }
            Ok(contents)
        })
    }

    /// Verifies segment `index`, with a key or without.
    pub(crate) fn verify(&self, index: u64, located: &Located) -> Result<OpenedSegment, Error> {
        if self.envelope.schedule.is_some() {
            return self.open_each(index, located, |_, _| Ok(()));
        }
        self.pass(index, located, |run, worker, bytes| open_run(index, run, worker, bytes, &mut []))
    }

    /// Reads the segment run by run, has `open` open each, and checks the whole against its closing frames, what it has to
    /// be, and the chain.
    fn pass(
        &self,
        index: u64,
        located: &Located,
        mut open: impl FnMut(&Run, &FrameWorker, &[u8]) -> Result<RunContents, Error>,
    ) -> Result<OpenedSegment, Error> {
        let Located { entry, last, chain } = located;
        let segment = SegmentIndex(index);
        let fetched = self.fetch.as_ref().and_then(|fetch| fetch.begin(self.ranges(entry)));
        let source = self.source();
        let mut runs = SegmentRuns::new(&self.envelope, source, index, entry.clone(), self.frames_per_run)?;
        let (worker, digest) = self.envelope.segment(runs.header())?;
        let shape = self.envelope.shape();
        let wire_len = FrameWorker::run_wire_len(shape, self.run_plaintext_len(entry));
        let mut bytes = memory::zeroed("a run of a segment", wire_len + Edges::len_max(shape))?;
        let mut sequencer = Sequencer::<()>::new(segment, digest, shape.frame_len());
        let mut closing = None;
        while let Some(run) = runs.next(Input::Place(self.source.clone())) {
            self.check_cancelled()?;
            let bytes = &mut bytes[..run.read_len()];
            let offset = run.read_offset();
            let begun = Instant::now();
            source
                .read_exact_at(offset, bytes)
                .map_err(|source| Error::opening(StreamError::Read { segment, offset, source }))?;
            self.operation.count(Stage::Read, bytes.len(), begun);
            if let Some(fetched) = &fetched {
                fetched.release(offset + bytes.len() as u64);
            }
            let begun = Instant::now();
            let contents = open(&run, &worker, bytes)?;
            self.operation.count(Stage::Process, run.output_len, begun);
            closing = contents.closing;
            if !contents.frames.is_empty() {
                let run = OpenedRun { first: run.first, frames: contents.frames, output: () };
                let popped = sequencer.accept(run).and_then(|()| sequencer.pop());
                popped.map_err(|fault| refused(segment, fault))?;
            }
        }
        let closing = closing.expect("a segment's last run has read its closing frames");
        check_closing(&self.envelope, index, entry, *last, &closing)?;
        let chain_before = chain.unwrap_or(closing.fields.chain_before);
        // Nothing commits on this proof.
        let unused = || Checkpoint::from_bytes([0; Checkpoint::LEN]);
        sequencer.finish(&closing, chain_before, unused).map_err(|fault| refused(segment, fault))?;
        Ok(OpenedSegment {
            index,
            plaintext_offset: entry.plaintext_offset,
            plaintext_len: u64::from(entry.plaintext_len),
            chain_before,
            chain_after: closing.chain_after,
        })
    }

    fn ranges(&self, entry: &IndexEntry) -> SegmentRanges {
        SegmentRanges::of(&self.envelope, entry, self.frames_per_run)
    }

    /// Plaintext bytes of the longest run of the segment.
    fn run_plaintext_len(&self, entry: &IndexEntry) -> usize {
        let run = u64::from(self.frames_per_run) * u64::from(self.envelope.shape().frame_len());
        run.min(u64::from(entry.plaintext_len)) as usize
    }

    pub(crate) fn check_cancelled(&self) -> Result<(), Error> {
        if self.cancel.is_cancelled() { Err(Error::new(ErrorKind::Cancelled, "interrupted")) } else { Ok(()) }
    }
}

fn open_run(
    index: u64,
    run: &Run,
    worker: &FrameWorker,
    bytes: &[u8],
    out: &mut [u8],
) -> Result<RunContents, Error> {
    run.open(worker, bytes, out).map_err(|fault| Error::opening(fault.in_segment(SegmentIndex(index))))
}

fn refused(segment: SegmentIndex, fault: SegmentFault) -> Error {
    Error::opening(StreamError::Segment { segment, fault })
}
