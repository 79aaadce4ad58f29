//! One segment on its way: through the pool, then to the sink.
//! It knows nothing of the segments around it.

use std::sync::Arc;

use frame_worker::{Closing, FrameWorker, SegmentIndex};

use crate::job::Output;
use crate::proved::PendingProof;
use crate::sequencer::Sequencer;

/// A segment whose frames go through the pool; `C` is what closes it where no job does.
pub(crate) struct InFlight<C> {
    pub(crate) pending: PendingSegment,
    pub(crate) sequencer: Sequencer<Option<Output>>,
    pub(crate) outstanding: usize,
    pub(crate) closing: Option<ClosedBy<C>>,
    /// A run of it came to nothing, so that it will never be whole.
    pub(crate) lost: bool,
}

impl<C> InFlight<C> {
    /// Whether it lies in the sink already, and nothing of it is written.
    pub(crate) fn is_proved(&self) -> bool {
        matches!(self.closing, Some(ClosedBy::Proof(_)))
    }
}

/// A segment on its way to the sink.
pub(crate) struct PendingSegment {
    pub(crate) index: SegmentIndex,
    pub(crate) worker: Arc<FrameWorker>,
    /// Where its frames end in the sink, where jobs write them.
    pub(crate) frames_end: u64,
    pub(crate) sink_offset: u64,
    /// Ordered mode: how far it has been written to the sink.
    pub(crate) written_to: Option<u64>,
    pub(crate) head: Vec<u8>,
    pub(crate) held: Vec<Output>,
}

/// A segment that is all there, ready for its proof.
pub(crate) struct Closed<C> {
    pub(crate) pending: PendingSegment,
    pub(crate) sequencer: Sequencer<Option<Output>>,
    pub(crate) closing: ClosedBy<C>,
}

/// Who has said that a segment has no more frames.
pub(crate) enum ClosedBy<C> {
    /// The feed.
    Feed(C),
    /// The job of its last run, which has read its closing frames.
    Job(Closing),
    /// Nobody: it is not read, because it has been proved.
    Proof(PendingProof),
}
