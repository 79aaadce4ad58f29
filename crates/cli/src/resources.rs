//! `--threads` and `--memory`: what a command may use.
//! It knows no default; the library has them.

use std::num::NonZeroUsize;
use std::sync::Arc;

use cofferdam::{CancelToken, Observer, Opener, Sealer};

use crate::size::Size;

/// What long commands share.
#[derive(clap::Args)]
#[command(next_help_heading = "Resources")]
pub(crate) struct Resources {
    /// Threads that work on frames [default: as many as the machine runs at once]
    #[arg(long, value_name = "COUNT")]
    threads: Option<NonZeroUsize>,

    /// Bytes of frames held in memory at most: 4MiB, 1GiB, … [default: 32MiB]
    #[arg(long, value_name = "SIZE")]
    memory: Option<Size>,
}

impl Resources {
    pub(crate) fn threads(&self) -> Option<NonZeroUsize> {
        self.threads
    }

    pub(crate) fn memory(&self) -> Option<usize> {
        self.memory.map(in_memory)
    }

    pub(crate) fn sealer(&self, sealer: Sealer, cancel: &CancelToken, watch: Arc<dyn Observer>) -> Sealer {
        let mut sealer = sealer.cancel(cancel.clone()).observer(watch);
        if let Some(threads) = self.threads {
            sealer = sealer.threads(threads);
        }
        match self.memory {
            Some(memory) => sealer.memory(in_memory(memory)),
            None => sealer,
        }
    }

    pub(crate) fn opener(&self, opener: Opener, cancel: &CancelToken, watch: Arc<dyn Observer>) -> Opener {
        let mut opener = opener.cancel(cancel.clone()).observer(watch);
        if let Some(threads) = self.threads {
            opener = opener.threads(threads);
        }
        match self.memory {
            Some(memory) => opener.memory(in_memory(memory)),
            None => opener,
        }
    }
}

/// More than the address space is no limit at all.
fn in_memory(size: Size) -> usize {
    usize::try_from(size.0).unwrap_or(usize::MAX)
}
