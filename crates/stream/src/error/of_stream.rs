//! Which stream an error is about: its beginning, what else is wrong with it, and whether it is still the one that was opened.
//! It reads nothing: whoever has opened or examined the stream says so.

use std::io;

use super::Error;
use crate::{ErrorKind, Remedy, StreamHead, Warning};

impl Error {
    /// The beginning of the stream that did not open or verify, if a key had opened that by then. None of a stream that changed while it
    /// was read.
    pub fn head(&self) -> Option<&StreamHead> {
        self.0.head.as_ref().filter(|_| self.0.kind != ErrorKind::SourceChanged)
    }

    /// A fault after a key area that had `warnings`.
    #[must_use]
    pub(crate) fn behind(mut self, warnings: &[Warning]) -> Error {
        self.0.key_copy = self.0.key_copy.or_else(|| warnings.iter().copied().find(Warning::is_damage));
        self
    }

    /// What became of the stream that began so.
    #[must_use]
    pub(crate) fn of_stream(mut self, head: Option<StreamHead>) -> Error {
        self.0.head = self.0.head.or(head);
        self
    }

    /// The fault that a complete verification reports in place of this one: the first on the wire (FORMAT F5.16, F13.4),
    /// which a key copy that a restore can do without is. What is no fault of the stream stays what it is.
    pub(crate) fn first_of_verification(self) -> Error {
        let of_stream = matches!(
            self.0.kind,
            ErrorKind::Damaged
                | ErrorKind::DigestMismatch
                | ErrorKind::NotSigned
                | ErrorKind::Truncated
                | ErrorKind::Limit
                | ErrorKind::Unsupported
        );
        match self.0.key_copy {
            Some(Warning::KeyCopyDamaged { copy }) if of_stream => {
                Error::damaged(format!("key copy {copy} of the stream is damaged, and more is wrong"))
                    .of_stream(self.0.head.clone())
                    .because(self)
            }
            _ => self,
        }
    }

    /// The sealed stream is not what it was when it was opened.
    #[cfg(feature = "foreign")]
    pub(crate) fn stream_changed() -> Error {
        Error::new(ErrorKind::SourceChanged, "the sealed stream changed while it was read")
            .remedied(Remedy::RunAgain)
    }

    /// A fault that was found in a sealed stream which is known to have changed since it was opened: what was read of it does
    /// not belong together, and says nothing of what is there now.
    #[must_use]
    pub(crate) fn of_changed_stream(mut self) -> Error {
        let ends_early = self.0.kind == ErrorKind::Io && self.is_caused_by(io::ErrorKind::UnexpectedEof);
        let of_bytes = matches!(
            self.0.kind,
            ErrorKind::Damaged | ErrorKind::DigestMismatch | ErrorKind::NotSigned | ErrorKind::Truncated
        );
        if of_bytes || ends_early {
            self.0.kind = ErrorKind::SourceChanged;
            self.0.what = format!("the sealed stream changed while it was read: {}", self.0.what);
            (self.0.advice, self.0.remedy) = (None, Some(Remedy::RunAgain));
        }
        self
    }

    fn is_caused_by(&self, kind: io::ErrorKind) -> bool {
        let source = self.0.source.as_deref().and_then(|source| source.downcast_ref::<io::Error>());
        source.is_some_and(|source| source.kind() == kind)
    }
}
