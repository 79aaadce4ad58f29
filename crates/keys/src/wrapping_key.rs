//! Owns the uniform 32-byte key that a caller holds, and the slots of kind 2 that it wraps and opens.
//! Refuses to know where the key is kept.

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit};
use zeroize::Zeroizing;

use crate::error::{KeyError, KeyMaterial};
use crate::saved_text::{is_line_of_text, saved_text};
use crate::schedule::{AeadSecret, expand, extract};
use crate::secret::Secret;
use crate::stream_key::{STREAM_KEY_LEN, StreamKey, fill_random, random};

/// A key that the caller holds, in a key file or in its own key store: 32 uniform bytes, not a passphrase.
///
/// Zeroed when dropped, without `Clone`; its `Debug` shows nothing of it.
#[derive(Debug)]
pub struct WrappingKey(Secret<WRAPPING_KEY_LEN>);

impl WrappingKey {
    /// Draws a fresh key from the operating system.
    ///
    /// # Errors
    /// [`KeyError::Random`] where the operating system has no random numbers.
    pub fn generate() -> Result<Self, KeyError> {
        let mut secret = Secret::zeroed();
        fill_random(secret.as_mut_slice())?;
        Ok(Self(secret))
    }

    /// Takes a key that the caller holds. The argument is zeroed; copies that the caller keeps are not.
    pub fn from_bytes(bytes: [u8; WRAPPING_KEY_LEN]) -> Self {
        Self(Secret::taking(bytes))
    }

    /// Reads the content of a key file: 64 hexadecimal digits with or without a line end after them and a byte
    /// order mark before them, or exactly 32 raw bytes.
    ///
    /// # Errors
    /// [`KeyError::Unreadable`] for anything else.
    pub fn parse(content: &[u8]) -> Result<Self, KeyError> {
        if let Ok(raw) = content.try_into() {
            return Ok(Self(Secret::copy_of(raw)));
        }
        let unreadable =
            |problem: String| KeyError::Unreadable { what: KeyMaterial::KeyFile, line: None, problem };
        let text = saved_text(content).map_err(unreadable)?;
        let digits = text.strip_suffix(b"\n").unwrap_or(text);
        let digits = digits.strip_suffix(b"\r").unwrap_or(digits);
        if digits.len() != 2 * WRAPPING_KEY_LEN {
            let found = match content.len() {
                few @ 0..1000 => format!("{few} bytes"),
                _ => "more than that".to_owned(),
            };
            return Err(unreadable(format!(
                "64 hexadecimal digits or 32 raw bytes are a key, this has {found}"
            )));
        }
        let mut secret = Secret::zeroed();
        for (byte, pair) in secret.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = hex_digit(pair[0]).zip(hex_digit(pair[1]));
            let (high, low) =
                pair.ok_or_else(|| unreadable("not all 64 characters are hexadecimal digits".to_owned()))?;
            *byte = high << 4 | low;
        }
        Ok(Self(secret))
    }

    /// Whether `content`, which [`WrappingKey::parse`] takes for 32 raw bytes, is a line of text: a passphrase, or what
    /// `openssl rand -hex 16` prints. Such a key is no uniform one, and may be guessed. It opens what was sealed with it;
    /// seal nothing more with it.
    pub fn is_text(content: &[u8]) -> bool {
        content.len() == WRAPPING_KEY_LEN && is_line_of_text(content)
    }

    /// The key as 64 lower-case hexadecimal digits, without a line end.
    pub fn to_hex(&self) -> Zeroizing<String> {
        // The capacity is exact: a string that grows leaves copies of its content behind.
        let mut hex = Zeroizing::new(String::with_capacity(2 * WRAPPING_KEY_LEN));
        for byte in self.0.iter() {
            hex.push(char::from(HEX_DIGITS[usize::from(byte >> 4)]));
            hex.push(char::from(HEX_DIGITS[usize::from(byte & 15)]));
        }
        hex
    }

    /// The key's own bytes.
    pub fn to_bytes(&self) -> Zeroizing<[u8; WRAPPING_KEY_LEN]> {
        Zeroizing::new(*self.0)
    }

    /// What two ends of a channel that both hold this key take for it: HKDF-SHA-256 of it under a label of its own, so that
    /// nothing is learnt there about slots that it wraps, nor the other way round.
    pub fn peer_psk(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(*expand(&extract(&[], self.0.as_slice()), &[LABEL_PEER]))
    }

    /// Wraps `stream_key` into the body of a slot of kind 2, bound to the stream's `preamble_head`.
    pub(crate) fn wrap(&self, stream_key: &StreamKey, preamble_head: &[u8; 80]) -> Result<Vec<u8>, KeyError> {
        let salt = random::<SALT_LEN>()?;
        let secret = self.slot_secret(&salt, preamble_head);
        let mut sealed = Secret::copy_of(stream_key.expose());
        let tag = cipher(&secret)
            .encrypt_inout_detached(&(*secret.nonce()).into(), &[], sealed.as_mut_slice().into())
            .expect("32 bytes are within the limits of AES-GCM");
        Ok([&salt[..], sealed.as_slice(), &tag].concat())
    }

    /// Opens the body of a slot of kind 2; `None` where this key does not open it.
    pub(crate) fn unwrap(&self, body: &[u8], preamble_head: &[u8; 80]) -> Option<StreamKey> {
        let body: &[u8; WRAPPED_LEN] = body.try_into().ok()?;
        let (salt, sealed) = body.split_at(SALT_LEN);
        let (sealed, tag) = sealed.split_at(STREAM_KEY_LEN);
        let secret = self.slot_secret(salt, preamble_head);
        let mut opened = Secret::<STREAM_KEY_LEN>::zeroed();
        opened.copy_from_slice(sealed);
        let nonce = (*secret.nonce()).into();
        cipher(&secret)
            .decrypt_inout_detached(&nonce, &[], opened.as_mut_slice().into(), tag.try_into().ok()?)
            .ok()?;
        StreamKey::copy_from(opened.as_slice())
    }

    fn slot_secret(&self, salt: &[u8], preamble_head: &[u8; 80]) -> AeadSecret {
        AeadSecret::derive(&extract(salt, self.0.as_slice()), &[LABEL_SLOT, preamble_head])
    }
}

fn cipher(secret: &AeadSecret) -> Aes256Gcm {
    Aes256Gcm::new(secret.key().into())
}

fn hex_digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        b'A'..=b'F' => Some(character - b'A' + 10),
        _ => None,
    }
}

/// Length of a wrapping key in bytes.
pub const WRAPPING_KEY_LEN: usize = 32;
/// Length of the body of a slot of kind 2: salt, sealed key, tag.
pub(crate) const WRAPPED_LEN: usize = SALT_LEN + STREAM_KEY_LEN + TAG_LEN;
const SALT_LEN: usize = 32;
const TAG_LEN: usize = 16;
const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";
const LABEL_SLOT: &[u8] = b"cofferdam/v1/slot2\0";
const LABEL_PEER: &[u8] = b"cofferdam/v1/peer-psk\0";

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected bytes are those of `hmac` in Python, by RFC 5869 without salt.
    #[test]
    fn a_channels_key_is_derived_under_its_label() {
        let psk = WrappingKey::from_bytes([7; 32]).peer_psk();
        let hex: String = psk.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "e73fda2e30b326c282b59004c2b2bf98c40cb3c7977445394615a89161ba52d2");
    }
}
