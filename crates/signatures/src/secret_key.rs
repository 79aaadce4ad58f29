//! A private key out of a file of OpenSSH's, which signs.
//! It opens no file, and asks for a passphrase only through its caller.

use std::fmt;

use ssh_key::private::KeypairData;
use ssh_key::{HashAlg, PrivateKey, SshSig};
use zeroize::Zeroizing;

use crate::{Message, PublicKey, Signature, SigningError};

/// An SSH private key. Nothing of it is in any text.
pub struct SecretKey {
    key: PrivateKey,
    public: PublicKey,
}

impl SecretKey {
    /// Reads a private key in OpenSSH's own format (`-----BEGIN OPENSSH PRIVATE KEY-----`). If it is under a passphrase, that is
    /// asked for, once.
    ///
    /// # Errors
    /// It is none, or of a kind that nothing is signed with; the passphrase is missing or wrong.
    pub fn parse(
        text: &[u8],
        passphrase: impl FnOnce() -> Option<Zeroizing<String>>,
    ) -> Result<SecretKey, SigningError> {
        let key = PrivateKey::from_openssh(text).map_err(|_| match is_other_format(text) {
            true => SigningError::OtherFormat,
            false => SigningError::NotAKey,
        })?;
        let unsuitable = |why| SigningError::Unsuitable { why };
        // The public half stands in clear before what is encrypted: nobody is asked for a key that is of no use.
        let public = PublicKey::suitable(key.public_key().clone()).map_err(unsuitable)?;
        if public.is_security_key() {
            return Err(SigningError::OnSecurityKey);
        }
        let key = match key.is_encrypted() {
            false => key,
            true => {
                let passphrase = passphrase().ok_or(SigningError::NoPassphrase)?;
                key.decrypt(passphrase.as_bytes()).map_err(|_| SigningError::WrongPassphrase)?
            }
        };
        if matches!(key.key_data(), KeypairData::SkEd25519(_) | KeypairData::SkEcdsaSha2NistP256(_)) {
            return Err(SigningError::OnSecurityKey);
        }
        let public = PublicKey::suitable(key.public_key().clone()).map_err(unsuitable)?;
        Ok(SecretKey { key, public })
    }

    /// Its public half.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// Signs `message`. The signature has been verified, by the rules by which others will.
    ///
    /// # Errors
    /// [`SigningError::Unverified`], if the file's two halves are not one key.
    pub fn sign(&self, message: &Message) -> Result<Signature, SigningError> {
        let unsuitable = |error: ssh_key::Error| SigningError::Unsuitable { why: error.to_string() };
        let made = SshSig::sign(&self.key, message.namespace(), HashAlg::Sha512, message.bytes());
        let text = made.and_then(|made| made.to_pem(ssh_key::LineEnding::LF)).map_err(unsuitable)?;
        let signature = Signature::parse(text.as_bytes()).map_err(SigningError::Unverified)?;
        signature.verify(&self.public, message).map_err(SigningError::Unverified)?;
        Ok(signature)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.public)
    }
}

/// Whether it is a private key as other programs keep them.
fn is_other_format(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    let first = text.trim_start().lines().next().unwrap_or_default();
    let is_pem = first.starts_with("-----BEGIN ") && first.trim_end().ends_with("PRIVATE KEY-----");
    (is_pem && !first.contains("OPENSSH")) || first.starts_with("PuTTY-User-Key-File-")
}
