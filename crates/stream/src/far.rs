//! A source whose bytes come from afar: what is read of it has been asked for, waited for, and is released once it was read.
//! It knows no record and no order.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use cofferdam_io::{Fetch, ReadAt};
use segment_worker::Input;

/// A source that has bytes fetched.
#[derive(Clone)]
pub(crate) struct FarSource(Arc<dyn ReadAt>);

impl FarSource {
    /// `source`, if it is one.
    pub(crate) fn of(source: &Arc<dyn ReadAt>) -> Option<FarSource> {
        source.fetch().is_some().then(|| FarSource(source.clone()))
    }

    pub(crate) fn fetch(&self) -> &dyn Fetch {
        self.0.fetch().expect("a far source stays one")
    }

    pub(crate) fn source(&self) -> &dyn ReadAt {
        &*self.0
    }

    /// `range`, which has arrived, for a job: it is released with the job's input.
    pub(crate) fn input(&self, range: Range<u64>) -> Input {
        Input::Place(Arc::new(FetchedRange { source: self.clone(), range }))
    }
}

/// Bytes that have arrived, for one who reads them. Dropped, they are released: read, or of no use to a job that was stopped.
struct FetchedRange {
    source: FarSource,
    range: Range<u64>,
}

impl ReadAt for FetchedRange {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.source.0.read_exact_at(offset, buffer)
    }

    fn len(&self) -> u64 {
        self.source.0.len()
    }
}

impl Drop for FetchedRange {
    fn drop(&mut self) {
        self.source.fetch().release(self.range.clone());
    }
}
