//! Going on with a sealing: what an earlier attempt has left of the sealed stream, read from its front.
//! Where everything has to lie is arithmetic; whether it is what was sealed, the segment worker finds out.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use cofferdam_io::ReadAt;
use frame_worker::{ChainValue, Closing, SegmentIndex};
use framing::limits::SEGMENT_HEADER_LEN;
use framing::{IndexEntry, SegmentHeader, StreamGeometry};
use segment_worker::{Buffers, Committed, Ending, Feed, Input, Run, SegmentPlan, Step, StreamEnd};

use super::segment_runs::{SegmentRuns, closing_position};
use crate::Error;
use crate::envelope::Envelope;
use crate::index::read;
use crate::trailer::IndexBuilder;

/// A sealed stream that may end anywhere. All segments are full but the last, whose place follows from the input's length.
pub(crate) struct KeptFeed<'a> {
    source: Arc<dyn ReadAt>,
    envelope: &'a Envelope,
    geometry: StreamGeometry,
    input_len: u64,
    frames_per_run: u32,
    segment: Option<SegmentRuns>,
    /// The first run of that segment, read already: the salt in its header decides the segment's key.
    first_run: Option<Run>,
    segments_begun: u64,
    /// The segments in flight: what arithmetic and their headers say. The digests are still to come.
    unclosed: VecDeque<IndexEntry>,
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
            first_run: None,
            segments_begun: 0,
            unclosed: VecDeque::new(),
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
        let index = SegmentIndex(self.segments_begun);
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
            plaintext_digest: None,
        }
    }

    /// Reads the first run of the next segment with the header before it: without the salt in that, there is no key.
    fn begin(&mut self, buffers: &Buffers) -> Result<SegmentPlan, Error> {
        let mut entry = self.due();
        let index = self.segments_begun;
        let mut runs =
            SegmentRuns::new(self.envelope, &*self.source, index, entry.clone(), self.frames_per_run)?;
        let mut run = runs.next(Input::Place(self.source.clone())).expect("a segment has a run");
        let position = run.read_offset();
        let mut bytes = buffers.take()?;
        read(&*self.source, position, &mut bytes[..run.read_len()])?;
        let header = SegmentHeader::parse(&bytes[..SEGMENT_HEADER_LEN])
            .map_err(|error| Error::framing(error, position))?;
        if (header.index.0, header.plaintext_offset) != (index, entry.plaintext_offset) {
            return Err(Error::damaged("this is not the segment that is due").in_segment(index).at(position));
        }
        entry.attempt_salt = header.attempt_salt;
        let (worker, digest) = self.envelope.segment(&header)?;
        let sink_offset = entry.plaintext_offset;
        run.edges.header = Some(header.to_bytes());
        run.input = Input::Bytes(bytes);
        self.first_run = Some(run);
        self.segment = Some(runs);
        self.segments_begun += 1;
        self.unclosed.push_back(entry);
        Ok(SegmentPlan { index: header.index, worker, digest, sink_offset, head: Vec::new() })
    }
}

impl Feed for KeptFeed<'_> {
    type Error = Error;

    fn next(&mut self, buffers: &Buffers) -> Result<Step<Closing, ()>, Error> {
        self.settle()?;
        let place = || Input::Place(self.source.clone());
        let run = self.first_run.take().or_else(|| self.segment.as_mut()?.next(place()));
        match run {
            Some(run) => Ok(Step::Run(run)),
            None if self.segments_begun == self.segments() => Ok(Step::End(())),
            None => self.begin(buffers).map(Step::Segment),
        }
    }

    /// The engine compares the rest with what the frames were.
    fn check_closing(&mut self, segment: SegmentIndex, closing: &Closing) -> Result<(), Error> {
        let entry = self.unclosed.pop_front().expect("a segment is closed once");
        if closing.fields.last != (segment.0 + 1 == self.segments()) {
            return Err(Error::damaged("the stream ends with another segment")
                .in_segment(segment.0)
                .at(closing_position(self.envelope, &entry)));
        }
        self.closed.push_back(IndexEntry { digest: closing.fields.digest, ..entry });
        self.chain = closing.chain_after;
        Ok(())
    }

    fn end(&mut self) -> Result<StreamEnd, Error> {
        Ok(StreamEnd {
            segments: self.segments_begun,
            plaintext_len: self.input_len,
            stream_digest: self.chain,
            ending: Ending::Proved,
        })
    }
}
