//! Owns age's own test vectors: each gets the verdict that it states, however it is read.
//! Refuses to know why: the vectors are C2SP's (crates/foreign/tests/vectors/README.md).
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod streams;

use std::fs;
use std::path::{Path, PathBuf};

use cofferdam::{ErrorKind, Foreign, Identities, Opener, SecretString};
use sha2::{Digest, Sha256};

use streams::{READINGS, names_in, open, scratch, threads, verify};

struct Vector {
    name: String,
    expect: String,
    payload: Option<String>,
    identities: Vec<String>,
    passphrases: Vec<String>,
    file: Vec<u8>,
}

impl Vector {
    fn parse(path: &Path) -> Vector {
        let bytes = fs::read(path).unwrap();
        let head_len = bytes.windows(2).position(|two| two == b"\n\n").unwrap() + 1;
        let head = std::str::from_utf8(&bytes[..head_len]).unwrap();
        let values = |key: &str| -> Vec<String> {
            let lines = head.lines().map(|line| line.split_once(": ").unwrap());
            lines.filter(|(name, _)| *name == key).map(|(_, value)| value.to_owned()).collect()
        };
        let body = &bytes[head_len + 1..];
        let file = match values("compressed").first().map(String::as_str) {
            Some("zlib") => miniz_oxide::inflate::decompress_to_vec_zlib(body).unwrap(),
            Some(other) => panic!("{other} is no compression of these vectors"),
            None => body.to_vec(),
        };
        Vector {
            name: path.file_name().unwrap().to_str().unwrap().to_owned(),
            expect: values("expect").remove(0),
            payload: values("payload").pop(),
            identities: values("identity"),
            passphrases: values("passphrase"),
            file,
        }
    }

    /// `None` where an identity is of a kind that this library does not know: only post-quantum ones may be.
    fn opener(&self) -> Option<Opener> {
        let mut identities = Identities::new();
        for identity in &self.identities {
            match identities.clone().identity_file(identity) {
                Ok(more) => identities = more,
                Err(_) if identity.starts_with("AGE-SECRET-KEY-PQ-1") => return None,
                Err(error) => panic!("{}: {error}", self.name),
            }
        }
        for passphrase in &self.passphrases {
            identities = identities.passphrase(SecretString::from(passphrase.as_str()));
        }
        Some(Opener::new(identities).foreign(Foreign::Open))
    }

    /// What kinds of error state what the vector expects.
    fn kinds(&self) -> &'static [ErrorKind] {
        use ErrorKind::{Damaged, Limit, NoKey, NotAStream, Truncated, Unsupported};
        match self.expect.as_str() {
            "success" => &[],
            "no match" => &[NoKey],
            "HMAC failure" => &[Damaged],
            "header failure" => &[Damaged, Truncated, Limit, Unsupported],
            // What has no begin mark is not taken for an age file.
            "armor failure" => &[Damaged, Truncated, NotAStream],
            "payload failure" => &[Damaged, Truncated],
            other => panic!("{}: {other} is no verdict of these vectors", self.name),
        }
    }
}

fn vectors() -> Vec<Vector> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../foreign/tests/vectors/age-testkit");
    names_in(&directory).iter().map(|name| Vector::parse(&directory.join(name))).collect()
}

#[test]
fn every_vector_of_age_gets_its_verdict_as_a_file_and_in_order_on_any_number_of_threads() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 96);
    let mut skipped = Vec::new();
    for vector in &vectors {
        let Some(opener) = vector.opener() else {
            skipped.push(&vector.name);
            continue;
        };
        for (reading, count) in
            READINGS.into_iter().flat_map(|reading| [1, 2, 4].map(|count| (reading, count)))
        {
            let what = format!("{}, {reading:?}, {count} threads", vector.name);
            let opener = opener.clone().threads(threads(count));
            match open(&opener, reading, vector.file.clone()) {
                Ok((_, plaintext)) => {
                    assert_eq!(vector.expect, "success", "{what}");
                    assert_eq!(Some(hex::encode(Sha256::digest(&plaintext))), vector.payload, "{what}");
                }
                Err(error) => {
                    let kind = error.kind();
                    assert!(
                        vector.kinds().contains(&kind),
                        "{what} expects {}: {kind:?}: {error}",
                        vector.expect
                    );
                }
            }
        }
    }
    // Without post-quantum identities, the vectors for those have nobody to open them; with them, none is left out.
    assert!(skipped.iter().all(|name| name.contains("hybrid")), "{skipped:?}");
    assert_eq!(skipped.len(), if cfg!(feature = "pq") { 0 } else { 13 }, "{skipped:?}");
}

#[test]
fn a_verification_says_the_same_as_a_restore() {
    for vector in vectors() {
        let Some(opener) = vector.opener() else { continue };
        for reading in READINGS {
            let restored = open(&opener, reading, vector.file.clone()).map(|(restored, _)| restored);
            let verified = verify(&opener, reading, vector.file.clone());
            let said = |outcome: Result<cofferdam::Restored, cofferdam::Error>| {
                outcome
                    .map(|restored| restored.plaintext_len)
                    .map_err(|error| (error.kind(), error.to_string()))
            };
            assert_eq!(said(verified), said(restored), "{}, {reading:?}", vector.name);
        }
    }
}

/// age writes what comes before a payload's fault; here it stays tentative, and goes.
#[test]
fn of_a_payload_that_fails_nothing_is_released() {
    let failures: Vec<Vector> =
        vectors().into_iter().filter(|vector| vector.expect == "payload failure").collect();
    assert_eq!(failures.len(), 12);
    for vector in failures {
        let directory = scratch();
        let [sealed, target] = ["sealed.age", "target"].map(|name| directory.path().join(name));
        fs::write(&sealed, &vector.file).unwrap();
        let opener = vector.opener().unwrap();
        assert!(opener.restore_file(&sealed, &target).is_err(), "{}", vector.name);
        assert!(!target.exists(), "{}", vector.name);
        fs::write(&target, "the old one").unwrap();
        let replacing = opener.if_exists(cofferdam::IfExists::Replace);
        assert!(replacing.restore_file(&sealed, &target).is_err(), "{}", vector.name);
        assert_eq!(fs::read(&target).unwrap(), b"the old one", "{}", vector.name);
    }
}
