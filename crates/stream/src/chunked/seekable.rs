//! Opening a stream whose chunks lie still and are of one length: jobs read them by themselves.
//! The feed reads nothing.

use std::collections::VecDeque;
use std::sync::Arc;

use cofferdam_io::ReadAt;
use foreign::{Chunks, Layout};
use frame_worker::Closing;
use segment_worker::{Buffers, Ending, Feed, Input, Step, StreamEnd};

use super::runs::{Gathered, NO_CHAIN, RunLimits, RunSegments};
use crate::Error;

/// The chunks of `layout`, from the first to the last.
pub(crate) struct SeekableChunks {
    source: Arc<dyn ReadAt>,
    /// Where the first chunk begins.
    begin: u64,
    layout: Layout,
    ending: Ending,
    per_run: u64,
    next: u64,
    segments: RunSegments,
    due: VecDeque<Step<Closing, ()>>,
}

impl SeekableChunks {
    pub(crate) fn new(
        source: Arc<dyn ReadAt>,
        begin: u64,
        layout: Layout,
        opener: Arc<dyn Chunks>,
        ending: Ending,
        limits: RunLimits,
    ) -> SeekableChunks {
        let segments = RunSegments::new(opener);
        SeekableChunks {
            source,
            begin,
            layout,
            ending,
            per_run: limits.full_chunks(),
            next: 0,
            segments,
            due: VecDeque::new(),
        }
    }

    fn gather(&mut self) {
        let (first, end) = (self.next, self.layout.chunks.min(self.next + self.per_run));
        let mut gathered = Gathered::default();
        (first..end).for_each(|index| gathered.push(self.layout.chunk(index)));
        self.next = end;
        let at = self.begin + self.layout.wire_offset(first);
        let input = Some((Input::Place(self.source.clone()), at));
        let last = end == self.layout.chunks;
        self.due.extend(self.segments.steps(gathered, input, last).into_iter().flatten());
    }
}

impl Feed for SeekableChunks {
    type Error = Error;

    fn next(&mut self, _: &Buffers) -> Result<Step<Closing, ()>, Error> {
        if self.due.is_empty() && self.next < self.layout.chunks {
            self.gather();
        }
        Ok(self.due.pop_front().unwrap_or(Step::End(())))
    }

    fn end(&mut self) -> Result<StreamEnd, Error> {
        Ok(StreamEnd {
            segments: self.segments.segments,
            plaintext_len: self.layout.plaintext_len(),
            stream_digest: NO_CHAIN,
            ending: self.ending,
        })
    }
}
