//! Opening from a source that can be read at offsets: the index says where everything lies, jobs read it themselves.
//! What the index says and what the segments say is compared, record by record.

use std::sync::Arc;

use frame_worker::{ChainValue, Closing, FrameIndex, FrameWorker};
use framing::limits::{CLOSING_LEN, SEGMENT_HEADER_LEN};
use framing::{IndexEntry, SegmentHeader, SegmentIndex};
use segment_worker::{Buffers, Feed, Input, Run, SegmentPlan, Step, StreamEnd};

use super::sequential::check_expected;
use crate::Error;
use crate::envelope::Envelope;
use crate::index::{Walk, read_array};

/// A sealed stream whose records lie still.
pub(crate) struct SeekableFeed<'a> {
    walk: Walk<'a>,
    frames_per_run: u32,
    expected: Option<ChainValue>,
    segment: Option<OpenSegment>,
    chain: ChainValue,
}

struct OpenSegment {
    entry: IndexEntry,
    worker: Arc<FrameWorker>,
    frames_done: u32,
}

impl<'a> SeekableFeed<'a> {
    /// The segments that `walk` has not passed yet. `chain` is the chain value before them.
    pub(crate) fn new(
        walk: Walk<'a>,
        chain: ChainValue,
        frames_per_run: u32,
        expected: Option<ChainValue>,
    ) -> SeekableFeed<'a> {
        SeekableFeed { walk, frames_per_run, expected, segment: None, chain }
    }

    fn envelope(&self) -> &'a Envelope {
        self.walk.envelope
    }

    fn begin(&mut self) -> Result<Step<Closing, StreamEnd>, Error> {
        let entry = self.walk.entry()?;
        let position = self.walk.position(entry.wire_offset);
        let bytes: [u8; SEGMENT_HEADER_LEN] = read_array(&*self.walk.source, position)?;
        let header = header_of(self.walk.segments(), &entry);
        if header.to_bytes() != bytes {
            return Err(Error::damaged("the segment header is not what the index says")
                .in_segment(self.walk.segments())
                .at(position));
        }
        let (worker, digest) = self.envelope().segment(&header)?;
        let plan = SegmentPlan {
            index: header.index,
            worker: worker.clone(),
            digest,
            sink_offset: entry.plaintext_offset,
            head: Vec::new(),
        };
        self.segment = Some(OpenSegment { entry, worker, frames_done: 0 });
        Ok(Step::Segment(plan))
    }

    fn run(&self, segment: &OpenSegment) -> Run {
        let shape = self.envelope().shape();
        let cut = Cut::next(shape, &segment.entry, segment.frames_done, self.frames_per_run);
        let frames_begin = segment.entry.wire_offset + SEGMENT_HEADER_LEN as u64;
        let first = u64::from(segment.frames_done);
        Run {
            first: FrameIndex(segment.frames_done),
            count: cut.frames,
            input: Input::Place(self.walk.source.clone()),
            input_offset: self.walk.position(frames_begin + first * shape.frame_wire_len()),
            input_len: FrameWorker::run_wire_len(shape, cut.plaintext_len),
            output_len: if self.envelope().schedule.is_some() { cut.plaintext_len } else { 0 },
            sink_offset: cut.plaintext_offset,
        }
    }

    fn close(&mut self, segment: &OpenSegment) -> Result<Step<Closing, StreamEnd>, Error> {
        let OpenSegment { entry, worker, .. } = segment;
        let closing = read_closing(&self.walk, entry, worker)?;
        self.chain = closing.chain_after;
        self.walk.pass(entry)?;
        Ok(Step::Close(closing))
    }

    fn end(&self) -> Result<StreamEnd, Error> {
        self.walk.check_end()?;
        let footer = &self.walk.index.footer;
        if self.chain.0 != footer.stream_digest {
            return Err(self.walk.footer_fault());
        }
        check_expected(self.expected, self.chain)?;
        Ok(StreamEnd {
            segments: self.walk.segments(),
            plaintext_len: footer.plaintext_len,
            stream_digest: self.chain,
        })
    }
}

impl Feed for SeekableFeed<'_> {
    type Error = Error;

    fn next(&mut self, _buffers: &Buffers) -> Result<Step<Closing, StreamEnd>, Error> {
        match self.segment.take() {
            None if self.walk.is_at_end() => self.end().map(Step::End),
            None => self.begin(),
            Some(segment) if segment.frames_done == segment.entry.frame_count => self.close(&segment),
            Some(segment) => {
                let run = self.run(&segment);
                let frames_done = segment.frames_done + run.count;
                self.segment = Some(OpenSegment { frames_done, ..segment });
                Ok(Step::Run(run))
            }
        }
    }
}

/// The header that the segment of `entry`, number `index`, must have.
pub(crate) fn header_of(index: u64, entry: &IndexEntry) -> SegmentHeader {
    SegmentHeader {
        index: SegmentIndex(index),
        plaintext_offset: entry.plaintext_offset,
        attempt_salt: entry.attempt_salt,
    }
}

/// The closing frames of the segment that `walk` has before it: opened, and compared with its entry.
fn read_closing(walk: &Walk<'_>, entry: &IndexEntry, worker: &FrameWorker) -> Result<Closing, Error> {
    let index = walk.segments();
    let position = walk.position(entry.wire_offset + entry.wire_len - CLOSING_LEN as u64);
    let bytes: [u8; CLOSING_LEN] = read_array(&*walk.source, position)?;
    let closing =
        worker.open_closing(&bytes).map_err(|error| Error::frame_refused(index, 0, &error, position))?;
    let fields = &closing.fields;
    let said = (fields.frame_count, fields.plaintext_len, fields.digest, fields.last);
    if said != (entry.frame_count, u64::from(entry.plaintext_len), entry.digest, walk.is_at_last()) {
        return Err(Error::damaged("the closing frames are not what the index says")
            .in_segment(index)
            .at(position));
    }
    Ok(closing)
}

/// The frames of a segment that make its next run.
pub(super) struct Cut {
    pub(super) frames: u32,
    pub(super) plaintext_offset: u64,
    pub(super) plaintext_len: usize,
}

impl Cut {
    pub(super) fn next(shape: framing::Shape, entry: &IndexEntry, frames_done: u32, frames_max: u32) -> Cut {
        let frame_len = u64::from(shape.frame_len());
        let frames = frames_max.min(entry.frame_count - frames_done);
        let begin = u64::from(frames_done) * frame_len;
        let end = (begin + u64::from(frames) * frame_len).min(u64::from(entry.plaintext_len));
        Cut {
            frames,
            plaintext_offset: entry.plaintext_offset + begin,
            plaintext_len: (end - begin) as usize,
        }
    }
}
