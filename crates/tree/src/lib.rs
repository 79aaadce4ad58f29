//! Trees: a directory as a tar archive with a catalog behind it, and what lies where in that.
//! Knows no key, no frame and no engine: a tree's plaintext is bytes that can be read at offsets.
//!
//! The format is docs/TREE.md. An archive is made of [`Member`]s, whose headers this crate writes and reads within a strict profile; the
//! [`Catalog`] finds members by path and by offset with a few small reads.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod archive;
mod catalog;
mod changes;
mod cut;
mod entry;
mod error;
mod globs;
mod header;
mod layout;
pub mod limits;
mod linked_files;
mod mount_id;
mod owners;
mod path;
mod plan;
mod root;
mod selection;
mod source;
mod stamps;
mod subtree;
mod tar;
mod walk;
mod xattrs;

pub use cofferdam_io::ReadAt;

pub use archive::{ArchiveScanner, ScannedMember};
pub use catalog::{
    Catalog, CatalogWriter, CheckedCatalog, Content, EntryCounts, InOrder, LocatedEntry, Page, WrittenCatalog,
};
pub use changes::ChangedFiles;
pub use cut::ArchiveCut;
pub use entry::{Entry, EntryKind, Member, Timestamp, Xattr};
pub use error::TreeError;
pub use globs::Globs;
pub use header::HeaderFault;
pub use layout::{Layout, Piece, Place};
pub use mount_id::MountId;
pub use path::{NameFault, TreePath};
pub use plan::Plan;
pub use root::TreeRoot;
pub use selection::{Mounts, WalkOptions};
pub use source::{OnChange, TreeSource};
pub use subtree::Subtree;
pub use tar::{CatalogOutcome, TarSource};
pub use walk::{LeftOut, walk};
