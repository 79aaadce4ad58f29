//! What has been proved of a stream, as values that only the checks can make.
//! They carry no bytes of it.

use sinks::Checkpoint;

/// A segment is complete, in order, and next in its chain. Made by [`crate::Sequencer`] and spent by the sink's commit.
#[derive(Debug)]
pub struct Verified {
    pub(crate) index: u64,
    pub(crate) mark: Checkpoint,
}

/// A stream is complete: its last segment has committed, and its trailer says what its segments say. Spent by publish.
#[derive(Debug)]
pub struct Complete {
    pub(crate) sink_len: u64,
}
