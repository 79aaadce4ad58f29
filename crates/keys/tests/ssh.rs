//! Wraps for an SSH public key and opens with its private key, with the feature `ssh`.
//! The keys beside it were made for this test with `ssh-keygen -t ed25519`; the encrypted one is the same.
#![cfg(feature = "ssh")]
#![allow(clippy::unwrap_used, reason = "the functions that tests share may unwrap as they do")]

use keys::{Callbacks, Identities, Recipients, SealedSlot, SecretString, StreamKey, UnwrapError};

#[test]
fn an_ssh_key_opens_what_was_wrapped_for_it() {
    let identities = Identities::new().identity_file(PRIVATE).unwrap();
    assert_eq!(opened(&identities), Ok(KEY));
}

#[test]
fn an_encrypted_ssh_key_opens_with_its_passphrase() {
    let identities = Identities::new().identity_file_with(ENCRYPTED, Says("correct horse")).unwrap();
    assert_eq!(opened(&identities), Ok(KEY));
}

#[test]
fn an_encrypted_ssh_key_is_refused_without_its_passphrase() {
    assert!(Identities::new().identity_file(ENCRYPTED).is_err());
    assert!(Identities::new().identity_file_with(ENCRYPTED, Says("battery staple")).is_err());
}

#[test]
fn ssh_and_age_recipients_share_one_slot() {
    let anna = keys::Identity::generate();
    let slots = recipients().parse(&anna.recipient()).unwrap().wrap(&stream_key(), &HEAD).unwrap();
    assert_eq!(slots.len(), 1);
    let text = anna.file_text("2025-01-01T00:00:00Z").unwrap();
    for identities in [
        Identities::new().identity_file(PRIVATE).unwrap(),
        Identities::new().identity_file(text.as_bytes()).unwrap(),
    ] {
        assert!(identities.unwrap(&slots, &HEAD, &mut |key| key.expose() == &KEY).is_ok());
    }
}

#[test]
fn ssh_lines_that_cannot_be_used_are_refused() {
    for line in ["ssh-ed25519", "ssh-ed25519 AAAA", "ssh-dss AAAAB3NzaC1kc3MAAACB", "ssh-nonsense x"] {
        assert!(Recipients::new().parse(line).is_err(), "{line}");
    }
}

fn opened(identities: &Identities) -> Result<[u8; 32], UnwrapError> {
    let slots: Vec<SealedSlot> = recipients().wrap(&stream_key(), &HEAD).unwrap();
    identities.unwrap(&slots, &HEAD, &mut |key| key.expose() == &KEY).map(|key| *key.expose())
}

fn recipients() -> Recipients {
    Recipients::new().recipients_file(PUBLIC).unwrap()
}

fn stream_key() -> StreamKey {
    StreamKey::from_bytes(KEY)
}

#[derive(Clone)]
struct Says(&'static str);

impl Callbacks for Says {
    fn display_message(&self, _: &str) {}

    fn confirm(&self, _: &str, _: &str, _: Option<&str>) -> Option<bool> {
        None
    }

    fn request_public_string(&self, _: &str) -> Option<String> {
        None
    }

    fn request_passphrase(&self, _: &str) -> Option<SecretString> {
        Some(SecretString::from(self.0))
    }
}

const PUBLIC: &str = include_str!("vectors/ssh_ed25519.pub");
const PRIVATE: &str = include_str!("vectors/ssh_ed25519");
const ENCRYPTED: &str = include_str!("vectors/ssh_ed25519_encrypted");
const KEY: [u8; 32] = [0xc5; 32];
const HEAD: [u8; 80] = [0x3a; 80];
