//! The error that is no failure: what has been published, and nothing proves.
//! It knows no format.

use super::Error;
use crate::{Asserted, ErrorKind};

impl Error {
    /// What has been published without a proof that it is whole.
    pub(crate) fn asserted(asserted: Asserted) -> Error {
        let what = format!("nothing proves that it is whole: {}", asserted.missing);
        let mut error = Error::new(ErrorKind::Unproven, what);
        error.0.asserted = Some(asserted);
        error
    }

    /// What has been published, of an error of the kind [`ErrorKind::Unproven`].
    pub fn as_asserted(&self) -> Option<&Asserted> {
        self.0.asserted.as_ref()
    }
}
