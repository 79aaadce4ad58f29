//! When whoever waits for bytes waits no more: the stream is cancelled, or the one read is given up.
//! It knows not what is waited for.

use std::io;

use cofferdam_io::ReadAt;
use segment_worker::CancelToken;

use crate::{Error, ErrorKind};

/// Says whether to stop.
#[derive(Clone, Copy)]
pub(crate) struct Stop<'a> {
    cancel: &'a CancelToken,
    is_given_up: Option<&'a (dyn Fn() -> bool + Sync)>,
}

impl<'a> Stop<'a> {
    /// When `cancel` is cancelled.
    pub(crate) fn on(cancel: &'a CancelToken) -> Stop<'a> {
        Stop { cancel, is_given_up: None }
    }

    /// Or when `is_given_up` says so.
    pub(crate) fn or(self, is_given_up: &'a (dyn Fn() -> bool + Sync)) -> Stop<'a> {
        Stop { is_given_up: Some(is_given_up), ..self }
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.cancel.is_cancelled() || self.is_given_up.is_some_and(|is_given_up| is_given_up())
    }

    /// # Errors
    /// It is asked: [`ErrorKind::Cancelled`].
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.is_asked() { Err(Error::new(ErrorKind::Cancelled, "interrupted")) } else { Ok(()) }
    }
}

/// A source of which no read waits longer than that.
pub(crate) struct StoppableSource<'a> {
    pub(crate) source: &'a dyn ReadAt,
    pub(crate) stop: Stop<'a>,
}

impl ReadAt for StoppableSource<'_> {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.source.read_exact_at_unless(offset, buffer, &|| self.stop.is_asked())
    }

    fn len(&self) -> u64 {
        self.source.len()
    }
}
