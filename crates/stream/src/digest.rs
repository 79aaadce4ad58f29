//! The digest of a stream, by which it is pinned.
//! It knows no way to compute it.

use std::fmt;
use std::str::FromStr;

use framing::{ParseHexError, parse_hex, write_hex};

/// The hash that fixes every byte of a stream's preamble, metadata and segments (FORMAT §11): a pin.
///
/// As text it is 64 hexadecimal digits, as a seal prints it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct StreamDigest(
    /// The bytes, whichever digest the stream names.
    pub [u8; 32],
);

impl fmt::Display for StreamDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl FromStr for StreamDigest {
    type Err = ParseHexError;

    fn from_str(text: &str) -> Result<StreamDigest, ParseHexError> {
        parse_hex(text).map(StreamDigest)
    }
}
