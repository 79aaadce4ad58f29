//! Opening a stream that is read in order: chunks are cut as they come, and opened by the pool all the same.
//! What the format asks of their order, its cutter knows.

use std::collections::VecDeque;

use foreign::{Chunk, Cut, Cutter, Fault, Format, Wholeness};
use frame_worker::Closing;
use segment_worker::{Buffer, Buffers, Feed, Input, Step, StreamEnd};
use sources::Source;

use super::runs::{Gathered, NO_CHAIN, RunLimits, RunSegments};
use super::window::{ChunkWindow, Filled};
use super::{Unproven, ending_of};
use crate::Error;

/// A stream of chunks, read once from front to back.
pub(crate) struct ChunksInOrder<S> {
    window: ChunkWindow<S>,
    cutter: Box<dyn Cutter>,
    format: Format,
    unproven: Unproven,
    limits: RunLimits,
    segments: RunSegments,
    gathering: Option<Gathering>,
    due: VecDeque<Step<Closing, ()>>,
    /// Found behind chunks that are judged before it.
    fault: Option<Error>,
    /// The last segment has been told.
    ended: bool,
}

/// A run on its way.
struct Gathering {
    chunks: Gathered,
    buffer: Buffer,
    /// Where it begins in the source.
    at: u64,
}

impl<S: Source> ChunksInOrder<S> {
    /// What comes next in `window`, which `cutter` cuts.
    pub(crate) fn new(
        window: ChunkWindow<S>,
        cutter: Box<dyn Cutter>,
        format: Format,
        unproven: Unproven,
        segments: RunSegments,
        limits: RunLimits,
    ) -> ChunksInOrder<S> {
        ChunksInOrder {
            window,
            cutter,
            format,
            unproven,
            limits,
            segments,
            gathering: None,
            due: VecDeque::new(),
            fault: None,
            ended: false,
        }
    }

    /// What can be said of the stream, once all of it has come.
    pub(crate) fn claim(&self) -> Wholeness {
        self.cutter.claim()
    }

    /// Cuts until a run is full, the stream has ended, or nothing more has come. `false` says the last.
    fn gather(&mut self, buffers: &Buffers) -> Result<bool, Error> {
        loop {
            let has_room = self.gathering.as_ref().is_none_or(|run| run.chunks.has_room(&self.limits));
            if !has_room {
                self.hand_out(false);
                return Ok(true);
            }
            let at = self.window.at();
            let cut = self.cutter.cut(self.window.ahead(), self.window.is_all());
            match cut.map_err(|fault| Error::foreign(self.placed(fault, at)))? {
                Cut::More(len) => {
                    if self.window.fill(len)? == Filled::NotYet {
                        return Ok(false);
                    }
                }
                Cut::Chunk(chunk) => self.take(chunk, buffers)?,
                Cut::Pass(len) => self.window.pass(len),
                Cut::End => return self.end(),
            }
        }
    }

    /// Where a fault is that has no place of its own.
    fn placed(&self, fault: Fault, at: u64) -> Fault {
        Fault { at: fault.at.or(Some(at)), ..fault }
    }

    fn take(&mut self, chunk: Chunk, buffers: &Buffers) -> Result<(), Error> {
        let run = match &mut self.gathering {
            Some(run) => run,
            none => {
                let (chunks, at) = (Gathered::default(), self.window.at());
                none.insert(Gathering { chunks, buffer: buffers.take()?, at })
            }
        };
        let (begin, len) = (run.chunks.wire_len, chunk.lens.wire);
        run.buffer[begin..begin + len].copy_from_slice(&self.window.ahead()[..len]);
        run.chunks.push(chunk);
        self.window.pass(len);
        Ok(())
    }

    /// The format says that the stream ends here: then nothing may follow.
    fn end(&mut self) -> Result<bool, Error> {
        if self.window.fill(1)? == Filled::NotYet {
            return Ok(false);
        }
        if !self.window.ahead().is_empty() {
            let what = format!("something follows the end of {}", self.format.with_article());
            return Err(Error::foreign(Fault::damaged(what).at(self.window.at())));
        }
        self.hand_out(true);
        self.ended = true;
        Ok(true)
    }

    /// The run that has been gathered, or none, becomes the next segment.
    fn hand_out(&mut self, last: bool) {
        let (chunks, input) = match self.gathering.take() {
            Some(Gathering { chunks, buffer, at }) => (chunks, Some((Input::Bytes(buffer), at))),
            None => (Gathered::default(), None),
        };
        self.due.extend(self.segments.steps(chunks, input, last).into_iter().flatten());
    }
}

impl<S: Source> Feed for ChunksInOrder<S> {
    type Error = Error;

    fn next(&mut self, buffers: &Buffers) -> Result<Step<Closing, ()>, Error> {
        if let Some(step) = self.due.pop_front() {
            return Ok(step);
        }
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        if self.ended {
            return Ok(Step::End(()));
        }
        match self.gather(buffers) {
            Ok(true) => {}
            Ok(false) => return Ok(Step::NothingYet),
            // The chunks that came before the fault are judged before it.
            Err(fault) if self.gathering.is_some() => {
                self.hand_out(false);
                self.fault = Some(fault);
            }
            Err(fault) => return Err(fault),
        }
        Ok(self.due.pop_front().unwrap_or(Step::NothingYet))
    }

    fn end(&mut self) -> Result<StreamEnd, Error> {
        let RunSegments { segments, plaintext_len, .. } = self.segments;
        let ending = ending_of(self.cutter.claim(), self.format, self.unproven)?;
        Ok(StreamEnd { segments, plaintext_len, stream_digest: NO_CHAIN, ending })
    }
}
