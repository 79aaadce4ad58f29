//! The two AEADs of the format, each in a fast and a portable implementation.
//! It knows no frame: a key, a nonce, the bytes to bind and the bytes to seal.

#[cfg(not(any(feature = "fast", feature = "portable")))]
compile_error!("enable one of the features `fast` (aws-lc-rs) and `portable` (pure Rust)");

#[cfg(feature = "fast")]
mod fast;
#[cfg(feature = "portable")]
mod portable;

use framing::Suite;
use framing::limits::TAG_LEN;

/// Which implementation does the work. Both give the same bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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

    /// Encrypts `text` in place and returns the tag over it and `aad`.
    pub fn seal(&self, nonce: [u8; NONCE_LEN], aad: &[u8], text: &mut [u8]) -> [u8; TAG_LEN] {
        match &self.0 {
            #[cfg(feature = "fast")]
            Inner::Fast(key) => key.seal(nonce, aad, text),
            #[cfg(feature = "portable")]
            Inner::Portable(key) => key.seal(nonce, aad, text),
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

    struct Vector {
        suite: Suite,
        key: &'static str,
        nonce: &'static str,
        aad: &'static str,
        plaintext: &'static str,
        ciphertext: &'static str,
        tag: &'static str,
    }

    /// Published vectors: McGrew and Viega, "The Galois/Counter Mode of Operation (GCM)", appendix B, cases 13, 14,
    /// 15 and 16 (also NIST's); RFC 8439 §2.8.2.
    const VECTORS: [Vector; 5] = [
        Vector {
            suite: Suite::Aes256Gcm,
            key: "0000000000000000000000000000000000000000000000000000000000000000",
            nonce: "000000000000000000000000",
            aad: "",
            plaintext: "",
            ciphertext: "",
            tag: "530f8afbc74536b9a963b4f1c4cb738b",
        },
        Vector {
            suite: Suite::Aes256Gcm,
            key: "0000000000000000000000000000000000000000000000000000000000000000",
            nonce: "000000000000000000000000",
            aad: "",
            plaintext: "00000000000000000000000000000000",
            ciphertext: "cea7403d4d606b6e074ec5d3baf39d18",
            tag: "d0d1c8a799996bf0265b98b5d48ab919",
        },
        Vector {
            suite: Suite::Aes256Gcm,
            key: "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
            nonce: "cafebabefacedbaddecaf888",
            aad: "",
            plaintext: "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
            ciphertext: "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",
            tag: "b094dac5d93471bdec1a502270e3cc6c",
        },
        Vector {
            suite: Suite::Aes256Gcm,
            key: "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
            nonce: "cafebabefacedbaddecaf888",
            aad: "feedfacedeadbeeffeedfacedeadbeefabaddad2",
            plaintext: "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
            ciphertext: "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
            tag: "76fc6ece0f4e1768cddf8853bb2d551b",
        },
        Vector {
            suite: Suite::ChaCha20Poly1305,
            key: "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
            nonce: "070000004041424344454647",
            aad: "50515253c0c1c2c3c4c5c6c7",
            plaintext: "4c616469657320616e642047656e746c656d656e206f662074686520636c617373206f66202739393a204966204920636f756c64206f6666657220796f75206f6e6c79206f6e652074697020666f7220746865206675747572652c2073756e73637265656e20776f756c642062652069742e",
            ciphertext: "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b6116",
            tag: "1ae10b594f09e26a7e902ecbd0600691",
        },
    ];

    #[test]
    fn published_vectors_hold_on_both_backends() {
        for (number, vector) in VECTORS.iter().enumerate() {
            let bytes = |text: &str| hex::decode(text).unwrap();
            let (key, nonce) =
                (bytes(vector.key).try_into().unwrap(), bytes(vector.nonce).try_into().unwrap());
            for backend in BACKENDS {
                let cipher = Cipher::new(backend, vector.suite, &key);
                let mut text = bytes(vector.plaintext);
                let tag = cipher.seal(nonce, &bytes(vector.aad), &mut text);
                assert_eq!(hex::encode(&text), vector.ciphertext, "vector {number}, {backend:?}");
                assert_eq!(hex::encode(tag), vector.tag, "vector {number}, {backend:?}");
                let mut plaintext = vec![0; text.len()];
                cipher.open(nonce, &bytes(vector.aad), &text, &tag, &mut plaintext).unwrap();
                assert_eq!(hex::encode(&plaintext), vector.plaintext, "vector {number}, {backend:?}");
            }
        }
    }

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
                let mut text = plaintext.clone();
                let mut tag = sealer.seal(nonce, b"bound", &mut text);
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
