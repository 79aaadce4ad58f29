//! Reversible sinks: where verified plaintext, or sealed output, goes.
//! Knows no frames, no keys and no threads of its own; the engine calls, a sink stores.

mod checkpoint;
mod commit_error;
mod sink;

pub use checkpoint::Checkpoint;
pub use commit_error::CommitError;
pub use sink::{MakeDurable, PositionedWrite, Profile, StreamingSink, Visibility};
