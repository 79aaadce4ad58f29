//! A run: consecutive frames of one segment, what is read with them, and how both are opened.
//! It knows no thread, no sink and no order.

use std::sync::Arc;

use cofferdam_io::ReadAt;
use frame_worker::{
    Closing, FrameError, FrameIndex, FrameWorker, OpenedFrame, SEGMENT_HEADER_LEN, SegmentIndex, Shape,
};

use crate::Buffer;
use crate::error::StreamError;

/// Consecutive frames of one segment: the unit of work.
pub struct Run {
    /// The first frame.
    pub first: FrameIndex,
    /// How many frames. None only where the segment has none, and both its edges are read.
    pub count: u32,
    /// Where the bytes are.
    pub input: Input,
    /// Where its frames begin in the input.
    pub input_offset: u64,
    /// Bytes of its frames: sealed where they are opened, plaintext where they are sealed.
    pub input_len: usize,
    /// What the input has before and after the frames.
    pub edges: Edges,
    /// How many bytes come out.
    pub output_len: usize,
    /// Where they go in the sink.
    pub sink_offset: u64,
}

/// Where the bytes of a run are.
pub enum Input {
    /// At hand: the first [`Run::read_len`] bytes of a buffer.
    Bytes(Buffer),
    /// At [`Run::read_offset`] of something that a job can read by itself.
    Place(Arc<dyn ReadAt>),
}

/// What of its segment is read together with the frames of a run that is opened, so that it takes no read of its own.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Edges {
    /// The segment header that has to stand before the frames. For the first run of a segment.
    pub header: Option<[u8; SEGMENT_HEADER_LEN]>,
    /// Bytes of what closes the segment, where that follows the frames: its TABLE, if it has one, and the closing frames. 0
    /// otherwise. Such a run is the segment's last, and closes it: no [`Step::Close`](crate::Step::Close) follows.
    pub closing_len: usize,
}

impl Edges {
    /// The most bytes that edges add to what a run reads, in a stream of `shape`.
    pub fn len_max(shape: Shape) -> usize {
        SEGMENT_HEADER_LEN + Edges::closing_len(shape, shape.frames_per_segment())
    }

    /// Bytes of what closes a segment of `frame_count` frames.
    pub fn closing_len(shape: Shape, frame_count: u32) -> usize {
        shape.table_len(frame_count) + shape.closing_len()
    }

    fn before(&self) -> usize {
        if self.header.is_some() { SEGMENT_HEADER_LEN } else { 0 }
    }
}

/// What came out of a run besides plaintext.
pub struct RunContents {
    /// Its frames, in order.
    pub frames: Vec<OpenedFrame>,
    /// The closing frames of its segment, where they are an edge of the run.
    pub closing: Option<Closing>,
}

/// Why a run was not opened. Offsets are the input's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RunFault {
    /// Another header than the segment's stands before its frames.
    Header {
        /// Where.
        offset: u64,
    },
    /// A frame was refused, or the closing frames were.
    Frame {
        /// Which frame, as far as it is known.
        first: FrameIndex,
        /// Where the run begins, or the closing frames do.
        offset: u64,
        /// Why.
        source: FrameError,
    },
}

impl RunFault {
    /// The stream's error, for a run of `segment`.
    pub fn in_segment<E>(self, segment: SegmentIndex) -> StreamError<E> {
        match self {
            RunFault::Header { offset } => StreamError::Header { segment, offset },
            RunFault::Frame { first, offset, source } => {
                StreamError::Frame { segment, first, offset, source }
            }
        }
    }
}

impl Run {
    /// Where its bytes begin in the input, edges included.
    pub fn read_offset(&self) -> u64 {
        self.input_offset - self.edges.before() as u64
    }

    /// How many bytes it takes from the input, edges included.
    pub fn read_len(&self) -> usize {
        self.edges.before() + self.input_len + self.edges.closing_len
    }

    /// Opens its `bytes`, [`Run::read_len`] of them: the header is compared, then the frames are opened into `out`, which
    /// they have to fill, then the closing frames.
    ///
    /// # Errors
    /// The first of these that is wrong. `out` then holds nothing of use.
    pub fn open(&self, worker: &FrameWorker, bytes: &[u8], out: &mut [u8]) -> Result<RunContents, RunFault> {
        let (header, rest) = bytes.split_at(self.edges.before());
        let (wire, closing) = rest.split_at(self.input_len);
        if self.edges.header.is_some_and(|due| due != *header) {
            return Err(RunFault::Header { offset: self.read_offset() });
        }
        let frames = self.open_frames(worker, wire, out).map_err(|source| RunFault::Frame {
            first: self.first,
            offset: self.input_offset,
            source,
        })?;
        Ok(RunContents { frames, closing: self.open_closing(worker, closing)? })
    }

    /// Seals its `bytes`, all of them plaintext, into the first bytes of `out`.
    pub(crate) fn seal(
        &self,
        worker: &FrameWorker,
        bytes: &[u8],
        out: &mut [u8],
    ) -> Result<RunContents, RunFault> {
        let frames = worker.seal_run(self.first, bytes, out).map_err(|source| RunFault::Frame {
            first: self.first,
            offset: self.input_offset,
            source,
        })?;
        Ok(RunContents { frames, closing: None })
    }

    /// The frames must be as many as were said and fill `out`: its position in the sink was computed from that.
    fn open_frames(
        &self,
        worker: &FrameWorker,
        wire: &[u8],
        out: &mut [u8],
    ) -> Result<Vec<OpenedFrame>, FrameError> {
        let room = out.len() as u64;
        let frames = worker.open_run(self.first, wire, out)?;
        let plaintext_len: u64 = frames.iter().map(|frame| u64::from(frame.plaintext_len)).sum();
        if frames.len() != self.count as usize || worker.yields_plaintext() && plaintext_len != room {
            return Err(FrameError::NotDue { due: self.first });
        }
        Ok(frames)
    }

    fn open_closing(&self, worker: &FrameWorker, bytes: &[u8]) -> Result<Option<Closing>, RunFault> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let offset = self.input_offset + self.input_len as u64;
        // They count their frames themselves; where they contradict each other there is none to name.
        let refused = |offset| move |source| RunFault::Frame { first: FrameIndex(0), offset, source };
        let frame_count = self.first.0 + self.count;
        let (table, closing) = bytes.split_at(worker.shape().table_len(frame_count));
        let table = match table.is_empty() {
            true => None,
            false => Some(worker.open_table(table, frame_count).map_err(refused(offset))?),
        };
        let behind_table = offset + bytes.len() as u64 - closing.len() as u64;
        let closing = worker.open_closing(closing).map_err(refused(behind_table))?;
        Ok(Some(Closing { table, ..closing }))
    }
}
