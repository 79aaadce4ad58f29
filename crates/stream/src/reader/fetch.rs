//! Reading on from afar: the frames that come next are asked for before they are read, by one position that reads on.
//! It opens none. What was not asked for is read all the same, with a request of its own.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::frames::Frames;
use super::segment::SegmentFrames;
use crate::Error;
use crate::far::FarSource;
use crate::feed::PATIENCE;

/// The far source of a reader, in whose memory one position at a time has something fetched.
pub(super) struct ReaderFetch {
    far: FarSource,
    is_taken: AtomicBool,
}

/// A position's turn to have something fetched. Dropped, it releases all that is left.
pub(super) struct FetchTurn {
    fetch: Arc<ReaderFetch>,
    /// What was asked for and has not been read, in that order.
    asked: VecDeque<Asked>,
    /// Up to where that goes, in the plaintext.
    asked_until: u64,
    /// The segment there whose beginning was asked for.
    head: Option<Head>,
    /// Plaintext bytes that were read in a row.
    read_len: u64,
}

/// A run of frames.
struct Asked {
    wire: Range<u64>,
    plaintext_end: u64,
}

/// What has to be read of a segment before its frames: its header, and its TABLE in a compressed stream.
struct Head {
    segment: u64,
    ranges: Vec<Range<u64>>,
}

impl ReaderFetch {
    /// With `len` bytes of memory, for as long as it lives.
    pub(super) fn new(far: FarSource, len: usize) -> Arc<ReaderFetch> {
        far.fetch().grant(len);
        Arc::new(ReaderFetch { far, is_taken: AtomicBool::new(false) })
    }

    /// The turn, if no other position has it.
    pub(super) fn turn(self: &Arc<ReaderFetch>, offset: u64) -> Option<FetchTurn> {
        // Acquire: what the last holder released is seen before anything is asked for. Partner: the drop of a turn.
        let is_taken = self.is_taken.swap(true, Ordering::Acquire);
        (!is_taken).then(|| FetchTurn {
            fetch: self.clone(),
            asked: VecDeque::new(),
            asked_until: offset,
            head: None,
            read_len: 0,
        })
    }
}

impl Drop for ReaderFetch {
    fn drop(&mut self) {
        self.far.fetch().grant(0);
    }
}

impl FetchTurn {
    /// A turn of the position that reads on at `offset`, if it has none and can have one.
    pub(super) fn take(turn: &mut Option<FetchTurn>, frames: &Frames, offset: u64) {
        if turn.is_none() {
            *turn = frames.fetch.as_ref().and_then(|fetch| fetch.turn(offset));
        }
    }

    /// The next `count` bytes at `offset` are about to be read: asks for what comes after them, as much as was read in a row before, and
    /// waits for them as far as they were asked for. Returns how many of them are in one segment, to be read now.
    ///
    /// # Errors
    /// They will not come, or reading has been cancelled.
    pub(super) fn fetch(&mut self, frames: &Frames, offset: u64, count: usize) -> Result<usize, Error> {
        self.read_len += count as u64;
        self.asked_until = self.asked_until.max(offset);
        let ahead = offset + self.read_len + count as u64;
        self.ask_until(frames, ahead);
        if self.wait_for_head(frames, offset)? {
            self.ask_until(frames, ahead);
        }
        let Ok(segment) = frames.segment_at(offset, frames.resources.stop()) else { return Ok(count) };
        let count = (count as u64).min(segment.plaintext().end - offset);
        let last = segment.frame_at(offset + count - 1);
        let wire = segment.wire_of(segment.frame_at(offset)..last + 1);
        for Asked { wire: asked, .. } in &self.asked {
            let part = asked.start.max(wire.start)..asked.end.min(wire.end);
            if !part.is_empty() {
                self.wait(frames, &part)?;
            }
        }
        Ok(count as usize)
    }

    /// All before `offset` has been read.
    pub(super) fn read_until(&mut self, offset: u64) {
        while self.asked.front().is_some_and(|asked| asked.plaintext_end <= offset)
            && let Some(asked) = self.asked.pop_front()
        {
            self.fetch.far.fetch().release(asked.wire);
        }
    }

    /// Asks for the frames up to the one at `end`, as far as that is taken on, and it is known where they are.
    fn ask_until(&mut self, frames: &Frames, end: u64) {
        let end = end.min(frames.len());
        while self.asked_until < end {
            // What is wrong there, the read finds that needs it.
            let Ok(Some(segment)) = self.segment_at(frames, self.asked_until) else { return };
            let mut first = segment.frame_at(self.asked_until);
            if segment.plaintext_of(first).start < self.asked_until {
                // The rest of a frame that was opened for what came before.
                self.asked_until = segment.plaintext_of(first).end;
                first += 1;
            }
            let run_end = (first + frames.plan.frames_per_run).min(segment.frame_count());
            if first < run_end {
                let wire = segment.wire_of(first..run_end);
                if !self.fetch.far.fetch().ask(wire.clone()) {
                    return;
                }
                self.asked_until = segment.plaintext_of(run_end - 1).end;
                self.asked.push_back(Asked { wire, plaintext_end: self.asked_until });
            }
        }
    }

    /// The segment of the byte at `offset`, if what has to be read of it is there; that has been asked for then.
    fn segment_at(&mut self, frames: &Frames, offset: u64) -> Result<Option<Arc<SegmentFrames>>, Error> {
        let (index, entry) = frames.locate(offset, frames.resources.stop())?;
        if frames.has_segment(index) {
            return frames.segment_at(offset, frames.resources.stop()).map(Some);
        }
        if self.head.is_none() {
            let mut head = Head { segment: index, ranges: Vec::new() };
            for range in SegmentFrames::head_ranges(&frames.envelope, &entry) {
                if !self.fetch.far.fetch().ask(range.clone()) {
                    self.head = Some(head);
                    self.release_head();
                    return Ok(None);
                }
                head.ranges.push(range);
            }
            self.head = Some(head);
        }
        let is_there = self.head.iter().flat_map(|head| &head.ranges).all(|range| {
            // A fault shows where the read waits for it.
            self.fetch.far.fetch().wait(range.clone(), Duration::ZERO).unwrap_or(false)
        });
        match is_there {
            true => self.read_head(frames, offset).map(Some),
            false => Ok(None),
        }
    }

    /// Waits for what has been asked for of the beginning of the segment of the byte at `offset`. Returns whether anything was.
    fn wait_for_head(&mut self, frames: &Frames, offset: u64) -> Result<bool, Error> {
        let Ok((index, _)) = frames.locate(offset, frames.resources.stop()) else { return Ok(false) };
        if self.head.as_ref().is_none_or(|head| head.segment != index) {
            return Ok(false);
        }
        for range in self.head.iter().flat_map(|head| &head.ranges) {
            self.wait(frames, range)?;
        }
        self.read_head(frames, offset).map(|_| true)
    }

    fn read_head(&mut self, frames: &Frames, offset: u64) -> Result<Arc<SegmentFrames>, Error> {
        let segment = frames.segment_at(offset, frames.resources.stop());
        self.release_head();
        segment
    }

    fn release_head(&mut self) {
        for range in self.head.take().into_iter().flat_map(|head| head.ranges) {
            self.fetch.far.fetch().release(range);
        }
    }

    /// Asks for `range`, which comes after all that was asked for. Whether it will be fetched.
    pub(super) fn ask(&self, range: Range<u64>) -> bool {
        self.fetch.far.fetch().ask(range)
    }

    /// Drops what was fetched of `range`, or will be.
    pub(super) fn release(&self, range: Range<u64>) {
        self.fetch.far.fetch().release(range);
    }

    /// Waits for `range`, which was asked for.
    pub(super) fn wait(&self, frames: &Frames, range: &Range<u64>) -> Result<(), Error> {
        loop {
            frames.resources.check_cancelled()?;
            let there = self.fetch.far.fetch().wait(range.clone(), PATIENCE);
            let there = there
                .map_err(|error| Error::io("the sealed stream could not be read", error).at(range.start))?;
            if there {
                return Ok(());
            }
        }
    }
}

impl Drop for FetchTurn {
    fn drop(&mut self) {
        self.release_head();
        self.read_until(u64::MAX);
        // Release: what was released here comes before what the next holder asks for. Partner: `turn`.
        self.fetch.is_taken.store(false, Ordering::Release);
    }
}
