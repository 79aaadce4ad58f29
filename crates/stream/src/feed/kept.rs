//! Going on with a sealing: what an earlier attempt has left of the sealed stream, read from its front.
//! Where everything has to lie is arithmetic; whether it is what was sealed, the segment worker finds out.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use cofferdam_io::ReadAt;
use frame_worker::{ChainValue, Closing, FrameIndex, FrameWorker, SegmentIndex};
use framing::limits::{CLOSING_LEN, SEGMENT_HEADER_LEN};
use framing::{IndexEntry, SegmentHeader, StreamGeometry};
use segment_worker::{Buffers, Committed, Feed, Input, Run, SegmentPlan, Step, StreamEnd};

use super::seekable::Cut;
use crate::Error;
use crate::envelope::Envelope;
use crate::index::{read, read_array};
use crate::trailer::IndexBuilder;

/// A sealed stream that may end anywhere. All segments are full but the last, whose place follows from the input's length.
pub(crate) struct KeptFeed<'a> {
    source: Arc<dyn ReadAt>,
    envelope: &'a Envelope,
    geometry: StreamGeometry,
    input_len: u64,
    frames_per_run: u32,
    segment: Option<OpenSegment>,
    segments_closed: u64,
    chain: ChainValue,
    /// How far the segment worker has come with it.
    committed: &'a Cell<Committed>,
    /// Those that have not, as far as they have been closed.
    closed: VecDeque<IndexEntry>,
    ledger: IndexBuilder,
    mend: Mend<'a>,
}

/// Writes bytes at a position of the stream where others are found.
pub(crate) type Mend<'a> = &'a mut dyn FnMut(u64, &[u8]) -> io::Result<()>;

struct OpenSegment {
    /// What arithmetic and its header say; the digest is still to come.
    entry: IndexEntry,
    worker: Arc<FrameWorker>,
    frames_done: u32,
}

impl<'a> KeptFeed<'a> {
    /// What `source` has of the stream that begins with `envelope` and is made from `input_len` bytes.
    pub(crate) fn new(
        source: Arc<dyn ReadAt>,
        envelope: &'a Envelope,
        input_len: u64,
        frames_per_run: u32,
        committed: &'a Cell<Committed>,
        mend: Mend<'a>,
    ) -> KeptFeed<'a> {
        KeptFeed {
            source,
            envelope,
            geometry: StreamGeometry::new(envelope.shape(), envelope.metadata_len),
            input_len,
            frames_per_run,
            segment: None,
            segments_closed: 0,
            chain: envelope.chain,
            committed,
            closed: VecDeque::new(),
            ledger: IndexBuilder::new(envelope.metadata_len),
            mend,
        }
    }

    /// The segments that have committed, without the page that stands behind the last of them.
    pub(crate) fn finish(mut self) -> Result<IndexBuilder, Error> {
        self.settle()?;
        Ok(self.ledger)
    }

    /// Takes segments that have committed into the ledger, and compares each page that more of them follow.
    fn settle(&mut self) -> Result<(), Error> {
        while self.ledger.segments() < self.committed.get().segments {
            if self.ledger.page_is_due(false) {
                self.check_page()?;
            }
            self.ledger.push(self.closed.pop_front().expect("what has committed was closed"));
        }
        Ok(())
    }

    /// A page follows from its segments. So one that is wrong is written again, and no reason to give up what stands
    /// behind it (FORMAT F12.4).
    fn check_page(&mut self) -> Result<(), Error> {
        let schedule = self.envelope.schedule.as_ref().expect("who seals has the key");
        let position = self.envelope.origin() + self.ledger.wire_len();
        let bytes = self.ledger.end_page(|page| schedule.page_mac(page));
        let mut found = vec![0; bytes.len()];
        read(&*self.source, position, &mut found)?;
        if found != bytes {
            (self.mend)(position, &bytes)
                .map_err(|error| Error::io("an index page could not be written again", error))?;
        }
        Ok(())
    }

    fn segments(&self) -> u64 {
        self.input_len.div_ceil(self.envelope.shape().segment_len()).max(1)
    }

    /// The entry that the next segment has to have; salt and digest are its own.
    fn due(&self) -> IndexEntry {
        let shape = self.envelope.shape();
        let index = SegmentIndex(self.segments_closed);
        let left = self.input_len - index.0 * shape.segment_len();
        let place = self.geometry.segment(index, left.min(shape.segment_len()));
        IndexEntry {
            wire_offset: place.wire_offset,
            wire_len: place.wire_len,
            plaintext_offset: place.plaintext_offset,
            plaintext_len: place.plaintext_len as u32,
            frame_count: shape.frame_count(place.plaintext_len),
            attempt_salt: [0; 16],
            digest: [0; 32],
        }
    }

    fn begin(&mut self) -> Result<SegmentPlan, Error> {
        let mut entry = self.due();
        let position = self.envelope.origin() + entry.wire_offset;
        let bytes: [u8; SEGMENT_HEADER_LEN] = read_array(&*self.source, position)?;
        let header = SegmentHeader::parse(&bytes).map_err(|error| Error::framing(error, position))?;
        if (header.index.0, header.plaintext_offset) != (self.segments_closed, entry.plaintext_offset) {
            return Err(Error::damaged("this is not the segment that is due")
                .in_segment(self.segments_closed)
                .at(position));
        }
        entry.attempt_salt = header.attempt_salt;
        let (worker, digest) = self.envelope.segment(&header)?;
        let sink_offset = entry.plaintext_offset;
        self.segment = Some(OpenSegment { entry, worker: worker.clone(), frames_done: 0 });
        Ok(SegmentPlan { index: header.index, worker, digest, sink_offset, head: Vec::new() })
    }

    fn run(&self, segment: &OpenSegment) -> Run {
        let shape = self.envelope.shape();
        let cut = Cut::next(shape, &segment.entry, segment.frames_done, self.frames_per_run);
        let frames_begin = self.envelope.origin() + segment.entry.wire_offset + SEGMENT_HEADER_LEN as u64;
        Run {
            first: FrameIndex(segment.frames_done),
            count: cut.frames,
            input: Input::Place(self.source.clone()),
            input_offset: frames_begin + u64::from(segment.frames_done) * shape.frame_wire_len(),
            input_len: FrameWorker::run_wire_len(shape, cut.plaintext_len),
            output_len: cut.plaintext_len,
            sink_offset: cut.plaintext_offset,
        }
    }

    fn close(&mut self, segment: OpenSegment) -> Result<Closing, Error> {
        let OpenSegment { entry, worker, .. } = segment;
        let index = self.segments_closed;
        let end = self.envelope.origin() + entry.wire_offset + entry.wire_len;
        let position = end - CLOSING_LEN as u64;
        let bytes: [u8; CLOSING_LEN] = read_array(&*self.source, position)?;
        let closing =
            worker.open_closing(&bytes).map_err(|error| Error::frame_refused(index, 0, &error, position))?;
        // The engine compares the rest with what the frames were.
        if closing.fields.last != (index + 1 == self.segments()) {
            return Err(Error::damaged("the stream ends with another segment")
                .in_segment(index)
                .at(position));
        }
        self.closed.push_back(IndexEntry { digest: closing.fields.digest, ..entry });
        self.segments_closed += 1;
        self.chain = closing.chain_after;
        Ok(closing)
    }
}

impl Feed for KeptFeed<'_> {
    type Error = Error;

    fn next(&mut self, _buffers: &Buffers) -> Result<Step<Closing, StreamEnd>, Error> {
        self.settle()?;
        match self.segment.take() {
            None if self.segments_closed == self.segments() => Ok(Step::End(StreamEnd {
                segments: self.segments_closed,
                plaintext_len: self.input_len,
                stream_digest: self.chain,
            })),
            None => self.begin().map(Step::Segment),
            Some(segment) if segment.frames_done == segment.entry.frame_count => {
                self.close(segment).map(Step::Close)
            }
            Some(segment) => {
                let run = self.run(&segment);
                let frames_done = segment.frames_done + run.count;
                self.segment = Some(OpenSegment { frames_done, ..segment });
                Ok(Step::Run(run))
            }
        }
    }
}
