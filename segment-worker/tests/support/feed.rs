//! Feeds that bring a stream step by step, as the test has laid the steps out.
//! They check nothing: what is wrong in a stream is for the engine to find.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cofferdam_io::ReadAt;
use frame_worker::{ChainValue, Closing, ClosingFields, FrameIndex, FrameWorker, SegmentIndex};
use segment_worker::{
    Buffers, Edges, Feed, Input, IsLast, ProvedPlan, ProvedSegments, Run, SegmentPlan, Step, StreamEnd,
    TrailerOnly,
};

use super::stream::{self, Extent, Part, Stream};

/// One step that a feed has yet to make.
#[derive(Clone)]
pub(crate) enum Move {
    Begin { index: u64, plaintext_at: usize },
    Run(Extent),
    Close(Closing),
    Proved(Part),
    End(StreamEnd),
    Nothing,
    Fail,
}

/// The feed's own failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FeedFailed;

/// How a feed brings the bytes of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Supply {
    Bytes,
    Place,
    /// As a place, with the header and the closing frames of each segment as edges of its runs.
    PlaceWithEdges,
}

/// Bytes that jobs read by themselves; `on_read` is told of each read, by number and offset, before it is done.
pub(crate) struct Wire {
    pub(crate) bytes: Vec<u8>,
    on_read: Box<dyn Fn(usize, u64) + Send + Sync>,
    reads: AtomicUsize,
}

/// Brings a sealed stream.
pub(crate) struct OpenFeed<'a> {
    pub(crate) moves: VecDeque<Move>,
    wire: Arc<Wire>,
    supply: Supply,
    calls: Calls<'a>,
    end: Option<StreamEnd>,
    /// The closing frames it has been asked about.
    pub(crate) closed: Vec<(u64, Closing)>,
    /// The segments that are not read.
    proved: ProvedSegments,
    /// The segment whose closing frames it refuses.
    fail_at_closing: Option<u64>,
}

/// Brings a plaintext, cut as a sealed stream of it is.
pub(crate) struct SealFeed<'a> {
    steps: VecDeque<SealMove>,
    plaintext: Arc<Wire>,
    supply: Supply,
    calls: Calls<'a>,
    /// The segment whose closing frames cannot be made.
    pub(crate) fail_to_close: Option<u64>,
}

enum SealMove {
    Begin { index: u64, sink_offset: usize },
    Run(Extent),
    Close(IsLast),
    End(Vec<u8>),
    Fail,
}

/// Tells the test of each call, by number, before it is answered. What it returns is the answer's success.
struct Calls<'a> {
    count: usize,
    on_call: Box<dyn FnMut(usize) -> Result<(), FeedFailed> + 'a>,
}

impl Wire {
    pub(crate) fn new(bytes: Vec<u8>) -> Arc<Wire> {
        Wire::watched(bytes, |_, _| {})
    }

    pub(crate) fn watched(bytes: Vec<u8>, on_read: impl Fn(usize, u64) + Send + Sync + 'static) -> Arc<Wire> {
        Arc::new(Wire { bytes, on_read: Box::new(on_read), reads: AtomicUsize::new(0) })
    }
}

impl ReadAt for Wire {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        // Relaxed: it numbers the reads, and orders nothing.
        (self.on_read)(self.reads.fetch_add(1, Ordering::Relaxed), offset);
        let bytes = self.bytes.get(offset as usize..).and_then(|rest| rest.get(..buffer.len()));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }
}

impl<'a> OpenFeed<'a> {
    pub(crate) fn new(stream: &Stream, supply: Supply) -> OpenFeed<'a> {
        OpenFeed::over(stream, Wire::new(stream.wire.clone()), supply)
    }

    pub(crate) fn over(stream: &Stream, wire: Arc<Wire>, supply: Supply) -> OpenFeed<'a> {
        let mut moves = VecDeque::from([Move::Nothing]);
        for part in &stream.parts {
            moves.push_back(Move::Begin { index: part.index, plaintext_at: part.plaintext_at });
            if supply == Supply::PlaceWithEdges {
                moves.extend(part.runs_with_edges().into_iter().map(Move::Run));
            } else {
                moves.extend(part.runs().into_iter().map(Move::Run));
                moves.push_back(Move::Close(part.closing.clone()));
            }
        }
        moves.push_back(Move::End(stream.end.clone()));
        OpenFeed {
            moves,
            wire,
            supply,
            calls: Calls::untold(),
            end: None,
            closed: Vec::new(),
            proved: ProvedSegments::none(),
            fail_at_closing: None,
        }
    }

    /// The same feed, which reads no segment that is `proved`: what closes them, `says` knows.
    pub(crate) fn with_proved(mut self, says: &Stream, proved: ProvedSegments) -> OpenFeed<'a> {
        let mut skipping = false;
        let moves = std::mem::take(&mut self.moves);
        self.moves.extend(moves.into_iter().filter_map(|step| match step {
            Move::Begin { index, .. } if proved.contains(SegmentIndex(index)) => {
                skipping = true;
                Some(Move::Proved(says.parts[index as usize].clone()))
            }
            Move::Begin { .. } | Move::End(_) => {
                skipping = false;
                Some(step)
            }
            step => (!skipping).then_some(step),
        }));
        self.proved = proved;
        self
    }

    /// The same feed, which fails before segment `segment`.
    pub(crate) fn failing_before(mut self, segment: u64) -> OpenFeed<'a> {
        let begins = |step: &Move| matches!(step, Move::Begin { index, .. } if *index == segment);
        self.moves.truncate(self.moves.iter().position(begins).unwrap());
        self.moves.push_back(Move::Fail);
        self
    }

    /// The same feed, which refuses the closing frames of segment `segment`.
    pub(crate) fn refusing_closing_of(mut self, segment: u64) -> OpenFeed<'a> {
        self.fail_at_closing = Some(segment);
        self
    }

    /// The same feed, which goes on with segment `segment`, or with the end where there is none.
    pub(crate) fn going_on_with(mut self, segment: u64) -> OpenFeed<'a> {
        let goes_on = |step: &Move| match step {
            Move::Begin { index, .. } => *index == segment,
            step => matches!(step, Move::End(_)),
        };
        self.moves.drain(..self.moves.iter().position(goes_on).unwrap());
        self
    }

    /// The same feed, of the segments of `range` alone, for a sink that begins with them; its end says `end`.
    pub(crate) fn of_part(mut self, stream: &Stream, range: Range<usize>, end: StreamEnd) -> OpenFeed<'a> {
        let begin = stream.parts.get(range.start).map_or(0, |part| part.plaintext_at);
        let mut segment = None;
        self.moves.retain_mut(|step| {
            match step {
                Move::Begin { index, plaintext_at } => {
                    segment = Some(*index as usize);
                    *plaintext_at = plaintext_at.saturating_sub(begin);
                }
                Move::Run(extent) => extent.plaintext_at = extent.plaintext_at.saturating_sub(begin),
                _ => {}
            }
            segment.is_some_and(|segment| range.contains(&segment)) && !matches!(step, Move::End(_))
        });
        self.moves.push_back(Move::End(end));
        self
    }

    /// The same feed, which tells of each call.
    pub(crate) fn telling(
        mut self,
        on_call: impl FnMut(usize) -> Result<(), FeedFailed> + 'a,
    ) -> OpenFeed<'a> {
        self.calls.on_call = Box::new(on_call);
        self
    }
}

impl Feed for OpenFeed<'_> {
    type Error = FeedFailed;

    fn next(&mut self, buffers: &Buffers) -> Result<Step<Closing, ()>, FeedFailed> {
        self.calls.tell()?;
        Ok(match self.moves.pop_front().expect("nothing is asked for after the end") {
            Move::Begin { index, plaintext_at } => Step::Segment(SegmentPlan {
                index: SegmentIndex(index),
                worker: stream::worker(index),
                digest: stream::digest(index),
                sink_offset: plaintext_at as u64,
                head: Vec::new(),
            }),
            Move::Run(at) => Step::Run(Run {
                first: FrameIndex(at.first),
                count: at.count,
                input: bring(&self.wire, self.supply, at.wire_at, at.wire_len, buffers),
                input_offset: at.wire_at as u64,
                input_len: at.wire_len,
                edges: if self.supply == Supply::PlaceWithEdges { at.edges } else { Edges::default() },
                output_len: at.plaintext_len,
                sink_offset: at.plaintext_at as u64,
            }),
            Move::Close(closing) => Step::Close(closing),
            Move::Proved(Part { index, plaintext_at, plaintext_len, closing, .. }) => {
                Step::Proved(ProvedPlan {
                    segment: SegmentPlan {
                        index: SegmentIndex(index),
                        worker: stream::worker(index),
                        digest: stream::digest(index),
                        sink_offset: plaintext_at as u64,
                        head: Vec::new(),
                    },
                    proof: self.proved.proof(SegmentIndex(index)).unwrap(),
                    frame_count: closing.fields.frame_count,
                    plaintext_len: plaintext_len as u64,
                    digest: closing.fields.digest,
                    plaintext_digest: None,
                })
            }
            Move::End(end) => {
                self.end = Some(end);
                Step::End(())
            }
            Move::Nothing => Step::NothingYet,
            Move::Fail => return Err(FeedFailed),
        })
    }

    fn check_closing(&mut self, segment: SegmentIndex, closing: &Closing) -> Result<(), FeedFailed> {
        self.closed.push((segment.0, closing.clone()));
        if self.fail_at_closing == Some(segment.0) { Err(FeedFailed) } else { Ok(()) }
    }

    fn end(&mut self) -> Result<StreamEnd, FeedFailed> {
        Ok(self.end.take().expect("the end has been told"))
    }
}

impl<'a> SealFeed<'a> {
    pub(crate) fn new(plaintext: &[u8], supply: Supply) -> SealFeed<'a> {
        SealFeed::over(Wire::new(plaintext.to_vec()), supply)
    }

    pub(crate) fn over(plaintext: Arc<Wire>, supply: Supply) -> SealFeed<'a> {
        let layout = Stream::sealed_from(&plaintext.bytes);
        let mut steps = VecDeque::new();
        for part in &layout.parts {
            steps.push_back(SealMove::Begin { index: part.index, sink_offset: part.wire_at });
            steps.extend(part.runs().into_iter().map(SealMove::Run));
            let last = part.index + 1 == layout.end.segments;
            steps.push_back(SealMove::Close(if last { IsLast::Yes } else { IsLast::No }));
        }
        SealFeed { steps, plaintext, supply, calls: Calls::untold(), fail_to_close: None }
    }

    /// The same feed, which tells of each call.
    pub(crate) fn telling(
        mut self,
        on_call: impl FnMut(usize) -> Result<(), FeedFailed> + 'a,
    ) -> SealFeed<'a> {
        self.calls.on_call = Box::new(on_call);
        self
    }

    /// All that is left when the last segment is there.
    pub(crate) fn leftover(bytes: &[u8]) -> SealFeed<'a> {
        let mut feed = SealFeed::new(&[], Supply::Bytes);
        feed.steps = VecDeque::from([SealMove::End(bytes.to_vec())]);
        feed
    }

    /// The same feed, which fails before segment `segment`.
    pub(crate) fn failing_before(mut self, segment: u64) -> SealFeed<'a> {
        self.steps.truncate(self.begin_of(segment));
        self.steps.push_back(SealMove::Fail);
        self
    }

    /// The same feed, which goes on with segment `segment`.
    pub(crate) fn going_on_with(mut self, segment: u64) -> SealFeed<'a> {
        self.steps.drain(..self.begin_of(segment));
        self
    }

    fn begin_of(&self, segment: u64) -> usize {
        let begins = |step: &SealMove| matches!(step, SealMove::Begin { index, .. } if *index == segment);
        self.steps.iter().position(begins).unwrap()
    }

    pub(crate) fn step_count(&self) -> usize {
        self.steps.len()
    }
}

impl segment_worker::SealFeed for SealFeed<'_> {
    type Error = FeedFailed;

    fn next(&mut self, buffers: &Buffers) -> Result<Step<IsLast, TrailerOnly>, FeedFailed> {
        self.calls.tell()?;
        Ok(match self.steps.pop_front().expect("nothing is asked for after the last segment") {
            SealMove::Begin { index, sink_offset } => Step::Segment(SegmentPlan {
                index: SegmentIndex(index),
                worker: stream::worker(index),
                digest: stream::digest(index),
                sink_offset: sink_offset as u64,
                head: stream::head(index).to_vec(),
            }),
            SealMove::Run(at) => Step::Run(Run {
                first: FrameIndex(at.first),
                count: at.count,
                input: bring(&self.plaintext, self.supply, at.plaintext_at, at.plaintext_len, buffers),
                input_offset: at.plaintext_at as u64,
                input_len: at.plaintext_len,
                edges: Edges::default(),
                output_len: at.wire_len,
                sink_offset: at.wire_at as u64,
            }),
            SealMove::Close(last) => Step::Close(last),
            SealMove::End(leftover) => Step::End(TrailerOnly(leftover)),
            SealMove::Fail => return Err(FeedFailed),
        })
    }

    fn close(
        &mut self,
        segment: SegmentIndex,
        worker: &FrameWorker,
        fields: &ClosingFields,
        _frames_len: u64,
    ) -> Result<(Vec<u8>, ChainValue), FeedFailed> {
        if self.fail_to_close == Some(segment.0) {
            return Err(FeedFailed);
        }
        let bytes = worker.seal_closing(fields);
        let chain = worker.open_closing(&bytes).unwrap().chain_after;
        Ok((bytes, chain))
    }
}

impl Calls<'_> {
    fn untold() -> Self {
        Calls { count: 0, on_call: Box::new(|_| Ok(())) }
    }

    fn tell(&mut self) -> Result<(), FeedFailed> {
        self.count += 1;
        (self.on_call)(self.count - 1)
    }
}

fn bring(wire: &Arc<Wire>, supply: Supply, at: usize, len: usize, buffers: &Buffers) -> Input {
    match supply {
        Supply::Place | Supply::PlaceWithEdges => Input::Place(wire.clone()),
        Supply::Bytes => {
            let mut buffer = buffers.take().unwrap();
            buffer[..len].copy_from_slice(&wire.bytes[at..at + len]);
            Input::Bytes(buffer)
        }
    }
}
