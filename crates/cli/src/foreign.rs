//! Streams that other programs have sealed, as far as commands have to tell them from ours.
//! It knows no format; the library recognises and opens them.

use cofferdam::{Opener, Restored, Sealed};

/// An opener that takes such streams too, where this build has them.
pub(crate) fn taken_by(opener: Opener) -> Opener {
    #[cfg(feature = "foreign")]
    return opener.foreign(cofferdam::Foreign::Open);
    #[cfg(not(feature = "foreign"))]
    opener
}

/// An opener that takes streams of ours alone.
#[cfg(feature = "signatures")]
pub(crate) fn refused_by(opener: Opener) -> Opener {
    #[cfg(feature = "foreign")]
    return opener.foreign(cofferdam::Foreign::Refuse);
    #[cfg(not(feature = "foreign"))]
    opener
}

/// What a stream is: ours, or of a format with this name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct StreamFormat(Option<&'static str>);

impl StreamFormat {
    pub(crate) fn of_restored(restored: &Restored) -> StreamFormat {
        #[cfg(feature = "foreign")]
        return StreamFormat(restored.foreign.map(|foreign| foreign.format.name()));
        #[cfg(not(feature = "foreign"))]
        StreamFormat::ours(restored)
    }

    pub(crate) fn of_sealed(sealed: &Sealed) -> StreamFormat {
        #[cfg(feature = "foreign")]
        return StreamFormat(sealed.foreign.map(|foreign| foreign.format.name()));
        #[cfg(not(feature = "foreign"))]
        StreamFormat::ours(sealed)
    }

    #[cfg(not(feature = "foreign"))]
    fn ours<T>(_: &T) -> StreamFormat {
        StreamFormat(None)
    }

    pub(crate) fn is_ours(self) -> bool {
        self.0.is_none()
    }

    /// The name, for records.
    pub(crate) fn name(self) -> &'static str {
        self.0.unwrap_or("cofferdam")
    }

    /// What only a stream of ours has.
    pub(crate) fn if_ours<T>(self, value: T) -> Option<T> {
        self.is_ours().then_some(value)
    }
}
