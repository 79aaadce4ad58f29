//! A private key out of a file of OpenSSH's, which signs.
//! It opens no file, and asks for a passphrase only through its caller.

use std::fmt;

use rsa::rand_core::OsRng;
use rsa::sha2::Sha512;
use rsa::signature::{RandomizedSigner as _, SignatureEncoding as _, Signer as _};
use rsa::{BigUint, RsaPrivateKey};
use ssh_key::private::{KeypairData, RsaKeypair};
use ssh_key::{Algorithm, HashAlg, Mpint, PrivateKey, SshSig};
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
        let key = PrivateKey::from_openssh(text).map_err(|_| unreadable(text))?;
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
                key.decrypt(passphrase.as_bytes()).map_err(|error| match error {
                    ssh_key::Error::Crypto => SigningError::WrongPassphrase,
                    _ => SigningError::Unreadable,
                })?
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
        let data = SshSig::signed_data(message.namespace(), HASH, message.bytes()).map_err(unsuitable)?;
        let made = match self.key.key_data() {
            KeypairData::Rsa(pair) => sign_by_rsa(pair, &data),
            other => other.try_sign(&data).map_err(ssh_key::Error::from),
        };
        let text = made
            .and_then(|made| {
                SshSig::new(self.public.0.key_data().clone(), message.namespace(), HASH, made)?
                    .to_pem(ssh_key::LineEnding::LF)
            })
            .map_err(unsuitable)?;
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

/// As the `ssh-key` crate would, if it did not take the first of the two primes twice; and blinded, so that how long it takes says nothing of
/// the key.
fn sign_by_rsa(pair: &RsaKeypair, data: &[u8]) -> Result<ssh_key::Signature, ssh_key::Error> {
    let number =
        |number: &Mpint| number.as_positive_bytes().map(BigUint::from_bytes_be).ok_or(ssh_key::Error::Crypto);
    let primes = vec![number(&pair.private.p)?, number(&pair.private.q)?];
    let [n, e, d] = [&pair.public.n, &pair.public.e, &pair.private.d].map(number);
    let key = RsaPrivateKey::from_components(n?, e?, d?, primes).map_err(|_| ssh_key::Error::Crypto)?;
    let signer = rsa::pkcs1v15::SigningKey::<Sha512>::new(key);
    let made = signer.try_sign_with_rng(&mut OsRng, data)?;
    ssh_key::Signature::new(Algorithm::Rsa { hash: Some(HASH) }, made.to_vec())
}

/// What there is in place of a private key in OpenSSH's format.
///
/// The text is looked at where it is: a copy of a key would stay in memory.
fn unreadable(text: &[u8]) -> SigningError {
    let first = text.trim_ascii_start().split(|byte| *byte == b'\n').next().unwrap_or_default();
    match first.trim_ascii_end() {
        b"-----BEGIN OPENSSH PRIVATE KEY-----" => SigningError::Unreadable,
        first if first.starts_with(b"-----BEGIN ") && first.ends_with(b"PRIVATE KEY-----") => {
            SigningError::OtherFormat
        }
        first if first.starts_with(b"PuTTY-User-Key-File-") => SigningError::OtherFormat,
        _ => SigningError::NotAKey,
    }
}

/// What a message is hashed with before it is signed, as `ssh-keygen` does.
const HASH: HashAlg = HashAlg::Sha512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_of_opensshs_is_told_by_its_first_line_whatever_bytes_follow() {
        let junk = b"\xff\xfe not text \x00\n";
        let kind = |first: &str| match unreadable(&[first.as_bytes(), junk].concat()) {
            SigningError::Unreadable => "unreadable",
            SigningError::OtherFormat => "other format",
            SigningError::NotAKey => "no key",
            other => panic!("{other}"),
        };
        for (first, expected) in [
            ("-----BEGIN OPENSSH PRIVATE KEY-----\n", "unreadable"),
            ("\n \t\r\n-----BEGIN OPENSSH PRIVATE KEY-----  \r\n", "unreadable"),
            ("-----BEGIN RSA PRIVATE KEY-----\r\n", "other format"),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----\n", "other format"),
            ("PuTTY-User-Key-File-3: ssh-ed25519\n", "other format"),
            ("-----BEGIN CERTIFICATE-----\n", "no key"),
            ("ssh-ed25519 AAAA\n", "no key"),
            ("x-----BEGIN OPENSSH PRIVATE KEY-----\n", "no key"),
            ("", "no key"),
            ("\n", "no key"),
        ] {
            assert_eq!(kind(first), expected, "{first:?}");
        }
    }
}
