//! The pin of a stream, and what a caller demands of it: one digest, or what a check of the caller's accepts.
//! It computes no digest, and knows no signature.

use std::fmt;
use std::sync::Arc;

use frame_worker::{ChainValue, DigestKind};

use crate::{Error, ErrorKind, StreamDigest};

/// What fixes every byte of a stream's preamble, metadata and segments (FORMAT F11.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Pin {
    /// What the stream is digested with; never [`DigestKind::Tags`], which fixes nothing (FORMAT F11.4).
    pub digest: DigestKind,
    /// Its digest.
    pub stream_digest: StreamDigest,
}

/// Judges whether a stream is one that its caller wants, by its pin: a signature of it, a list of known ones.
pub trait PinCheck: fmt::Debug + Send + Sync {
    /// Accepts the stream whose pin this is.
    ///
    /// It is asked once the pin has been computed from what was read: with a key and a source that has offsets, from the whole index,
    /// before a sink is made; and in any case at the end, before anything is published. So it may be asked twice.
    ///
    /// # Errors
    /// Refuses the stream. The error is the caller's, as it is.
    fn check(&self, pin: &Pin) -> Result<(), Error>;
}

/// What is demanded of the pin of one stream; nothing, where its caller has said nothing.
#[derive(Clone, Copy)]
pub(crate) struct ExpectedPin<'a> {
    digest: DigestKind,
    value: Option<StreamDigest>,
    checks: &'a [Arc<dyn PinCheck>],
}

impl<'a> ExpectedPin<'a> {
    /// Of a stream with this `digest`: its value, and what each of `checks` says.
    pub(crate) fn new(
        digest: DigestKind,
        value: Option<StreamDigest>,
        checks: &'a [Arc<dyn PinCheck>],
    ) -> ExpectedPin<'a> {
        ExpectedPin { digest, value, checks }
    }

    /// Demands nothing.
    pub(crate) fn any(digest: DigestKind) -> ExpectedPin<'a> {
        ExpectedPin::new(digest, None, &[])
    }

    /// `chain` is over all of the stream, as it was computed.
    pub(crate) fn check(&self, chain: ChainValue) -> Result<(), Error> {
        let stream_digest = StreamDigest(chain.0);
        if self.value.is_some_and(|expected| expected != stream_digest) {
            return Err(Error::new(ErrorKind::DigestMismatch, "the stream's digest is not the expected one")
                .advise("It is another stream than the one that was pinned, or an older one."));
        }
        let pin = Pin { digest: self.digest, stream_digest };
        self.checks.iter().try_for_each(|check| check.check(&pin))
    }
}
