//! `cofferdam man`: manual pages, from the definition of the command line.
//! It knows no more than the help says.

use std::path::PathBuf;

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
        let command = Arguments::command();
        if let Some(directory) = &self.dir {
            return clap_mangen::generate_to(command, directory).map_err(|error| {
                Failure::io(format!("{}: the pages could not be written", directory.display()), error)
            });
        }
        let mut page = Vec::new();
        clap_mangen::Man::new(command)
            .render(&mut page)
            .map_err(|error| Failure::io("the page could not be made", error))?;
        print(&page)
    }
}

const AFTER_HELP: &str = "\
Examples:
  cofferdam man | man -l -
  cofferdam man --dir ~/.local/share/man/man1";
