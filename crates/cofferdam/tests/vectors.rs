//! Owns the reading of docs/vectors: every file is opened, and the verdict compared with its header.
//! Refuses to know how the files are made; their headers are the only source of expectations here.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod reference;
mod streams;

use cofferdam::{Identities, Opener, WrappingKey};
use reference::{Key, KeyCopies, Verdict};
use sha2::{Digest, Sha256};
use std::path::Path;
use streams::{READINGS, Reading, Shared, class_of, open, verify};

const VECTORS_MIN: usize = 60;

#[test]
fn the_reference_opener_gives_the_verdict_of_every_vector() {
    let vectors = read_vectors();
    assert!(vectors.len() >= VECTORS_MIN, "{} vectors, at least {VECTORS_MIN} must be there", vectors.len());
    for vector in &vectors {
        let outcome = match reference::open(&vector.sealed, &vector.key) {
            Ok(opened) => Outcome {
                class: "success",
                opened: Some(Facts {
                    plaintext_sha256: hex::encode(Sha256::digest(&opened.plaintext)),
                    plaintext_len: opened.plaintext.len(),
                    metadata: opened.metadata,
                    stream_digest: hex::encode(opened.stream_digest),
                }),
                key_copies: opened.key_copies,
            },
            Err(verdict) => {
                Outcome { class: verdict_class(verdict), opened: None, key_copies: KeyCopies::Good }
            }
        };
        vector.compare(&outcome);
    }
}

#[test]
fn both_readers_give_the_verdict_of_every_vector() {
    for vector in &read_vectors() {
        for reading in READINGS {
            let opened = open(&vector.opener(), reading, Shared::new(vector.sealed.clone()));
            let class = class_of(&opened);
            let (name, due) = (&vector.name, &vector.class);
            assert_eq!(class, vector.due(reading, due), "{name}, {reading:?}");
            let Ok((restored, plaintext)) = opened else { continue };
            let facts = Facts {
                plaintext_sha256: hex::encode(Sha256::digest(&plaintext)),
                plaintext_len: plaintext.len(),
                metadata: restored.metadata,
                stream_digest: hex::encode(restored.stream_digest.0),
            };
            assert_eq!(Some(facts), vector.opened, "contents of {name}, {reading:?}");
        }
    }
}

#[test]
fn a_verification_gives_the_verdict_of_every_vector_and_counts_both_key_copies() {
    for vector in &read_vectors() {
        let faulty = vector.key_copies == KeyCopies::Faulty;
        let due = if faulty { "damaged" } else { &vector.class };
        for reading in READINGS {
            let verified = verify(&vector.opener(), reading, Shared::new(vector.sealed.clone()));
            let class = class_of(&verified);
            let name = &vector.name;
            assert_eq!(class, vector.due(reading, due), "{name}, {reading:?}");
        }
    }
}

#[test]
fn a_reader_without_a_key_sees_all_but_what_takes_one() {
    for vector in &read_vectors() {
        let name = vector.name.trim_end_matches(".cfdv");
        let due = match () {
            () if KEYED.contains(&name) => "success",
            () if TAGS.contains(&name) => "unsupported",
            () if DIGESTED.contains(&name) => "damaged",
            () if vector.key_copies == KeyCopies::Faulty => "damaged",
            () => &vector.class,
        };
        for reading in READINGS {
            let verified = verify(&Opener::keyless(), reading, Shared::new(vector.sealed.clone()));
            let class = class_of(&verified);
            assert_eq!(class, vector.due(reading, due), "{name}, {reading:?}");
            let Ok(verified) = verified else { continue };
            let said = vector.opened.as_ref().map(|facts| &facts.stream_digest);
            assert!(
                said.is_none_or(|said| *said == hex::encode(verified.stream_digest.0)),
                "{name}: its digest"
            );
        }
    }
}

#[test]
fn the_pin_of_every_vector_but_those_of_tags_is_taken_and_another_one_refused() {
    for vector in &read_vectors() {
        let Some(facts) = &vector.opened else { continue };
        let pin: [u8; 32] = bytes_of(&facts.stream_digest).try_into().unwrap();
        let mut other = pin;
        other[31] ^= 1;
        // Pins of tags are refused, right or wrong, with a key as well (FORMAT F11.4).
        let is_of_tags = vector.sealed[11] == 3;
        for (pin, due) in [(pin, "success"), (other, "damaged")] {
            let due = if is_of_tags { "unsupported" } else { due };
            for reading in READINGS {
                let opener = vector.opener().expect_digest(cofferdam::StreamDigest(pin));
                let outcome = open(&opener, reading, Shared::new(vector.sealed.clone()));
                assert_eq!(class_of(&outcome), due, "{}, {reading:?}", vector.name);
            }
        }
    }
}

/// One file of docs/vectors.
struct Vector {
    name: String,
    class: String,
    key: Key,
    opened: Option<Facts>,
    key_copies: KeyCopies,
    sealed: Vec<u8>,
}

/// What a reader made of a vector; each reader under test fills one in.
struct Outcome {
    class: &'static str,
    opened: Option<Facts>,
    key_copies: KeyCopies,
}

#[derive(Debug, PartialEq, Eq)]
struct Facts {
    plaintext_sha256: String,
    plaintext_len: usize,
    metadata: Vec<(Vec<u8>, Vec<u8>)>,
    stream_digest: String,
}

impl Vector {
    fn parse(name: String, file: &[u8]) -> Vector {
        let end = file.windows(2).position(|pair| pair == b"\n\n").expect("an empty line ends the header");
        let header = std::str::from_utf8(&file[..end]).expect("the header is text");
        let all = |wanted: &'static str| {
            header
                .lines()
                .filter_map(|line| line.split_once(": "))
                .filter(move |(field, _)| *field == wanted)
                .map(|(_, value)| value)
        };
        let one = |wanted| all(wanted).next().unwrap_or_else(|| panic!("{name} has no line {wanted:?}"));
        let class = one("expect").to_owned();
        let key = match all("identity").next() {
            Some(identity) => Key::AgeIdentity(identity.to_owned()),
            None => Key::KeyFile(bytes_of(one("key")).try_into().expect("a key has 32 bytes")),
        };
        let metadata = all("metadata").map(|line| {
            let (key, value) = line.split_once('=').expect("metadata is KEY=VALUE in hex");
            (bytes_of(key), bytes_of(value))
        });
        let opened = (class == "success").then(|| Facts {
            plaintext_sha256: one("plaintext-sha256").to_owned(),
            plaintext_len: one("plaintext-len").parse().expect("plaintext-len is a number"),
            metadata: metadata.collect(),
            stream_digest: one("stream-digest").to_owned(),
        });
        let key_copies = match all("verify").next() {
            None => KeyCopies::Good,
            Some("damaged") => KeyCopies::Faulty,
            Some(other) => panic!("{name}: verify: {other:?}"),
        };
        Vector { class, key, opened, key_copies, sealed: file[end + 2..].to_vec(), name }
    }

    fn opener(&self) -> Opener {
        Opener::new(match &self.key {
            Key::KeyFile(key) => Identities::new().wrapping_key(WrappingKey::from_bytes(*key)),
            Key::AgeIdentity(text) => Identities::new().identity_file(text.as_bytes()).unwrap(),
        })
    }

    /// The class `due`, unless the reader starts from the index and so holds a count against its limit (F14.8).
    fn due<'a>(&self, reading: Reading, due: &'a str) -> &'a str {
        if reading == Reading::Placed && self.name == "page-count-huge.cfdv" { "limit" } else { due }
    }

    fn compare(&self, outcome: &Outcome) {
        assert_eq!(outcome.class, self.class, "verdict on {}", self.name);
        assert_eq!(outcome.opened, self.opened, "contents of {}", self.name);
        assert_eq!(outcome.key_copies, self.key_copies, "key copies of {}", self.name);
    }
}

/// The vectors whose fault takes a key to be seen: tags, MACs, the commitment, and what is inside of slots and metadata.
const KEYED: &[&str] = &[
    "footer-mac",
    "key-area-age-256-stanzas",
    "key-area-age-other-stream-key",
    "key-area-age-payload-31",
    "key-area-macs",
    "key-area-other-stream-key",
    "metadata-empty-key-second",
    "metadata-empty-key-twice",
    "metadata-entry-cut",
    "metadata-keys-descend",
    "metadata-keys-equal",
    "metadata-value-overrun",
    "no-key-identity",
    "no-key-newest-key-copy-mac-bad",
    "no-key-no-slots",
    "no-key-older-copy",
    "no-key-slot-tag",
    "no-key-wrong-key",
    "preamble-commitment",
    "success-newest-key-copy-mac-bad",
];

/// The vector that opens no slot because of a damage that the digests show.
const DIGESTED: &[&str] = &["preamble-stream-id-flipped"];

/// The vectors with the digest *tags*, which nobody can verify without a key (F13.12).
const TAGS: &[&str] =
    &["frame-tags-digest-tag", "success-aes-256-gcm-tags", "success-chacha20-poly1305-tags"];

fn read_vectors() -> Vec<Vector> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/vectors");
    let entries = std::fs::read_dir(&folder).expect("docs/vectors is there");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a readable entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "cfdv"));
    paths.sort();
    let name_of = |path: &Path| path.file_name().expect("a file").to_string_lossy().into_owned();
    paths
        .iter()
        .map(|path| Vector::parse(name_of(path), &std::fs::read(path).expect("a readable vector")))
        .collect()
}

fn verdict_class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Damaged(_) => "damaged",
        Verdict::NotAStream => "not a stream",
        Verdict::Truncated => "truncated",
        Verdict::NoKey => "no key",
        Verdict::Limit => "limit",
        Verdict::Unsupported => "unsupported",
    }
}

fn bytes_of(text: &str) -> Vec<u8> {
    hex::decode(text).expect("hexadecimal digits")
}
