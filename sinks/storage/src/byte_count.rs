//! A number of bytes in a sentence.
//! Knows nothing of what the bytes are.

use std::fmt;

/// A number of bytes, shown in the largest binary unit of which there is one, with three digits.
///
/// ```
/// use storage::ByteCount;
///
/// assert_eq!(ByteCount(1).to_string(), "1 byte");
/// assert_eq!(ByteCount(1023).to_string(), "1023 bytes");
/// assert_eq!(ByteCount(1536).to_string(), "1.50 KiB");
/// assert_eq!(ByteCount(3 << 40).to_string(), "3.00 TiB");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ByteCount(
    /// The number.
    pub u64,
);

impl fmt::Display for ByteCount {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scale = SCALE.iter().rev().find(|(_, factor)| self.0 >= *factor);
        let Some((unit, factor)) = scale else {
            return write!(out, "{} byte{}", self.0, if self.0 == 1 { "" } else { "s" });
        };
        let value = self.0 as f64 / *factor as f64;
        let decimals = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
        write!(out, "{value:.decimals$} {unit}")
    }
}

const SCALE: [(&str, u64); 5] =
    [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40), ("PiB", 1 << 50)];
