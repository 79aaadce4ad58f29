//! Sealing: plaintext cut into segments and runs, and what the format wants around them.
//! Where everything lands on the wire is arithmetic; only the last segment may be short.

use std::collections::VecDeque;
use std::sync::Arc;

use cofferdam_io::ReadAt;
use frame_worker::{ChainValue, ClosingFields, FrameIndex, FrameWorker, SegmentIndex};
use framing::limits::{SEGMENT_HEADER_LEN, SEGMENTS_MAX};
use framing::{IndexEntry, SegmentHeader, StreamGeometry};
use keys::KeySchedule;
use segment_worker::{Buffers, Edges, Input, IsLast, Run, SealFeed, SegmentPlan, Step, TrailerOnly};
use sources::Source;

use super::ahead::{Filled, ReadAhead};
use crate::envelope::Envelope;
use crate::trailer::IndexBuilder;
use crate::{Error, ErrorKind, Remedy};

/// Plaintext on its way to be sealed.
pub(crate) struct PlainFeed<'a> {
    input: PlainInput,
    envelope: &'a Envelope,
    head: Vec<u8>,
    geometry: StreamGeometry,
    frames_per_run: u32,
    ledger: IndexBuilder,
    chain: ChainValue,
    salts: VecDeque<[u8; 16]>,
    segment: Option<OpenSegment>,
    segments_begun: u64,
}

/// Where plaintext comes from.
pub(crate) enum PlainInput {
    /// It lies still: jobs read it themselves. It is asked once how long it is, so that all who reckon with that agree.
    Seekable { source: Arc<dyn ReadAt>, len: u64 },
    /// It comes when it comes.
    Piped(ReadAhead),
}

struct OpenSegment {
    index: SegmentIndex,
    plaintext_offset: u64,
    plaintext_len: u64,
}

impl PlainInput {
    /// All of `source`.
    pub(crate) fn new(source: Box<dyn Source>) -> PlainInput {
        match source.positioned() {
            Some(source) => PlainInput::Seekable { len: source.len(), source },
            None => PlainInput::Piped(ReadAhead::new(source)),
        }
    }

    /// Bytes in all, where that is known.
    pub(crate) fn len(&self) -> Option<u64> {
        match self {
            PlainInput::Seekable { len, .. } => Some(*len),
            PlainInput::Piped(_) => None,
        }
    }
}

impl<'a> PlainFeed<'a> {
    /// What of `input` comes behind the segments of `ledger`, whose last has the chain value `chain`. `head` is what
    /// stands before the first that is still to be sealed.
    pub(crate) fn new(
        input: PlainInput,
        envelope: &'a Envelope,
        head: Vec<u8>,
        ledger: IndexBuilder,
        chain: ChainValue,
        frames_per_run: u32,
    ) -> PlainFeed<'a> {
        PlainFeed {
            input,
            geometry: StreamGeometry::new(envelope.shape(), envelope.metadata_len),
            segments_begun: ledger.segments(),
            ledger,
            chain,
            envelope,
            head,
            frames_per_run,
            salts: VecDeque::new(),
            segment: None,
        }
    }

    fn schedule(&self) -> &'a KeySchedule {
        self.envelope.schedule.as_ref().expect("who seals has the key")
    }

    fn begin(&mut self) -> Result<SegmentPlan, Error> {
        let index = SegmentIndex(self.segments_begun);
        if index.0 >= SEGMENTS_MAX {
            return Err(too_many_segments());
        }
        let place = self.geometry.segment(index, 0);
        let attempt_salt = keys::random().map_err(Error::key)?;
        let header = SegmentHeader { index, plaintext_offset: place.plaintext_offset, attempt_salt };
        let (worker, digest) = self.envelope.segment(&header)?;
        let mut head = std::mem::take(&mut self.head);
        // Behind what an earlier attempt has sealed: no other segment begins where a page is still due.
        head.extend(self.page(IsLast::No));
        let sink_offset = self.envelope.origin() + place.wire_offset - head.len() as u64;
        head.extend(header.to_bytes());
        self.salts.push_back(attempt_salt);
        self.segments_begun += 1;
        self.segment =
            Some(OpenSegment { index, plaintext_offset: place.plaintext_offset, plaintext_len: 0 });
        Ok(SegmentPlan { index, worker, digest, sink_offset, head })
    }

    /// The run of `len` bytes that follows in `segment`.
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
            edges: Edges::default(),
            output_len: FrameWorker::run_wire_len(shape, len),
            sink_offset: self.envelope.origin() + wire_offset + u64::from(first) * shape.frame_wire_len(),
        }
    }

    /// The next run of `segment`, or its close. Bytes behind a full segment are looked for too: they say whether it is
    /// the last.
    fn step(
        &mut self,
        mut segment: OpenSegment,
        buffers: &Buffers,
    ) -> Result<Step<IsLast, TrailerOnly>, Error> {
        let shape = self.envelope.shape();
        let run_len =
            (u64::from(self.frames_per_run) * u64::from(shape.frame_len())).min(shape.segment_len());
        let room = run_len.min(shape.segment_len() - segment.plaintext_len);
        let offset = segment.plaintext_offset + segment.plaintext_len;
        let (len, input) = match &mut self.input {
            PlainInput::Seekable { source, len } => {
                let left = len.checked_sub(offset).ok_or_else(Error::input_changed)?;
                (left, Some(Input::Place(source.clone())))
            }
            PlainInput::Piped(ahead) => {
                let want = if room == 0 { run_len } else { room };
                match ahead.fill(want as usize, buffers)? {
                    Filled::Bytes(len) => (len as u64, (room > 0 && len > 0).then(|| ahead.take())),
                    Filled::NotYet => {
                        self.segment = Some(segment);
                        return Ok(Step::NothingYet);
                    }
                }
            }
        };
        match input {
            Some(input) if room > 0 && len > 0 => {
                let len = len.min(room);
                let run = self.run(&segment, len as usize, input);
                segment.plaintext_len += len;
                self.segment = Some(segment);
                Ok(Step::Run(run))
            }
            _ => Ok(Step::Close(if len == 0 { IsLast::Yes } else { IsLast::No })),
        }
    }
}

impl SealFeed for PlainFeed<'_> {
    type Error = Error;

    fn next(&mut self, buffers: &Buffers) -> Result<Step<IsLast, TrailerOnly>, Error> {
        match self.segment.take() {
            None if self.is_sealed() => {
                self.check_unchanged()?;
                Ok(Step::End(TrailerOnly(self.trailer(self.chain))))
            }
            None => self.begin().map(Step::Segment),
            Some(segment) => self.step(segment, buffers),
        }
    }

    fn close(
        &mut self,
        segment: SegmentIndex,
        worker: &FrameWorker,
        fields: &ClosingFields,
        frames_len: u64,
    ) -> Result<(Vec<u8>, ChainValue), Error> {
        if fields.last {
            self.check_unchanged()?;
        }
        let closing = worker.seal_closing(fields);
        let chain = ChainValue::after(self.envelope.preamble.digest, &closing);
        self.ledger.push(IndexEntry {
            wire_offset: self.ledger.wire_len(),
            wire_len: SEGMENT_HEADER_LEN as u64 + frames_len + closing.len() as u64,
            plaintext_offset: segment.0 * self.envelope.shape().segment_len(),
            plaintext_len: fields.plaintext_len as u32,
            frame_count: fields.frame_count,
            attempt_salt: self.salts.pop_front().expect("a segment is closed once"),
            digest: fields.digest,
            plaintext_digest: fields.plaintext_digest,
        });
        let mut tail = closing;
        if fields.last {
            tail.extend(self.trailer(chain));
        } else {
            tail.extend(self.page(IsLast::No));
        }
        Ok((tail, chain))
    }
}

impl PlainFeed<'_> {
    /// Whether an earlier attempt has sealed the last segment already.
    fn is_sealed(&self) -> bool {
        self.ledger.segments() > 0 && self.input.len() == Some(self.ledger.plaintext_len())
    }

    /// The index page that stands behind the segments so far, if one does.
    fn page(&mut self, last: IsLast) -> Vec<u8> {
        if !self.ledger.page_is_due(last == IsLast::Yes) {
            return Vec::new();
        }
        let schedule = self.schedule();
        self.ledger.end_page(|page| schedule.page_mac(page))
    }

    /// All that follows the last segment.
    fn trailer(&mut self, chain: ChainValue) -> Vec<u8> {
        let mut bytes = self.page(IsLast::Yes);
        bytes.extend(self.ledger.end(self.schedule(), chain));
        bytes
    }

    /// Before the last TERMINATOR: the input is still what it was when it was opened.
    fn check_unchanged(&self) -> Result<(), Error> {
        let PlainInput::Seekable { source, .. } = &self.input else { return Ok(()) };
        let changed =
            source.changed().map_err(|error| Error::io("the input could not be examined", error))?;
        if changed { Err(Error::input_changed()) } else { Ok(()) }
    }
}

/// The input would need more segments than a stream may have.
pub(crate) fn too_many_segments() -> Error {
    Error::new(ErrorKind::Limit, "the input is longer than a stream may be with segments of this size")
        .remedied(Remedy::LongerSegments)
}
