//! Owns the published vectors of both ciphers: every backend that is built in holds them all.
//! Refuses to know how a backend works; the files beside it say where each value comes from.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

use frame_worker::{Backend, Cipher, Forged, Suite};

/// What a file's records must come to at least, so that one that is read in part does not pass.
struct Least {
    valid: usize,
    invalid: usize,
}

const FILES: [(Suite, &str, Least); 2] = [
    (Suite::Aes256Gcm, include_str!("vectors/aes-256-gcm.txt"), Least { valid: 50, invalid: 27 }),
    (
        Suite::ChaCha20Poly1305,
        include_str!("vectors/chacha20-poly1305.txt"),
        Least { valid: 67, invalid: 30 },
    ),
];

const BACKENDS: &[Backend] = &[
    #[cfg(feature = "fast")]
    Backend::Fast,
    #[cfg(feature = "portable")]
    Backend::Portable,
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Valid,
    Invalid,
}

#[derive(Clone, Debug)]
struct Vector {
    /// The line that the record begins at, from 1.
    line: usize,
    key: [u8; 32],
    nonce: [u8; 12],
    aad: Vec<u8>,
    plaintext: Vec<u8>,
    ciphertext: Vec<u8>,
    tag: [u8; 16],
    verdict: Verdict,
}

impl Vector {
    /// A record has these seven lines in this order.
    const NAMES: [&str; 7] = ["key", "nonce", "aad", "plaintext", "ciphertext", "tag", "result"];

    fn parse(line: usize, lines: &[&str]) -> Vector {
        let parts = lines.iter().map(|line| line.split_once('=').unwrap());
        let (names, values): (Vec<_>, Vec<_>) =
            parts.map(|(name, value)| (name.trim(), value.trim())).unzip();
        assert_eq!(names, Vector::NAMES, "the record at line {line}");
        let bytes = |at: usize| hex::decode(values[at]).unwrap();
        Vector {
            line,
            key: bytes(0).try_into().unwrap(),
            nonce: bytes(1).try_into().unwrap(),
            aad: bytes(2),
            plaintext: bytes(3),
            ciphertext: bytes(4),
            tag: bytes(5).try_into().unwrap(),
            verdict: match values[6] {
                "valid" => Verdict::Valid,
                "invalid" => Verdict::Invalid,
                other => panic!("the record at line {line} is {other}"),
            },
        }
    }

    fn cipher(&self, backend: Backend, suite: Suite) -> Cipher {
        Cipher::new(backend, suite, &self.key)
    }

    fn open(&self, backend: Backend, suite: Suite) -> Result<Vec<u8>, Forged> {
        let mut plaintext = vec![0; self.ciphertext.len()];
        let cipher = self.cipher(backend, suite);
        cipher.open(self.nonce, &self.aad, &self.ciphertext, &self.tag, &mut plaintext)?;
        Ok(plaintext)
    }

    fn seal(&self, backend: Backend, suite: Suite) -> (Vec<u8>, [u8; 16]) {
        let mut ciphertext = vec![0; self.plaintext.len()];
        let tag = self.cipher(backend, suite).seal(self.nonce, &self.aad, &self.plaintext, &mut ciphertext);
        (ciphertext, tag)
    }

    /// The same with one thing changed: a bit of the ciphertext, of the additional data, of the nonce, of the tag; a
    /// byte of the first two gone, or one more.
    fn modified(&self) -> Vec<Vector> {
        let mut all = Vec::new();
        let mut change = |how: &dyn Fn(&mut Vector)| {
            let mut vector = self.clone();
            how(&mut vector);
            all.push(vector);
        };
        for at in [0, self.ciphertext.len() / 2, self.ciphertext.len().saturating_sub(1)] {
            if at < self.ciphertext.len() {
                change(&|vector| vector.ciphertext[at] ^= 0x80);
            }
        }
        if !self.ciphertext.is_empty() {
            change(&|vector| vector.ciphertext.truncate(self.ciphertext.len() - 1));
            change(&|vector| vector.ciphertext = self.ciphertext[1..].to_vec());
        }
        if !self.aad.is_empty() {
            change(&|vector| vector.aad[0] ^= 1);
            change(&|vector| vector.aad.truncate(self.aad.len() - 1));
        }
        change(&|vector| vector.ciphertext.push(0));
        change(&|vector| vector.aad.push(0));
        change(&|vector| vector.nonce[11] ^= 1);
        for bit in 0..128 {
            change(&|vector| vector.tag[bit / 8] ^= 1 << (bit % 8));
        }
        all
    }
}

fn read(text: &str) -> Vec<Vector> {
    let mut vectors = Vec::new();
    let mut record = Vec::new();
    for (at, line) in text.lines().chain([""]).enumerate() {
        if !line.is_empty() && !line.starts_with('#') {
            record.push(line);
        } else if !record.is_empty() {
            vectors.push(Vector::parse(at + 1 - record.len(), &record));
            record.clear();
        }
    }
    vectors
}

/// Every vector of one verdict, with every backend.
fn each(verdict: Verdict, mut check: impl FnMut(Backend, Suite, &Vector)) {
    for (suite, text, _) in FILES {
        for vector in read(text).iter().filter(|vector| vector.verdict == verdict) {
            BACKENDS.iter().for_each(|&backend| check(backend, suite, vector));
        }
    }
}

#[test]
fn every_record_is_read() {
    for (suite, text, least) in FILES {
        let vectors = read(text);
        let records = text.lines().filter(|line| line.starts_with("result")).count();
        assert_eq!(vectors.len(), records, "{suite:?}");
        let count = |verdict| vectors.iter().filter(|vector| vector.verdict == verdict).count();
        assert!(count(Verdict::Valid) >= least.valid, "{suite:?} has {}", count(Verdict::Valid));
        assert!(count(Verdict::Invalid) >= least.invalid, "{suite:?} has {}", count(Verdict::Invalid));
    }
}

#[test]
fn valid_vectors_seal_and_open_to_what_is_published() {
    each(Verdict::Valid, |backend, suite, vector| {
        let sealed = vector.seal(backend, suite);
        assert_eq!(
            sealed,
            (vector.ciphertext.clone(), vector.tag),
            "{backend:?}, {suite:?}, line {}",
            vector.line
        );
        let opened = vector.open(backend, suite);
        assert_eq!(opened.as_ref(), Ok(&vector.plaintext), "{backend:?}, {suite:?}, line {}", vector.line);
    });
}

/// The published ciphertext is the right one, so that the tag alone is what is refused.
#[test]
fn vectors_with_a_modified_tag_are_refused() {
    each(Verdict::Invalid, |backend, suite, vector| {
        let (ciphertext, tag) = vector.seal(backend, suite);
        assert_eq!(ciphertext, vector.ciphertext, "{backend:?}, {suite:?}, line {}", vector.line);
        assert_ne!(tag, vector.tag, "{backend:?}, {suite:?}, line {}", vector.line);
        let opened = vector.open(backend, suite);
        assert_eq!(opened, Err(Forged), "{backend:?}, {suite:?}, line {}", vector.line);
    });
}

#[test]
fn valid_vectors_are_refused_with_any_part_modified() {
    each(Verdict::Valid, |backend, suite, vector| {
        for modified in vector.modified() {
            let opened = modified.open(backend, suite);
            assert_eq!(opened, Err(Forged), "{backend:?}, {suite:?}: {modified:?}");
        }
    });
}
