//! Owns ids and digests as text: two hexadecimal digits per byte.
//! Refuses to know what the bytes mean.

use std::fmt;

/// Writes `bytes` in lower-case hexadecimal digits.
///
/// # Errors
/// The formatter's own.
pub fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Reads `N` bytes from as many pairs of hexadecimal digits, upper-case or lower-case.
///
/// # Errors
/// Another number of characters, or one that is no hexadecimal digit.
pub fn parse_hex<const N: usize>(text: &str) -> Result<[u8; N], ParseHexError> {
    let not_a_digit = text.chars().position(|character| !character.is_ascii_hexdigit());
    if let Some(index) = not_a_digit {
        let character = text.chars().nth(index).unwrap_or_default();
        return Err(ParseHexError::NotADigit { character, index });
    }
    if text.len() != 2 * N {
        return Err(ParseHexError::Length { expected: 2 * N, found: text.len() });
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = value(pair[0]) << 4 | value(pair[1]);
    }
    Ok(bytes)
}

/// The value of a hexadecimal digit.
fn value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => digit.to_ascii_lowercase() - b'a' + 10,
    }
}

/// Why a text is not an id or a digest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ParseHexError {
    /// It has another number of hexadecimal digits.
    Length {
        /// How many make one.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// A character of it is no hexadecimal digit.
    NotADigit {
        /// The first such character.
        character: char,
        /// Characters before it.
        index: usize,
    },
}

impl fmt::Display for ParseHexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { expected, found } => {
                write!(f, "expected {expected} hexadecimal digits, found {found}")
            }
            Self::NotADigit { character, index } => {
                write!(f, "{character:?}, character {}, is no hexadecimal digit", index + 1)
            }
        }
    }
}

impl std::error::Error for ParseHexError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_either_case_are_bytes_and_nothing_else_is() {
        assert_eq!(parse_hex("007FfF"), Ok([0, 0x7f, 0xff]));
        assert_eq!(parse_hex::<0>(""), Ok([]));
        for (wrong, error) in [
            ("007ff", "expected 6 hexadecimal digits, found 5"),
            ("007fff0", "expected 6 hexadecimal digits, found 7"),
            ("", "expected 6 hexadecimal digits, found 0"),
            ("00 fff", "' ', character 3, is no hexadecimal digit"),
            ("0x7fff", "'x', character 2, is no hexadecimal digit"),
            ("00\u{e9}ff", "'é', character 3, is no hexadecimal digit"),
        ] {
            assert_eq!(parse_hex::<3>(wrong).map_err(|error| error.to_string()), Err(error.to_owned()));
        }
    }
}
