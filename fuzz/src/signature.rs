//! Checks for the fuzzer: signatures, lists of public keys and private keys, as whoever can write to them may have made them.
//! It knows one key, what that has signed, and what it has not.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use signatures::{Message, PublicKey, SecretKey, Signature, StreamHash, TrustedKeys};

/// Everything below, for one input. Panics on a fault.
pub(crate) fn check(data: &[u8]) {
    signature(data);
    // What is in the armor, without the base64 that a fuzzer seldom gets right.
    let base64 = BASE64_STANDARD.encode(data);
    signature(format!("{BEGIN}\n{base64}\n{END}\n").as_bytes());
    if let Ok(text) = std::str::from_utf8(data) {
        public_keys(text);
    }
    private_key(data);
    footer(data);
}

/// A signature that reads is written in one way, names one key, and is believed of one message only if it is the one that was made.
fn signature(text: &[u8]) {
    let Ok(found) = Signature::parse(text) else { return };
    let again = Signature::parse(found.as_text().as_bytes()).expect("what is written reads");
    assert_eq!(again.as_text(), found.as_text());
    let one_line: String = found.as_text().lines().filter(|line| !line.starts_with('-')).collect();
    let unwrapped = Signature::parse(format!("{BEGIN}\n{one_line}\n{END}").as_bytes());
    assert!(unwrapped.is_ok_and(|unwrapped| unwrapped == found), "lines have any length");
    let (key, trusted) = trusted();
    let genuine = Signature::parse(GENUINE.as_bytes()).expect("it is a signature");
    let verified = trusted.verify(&message(), &found);
    match found == genuine {
        true => assert_eq!(verified, Ok(&key)),
        false => assert!(verified.is_err(), "a signature that nobody has made is believed"),
    }
    assert!(trusted.verify(&evidence(), &found).is_err());
    if trusted.signer(&found, Message::STREAM).is_ok() {
        assert!(found.names(&key));
    }
}

/// A list reads if each of its lines does, and each key is trusted for what it says that it has signed.
fn public_keys(text: &str) {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: Vec<_> = lines().map(PublicKey::parse).collect();
    let read = TrustedKeys::parse(text);
    assert_eq!(read.is_ok(), !keys.is_empty() && keys.len() <= KEYS_MAX && keys.iter().all(Result::is_ok));
    let genuine = Signature::parse(GENUINE.as_bytes()).expect("it is a signature");
    for key in keys.into_iter().flatten() {
        assert!(key.to_string().starts_with("SHA256:"));
        if let Ok(list) = &read {
            let is_named = genuine.names(&key);
            assert!(!is_named || list.verify(&message(), &genuine).is_ok());
        }
    }
    if let Ok(list) = &read {
        let is_listed = list.verify(&message(), &genuine).is_ok();
        let names = lines().filter_map(|line| PublicKey::parse(line).ok()).any(|key| genuine.names(&key));
        assert_eq!(is_listed, names);
    }
}

/// Whatever a private key's file holds, what it signs is its own, or nothing.
fn private_key(text: &[u8]) {
    let Ok(key) = SecretKey::parse(text, || None) else { return };
    assert!(!format!("{key:?}").contains("PRIVATE"));
    if let Ok(made) = key.sign(&message()) {
        assert_eq!(made.verify(key.public_key(), &message()), Ok(()));
        assert!(made.verify(key.public_key(), &evidence()).is_err());
    }
}

/// A digest that is computed from a stream: the signature is of one alone.
fn footer(data: &[u8]) {
    let Some((digest, rest)) = data.split_first_chunk::<32>() else { return };
    let version = rest.first_chunk().map_or(1, |version| u16::from_le_bytes(*version));
    let (_, trusted) = trusted();
    let genuine = Signature::parse(GENUINE.as_bytes()).expect("it is a signature");
    for hash in [StreamHash::Blake3, StreamHash::Sha256] {
        let message = Message::stream(version, hash, digest);
        let is_signed = trusted.verify(&message, &genuine).is_ok();
        assert_eq!(is_signed, version == 1 && hash == StreamHash::Blake3 && *digest == DIGEST);
    }
}

fn trusted() -> (PublicKey, TrustedKeys) {
    let key = PublicKey::parse(PUBLIC).expect("it is a public key");
    (key.clone(), TrustedKeys::from(key))
}

fn message() -> Message {
    Message::stream(1, StreamHash::Blake3, &DIGEST)
}

fn evidence() -> Message {
    Message::evidence(message().bytes().to_vec())
}

const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";
/// Of a file, as the library limits it.
const KEYS_MAX: usize = 1000;
const DIGEST: [u8; 32] = [0x3f; 32];
/// The key of the crate's tests, of the `ssh-key` crate's examples.
const PUBLIC: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti user@example.com";
/// What `ssh-keygen -Y sign -n stream@cofferdam` has made of the line of [`DIGEST`] with it.
const GENUINE: &str = include_str!("../../crates/signatures/tests/stream.sig");
