//! Owns bytes in memory that note what is read of them.
//! Refuses to know why.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cofferdam::{Arrival, ReadAt, Source};

/// Bytes at offsets, and the ranges that were read.
pub(crate) struct NotedReads {
    bytes: Vec<u8>,
    reads: Mutex<Vec<Range<usize>>>,
}

impl NotedReads {
    pub(crate) fn of(bytes: Vec<u8>) -> Arc<NotedReads> {
        Arc::new(NotedReads { bytes, reads: Mutex::default() })
    }

    pub(crate) fn source(self: &Arc<NotedReads>) -> impl Source + use<> {
        NotedSource(self.clone())
    }

    /// What was read since this was asked last, in order.
    pub(crate) fn take(&self) -> Vec<Range<usize>> {
        std::mem::take(&mut self.reads.lock().unwrap())
    }
}

impl ReadAt for NotedReads {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let range = offset as usize..offset as usize + buffer.len();
        self.reads.lock().unwrap().push(range.clone());
        buffer.copy_from_slice(self.bytes.get(range).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }
}

struct NotedSource(Arc<NotedReads>);

impl Source for NotedSource {
    fn len(&self) -> Option<u64> {
        None
    }

    fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
        Some(self.0.clone())
    }

    fn read_within(&mut self, _: &mut [u8], _: Duration) -> io::Result<Arrival> {
        panic!("whoever can read at offsets does not read in order")
    }
}
