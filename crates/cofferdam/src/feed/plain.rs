//! Sealing: plaintext cut into segments and runs, and what the format wants around them.
//! Where everything lands on the wire is arithmetic; only the last segment may be short.

use std::sync::Arc;

use frame_worker::{ChainValue, ClosingFields, FrameIndex, FrameWorker, SegmentIndex};
use framing::limits::{SEGMENT_HEADER_LEN, SEGMENTS_MAX};
use framing::{IndexEntry, SegmentHeader, StreamGeometry};
use segment_worker::{Buffers, Input, IsLast, NoEnd, Run, SealFeed, SegmentPlan, Step};
use sources::{Arrival, ReadAt, Source};

use super::{PATIENCE, Place};
use crate::envelope::Envelope;
use crate::trailer::Ledger;
use crate::{Error, ErrorKind};

/// Plaintext on its way to be sealed.
pub(crate) struct PlainFeed<'a> {
    input: PlainInput,
    envelope: &'a Envelope,
    beginning: Vec<u8>,
    geometry: StreamGeometry,
    frames_per_run: u32,
    ledger: Ledger,
    salts: std::collections::VecDeque<[u8; 16]>,
    segment: Option<OpenSegment>,
    segments_begun: u64,
}

/// Where plaintext comes from.
enum PlainInput {
    /// It lies still: jobs read it themselves.
    Placed { source: Arc<dyn ReadAt>, place: Arc<dyn segment_worker::ReadAt> },
    /// It comes when it comes. One run is read ahead, to know whether a segment is the last.
    Piped { source: Box<dyn Source>, ahead: Vec<u8>, len: usize, ended: bool },
}

struct OpenSegment {
    index: SegmentIndex,
    plaintext_offset: u64,
    plaintext_len: u64,
}

impl<'a> PlainFeed<'a> {
    /// `beginning` is what stands before the first segment.
    pub(crate) fn new(
        source: Box<dyn Source>,
        envelope: &'a Envelope,
        beginning: Vec<u8>,
        frames_per_run: u32,
    ) -> PlainFeed<'a> {
        let input = match source.positioned() {
            Some(positioned) => {
                PlainInput::Placed { place: Arc::new(Place(positioned.clone())), source: positioned }
            }
            None => PlainInput::Piped { source, ahead: Vec::new(), len: 0, ended: false },
        };
        PlainFeed {
            input,
            geometry: StreamGeometry::new(envelope.shape(), envelope.metadata_len),
            ledger: Ledger::new(envelope.metadata_len),
            envelope,
            beginning,
            frames_per_run,
            salts: std::collections::VecDeque::new(),
            segment: None,
            segments_begun: 0,
        }
    }

    fn begin(&mut self) -> Result<SegmentPlan, Error> {
        let index = SegmentIndex(self.segments_begun);
        if index.0 >= SEGMENTS_MAX {
            return Err(Error::new(ErrorKind::Limit, "the input is longer than a stream may be")
                .advise("Seal it with longer segments: `--segment-size`."));
        }
        let place = self.geometry.segment(index, 0);
        let attempt_salt = keys::random().map_err(Error::key)?;
        let header = SegmentHeader { index, plaintext_offset: place.plaintext_offset, attempt_salt };
        let (worker, digest) = self.envelope.segment(&header)?;
        let mut head = std::mem::take(&mut self.beginning);
        let sink_offset = self.envelope.origin() + place.wire_offset;
        let head_offset = sink_offset - if index.0 == 0 { head.len() as u64 } else { 0 };
        head.extend(header.to_bytes());
        self.salts.push_back(attempt_salt);
        self.segments_begun += 1;
        self.segment =
            Some(OpenSegment { index, plaintext_offset: place.plaintext_offset, plaintext_len: 0 });
        Ok(SegmentPlan { index, worker, digest, sink_offset: head_offset, head })
    }

    /// The next run of the open segment, or that it has none.
    fn run(&self, segment: &OpenSegment, len: usize, input: Input) -> Run {
        let shape = self.envelope.shape();
        let first = shape.frame_count(segment.plaintext_len);
        let wire_offset = self.geometry.segment(segment.index, 0).wire_offset + SEGMENT_HEADER_LEN as u64;
        Run {
            first: FrameIndex(first),
            count: shape.frame_count(len as u64),
            input,
            input_offset: segment.plaintext_offset + segment.plaintext_len,
            input_len: len,
            output_len: FrameWorker::run_wire_len(shape, len),
            sink_offset: self.envelope.origin() + wire_offset + u64::from(first) * shape.frame_wire_len(),
        }
    }

    /// Bytes of the next run of `segment` if the input has them all.
    fn run_len(&self, segment: &OpenSegment) -> u64 {
        let shape = self.envelope.shape();
        let run = u64::from(self.frames_per_run) * u64::from(shape.frame_len());
        run.min(shape.segment_len() - segment.plaintext_len)
    }

    fn step(&mut self, mut segment: OpenSegment, buffers: &Buffers) -> Result<Step<IsLast, NoEnd>, Error> {
        let room = self.run_len(&segment);
        let offset = segment.plaintext_offset + segment.plaintext_len;
        let (len, input, last) = match &mut self.input {
            PlainInput::Placed { source, place } => {
                let left = source.len() - offset;
                (room.min(left) as usize, Some(Input::Place(place.clone())), left == 0)
            }
            PlainInput::Piped { source, ahead, len, ended } => {
                if !read_ahead(&mut **source, ahead, len, ended, self.frames_per_run, self.envelope, buffers)?
                {
                    self.segment = Some(segment);
                    return Ok(Step::NothingYet);
                }
                let taken = (*len).min(room as usize);
                (taken, None, *len == 0)
            }
        };
        if len == 0 {
            return Ok(Step::Close(if last { IsLast::Yes } else { IsLast::No }));
        }
        let input = input.unwrap_or_else(|| self.input.take_ahead(len, buffers));
        let run = self.run(&segment, len, input);
        segment.plaintext_len += len as u64;
        self.segment = Some(segment);
        Ok(Step::Run(run))
    }
}

impl PlainInput {
    /// The first `len` bytes that were read ahead; the rest stays.
    fn take_ahead(&mut self, taken: usize, buffers: &Buffers) -> Input {
        let PlainInput::Piped { ahead, len, .. } = self else { return Input::Bytes(Vec::new()) };
        let buffer = std::mem::take(ahead);
        if taken < *len {
            let mut rest = buffers.take();
            rest[..*len - taken].copy_from_slice(&buffer[taken..*len]);
            *ahead = rest;
        }
        *len -= taken;
        Input::Bytes(buffer)
    }
}

/// Reads until a run is there or the source ends. False if the patience ran out before.
fn read_ahead(
    source: &mut dyn Source,
    ahead: &mut Vec<u8>,
    len: &mut usize,
    ended: &mut bool,
    frames_per_run: u32,
    envelope: &Envelope,
    buffers: &Buffers,
) -> Result<bool, Error> {
    let run_len = frames_per_run as usize * envelope.shape().frame_len() as usize;
    if ahead.is_empty() {
        *ahead = buffers.take();
    }
    while *len < run_len && !*ended {
        let arrival = source.read_within(&mut ahead[*len..run_len], PATIENCE);
        match arrival.map_err(|error| Error::io("the input could not be read", error))? {
            Arrival::Bytes(count) => *len += count,
            Arrival::End => *ended = true,
            Arrival::NothingYet => return Ok(false),
        }
    }
    Ok(true)
}

impl SealFeed for PlainFeed<'_> {
    type Error = Error;

    fn next(&mut self, buffers: &Buffers) -> Result<Step<IsLast, NoEnd>, Error> {
        match self.segment.take() {
            None => self.begin().map(Step::Segment),
            Some(segment) => self.step(segment, buffers),
        }
    }

    fn close(
        &mut self,
        segment: SegmentIndex,
        worker: &FrameWorker,
        fields: &ClosingFields,
    ) -> Result<(Vec<u8>, ChainValue), Error> {
        let schedule = self.envelope.schedule.as_ref().expect("who seals has the key");
        if fields.last {
            self.check_unchanged()?;
        }
        let closing = worker.seal_closing(fields);
        let chain = ChainValue::after(self.envelope.preamble.digest, &closing);
        let place = self.geometry.segment(segment, fields.plaintext_len);
        self.ledger.push(IndexEntry {
            wire_offset: place.wire_offset,
            wire_len: place.wire_len,
            plaintext_offset: place.plaintext_offset,
            plaintext_len: fields.plaintext_len as u32,
            frame_count: fields.frame_count,
            attempt_salt: self.salts.pop_front().expect("a segment is closed once"),
            digest: fields.digest,
        });
        let mut tail = closing.to_vec();
        if self.ledger.page_is_due(fields.last) {
            tail.extend(self.ledger.end_page(|page| schedule.page_mac(page)));
        }
        if fields.last {
            tail.extend(self.ledger.end(schedule, chain));
        }
        Ok((tail, chain))
    }
}

impl PlainFeed<'_> {
    /// Before the last TERMINATOR: the input is still what it was when it was opened.
    fn check_unchanged(&self) -> Result<(), Error> {
        let PlainInput::Placed { source, .. } = &self.input else { return Ok(()) };
        let changed =
            source.changed().map_err(|error| Error::io("the input could not be examined", error))?;
        if changed { Err(Error::input_changed()) } else { Ok(()) }
    }
}
