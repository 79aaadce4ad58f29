//! Owns what derives from a stream key: commitment, AEAD keys, MAC keys (FORMAT §10; the MACs, §5 and §9).
//! Refuses to know ciphers, records and where the derived bytes are written.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::secret::Secret;
use crate::stream_key::StreamKey;

/// All that derives from one stream key under one preamble.
///
/// Zeroed when dropped, without `Clone`; its `Debug` shows no key. Deriving is a few SHA-256 blocks; a schedule is
/// made once a stream and shared by reference.
#[derive(Debug)]
pub struct KeySchedule {
    stream: Secret<32>,
    commitment: [u8; 32],
    key_area: Secret<32>,
    index: Secret<32>,
    plaintext: Secret<32>,
    journal: Secret<32>,
}

impl KeySchedule {
    /// Derives the schedule. Of the 128 bytes of `preamble` only the first 80 enter (bytes 0..48 as context,
    /// 48..80 as salt), so the commitment field may still be empty while a stream is being sealed.
    pub fn new(stream_key: &StreamKey, preamble: &[u8; 128]) -> Self {
        let context = &preamble[..PREAMBLE_CONTEXT_LEN];
        let salt = &preamble[PREAMBLE_CONTEXT_LEN..PREAMBLE_HEAD_LEN];
        let root = extract(salt, stream_key.expose());
        let key = |label| expand::<32>(&root, &[label, context]);
        Self {
            stream: key(LABEL_STREAM),
            commitment: *key(LABEL_COMMITMENT),
            key_area: key(LABEL_KEYS),
            index: key(LABEL_INDEX),
            plaintext: key(LABEL_PLAIN),
            journal: key(LABEL_JOURNAL),
        }
    }

    /// The value that the preamble carries at 80..112. It is public, and only this key has it.
    pub fn commitment(&self) -> [u8; 32] {
        self.commitment
    }

    /// Whether `claimed`, as a preamble carries it, commits to this key; in constant time.
    pub fn matches_commitment(&self, claimed: &[u8; 32]) -> bool {
        macs_equal(&self.commitment, claimed)
    }

    /// Key and base nonce of the segment with this header, all 48 bytes of it.
    pub fn segment(&self, header: &[u8; 48]) -> AeadSecret {
        AeadSecret::derive(&self.stream, &[LABEL_SEGMENT, header])
    }

    /// Key and nonce of the metadata record whose first 32 bytes are `record_head`.
    pub fn metadata(&self, record_head: &[u8; 32]) -> AeadSecret {
        AeadSecret::derive(&self.stream, &[LABEL_METADATA, record_head])
    }

    /// The MAC at L−64 of a key copy; `copy_without_tail` is its bytes 0..L−64.
    pub fn key_area_mac(&self, preamble: &[u8; 128], copy_without_tail: &[u8]) -> [u8; 32] {
        mac(&self.key_area, &[LABEL_KEYS_MAC, preamble, copy_without_tail])
    }

    /// The MAC at the end of an index page.
    pub fn page_mac(&self, page_without_mac: &[u8]) -> [u8; 32] {
        mac(&self.index, &[LABEL_PAGE, page_without_mac])
    }

    /// The MAC at the end of the footer, over the directory and the footer's first 80 bytes.
    pub fn footer_mac(&self, directory: &[u8], footer_head: &[u8; 80]) -> [u8; 32] {
        mac(&self.index, &[LABEL_FOOTER, directory, footer_head])
    }

    /// The key of the plaintext digests of a compressed stream (FORMAT F11.5).
    pub fn plaintext_digest_key(&self) -> &[u8; 32] {
        &self.plaintext
    }

    /// The key of the restore journal with this id.
    pub fn journal(&self, journal_id: &[u8; 16]) -> JournalKey {
        JournalKey(expand(&self.journal, &[LABEL_JOURNAL, journal_id]))
    }
}

/// Key and nonce of one AEAD use. Zeroed when dropped, without `Clone`; its `Debug` shows nothing of it.
#[derive(Debug)]
pub struct AeadSecret {
    key: Secret<32>,
    nonce: Secret<12>,
}

impl AeadSecret {
    /// The 32-byte key.
    pub fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// The 12-byte nonce; for a segment the base that frame nonces are made from.
    pub fn nonce(&self) -> &[u8; 12] {
        &self.nonce
    }

    pub(crate) fn derive(root: &[u8; 32], info: &[&[u8]]) -> Self {
        let joined = expand::<44>(root, info);
        let (mut key, mut nonce) = (Secret::zeroed(), Secret::zeroed());
        key.copy_from_slice(&joined[..32]);
        nonce.copy_from_slice(&joined[32..]);
        Self { key, nonce }
    }
}

/// The key that authenticates the checkpoints of one journal. Zeroed when dropped; its `Debug` shows nothing of it.
#[derive(Debug)]
pub struct JournalKey(Secret<32>);

impl JournalKey {
    /// HMAC-SHA-256 of `bytes` under this key.
    pub fn mac(&self, bytes: &[u8]) -> [u8; 32] {
        mac(&self.0, &[bytes])
    }

    /// Whether `claimed` is the MAC of `bytes`; in constant time.
    pub fn verify(&self, bytes: &[u8], claimed: &[u8; 32]) -> bool {
        macs_equal(&self.mac(bytes), claimed)
    }
}

/// Compares two MACs or commitments in constant time.
pub fn macs_equal(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.ct_eq(other).into()
}

/// HKDF-Extract, RFC 5869 §2.2.
pub(crate) fn extract(salt: &[u8], key_material: &[u8]) -> Secret<32> {
    let (mut pseudorandom, _) = Hkdf::<Sha256>::extract(Some(salt), key_material);
    let mut secret = Secret::zeroed();
    secret.copy_from_slice(&pseudorandom);
    pseudorandom.zeroize();
    secret
}

/// HKDF-Expand, RFC 5869 §2.3, over the joined `info`.
pub(crate) fn expand<const N: usize>(root: &[u8; 32], info: &[&[u8]]) -> Secret<N> {
    const { assert!(N <= 255 * 32, "HKDF-SHA-256 gives at most 255 blocks") };
    let mut output = Secret::zeroed();
    Hkdf::<Sha256>::from_prk(root)
        .expect("32 bytes are a whole SHA-256 pseudorandom key")
        .expand_multi_info(info, output.as_mut_slice())
        .expect("the length has been asserted");
    output
}

/// HMAC-SHA-256, RFC 2104, over the joined `parts`.
pub(crate) fn mac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    parts.iter().for_each(|part| hmac.update(part));
    hmac.finalize().into_bytes().into()
}

/// The preamble's first bytes, which every key is bound to.
const PREAMBLE_CONTEXT_LEN: usize = 48;
/// The preamble up to and with the salt, before the commitment.
const PREAMBLE_HEAD_LEN: usize = 80;

const LABEL_STREAM: &[u8] = b"cofferdam/v1/stream\0";
const LABEL_COMMITMENT: &[u8] = b"cofferdam/v1/commit\0";
const LABEL_KEYS: &[u8] = b"cofferdam/v1/keys\0";
const LABEL_INDEX: &[u8] = b"cofferdam/v1/index\0";
const LABEL_PLAIN: &[u8] = b"cofferdam/v1/plain\0";
const LABEL_JOURNAL: &[u8] = b"cofferdam/v1/journal\0";
const LABEL_SEGMENT: &[u8] = b"cofferdam/v1/segment\0";
const LABEL_METADATA: &[u8] = b"cofferdam/v1/metadata\0";
const LABEL_KEYS_MAC: &[u8] = b"cofferdam/v1/keys-mac\0";
const LABEL_PAGE: &[u8] = b"cofferdam/v1/page\0";
const LABEL_FOOTER: &[u8] = b"cofferdam/v1/footer\0";
