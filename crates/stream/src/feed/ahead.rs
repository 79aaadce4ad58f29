//! One run of plaintext, read ahead from a source that cannot seek: only so is it known which segment is the last.
//! It knows bytes and a buffer, and no format.

use segment_worker::{Buffer, Buffers, Input};
use sources::{Arrival, Source};

use super::PATIENCE;
use crate::Error;

/// A source with the next run read ahead, as far as it has come.
pub(crate) struct ReadAhead {
    source: Box<dyn Source>,
    buffer: Option<Buffer>,
    len: usize,
    ended: bool,
}

/// How far the next run has come.
pub(crate) enum Filled {
    /// So many bytes: all that were wanted, or all that are left. None is the end.
    Bytes(usize),
    /// Not far enough yet.
    NotYet,
}

impl ReadAhead {
    pub(crate) fn new(source: Box<dyn Source>) -> ReadAhead {
        ReadAhead { source, buffer: None, len: 0, ended: false }
    }

    /// Reads until `want` bytes are there or the source ends, or its patience does. The buffer is one of `buffers`,
    /// which the credit for the next run pays for.
    pub(crate) fn fill(&mut self, want: usize, buffers: &Buffers) -> Result<Filled, Error> {
        let buffer = match &mut self.buffer {
            Some(buffer) => buffer,
            none => none.insert(buffers.take()?),
        };
        while self.len < want && !self.ended {
            let arrival = self.source.read_within(&mut buffer[self.len..want], PATIENCE);
            match arrival.map_err(|error| Error::io("the input could not be read", error))? {
                Arrival::Bytes(count) => self.len += count,
                Arrival::End => self.ended = true,
                Arrival::NothingYet => return Ok(Filled::NotYet),
            }
        }
        if self.len == 0 {
            self.buffer = None;
        }
        Ok(Filled::Bytes(self.len))
    }

    /// What has been read ahead, all of it.
    pub(crate) fn take(&mut self) -> Input {
        self.len = 0;
        Input::Bytes(self.buffer.take().expect("it has been filled"))
    }
}
