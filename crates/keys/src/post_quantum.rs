//! Owns age's hybrid recipients and identities: ML-KEM-768 with X25519, as C2SP's age.md specifies them. Both have to fall for one to fall.
//! Refuses to know what the file key opens. The cryptography is HPKE's (RFC 9180) with X-Wing as its KEM: age's own use of the crate `hpke`, and `xwing`.

use std::collections::HashSet;
use std::fmt;

use age::{DecryptError, EncryptError};
use age_core::format::{FILE_KEY_BYTES, FileKey, Stanza};
use age_core::primitives::{bech32_decode, bech32_encode, hpke_open, hpke_seal};
use age_core::secrecy::ExposeSecret as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use hpke::rand_core::{self, CryptoRng, RngCore};
use hpke::{Deserializable as _, Kem as _, Serializable as _};
use zeroize::{Zeroize as _, Zeroizing};

use crate::error::KeyError;
use crate::stream_key::fill_random;
use crate::xwing::{PUBLIC_LEN, PublicKey, SEED_LEN, SHARE_LEN, SecretKey, Share, XWing, is_of_low_order};

/// Whom a file key is wrapped for: `age1pq1…`.
#[derive(Clone)]
pub(crate) struct PqRecipient(PublicKey);

/// What opens it: `AGE-SECRET-KEY-PQ-1…`. Zeroed when dropped.
pub(crate) struct PqIdentity(SecretKey);

impl PqRecipient {
    /// `None` for any other text, and for a key with which nothing can be wrapped.
    pub(crate) fn parse(text: &str) -> Option<PqRecipient> {
        let bytes = decode(text, RECIPIENT_HRP)?;
        let share = bytes.last_chunk().filter(|_| bytes.len() == PUBLIC_LEN)?;
        // What is wrapped for such a key would have no secret of X25519 in it.
        if is_of_low_order(share) {
            return None;
        }
        PublicKey::from_bytes(&bytes).ok().map(PqRecipient)
    }
}

impl fmt::Display for PqRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bech32_encode(RECIPIENT_HRP, &self.0.to_bytes()))
    }
}

impl age::Recipient for PqRecipient {
    fn wrap_file_key(&self, key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        let (share, body) = hpke_seal::<XWing, _>(&self.0, INFO, key.expose_secret(), &mut SystemRandom);
        let share = BASE64_STANDARD_NO_PAD.encode(share.to_bytes());
        let stanza = Stanza { tag: STANZA.to_owned(), args: vec![share], body };
        Ok((vec![stanza], HashSet::from([LABEL.to_owned()])))
    }
}

impl PqIdentity {
    pub(crate) fn generate() -> Result<PqIdentity, KeyError> {
        let mut seed = Zeroizing::new([0; SEED_LEN]);
        fill_random(&mut seed[..])?;
        Ok(PqIdentity(SecretKey::new(seed)))
    }

    /// `None` for any other text.
    pub(crate) fn parse(text: &str) -> Option<PqIdentity> {
        if !text.starts_with(IDENTITY_PREFIX) {
            return None;
        }
        let bytes = decode(text, IDENTITY_HRP)?;
        SecretKey::from_bytes(&bytes).ok().map(PqIdentity)
    }

    pub(crate) fn recipient(&self) -> PqRecipient {
        PqRecipient(XWing::sk_to_pk(&self.0))
    }

    /// As it stands in an identity file.
    pub(crate) fn text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(bech32_encode(IDENTITY_HRP, self.0.seed()));
        text.make_ascii_uppercase();
        text
    }
}

impl age::Identity for PqIdentity {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        if stanza.tag != STANZA {
            return None;
        }
        let Some(share) = share_of(stanza) else { return Some(Err(DecryptError::InvalidHeader)) };
        let share = Share::from_bytes(&share).ok()?;
        let opened = hpke_open::<XWing>(&share, &self.0, INFO, &stanza.body);
        // For somebody else, or changed: neither shows.
        let mut opened = opened.ok()?;
        let key = FileKey::try_init_with_mut(|key| match opened.len() == key.len() {
            true => {
                key.copy_from_slice(&opened);
                Ok(())
            }
            false => Err(DecryptError::InvalidHeader),
        });
        opened.zeroize();
        Some(key)
    }
}

/// The encapsulated key of a stanza that is formed as age.md says.
fn share_of(stanza: &Stanza) -> Option<Vec<u8>> {
    let [share] = &stanza.args[..] else { return None };
    // The engine refuses what is not canonical.
    let share = BASE64_STANDARD_NO_PAD.decode(share).ok()?;
    let is_formed = share.len() == SHARE_LEN && stanza.body.len() == FILE_KEY_BYTES + TAG_LEN;
    let x25519 = share.last_chunk().filter(|_| is_formed)?;
    (!is_of_low_order(x25519)).then_some(share)
}

/// The operating system's, as the library asks for it: `drawing` has asked before whether there is any, and takes the panic.
struct SystemRandom;

impl RngCore for SystemRandom {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        fill_random(bytes).expect("the operating system gave random numbers a moment ago");
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for SystemRandom {}

fn decode(text: &str, hrp: bech32::Hrp) -> Option<Zeroizing<Vec<u8>>> {
    let is_ours = |found| if found == hrp { Ok(()) } else { Err(()) };
    let collect = |_, bytes: bech32::primitives::decode::ByteIter<'_>| {
        // The capacity is exact: a vector that grows leaves copies of its content behind.
        let mut decoded = Zeroizing::new(Vec::with_capacity(bytes.len()));
        decoded.extend(bytes);
        Ok(decoded)
    };
    bech32_decode(text, |_| (), is_ours, collect).ok()
}

/// What an identity begins with.
pub(crate) const IDENTITY_PREFIX: &str = "AGE-SECRET-KEY-PQ-1";
/// What a recipient begins with.
pub(crate) const RECIPIENT_PREFIX: &str = "age1pq1";
const RECIPIENT_HRP: bech32::Hrp = bech32::Hrp::parse_unchecked("age1pq");
const IDENTITY_HRP: bech32::Hrp = bech32::Hrp::parse_unchecked("age-secret-key-pq-");
const STANZA: &str = "mlkem768x25519";
const INFO: &[u8] = b"age-encryption.org/mlkem768x25519";
/// Recipients without it are not taken beside one with it: they would open what this one is to protect.
const LABEL: &str = "postquantum";
const TAG_LEN: usize = 16;

#[cfg(test)]
mod tests {
    use age::{Identity as _, Recipient as _};
    use age_core::format::read::age_stanza;

    use super::*;

    /// CCTV's `hybrid_low_order`: a point of order 8 that no list of well-known ones has.
    const ORDER_8: [u8; 32] = [
        0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04,
        0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0xd7,
    ];

    /// The verdict on one stanza.
    fn verdict(identity: &PqIdentity, stanza: &Stanza) -> &'static str {
        match identity.unwrap_stanza(stanza) {
            None => "no match",
            Some(Ok(_)) => "success",
            Some(Err(DecryptError::InvalidHeader)) => "header failure",
            Some(Err(_)) => "another failure",
        }
    }

    fn wrapped(recipient: &PqRecipient) -> Stanza {
        let key = FileKey::new(Box::new([7; FILE_KEY_BYTES]));
        let (mut stanzas, labels) = recipient.wrap_file_key(&key).unwrap();
        assert_eq!(labels, HashSet::from(["postquantum".to_owned()]));
        stanzas.pop().unwrap()
    }

    #[test]
    fn what_is_wrapped_for_a_recipient_its_identity_opens_and_no_other() {
        let [own, other] = [(); 2].map(|()| PqIdentity::generate().unwrap());
        let stanza = wrapped(&own.recipient());
        assert_eq!((verdict(&own, &stanza), verdict(&other, &stanza)), ("success", "no match"));
        let key = own.unwrap_stanza(&stanza).unwrap().unwrap();
        assert_eq!(key.expose_secret(), &[7; FILE_KEY_BYTES]);
        assert_ne!(wrapped(&own.recipient()), stanza);
    }

    #[test]
    fn texts_are_read_as_they_are_written() {
        let identity = PqIdentity::generate().unwrap();
        let text = identity.text();
        assert!(text.starts_with("AGE-SECRET-KEY-PQ-1"));
        assert_eq!(PqIdentity::parse(&text).unwrap().text(), text);
        assert!(PqIdentity::parse(&text.to_ascii_lowercase()).is_none());
        let recipient = identity.recipient().to_string();
        assert!(recipient.starts_with("age1pq1"));
        assert_eq!(PqRecipient::parse(&recipient).unwrap().to_string(), recipient);
        for wrong in [&recipient[1..], &recipient[..recipient.len() - 1], &text, "age1pq1", ""] {
            assert!(
                PqRecipient::parse(wrong).is_none()
                    && (*wrong == **text || PqIdentity::parse(wrong).is_none())
            );
        }
    }

    /// RFC 7748 §6.1 lets an implementation refuse zeros, and age does.
    #[test]
    fn a_share_of_low_order_is_refused_on_either_side() {
        let identity = PqIdentity::generate().unwrap();
        for low in [ORDER_8, [0; 32], std::array::from_fn(|at| u8::from(at == 0))] {
            let mut stanza = wrapped(&identity.recipient());
            let mut share = BASE64_STANDARD_NO_PAD.decode(&stanza.args[0]).unwrap();
            share[SHARE_LEN - 32..].copy_from_slice(&low);
            stanza.args[0] = BASE64_STANDARD_NO_PAD.encode(share);
            assert_eq!(verdict(&identity, &stanza), "header failure");
            let mut key = identity.recipient().0.to_bytes().to_vec();
            key[PUBLIC_LEN - 32..].copy_from_slice(&low);
            assert!(PqRecipient::parse(&bech32_encode(RECIPIENT_HRP, &key)).is_none());
        }
    }

    #[test]
    fn a_stanza_that_is_formed_otherwise_is_refused() {
        let identity = PqIdentity::generate().unwrap();
        let stanza = || wrapped(&identity.recipient());
        let changed = |change: fn(&mut Stanza)| {
            let mut stanza = stanza();
            change(&mut stanza);
            verdict(&identity, &stanza)
        };
        assert_eq!(changed(|_| {}), "success");
        assert_eq!(changed(|stanza| stanza.args.clear()), "header failure");
        assert_eq!(changed(|stanza| stanza.args.push("x".to_owned())), "header failure");
        assert_eq!(changed(|stanza| stanza.args[0].push('A')), "header failure");
        assert_eq!(changed(|stanza| _ = stanza.args[0].pop()), "header failure");
        assert_eq!(changed(|stanza| stanza.args[0].push('=')), "header failure");
        assert_eq!(changed(|stanza| stanza.body.push(0)), "header failure");
        assert_eq!(changed(|stanza| _ = stanza.body.pop()), "header failure");
        assert_eq!(changed(|stanza| stanza.body[0] ^= 1), "no match");
        assert_eq!(changed(|stanza| stanza.tag = "MLKEM768X25519".to_owned()), "no match");
    }

    /// The hybrid vectors of C2SP's CCTV collection, as far as they are about stanzas; what they are and under which licence says the
    /// README beside them.
    #[test]
    fn the_public_vectors_get_their_verdicts() {
        for (name, vector) in VECTORS {
            let (head, file) = vector.split_once("\n\n").unwrap();
            let value = |key: &str| values(head, &format!("{key}: "));
            let identities = value("identity").into_iter().map(|text| match PqIdentity::parse(text) {
                Some(identity) => Box::new(identity) as Box<dyn age::Identity>,
                None => Box::new(text.parse::<age::x25519::Identity>().unwrap()),
            });
            let mut rest = file.strip_prefix("age-encryption.org/v1\n").unwrap().as_bytes();
            let mut stanzas = Vec::new();
            while let Ok((left, stanza)) = age_stanza(rest) {
                stanzas.push(Stanza::from(stanza));
                rest = left;
            }
            assert!(rest.starts_with(b"--- "), "{name}");
            // As age asks: the first stanza that is the identity's own, well formed or not, is the answer.
            let found = identities.into_iter().find_map(|identity| identity.unwrap_stanzas(&stanzas));
            let (expected, file_key) = (value("expect")[0], value("file key")[0]);
            match found {
                None => assert_eq!(expected, "no match", "{name}"),
                Some(Err(DecryptError::InvalidHeader)) => assert_eq!(expected, "header failure", "{name}"),
                Some(Err(error)) => panic!("{name}: {error}"),
                Some(Ok(key)) => {
                    assert_eq!(expected, "success", "{name}");
                    let digits: String =
                        key.expose_secret().iter().map(|byte| format!("{byte:02x}")).collect();
                    assert_eq!(digits, file_key, "{name}");
                }
            }
        }
    }

    fn values<'a>(head: &'a str, key: &str) -> Vec<&'a str> {
        head.lines().filter_map(|line| line.strip_prefix(key)).collect()
    }

    const VECTORS: [(&str, &str); 12] = [
        ("hybrid", include_str!("../tests/vectors/hybrid/hybrid")),
        ("hybrid_bad_tag", include_str!("../tests/vectors/hybrid/hybrid_bad_tag")),
        ("hybrid_currupted_enc_mlkem", include_str!("../tests/vectors/hybrid/hybrid_currupted_enc_mlkem")),
        ("hybrid_extra_argument", include_str!("../tests/vectors/hybrid/hybrid_extra_argument")),
        ("hybrid_grease", include_str!("../tests/vectors/hybrid/hybrid_grease")),
        ("hybrid_long_file_key", include_str!("../tests/vectors/hybrid/hybrid_long_file_key")),
        ("hybrid_long_share", include_str!("../tests/vectors/hybrid/hybrid_long_share")),
        ("hybrid_multiple_recipients", include_str!("../tests/vectors/hybrid/hybrid_multiple_recipients")),
        ("hybrid_no_match", include_str!("../tests/vectors/hybrid/hybrid_no_match")),
        ("hybrid_not_canonical_enc", include_str!("../tests/vectors/hybrid/hybrid_not_canonical_enc")),
        ("hybrid_short_share", include_str!("../tests/vectors/hybrid/hybrid_short_share")),
        ("hybrid_x25519_arg", include_str!("../tests/vectors/hybrid/hybrid_x25519_arg")),
    ];
}
