//! A source of what is in an armored file.
//! It knows no armor: `foreign` decodes it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use cofferdam_io::ReadAt;
use foreign::{ArmorDecoder, Fault};
use sources::{Arrival, Source};

/// The bytes in an armor, in order. What is wrong with it is the inner one of an [`io::Error`].
pub(crate) struct Armored<S> {
    source: S,
    decoder: ArmorDecoder,
    text: Vec<u8>,
    bytes: Vec<u8>,
    given: usize,
    ended: bool,
}

impl<S: Source> Armored<S> {
    /// What is in the armor that `source` has.
    pub(crate) fn new(source: S) -> Armored<S> {
        Armored {
            source,
            decoder: ArmorDecoder::default(),
            text: vec![0; TEXT_LEN],
            bytes: Vec::with_capacity(TEXT_LEN),
            given: 0,
            ended: false,
        }
    }
}

impl<S: Source> Source for Armored<S> {
    fn len(&self) -> Option<u64> {
        None
    }

    fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
        None
    }

    fn read_within(&mut self, buffer: &mut [u8], patience: Duration) -> io::Result<Arrival> {
        if buffer.is_empty() {
            return Ok(Arrival::Bytes(0));
        }
        let wrong = |fault: Fault| io::Error::new(io::ErrorKind::InvalidData, fault);
        while self.given == self.bytes.len() {
            if self.ended {
                return Ok(Arrival::End);
            }
            self.bytes.clear();
            self.given = 0;
            match self.source.read_within(&mut self.text, patience)? {
                Arrival::Bytes(count) => {
                    self.decoder.push(&self.text[..count], &mut self.bytes).map_err(wrong)?;
                }
                Arrival::End => {
                    self.decoder.finish(&mut self.bytes).map_err(wrong)?;
                    self.ended = true;
                }
                Arrival::NothingYet => return Ok(Arrival::NothingYet),
            }
        }
        let left = &self.bytes[self.given..];
        let count = left.len().min(buffer.len());
        buffer[..count].copy_from_slice(&left[..count]);
        self.given += count;
        Ok(Arrival::Bytes(count))
    }
}

/// Bytes of memory that such a source takes.
pub(crate) const ARMORED_MEMORY_LEN: usize = 2 * TEXT_LEN;
/// Of armor, read at a time.
const TEXT_LEN: usize = 64 << 10;
