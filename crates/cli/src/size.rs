//! Sizes as people write them: `4MiB`, `1GiB`, `65536`.

use std::fmt;
use std::str::FromStr;

use cofferdam::ByteCount;

/// A number of bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Size(pub(crate) u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        let digits_len = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(digits_len);
        let count: u64 =
            digits.parse().map_err(|_| "a size is a whole number and a unit, as in 4MiB".to_owned())?;
        let factor = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim()));
        let (_, factor) =
            factor.ok_or_else(|| format!("`{unit}` is no unit: there are B, KiB, MiB, GiB, KB, MB, GB"))?;
        count.checked_mul(*factor).map(Size).ok_or_else(|| "the size is too large".to_owned())
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ByteCount(self.0).fmt(f)
    }
}

const UNITS: [(&str, u64); 11] = [
    ("", 1),
    ("B", 1),
    ("K", 1 << 10),
    ("KiB", 1 << 10),
    ("M", 1 << 20),
    ("MiB", 1 << 20),
    ("G", 1 << 30),
    ("GiB", 1 << 30),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_binary_decimal_and_no_units() {
        let cases: [(&str, u64); 8] = [
            ("0", 0),
            ("65536", 65536),
            ("64KiB", 65536),
            ("64k", 65536),
            ("4 MiB", 4_194_304),
            ("1GiB", 1_073_741_824),
            ("1GB", 1_000_000_000),
            ("7b", 7),
        ];
        for (text, bytes) in cases {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "MiB", "1.5GiB", "-1", "1TiBs", "18446744073709551616", "17179869184GiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_written_with_three_digits() {
        let written = [0, 1023, 1024, 1536, 10 << 20, 1000 << 20, 3 << 40].map(|size| Size(size).to_string());
        assert_eq!(
            written,
            ["0 bytes", "1023 bytes", "1.00 KiB", "1.50 KiB", "10.0 MiB", "1000 MiB", "3.00 TiB"]
        );
    }
}
