//! Owns the key of a stream that another tool has sealed: 16, 24 or 32 bytes that its user holds.
//! Refuses to know what they are a key of: each format says that.

use std::fmt;

use zeroize::Zeroizing;

use crate::error::{KeyError, KeyMaterial};

/// A key of another tool's, as its user holds it: an AES key, a master key, or a secret key of secp256k1. Zeroed when dropped.
pub struct ForeignKey(Zeroizing<Vec<u8>>);

impl ForeignKey {
    /// Reads the content of a file: 32, 48 or 64 hexadecimal digits, with or without white space around them, or exactly 16, 24 or
    /// 32 raw bytes. What is all hexadecimal digits is read as such.
    ///
    /// # Errors
    /// [`KeyError::Unreadable`] for anything else.
    pub fn parse(content: &[u8]) -> Result<ForeignKey, KeyError> {
        let digits = content.trim_ascii();
        let is_hex =
            !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit) && digits.len().is_multiple_of(2);
        let key = match is_hex {
            true => Zeroizing::new(
                digits.chunks_exact(2).map(|pair| value(pair[0]) << 4 | value(pair[1])).collect(),
            ),
            false => Zeroizing::new(content.to_vec()),
        };
        match LENS.contains(&key.len()) {
            true => Ok(ForeignKey(key)),
            false => Err(KeyError::Unreadable {
                what: KeyMaterial::KeyFile,
                line: None,
                problem:
                    "32, 48 or 64 hexadecimal digits, or 16, 24 or 32 raw bytes, are a key of another tool's"
                        .to_owned(),
            }),
        }
    }

    /// Its bytes: 16, 24 or 32.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for ForeignKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ForeignKey({} bytes)", self.0.len())
    }
}

fn value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        letter => (letter | 0x20) - b'a' + 10,
    }
}

const LENS: [usize; 3] = [16, 24, 32];

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails by panicking.
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_digits_or_raw() {
        let hex = "000102030405060708090A0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
        let raw: Vec<u8> = (0..32).collect();
        for content in [hex.as_bytes(), format!("\t{hex}\r\n").as_bytes(), &raw] {
            assert_eq!(ForeignKey::parse(content).unwrap().bytes(), raw);
        }
        assert_eq!(ForeignKey::parse(&hex.as_bytes()[..32]).unwrap().bytes(), &raw[..16]);
        assert_eq!(ForeignKey::parse(&raw[..24]).unwrap().bytes(), &raw[..24]);
        for content in [&b""[..], b"\n", &hex.as_bytes()[..62], &raw[..31], b"not a key"] {
            assert!(matches!(ForeignKey::parse(content), Err(KeyError::Unreadable { .. })));
        }
    }

    #[test]
    fn a_key_shows_nothing_of_itself() {
        assert_eq!(format!("{:?}", ForeignKey::parse(&[7; 16]).unwrap()), "ForeignKey(16 bytes)");
    }
}
