//! Why a signature is not believed, and why none was made.

use std::error::Error;
use std::{fmt, io};

/// Why a signature does not show that one of the trusted keys has signed the message.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SignatureError {
    /// The bytes are no SSH signature, or a damaged one.
    Malformed {
        /// What is wrong with them.
        why: &'static str,
    },
    /// It is longer than a signature can be.
    TooLong {
        /// Bytes that it may have.
        len_max: usize,
    },
    /// It was made for something else than this.
    Namespace {
        /// What it was made for.
        found: String,
        /// What it would have to be made for.
        expected: &'static str,
    },
    /// None of the trusted keys has made it.
    NotTrusted {
        /// The key that it names, by its fingerprint.
        signer: String,
    },
    /// A security key has made it, and nobody has touched that.
    NotTouched,
    /// It is of another message, or damaged.
    Mismatch,
}

/// A public key that nothing is verified with.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PublicKeyError {
    /// A line is no key.
    NotAKey {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// There is none.
    None,
    /// There are more than anybody needs.
    TooMany {
        /// How many there may be.
        max: usize,
    },
}

/// Why no signature was made.
#[derive(Debug)]
#[non_exhaustive]
pub enum SigningError {
    /// The bytes are no private key in OpenSSH's format.
    NotAKey,
    /// It is a private key that is damaged, or that the library which reads it cannot read: ECDSA keys whose secret number is short, which are half
    /// of those on P-521 and one in 256 of the others. OpenSSH's agent reads them.
    Unreadable,
    /// It is a private key in another format, which OpenSSH's programs convert.
    OtherFormat,
    /// The key is under a passphrase, and none was given.
    NoPassphrase,
    /// The passphrase is not that of the key, or the key is damaged.
    WrongPassphrase,
    /// The private key is in a security key: the file says only which.
    OnSecurityKey,
    /// Nothing is signed with a key like this.
    Unsuitable {
        /// Why not.
        why: String,
    },
    /// There is no agent, or it does not answer as one.
    Agent {
        /// What was being done.
        what: &'static str,
        /// What went wrong.
        source: io::Error,
    },
    /// The agent has refused: it lacks the key, is locked, or somebody has said no.
    Refused {
        /// What it was asked for.
        what: &'static str,
    },
    /// Its caller waits no more.
    Cancelled,
    /// The signature that was made does not verify.
    Unverified(SignatureError),
}

impl fmt::Display for SignatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SignatureError::Malformed { why } => write!(f, "it is no SSH signature: {why}"),
            SignatureError::TooLong { len_max } => write!(f, "it is longer than {len_max} bytes"),
            SignatureError::Namespace { found, expected } => {
                write!(f, "it was made in the namespace {found:?}, and not in {expected}")
            }
            SignatureError::NotTrusted { signer } => {
                write!(f, "{signer} has made it, which is not trusted here")
            }
            SignatureError::NotTouched => f.write_str("a security key has made it without being touched"),
            SignatureError::Mismatch => f.write_str("it is of something else, or damaged"),
        }
    }
}

impl fmt::Display for PublicKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PublicKeyError::NotAKey { line, why } => write!(f, "line {line}: {why}"),
            PublicKeyError::None => f.write_str("there is no SSH public key in it"),
            PublicKeyError::TooMany { max } => write!(f, "there are more than {max} keys in it"),
        }
    }
}

impl fmt::Display for SigningError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SigningError::NotAKey => f.write_str("it is no SSH private key"),
            SigningError::Unreadable => {
                f.write_str("it is a private key that is damaged, or of a form that cannot be read here")
            }
            SigningError::OtherFormat => {
                f.write_str("it is a private key in another format than OpenSSH's own")
            }
            SigningError::NoPassphrase => f.write_str("the key is under a passphrase, and none was given"),
            SigningError::WrongPassphrase => f.write_str("the passphrase is wrong, or the key damaged"),
            SigningError::OnSecurityKey => {
                f.write_str("the key itself is on a security key, and only an agent can sign with it")
            }
            SigningError::Unsuitable { why } => write!(f, "nothing is signed with this key: {why}"),
            SigningError::Agent { what, source } => write!(f, "the SSH agent {what}: {source}"),
            SigningError::Refused { what } => write!(f, "the SSH agent has refused to {what}"),
            SigningError::Cancelled => f.write_str("interrupted"),
            SigningError::Unverified(error) => write!(f, "the signature that was made is not valid: {error}"),
        }
    }
}

impl Error for SignatureError {}

impl Error for PublicKeyError {}

impl Error for SigningError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            SigningError::Agent { source, .. } => Some(source),
            SigningError::Unverified(error) => Some(error),
            _ => None,
        }
    }
}
