//! What the tests share: streams, feeds that bring them, sinks that watch, and ways to run one over the other.
//! It judges nothing but what holds of every stream.

mod feed;
mod fixture;
mod probe;
mod stream;

pub(crate) use feed::{FeedFailed, Move, OpenFeed, SealFeed, Supply, Wire};
pub(crate) use fixture::{Fixture, Workers, all_workers, fails_everywhere, give_way, unless_it_hangs};
pub(crate) use probe::{Call, Event, Kind, Probe, Report};
pub(crate) use stream::{
    Extent, FRAME, Part, RUN, RUN_LEN, RUNS_PER_SEGMENT, SEGMENT, Stream, digest, plaintext, start, worker,
};
