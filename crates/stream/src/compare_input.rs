//! A sink that compares: plaintext of a sealed stream with the input that it is said to be sealed from.
//! It knows no format, and writes nothing; jobs compare at their offsets, on all threads.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cofferdam_io::ReadAt;
use contract::{Checkpoint, CommitError, SinkCapabilities, StreamingSink, SyncTo, Visibility, WriteAt};

/// Compares what it is given with an input.
pub(crate) struct CompareInput(Arc<Comparison>);

/// What a comparison has shown.
pub(crate) struct Comparison {
    input: Arc<dyn ReadAt>,
    first_difference: AtomicU64,
}

impl CompareInput {
    /// With `input`, and where to look for the outcome.
    pub(crate) fn with(input: Arc<dyn ReadAt>) -> (CompareInput, Arc<Comparison>) {
        let comparison = Arc::new(Comparison { input, first_difference: AtomicU64::new(u64::MAX) });
        (CompareInput(comparison.clone()), comparison)
    }
}

impl Comparison {
    /// The first byte that differed, to within what is compared at a time, where any of the bytes before `end` did.
    /// Bytes behind that may belong to a segment that never proved whole, and say nothing.
    pub(crate) fn difference_before(&self, end: u64) -> Option<u64> {
        // Partner: `fetch_min` in `compare`. Results of jobs come to the caller through a lock.
        Some(self.first_difference.load(Ordering::Relaxed)).filter(|at| *at < end)
    }

    fn compare(&self, at: u64, data: &[u8]) -> io::Result<()> {
        let mut found = vec![0; data.len().min(PIECE_LEN)];
        let mut next = at;
        for piece in data.chunks(PIECE_LEN) {
            let found = &mut found[..piece.len()];
            match self.input.read_exact_at(next, found) {
                Ok(()) if found == piece => {}
                Ok(()) => return self.differs(next),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return self.differs(next),
                Err(error) => return Err(error),
            }
            next += piece.len() as u64;
        }
        Ok(())
    }

    /// Not an error: only once its segment has proved whole does a difference count.
    fn differs(&self, at: u64) -> io::Result<()> {
        // Partner: the load in `difference_before`.
        self.first_difference.fetch_min(at, Ordering::Relaxed);
        Ok(())
    }
}

impl WriteAt for Comparison {
    fn write_all_at(&self, at: u64, data: &[u8]) -> io::Result<()> {
        self.compare(at, data)
    }
}

impl StreamingSink for CompareInput {
    fn capabilities(&self) -> SinkCapabilities {
        SinkCapabilities::new(Visibility::Private)
    }

    fn last_commit(&mut self) -> io::Result<Option<Checkpoint>> {
        Ok(None)
    }

    fn begin_segment(&mut self, _index: u64, _at: u64) -> io::Result<()> {
        Ok(())
    }

    fn write_tentative(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        self.0.compare(at, data)
    }

    fn rollback_segment(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn commit_segment(&mut self, _mark: &Checkpoint) -> Result<(), CommitError> {
        Ok(())
    }

    fn publish(&mut self, plain_len: u64) -> Result<(), CommitError> {
        if self.0.input.len() != plain_len {
            self.0.differs(plain_len.min(self.0.input.len())).map_err(CommitError::NotCommitted)?;
        }
        Ok(())
    }

    fn discard(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn positioned(&self) -> Option<Arc<dyn WriteAt>> {
        Some(self.0.clone())
    }

    fn durability(&self) -> Option<Arc<dyn SyncTo>> {
        None
    }
}

/// What is compared at a time.
const PIECE_LEN: usize = 64 << 10;

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails by panicking.
mod tests {
    use sources::{BytesSource, Source as _};

    use super::*;

    #[test]
    fn the_first_difference_counts_and_what_lies_behind_the_proved_bytes_does_not() {
        let input: Vec<u8> = (0..200_000_u32).map(|i| (i % 251) as u8).collect();
        let place = || BytesSource::new(input.clone()).positioned().unwrap();
        let (mut sink, outcome) = CompareInput::with(place());
        sink.write_tentative(0, &input).unwrap();
        sink.publish(200_000).unwrap();
        assert_eq!(outcome.difference_before(u64::MAX), None);
        for at in [0, 1, 65_535, 65_536, 131_072, 199_999] {
            let (sink, outcome) = CompareInput::with(place());
            let mut changed = input.clone();
            changed[at] ^= 1;
            sink.positioned().unwrap().write_all_at(0, &changed).unwrap();
            let found = outcome.difference_before(u64::MAX).unwrap() as usize;
            assert!(found <= at && at < found + PIECE_LEN, "{at}: {found}");
            assert_eq!(outcome.difference_before(found as u64), None);
        }
    }

    #[test]
    fn a_stream_that_is_longer_or_shorter_than_the_input_differs() {
        for (len, told) in [(9, 9), (11, 11), (10, 9)] {
            let (mut sink, outcome) = CompareInput::with(BytesSource::new([7; 10]).positioned().unwrap());
            sink.write_tentative(0, &vec![7; len]).unwrap();
            sink.publish(told).unwrap();
            assert!(outcome.difference_before(u64::MAX).is_some(), "{len} {told}");
        }
    }
}
