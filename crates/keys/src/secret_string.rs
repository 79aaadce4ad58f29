//! Owns a secret that is text: a passphrase. Zeroed when dropped, and shown to nobody by accident.
//! Refuses to know what it opens.

use std::fmt;

use zeroize::Zeroizing;

/// A passphrase. Zeroed when dropped; its `Debug` shows nothing of it.
#[derive(Clone)]
pub struct SecretString(Zeroizing<String>);

impl SecretString {
    /// The text. A copy of it is the caller's to zero.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// As the age library takes it, which zeroes it as well.
    pub(crate) fn to_age(&self) -> age::secrecy::SecretString {
        age::secrecy::SecretString::from(self.expose())
    }
}

impl From<String> for SecretString {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

/// The text that is copied stays the caller's to zero.
impl From<&str> for SecretString {
    fn from(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }
}

impl fmt::Debug for SecretString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretString(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passphrase_is_what_was_given_and_is_not_shown() {
        for secret in [SecretString::from("correct horse"), SecretString::from("correct horse".to_owned())] {
            assert_eq!(secret.expose(), "correct horse");
            assert_eq!(format!("{:?}", secret.clone()), "SecretString(redacted)");
        }
    }
}
