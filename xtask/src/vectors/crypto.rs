//! Owns the cryptography of the sealer of vectors: labels, the key schedule, AEADs, hashes, MACs.
//! Refuses to know records; ciphers, hashes, HKDF and HMAC come from their libraries, none from Cofferdam's crates.

use super::plan::{Hash, Suite};
use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::ChaCha20Poly1305;
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

pub(super) const AEAD_KEY_LEN: usize = 32;
pub(super) const AEAD_NONCE_LEN: usize = 12;
pub(super) const TAG_LEN: usize = 16;

/// An AEAD key with the nonce (of one message) or the base nonce (of a segment) derived beside it.
#[derive(Clone)]
pub(super) struct AeadSecret {
    key: [u8; AEAD_KEY_LEN],
    nonce: [u8; AEAD_NONCE_LEN],
}

impl AeadSecret {
    /// FORMAT, kind-2 slot: a full HKDF, from the caller's key.
    pub(super) fn of_slot(salt: &[u8], caller_key: &[u8], info: &[u8]) -> AeadSecret {
        Self::expand_from(&Hkdf::<Sha256>::new(Some(salt), caller_key), "slot2", info)
    }

    pub(super) fn of_metadata(stream: &[u8; 32], header: &[u8]) -> AeadSecret {
        Self::expand_from(&prk(stream), "metadata", header)
    }

    pub(super) fn of_segment(stream: &[u8; 32], header: &[u8]) -> AeadSecret {
        Self::expand_from(&prk(stream), "segment", header)
    }

    /// The base nonce with byte 7 XOR the frame's kind and bytes 8..12 XOR its index.
    pub(super) fn for_frame(&self, kind: u8, frame_index: u32) -> AeadSecret {
        let mut secret = self.clone();
        secret.nonce[7] ^= kind;
        for (byte, index) in secret.nonce[8..].iter_mut().zip(frame_index.to_le_bytes()) {
            *byte ^= index;
        }
        secret
    }

    /// Ciphertext followed by the tag.
    pub(super) fn seal(&self, suite: Suite, aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
        let message = Payload { msg: plaintext, aad };
        let sealed = match suite {
            Suite::Aes256Gcm => Aes256Gcm::new(&self.key.into()).encrypt(&self.nonce.into(), message),
            Suite::ChaCha20Poly1305 => {
                ChaCha20Poly1305::new(&self.key.into()).encrypt(&self.nonce.into(), message)
            }
        };
        sealed.expect("a vector's frame is far below the limits of its cipher")
    }

    fn expand_from(prk: &Hkdf<Sha256>, name: &str, context: &[u8]) -> AeadSecret {
        let mut out = [0; AEAD_KEY_LEN + AEAD_NONCE_LEN];
        prk.expand_multi_info(&[&label(name), context], &mut out).expect("44 bytes are two hashes");
        let (key, nonce) = out.split_at(AEAD_KEY_LEN);
        AeadSecret { key: key.try_into().expect("32 bytes"), nonce: nonce.try_into().expect("12 bytes") }
    }
}

/// The keys derived from a stream key.
pub(super) struct StreamKeys {
    pub(super) stream: [u8; 32],
    pub(super) commitment: [u8; 32],
    pub(super) key_area: [u8; 32],
    pub(super) index: [u8; 32],
    pub(super) plaintext: [u8; 32],
}

impl StreamKeys {
    /// `fixed` is the preamble's first 48 bytes, `salt` the 32 that follow.
    pub(super) fn derive(stream_key: &[u8; 32], salt: &[u8], fixed: &[u8]) -> StreamKeys {
        let root = Hkdf::<Sha256>::new(Some(salt), stream_key);
        let key = |name| {
            let mut out = [0; 32];
            root.expand_multi_info(&[&label(name), fixed], &mut out).expect("32 bytes are one hash");
            out
        };
        StreamKeys {
            stream: key("stream"),
            commitment: key("commit"),
            key_area: key("keys"),
            index: key("index"),
            plaintext: key("plain"),
        }
    }
}

impl Hash {
    pub(super) fn of(self, name: &str, parts: &[&[u8]]) -> [u8; 32] {
        let input = [&label(name)[..], &parts.concat()].concat();
        match self {
            Hash::Blake3 => *blake3::hash(&input).as_bytes(),
            Hash::Sha256 | Hash::Tags => Sha256::digest(&input).into(),
        }
    }
}

pub(super) fn mac(key: &[u8; 32], name: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(&label(name));
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// BLAKE3 with a key, for the digests of plaintext, whatever the digest of the stream.
pub(super) fn plaintext_hash(key: &[u8; 32], name: &str, parts: &[&[u8]]) -> [u8; 32] {
    *blake3::keyed_hash(key, &[&label(name)[..], &parts.concat()].concat()).as_bytes()
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn prk(key: &[u8; 32]) -> Hkdf<Sha256> {
    Hkdf::from_prk(key).expect("a key is as long as a hash")
}

fn label(name: &str) -> Vec<u8> {
    format!("cofferdam/v1/{name}\0").into_bytes()
}
