//! The digest of a stream, by which it is pinned.
//! It knows no way to compute it.

/// The hash that fixes every byte of a stream's preamble, metadata and segments (FORMAT §11): a pin.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct StreamDigest(pub [u8; 32]);
