//! The runs of a segment that lies still: where each is read, and which edges of the segment are read with it.
//! It reads nothing, and has no key.

use frame_worker::{FrameIndex, FrameWorker};
use framing::limits::{CLOSING_LEN, SEGMENT_HEADER_LEN};
use framing::{IndexEntry, SegmentHeader, SegmentIndex, Shape};
use segment_worker::{Edges, Input, Run};

use crate::envelope::Envelope;

/// A segment's runs, in order. The first has the segment's header as an edge and the last its closing frames, so that one
/// read a run is all that a segment takes.
pub(crate) struct SegmentRuns {
    shape: Shape,
    entry: IndexEntry,
    header: SegmentHeader,
    /// Where the segment begins in its source.
    position: u64,
    frames_per_run: u32,
    has_plaintext: bool,
    frames_done: u32,
    ended: bool,
}

impl SegmentRuns {
    /// Those of segment `index` of the stream of `envelope`, which is what `entry` says.
    pub(crate) fn new(
        envelope: &Envelope,
        index: u64,
        entry: IndexEntry,
        frames_per_run: u32,
    ) -> SegmentRuns {
        SegmentRuns {
            shape: envelope.shape(),
            header: header_of(index, &entry),
            position: envelope.origin().saturating_add(entry.wire_offset),
            frames_per_run,
            has_plaintext: envelope.schedule.is_some(),
            frames_done: 0,
            ended: false,
            entry,
        }
    }

    /// The header that the segment has to have.
    pub(crate) fn header(&self) -> &SegmentHeader {
        &self.header
    }

    pub(crate) fn into_entry(self) -> IndexEntry {
        self.entry
    }

    /// The next run, from `input`. `None` after the one that closes the segment.
    pub(crate) fn next(&mut self, input: Input) -> Option<Run> {
        if self.ended {
            return None;
        }
        let cut = Cut::next(self.shape, &self.entry, self.frames_done, self.frames_per_run);
        let first = self.frames_done;
        self.frames_done += cut.frames;
        self.ended = self.frames_done == self.entry.frame_count;
        let frames_begin = self.position + SEGMENT_HEADER_LEN as u64;
        Some(Run {
            first: FrameIndex(first),
            count: cut.frames,
            input,
            input_offset: frames_begin + u64::from(first) * self.shape.frame_wire_len(),
            input_len: FrameWorker::run_wire_len(self.shape, cut.plaintext_len),
            edges: Edges { header: (first == 0).then(|| self.header.to_bytes()), closing: self.ended },
            output_len: if self.has_plaintext { cut.plaintext_len } else { 0 },
            sink_offset: cut.plaintext_offset,
        })
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

/// Where the closing frames of the segment of `entry` begin in the source.
pub(crate) fn closing_position(envelope: &Envelope, entry: &IndexEntry) -> u64 {
    envelope.origin().saturating_add(entry.wire_offset + entry.wire_len - CLOSING_LEN as u64)
}

/// The frames of a segment that make its next run.
pub(crate) struct Cut {
    pub(crate) frames: u32,
    pub(crate) plaintext_offset: u64,
    pub(crate) plaintext_len: usize,
}

impl Cut {
    pub(crate) fn next(shape: Shape, entry: &IndexEntry, frames_done: u32, frames_max: u32) -> Cut {
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
