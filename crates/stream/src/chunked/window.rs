//! What has arrived of a stream that is read in order, and has not been used.
//! It knows no chunk.

use std::io;

use foreign::Fault;
use sources::{Arrival, Source};

use crate::feed::PATIENCE;
use crate::resources::Resources;
use crate::{Error, memory};

/// The next bytes of a source.
pub(crate) struct ChunkWindow<S> {
    source: S,
    /// What is said if that fails.
    unreadable: &'static str,
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    ended: bool,
    /// Bytes of the source before the window.
    at: u64,
}

/// Whether what was asked for is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Filled {
    /// It is, or the source has ended.
    There,
    NotYet,
}

impl<S: Source> ChunkWindow<S> {
    /// Of a sealed stream.
    pub(crate) fn of_stream(source: S) -> ChunkWindow<S> {
        ChunkWindow::new(source, "the sealed stream could not be read")
    }

    /// Of what is to be sealed.
    pub(crate) fn of_input(source: S) -> ChunkWindow<S> {
        ChunkWindow::new(source, "the input could not be read")
    }

    fn new(source: S, unreadable: &'static str) -> ChunkWindow<S> {
        ChunkWindow { source, unreadable, bytes: Vec::new(), start: 0, end: 0, ended: false, at: 0 }
    }

    /// What has arrived.
    pub(crate) fn ahead(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Whether nothing follows that.
    pub(crate) fn is_all(&self) -> bool {
        self.ended
    }

    /// Where it begins in the source.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// The first `len` bytes have been used.
    pub(crate) fn pass(&mut self, len: usize) {
        assert!(len <= self.end - self.start, "what is passed has arrived");
        self.start += len;
        self.at += len as u64;
    }

    /// Waits a while until `len` bytes are there, or the source has ended.
    ///
    /// # Errors
    /// The source's own; there is no memory.
    pub(crate) fn fill(&mut self, len: usize) -> Result<Filled, Error> {
        while self.end - self.start < len && !self.ended {
            self.make_room(len)?;
            let room = &mut self.bytes[self.end..];
            let arrival = self.source.read_within(room, PATIENCE);
            match arrival.map_err(|error| unreadable(error, self.unreadable))? {
                Arrival::Bytes(count) => self.end += count,
                Arrival::End => self.ended = true,
                Arrival::NothingYet => return Ok(Filled::NotYet),
            }
        }
        Ok(Filled::There)
    }

    /// As [`ChunkWindow::fill`], waiting as long as it takes unless cancelled: for what stands before the chunks.
    pub(crate) fn wait(&mut self, len: usize, resources: &Resources) -> Result<(), Error> {
        loop {
            resources.check_cancelled()?;
            if self.fill(len)? == Filled::There {
                return Ok(());
            }
        }
    }

    /// There is room for `len` bytes at least, and for more than there are.
    fn make_room(&mut self, len: usize) -> Result<(), Error> {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let needed = len.max(self.end + 1);
        if self.bytes.len() < needed {
            memory::grow("a window of the stream", &mut self.bytes, window_memory_len(needed))?;
        }
        Ok(())
    }
}

/// A fault of the source, or of an armor around what it has.
fn unreadable(error: io::Error, what: &'static str) -> Error {
    match error.downcast::<Fault>() {
        Ok(fault) => Error::foreign(fault),
        Err(error) => Error::io(what, error),
    }
}

/// Bytes of memory that a window takes in which `len` bytes are needed at once.
pub(crate) fn window_memory_len(len: usize) -> usize {
    len + READ_LEN
}

/// A read of the source brings so much if it is there.
const READ_LEN: usize = 256 * 1024;
