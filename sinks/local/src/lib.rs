//! The sinks of one machine: a staged file with its journal, memory, a ring, a pipe, and one that keeps nothing.
//! Knows no frames, no keys of a stream, and no threads; the engine calls, a sink stores.
//!
//! What each promises is in the table of `cofferdam-contract`, the trait and its rules as well.
//!
//! ```
//! use contract::{Checkpoint, StreamingSink};
//! use local::MemorySink;
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

mod journal;
mod memory;
mod null;
mod pipe;
mod ring;
mod staged;

pub use journal::WriterId;
/// The beginning of a journal, for a sink that keeps one of its own under the same name: writers of one target know each other's
/// attempts by it, whatever follows.
pub mod journal_header {
    pub use crate::journal::{Header, JOURNAL_LEN_MAX, RECORD_LEN, header};
}
pub use memory::{MemoryContents, MemoryOptions, MemorySink};
pub use null::{NullCount, NullSink};
pub use pipe::PipeSink;
pub use ring::{RingReader, RingSink};
pub use staged::{Beside, CopyOnRead, Opened, PathsBeside, Published, Seen, StagedFile, TargetNotice};
