//! The two AEADs of the format, each in a fast and a portable implementation.
//! It knows no frame: a key, a nonce, the bytes to bind and the bytes to seal.

#[cfg(not(any(feature = "fast", feature = "portable")))]
compile_error!(
    "no ciphers: with `default-features = false`, name the feature `fast` (aws-lc-rs) or `portable` (pure Rust) as well"
);

#[cfg(feature = "fast")]
mod fast;
#[cfg(feature = "portable")]
mod portable;

use framing::Suite;
use framing::limits::TAG_LEN;

/// Which implementation does the work. Both give the same bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Backend {
    /// aws-lc-rs: assembly for x86-64 and aarch64.
    #[cfg(feature = "fast")]
    Fast,
    /// The `aes-gcm` and `chacha20poly1305` crates: no C compiler needed.
    #[cfg(feature = "portable")]
    Portable,
}

impl Default for Backend {
    /// The fast one where it is built in.
    fn default() -> Backend {
        #[cfg(feature = "fast")]
        return Backend::Fast;
        #[cfg(not(feature = "fast"))]
        return Backend::Portable;
    }
}

/// An AEAD under one key. Nonces are the caller's: the same nonce never seals twice.
pub struct Cipher(Inner);

enum Inner {
    #[cfg(feature = "fast")]
    Fast(fast::Key),
    #[cfg(feature = "portable")]
    Portable(portable::Key),
}

/// The tag does not match.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Forged;

impl Cipher {
    /// A cipher of `suite` under `key`, done by `backend`.
    pub fn new(backend: Backend, suite: Suite, key: &[u8; 32]) -> Cipher {
        Cipher(match backend {
            #[cfg(feature = "fast")]
            Backend::Fast => Inner::Fast(fast::Key::new(suite, key)),
            #[cfg(feature = "portable")]
            Backend::Portable => Inner::Portable(portable::Key::new(suite, key)),
        })
    }

    /// Encrypts `plaintext` into `ciphertext`, of the same length, and returns the tag over it and `aad`.
    pub fn seal(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        plaintext: &[u8],
        ciphertext: &mut [u8],
    ) -> [u8; TAG_LEN] {
        assert_eq!(plaintext.len(), ciphertext.len(), "a ciphertext is as long as its plaintext");
        match &self.0 {
            #[cfg(feature = "fast")]
            Inner::Fast(key) => key.seal(nonce, aad, plaintext, ciphertext),
            #[cfg(feature = "portable")]
            Inner::Portable(key) => key.seal(nonce, aad, plaintext, ciphertext),
        }
    }

    /// Decrypts `ciphertext` into `plaintext`, of the same length. After an error `plaintext` holds nothing of use.
    pub fn open(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        ciphertext: &[u8],
        tag: &[u8; TAG_LEN],
        plaintext: &mut [u8],
    ) -> Result<(), Forged> {
        assert_eq!(ciphertext.len(), plaintext.len(), "a plaintext is as long as its ciphertext");
        match &self.0 {
            #[cfg(feature = "fast")]
            Inner::Fast(key) => key.open(nonce, aad, ciphertext, tag, plaintext),
            #[cfg(feature = "portable")]
            Inner::Portable(key) => key.open(nonce, aad, ciphertext, tag, plaintext),
        }
    }
}

pub(crate) const NONCE_LEN: usize = 12;

#[cfg(test)]
#[cfg(all(feature = "fast", feature = "portable"))]
mod tests {
    use super::*;

    const SUITES: [Suite; 2] = [Suite::Aes256Gcm, Suite::ChaCha20Poly1305];
    const BACKENDS: [Backend; 2] = [Backend::Fast, Backend::Portable];

    #[test]
    fn each_backend_opens_what_the_other_sealed_and_refuses_every_flipped_bit_of_it() {
        for (suite, len) in
            SUITES.into_iter().flat_map(|suite| [0, 1, 15, 16, 17, 4096, 65536].map(|len| (suite, len)))
        {
            let mut key = [0; 32];
            let mut nonce = [0; 12];
            let mut plaintext = vec![0; len];
            for buffer in [&mut key[..], &mut nonce, &mut plaintext] {
                getrandom::fill(buffer).unwrap();
            }
            let [fast, portable] = BACKENDS.map(|backend| Cipher::new(backend, suite, &key));
            for (sealer, opener) in [(&fast, &portable), (&portable, &fast)] {
                let mut text = vec![0; len];
                let mut tag = sealer.seal(nonce, b"bound", &plaintext, &mut text);
                let mut out = vec![0; len];
                assert_eq!(opener.open(nonce, b"bound", &text, &tag, &mut out), Ok(()));
                assert_eq!(out, plaintext);
                assert_eq!(opener.open(nonce, b"other", &text, &tag, &mut out), Err(Forged));
                tag[len % 16] ^= 1;
                assert_eq!(opener.open(nonce, b"bound", &text, &tag, &mut out), Err(Forged));
            }
        }
    }
}
