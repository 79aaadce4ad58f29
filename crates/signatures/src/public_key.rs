//! SSH public keys, and the list of those that are trusted.
//! It says which keys are strong enough; it verifies nothing itself.

use std::fmt;

use ssh_key::public::KeyData;
use ssh_key::{HashAlg, Mpint};

use crate::{Message, PublicKeyError, Signature, SignatureError};

/// An SSH public key that signatures are made and verified with: Ed25519, ECDSA, RSA from 2048 to 4096 bits, and the security keys of
/// either of the first two.
///
/// As text it is its fingerprint, as `ssh-keygen -l` shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublicKey(pub(crate) ssh_key::PublicKey);

impl PublicKey {
    /// Reads a key, as the line of a `.pub` file has it: kind, key, and a comment if there is one. Nothing may come before these: no options, no
    /// names.
    ///
    /// # Errors
    /// What is wrong, in words that fit after a colon.
    pub fn parse(line: &str) -> Result<PublicKey, String> {
        let line = line.trim();
        match ssh_key::PublicKey::from_openssh(line) {
            Ok(key) => PublicKey::suitable(key),
            Err(_) if line.contains("-cert-v01@") => {
                Err("it is a certificate; give the key itself, without options".to_owned())
            }
            Err(_) => {
                Err("it is no SSH public key; nothing may come before one, no options and no names"
                    .to_owned())
            }
        }
    }

    /// A key of this kind and strength is used.
    pub(crate) fn suitable(key: ssh_key::PublicKey) -> Result<PublicKey, String> {
        match key.key_data() {
            KeyData::Ed25519(_)
            | KeyData::Ecdsa(_)
            | KeyData::SkEd25519(_)
            | KeyData::SkEcdsaSha2NistP256(_) => Ok(PublicKey(key)),
            KeyData::Rsa(rsa) => match bits(&rsa.n) {
                RSA_BITS_MIN..=RSA_BITS_MAX => Ok(PublicKey(key)),
                bits => Err(format!(
                    "it is an RSA key of {bits} bits; {RSA_BITS_MIN} to {RSA_BITS_MAX} are supported"
                )),
            },
            other => Err(format!("keys of the kind {} are not supported", other.algorithm().as_str())),
        }
    }

    /// What its owner has written behind it; it may be empty, and proves nothing.
    pub fn comment(&self) -> &str {
        self.0.comment()
    }

    /// Whether its private half is in a device that is touched when it signs.
    pub(crate) fn is_security_key(&self) -> bool {
        matches!(self.0.key_data(), KeyData::SkEd25519(_) | KeyData::SkEcdsaSha2NistP256(_))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fingerprint(HashAlg::Sha256).fmt(f)
    }
}

/// Keys of which each is trusted as much as any other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrustedKeys(Vec<PublicKey>);

impl TrustedKeys {
    /// Reads a file of SSH public keys, one a line; empty lines and those that begin with `#` are skipped.
    ///
    /// # Errors
    /// The first line that is no key; no key at all. One bad line makes the file useless: what was meant by it nobody knows.
    pub fn parse(text: &str) -> Result<TrustedKeys, PublicKeyError> {
        let mut keys = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if keys.len() == KEYS_MAX {
                return Err(PublicKeyError::TooMany { max: KEYS_MAX });
            }
            keys.push(
                PublicKey::parse(line).map_err(|why| PublicKeyError::NotAKey { line: index + 1, why })?,
            );
        }
        match keys.is_empty() {
            true => Err(PublicKeyError::None),
            false => Ok(TrustedKeys(keys)),
        }
    }

    /// The key that `signature` names, if it is one of these, and made for what `namespace` names. All that can be said before there is a
    /// message; that the key has signed it is not shown by this.
    ///
    /// # Errors
    /// The signature can be of no message.
    pub fn signer(
        &self,
        signature: &Signature,
        namespace: &'static str,
    ) -> Result<&PublicKey, SignatureError> {
        signature.check_namespace(namespace)?;
        let named = self.0.iter().find(|key| signature.names(key));
        let key = named.ok_or_else(|| SignatureError::NotTrusted { signer: signature.signer_name() })?;
        signature.check_touched()?;
        Ok(key)
    }

    /// The key that has signed `message`.
    ///
    /// # Errors
    /// None of these keys has, as far as `signature` shows.
    pub fn verify(&self, message: &Message, signature: &Signature) -> Result<&PublicKey, SignatureError> {
        let key = self.signer(signature, message.namespace())?;
        signature.verify(key, message)?;
        Ok(key)
    }
}

impl From<PublicKey> for TrustedKeys {
    fn from(key: PublicKey) -> TrustedKeys {
        TrustedKeys(vec![key])
    }
}

/// Bits of a positive number.
fn bits(number: &Mpint) -> usize {
    let bytes = number.as_positive_bytes().unwrap_or_default();
    let leading = bytes.first().map_or(0, |byte| byte.leading_zeros() as usize);
    bytes.len() * 8 - leading
}

/// RSA keys of fewer bits are not safe to rely on.
const RSA_BITS_MIN: usize = 2048;
/// What the library that verifies them takes.
const RSA_BITS_MAX: usize = 4096;
/// Keys of a file.
const KEYS_MAX: usize = 1000;
