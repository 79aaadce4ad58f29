//! The C ABI: each function of the header, over the facade. `include/cofferdam.h` is made of this crate's doc comments.
//! It knows no format and no key; what a call does, the facade does.
//!
//! Where the parts are: `handle` has the objects that C holds pointers to, `call` the one place where a panic is caught,
//! `arguments` what makes slices and strings of pointers. The crate `lent` keeps a caller's memory and callbacks from being used after their
//! call. The rest is a noun a file. What makes the unsafe blocks right is written where they are; what a caller has to keep to is in the header.

#![warn(missing_debug_implementations)]
// The names of the header, as C programs write them.
#![allow(non_camel_case_types, reason = "these are the names of the header")]
#![allow(
    clippy::missing_safety_doc,
    reason = "the header says it once for all functions: pointers are what their types say, or NULL"
)]
#![allow(
    missing_debug_implementations,
    reason = "C has no use for it, and keys are among what the objects hold"
)]

mod arguments;
mod call;
mod cancel;
mod error;
mod handle;
mod identity;
mod key_file;
mod observer;
mod opener;
mod pairs;
mod reader;
mod report;
mod seal_writer;
mod sealer;
mod shared_memory;
mod sink;
mod sink_callbacks;
mod source;
mod source_callbacks;
mod status;
mod tree;
mod version;
mod whole_tree;

pub use cancel::*;
pub use error::*;
pub use identity::*;
pub use observer::*;
pub use opener::*;
pub use pairs::*;
pub use reader::*;
pub use report::*;
pub use seal_writer::*;
pub use sealer::*;
pub use sink::*;
pub use sink_callbacks::*;
pub use source::*;
pub use source_callbacks::*;
pub use status::*;
pub use tree::*;
pub use version::*;
pub use whole_tree::*;
