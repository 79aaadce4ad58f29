//! A part of a stream as people write it: `A..B`, `A..`, `..B`, `-N`.
//! It knows no stream; it is told the length of one.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use crate::failure::Failure;
use crate::size::Size;
use crate::text::count;

/// Bytes of a plaintext.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ByteRange {
    /// From the first number on, up to the second, which is excluded, or to the end.
    From(u64, Option<u64>),
    /// The last bytes, so many.
    Last(u64),
}

impl FromStr for ByteRange {
    type Err = String;

    fn from_str(text: &str) -> Result<ByteRange, String> {
        if let Some(last) = text.strip_prefix('-') {
            return Ok(ByteRange::Last(size(last)?));
        }
        let (from, to) = text.split_once("..").ok_or(FORMS)?;
        let from = if from.is_empty() { 0 } else { size(from)? };
        let to = if to.is_empty() { None } else { Some(size(to)?) };
        match to.is_some_and(|to| to < from) {
            true => Err("the range ends before it begins".to_owned()),
            false => Ok(ByteRange::From(from, to)),
        }
    }
}

impl ByteRange {
    /// The bytes of a stream of `len`.
    ///
    /// # Errors
    /// Some of them are beyond its end.
    pub(crate) fn within(self, len: u64) -> Result<Range<u64>, Failure> {
        let range = match self {
            ByteRange::From(from, to) => from..to.unwrap_or(len.max(from)),
            ByteRange::Last(count) if count <= len => len - count..len,
            ByteRange::Last(_) => return Err(self.outside(len)),
        };
        if range.end > len { Err(self.outside(len)) } else { Ok(range) }
    }

    fn outside(self, len: u64) -> Failure {
        Failure::usage(format!("{self} is not within the stream, whose plaintext has {}", count(len, "byte")))
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ByteRange::From(from, Some(to)) => write!(f, "the range {from}..{to}"),
            ByteRange::From(from, None) => write!(f, "the range {from}.."),
            ByteRange::Last(1) => f.write_str("the range of the last byte"),
            ByteRange::Last(count) => write!(f, "the range of the last {count} bytes"),
        }
    }
}

fn size(text: &str) -> Result<u64, String> {
    text.trim().parse::<Size>().map(|size| size.0)
}

const FORMS: &str = "a range is A..B, A.., ..B, or -N for the last N bytes";

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails by panicking.
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_with_either_end_left_out_and_with_units() {
        for (text, range) in [
            ("0..1", ByteRange::From(0, Some(1))),
            ("5..5", ByteRange::From(5, Some(5))),
            ("4KiB..1MiB", ByteRange::From(4096, Some(1 << 20))),
            ("1 KiB .. 2 KiB", ByteRange::From(1024, Some(2048))),
            ("7..", ByteRange::From(7, None)),
            ("..7", ByteRange::From(0, Some(7))),
            ("..", ByteRange::From(0, None)),
            ("-0", ByteRange::Last(0)),
            ("-4k", ByteRange::Last(4096)),
        ] {
            assert_eq!(text.parse(), Ok(range), "{text}");
        }
        for text in
            ["", "7", "-", "--7", "1-2", "a..b", "2..1", "1..2..3", "-1..", "1..-1", "1.5..2", "...", "=1.."]
        {
            assert!(text.parse::<ByteRange>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_range_is_within_the_stream_or_refused_with_its_length() {
        for (text, len, range) in [
            ("..", 0, 0..0),
            ("..", 10, 0..10),
            ("3..10", 10, 3..10),
            ("10..", 10, 10..10),
            ("10..10", 10, 10..10),
            ("-3", 10, 7..10),
            ("-10", 10, 0..10),
            ("-0", 10, 10..10),
        ] {
            assert_eq!(text.parse::<ByteRange>().unwrap().within(len).unwrap(), range, "{text} of {len}");
        }
        for text in ["3..11", "11..", "..11", "-11", "11..12"] {
            let refused = text.parse::<ByteRange>().unwrap().within(10).unwrap_err();
            assert_eq!(refused.exit_code(), 2);
            assert!(refused.message.contains("has 10 bytes"), "{}", refused.message);
        }
    }
}
