//! The runs of a segment that lies still: where each is read, and which edges of the segment are read with it.
//! Of a compressed segment it reads the TABLE first, if there is more than one run; else it reads nothing.

use std::ops::Range;

use cofferdam_io::ReadAt;
use frame_worker::{FrameIndex, FrameWorker};
use framing::limits::{FRAME_HEADER_LEN, SEGMENT_HEADER_LEN};
use framing::{IndexEntry, SegmentHeader, SegmentIndex, Shape};
use segment_worker::{Edges, Input, Run};

use crate::envelope::Envelope;
use crate::index::read;
use crate::{Error, memory};

/// A segment's runs, in order. The first has the segment's header as an edge and the last its closing frames, so that one
/// read a run is all that a segment takes.
pub(crate) struct SegmentRuns {
    shape: Shape,
    entry: IndexEntry,
    header: SegmentHeader,
    frames_per_run: u32,
    /// Of a compressed segment of several runs: the bodies of its frames.
    body_lens: Option<Vec<u32>>,
    has_plaintext: bool,
    frames_done: u32,
    /// Where the frames begin that come next.
    frames_at: u64,
    ended: bool,
}

impl SegmentRuns {
    /// Those of segment `index` of the stream of `envelope`, which lies in `source` and is what `entry` says.
    ///
    /// # Errors
    /// The TABLE cannot be read, or is not one.
    pub(crate) fn new(
        envelope: &Envelope,
        source: &dyn ReadAt,
        index: u64,
        entry: IndexEntry,
        frames_per_run: u32,
    ) -> Result<SegmentRuns, Error> {
        let position = envelope.origin().saturating_add(entry.wire_offset);
        let several = envelope.shape().is_compressed() && entry.frame_count > frames_per_run;
        let body_lens = if several { Some(read_table(envelope, source, index, &entry)?) } else { None };
        Ok(SegmentRuns {
            shape: envelope.shape(),
            header: header_of(index, &entry),
            frames_at: position.saturating_add(SEGMENT_HEADER_LEN as u64),
            frames_per_run,
            body_lens,
            has_plaintext: envelope.schedule.is_some(),
            frames_done: 0,
            ended: false,
            entry,
        })
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
        let input_len = self.wire_len(first, &cut);
        let input_offset = self.frames_at;
        self.frames_at += input_len as u64;
        let closing_len = if self.ended { Edges::closing_len(self.shape, self.entry.frame_count) } else { 0 };
        Some(Run {
            first: FrameIndex(first),
            count: cut.frames,
            input,
            input_offset,
            input_len,
            edges: Edges { header: (first == 0).then(|| self.header.to_bytes()), closing_len },
            output_len: if self.has_plaintext { cut.plaintext_len } else { 0 },
            sink_offset: cut.plaintext_offset,
        })
    }
}

impl SegmentRuns {
    /// Bytes of the frames of a run that begins with frame `first`.
    fn wire_len(&self, first: u32, cut: &Cut) -> usize {
        match &self.body_lens {
            Some(lens) => {
                let lens = &lens[first as usize..(first + cut.frames) as usize];
                lens.iter().map(|len| FRAME_HEADER_LEN + *len as usize).sum()
            }
            // One run is all of the segment.
            None if self.shape.is_compressed() => frames_len(self.shape, &self.entry) as usize,
            None => FrameWorker::run_wire_len(self.shape, cut.plaintext_len),
        }
    }
}

/// The bodies of all frames of a compressed segment, by its TABLE. Its tag is checked where there is a key, and its sum; each
/// length is compared with the frame that it is of when that is opened.
pub(crate) fn read_table(
    envelope: &Envelope,
    source: &dyn ReadAt,
    index: u64,
    entry: &IndexEntry,
) -> Result<Vec<u32>, Error> {
    let shape = envelope.shape();
    let len = shape.table_len(entry.frame_count);
    let position = closing_position(envelope, entry).saturating_sub(len as u64);
    let mut bytes = memory::zeroed("the TABLE of a segment", len)?;
    read(source, position, &mut bytes)?;
    let (worker, _) = envelope.segment(&header_of(index, entry))?;
    let table = worker
        .open_table(&bytes, entry.frame_count)
        .map_err(|error| Error::frame_refused(index, entry.frame_count, &error, position))?;
    let sum: u64 = table.body_lens.iter().map(|len| FRAME_HEADER_LEN as u64 + u64::from(*len)).sum();
    if sum != frames_len(shape, entry) {
        let what = "the TABLE says other lengths than the segment has";
        return Err(Error::damaged(what).in_segment(index).at(position));
    }
    Ok(table.body_lens)
}

/// Bytes of all DATA frames of the segment of `entry`, whose length is one that such a segment may have.
fn frames_len(shape: Shape, entry: &IndexEntry) -> u64 {
    let around = SEGMENT_HEADER_LEN + Edges::closing_len(shape, entry.frame_count);
    entry.wire_len.saturating_sub(around as u64)
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
    let closing_len = envelope.shape().closing_len() as u64;
    envelope.origin().saturating_add(entry.wire_offset + entry.wire_len - closing_len)
}

/// Where a segment is in the source, in the order in which it is read. Of a compressed one of several runs, what closes it comes first: its
/// TABLE says where the runs are. The last run reads that again, so it is kept until then.
pub(crate) struct SegmentRanges {
    pub(crate) closing: Option<Range<u64>>,
    frames: Range<u64>,
}

impl SegmentRanges {
    pub(crate) fn of(envelope: &Envelope, entry: &IndexEntry, frames_per_run: u32) -> SegmentRanges {
        let shape = envelope.shape();
        let start = envelope.origin().saturating_add(entry.wire_offset);
        let end = start.saturating_add(entry.wire_len);
        if !shape.is_compressed() || entry.frame_count <= frames_per_run {
            return SegmentRanges { closing: None, frames: start..end };
        }
        let closing = end.saturating_sub(Edges::closing_len(shape, entry.frame_count) as u64);
        SegmentRanges { closing: Some(closing..end), frames: start..closing }
    }

    pub(crate) fn in_order(self) -> impl Iterator<Item = Range<u64>> {
        self.closing.into_iter().chain([self.frames])
    }

    pub(crate) fn whole(&self) -> Range<u64> {
        self.frames.start..self.closing.as_ref().map_or(self.frames.end, |closing| closing.end)
    }
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
