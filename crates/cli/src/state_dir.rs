//! Where the states of interrupted sealings are kept: the option, or the user's state directory.
//! It reads the environment, which the library does not, and opens no state.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::printable::Name;
use crate::report::Report;

/// The option that names another directory.
#[derive(clap::Args)]
pub(crate) struct StateDir {
    /// Where states of interrupted sealings are kept, which hold keys [default: $XDG_STATE_HOME/cofferdam, else
    /// ~/.local/state/cofferdam]
    #[arg(long = "state-dir", value_name = "DIR")]
    pub(crate) path: Option<PathBuf>,
}

impl StateDir {
    /// The directory, if the option or the environment names one.
    pub(crate) fn find(&self) -> Option<PathBuf> {
        self.path.clone().or_else(|| {
            let home = absolute("HOME").map(|home| home.join(".local/state"));
            absolute("XDG_STATE_HOME").or(home).map(|states| states.join("cofferdam"))
        })
    }

    /// As [`StateDir::find`]. That no directory was looked at is said: a state that is kept holds a key. One that nobody has named and that may not be
    /// read is another user's, whose environment this is: that is no reason to do nothing.
    pub(crate) fn find_or_warn(&self, report: Report) -> Option<PathBuf> {
        let found = self.find();
        if let (Some(directory), None) = (&found, &self.path)
            && let Err(error) = fs::read_dir(directory)
            && error.kind() == io::ErrorKind::PermissionDenied
        {
            let directory = Name::from(directory.as_path());
            report.warning(format!("no state of a sealing was looked for in {directory}: {error}"));
            return None;
        }
        if found.is_none() {
            report.warning(
                "no state of a sealing was looked for: neither XDG_STATE_HOME nor HOME is set, and no --state-dir was given",
            );
        }
        found
    }

    /// The directory; a usage error where nothing names one.
    pub(crate) fn require(&self) -> Result<PathBuf, Failure> {
        self.find().ok_or_else(|| {
            Failure::usage(
                "there is no place for what lets a sealing resume: neither XDG_STATE_HOME nor HOME is set",
            )
            .advise("Name a directory of your own with --state-dir, or leave --resume away.")
        })
    }
}

/// A variable that holds an absolute path. Others do not count (XDG Base Directory Specification).
fn absolute(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from).filter(|path: &PathBuf| Path::is_absolute(path))
}
