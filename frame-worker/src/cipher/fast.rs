//! Both AEADs through aws-lc-rs.

use aws_lc_rs::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use framing::Suite;
use framing::limits::TAG_LEN;

use super::{Forged, NONCE_LEN};

/// An expanded key; aws-lc clears it when it is freed.
pub(super) struct Key(LessSafeKey);

impl Key {
    pub(super) fn new(suite: Suite, key: &[u8; 32]) -> Key {
        let algorithm = match suite {
            Suite::Aes256Gcm => &AES_256_GCM,
            Suite::ChaCha20Poly1305 => &CHACHA20_POLY1305,
        };
        // Both algorithms take 32 bytes, and every value of them is a key.
        Key(LessSafeKey::new(UnboundKey::new(algorithm, key).expect("32 bytes are a key of either suite")))
    }

    pub(super) fn seal(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        plaintext: &[u8],
        ciphertext: &mut [u8],
    ) -> [u8; TAG_LEN] {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let mut tag = [0; TAG_LEN];
        // It fails for texts beyond 2^36 bytes alone; a frame is at most 4 MiB.
        self.0
            .seal_out_of_place_scatter(nonce, Aad::from(aad), plaintext, ciphertext, &[], &mut tag)
            .expect("a frame is within the limits");
        tag
    }

    pub(super) fn open(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        ciphertext: &[u8],
        tag: &[u8; TAG_LEN],
        plaintext: &mut [u8],
    ) -> Result<(), Forged> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0.open_separate_gather(nonce, Aad::from(aad), ciphertext, tag, plaintext).map_err(|_| Forged)
    }
}
