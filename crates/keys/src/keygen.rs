//! Owns the making of a new age identity and the text of its file.
//! Refuses to know the clock and the file system: the caller gives the time and writes the text.

use std::fmt;

use age::secrecy::ExposeSecret;
use zeroize::Zeroizing;

use crate::error::{KeyError, KeyMaterial};
use crate::stream_key::drawing;

/// A new age identity (X25519), to be written to an identity file. Zeroed when dropped; its `Debug` shows the
/// recipient alone.
pub struct Identity(age::x25519::Identity);

impl Identity {
    /// Draws a new identity from the operating system's random numbers.
    ///
    /// # Panics
    /// Where the operating system has no random numbers; [`Identity::try_generate`] gives an error for that.
    pub fn generate() -> Self {
        Self(age::x25519::Identity::generate())
    }

    /// As [`Identity::generate`], which panics where this returns an error.
    ///
    /// # Errors
    /// [`KeyError::Random`] where the operating system has no random numbers.
    pub fn try_generate() -> Result<Self, KeyError> {
        drawing(age::x25519::Identity::generate).map(Self)
    }

    /// The public half, `age1…`, to which streams are sealed.
    pub fn recipient(&self) -> String {
        self.0.to_public().to_string()
    }

    /// The text of an identity file as `age-keygen` writes it: when it was made, the recipient, the secret.
    /// `created` is free text on one line, by custom a time in RFC 3339.
    ///
    /// # Errors
    /// [`KeyError::Unreadable`] where `created` holds a line end or another control character.
    pub fn file_text(&self, created: &str) -> Result<Zeroizing<String>, KeyError> {
        if created.chars().any(char::is_control) {
            let problem = "the time of creation holds a control character";
            return Err(KeyError::unreadable(KeyMaterial::IdentityFile, problem));
        }
        let recipient = self.recipient();
        let secret = self.0.to_string();
        let parts =
            ["# created: ", created, "\n# public key: ", &recipient, "\n", secret.expose_secret(), "\n"];
        // The capacity is exact: a string that grows leaves copies of its content behind.
        let mut text = Zeroizing::new(String::with_capacity(parts.iter().map(|part| part.len()).sum()));
        parts.iter().for_each(|part| text.push_str(part));
        Ok(text)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("recipient", &self.recipient()).finish_non_exhaustive()
    }
}
