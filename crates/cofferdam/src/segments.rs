//! Parts of a stream: whole segments of it, opened apart from the rest, with what that proves.
//! It joins the parts and does none of their work.

use std::ops::Range;

use contract::StreamingSink;
use sources::Source;
use stream::Receipt;

use crate::{Error, Opener};
#[cfg(doc)]
use crate::{ErrorKind, Reader};

impl Opener {
    /// Opens whole segments of a stream into `sink` and publishes them: a part of the stream. `segments` counts from 0, its end is
    /// excluded; [`Reader::segments`] says how many there are. The sink has the part from its offset 0 on. What it kept of an
    /// earlier attempt is given up: a part is not resumed.
    ///
    /// The [`Receipt`] says what was proved: each of these segments is whole, at its place, and next in the chain over all
    /// entries of the index, which makes the stream digest. Receipts that [meet](Receipt::meets) tile the stream.
    ///
    /// # Errors
    /// As [`Opener::open`], for what stands before and after the segments and for those of the part. [`ErrorKind::Usage`]
    /// if the source cannot be read at offsets, if `segments` are none or not there, and without a key. The sink has been dropped
    /// unpublished, unless the kind is [`ErrorKind::DurabilityUnknown`].
    pub fn open_segments(
        &self,
        segments: Range<u64>,
        source: impl Source,
        sink: impl StreamingSink,
    ) -> Result<Receipt, Error> {
        self.require_identities()?;
        self.refuse_seed("the target is a sink of the caller's")?;
        self.stream().open_segments(segments, source, sink)
    }

    /// As [`Opener::open_segments`], of several parts of one stream: `parts` are ranges of segments, in order and without overlap, each with
    /// a sink of its own. What stands before and after the segments is read and checked once, and the keys are tried once.
    /// One part after the other is opened.
    ///
    /// # Errors
    /// As [`Opener::open_segments`], of the first part with a fault: those before it have been published. [`ErrorKind::Usage`] too
    /// if the parts are not in order.
    pub fn open_parts(
        &self,
        parts: Vec<(Range<u64>, impl StreamingSink)>,
        source: impl Source,
    ) -> Result<Vec<Receipt>, Error> {
        self.require_identities()?;
        self.refuse_seed("the target is a sink of the caller's")?;
        self.stream().open_parts(parts, source)
    }
}
