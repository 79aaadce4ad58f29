//! `--threads` and `--memory`: what a command may use; `--metrics-file`: where it says what it has used.
//! It knows no default; the library has them.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use cofferdam::{CancelToken, Observer, Opener, Sealer, THREADS_MAX};

use crate::failure::Failure;
use crate::io_arg::{End, a_file};
use crate::metrics_file;
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

    /// Keep figures for Prometheus in this file, as its text format: bytes, seconds, retries, memory
    ///
    /// It is written at the beginning, each 15 seconds, and at the end, each time as a whole: for node_exporter's textfile collector, whose
    /// files end in .prom. If it cannot be written at first, nothing is done; later that is a warning.
    #[arg(long, value_name = "FILE", help_heading = "Output", value_parser = OsStringValueParser::new().try_map(a_file))]
    metrics_file: Option<PathBuf>,
}

impl Resources {
    pub(crate) fn threads(&self) -> Option<NonZeroUsize> {
        self.threads
    }

    pub(crate) fn name_files(&self, files: &mut NamedFiles) -> Result<(), Failure> {
        let file = self.metrics_file.iter().cloned();
        file.into_iter().try_for_each(|file| files.writes("the metrics file", &End::Path(file)))
    }

    /// For a command that says something else in it.
    pub(crate) fn metrics_file(&self) -> Option<&Path> {
        self.metrics_file.as_deref()
    }

    /// Before anything is done: warns of what only costs, and begins to count for the metrics file.
    pub(crate) fn begin(&self, report: Report) -> Result<(), Failure> {
        self.warn(report);
        self.metrics_file.as_deref().map_or(Ok(()), |file| metrics_file::begin(file, report))
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
