//! `cofferdam completions`: what a shell needs to complete arguments.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Arguments;
use crate::failure::Failure;
use crate::report::print;

/// Print completions for a shell
#[derive(clap::Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "cofferdam", &mut script);
        print(&script)
    }
}

const AFTER_HELP: &str = "\
Example:
  cofferdam completions bash > ~/.local/share/bash-completion/completions/cofferdam";
