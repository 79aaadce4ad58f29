//! Owns what the reference opener stands on: labels, the key schedule, hashes, AEADs, zstd frames and little-endian
//! numbers. Refuses to know records and their order; ciphers, hashes, HKDF, HMAC and zstd come from their libraries.

use super::Verdict;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use hmac::Mac;
use sha2::{Digest, Sha256};

/// The keys that follow from the stream key; the journal's is of no use to a reader.
pub(super) struct Keys {
    pub(super) stream: [u8; 32],
    pub(super) commitment: [u8; 32],
    pub(super) key_area: [u8; 32],
    pub(super) index: [u8; 32],
    pub(super) plaintext: [u8; 32],
    /// Whether they were derived: a reader without a key takes every tag and MAC as right.
    known: bool,
}

impl Keys {
    /// What stands for the keys where there is none.
    pub(super) fn unknown() -> Keys {
        let [stream, commitment, key_area, index, plaintext] = [[0; 32]; 5];
        Keys { stream, commitment, key_area, index, plaintext, known: false }
    }

    pub(super) fn are_known(&self) -> bool {
        self.known
    }

    /// The plaintext of `body`. Without a key it is not known, only how long it is.
    pub(super) fn open(&self, suite: u8, secret: &[u8; 44], aad: &[u8], body: &[u8]) -> Option<Vec<u8>> {
        if self.known { open_aead(suite, secret, aad, body) } else { Some(vec![0; body.len() - 16]) }
    }

    /// The MAC that is due: of the index under its key. Without a key it is the one that was seen.
    pub(super) fn index_mac(&self, name: &str, parts: &[&[u8]], seen: &[u8]) -> [u8; 32] {
        if self.known { hmac(&self.index, name, parts) } else { seen.try_into().expect("a MAC has 32 bytes") }
    }

    pub(super) fn derive(pre: &[u8], stream_key: &[u8; 32]) -> Keys {
        let (root, _) = hkdf::Hkdf::<Sha256>::extract(Some(&pre[48..80]), stream_key);
        let [stream, commitment, key_area, index, plaintext] =
            ["stream", "commit", "keys", "index", "plain"].map(|name| expand(&root, name, &pre[..48]));
        Keys { stream, commitment, key_area, index, plaintext, known: true }
    }
}

pub(super) fn label(name: &str) -> Vec<u8> {
    [b"cofferdam/v1/", name.as_bytes(), b"\0"].concat()
}

pub(super) fn expand<const LEN: usize>(key: &[u8], name: &str, context: &[u8]) -> [u8; LEN] {
    let (hkdf, mut out) = (hkdf::Hkdf::<Sha256>::from_prk(key).expect("keys have 32 bytes"), [0; LEN]);
    hkdf.expand(&[&label(name), context].concat(), &mut out).expect("no key is longer than 255 hashes");
    out
}

pub(super) fn hmac(key: &[u8; 32], name: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = hmac::Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(&[&label(name), &parts.concat()[..]].concat());
    mac.finalize().into_bytes().into()
}

/// BLAKE3 for digest 1, SHA-256 for 2, and for 3, whose fragments are tags.
pub(super) fn hash(digest: u8, parts: &[&[u8]]) -> [u8; 32] {
    match digest {
        1 => blake3::hash(&parts.concat()).into(),
        _ => Sha256::digest(parts.concat()).into(),
    }
}

/// For the digests of plaintext, whatever the stream's own digest is.
pub(super) fn plain_hash(key: &[u8; 32], name: &str, parts: &[&[u8]]) -> [u8; 32] {
    blake3::keyed_hash(key, &[&label(name), &parts.concat()[..]].concat()).into()
}

/// The plaintext of a compressed frame (FORMAT F8.10): `text` is one zstd frame from end to end, by its header a single
/// segment of `plain_len` bytes without dictionary and checksum. What its blocks say beyond that is not written.
pub(super) fn decompress(text: &[u8], plain_len: usize) -> Option<Vec<u8>> {
    let descriptor = *text.strip_prefix(b"\x28\xB5\x2F\xFD")?.first()?;
    let size_len = 1 << (descriptor >> 6);
    let (size, mut blocks) = text[5..].split_at_checked(size_len)?;
    let mut size_bytes = [0; 8];
    size_bytes[..size_len].copy_from_slice(size);
    let size = u64::from_le_bytes(size_bytes) + if size_len == 2 { 256 } else { 0 };
    (descriptor & 0x3F == 0x20 && size == plain_len as u64).then_some(())?;
    loop {
        let (header, rest) = blocks.split_first_chunk::<3>()?;
        let header = u32::from_le_bytes([header[0], header[1], header[2], 0]);
        let content_len = if header >> 1 & 3 == 1 { 1 } else { header >> 3 }; // of a run the size is not that of its byte
        blocks = rest.get(content_len as usize..)?;
        if header & 1 == 1 {
            break; // the last one
        }
    }
    blocks.is_empty().then_some(())?;
    let plain = zstd::bulk::decompress(text, plain_len).ok()?;
    (plain.len() == plain_len).then_some(plain)
}

/// Key and nonce of one frame: byte 7 of the base nonce takes the kind, bytes 8 to 11 take the index.
pub(super) fn at_frame(segment_secret: &[u8; 44], frame_header: &[u8]) -> [u8; 44] {
    let mut secret = *segment_secret;
    secret[32 + 7] ^= frame_header[0];
    (0..4).for_each(|byte| secret[32 + 8 + byte] ^= frame_header[4 + byte]);
    secret
}

/// `secret` is 32 bytes of key and 12 of nonce.
pub(super) fn open_aead(suite: u8, secret: &[u8; 44], aad: &[u8], body: &[u8]) -> Option<Vec<u8>> {
    let (key, nonce) = (secret[..32].try_into().ok()?, secret[32..].try_into().ok()?);
    let payload = Payload { msg: body, aad };
    match suite {
        1 => aes_gcm::Aes256Gcm::new(key).decrypt(nonce, payload).ok(),
        _ => chacha20poly1305::ChaCha20Poly1305::new(key).decrypt(nonce, payload).ok(),
    }
}

pub(super) struct Input<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Input<'a> {
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], Verdict> {
        let taken = self.bytes[self.at..].get(..len).ok_or(Verdict::Truncated)?;
        self.at += len;
        Ok(taken)
    }
}

pub(super) fn all_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
