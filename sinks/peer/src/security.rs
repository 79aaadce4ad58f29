//! Who may talk to whom, and whether anybody on the way may listen.
//! Knows no cipher.

use std::fmt;

use zeroize::Zeroizing;

use super::{PeerError, address::Reach};

/// A key that both ends hold: 32 uniform bytes, not a passphrase. Zeroed when dropped.
#[derive(Clone)]
pub struct PresharedKey(Zeroizing<[u8; PresharedKey::LEN]>);

impl PresharedKey {
    /// Length of the key in bytes.
    pub const LEN: usize = 32;

    /// Takes the key's bytes. Copies that the caller keeps are the caller's to erase.
    pub fn from_bytes(bytes: [u8; Self::LEN]) -> PresharedKey {
        PresharedKey(Zeroizing::new(bytes))
    }

    pub(super) fn expose(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Debug for PresharedKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("PresharedKey(..)")
    }
}

/// How a connection is protected. Both ends choose the same.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Security {
    /// Each end proves that it holds the key, and every byte is encrypted, wherever it goes.
    Key(PresharedKey),
    /// Plaintext, over a Unix socket or the loopback interface; anything else is refused.
    PlaintextOnThisMachine,
    /// Plaintext, wherever it goes: anybody on the way can read and change it.
    PlaintextAnywhere,
}

impl Security {
    pub(super) fn key(&self) -> Option<&PresharedKey> {
        match self {
            Security::Key(key) => Some(key),
            Security::PlaintextOnThisMachine | Security::PlaintextAnywhere => None,
        }
    }

    pub(super) fn allow(&self, reach: Reach) -> Result<(), PeerError> {
        match (self, reach) {
            (Security::PlaintextOnThisMachine, Reach::Network) => Err(PeerError::PlaintextRefused),
            (Security::PlaintextOnThisMachine, Reach::Machine)
            | (Security::Key(_) | Security::PlaintextAnywhere, _) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plaintext_leaves_the_machine_only_where_that_was_asked_for() {
        let key = PresharedKey::from_bytes([7; 32]);
        assert!(!format!("{key:?}").contains('7'));
        for (security, allowed) in [
            (Security::Key(key), true),
            (Security::PlaintextAnywhere, true),
            (Security::PlaintextOnThisMachine, false),
        ] {
            assert_eq!(security.allow(Reach::Machine), Ok(()), "{security:?}");
            assert_eq!(security.allow(Reach::Network).is_ok(), allowed, "{security:?}");
        }
    }
}
