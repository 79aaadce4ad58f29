//! The commands, one a file.
//! This file knows their names alone.

pub(crate) mod bench;
pub(crate) mod cat;
pub(crate) mod completions;
#[cfg(feature = "foreign")]
pub(crate) mod convert;
pub(crate) mod diff;
pub(crate) mod discard;
pub(crate) mod drill;
pub(crate) mod inspect;
pub(crate) mod json;
pub(crate) mod keygen;
pub(crate) mod ls;
pub(crate) mod man;
#[cfg(feature = "signatures")]
pub(crate) mod manifest;
#[cfg(feature = "mount")]
pub(crate) mod mount;
pub(crate) mod receive;
pub(crate) mod recipients;
pub(crate) mod restore;
pub(crate) mod rewrap;
pub(crate) mod salvage;
pub(crate) mod seal;
#[cfg(feature = "serve")]
pub(crate) mod serve;
#[cfg(feature = "signatures")]
pub(crate) mod sign;
pub(crate) mod status;
#[cfg(feature = "remote")]
pub(crate) mod uploads;
pub(crate) mod verify;

use crate::args::Command;
use crate::failure::Failure;
use crate::report::Report;

/// Runs one command to its end.
pub(crate) fn run(command: Command, report: Report) -> Result<(), Failure> {
    match command {
        Command::Keygen(command) => command.run(report),
        Command::Seal(command) => command.run(report),
        Command::Restore(command) => command.run(report),
        Command::Cat(command) => command.run(report),
        Command::Ls(command) => command.run(report),
        Command::Diff(command) => command.run(report),
        #[cfg(feature = "serve")]
        Command::Serve(command) => command.run(report),
        #[cfg(feature = "mount")]
        Command::Mount(command) => command.run(report),
        #[cfg(feature = "foreign")]
        Command::Convert(command) => command.run(report),
        Command::Receive(command) => command.run(report),
        Command::Verify(command) => command.run(report),
        #[cfg(feature = "signatures")]
        Command::Sign(command) => command.run(report),
        #[cfg(feature = "signatures")]
        Command::Manifest(command) => command.run(report),
        Command::Drill(command) => command.run(report),
        Command::Inspect(command) => command.run(report),
        Command::Recipients(command) => command.run(report),
        Command::Rewrap(command) => command.run(report),
        Command::Status(command) => command.run(report),
        Command::Discard(command) => command.run(report),
        #[cfg(feature = "remote")]
        Command::Uploads(command) => command.run(report),
        Command::Bench(command) => command.run(report),
        Command::Demo(command) => command.run(report),
        Command::Completions(command) => command.run(),
        Command::Man(command) => command.run(),
        Command::Json(command) => command.run(),
    }
}
