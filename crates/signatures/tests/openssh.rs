//! Signatures of ours before OpenSSH's programs, and theirs before us: keys of every kind, in files and in an agent.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod openssh {
    pub(crate) mod device;
    pub(crate) mod programs;
}

use std::fs;

use openssh::device::{Device, NOT_TOUCHED, TOUCHED};
use openssh::programs::{Agent as RealAgent, Place, has};
use signatures::{
    Agent, AgentOptions, Message, PublicKey, SecretKey, Signature, SignatureError, SigningError, StreamHash,
    TrustedKeys, Zeroizing,
};

/// Kinds of keys that are in files, as `ssh-keygen -t` and `-b` name them.
const KINDS: [(&str, &str); 7] = [
    ("ed25519", "256"),
    ("ecdsa", "256"),
    ("ecdsa", "384"),
    ("ecdsa", "521"),
    ("rsa", "2048"),
    ("rsa", "3072"),
    ("rsa", "4096"),
];

fn message() -> Message {
    Message::stream(1, StreamHash::Blake3, &[0x3f; 32])
}

fn other_message() -> Message {
    Message::stream(1, StreamHash::Sha256, &[0x3f; 32])
}

/// A key in the file `key`. The library cannot read ECDSA keys whose number is short; that is said, and another one is made.
fn readable_key(place: &Place, kind: &str, bits: &str) -> (String, SecretKey) {
    loop {
        let public = place.keygen("key", kind, bits, "");
        match SecretKey::parse(&place.read("key"), || panic!("no passphrase is on it")) {
            Ok(key) => return (public, key),
            Err(SigningError::Unreadable) => assert_eq!(kind, "ecdsa"),
            Err(error) => panic!("{kind} {bits}: {error}"),
        }
        fs::remove_file(place.path("key")).unwrap();
    }
}

#[test]
fn openssh_accepts_our_signatures_and_we_accept_its_own() {
    if !has("ssh-keygen") {
        return;
    }
    for (kind, bits) in KINDS {
        let place = Place::new();
        let (public, key) = readable_key(&place, kind, bits);
        let ours = key.sign(&message()).unwrap();
        assert!(place.verifies(&public, &message(), ours.as_text()), "{kind} {bits}");
        assert!(!place.verifies(&public, &other_message(), ours.as_text()), "{kind} {bits}");

        let trusted = TrustedKeys::parse(&public).unwrap();
        for hash in ["sha512", "sha256"] {
            let theirs = Signature::parse(place.sign("key", &message(), hash).as_bytes()).unwrap();
            assert_eq!(
                trusted.verify(&message(), &theirs).unwrap(),
                key.public_key(),
                "{kind} {bits} {hash}"
            );
            let refused = trusted.verify(&other_message(), &theirs);
            assert_eq!(refused, Err(SignatureError::Mismatch), "{kind} {bits} {hash}");
        }
    }
}

#[test]
fn a_signature_in_another_namespace_is_none() {
    if !has("ssh-keygen") {
        return;
    }
    let place = Place::new();
    let public = place.keygen("key", "ed25519", "256", "");
    let trusted = TrustedKeys::parse(&public).unwrap();
    for namespace in ["file", "git", "evidence@cofferdam", "stream@cofferdam.example"] {
        let text = place.sign_in(namespace, "key", message().bytes(), "sha512");
        let signature = Signature::parse(text.as_bytes()).unwrap();
        let refused = trusted.verify(&message(), &signature).unwrap_err();
        let expected =
            SignatureError::Namespace { found: namespace.to_owned(), expected: "stream@cofferdam" };
        assert_eq!(refused, expected);
    }
    // And what says so, with the name changed in the file, is a signature of nothing.
    let text = place.sign_in("stream@cofferdaM", "key", message().bytes(), "sha512");
    let forged = openssh::programs::edited(&text, |bytes| {
        let at = bytes.windows(9).position(|window| window == b"cofferdaM").unwrap();
        bytes[at + 8] = b'm';
    });
    let signature = Signature::parse(forged.as_bytes()).unwrap();
    assert_eq!(trusted.verify(&message(), &signature), Err(SignatureError::Mismatch));
}

#[test]
fn a_key_under_a_passphrase_is_opened_by_it_alone() {
    if !has("ssh-keygen") {
        return;
    }
    let place = Place::new();
    let public = place.keygen("key", "ed25519", "256", "correct horse");
    let open = |passphrase: Option<&str>| {
        SecretKey::parse(&place.read("key"), || passphrase.map(|text| Zeroizing::new(text.to_owned())))
    };
    let signature = open(Some("correct horse")).unwrap().sign(&message()).unwrap();
    assert!(place.verifies(&public, &message(), signature.as_text()));
    assert!(matches!(open(Some("wrong")), Err(SigningError::WrongPassphrase)));
    assert!(matches!(open(Some("")), Err(SigningError::WrongPassphrase)));
    assert!(matches!(open(None), Err(SigningError::NoPassphrase)));
}

#[test]
fn keys_that_are_no_use_are_refused_with_the_reason() {
    if !has("ssh-keygen") {
        return;
    }
    let place = Place::new();
    let weak = place.keygen("weak", "rsa", "1024", "");
    let reason = PublicKey::parse(&weak).unwrap_err();
    assert!(reason.contains("1024 bits"), "{reason}");
    assert!(matches!(SecretKey::parse(&place.read("weak"), || None), Err(SigningError::Unsuitable { .. })));
    place.keygen("pem", "rsa", "2048", "");
    place.convert_to_pem("pem");
    assert!(matches!(SecretKey::parse(&place.read("pem"), || None), Err(SigningError::OtherFormat)));
    assert!(matches!(SecretKey::parse(&place.read("pem.pub"), || None), Err(SigningError::NotAKey)));
}

/// A security key, made of software: its signatures are judged by OpenSSH as well.
#[test]
fn security_keys_verify_as_openssh_has_it_and_only_when_touched() {
    if !has("ssh-keygen") {
        return;
    }
    let place = Place::new();
    for device in Device::both() {
        let public = device.public_line();
        let trusted = TrustedKeys::parse(&public).unwrap();
        let touched = device.signature_text(&message(), TOUCHED);
        assert!(place.verifies(&public, &message(), &touched), "{public}");
        let signature = Signature::parse(touched.as_bytes()).unwrap();
        assert!(trusted.verify(&message(), &signature).is_ok(), "{public}");
        assert_eq!(trusted.verify(&other_message(), &signature), Err(SignatureError::Mismatch), "{public}");

        // OpenSSH's program leaves it to its caller whether that is enough.
        let not_touched = device.signature_text(&message(), NOT_TOUCHED);
        let signature = Signature::parse(not_touched.as_bytes()).unwrap();
        assert_eq!(trusted.verify(&message(), &signature), Err(SignatureError::NotTouched), "{public}");

        // The flag is under the signature.
        let counter_len = 4;
        let forged = openssh::programs::edited(&not_touched, |bytes| {
            let flags = bytes.len() - counter_len - 1;
            assert_eq!(bytes[flags], NOT_TOUCHED);
            bytes[flags] = TOUCHED;
        });
        let signature = Signature::parse(forged.as_bytes()).unwrap();
        assert_eq!(trusted.verify(&message(), &signature), Err(SignatureError::Mismatch), "{public}");
    }
}

#[test]
fn an_agent_signs_with_the_keys_that_it_has() {
    if !has("ssh-agent") || !has("ssh-add") {
        return;
    }
    let place = Place::new();
    let publics: Vec<String> = KINDS
        .iter()
        .enumerate()
        .map(|(number, (kind, bits))| place.keygen(&format!("key{number}"), kind, bits, ""))
        .collect();
    let real = RealAgent::start(&place);
    let mut agent = Agent::connect(&real.socket, AgentOptions::default()).unwrap();
    assert_eq!(agent.keys().unwrap(), []);
    for number in 0..KINDS.len() {
        real.add(&place, &format!("key{number}"));
    }
    let keys = agent.keys().unwrap();
    assert_eq!(keys.len(), KINDS.len());
    for (key, public) in keys.iter().zip(&publics) {
        assert_eq!(key, &PublicKey::parse(public).unwrap());
        let signature = agent.sign(key, &message()).unwrap();
        assert!(place.verifies(public, &message(), signature.as_text()), "{public}");
    }
    real.remove_all();
    assert!(matches!(agent.sign(&keys[0], &message()), Err(SigningError::Refused { what: "sign" })));
    drop(real);
    assert!(matches!(agent.keys(), Err(SigningError::Agent { .. })));
    fs::remove_file(place.path("agent")).ok();
    let gone = Agent::connect(&place.path("agent"), AgentOptions::default());
    assert!(matches!(gone, Err(SigningError::Agent { .. })));
}
