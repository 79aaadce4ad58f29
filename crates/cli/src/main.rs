//! The `cofferdam` command: reads arguments, runs one command, exits with its code.
//! It knows no format and no cipher; the library does the work.

mod args;
mod commands;
mod demo;
mod ends;
mod failure;
mod interrupt;
mod keys_of;
mod passphrase;
mod peer;
mod progress;
mod report;
mod resources;
mod size;
mod terminal;
mod text;

use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind as ClapErrorKind;

use crate::args::Arguments;
use crate::failure::Failure;
use crate::report::Report;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(refusal) => return refused(&refusal),
    };
    let report = arguments.report();
    match commands::run(arguments.command, report) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report.failure(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Help and version are what was asked for; anything else is a usage error, in the form that was asked for.
fn refused(refusal: &clap::Error) -> ExitCode {
    let is_answer = matches!(refusal.kind(), ClapErrorKind::DisplayHelp | ClapErrorKind::DisplayVersion);
    if !is_answer && std::env::args_os().any(|argument| argument == "--json") {
        let message = refusal.to_string();
        let failure = Failure::usage(message.trim_end().trim_start_matches("error: "));
        Report::json().failure(&failure);
        return ExitCode::from(failure.exit_code());
    }
    match refusal.print() {
        Ok(()) => ExitCode::from(u8::try_from(refusal.exit_code()).unwrap_or(1)),
        Err(_) => ExitCode::FAILURE,
    }
}
