//! The traits between the engine and whatever its bytes come from.
//! Knows no kind of source.

use std::{error, fmt, io, sync::Arc, time::Duration};

use cofferdam_io::ReadAt;

/// Bytes to be read once, in order.
#[allow(clippy::len_without_is_empty, reason = "whether a pipe is empty is known only by reading it")]
pub trait Source: Send {
    /// Bytes in all, where that is known before they are read.
    fn len(&self) -> Option<u64>;

    /// A handle to read at offsets from any thread, where the bytes lie still. Offsets count from the start of the
    /// source, whatever has been read in order.
    fn positioned(&self) -> Option<Arc<dyn ReadAt>>;

    /// Reads the next bytes into `buffer`, waiting at most about `patience` for the first of them.
    ///
    /// # Errors
    /// The medium's own. After an error the source gives nothing more that can be trusted.
    fn read_within(&mut self, buffer: &mut [u8], patience: Duration) -> io::Result<Arrival>;
}

/// What came of a read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// This many bytes are at the start of the buffer: at least one, unless the buffer is empty.
    Bytes(usize),
    /// There are no more bytes.
    End,
    /// The patience ran out and nothing came. The next read may bring something.
    NothingYet,
}

/// Something that is read is no longer what it was: what a source's error carries then, with what it says.
#[derive(Debug)]
pub struct InputChanged(pub String);

impl InputChanged {
    /// What `error` says, if it is this.
    pub fn of(error: &io::Error) -> Option<&InputChanged> {
        error.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for InputChanged {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl error::Error for InputChanged {}

impl From<InputChanged> for io::Error {
    fn from(changed: InputChanged) -> io::Error {
        io::Error::other(changed)
    }
}

impl<S: Source + ?Sized> Source for Box<S> {
    fn len(&self) -> Option<u64> {
        (**self).len()
    }
    fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
        (**self).positioned()
    }
    fn read_within(&mut self, buffer: &mut [u8], patience: Duration) -> io::Result<Arrival> {
        (**self).read_within(buffer, patience)
    }
}
