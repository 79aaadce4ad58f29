//! Reads and writes at offsets, from any thread: the one seam between the engine, its sources and its sinks.
//! Knows no file, no sink and no format.
//!
//! Everywhere in Cofferdam the offset comes first, then the bytes. Both calls take or fill the whole buffer, or fail.
//!
//! ```
//! use cofferdam_io::ReadAt;
//! use std::io;
//!
//! struct Zeros(u64);
//!
//! impl ReadAt for Zeros {
//!     fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
//!         let end = offset.checked_add(buffer.len() as u64);
//!         if end.is_none_or(|end| end > self.0) {
//!             return Err(io::ErrorKind::UnexpectedEof.into());
//!         }
//!         buffer.fill(0);
//!         Ok(())
//!     }
//!
//!     fn len(&self) -> u64 {
//!         self.0
//!     }
//! }
//!
//! assert!(Zeros(10).read_exact_at(8, &mut [0; 2]).is_ok());
//! assert!(Zeros(10).read_exact_at(9, &mut [0; 2]).is_err());
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

mod at;
mod fetch;
mod patience;
#[cfg(feature = "rustix")]
mod proc_path;
mod share;

pub use at::{Lending, ReadAt, WriteAt};
pub use fetch::{Fetch, FetchError, FetchFault};
pub use patience::{MaybeInterrupted, Patience, retried};
#[cfg(feature = "rustix")]
pub use proc_path::{descriptor_path, proc_error, proc_path};
pub use share::share;
