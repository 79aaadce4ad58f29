//! Both AEADs through the RustCrypto crates.

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit};
use chacha20poly1305::ChaCha20Poly1305;
use framing::Suite;
use framing::limits::TAG_LEN;

use super::{Forged, NONCE_LEN};

/// An expanded key; both crates clear it when it is dropped.
pub(super) enum Key {
    Aes256Gcm(Box<Aes256Gcm>),
    ChaCha20Poly1305(ChaCha20Poly1305),
}

impl Key {
    pub(super) fn new(suite: Suite, key: &[u8; 32]) -> Key {
        match suite {
            Suite::Aes256Gcm => Key::Aes256Gcm(Box::new(Aes256Gcm::new(key.into()))),
            Suite::ChaCha20Poly1305 => Key::ChaCha20Poly1305(ChaCha20Poly1305::new(key.into())),
        }
    }

    pub(super) fn seal(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        plaintext: &[u8],
        ciphertext: &mut [u8],
    ) -> [u8; TAG_LEN] {
        ciphertext.copy_from_slice(plaintext);
        let tag = match self {
            Key::Aes256Gcm(key) => key.encrypt_inout_detached(&nonce.into(), aad, ciphertext.into()),
            Key::ChaCha20Poly1305(key) => key.encrypt_inout_detached(&nonce.into(), aad, ciphertext.into()),
        };
        // It fails for texts beyond 2^36 bytes alone; a frame is at most 4 MiB.
        tag.expect("a frame is within the limits").into()
    }

    pub(super) fn open(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        ciphertext: &[u8],
        tag: &[u8; TAG_LEN],
        plaintext: &mut [u8],
    ) -> Result<(), Forged> {
        plaintext.copy_from_slice(ciphertext);
        match self {
            Key::Aes256Gcm(key) => {
                key.decrypt_inout_detached(&nonce.into(), aad, plaintext.into(), &(*tag).into())
            }
            Key::ChaCha20Poly1305(key) => {
                key.decrypt_inout_detached(&nonce.into(), aad, plaintext.into(), &(*tag).into())
            }
        }
        .map_err(|_| Forged)
    }
}
