//! Owns the stream key and the random numbers of a stream.
//! Refuses to know what derives from the key and who may open it.

#[cfg(feature = "age")]
use std::panic::{AssertUnwindSafe, catch_unwind};

use zeroize::Zeroize;

use crate::error::KeyError;
use crate::moment::{mix, moment};
use crate::secret::Secret;

/// Length of a stream key in bytes.
pub const STREAM_KEY_LEN: usize = 32;

/// The key of one stream: 32 uniform random bytes, from which all its other keys derive.
///
/// Zeroed when dropped, without `Clone`; its `Debug` shows nothing of it.
#[derive(Debug)]
pub struct StreamKey(Secret<STREAM_KEY_LEN>);

impl StreamKey {
    /// Draws a fresh key from the operating system.
    ///
    /// # Errors
    /// [`KeyError::Random`] where the operating system has no random numbers.
    pub fn generate() -> Result<Self, KeyError> {
        let mut secret = Secret::zeroed();
        fill_random(secret.as_mut_slice())?;
        Ok(Self(secret))
    }

    /// Takes a key that the caller holds. The argument is zeroed; copies that the caller keeps are not.
    pub fn from_bytes(bytes: [u8; STREAM_KEY_LEN]) -> Self {
        Self(Secret::taking(bytes))
    }

    /// The key's bytes. A copy of them is the caller's to zero.
    pub fn expose(&self) -> &[u8; STREAM_KEY_LEN] {
        &self.0
    }

    /// Copies a key out of a buffer that stays the caller's; `None` unless it is exactly 32 bytes long.
    pub fn copy_from(bytes: &[u8]) -> Option<Self> {
        Some(Self(Secret::copy_of(bytes.try_into().ok()?)))
    }
}

/// Draws `N` random bytes from the operating system: a salt, an id. Something of the machine and of the moment is mixed in,
/// so that two copies of a virtual machine whose random sources give the same do not draw the same.
///
/// # Errors
/// [`KeyError::Random`] where the operating system has no random numbers.
pub fn random<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    fill_random(&mut bytes)?;
    mix(&mut bytes, &moment());
    Ok(bytes)
}

/// Lets age draw random numbers. Its library, and the standard one below it, panic where there are none: so the operating
/// system is asked first, and what is left of that, numbers that end in the middle, is caught.
#[cfg(feature = "age")]
pub(crate) fn drawing<T>(draw: impl FnOnce() -> T) -> Result<T, KeyError> {
    let _: [u8; 32] = random()?;
    // Nothing that `draw` was in the middle of is used again.
    catch_unwind(AssertUnwindSafe(draw)).map_err(|_| KeyError::Random {
        problem: "the age library panicked, which it does where there are none any more".to_owned(),
    })
}

pub(crate) fn fill_random(bytes: &mut [u8]) -> Result<(), KeyError> {
    getrandom::fill(bytes).map_err(|error| {
        bytes.zeroize();
        KeyError::Random { problem: error.to_string() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_generated_keys_differ_and_are_not_zero() {
        let (one, two) = (StreamKey::generate().unwrap(), StreamKey::generate().unwrap());
        assert_ne!(one.expose(), two.expose());
        assert_ne!(one.expose(), &[0; STREAM_KEY_LEN]);
    }

    #[test]
    fn a_key_from_bytes_is_those_bytes() {
        assert_eq!(StreamKey::from_bytes([7; 32]).expose(), &[7; 32]);
    }

    #[test]
    fn only_32_bytes_make_a_key() {
        for len in [0, 1, 31, 33, 64] {
            assert!(StreamKey::copy_from(&vec![1; len]).is_none(), "{len} bytes");
        }
        assert_eq!(StreamKey::copy_from(&[1; 32]).unwrap().expose(), &[1; 32]);
    }

    #[test]
    fn two_random_salts_differ() {
        assert_ne!(random::<16>().unwrap(), random::<16>().unwrap());
    }
}
