//! The contract between the engine and whatever keeps its output.
//! Knows no sink: the engine calls, a sink stores, and both stand on the numbered rules of [`StreamingSink`].
//!
//! A sink takes bytes as *tentative*, marks whole segments as *committed*, in order, and turns the whole into
//! what the user named only at *publish*. Up to then, nothing the user cares about has changed.
//!
//! | crate | sinks | where tentative bytes are | publish | class |
//! |---|---|---|---|---|
//! | `cofferdam-local` | `StagedFile` | a staging file beside the target | rename over, or to, the target | atomic |
//! | | `MemorySink` | one allocation | the whole is handed over | atomic |
//! | | `PipeSink` | nowhere: the engine holds a segment until it has proved complete | close | incremental |
//! | | `RingSink` | a ring in memory, out of its reader's reach | the reader comes to the end | incremental |
//! | | `NullSink` | counted and dropped | nothing | atomic |
//! | `cofferdam-mmap` | `MappedFile` | a map of a file without a name | the file is linked in | atomic |
//! | `cofferdam-wal` | `WalSink` | records of a log | the log is replayed into a file or a device | recoverable |
//! | `cofferdam-database` | `DatabaseSink` | rows of tables, after their segment's digest | one pointer row turns | atomic |
//! | `cofferdam-peer` | `PeerSink` | in the sink of a receiver behind a socket | the receiver's | as its target |
//! | `cofferdam-object` | `ObjectSink` | parts of an upload to a store | the parts are put together, on a condition | atomic |
//!
//! *Atomic*: old or new, nothing between. *Recoverable*: a mixture until its recovery has run.
//! *Incremental*: what has committed is out and cannot be taken back.
//!
//! A sink of your own can be held against the rules with the functions of `cofferdam-testing`. [`cursor`] and [`written`] answer
//! the calls out of order that a sink can see.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod attempt_id;
mod checkpoint;
mod commit_error;
pub mod cursor;
mod durability;
mod if_exists;
mod sink;
pub mod written;

pub use attempt_id::AttemptId;
pub use checkpoint::Checkpoint;
pub use cofferdam_io::{Lending, ReadAt, WriteAt};
pub use commit_error::CommitError;
pub use durability::Durability;
pub use if_exists::IfExists;
pub use sink::{SinkCapabilities, StreamingSink, SyncTo, Visibility};
