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
mod peeked_source;
mod reader;
mod runs;
mod seal;
mod seekable;
mod window;

pub(crate) use foreign::Detected;
pub use foreign::{Format, Wholeness};
pub use inspect::{ForeignInspection, inspect_foreign};
pub(crate) use peeked_source::PeekedSource;
pub use peeked_source::is_foreign;
pub use reader::ForeignReader;

use crate::{Error, ErrorKind, Remedy, StreamId};
use contract::SinkCapabilities;
use segment_worker::Ending;

/// A stream of another format that has been opened to its end, and published, and of which nothing proves that it is whole: its format
/// does not say so, or this stream does not. What there is of it has opened, with its tags; what is missing, [`Asserted::missing`] says.
///
/// It comes in an error ([`ErrorKind::Unproven`]), so that nobody takes it for a [`Restored`](crate::Restored) stream.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Asserted {
    /// What it was sealed in.
    pub format: Format,
    /// What is not proved, and why: a sentence without its full stop.
    pub missing: &'static str,
    /// Names the stream, after a digest of its head.
    pub stream_id: StreamId,
    /// Length of the plaintext in bytes.
    pub plaintext_len: u64,
}

/// What becomes of a stream that nothing proves to be whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unproven {
    /// The caller has not said that it may be published.
    Refuse,
    /// Whoever said so: the sink takes only what is proved.
    NotInto,
    Accept,
}

impl Unproven {
    /// The same, into a sink of such `capabilities`.
    pub(crate) fn into_sink(self, capabilities: SinkCapabilities) -> Unproven {
        match self {
            Unproven::Accept if capabilities.proved_only => Unproven::NotInto,
            said => said,
        }
    }
}

/// What a stream of which `claim` can be said is published as.
pub(crate) fn ending_of(claim: Wholeness, format: Format, unproven: Unproven) -> Result<Ending, Error> {
    match (claim, unproven) {
        (Wholeness::Proved, _) => Ok(Ending::Proved),
        (Wholeness::Asserted(_), Unproven::Accept) => Ok(Ending::Asserted),
        (Wholeness::Asserted(missing), Unproven::Refuse) => {
            Err(unproven_refused(format, missing).remedied(Remedy::AcceptUnproven))
        }
        (Wholeness::Asserted(missing), Unproven::NotInto) => Err(unproven_refused(format, missing).advise(
            "What it would go to takes only what is proved. Open it into a file, look at that, and send the file.",
        )),
    }
}

fn unproven_refused(format: Format, missing: &str) -> Error {
    let what = format!("this is {}, and nothing proves that it is whole: {missing}", format.with_article());
    Error::new(ErrorKind::Usage, what)
}

/// A stream of another format that has been opened to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ForeignSummary {
    /// What it was sealed in.
    pub format: Format,
    /// What can be said of the whole.
    pub claim: Wholeness,
}
