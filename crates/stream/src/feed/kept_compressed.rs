//! Resuming a compressed sealing: what an earlier attempt has left of the sealed stream, read from its front in wire order.
//! How long a frame is only its header says. Whether all is what was sealed, the segment worker finds out.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use cofferdam_io::ReadAt;
use frame_worker::{Closing, SegmentIndex};
use framing::IndexEntry;
use segment_worker::{Buffers, Committed, Feed, Step, StreamEnd};
use sources::{Arrival, Source};

use super::kept::Mend;
use super::sequential::{SequentialFeed, pass_envelope};
use super::window::Window;
use crate::Error;
use crate::envelope::Envelope;
use crate::resources::Resources;
use crate::trailer::IndexBuilder;

/// A compressed stream that may end anywhere. All segments are full but the last.
pub(crate) struct KeptCompressedFeed<'a> {
    inner: SequentialFeed<'a, InOrder>,
    envelope: &'a Envelope,
    input_len: u64,
    /// How far the segment worker has come with it.
    committed: &'a Cell<Committed>,
    /// Those that have not, as far as they have been closed.
    closed: VecDeque<IndexEntry>,
    ledger: IndexBuilder,
}

impl<'a> KeptCompressedFeed<'a> {
    /// What `source` has of the stream that begins with `envelope` and is made from `input_len` bytes.
    ///
    /// # Errors
    /// `source` begins otherwise.
    pub(crate) fn new(
        source: Arc<dyn ReadAt>,
        envelope: &'a Envelope,
        input_len: u64,
        frames_per_run: u32,
        committed: &'a Cell<Committed>,
        mend: Mend<'a>,
        resources: &Resources,
    ) -> Result<KeptCompressedFeed<'a>, Error> {
        let mut window = Window::new(InOrder { place: source, next: 0 });
        pass_envelope(&mut window, envelope, resources)?;
        Ok(KeptCompressedFeed {
            inner: SequentialFeed::of_kept(window, envelope, frames_per_run, mend),
            envelope,
            input_len,
            committed,
            closed: VecDeque::new(),
            ledger: IndexBuilder::new(envelope.metadata_len),
        })
    }

    /// The segments that have committed, without the page that stands behind the last of them.
    pub(crate) fn finish(mut self) -> IndexBuilder {
        self.settle();
        self.ledger
    }

    fn settle(&mut self) {
        let schedule = self.envelope.schedule.as_ref().expect("who seals has the key");
        while self.ledger.segments() < self.committed.get().segments {
            if self.ledger.page_is_due(false) {
                self.ledger.end_page(|page| schedule.page_mac(page));
            }
            self.ledger.push(self.closed.pop_front().expect("what has committed was closed"));
        }
    }
}

impl Feed for KeptCompressedFeed<'_> {
    type Error = Error;

    fn next(&mut self, buffers: &Buffers) -> Result<Step<Closing, ()>, Error> {
        self.settle();
        self.inner.next(buffers)
    }

    /// The engine compares the rest with what the frames were.
    fn check_closing(&mut self, segment: SegmentIndex, closing: &Closing) -> Result<(), Error> {
        let entry = self.inner.pop_kept().expect("a segment is closed once");
        let left = self.input_len.checked_sub(entry.plaintext_offset);
        let due = left.map(|left| left.min(self.envelope.shape().segment_len()));
        let ends = entry.plaintext_offset + closing.fields.plaintext_len == self.input_len;
        if due != Some(closing.fields.plaintext_len) || closing.fields.last != ends {
            return Err(Error::damaged("the stream ends with another segment").in_segment(segment.0));
        }
        self.closed.push_back(entry);
        Ok(())
    }

    fn end(&mut self) -> Result<StreamEnd, Error> {
        self.inner.end()
    }
}

/// Bytes that lie still, read from their front.
struct InOrder {
    place: Arc<dyn ReadAt>,
    next: u64,
}

impl Source for InOrder {
    fn len(&self) -> Option<u64> {
        Some(self.place.len())
    }

    fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
        Some(self.place.clone())
    }

    fn read_within(&mut self, buffer: &mut [u8], _patience: Duration) -> io::Result<Arrival> {
        let left = self.place.len().saturating_sub(self.next);
        if left == 0 {
            return Ok(Arrival::End);
        }
        let count = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        self.place.read_exact_at(self.next, &mut buffer[..count])?;
        self.next += count as u64;
        Ok(Arrival::Bytes(count))
    }
}
