//! Where the states of interrupted sealings are kept: the option, or the user's state directory.
//! It reads the environment, which the library does not, and opens no state.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cofferdam::{ErrorKind, check_state_dir};

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

/// Where the list of a tree's files is kept while it is sealed.
pub(crate) enum ListPlace {
    /// In the state directory.
    State(PathBuf),
    /// In a file without a name in this directory, which may be anybody's.
    Unnamed(PathBuf),
}

impl ListPlace {
    pub(crate) fn directory(&self) -> &Path {
        match self {
            ListPlace::State(directory) | ListPlace::Unnamed(directory) => directory,
        }
    }

    /// For a sealing that leaves nothing: where no state directory is named and the user's cannot be used, a directory for temporary files will do, or
    /// the `output`'s.
    pub(crate) fn find(states: &StateDir, output: Option<&Path>) -> Result<ListPlace, Failure> {
        if let Some(named) = &states.path {
            return Ok(ListPlace::State(named.clone()));
        }
        if let Some(found) = states.find() {
            match check_state_dir(&found) {
                Ok(()) => return Ok(ListPlace::State(found)),
                // It is not there, and cannot be made, or written.
                Err(error) if error.kind() == ErrorKind::Io => {}
                Err(error) => return Err(error.into()),
            }
        }
        let beside = output.map(|output| match output.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        });
        let mut places = [Some(env::temp_dir()), beside].into_iter().flatten();
        places.find(|place| tempfile::tempfile_in(place).is_ok()).map(ListPlace::Unnamed).ok_or_else(|| {
            Failure::usage(
                "there is no place for the list of what is sealed: not in the user's state directory, nor in that of temporary files, \
                 nor beside the output",
            )
            .advise("Name a directory of your own with --state-dir, or by the environment: TMPDIR.")
        })
    }
}

/// A variable that holds an absolute path. Others do not count (XDG Base Directory Specification).
fn absolute(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from).filter(|path: &PathBuf| Path::is_absolute(path))
}
