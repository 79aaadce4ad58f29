//! Feeds: streams cut into steps for the segment worker.
//! Here format, keys and sources meet; the pipeline behind knows none of them.

pub(crate) mod placed;
pub(crate) mod plain;
pub(crate) mod sequential;
pub(crate) mod window;

use std::io;
use std::sync::Arc;
use std::time::Duration;

/// A source's positioned side, as the segment worker's jobs read it.
pub(crate) struct Place(pub(crate) Arc<dyn sources::ReadAt>);

impl segment_worker::ReadAt for Place {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(offset, buffer)
    }

    fn as_slice(&self) -> Option<&[u8]> {
        self.0.as_slice()
    }
}

/// How long a feed waits for its input before it lets the orchestrator look around.
pub(crate) const PATIENCE: Duration = Duration::from_millis(50);
