//! Cofferdam's wire format: bytes to records and back, and where one record ends and the next begins.
//! It knows no key, no cipher, no hash, no thread and no file, and depends on nothing.
//!
//! Every record of `docs/FORMAT.md` has a type here with `parse` and `to_bytes`. Parsing checks all that can be
//! checked without a key; what needs one (tags, MACs, digests) is the caller's. Nothing here allocates by a
//! length that has not passed a limit of [`limits`].
//!
//! ```
//! use framing::{FrameHeader, FrameIndex, Shape, split_frames};
//!
//! let shape = Shape::new(4096, 4)?;
//! let mut wire = Vec::new();
//! for index in 0..2 {
//!     wire.extend(FrameHeader::data(FrameIndex(index), 4096).to_bytes());
//!     wire.extend([0; 4096 + 16]); // ciphertext and tag
//! }
//! let frames = split_frames(&wire, shape)?;
//! assert_eq!(frames, [0..4128, 4128..8256]);
//! # Ok::<(), framing::FramingError>(())
//! ```

mod error;
mod field;
mod frame;
mod geometry;
mod hex;
mod index;
mod key_area;
pub mod limits;
mod metadata;
mod preamble;
mod segment;
mod splitter;

pub use error::{Fault, FramingError, Record};
pub use frame::{DigestFrame, Encoding, FrameHeader, FrameIndex, FrameKind, Table, Terminator, split_frames};
pub use geometry::{SegmentPlace, StreamGeometry};
pub use hex::{ParseHexError, parse_hex, write_hex};
pub use index::{
    DirectoryEntry, Footer, IndexEntry, IndexPage, decode_directory, encode_directory, page_len,
};
pub use key_area::{KeyCopy, Slot};
pub use metadata::{MetadataHead, decode_entries, encode_entries};
pub use preamble::{Compression, DigestKind, Preamble, Shape, StreamId, Suite, VERSION as FORMAT_VERSION};
pub use segment::{SegmentHeader, SegmentIndex};
pub use splitter::{Piece, Splitter};
