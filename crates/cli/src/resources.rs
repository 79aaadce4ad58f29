//! `--threads` and `--memory`: what a command may use.
//! It knows no default; the library has them.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use cofferdam::{CancelToken, Observer, Opener, Sealer, THREADS_MAX};

use crate::failure::Failure;
use crate::metrics_args::MetricsArgs;
use crate::metrics_file::RunInfo;
use crate::named_files::NamedFiles;
use crate::report::Report;
use crate::size::Size;

/// What long commands share.
#[derive(clap::Args)]
#[command(next_help_heading = "Resources")]
pub(crate) struct Resources {
    /// Threads that work on frames, at most 1024 [default: as many as the machine runs at once]
    #[arg(long, value_name = "COUNT", value_parser = parse_threads)]
    threads: Option<NonZeroUsize>,

    /// Bytes of frames held in memory at most: 4MiB, 1GiB, … [default: 32MiB, 256MiB where it is read from a store, less where little is left]
    ///
    /// Without it, a quarter of what the machine and the cgroup have left is used, if that is less. While memory is short, less of it is
    /// used than could be: see the operations guide.
    #[arg(long, value_name = "SIZE")]
    memory: Option<Size>,

    #[command(flatten)]
    metrics: MetricsArgs,
}

impl Resources {
    pub(crate) fn threads(&self) -> Option<NonZeroUsize> {
        self.threads
    }

    pub(crate) fn name_files(&self, files: &mut NamedFiles) -> Result<(), Failure> {
        self.metrics.name_files(files)
    }

    /// For a command that says something else in it.
    pub(crate) fn metrics_file(&self) -> Option<&Path> {
        self.metrics.path()
    }

    /// Before anything is done: warns of what only costs, and begins to count for the metrics file. See [`MetricsArgs::begin`].
    pub(crate) fn begin(&self, run: RunInfo, files: &NamedFiles, report: Report) -> Result<(), Failure> {
        self.warn(report);
        self.metrics.begin(run, files, report)
    }

    /// Warns of what only costs.
    pub(crate) fn warn(&self, report: Report) {
        let Some(threads) = self.threads else { return };
        let processors = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        if threads.get() > processors.get().saturating_mul(THREADS_PER_PROCESSOR) {
            report.warning(format!(
                "{threads} threads on a machine that runs {processors} at once: more than {THREADS_PER_PROCESSOR} for each of \
                 them make nothing faster, and take memory"
            ));
        }
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

fn parse_threads(text: &str) -> Result<NonZeroUsize, String> {
    let threads = text.parse().ok().filter(|threads: &NonZeroUsize| *threads <= THREADS_MAX);
    threads.ok_or_else(|| format!("a number of threads is a whole number from 1 to {THREADS_MAX}"))
}

/// More than the address space is no limit at all.
fn in_memory(size: Size) -> usize {
    usize::try_from(size.0).unwrap_or(usize::MAX)
}

/// What a stream waits for, reading and writing, is hidden by fewer.
const THREADS_PER_PROCESSOR: usize = 4;
