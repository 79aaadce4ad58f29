//! Who can open a stream, and with what, of a [`Sealer`] and an [`Opener`] that are there already.
//! It knows no key.

use keys::{Identities, Recipients};

use crate::{Opener, Sealer};

impl Sealer {
    /// Seals for `recipients`, in place of those it was made for.
    #[must_use]
    pub fn recipients(mut self, recipients: Recipients) -> Sealer {
        self.recipients = recipients;
        self
    }
}

impl Opener {
    /// Opens with any of `identities`, in place of those it was made with.
    #[must_use]
    pub fn identities(mut self, identities: Identities) -> Opener {
        self.identities = Some(identities);
        self
    }
}
