//! Ranges that a caller will read: their frames are fetched and opened before, in the order of the list, several at once from afar.
//! It knows no position. What it does not get done, whoever reads does.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::cache::LoadGuard;
use super::fetch::FetchTurn;
use super::frames::{Frames, Held, Key, sealed_len};
use super::segment::SegmentFrames;
use crate::{Error, ErrorKind};

/// A list that is being worked off.
struct Warming<'a> {
    frames: &'a Frames,
    /// Of a far source, unless a position reads on there.
    turn: Option<FetchTurn>,
    /// What was asked for and not released.
    asked: Vec<Range<u64>>,
    /// What was begun and not opened, in that order.
    runs: VecDeque<Run<'a>>,
    /// How many frames more are kept.
    room: usize,
    /// The first that was passed over, and how many.
    fault: Option<Error>,
    faults: usize,
}

/// Frames in a row that nobody else loads: whoever needs one waits for it.
struct Run<'a> {
    segment: Arc<SegmentFrames>,
    frames: Range<u32>,
    guard: LoadGuard<'a, Key, Held>,
}

/// A piece of the list within one segment.
struct Piece {
    offset: u64,
    end: u64,
    /// What was asked for of the segment's beginning.
    head: Vec<Range<u64>>,
}

impl Frames {
    /// Fetches, opens and keeps the frames of `ranges`, which are within the stream, as far as there is room. What is damaged, or is not
    /// to be had, is passed over.
    ///
    /// # Errors
    /// The first fault that was passed over, at the end; at once what concerns more than its place.
    pub(super) fn warm(&self, ranges: &[Range<u64>]) -> Result<(), Error> {
        let kept_max = self.opened.len_max() / self.frame_len.max(1);
        let room = kept_max.saturating_sub(self.plan.frames_per_run as usize);
        let turn = self.fetch.as_ref().and_then(|fetch| fetch.turn(0));
        let (asked, runs) = (Vec::new(), VecDeque::new());
        let mut warming = Warming { frames: self, turn, asked, runs, room, fault: None, faults: 0 };
        let mut left = ranges.iter().filter(|range| !range.is_empty()).cloned();
        let mut rest = None;
        while warming.room > 0 {
            let pieces = warming.begin_heads(&mut rest, &mut left)?;
            if pieces.is_empty() {
                break;
            }
            warming.begin_frames(pieces)?;
        }
        warming.finish()?;
        warming.fault.take().map_or(Ok(()), Err)
    }

    /// How many segments are looked at together: as many as are kept for certain.
    fn segments_at_once(&self) -> usize {
        let shape = self.envelope.shape();
        let segment_len = SegmentFrames::len_of(shape, shape.frame_count(shape.segment_len()));
        (self.around.len_max() / 4 / segment_len).clamp(1, SEGMENTS_MAX)
    }
}

impl<'a> Warming<'a> {
    /// The next pieces, with the beginnings of their segments asked for.
    fn begin_heads(
        &mut self,
        rest: &mut Option<Range<u64>>,
        left: &mut impl Iterator<Item = Range<u64>>,
    ) -> Result<Vec<Piece>, Error> {
        let (mut pieces, mut asked) = (Vec::new(), Vec::new());
        while pieces.len() < PIECES_MAX && asked.len() < self.frames.segments_at_once() {
            self.frames.resources.check_cancelled()?;
            let Some(range) = rest.take().or_else(|| left.next()) else { break };
            let (index, entry) = match self.frames.locate(range.start, self.frames.resources.stop()) {
                Ok(located) => located,
                Err(error) => {
                    self.pass_over(error)?;
                    continue;
                }
            };
            let end = range.end.min(entry.plaintext_offset + u64::from(entry.plaintext_len));
            let mut head = Vec::new();
            if self.turn.is_some() && !self.frames.has_segment(index) && !asked.contains(&index) {
                head = SegmentFrames::head_ranges(&self.frames.envelope, &entry);
                // What is not taken on is read all the same.
                head = head.into_iter().map_while(|range| self.ask(&range).then_some(range)).collect();
            }
            if asked.last() != Some(&index) {
                asked.push(index);
            }
            pieces.push(Piece { offset: range.start, end, head });
            *rest = Some(end..range.end).filter(|rest| !rest.is_empty());
        }
        Ok(pieces)
    }

    /// Has the frames of `pieces` fetched that nobody keeps or loads.
    fn begin_frames(&mut self, pieces: Vec<Piece>) -> Result<(), Error> {
        // Fetched ranges are opened in the order in which they were asked for: the frames of the pieces before, these heads, and then
        // the frames of these pieces.
        self.finish()?;
        let mut begun = Vec::with_capacity(pieces.len());
        for Piece { offset, end, head } in pieces {
            let waited = head.iter().try_for_each(|range| self.wait_or_release(range));
            let segment = waited.and_then(|()| self.frames.segment_at(offset, self.frames.resources.stop()));
            head.iter().for_each(|range| self.release(range));
            match segment {
                Ok(segment) => begun.push((segment, offset, end)),
                Err(error) => self.pass_over(error)?,
            }
        }
        for (segment, offset, end) in begun {
            let (mut frame, end) = (segment.frame_at(offset), segment.frame_at(end - 1) + 1);
            while frame < end && self.room > 0 {
                let run_end = end.min(frame + self.frames.plan.frames_per_run);
                frame = self.begin_run(&segment, frame..run_end)?;
            }
        }
        Ok(())
    }

    /// Begins the first of `wanted` that nobody keeps or loads, and says where to go on.
    fn begin_run(&mut self, segment: &Arc<SegmentFrames>, wanted: Range<u32>) -> Result<u32, Error> {
        let frames = self.frames;
        frames.resources.check_cancelled()?;
        let Some(guard) = frames.begin_load(segment, wanted.clone()) else { return Ok(wanted.start + 1) };
        let run = wanted.start..wanted.start + guard.count() as u32;
        self.room = self.room.saturating_sub(run.len());
        let end = run.end;
        let wire = segment.wire_of(run.clone());
        // What is not taken on though nothing is before it, is read with a request of its own.
        while self.turn.is_some() && !self.ask(&wire) && self.open_first()? {}
        self.runs.push_back(Run { segment: segment.clone(), frames: run, guard });
        if self.turn.is_none() {
            self.open_first()?;
        }
        Ok(end)
    }

    fn finish(&mut self) -> Result<(), Error> {
        while self.open_first()? {}
        Ok(())
    }

    /// Opens the run that was begun first, when it has come. False if there is none.
    fn open_first(&mut self) -> Result<bool, Error> {
        let Some(run) = self.runs.pop_front() else { return Ok(false) };
        let wire = run.segment.wire_of(run.frames.clone());
        let opened = self.open_run(run, &wire);
        self.release(&wire);
        opened.or_else(|error| self.pass_over(error))?;
        Ok(true)
    }

    fn open_run(
        &mut self,
        Run { segment, frames: run, guard }: Run<'_>,
        wire: &Range<u64>,
    ) -> Result<(), Error> {
        let frames = self.frames;
        let stop = frames.resources.stop();
        frames.resources.take_of_rate(sealed_len(&segment, run.clone()), stop)?;
        self.wait_or_release(wire)?;
        // Other reads end by themselves: none of them waits for a frame while it holds memory.
        let _lent = frames.memory.lend(frames.read_len(&run), stop)?;
        frames.open_frames(&segment, run, &guard, stop, |_, _| {})
    }

    /// Remembers a fault of one place, if it is the first.
    ///
    /// # Errors
    /// It is of more than that, or there are too many.
    fn pass_over(&mut self, error: Error) -> Result<(), Error> {
        if !is_of_one_place(&error) {
            return Err(error);
        }
        self.faults += 1;
        let first = self.fault.take().unwrap_or(error);
        if self.faults == FAULTS_MAX {
            return Err(first);
        }
        self.fault = Some(first);
        Ok(())
    }

    /// Whether `range` is taken on.
    fn ask(&mut self, range: &Range<u64>) -> bool {
        let is_taken = self.turn.as_ref().is_some_and(|turn| turn.ask(range.clone()));
        if is_taken {
            self.asked.push(range.clone());
        }
        is_taken
    }

    /// Waits for `range`, if it was asked for. A request that fails takes all with it that was asked for: what was begun is then read with
    /// requests of its own, and fails for itself alone.
    ///
    /// # Errors
    /// It is of more than one place.
    fn wait_or_release(&mut self, range: &Range<u64>) -> Result<(), Error> {
        match self.wait(range) {
            Err(error) if is_of_one_place(&error) => {
                self.release_all();
                Ok(())
            }
            waited => waited,
        }
    }

    /// Waits for `range`, if it was asked for.
    fn wait(&self, range: &Range<u64>) -> Result<(), Error> {
        match &self.turn {
            Some(turn) if self.asked.contains(range) => turn.wait(self.frames, range),
            _ => Ok(()),
        }
    }

    fn release(&mut self, range: &Range<u64>) {
        if let Some(turn) = &self.turn
            && let Some(at) = self.asked.iter().position(|asked| asked == range)
        {
            turn.release(self.asked.swap_remove(at));
        }
    }

    fn release_all(&mut self) {
        if let Some(turn) = &self.turn {
            self.asked.drain(..).for_each(|range| turn.release(range));
        }
    }
}

impl Drop for Warming<'_> {
    fn drop(&mut self) {
        self.release_all();
    }
}

/// Whether others may be had nevertheless.
fn is_of_one_place(error: &Error) -> bool {
    use ErrorKind::{Damaged, Denied, Io, Truncated};
    matches!(error.kind(), Damaged | Denied | Io | Truncated)
}

/// Segments whose beginnings are fetched together.
const SEGMENTS_MAX: usize = 64;
/// Pieces of the list that are looked at together.
const PIECES_MAX: usize = 1024;
/// Faults of single places after which the rest of the list is left to whoever reads it: the place itself may be gone.
const FAULTS_MAX: usize = 16;
