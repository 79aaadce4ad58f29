//! The tree that was replaced: removed, or kept under a name of its own.
//! Knows nothing of the new one.

use std::{io, path::PathBuf};

use rustix::{
    fs::{RenameFlags, renameat_with},
    io::Errno,
};
use storage::names::{NAME_LEN_MAX, beside};

use crate::{
    directory_id::{DirectoryId, Found},
    options::OldTree,
    removal::{Removal, remove_tree},
    target::Target,
};

impl Target {
    /// Does away with the tree `replaced`, which was the target and is at the private directory's name. Gives where it is if it is still there, and why.
    /// Something else that has come to that name is left there. The names are not synced.
    pub(crate) fn dispose_of(
        &self,
        replaced: DirectoryId,
        old_tree: OldTree,
    ) -> (Option<PathBuf>, Option<String>) {
        let not_removed = match old_tree {
            OldTree::Keep => None,
            OldTree::Remove => match remove_tree(&self.parent, &self.staging_name, replaced) {
                Ok(Removal::Done | Removal::Another) => return (None, None),
                Ok(Removal::HoldsMounts) => Some(HOLDS_MOUNTS.into()),
                Err(error) => Some(error.to_string()),
            },
        };
        match self.keep_old(replaced) {
            Ok(kept) => (kept, not_removed),
            // The new tree is in place: that is no reason to call it a failure. No journal vouches for it there, so nobody removes it.
            Err(error) => (Some(self.staging_path()), Some(not_removed.unwrap_or_else(|| error.to_string()))),
        }
    }

    /// Gives the tree that was replaced a name under which no attempt looks for anything. None: something else is at its name.
    fn keep_old(&self, replaced: DirectoryId) -> io::Result<Option<PathBuf>> {
        if Found::at(&self.parent, &self.staging_name)?.is_none_or(|there| there.id != replaced) {
            return Ok(None);
        }
        for number in 1..=OLD_TREES_MAX {
            let suffix = if number == 1 { OLD.to_owned() } else { format!("{OLD}-{number}") };
            let mut name = self.name.clone();
            name.push(&suffix);
            if name.len() > NAME_LEN_MAX {
                name = beside(&self.name, suffix.as_bytes(), NAME_LEN_MAX);
            }
            let flags = RenameFlags::NOREPLACE;
            match renameat_with(&self.parent, &self.staging_name, &self.parent, &name, flags) {
                Ok(()) => return Ok(Some(self.path.with_file_name(name))),
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "there are too many old trees beside it"))
    }
}

const OLD: &str = ".cofferdam-old";
/// Old trees beside the target: one each day for longer than anybody keeps them.
const OLD_TREES_MAX: usize = 1_000_000;
const HOLDS_MOUNTS: &str = "another file system is mounted in it";
