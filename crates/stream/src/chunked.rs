//! Streams of other formats: recognised by their first bytes, opened by the same pipeline as ours, into the same sinks.
//! It knows chunks, and no format: `foreign` has those. There is no second engine, and no proof of its own.
//!
//! To the engine a run of consecutive chunks is one frame, and all of its segment. What proves a segment is that each of its
//! chunks has opened at its place; what proves the whole is that they came in order and the last of them is the last.
//! Nothing is known of such a stream but its chunks, so an interrupted restore opens all of it again, and writes what differs.

mod age_feed;
mod armored;
mod head;
mod in_order;
mod inspect;
mod open;
mod peeked;
mod placed;
mod reader;
mod runs;
mod seal;
mod window;

pub use foreign::{Format, Wholeness};
pub use inspect::{ForeignInspection, inspect_foreign};
pub(crate) use peeked::Peeked;
pub use peeked::is_foreign;
pub use reader::ForeignReader;

/// A stream of another format that has been opened to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ForeignSummary {
    /// What it was sealed in.
    pub format: Format,
    /// What can be said of the whole.
    pub claim: Wholeness,
}
