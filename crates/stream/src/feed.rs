//! Feeds: streams cut into steps for the segment worker.
//! Here format, keys and sources meet; the pipeline behind knows none of them.

mod ahead;
mod fetch_ahead;
pub(crate) mod kept;
pub(crate) mod kept_compressed;
pub(crate) mod paced;
pub(crate) mod plain;
pub(crate) mod proof;
pub(crate) mod seekable;
pub(crate) mod segment_runs;
pub(crate) mod sequential;
pub(crate) mod window;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use cofferdam_io::ReadAt;
use segment_worker::CancelToken;
use sources::{Arrival, Source};

/// A source that brings nothing once its stream is cancelled. Whoever gathers many small reads comes back, and looks at
/// the token, however slowly they trickle in.
pub(crate) struct CancellableSource<S> {
    source: S,
    cancel: CancelToken,
}

impl<S: Source> CancellableSource<S> {
    pub(crate) fn new(source: S, cancel: &CancelToken) -> CancellableSource<S> {
        CancellableSource { source, cancel: cancel.clone() }
    }
}

impl<S: Source> Source for CancellableSource<S> {
    fn len(&self) -> Option<u64> {
        self.source.len()
    }

    fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
        self.source.positioned()
    }

    fn read_within(&mut self, buffer: &mut [u8], patience: Duration) -> io::Result<Arrival> {
        if self.cancel.is_cancelled() {
            return Ok(Arrival::NothingYet);
        }
        self.source.read_within(buffer, patience)
    }
}

/// How long a feed waits for its input before it lets the orchestrator look around.
pub const PATIENCE: Duration = Duration::from_millis(50);
