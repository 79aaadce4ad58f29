//! Streams that other programs have sealed: what they look like, who may open them, and how their chunks lie and open.
//! It knows no file, no thread and no sink: it is given bytes, and says what they are.
//!
//! A format is a module. [`open_head`] reads what stands before the first chunk, with the keys that there are, and gives an
//! [`Opened`]: its [`Cutter`] says, in order, where each chunk ends, and its [`Chunks`] open them in any order, on any thread.
//! Where positions are arithmetic, [`Chunks::layout`] has it, and nothing has to be cut.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(missing_debug_implementations)]

mod agcm;
mod age;
mod age_stream;
mod armor;
mod bytes;
mod chunks;
mod ecie;
mod ecies;
mod fault;
mod format;
mod head;
mod held_key;
mod mrec;
mod rse1;

pub use age::AgeSealing;
pub use armor::ArmorDecoder;
pub use chunks::{Chunk, ChunkLens, Chunks, Cut, Cutter, Layout, Mark, Wholeness};
pub use fault::{Fault, FaultKind};
pub use format::{Detected, Format};
pub use head::{HEAD_LEN_MAX, HeadStep, Inspected, Keys, Opened, inspect_head, open_head};
