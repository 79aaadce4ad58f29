//! Cofferdam seals snapshots into encrypted, segmented streams and restores them on all cores, all or nothing.
//! This crate is the engine's front door: it knows how the parts fit, and does none of their work.

mod checkpoint;
mod envelope;
mod error;
mod feed;
mod files;
mod inspect;
mod key_area;
mod opener;
mod progress;
mod resources;
mod rewrap;
mod sealer;
mod simple;
mod trailer;

pub use error::{Error, ErrorKind};
pub use frame_worker::{Backend, DigestKind, Pool, PoolError, Suite};
pub use framing::{StreamId, limits};
pub use inspect::{Inspection, KeyCopySummary, SegmentSummary, SlotSummary, TrailerSummary, inspect};
pub use keys::{
    Callbacks, Identities, Identity, KeyError, NoCallbacks, Recipients, SecretString, WrappingKey, Zeroizing,
    age,
};
pub use opener::{Opener, Restored};
pub use progress::{Observer, Progress, Warning};
pub use rewrap::{Rewrapped, rewrap};
pub use sealer::{FRAME_LEN_DEFAULT, SEGMENT_LEN_DEFAULT, Sealed, Sealer};
pub use segment_worker::{Budget, CancelToken, Release};
pub use simple::{open, restore, seal};
pub use sinks::{
    Checkpoint, CommitError, Existing, MakeDurable, MemoryContents, MemorySink, NullSink, PipeSink,
    PositionedWrite, Profile, StageOptions, StagedFile, StreamingSink, TargetError, TargetKind, Visibility,
    classify,
};
pub use sources::{Arrival, BytesSource, FileSource, PipeSource, ReadAt, ReaderSource, Source, open_path};

/// The caller's key-value pairs.
pub type Metadata = Vec<(Vec<u8>, Vec<u8>)>;

/// The hash that fixes every byte of a stream's preamble, metadata and segments (FORMAT §11): a pin.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct StreamDigest(pub [u8; 32]);
