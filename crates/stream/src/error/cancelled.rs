//! Errors of what was under way when the caller cancelled.
//! It knows nothing of what that was.

use segment_worker::CancelToken;

use super::Error;
use crate::ErrorKind;

impl Error {
    /// What a service that wraps keys says once it has been told to stop is no verdict.
    pub(crate) fn unless_cancelled(self, cancel: &CancelToken) -> Error {
        match cancel.is_cancelled() {
            true => Error::new(ErrorKind::Cancelled, "interrupted"),
            false => self,
        }
    }
}
