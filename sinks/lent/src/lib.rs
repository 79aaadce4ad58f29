//! What a caller in another language lends the engine for one call, its memory or its callbacks, as a sink and as bytes to read.
//! Knows no language and nothing of streams.
//!
//! [`Gate`] keeps the engine's threads away from what was lent once the call has ended, [`TentativeSink`] keeps the order of calls and gives each
//! byte to one writer, [`LentMemory`] and [`LentBytes`] are the memory. The C ABI and the Python package use them.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![allow(missing_debug_implementations, reason = "what they hold is somebody else's, and may be secret")]

mod gate;
mod memory;
mod tentative;

pub use gate::{Gate, Held, Lease};
pub use memory::{LentBytes, LentMemory, ReadBehindGate, is_full};
pub use tentative::{Access, Medium, TentativeSink};
