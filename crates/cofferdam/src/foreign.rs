//! Streams that other programs have sealed, as an opener takes them.
//! It joins the parts and does none of their work.

use sources::Source;
use stream::{Foreign, ForeignReader};

use crate::{Error, Opener};
#[cfg(doc)]
use crate::{ErrorKind, Restored};

impl Opener {
    /// What becomes of streams that other programs have sealed, which their first bytes tell: age files, armored or not. Default: they are
    /// refused as [`ErrorKind::NotAStream`].
    ///
    /// Every call that opens or verifies a whole stream takes them then; those that look at parts of one do not, but
    /// [`Opener::foreign_reader`]. [`Restored::foreign`] says what it was. Such a stream has neither digest nor number nor index: one that is
    /// pinned or numbered is asked for in vain, without a key nothing of it can be verified, and an interrupted restore opens all of it
    /// again, and writes what differs.
    ///
    /// With [`Identities::foreign_key`](crate::Identities::foreign_key) they are also those of ecies-lib (`ECIE`, `MREC`), harpocrates (`AGCM`) and streaming-crypto
    /// (`RSE1`). What nothing proves to be whole is refused, as [`ErrorKind::Usage`] with [`Remedy::AcceptUnproven`](crate::Remedy::AcceptUnproven): before
    /// anything is written, where that shows there. With [`Foreign::AcceptUnproven`] it is published, and **the result is an error even so**:
    /// [`ErrorKind::Unproven`], with [`Error::as_asserted`] in place of [`Restored`].
    #[must_use]
    pub fn foreign(mut self, foreign: Foreign) -> Opener {
        self.foreign = foreign;
        self
    }

    /// As [`Opener::reader`], of a stream that another program has sealed ([`is_foreign`](crate::is_foreign)). Its last chunk is opened
    /// here, so that one that has been cut is refused.
    ///
    /// # Errors
    /// As [`Opener::reader`]; [`ErrorKind::Usage`] for an armored file, and for a stream whose format binds no chunk to its place or whose end
    /// is not marked (all of `AGCM`, `ECIE` and `RSE1`, some of `MREC`): those can be read in order only; [`ErrorKind::NotAStream`] of any
    /// other stream.
    pub fn foreign_reader(&self, source: impl Source) -> Result<ForeignReader, Error> {
        self.require_identities()?;
        self.stream().foreign_reader(source)
    }
}
