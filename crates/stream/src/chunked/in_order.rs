//! Opening a stream that is read in order: chunks are cut as they come, and opened by the pool all the same.
//! What the format asks of their order, its cutter knows.

use std::collections::VecDeque;
use std::sync::Arc;

use cofferdam_io::ReadAt;
use foreign::{Chunk, ChunkLens, Cut, Cutter, Fault, Format, Wholeness};
use frame_worker::Closing;
use segment_worker::{Buffer, Buffers, Ending, Feed, Input, Step, StreamEnd};
use sources::Source;

use super::runs::{Gathered, NO_CHAIN, RunLimits, RunSegments};
use super::window::{ChunkWindow, Filled};
use super::{Unproven, ending_of};
use crate::Error;

/// A stream of chunks, read once from front to back.
pub(crate) struct ChunksInOrder<S> {
    window: ChunkWindow<S>,
    /// Where it all lies, if it lies anywhere.
    place: Option<Arc<dyn ReadAt>>,
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
    /// What comes next in `window`, which `cutter` cuts. It may be read from a `place`.
    pub(crate) fn new(
        window: ChunkWindow<S>,
        place: Option<Arc<dyn ReadAt>>,
        cutter: Box<dyn Cutter>,
        format: Format,
        unproven: Unproven,
        segments: RunSegments,
        limits: RunLimits,
    ) -> ChunksInOrder<S> {
        ChunksInOrder {
            window,
            place,
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
            match cut.map_err(|fault| Error::foreign(placed(fault, at)))? {
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

    fn take(&mut self, chunk: Chunk, buffers: &Buffers) -> Result<(), Error> {
        let run = match &mut self.gathering {
            Some(run) => run,
            none => {
                let (chunks, at) = (Gathered::default(), self.window.at());
                none.insert(Gathering { chunks, buffer: buffers.take()?, at })
            }
        };
        let (begin, ChunkLens { wire: len, plaintext }) = (run.chunks.wire_len, chunk.lens);
        let longest = self.limits.longest;
        // Buffers are for what the head said, which may have been read before the source changed.
        if len > longest.wire || plaintext > longest.plaintext {
            let what = "a chunk is longer than the beginning of the stream says that any is";
            return Err(Error::foreign(Fault::damaged(what).in_chunk(chunk.index).at(self.window.at())));
        }
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

    /// What nothing in the stream proves to be whole has at least been all that there was, from the beginning to now.
    fn check_unchanged(&self) -> Result<(), Error> {
        let Some(place) = &self.place else { return Ok(()) };
        let changed = place.changed().map_err(|error| {
            Error::io("whether the sealed stream has changed could not be examined", error)
        })?;
        if changed { Err(Error::stream_changed()) } else { Ok(()) }
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
        if ending == Ending::Asserted {
            self.check_unchanged()?;
        }
        Ok(StreamEnd { segments, plaintext_len, stream_digest: NO_CHAIN, ending })
    }
}

/// Where a fault is that has no place of its own.
fn placed(fault: Fault, at: u64) -> Fault {
    Fault { at: fault.at.or(Some(at)), ..fault }
}
