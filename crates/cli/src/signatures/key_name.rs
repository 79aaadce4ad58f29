//! A public key in sentences and records: its fingerprint, and the comment that whoever trusts it has given it.
//! It knows no key.

use std::fmt;

use cofferdam::signatures::PublicKey;
use serde::Serialize;

use crate::printable::line;

/// Whose key it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct KeyName {
    /// As `ssh-keygen -l` shows it.
    fingerprint: String,
    comment: String,
}

impl From<&PublicKey> for KeyName {
    fn from(key: &PublicKey) -> KeyName {
        KeyName { fingerprint: key.to_string(), comment: key.comment().to_owned() }
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.comment.as_str() {
            "" => f.write_str(&self.fingerprint),
            comment => write!(f, "{} ({})", self.fingerprint, line(comment)),
        }
    }
}
