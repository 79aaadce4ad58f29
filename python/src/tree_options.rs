//! What `restore` and `restore_paths` are told of the directory that a tree becomes.
//! It restores nothing; the library does.

use std::path::PathBuf;

use cofferdam::tree_sink::{DeviceFiles, OldTree, Owners, Placement, SetIdBits, TreeOptions};
use cofferdam::{Opener, TreeOutcome, is_pipe, refuse_within};
use pyo3::prelude::*;

use crate::source::Given;
use crate::target::Target;
use crate::{error, keys};

/// The files that a call reads beside the stream: of identities, and of `signed_by` and `signature`, as far as these name one.
pub(crate) fn files(
    identities: Option<&Bound<'_, PyAny>>,
    signatures: [Option<&Bound<'_, PyAny>>; 2],
) -> PyResult<Vec<PathBuf>> {
    let mut files = keys::files(identities)?;
    files.extend(signatures.into_iter().flatten().filter_map(|given| given.extract().ok()));
    Ok(files)
}

/// The keywords, as they are given.
pub(crate) struct Asked {
    pub(crate) force: bool,
    pub(crate) keep_old: bool,
    pub(crate) into: bool,
    pub(crate) numeric_owner: bool,
    pub(crate) no_owner: bool,
    pub(crate) set_id: bool,
    pub(crate) devices: bool,
}

impl Asked {
    /// Whether something is asked for that only a directory has.
    fn is_given(&self) -> bool {
        self.keep_old || self.into || self.numeric_owner || self.no_owner || self.set_id || self.devices
    }

    /// Refuses what does not go together, and a directory to be replaced that holds what is read.
    pub(crate) fn check(&self, py: Python<'_>, ends: (&Given, &Target), files: Vec<PathBuf>) -> PyResult<()> {
        let refused = |what| Err(error::usage(py, what));
        match self {
            Asked { keep_old: true, force: false, .. } => return refused("`keep_old` goes with `force`"),
            Asked { keep_old: true, into: true, .. } => {
                return refused("`into` replaces no directory that `keep_old` would keep");
            }
            Asked { numeric_owner: true, no_owner: true, .. } => {
                return refused("`numeric_owner` and `no_owner` say different things of owners");
            }
            _ => {}
        }
        let directory = match ends.1 {
            Target::Path(path) if !is_pipe(path) => path,
            _ if self.is_given() => {
                return refused(
                    "the target is no directory on this machine, and a keyword is for directories",
                );
            }
            _ => return Ok(()),
        };
        if self.force && !self.keep_old && !self.into && directory.is_dir() {
            let sealed = match ends.0 {
                Given::Path(path) => Some(path.clone()),
                _ => None,
            };
            let mut read = sealed.into_iter().chain(files);
            read.try_for_each(|path| refuse_within(directory, path)).map_err(|why| error::raise(py, &why))?;
        }
        Ok(())
    }

    pub(crate) fn options(&self) -> TreeOptions {
        let owners = match (self.numeric_owner, self.no_owner) {
            (true, _) => Owners::ByNumber,
            (_, true) => Owners::Ours,
            _ => Owners::ByName,
        };
        TreeOptions::default()
            .owners(owners)
            .old_tree(if self.keep_old { OldTree::Keep } else { OldTree::Remove })
            .placement(if self.into { Placement::Into } else { Placement::Whole })
            .device_files(if self.devices { DeviceFiles::Restore } else { DeviceFiles::LeaveOut })
            .set_id_bits(if self.set_id { SetIdBits::Restore } else { SetIdBits::LeaveOut })
    }

    /// Has `opener` make a directory of a stream that is a tree.
    pub(crate) fn opener(&self, opener: Opener, outcome: &TreeOutcome) -> Opener {
        let opener = opener.trees(self.options(), outcome);
        if self.is_given() { opener.only_trees() } else { opener }
    }
}
