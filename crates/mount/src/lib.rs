//! Trees and single files out of bytes that can be read at offsets, mounted read-only by FUSE.
//! Knows no sealed stream, no key and no command.
//!
//! What is mounted does not change: the kernel keeps names, attributes and contents that it has seen for as long as it likes. Nothing is kept
//! here but the catalog's pages and where the files are that are open. A read that fails is `EIO` at the program that reads, and a
//! [`Notice`]; it never gives other bytes.
//!
//! ```no_run
//! # struct Text(&'static [u8]);
//! # impl cofferdam_io::ReadAt for Text {
//! #     fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
//! #         buffer.copy_from_slice(&self.0[offset as usize..][..buffer.len()]);
//! #         Ok(())
//! #     }
//! #     fn len(&self) -> u64 {
//! #         self.0.len() as u64
//! #     }
//! # }
//! use std::{path::Path, sync::Arc, time::Duration};
//! use mount::{Contents, ContentsKind, MountOptions, MountPoint, Mounted};
//!
//! let directory = Path::new("/mnt/text");
//! let mount_point = MountPoint::open(directory)?;
//! let options = MountOptions::default();
//! let contents = Contents::open(Arc::new(Text(b"plaintext")), ContentsKind::File("text".into()), &options)?;
//! let mounted = Mounted::new(contents, mount_point, &options, Arc::new(|notice| eprintln!("{notice}")))?;
//! assert_eq!(std::fs::read(directory.join("text"))?, b"plaintext");
//! mounted.unmount(Duration::from_secs(1))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

mod bounded_source;
mod contents;
mod error;
mod file_system;
mod inode;
mod link_counts;
mod mount_point;
mod mounted;
mod node;
mod notice;
mod open_files;
mod options;
#[cfg(test)]
mod tests;
mod tree_view;

pub use contents::{Contents, ContentsKind};
pub use error::MountError;
pub use link_counts::HARD_LINKS_MAX;
pub use mount_point::MountPoint;
pub use mounted::{Mounted, THREADS, Unmounted};
pub use notice::Notice;
pub use options::{Access, MountOptions, Owners};
