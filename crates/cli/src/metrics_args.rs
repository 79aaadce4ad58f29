//! `--metrics-file`: where a command says what it has done.
//! It knows no metric.

use std::path::{Path, PathBuf};

use clap::builder::{OsStringValueParser, TypedValueParser as _};

use crate::failure::Failure;
use crate::io_arg::a_file;
use crate::metrics_file::{self, RunInfo};
use crate::named_files::NamedFiles;
use crate::report::Report;

#[derive(clap::Args)]
pub(crate) struct MetricsArgs {
    /// Keep figures for Prometheus in this file, as its text format: bytes, seconds, retries, memory
    ///
    /// It is written at the beginning, each 15 seconds, and at the end, each time as a whole: for node_exporter's textfile collector, whose
    /// files end in .prom. Its name without that is the label `run` of each series: give each job a file of its own. If it cannot be written
    /// at first, nothing is done, nor while another run writes it (exit code 9); later that is a warning.
    #[arg(long, value_name = "FILE", help_heading = "Output", value_parser = OsStringValueParser::new().try_map(a_file))]
    metrics_file: Option<PathBuf>,
}

impl MetricsArgs {
    /// Notes the file that will be written.
    pub(crate) fn name_files(&self, files: &mut NamedFiles) -> Result<(), Failure> {
        self.metrics_file.iter().try_for_each(|file| files.stages_report(WHAT, file))
    }

    /// For a command that says something else in it.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.metrics_file.as_deref()
    }

    /// Before anything is done: begins to count, and checks all `files` of the command. What refuses one of the others is in the metrics
    /// already.
    pub(crate) fn begin(&self, run: RunInfo, files: &NamedFiles, report: Report) -> Result<(), Failure> {
        if let Some(file) = &self.metrics_file {
            files.check_one(WHAT)?;
            metrics_file::begin(file, run, report)?;
        }
        files.check()
    }
}

const WHAT: &str = "the metrics file";
