//! A sliding window over a source that cannot seek: the bytes that have arrived and are not yet consumed.
//! It knows records only by what the splitter says of them.

use framing::limits::PREAMBLE_BLOCK_LEN;
use framing::{FramingError, Piece, Splitter};
use segment_worker::CancelToken;
use sources::{Arrival, Source};

use super::PATIENCE;
use crate::not_a_stream::beginning_refused;
use crate::{Error, ErrorKind, memory};

/// A source seen through a splitter, piece by piece.
pub(crate) struct Window<S> {
    source: S,
    splitter: Splitter,
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    ended: bool,
}

/// What comes next.
pub(crate) enum Next {
    /// A whole piece, at this offset of the stream; [`Window::bytes`] are its bytes.
    Piece { piece: Piece, offset: u64, len: usize },
    /// The source has ended where it may.
    End,
    /// Nothing arrived within the patience.
    NothingYet,
}

impl<S: Source> Window<S> {
    /// At the beginning of `source`.
    pub(crate) fn new(source: S) -> Window<S> {
        Window {
            source,
            splitter: Splitter::new(),
            bytes: vec![0; WINDOW_LEN_FIRST],
            start: 0,
            end: 0,
            ended: false,
        }
    }

    /// The next piece. The one before is consumed by asking.
    pub(crate) fn next(&mut self) -> Result<Next, Error> {
        loop {
            let offset = self.splitter.offset();
            let seen = &self.bytes[self.start..self.end];
            // The beginning is judged once there is enough of it to say what it is, if it is no stream.
            let is_due = offset > 0 || self.ended || seen.len() >= PREAMBLE_BLOCK_LEN;
            let next = if is_due { self.splitter.next_piece(seen) } else { Ok(None) };
            if let Some((piece, len)) = next.map_err(|error| refused(error, offset, seen))? {
                self.start += len;
                return Ok(Next::Piece { piece, offset, len });
            }
            if self.ended {
                self.splitter.finish().map_err(|error| refused(error, offset, seen))?;
                return Ok(Next::End);
            }
            match self.fill()? {
                Arrival::Bytes(_) => {}
                Arrival::End => self.ended = true,
                Arrival::NothingYet => return Ok(Next::NothingYet),
            }
        }
    }

    /// As [`Window::next`], waiting as long as it takes unless cancelled. For the records before the segments.
    pub(crate) fn wait(&mut self, cancel: &CancelToken) -> Result<Next, Error> {
        loop {
            if cancel.is_cancelled() {
                return Err(Error::new(ErrorKind::Cancelled, "interrupted"));
            }
            match self.next()? {
                Next::NothingYet => {}
                next => return Ok(next),
            }
        }
    }

    /// The bytes of the piece of `len` bytes that came last.
    pub(crate) fn bytes(&self, len: usize) -> &[u8] {
        &self.bytes[self.start - len..self.start]
    }

    fn fill(&mut self) -> Result<Arrival, Error> {
        if self.end == self.bytes.len() {
            // There is more to come than the records before the segments. A piece that is not whole and fills everything
            // needs more room still; none is longer than a limit of the format, so this ends.
            let needed = if self.start == 0 { 2 * self.end } else { self.end };
            memory::grow("a window of the stream", &mut self.bytes, needed.max(WINDOW_LEN))?;
        }
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let room = &mut self.bytes[self.end..];
        let arrival = self.source.read_within(room, PATIENCE);
        let arrival = arrival.map_err(|error| Error::io("the sealed stream could not be read", error))?;
        if let Arrival::Bytes(count) = arrival {
            self.end += count;
        }
        Ok(arrival)
    }
}

/// An error of the piece that begins at `offset`, of which `seen` has arrived.
fn refused(error: FramingError, offset: u64, seen: &[u8]) -> Error {
    if offset == 0 { beginning_refused(error, seen) } else { Error::framing(error, 0) }
}

/// Enough for the records before the segments, mostly: a stream that waits for its turn holds no more.
const WINDOW_LEN_FIRST: usize = 16 * 1024;
/// Of a stream under way, at least: a read of the source brings so much if it is there.
const WINDOW_LEN: usize = 256 * 1024;
