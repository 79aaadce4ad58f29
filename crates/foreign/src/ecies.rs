//! The key agreement of `ecies-lib`: ECDH on secp256k1, HKDF-SHA-256 of the shared point's x-coordinate, AES-256-GCM.
//! It knows no format that uses it.

use frame_worker::{Backend, Cipher, Suite};
use hkdf::Hkdf;
use k256::ecdh::diffie_hellman;
use k256::{PublicKey, SecretKey};
use keys::{ForeignKey, Zeroizing};
use sha2::Sha256;

use crate::held_key::of_32_bytes;
use crate::{Fault, FaultKind};

/// A recipient's secret key. Zeroed when dropped.
pub(crate) struct RecipientKey {
    key: SecretKey,
    backend: Backend,
}

impl RecipientKey {
    /// Takes the secret key that opens `what`.
    pub(crate) fn new(key: &ForeignKey, what: &str, backend: Backend) -> Result<RecipientKey, Fault> {
        let bytes = of_32_bytes(key, what)?;
        let key = SecretKey::from_slice(&*bytes).map_err(|_| {
            let what = format!(
                "the key of {what} is a secret key of secp256k1, and this is none: it is 0, or not below the curve's order"
            );
            Fault::new(FaultKind::NoForeignKey, what)
        })?;
        Ok(RecipientKey { key, backend })
    }

    /// The cipher that is agreed upon with an ephemeral key. `None` where that is no point of the curve.
    pub(crate) fn agree(&self, ephemeral: &[u8; PUBLIC_KEY_LEN]) -> Option<Cipher> {
        let ephemeral = PublicKey::from_sec1_bytes(ephemeral).ok()?;
        let shared = diffie_hellman(self.key.to_nonzero_scalar(), ephemeral.as_affine());
        let mut key = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(None, shared.raw_secret_bytes()).expand(INFO, &mut *key).ok()?;
        Some(self.cipher(&key))
    }

    /// AES-256-GCM under `key`.
    pub(crate) fn cipher(&self, key: &[u8; 32]) -> Cipher {
        Cipher::new(self.backend, Suite::Aes256Gcm, key)
    }
}

/// Bytes of a public key, compressed.
pub(crate) const PUBLIC_KEY_LEN: usize = 33;
pub(crate) const NONCE_LEN: usize = 12;
pub(crate) const TAG_LEN: usize = 16;
const INFO: &[u8] = b"ecies-v2-key-derivation";
