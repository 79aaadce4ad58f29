//! One segment of a stream as a reader of single frames knows it: where each frame is, and how it is opened alone.
//! It keeps no frame. It says that a frame is authentic and at its place, not that its segment is whole.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use cofferdam_io::ReadAt;
use frame_worker::{FrameIndex, FrameWorker};
use framing::limits::{FRAME_HEADER_LEN, SEGMENT_HEADER_LEN};
use framing::{IndexEntry, SegmentIndex, Shape};
use segment_worker::{Stage, StreamError};

use crate::Error;
use crate::envelope::Envelope;
use crate::feed::segment_runs::{closing_position, header_of, read_table};
use crate::stream_metrics::Operation;

/// A segment whose header is the one that its entry demands.
pub(super) struct SegmentFrames {
    index: u64,
    entry: IndexEntry,
    shape: Shape,
    /// Where its first frame begins in the source.
    position: u64,
    worker: Arc<FrameWorker>,
    /// In a compressed stream: where each frame ends, from the first one's beginning, by the TABLE.
    ends: Option<Vec<u32>>,
}

impl SegmentFrames {
    /// Reads the header of segment `index`, and compares all of it with what `entry` says; then the TABLE, if there is one.
    ///
    /// # Errors
    /// Either is wrong, or cannot be read.
    pub(super) fn read(
        envelope: &Envelope,
        source: &dyn ReadAt,
        index: u64,
        entry: IndexEntry,
    ) -> Result<SegmentFrames, Error> {
        let position = envelope.origin().saturating_add(entry.wire_offset);
        let (mut header, begun) = ([0; SEGMENT_HEADER_LEN], Instant::now());
        read_segment(source, index, position, &mut header)?;
        Operation::Read.count(Stage::Read, header.len(), begun);
        let due = header_of(index, &entry);
        if header != due.to_bytes() {
            let segment = SegmentIndex(index);
            return Err(Error::opening(StreamError::Header { segment, offset: position }));
        }
        let shape = envelope.shape();
        let (mut table, begun) = (None, Instant::now());
        if shape.is_compressed() {
            table = Some(ends(&read_table(envelope, source, index, &entry)?));
            Operation::Read.count(Stage::Read, shape.table_len(entry.frame_count), begun);
        }
        let (worker, _) = envelope.segment(&due)?;
        let position = position.saturating_add(SEGMENT_HEADER_LEN as u64);
        Ok(SegmentFrames { index, entry, shape, position, worker, ends: table })
    }

    /// What [`SegmentFrames::read`] reads of the segment of `entry`.
    pub(super) fn head_ranges(envelope: &Envelope, entry: &IndexEntry) -> Vec<Range<u64>> {
        let position = envelope.origin().saturating_add(entry.wire_offset);
        let closing = closing_position(envelope, entry);
        let table_len = envelope.shape().table_len(entry.frame_count) as u64;
        let header = position..position.saturating_add(SEGMENT_HEADER_LEN as u64);
        let table = closing.saturating_sub(table_len)..closing;
        [header, table].into_iter().filter(|range| !range.is_empty()).collect()
    }

    /// Bytes of memory that the segment of `entry` takes here.
    pub(super) fn len_of(shape: Shape, frame_count: u32) -> usize {
        let ends_len = if shape.is_compressed() { frame_count as usize * size_of::<u32>() } else { 0 };
        size_of::<SegmentFrames>() + WORKER_LEN + ends_len
    }

    pub(super) fn index(&self) -> u64 {
        self.index
    }

    /// Its plaintext, in the stream's.
    pub(super) fn plaintext(&self) -> Range<u64> {
        self.entry.plaintext_offset..self.entry.plaintext_offset + u64::from(self.entry.plaintext_len)
    }

    /// How many frames it has.
    pub(super) fn frame_count(&self) -> u32 {
        self.entry.frame_count
    }

    /// The frame that holds the plaintext at `offset`, which is in this segment.
    pub(super) fn frame_at(&self, offset: u64) -> u32 {
        let within = offset - self.entry.plaintext_offset;
        (within / u64::from(self.shape.frame_len())) as u32
    }

    /// The plaintext of frame `frame`, in the stream's. All are full but the last.
    pub(super) fn plaintext_of(&self, frame: u32) -> Range<u64> {
        let frame_len = u64::from(self.shape.frame_len());
        let start = self.entry.plaintext_offset + u64::from(frame) * frame_len;
        start..(start + frame_len).min(self.plaintext().end)
    }

    /// Where `frames`, consecutive ones, are in the source.
    pub(super) fn wire_of(&self, frames: Range<u32>) -> Range<u64> {
        self.position + self.wire_start(frames.start)..self.position + self.wire_start(frames.end)
    }

    /// Reads `frames` into all of `wire`, which is as long as they are.
    pub(super) fn read_frames(
        &self,
        source: &dyn ReadAt,
        frames: Range<u32>,
        wire: &mut [u8],
    ) -> Result<(), Error> {
        let begun = Instant::now();
        read_segment(source, self.index, self.wire_of(frames).start, wire)?;
        Operation::Read.count(Stage::Read, wire.len(), begun);
        Ok(())
    }

    /// Opens frame `frame`, which is `wire`, into `plaintext`, which is as long as [`SegmentFrames::plaintext_of`] says.
    ///
    /// # Errors
    /// It is another frame, of another length, or not authentic. `plaintext` then holds nothing of use.
    pub(super) fn open_frame(&self, frame: u32, wire: &[u8], plaintext: &mut [u8]) -> Result<(), Error> {
        let begun = Instant::now();
        self.worker.open_alone(FrameIndex(frame), wire, plaintext).map_err(|error| {
            Error::frame_refused(self.index, frame, &error, self.wire_of(frame..frame + 1).start)
        })?;
        Operation::Read.count(Stage::Process, plaintext.len(), begun);
        Ok(())
    }

    /// Where frame `frame` begins, from the first one's beginning; behind the last one for the number of frames.
    fn wire_start(&self, frame: u32) -> u64 {
        match (&self.ends, frame.checked_sub(1)) {
            (_, None) => 0,
            (Some(ends), Some(before)) => u64::from(ends[before as usize]),
            (None, Some(_)) => {
                let plaintext_len = u64::from(frame) * u64::from(self.shape.frame_len());
                let plaintext_len = plaintext_len.min(u64::from(self.entry.plaintext_len));
                FrameWorker::run_wire_len(self.shape, plaintext_len as usize) as u64
            }
        }
    }
}

/// Where frames of such bodies end. Their sum is what the segment has, at most 1 GiB and its frames' headers.
fn ends(body_lens: &[u32]) -> Vec<u32> {
    let mut end = 0;
    let add = |len: &u32| {
        end += FRAME_HEADER_LEN as u32 + len;
        end
    };
    body_lens.iter().map(add).collect()
}

/// Reads bytes of segment `index`. What is not there has been cut off since the source was opened.
fn read_segment(source: &dyn ReadAt, index: u64, offset: u64, bytes: &mut [u8]) -> Result<(), Error> {
    let segment = SegmentIndex(index);
    let read = source.read_exact_at(offset, bytes);
    read.map_err(|source| Error::opening(StreamError::Read { segment, offset, source }))
}

/// What a worker takes for its cipher's key, as tables and all: 500 bytes, and some to spare.
const WORKER_LEN: usize = 1024;
