//! A source over bytes in memory.

use std::{fmt, io, sync::Arc, time::Duration};

use cofferdam_io::ReadAt;

use crate::{Arrival, Source};

/// Bytes in memory: a `Vec<u8>`, an `Arc<[u8]>`, a static slice.
pub struct BytesSource {
    bytes: Arc<Held>,
    next: usize,
}

impl BytesSource {
    /// A source over `bytes`, which it keeps and does not copy.
    pub fn new(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self { bytes: Arc::new(Held(Box::new(bytes))), next: 0 }
    }
}

impl Source for BytesSource {
    fn len(&self) -> Option<u64> {
        Some(ReadAt::len(&*self.bytes))
    }

    fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
        Some(self.bytes.clone())
    }

    fn read_within(&mut self, buffer: &mut [u8], _patience: Duration) -> io::Result<Arrival> {
        let rest = self.bytes.slice().get(self.next..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(Arrival::End);
        }
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.next += count;
        Ok(Arrival::Bytes(count))
    }
}

impl fmt::Debug for BytesSource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("BytesSource")
            .field("len", &self.bytes.slice().len())
            .field("next", &self.next)
            .finish()
    }
}

struct Held(Box<dyn AsRef<[u8]> + Send + Sync>);

impl Held {
    fn slice(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

impl ReadAt for Held {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let found = usize::try_from(offset)
            .ok()
            .and_then(|start| Some(start..start.checked_add(buffer.len())?))
            .and_then(|range| self.slice().get(range));
        let Some(found) = found else {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!(
                    "{} bytes at {offset} go beyond the {} held in memory",
                    buffer.len(),
                    self.slice().len()
                ),
            ));
        };
        buffer.copy_from_slice(found);
        Ok(())
    }

    fn len(&self) -> u64 {
        self.slice().len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_in_order_and_then_end() {
        let mut source = BytesSource::new(vec![1, 2, 3, 4, 5]);
        let mut buffer = [0; 3];
        assert_eq!(source.read_within(&mut buffer, Duration::ZERO).unwrap(), Arrival::Bytes(3));
        assert_eq!(buffer, [1, 2, 3]);
        assert_eq!(source.read_within(&mut buffer, Duration::ZERO).unwrap(), Arrival::Bytes(2));
        assert_eq!(buffer[..2], [4, 5]);
        assert_eq!(source.read_within(&mut buffer, Duration::ZERO).unwrap(), Arrival::End);
        assert_eq!(source.read_within(&mut buffer, Duration::ZERO).unwrap(), Arrival::End);
    }

    #[test]
    fn an_empty_source_ends_at_once_and_has_a_length() {
        let mut source = BytesSource::new(Vec::new());
        assert_eq!(Source::len(&source), Some(0));
        assert_eq!(source.read_within(&mut [0; 8], Duration::ZERO).unwrap(), Arrival::End);
    }

    #[test]
    fn reads_at_offsets_stop_at_the_end() {
        let source = BytesSource::new(&b"0123456789"[..]);
        let at = source.positioned().unwrap();
        let mut four = [0; 4];
        at.read_exact_at(6, &mut four).unwrap();
        assert_eq!(&four, b"6789");
        at.read_exact_at(10, &mut []).unwrap();
        for offset in [7, 10, 11, u64::MAX, u64::MAX - 3] {
            let error = at.read_exact_at(offset, &mut four).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "at {offset}");
        }
    }
}
