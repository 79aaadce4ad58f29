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

pub use foreign::{Claim, Format};
pub use inspect::{ForeignInspection, inspect_foreign};
pub(crate) use peeked::Peeked;
pub use peeked::is_foreign;
pub use reader::ForeignReader;

use crate::{Error, ErrorKind, Remedy};
use foreign::{Fault, FaultKind};

/// A stream of another format that has been opened to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ForeignSummary {
    /// What it was sealed in.
    pub format: Format,
    /// What can be said of the whole.
    pub claim: Claim,
}

impl Error {
    /// What is wrong with a stream of another format.
    pub(crate) fn foreign(fault: Fault) -> Error {
        let error = |kind| Error::new(kind, fault.to_string());
        match fault.kind {
            FaultKind::Damaged => error(ErrorKind::Damaged).remedied(Remedy::FetchAgain),
            FaultKind::Truncated => error(ErrorKind::Truncated).remedied(Remedy::FetchRest),
            FaultKind::NoKey => error(ErrorKind::NoKey).remedied(Remedy::UseOtherKey),
            FaultKind::Limit => {
                error(ErrorKind::Limit).advise("This may be damage, or a stream made to exhaust a reader.")
            }
            FaultKind::Unsupported => error(ErrorKind::Unsupported).advise("A newer release may know it."),
            FaultKind::Memory => error(ErrorKind::Exhausted)
                .advise("Free memory, or raise the limit on this process's memory (`ulimit -v`)."),
            FaultKind::Cancelled => Error::new(ErrorKind::Cancelled, "interrupted"),
            _ => error(ErrorKind::Damaged),
        }
    }
}
