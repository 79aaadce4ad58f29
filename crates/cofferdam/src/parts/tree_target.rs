//! A tree's options as a plan has them, and what a stream becomes.
//! It makes nothing.

use std::path::Path;
use std::sync::Arc;

use ::parts::{TreeOwners, TreeTarget};
use contract::IfExists;
use storage::{OnPartial, TargetDir};
use stream::{ContentKind, Partition, Reader};
use tree::Content;
use tree_sink::{DeviceFiles, OldTree, Owners, SetIdBits, TreeOptions};

use super::planning::Planning;
use crate::trees::{no_tree, tree_content};
use crate::{Error, ErrorKind, Opener};

impl Opener {
    /// What the planned stream becomes: a directory, or a file of all of its bytes or of the first.
    pub(super) fn planned_content(
        &self,
        partition: &Partition,
        reader: Option<Reader>,
    ) -> Result<Planning, Error> {
        let options = self.planned_tree()?;
        match (partition.content, reader.map(Arc::new), options) {
            (None, _, Some((_, true))) => Err(no_tree()),
            (None, ..) => Ok(Planning::File { len: None }),
            (Some(ContentKind::Tree), Some(reader), Some((options, only_trees))) => {
                match tree_content(&reader)? {
                    Content::Tree(_) => Ok(Planning::Tree(planned(&options))),
                    Content::PlainFile { .. } if only_trees => Err(no_tree()),
                    Content::PlainFile { tar_len } => Ok(Planning::File { len: Some(tar_len) }),
                }
            }
            // What is made of it is not known.
            _ => {
                let what = "the stream is a tree, and nothing says how it becomes a directory";
                Err(Error::new(ErrorKind::Unsupported, what).advise("Plan with what restores trees."))
            }
        }
    }

    /// Refuses a target that the tree could not become, as it is now, and what would be removed with a directory that is replaced.
    pub(super) fn check_tree_target(
        &self,
        target_dir: &TargetDir,
        plan: &Path,
        source: &Path,
    ) -> Result<(), Error> {
        let target = target_dir.path();
        tree_sink::check_target(target, self.if_exists).map_err(Error::target)?;
        target_dir.check_writable().map_err(Error::target)?;
        self.refuse_sealed_within(source, target)?;
        let beside = plan.parent().filter(|parent| !parent.as_os_str().is_empty());
        crate::refuse_within(target, beside.unwrap_or(Path::new("."))).map_err(|_| {
            let what = "the plan would lie in the directory that is to be replaced";
            Error::new(ErrorKind::Usage, what).advise("Give the plan a name elsewhere.")
        })
    }
}

fn planned(options: &TreeOptions) -> TreeTarget {
    TreeTarget {
        owners: match options.owners_of() {
            Owners::ByName => TreeOwners::ByName,
            Owners::ByNumber => TreeOwners::ByNumber,
            Owners::Ours => TreeOwners::Ours,
        },
        restores_set_id: options.set_id_bits_of() == SetIdBits::Restore,
        makes_devices: options.device_files_of() == DeviceFiles::Restore,
        keeps_old: options.old_tree_of() == OldTree::Keep,
    }
}

/// How a tree is made that was planned so.
pub(super) fn options_of(tree: TreeTarget, replaces: bool) -> TreeOptions {
    let TreeTarget { owners, restores_set_id, makes_devices, keeps_old } = tree;
    TreeOptions::new(if replaces { IfExists::Replace } else { IfExists::Refuse })
        .owners(match owners {
            TreeOwners::ByName => Owners::ByName,
            TreeOwners::ByNumber => Owners::ByNumber,
            TreeOwners::Ours => Owners::Ours,
        })
        .set_id_bits(if restores_set_id { SetIdBits::Restore } else { SetIdBits::LeaveOut })
        .device_files(if makes_devices { DeviceFiles::Restore } else { DeviceFiles::LeaveOut })
        .old_tree(if keeps_old { OldTree::Keep } else { OldTree::Remove })
        .on_partial(OnPartial::Resume)
}
