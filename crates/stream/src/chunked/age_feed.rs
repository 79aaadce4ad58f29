//! Sealing an age file: plaintext cut into chunks, in runs, whose place in the file is arithmetic.
//! It knows the lengths of chunks; `foreign` seals them.

use std::collections::VecDeque;
use std::sync::Arc;

use cofferdam_io::ReadAt;
use foreign::AgeSealing;
use frame_worker::{
    ChainValue, ChunkFault, ChunkRun, ClosingFields, FrameIndex, FrameWorker, SegmentDigest, SegmentIndex,
};
use segment_worker::{Buffers, Edges, Input, IsLast, Run, SealFeed, SegmentPlan, Step, TrailerOnly};
use sources::Source;

use super::runs::NO_CHAIN;
use super::window::{ChunkWindow, Filled};
use crate::Error;

/// Plaintext on its way into an age file.
pub(crate) struct AgeFeed {
    input: AgeInput,
    sealing: Arc<AgeSealing>,
    /// Plaintext bytes of a run: whole chunks.
    run_len: usize,
    segments: u64,
    plaintext_len: u64,
    due: VecDeque<Step<IsLast, TrailerOnly>>,
}

/// Where plaintext comes from.
pub(crate) enum AgeInput {
    /// It lies still: jobs read it themselves.
    Seekable { source: Arc<dyn ReadAt>, len: u64 },
    /// It comes when it comes. Which chunk is the last, the byte behind it says.
    Piped(ChunkWindow<Box<dyn Source>>),
}

impl AgeInput {
    /// All of `source`.
    pub(crate) fn new(source: Box<dyn Source>) -> AgeInput {
        match source.positioned() {
            Some(source) => AgeInput::Seekable { len: source.len(), source },
            None => AgeInput::Piped(ChunkWindow::of_input(source)),
        }
    }

    /// Bytes in all, where that is known.
    pub(crate) fn len(&self) -> Option<u64> {
        match self {
            AgeInput::Seekable { len, .. } => Some(*len),
            AgeInput::Piped(_) => None,
        }
    }
}

/// What comes next of the plaintext.
enum Next {
    Run {
        len: usize,
        input: Input,
        last: IsLast,
    },
    /// There is nothing at all.
    Empty,
    NotYet,
}

impl AgeFeed {
    /// `run_len` plaintext bytes go into a run: a multiple of a chunk's.
    pub(crate) fn new(input: AgeInput, sealing: Arc<AgeSealing>, run_len: usize) -> AgeFeed {
        AgeFeed { input, sealing, run_len, segments: 0, plaintext_len: 0, due: VecDeque::new() }
    }

    fn next_run(&mut self, buffers: &Buffers) -> Result<Next, Error> {
        match &mut self.input {
            AgeInput::Seekable { len: 0, .. } => Ok(Next::Empty),
            AgeInput::Seekable { source, len } => {
                let left = *len - self.plaintext_len;
                let run_len = left.min(self.run_len as u64);
                let last = if run_len == left { IsLast::Yes } else { IsLast::No };
                Ok(Next::Run { len: run_len as usize, input: Input::Place(source.clone()), last })
            }
            AgeInput::Piped(window) => {
                if window.fill(self.run_len + 1)? == Filled::NotYet {
                    return Ok(Next::NotYet);
                }
                let ahead = window.ahead();
                let last = if ahead.len() <= self.run_len { IsLast::Yes } else { IsLast::No };
                let len = ahead.len().min(self.run_len);
                if len == 0 {
                    return Ok(Next::Empty);
                }
                let mut buffer = buffers.take()?;
                buffer[..len].copy_from_slice(&ahead[..len]);
                window.pass(len);
                Ok(Next::Run { len, input: Input::Bytes(buffer), last })
            }
        }
    }

    /// The steps of the next run.
    fn run(&mut self, len: usize, input: Option<Input>, last: IsLast) {
        let first = self.plaintext_len / AgeSealing::full().plaintext as u64;
        let head = if self.segments == 0 { self.sealing.head().to_vec() } else { Vec::new() };
        let begin = self.sealing.head().len() as u64 + first * AgeSealing::full().wire as u64;
        let run = input.map(|input| Run {
            first: FrameIndex(0),
            count: 1,
            input,
            input_offset: self.plaintext_len,
            input_len: len,
            edges: Edges::default(),
            output_len: AgeSealing::wire_len(len),
            sink_offset: begin,
        });
        let sealed = SealedRun { sealing: self.sealing.clone(), first, last };
        let plan = SegmentPlan {
            index: SegmentIndex(self.segments),
            worker: Arc::new(FrameWorker::of_chunks(Arc::new(sealed))),
            digest: SegmentDigest::none(),
            sink_offset: begin - head.len() as u64,
            head,
        };
        self.segments += 1;
        self.plaintext_len += len as u64;
        let steps = [Some(Step::Segment(plan)), run.map(Step::Run), Some(Step::Close(last))];
        self.due.extend(steps.into_iter().flatten());
    }

    /// Before the last bytes go out: the input is still what it was when it was opened.
    fn check_unchanged(&self) -> Result<(), Error> {
        let AgeInput::Seekable { source, .. } = &self.input else { return Ok(()) };
        let changed =
            source.changed().map_err(|error| Error::io("the input could not be examined", error))?;
        if changed { Err(Error::input_changed()) } else { Ok(()) }
    }
}

impl SealFeed for AgeFeed {
    type Error = Error;

    fn next(&mut self, buffers: &Buffers) -> Result<Step<IsLast, TrailerOnly>, Error> {
        if self.due.is_empty() {
            match self.next_run(buffers)? {
                Next::Run { len, input, last } => self.run(len, Some(input), last),
                Next::Empty => self.run(0, None, IsLast::Yes),
                Next::NotYet => {}
            }
        }
        Ok(self.due.pop_front().unwrap_or(Step::NothingYet))
    }

    /// An age file has nothing behind its chunks. A file of no plaintext is one chunk of none, which is no run.
    fn close(
        &mut self,
        _: SegmentIndex,
        _: &FrameWorker,
        fields: &ClosingFields,
        _: u64,
    ) -> Result<(Vec<u8>, ChainValue), Error> {
        if fields.last {
            self.check_unchanged()?;
        }
        let mut tail = Vec::new();
        if fields.plaintext_len == 0 {
            tail.resize(AgeSealing::wire_len(0), 0);
            self.sealing.seal(0, true, &[], &mut tail);
        }
        Ok((tail, NO_CHAIN))
    }
}

/// The chunks of one run, to be sealed.
struct SealedRun {
    sealing: Arc<AgeSealing>,
    first: u64,
    last: IsLast,
}

impl ChunkRun for SealedRun {
    fn open(&self, _: &[u8], _: &mut [u8]) -> Result<(), ChunkFault> {
        unreachable!("what is sealed is not opened")
    }

    fn seal(&self, plaintext: &[u8], wire: &mut [u8]) {
        self.sealing.seal(self.first, self.last == IsLast::Yes, plaintext, wire);
    }
}
