//! Plaintext of any length that is nowhere stored: a pattern over and over.
//! It knows no pipeline; a source and whoever writes a file read the same bytes from it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use cofferdam::{Arrival, ReadAt, Source};

use crate::bytes;

/// Bytes without end but for a length. No two frames of a segment begin at the same place of the pattern.
#[derive(Clone)]
pub struct Generated {
    pattern: Arc<[u8]>,
    len: u64,
    next: u64,
}

impl Generated {
    /// `len` bytes, the same at each call.
    pub fn new(len: u64) -> Generated {
        Generated { pattern: bytes(PATTERN_LEN).into(), len, next: 0 }
    }

    fn fill(&self, offset: u64, buffer: &mut [u8]) {
        let mut at = (offset % PATTERN_LEN as u64) as usize;
        let mut rest = buffer;
        while !rest.is_empty() {
            let (now, after) = rest.split_at_mut(rest.len().min(PATTERN_LEN - at));
            now.copy_from_slice(&self.pattern[at..at + now.len()]);
            (rest, at) = (after, 0);
        }
    }
}

impl ReadAt for Generated {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if offset.checked_add(buffer.len() as u64).is_none_or(|end| end > self.len) {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "no so many bytes are generated"));
        }
        self.fill(offset, buffer);
        Ok(())
    }

    fn len(&self) -> u64 {
        self.len
    }
}

impl Source for Generated {
    fn len(&self) -> Option<u64> {
        Some(self.len)
    }

    fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
        Some(Arc::new(self.clone()))
    }

    fn read_within(&mut self, buffer: &mut [u8], _patience: Duration) -> io::Result<Arrival> {
        let count = buffer.len().min(usize::try_from(self.len - self.next).unwrap_or(usize::MAX));
        if count == 0 && !buffer.is_empty() {
            return Ok(Arrival::End);
        }
        self.fill(self.next, &mut buffer[..count]);
        self.next += count as u64;
        Ok(Arrival::Bytes(count))
    }
}

/// A prime above a MiB.
const PATTERN_LEN: usize = 1_048_583;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_in_order_and_at_offsets_is_the_pattern_over_and_over() {
        let len = 2 * PATTERN_LEN + 5;
        let expected: Vec<u8> = bytes(PATTERN_LEN).into_iter().cycle().take(len).collect();
        let mut generated = Generated::new(len as u64);
        let mut all = vec![0; len];
        generated.read_exact_at(0, &mut all).unwrap();
        assert!(all == expected);
        let mut piece = vec![0; 1000];
        for offset in [1, PATTERN_LEN - 1, PATTERN_LEN, len - 1000] {
            generated.read_exact_at(offset as u64, &mut piece).unwrap();
            assert!(piece == expected[offset..offset + 1000], "{offset}");
        }
        assert!(generated.read_exact_at(len as u64 - 999, &mut piece).is_err());
        let mut read: Vec<u8> = Vec::new();
        while let Arrival::Bytes(count) = generated.read_within(&mut piece, Duration::ZERO).unwrap() {
            read.extend(&piece[..count]);
        }
        assert!(read == expected);
    }
}
