//! The `cofferdam` command: reads arguments, runs one command, exits with its code.
//! It knows no format and no cipher; the library does the work.

mod abort;
mod args;
mod byte_range;
mod clock;
mod commands;
#[cfg(any(feature = "mount", feature = "serve"))]
mod complaints;
mod credential;
mod demo;
mod duration_text;
mod expected;
mod failure;
mod foreign;
#[cfg_attr(not(feature = "foreign"), path = "no_foreign_args.rs")]
mod foreign_args;
mod format_args;
mod interrupt;
mod io_arg;
mod json;
mod key_args;
mod key_command;
mod key_file;
mod line_queue;
#[cfg(feature = "signatures")]
mod manifest_arg;
mod metrics_args;
mod metrics_file;
mod named_files;
mod opening_args;
mod passphrase;
mod peer;
mod plan_args;
mod printable;
mod program;
mod progress;
mod prometheus;
mod rate;
#[cfg(feature = "serve")]
mod recording;
mod remedy;
mod report;
mod resources;
mod restored_tree;
mod sealed;
mod sealing_keys;
mod secrets;
mod service;
mod signatures;
mod size;
#[cfg(feature = "signatures")]
mod small_source;
mod staging_args;
mod standard;
mod state_dir;
mod tar_args;
mod terminal;
mod text;
mod timeout;
mod tree_args;
mod tree_reading;
mod uploading;
mod url;
#[cfg(feature = "serve")]
mod warming;
mod whole_file;

use std::borrow::Cow;
use std::env;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use clap::builder::StyledStr;
use clap::error::ErrorKind as ClapErrorKind;

use crate::args::Arguments;
use crate::failure::Failure;
use crate::report::Report;
use crate::standard::Standard;

fn main() -> ExitCode {
    abort::install();
    let exit_code = run();
    report::flush();
    exit_code
}

fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(refusal) => return refused(&refusal),
    };
    let report = arguments.report();
    let exit_code = match commands::run(arguments.command, report) {
        Ok(()) => 0,
        Err(failure) => {
            report.failure(&failure);
            failure.exit_code()
        }
    };
    metrics_file::finish(exit_code, report);
    ExitCode::from(exit_code)
}

/// Help and version are what was asked for; anything else is a usage error, in the form that was asked for.
fn refused(refusal: &clap::Error) -> ExitCode {
    let is_answer = matches!(refusal.kind(), ClapErrorKind::DisplayHelp | ClapErrorKind::DisplayVersion);
    if !is_answer && env::args_os().any(|argument| argument == "--json") {
        let message = refusal.to_string();
        let failure = Failure::usage(message.trim_end().trim_start_matches("error: "));
        Report::json().failure(&failure);
        return ExitCode::from(failure.exit_code());
    }
    if is_answer && let Err(failure) = Standard::Output.refuse_unusable() {
        Report::new(false, false).failure(&failure);
        return ExitCode::from(failure.exit_code());
    }
    let printed = match repeated_safely(refusal) {
        Some(text) if !is_answer => io::stderr().write_all(text.as_bytes()),
        _ => refusal.print(),
    };
    match printed {
        Ok(()) => ExitCode::from(u8::try_from(refusal.exit_code()).unwrap_or(1)),
        Err(_) => ExitCode::FAILURE,
    }
}

/// The refusal without styles, where it repeats an argument that would steer the terminal, which is written out, or a URL with what is
/// secret, which is left out. A shell's pattern makes arguments of whatever names there are.
fn repeated_safely(refusal: &clap::Error) -> Option<String> {
    let rendered = refusal.render().to_string();
    let mut text = match secrets::hide(&rendered) {
        Cow::Borrowed(_) => None,
        Cow::Owned(hidden) => Some(hidden),
    };
    for argument in env::args_os() {
        let argument = argument.to_string_lossy().into_owned();
        let shown = printable::line(&argument);
        if shown != argument {
            let text = text.get_or_insert_with(|| rendered.clone());
            // The parser's own text leaves out a part of such characters.
            let repeated = StyledStr::from(argument.clone()).to_string();
            *text = text.replace(&repeated, &shown);
        }
    }
    text.map(|text| printable::lines(&text).into_owned())
}
