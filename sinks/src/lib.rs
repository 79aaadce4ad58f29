//! Reversible sinks: where verified plaintext, or sealed output, goes.
//! Knows no frames, no keys of a stream, and no threads but a receiver's; the engine calls, a sink stores.
//!
//! A sink takes bytes as *tentative*, marks whole segments as *committed*, in order, and turns the whole into
//! what the user named only at *publish*. Up to then, nothing the user cares about has changed.
//!
//! | sink | where tentative bytes are | publish | class |
//! |---|---|---|---|
//! | [`StagedFile`] | a staging file beside the target | rename over, or to, the target | atomic |
//! | `MappedFile` (feature `mmap`) | a map of a file without a name | the file is linked in | atomic |
//! | [`MemorySink`] | one allocation | the whole is handed over | atomic |
//! | `wal::WalSink` (feature `wal`) | records of a log | the log is replayed into a file or a device | recoverable |
//! | [`PipeSink`] | nowhere: the engine holds a segment until it has proved complete | close | incremental |
//! | `database::DatabaseSink` (features `sqlite`, `postgres`) | rows of tables, after their segment's digest | one pointer row turns | atomic |
//! | `RingSink` (feature `ring`) | a ring in memory, out of its reader's reach | the reader comes to the end | incremental |
//! | `peer::PeerSink` (feature `peer`) | in the sink of a receiver behind a socket | the receiver's | as its target |
//! | [`NullSink`] | counted and dropped | nothing | atomic |
//!
//! *Atomic*: old or new, nothing between. *Recoverable*: a mixture until its recovery has run.
//! *Incremental*: what has committed is out and cannot be taken back.
//!
//! The trait is [`StreamingSink`]; its documentation is a numbered contract. A sink of your own can be held
//! against that contract with the functions of the `conformance` module (package `cofferdam-sinks`, feature
//! `conformance`).
//!
//! ```
//! use sinks::{Checkpoint, MemorySink, StreamingSink};
//!
//! let (mut sink, contents) = MemorySink::new();
//! let checkpoint = Checkpoint::from_bytes([0; Checkpoint::LEN]);
//! sink.begin_segment(0, 0)?;
//! sink.write_tentative(0, b"all or ")?;
//! sink.commit_segment(&checkpoint)?;
//! sink.begin_segment(1, 7)?;
//! sink.write_tentative(7, b"nothing")?;
//! sink.commit_segment(&checkpoint)?;
//! assert!(contents.take().is_none()); // committed, but not published
//! sink.publish(14)?;
//! assert_eq!(contents.take().as_deref(), Some(&b"all or nothing"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

mod byte_count;
mod checkpoint;
mod commit_error;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod cursor;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub mod database;
mod durability;
mod journal;
mod memory;
#[cfg(feature = "mmap")]
mod mmap;
mod null;
#[cfg(feature = "peer")]
pub mod peer;
mod pipe;
#[cfg(feature = "ring")]
mod ring;
mod sector;
#[doc(hidden)]
pub mod seeded;
#[cfg(any(test, feature = "simulation"))]
pub mod simulation;
mod sink;
mod staged;
pub mod storage;
mod target;
#[cfg(feature = "wal")]
pub mod wal;
mod written;

pub use byte_count::ByteCount;
pub use checkpoint::Checkpoint;
pub use cofferdam_io::{ReadAt, WriteAt};
pub use commit_error::CommitError;
pub use durability::Durability;
pub use journal::{AttemptId, WriterId};
pub use memory::{MemoryContents, MemoryOptions, MemorySink};
#[cfg(feature = "mmap")]
pub use mmap::MappedFile;
pub use null::{NullCount, NullSink};
pub use pipe::PipeSink;
#[cfg(feature = "ring")]
pub use ring::{RingReader, RingSink};
pub use sink::{SinkCapabilities, StreamingSink, SyncTo, Visibility};
pub use staged::{
    Beside, IfExists, JournalProblem, Misplaced, OnPartial, Opened, Published, Seen, StageOptions,
    StagedFile, TargetNotice,
};
pub use storage::FileTime;
pub use target::{TargetError, TargetKind, classify};
