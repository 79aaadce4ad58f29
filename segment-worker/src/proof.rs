//! What has been proved of a stream, as values that only this crate can make: when opening, its checks alone.
//! They carry no bytes of it.

use contract::Checkpoint;

/// A segment is complete, in order, and next in its chain. Spent by the sink's commit.
///
/// When opening, [`crate::Sequencer::finish`] makes it, once the digest has been compared. When sealing there is nothing
/// to compare with: it is made with the closing frames of a segment that has no gap.
#[derive(Debug)]
pub struct Verified {
    pub(crate) index: u64,
    pub(crate) checkpoint: Checkpoint,
}

/// A stream is complete: its last segment has committed, and its trailer says what its segments say. Spent by publish.
///
/// When opening it is made once the trailer has been compared, when sealing after the segment that ends the input.
#[derive(Debug)]
pub struct Complete {
    pub(crate) sink_len: u64,
}

/// A stream has been opened to the end that it shows, and its format cannot say that this is all of it. Spent by publish, in place of
/// [`Complete`], where the caller has taken that upon itself; whoever opened it is told so ([`Ending::Asserted`](crate::Ending)).
#[derive(Debug)]
pub struct Asserted {
    pub(crate) sink_len: u64,
}

/// A part of a stream is complete: every segment of a range has committed, each next in the chain, and the chain ends where
/// the feed says that the part does. Spent by the publish of a part; a whole stream is never published with it.
#[derive(Debug)]
pub struct PartComplete {
    pub(crate) sink_len: u64,
}
