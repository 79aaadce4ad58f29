//! `cofferdam man`: manual pages, from the definition of the command line.

use std::path::PathBuf;
use std::{fs, io};

use clap::CommandFactory as _;

use crate::args::Arguments;
use crate::failure::Failure;
use crate::report::print;

/// Print the manual page, or write the pages of all commands
#[derive(clap::Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Man {
    /// Write cofferdam.1 and a page for every command into this directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Man {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut command = Arguments::command().disable_help_subcommand(true);
        command.build();
        let Some(directory) = &self.dir else { return print(page(&command)?.as_bytes()) };
        for command in command.get_subcommands().chain([&command]) {
            let path = directory.join(clap_mangen::Man::new(command.clone()).get_filename());
            fs::write(&path, page(command)?).map_err(|error| {
                Failure::io(format!("{}: the page could not be written", path.display()), error)
            })?;
        }
        Ok(())
    }
}

fn page(command: &clap::Command) -> Result<String, Failure> {
    let failed = |error| Failure::io("the page could not be made", error);
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page).map_err(failed)?;
    let page = String::from_utf8(page).map_err(|error| failed(io::Error::other(error)))?;
    let (before, notes) = page.split_once(".SH EXTRA\n").unwrap_or((&page, ""));
    let notes = if notes.is_empty() { String::new() } else { format!(".SH NOTES\n{}", keep_tables(notes)) };
    Ok(format!("{}{notes}", with_usage(before, command)))
}

/// What the page was made with names all options, without their values, and as if each went with each. The help says how a command is used, and the options follow.
fn with_usage(page: &str, command: &clap::Command) -> String {
    let usage = command.clone().render_usage().to_string();
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let arguments = usage.trim_start_matches("Usage: ").trim_start_matches(name).replace('-', "\\-");
    let synopsis = format!(".SH SYNOPSIS\n\\fB{}\\fR{arguments}\n", name.replace('-', "\\-"));
    let parts = page.split_once(".SH SYNOPSIS\n").and_then(|(before, rest)| {
        let end = rest.find(".SH ")?;
        Some([before, &synopsis, &rest[end..]].concat())
    });
    parts.unwrap_or_else(|| page.to_owned())
}

/// Indented lines are examples and tables: roff would fill and justify them.
fn keep_tables(roff: &str) -> String {
    let mut kept = String::new();
    let mut in_table = false;
    for line in roff.lines() {
        if line.starts_with(' ') != in_table {
            in_table = !in_table;
            kept.push_str(if in_table { ".nf\n" } else { ".fi\n" });
        }
        kept.push_str(line);
        kept.push('\n');
    }
    kept
}

const AFTER_HELP: &str = "\
Examples:
  cofferdam man | man -l -
  cofferdam man --dir ~/.local/share/man/man1";
