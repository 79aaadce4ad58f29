//! A detached signature: its text, and whether a key has made it over a message.
//! It trusts nobody: which key it should be is its caller's to say.

use std::fmt;

use ssh_key::public::KeyData;
use ssh_key::{Algorithm, HashAlg, SshSig};

use crate::{Message, PublicKey, SignatureError, armor};

/// A signature as `ssh-keygen -Y sign` makes it.
#[derive(Clone, PartialEq, Eq)]
pub struct Signature {
    text: String,
    parsed: SshSig,
}

impl Signature {
    /// Bytes that its text may have; what is longer is refused.
    pub const LEN_MAX: usize = 64 * 1024;

    /// Reads the text of a signature: armored, with lines of any length.
    ///
    /// # Errors
    /// [`SignatureError::Malformed`] and [`SignatureError::TooLong`].
    pub fn parse(text: &[u8]) -> Result<Signature, SignatureError> {
        if text.len() > Signature::LEN_MAX {
            return Err(SignatureError::TooLong { len_max: Signature::LEN_MAX });
        }
        let text = armor::rewrap(text).map_err(|why| SignatureError::Malformed { why })?;
        let parsed = SshSig::from_pem(&text)
            .map_err(|_| SignatureError::Malformed { why: "what it holds does not read as one" })?;
        if !is_of_its_key(&parsed) {
            return Err(SignatureError::Malformed { why: "its algorithm is not that of its key" });
        }
        if !parsed.reserved().is_empty() {
            return Err(SignatureError::Malformed { why: "something is in the field that is reserved" });
        }
        if canonical(&parsed).as_ref() != Some(&text) {
            return Err(SignatureError::Malformed { why: "what it holds is not written as SSH does" });
        }
        Ok(Signature { text, parsed })
    }

    /// Its text, to be kept in a file.
    pub fn as_text(&self) -> &str {
        &self.text
    }

    /// Whether `key` is the one that it says has made it.
    pub fn names(&self, key: &PublicKey) -> bool {
        self.parsed.public_key() == key.0.key_data()
    }

    /// Whether `key` has made it over `message`, in the message's namespace.
    ///
    /// # Errors
    /// It has not.
    pub fn verify(&self, key: &PublicKey, message: &Message) -> Result<(), SignatureError> {
        self.check_namespace(message.namespace())?;
        self.check_touched()?;
        if !self.names(key) {
            return Err(SignatureError::NotTrusted { signer: self.signer_name() });
        }
        let verified = key.0.verify(message.namespace(), message.bytes(), &self.parsed);
        verified.map_err(|_| SignatureError::Mismatch)
    }

    pub(crate) fn check_namespace(&self, expected: &'static str) -> Result<(), SignatureError> {
        match self.parsed.namespace() {
            found if found == expected => Ok(()),
            found => Err(SignatureError::Namespace { found: found.to_owned(), expected }),
        }
    }

    /// Of a security key: somebody has touched it, as it says itself under the signature. Without that, a program can have it sign whatever it likes.
    pub(crate) fn check_touched(&self) -> Result<(), SignatureError> {
        // What the key is counts: the name in the signature is nothing that anybody has signed.
        if !matches!(self.parsed.public_key(), KeyData::SkEd25519(_) | KeyData::SkEcdsaSha2NistP256(_)) {
            return Ok(());
        }
        // A byte of flags and a counter of four bytes are at its end.
        let flags = self
            .parsed
            .signature()
            .as_bytes()
            .iter()
            .rev()
            .nth(FLAGS_AND_COUNTER_LEN - 1)
            .copied()
            .unwrap_or(0);
        if flags & USER_PRESENT == 0 { Err(SignatureError::NotTouched) } else { Ok(()) }
    }

    /// The key that it says has made it.
    pub(crate) fn signer_name(&self) -> String {
        self.parsed.public_key().fingerprint(HashAlg::Sha256).to_string()
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({} by {})", self.parsed.namespace(), self.signer_name())
    }
}

/// Whether what the key has made is named as keys of its kind name it. The name is under no signature, and the library that verifies compares
/// it with nothing where the key is a security key.
fn is_of_its_key(parsed: &SshSig) -> bool {
    let named = parsed.signature().algorithm();
    match parsed.public_key() {
        KeyData::Rsa(_) => {
            matches!(named, Algorithm::Rsa { hash: Some(HashAlg::Sha256 | HashAlg::Sha512) })
        }
        key => named == key.algorithm(),
    }
}

/// The text that holds this signature and nothing else: the library that reads signatures takes other bytes for the same one.
fn canonical(parsed: &SshSig) -> Option<String> {
    let key = ssh_key::PublicKey::from(parsed.public_key().clone()).to_bytes().ok()?;
    let hash = parsed.hash_alg();
    Some(armor::sshsig([
        &key,
        parsed.namespace().as_bytes(),
        parsed.reserved(),
        hash.as_str().as_bytes(),
        &made_by_key(parsed.signature()),
    ]))
}

/// What a key has made, with the name of its kind before it; of a security key flags and counter come after it.
fn made_by_key(signature: &ssh_key::Signature) -> Vec<u8> {
    let algorithm = signature.algorithm();
    let after_len = match algorithm {
        Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256 => FLAGS_AND_COUNTER_LEN,
        _ => 0,
    };
    let bytes = signature.as_bytes();
    let (made, after) = bytes.split_at(bytes.len().saturating_sub(after_len));
    let mut encoded = Vec::with_capacity(bytes.len() + 64);
    armor::put(&mut encoded, algorithm.as_str().as_bytes());
    armor::put(&mut encoded, made);
    encoded.extend(after);
    encoded
}

/// Bytes behind what a security key has made.
const FLAGS_AND_COUNTER_LEN: usize = 5;
/// The flag of a security key that somebody has touched: SSH_SK_USER_PRESENCE_REQD of OpenSSH's PROTOCOL.u2f.
const USER_PRESENT: u8 = 1;
