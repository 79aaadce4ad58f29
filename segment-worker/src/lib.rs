//! Order, digest, commit or rollback: how the frames of a stream become segments, and segments a complete stream.
//! It reads no length field, knows no cipher and opens no file: frame workers compute, feeds bring bytes, sinks keep them.
//!
//! One *orchestrator* per stream, the thread that calls [`open`] or [`seal`], takes runs of frames from a [`Feed`] in
//! wire order, hands them to a pool, and collects their results. One [`Sequencer`] per segment puts the results in
//! order and replays the digest. A guard spends the proofs that this yields: the sink commits a segment only for a
//! [`Verified`], and publishes only for a [`Complete`], or for an [`Asserted`], which says that there is no such proof.
//!
//! Why nothing here can deadlock is argued in `docs/ARCHITECTURE.md` and tested in `tests/deadlock.rs`.

mod buffers;
mod driver;
mod durability;
mod error;
mod feed;
mod growth;
mod guard;
mod job;
mod lease;
mod open;
mod pending;
mod pipeline;
mod proof;
mod prove;
mod proved;
mod release;
mod run;
mod seal;
mod sequencer;
mod settings;
mod stages;
mod sync;

pub use buffers::{Buffer, Buffers, NoMemory};
pub use error::{SegmentFault, StreamError};
pub use feed::{
    Ending, ExpectedDigest, ExpectedSegment, Feed, IsLast, ProofFeed, SealFeed, SegmentPlan, Step, StreamEnd,
    TrailerOnly,
};
pub use growth::MemoryPressure;
pub use lease::{Budget, Lease, Loan};
pub use open::{Opened, open, open_part};
pub use proof::{Asserted, Complete, PartComplete, Verified};
pub use prove::prove;
pub use proved::{ProvedPlan, ProvedSegment, ProvedSegments};
pub use release::ReleasePolicy;
pub use run::{Edges, Input, Run, RunContents, RunFault};
pub use seal::{Sealed, seal};
pub use sequencer::{OpenedRun, Sequencer};
pub use settings::{BufferNeeds, Committed, Executor, Settings};
pub use stages::{Stage, StageTotal, Stages};
pub use sync::cancel::CancelToken;
