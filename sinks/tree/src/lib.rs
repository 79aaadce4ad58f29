//! A sink that restores a tree: files beneath a private directory beside the target, which becomes the target by one rename.
//! Knows no key and no engine; what lies where it is told by the tree's catalog.
//!
//! A [`TreeSink`] takes the plaintext of a tree at any offset, from any thread. The catalog has to be readable before the first write: it is
//! read once, and looked at as a whole, before anything is made.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod archive_sink;
mod attributes;
mod directory_id;
mod error;
mod file_sync;
mod finishing;
mod journal;
mod leftovers;
mod letting_in;
mod made;
mod members;
mod merging;
mod new_name;
mod old_tree;
mod opening;
mod options;
mod owner_numbers;
mod probes;
mod recovery;
mod removal;
mod sink;
mod spooled;
mod staging;
mod taking_back;
mod target;
mod target_lock;
mod written_file;

pub use archive_sink::ArchiveSink;
pub use attributes::LeftOut;
pub use error::TreeSinkError;
pub use finishing::{Finished, finish_published};
pub use leftovers::{TreeLeft, TreeLeftovers, is_beside, look, remove_attempt, remove_beside};
pub use new_name::rename_new;
pub use opening::{Attempt, Opened};
pub use options::{DeviceFiles, OldTree, Owners, Placement, Room, SetIdBits, TreeOptions};
pub use probes::remove_probe;
pub use removal::{Removal, remove_directory};
pub use sink::{Restored, SharedRestored, TreeSink};
pub use spooled::{SpooledTree, attempt_beside};
pub use staging::write_sparse;
pub use target::{check_target, scratch_directory};
pub use written_file::{Taken, WrittenFile};
