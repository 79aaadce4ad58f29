//! Owns the making of a new age identity and the text of its file.
//! Refuses to know the clock and the file system: the caller gives the time and writes the text.

use std::fmt;

use age::secrecy::ExposeSecret;
use zeroize::Zeroizing;

use crate::error::{KeyError, KeyMaterial};
use crate::stream_key::drawing;

/// A new age identity (X25519, or post-quantum with the feature `pq`), to be written to an identity file. Zeroed when dropped; its `Debug` shows the
/// recipient alone.
pub struct Identity(Kind);

enum Kind {
    X25519(age::x25519::Identity),
    #[cfg(feature = "pq")]
    PostQuantum(crate::post_quantum::PqIdentity),
}

impl Identity {
    /// Draws a new identity from the operating system's random numbers.
    ///
    /// # Panics
    /// Where the operating system has no random numbers; [`Identity::try_generate`] gives an error for that.
    pub fn generate() -> Self {
        Self(Kind::X25519(age::x25519::Identity::generate()))
    }

    /// As [`Identity::generate`], which panics where this returns an error.
    ///
    /// # Errors
    /// [`KeyError::Random`] where the operating system has no random numbers.
    pub fn try_generate() -> Result<Self, KeyError> {
        drawing(age::x25519::Identity::generate).map(Kind::X25519).map(Self)
    }

    /// As [`Identity::try_generate`], of age's hybrid kind: what is sealed for it withstands a quantum computer, as long as ML-KEM-768
    /// does, and any other as long as X25519 does. Its recipient, `age1pq1…`, has 1,959 letters.
    ///
    /// # Errors
    /// [`KeyError::Random`] where the operating system has no random numbers.
    #[cfg(feature = "pq")]
    pub fn try_generate_post_quantum() -> Result<Self, KeyError> {
        crate::post_quantum::PqIdentity::generate().map(Kind::PostQuantum).map(Self)
    }

    /// The public half, `age1…`, to which streams are sealed.
    pub fn recipient(&self) -> String {
        match &self.0 {
            Kind::X25519(identity) => identity.to_public().to_string(),
            #[cfg(feature = "pq")]
            Kind::PostQuantum(identity) => identity.recipient().to_string(),
        }
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
        let secret = match &self.0 {
            Kind::X25519(identity) => Zeroizing::new(identity.to_string().expose_secret().to_owned()),
            #[cfg(feature = "pq")]
            Kind::PostQuantum(identity) => identity.text(),
        };
        let parts = ["# created: ", created, "\n# public key: ", &recipient, "\n", &secret, "\n"];
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
